//! AV1 temporal units and `av1C`, and the headers of VP8 and VP9 frames.

use bytes::Bytes;
use onmic_media::codec::{av1, vp8, vp9};

/// Takes one input.
pub fn run(data: &[u8]) {
    av1::access_unit_is_keyframe(data);
    if let Some(read) = av1::Parameters::from_access_unit(data) {
        assert_eq!(av1::Parameters::from_av1c(&read.av1c()), Ok(read));
    }
    let _ = av1::Parameters::from_av1c(data);
    let _ = av1::check(data);
    av1::strip_temporal_delimiters(Bytes::copy_from_slice(data));
    assert!(vp8::is_keyframe(data) || vp8::Parameters::from_keyframe(data).is_err());
    assert!(vp9::is_keyframe(data) || vp9::Parameters::from_keyframe(data).is_err());
    let _ = vp9::Parameters::from_vpcc(data);
}
