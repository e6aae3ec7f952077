//! Tests of the payload formats against another implementation, both ways.

use std::time::Instant;

use bytes::Bytes;
use onmic_media::Codec;
use onmic_media::codec::{av1, nal};
use rtc_rtp::codec::{av1 as other_av1, h264, h265, opus, vp8, vp9};
use rtc_rtp::packetizer::{Depacketizer as OtherDepacketizer, Payloader};

use super::fixture;
use crate::rtp::Packetizer;
use crate::rtp::receive::depacketize::Depacketizer;

const MAX: usize = 300;

/// Returns each frame as the other implementation assembles it from our payloads, and as it was
/// sent.
fn read_by_other(codec: Codec, other: &mut dyn OtherDepacketizer) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut packetizer = Packetizer::new(codec, MAX).unwrap();
    let frames = fixture::frames(codec, Instant::now());
    let mut read = |payload: &[u8]| other.depacketize(&Bytes::copy_from_slice(payload)).unwrap().to_vec();
    frames
        .iter()
        .map(|frame| {
            let whole = packetizer.packetize(frame).iter().flat_map(&mut read).collect();
            (whole, frame.payload.to_vec())
        })
        .collect()
}

#[test]
fn the_other_implementation_reads_our_frames() {
    for (read, sent) in read_by_other(Codec::Vp8, &mut vp8::Vp8Packet::default()) {
        assert!(read == sent);
    }
    for (read, sent) in read_by_other(Codec::Vp9, &mut vp9::Vp9Packet::default()) {
        assert!(read == sent);
    }
    for (read, sent) in read_by_other(Codec::Av1, &mut other_av1::Av1Depacketizer::new()) {
        assert!(read == sent);
    }
    for (read, sent) in read_by_other(Codec::Opus, &mut opus::OpusPacket) {
        assert!(read == sent);
    }
    let mut with_sets = 0;
    for (read, sent) in read_by_other(Codec::H264, &mut h264::H264Packet::default()) {
        let read = nal::from_annex_b(&read);
        with_sets += usize::from(read.len() > sent.len());
        assert!(read.ends_with(&sent));
    }
    assert_eq!(with_sets, 2);
}

#[test]
fn the_other_implementation_reads_our_h265() {
    let mut packetizer = Packetizer::new(Codec::H265, MAX).unwrap();
    for frame in fixture::frames(Codec::H265, Instant::now()) {
        let mut units: Vec<Vec<u8>> = Vec::new();
        for payload in packetizer.packetize(&frame).iter() {
            let mut other = h265::H265Packet::default();
            other.depacketize(&Bytes::copy_from_slice(payload)).unwrap();
            match other.payload() {
                h265::H265Payload::H265SingleNALUnitPacket(_) => units.push(payload.to_vec()),
                h265::H265Payload::H265AggregationPacket(aggregation) => {
                    units.extend(aggregation.first_unit().map(|unit| unit.nal_unit().to_vec()));
                    units.extend(aggregation.other_units().iter().map(|unit| unit.nal_unit().to_vec()));
                }
                h265::H265Payload::H265FragmentationUnitPacket(fragment) => {
                    let header = fragment.fu_header();
                    if header.s() {
                        units.push(vec![payload[0] & 0x81 | header.fu_type() << 1, payload[1]]);
                    }
                    units.last_mut().unwrap().extend_from_slice(&fragment.payload());
                }
                other => panic!("{other:?}"),
            }
        }
        let joined = nal::join(units.iter().map(|unit| &unit[..]));
        assert!(joined.ends_with(&frame.payload));
    }
}

/// Checks that we assemble the frames from the other implementation's payloads.
fn read_by_us(codec: Codec, other: &mut dyn Payloader, input: impl Fn(&onmic_media::Frame) -> Bytes) {
    let mut ours = Depacketizer::new(codec, None).unwrap();
    for frame in fixture::frames(codec, Instant::now()) {
        for payload in other.payload(MAX, &input(&frame)).unwrap() {
            ours.push(&payload).unwrap();
        }
        let assembled = ours.finish().unwrap();
        assert!(assembled.payload == frame.payload, "{codec:?}");
        assert_eq!(assembled.keyframe, frame.keyframe, "{codec:?}");
        assert_eq!(*assembled.parameters, *frame.parameters, "{codec:?}");
    }
}

#[test]
fn frames_of_the_other_implementation_are_read() {
    let whole = |frame: &onmic_media::Frame| frame.payload.clone();
    let mut with_picture_id = vp8::Vp8Payloader::default();
    with_picture_id.enable_picture_id = true;
    read_by_us(Codec::Vp8, &mut with_picture_id, whole);
    read_by_us(Codec::Vp9, &mut vp9::Vp9Payloader::default(), whole);
    read_by_us(Codec::Opus, &mut opus::OpusPayloader, whole);
    read_by_us(Codec::Av1, &mut other_av1::Av1Payloader::default(), |frame| {
        let mut unit = vec![0x12, 0];
        unit.extend_from_slice(&frame.payload);
        assert!(av1::check(&unit).is_ok());
        Bytes::from(unit)
    });
    let annex_b = |frame: &onmic_media::Frame| {
        let sets = match &*frame.parameters {
            onmic_media::Parameters::H264(h264) if frame.keyframe => h264.in_band(),
            onmic_media::Parameters::H265(h265) if frame.keyframe => h265.in_band(),
            _ => Bytes::new(),
        };
        nal::to_annex_b(&[&sets[..], &frame.payload].concat())
    };
    read_by_us(Codec::H264, &mut h264::H264Payloader::default(), annex_b);
    read_by_us(Codec::H265, &mut h265::HevcPayloader, annex_b);
}
