//! An SPS from outside, alone and in an access unit. An accepted SPS can be rewritten.

use bytes::Bytes;
use onmic_media::codec::{h264, nal};

/// Takes one input.
pub fn run(data: &[u8]) {
    if h264::Sps::parse(data).is_ok() {
        let sets = (vec![Bytes::copy_from_slice(data)], vec![Bytes::from_static(&[0x68, 0xce])]);
        let before = h264::Parameters::from_parameter_sets(sets.0, sets.1).expect("the SPS was accepted");
        let after = before.without_reordering();
        assert!(after.declares_no_reordering());
        assert_eq!((after.width, after.height), (before.width, before.height));
        assert_eq!(after.without_reordering(), after);
    }
    let payload = Bytes::copy_from_slice(data);
    h264::access_unit_is_keyframe(&payload);
    h264::access_unit_has_b_slice(&payload);
    h264::strip_parameter_sets(payload.clone());
    h264::strip_parameter_sets(nal::from_annex_b(&payload));
}
