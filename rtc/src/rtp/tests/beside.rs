//! Tests of what publishers send beside their media: it is left out and counted, and the media goes on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::codec::nal;
use onmic_media::{Codec, MediaKind, Parameters};

use super::fixture;
use crate::rtp::packet::HeaderWriter;
use crate::rtp::*;

const SSRC: u32 = 10;

fn incoming(codec: Codec, now: Instant) -> Incoming {
    let stream = StreamConfig {
        key: codec.kind().into(),
        mid: Mid::new("0").unwrap(),
        formats: vec![(96, codec)],
        repairs: Vec::new(),
        ssrc: Some(SSRC),
        repair_ssrc: None,
        nack: false,
        parameters: Vec::new(),
    };
    Incoming::new(IncomingConfig { streams: vec![stream], ..IncomingConfig::default() }, now)
}

fn packet((payload_type, marker): (u8, bool), sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut buffer = [0; HEADER_MAX];
    let writer = HeaderWriter::new(&mut buffer, (marker, payload_type), sequence, timestamp, SSRC);
    [writer.finish(), payload].concat()
}

/// Returns units of types that are reserved or left open, in an aggregation, in fragments and alone.
fn reserved(codec: Codec) -> Vec<Vec<u8>> {
    let packets: &[&[u8]] = match codec {
        Codec::H264 => &[
            &[0x78, 0, 3, 0x60, 1, 2, 0, 3, 0x78, 1, 2, 0, 3, 0x7c, 1, 2, 0, 3, 0x7f, 1, 2],
            &[0x7c, 0x9d, 1, 2],
            &[0x7c, 0x5d, 3],
            &[0x7e, 1, 2],
            &[0x60, 1, 2],
            &[0x1f],
        ],
        _ => &[
            &[0x60, 1, 0, 3, 41 << 1, 1, 2, 0, 3, 48 << 1, 1, 2, 0, 3, 49 << 1, 1, 2, 0, 3, 63 << 1, 1, 2],
            &[0x62, 1, 0x80 | 50, 1, 2],
            &[0x62, 1, 0x40 | 50, 3],
            &[62 << 1, 1, 2],
            &[47 << 1, 1, 2],
            &[63 << 1],
        ],
    };
    packets.iter().map(|packet| packet.to_vec()).collect()
}

#[test]
fn units_of_reserved_types_cost_nothing_else_of_their_picture() {
    let began = Instant::now();
    for codec in [Codec::H264, Codec::H265] {
        let mut incoming = incoming(codec, began);
        let mut sequence = 0;
        for (at, frame) in fixture::frames(codec, began).iter().enumerate() {
            let sets = match &*frame.parameters {
                Parameters::H264(sets) if frame.keyframe => sets.in_band(),
                Parameters::H265(sets) if frame.keyframe => sets.in_band(),
                _ => Bytes::new(),
            };
            let units = nal::nal_units(&sets).chain(nal::nal_units(&frame.payload)).map(<[u8]>::to_vec);
            let payloads: Vec<_> = reserved(codec).into_iter().chain(units).chain(reserved(codec)).collect();
            for (place, payload) in payloads.iter().enumerate() {
                let marker = place + 1 == payloads.len();
                incoming.handle_rtp(&packet((96, marker), sequence, at as u32 * 3000, payload), began);
                sequence += 1;
            }
            let arrived: Vec<_> = std::iter::from_fn(|| incoming.poll_arrival()).map(|came| came.payload).collect();
            assert_eq!(arrived, std::slice::from_ref(&frame.payload), "{codec} {at}");
        }
        assert_eq!(incoming.counters().malformed_payload, 0, "{codec}");
    }
}

#[test]
fn noise_digits_and_redundancy_are_counted_and_cost_no_audio() {
    let began = Instant::now();
    let mut incoming = incoming(Codec::Opus, began);
    let (mut sequence, mut frames) = (0, 0);
    for at in 0..50_u32 {
        let now = began + Duration::from_millis(20) * at;
        // CN and telephone-event (RFC 3389, RFC 4733) have numbers of the stream's own row, negotiated or not.
        let beside: [(u8, &[u8]); 3] = [(13, &[0x40]), (101, &[5, 10, 0, 160]), (63, &[0x6f, 0xff])];
        for (payload_type, payload) in beside.into_iter().chain([(96, &[0xfc, 0xff, 0xfe][..])]) {
            incoming.handle_rtp(&packet((payload_type, false), sequence, at * 960, payload), now);
            sequence += 1;
        }
        incoming.handle_timeout(now);
        while let Some(arrival) = incoming.poll_arrival() {
            assert_eq!(arrival.parameters.kind(), MediaKind::Audio);
            frames += 1;
        }
    }
    let counters = incoming.counters();
    assert_eq!((frames, counters.unknown_payload_type, counters.lost), (50, 150, 0));
}
