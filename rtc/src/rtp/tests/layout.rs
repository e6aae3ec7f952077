//! Tests of the payloads on the wire, as text.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use onmic_media::codec::{nal, vp9};
use onmic_media::{Codec, Frame, Parameters, Ticks};

use super::fixture::{self, WALL};
use crate::rtp::Packetizer;

/// Describes each payload in one line: its length and its first bytes.
fn lines(codec: Codec, max: usize, frame: &Frame, bytes: usize) -> Vec<String> {
    let payloads = Packetizer::new(codec, max).unwrap().packetize(frame);
    let hex = |payload: &[u8]| payload.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect::<String>();
    payloads.iter().map(|payload| format!("{} {}", payload.len(), hex(payload))).collect()
}

fn of(parameters: &Arc<Parameters>, payload: Bytes, keyframe: bool) -> Frame {
    fixture::frame(parameters.clone(), payload, keyframe, Ticks(0), Instant::now(), WALL)
}

fn filled(first: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; length];
    bytes[..first.len()].copy_from_slice(first);
    bytes
}

fn parameters(codec: Codec) -> Arc<Parameters> {
    fixture::frames(codec, Instant::now())[0].parameters.clone()
}

#[test]
fn h264_delta_frame_of_one_slice_is_one_run_of_equal_fragments() {
    let slice = filled(&[0x41], 250);
    let frame = of(&parameters(Codec::H264), nal::join([&[9, 0xf0][..], &slice, &[12, 0xff, 0x80]]), false);
    // The FU indicator is 5c (importance 2, type 28). The FU headers have start, middle and end of type 1. Delimiter
    // and filler are gone.
    assert_eq!(lines(Codec::H264, 100, &frame, 3), ["100 5c81ee", "100 5c01ee", "55 5c41ee"]);
}

#[test]
fn h264_small_units_share_a_packet() {
    let frame = of(&parameters(Codec::H264), nal::join([&[6, 1, 2][..], &[0x41, 5, 6, 7]]), false);
    assert_eq!(lines(Codec::H264, 100, &frame, 20), ["12 58000306010200044105".to_owned() + "0607"]);
    let alone = of(&parameters(Codec::H264), nal::join([&[0x41, 5, 6, 7][..]]), false);
    assert_eq!(lines(Codec::H264, 100, &alone, 20), ["4 41050607"]);
}

#[test]
fn h264_keyframe_has_its_parameter_sets_in_front() {
    let parameters = parameters(Codec::H264);
    let Parameters::H264(h264) = &*parameters else { panic!("not H.264") };
    let rewritten = h264.without_reordering();
    let frame = of(&parameters, nal::join([&filled(&[0x65], 150)[..]]), true);
    let payloads = Packetizer::new(Codec::H264, 100).unwrap().packetize(&frame);
    let mut expected = vec![0x78];
    for set in [&rewritten.sps[0], &rewritten.pps[0]] {
        expected.extend_from_slice(&(set.len() as u16).to_be_bytes());
        expected.extend_from_slice(set);
    }
    assert_eq!(payloads.get(0).unwrap(), expected);
    assert_eq!(payloads.iter().map(<[u8]>::len).skip(1).collect::<Vec<_>>(), [100, 53]);
}

#[test]
fn h265_fragments_and_aggregations_have_two_byte_headers() {
    let parameters = parameters(Codec::H265);
    let slice = filled(&[0x02, 0x01], 150); // TRAIL_R
    let frame = of(&parameters, nal::join([&slice[..]]), false);
    assert_eq!(lines(Codec::H265, 100, &frame, 4), ["100 620181ee", "54 620141ee"]);
    let small = of(&parameters, nal::join([&[0x4e, 0x01, 9][..], &[0x02, 0x01, 8]]), false);
    assert_eq!(lines(Codec::H265, 100, &small, 20), ["12 600100034e01090003020108"]);
}

#[test]
fn vp8_descriptor_has_a_long_picture_id() {
    let frame = of(&parameters(Codec::Vp8), Bytes::from(filled(&[1], 150)), false);
    assert_eq!(lines(Codec::Vp8, 100, &frame, 5), ["100 9080800001", "58 80808000ee"]);
}

#[test]
fn vp9_keyframe_states_its_single_layer_in_the_first_packet_alone() {
    let parameters = parameters(Codec::Vp9);
    assert!(matches!(&*parameters, Parameters::Vp9(vp9::Parameters { width: 320, height: 180, .. })));
    let frame = of(&parameters, Bytes::from(vec![0xee; 150]), true);
    // The flags are I L B V, then picture 0, layer 0, TL0PICIDX 0; then one layer of 320 × 180, and groups of one
    // picture that refers to the one before.
    assert_eq!(
        lines(Codec::Vp9, 100, &frame, 14),
        ["100 aa8000000018014000b4010401ee", "68 a480000000eeeeeeeeeeeeeeeeee"]
    );
    let delta = of(&parameters, Bytes::from(vec![0xee; 5]), false);
    assert_eq!(lines(Codec::Vp9, 100, &delta, 14), ["10 ec80000000eeeeeeeeee"]);
}

#[test]
fn av1_packets_are_full_and_have_no_obu_sizes() {
    let parameters = parameters(Codec::Av1);
    let mut unit = vec![0x12, 0]; // A temporal delimiter, which is not sent.
    unit.extend([0x0a, 3, 1, 2, 3]); // The sequence header.
    unit.extend([0x32, 0x96, 0x01]); // A frame of 150 bytes.
    unit.extend(vec![0xee; 150]);
    let key = of(&parameters, Bytes::from(unit.clone()), true);
    // The flags are W 2, N and Y (to be continued): 4 bytes of sequence header, the frame's header and 93 bytes. The
    // rest is in the next packet.
    assert_eq!(
        lines(Codec::Av1, 100, &key, 8),
        ["100 680408010203".to_owned() + "30ee", "58 90eeeeeeeeeeeeee".to_owned()]
    );
    let delta = of(&parameters, Bytes::from(vec![0x32, 2, 7, 8]), false);
    assert_eq!(lines(Codec::Av1, 100, &delta, 8), ["4 10300708"]);
}

#[test]
fn only_the_last_payload_of_a_run_is_shorter() {
    for codec in fixture::ALL {
        for frame in fixture::frames(codec, Instant::now()) {
            let payloads = Packetizer::new(codec, 500).unwrap().packetize(&frame);
            assert!(payloads.iter().all(|payload| payload.len() <= 500), "{codec:?}");
            // Each of two slices ends a run. Parameter sets and SEI can be two runs before the first.
            let runs = payloads.iter().filter(|payload| payload.len() < 500).count();
            let most = if matches!(codec, Codec::H264 | Codec::H265) { 4 } else { 1 };
            assert!(runs <= most, "{codec:?}: {:?}", payloads.iter().map(<[u8]>::len).collect::<Vec<_>>());
        }
    }
}
