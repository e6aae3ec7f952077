//! An SPS from outside, alone and in an access unit.

use bytes::Bytes;
use onmic_media::codec::{h265, nal};

/// Takes one input.
pub fn run(data: &[u8]) {
    let _ = h265::Sps::parse(data);
    let payload = Bytes::copy_from_slice(data);
    h265::access_unit_is_keyframe(&payload);
    h265::strip_parameter_sets(payload.clone());
    h265::strip_parameter_sets(nal::from_annex_b(&payload));
}
