//! RTP and RTCP of a publisher, as they come out of SRTP: frames end on a track, and are the same after they are
//! packetised again.
//!
//! The first byte gives the codec and the negotiated values. Then each packet is a byte of [`step`] and a piece.

use std::time::{Duration, Instant};

use crate::{Input, Sink};
use onmic_media::codec::nal::nal_units;
use onmic_media::codec::{h264, h265};
use onmic_media::{Arrival, Codec, Frame, WallTime};
use onmic_rtc::rtp::receive::depacketize::{Depacketizer, FRAME_BYTES_MAX, Unusable};
use onmic_rtc::rtp::{
    ExtensionIds, Incoming, IncomingConfig, LayerIds, MAX_PAYLOAD, Mid, Packetizer, StreamConfig, feedback,
};

const CODECS: [Codec; 6] = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus];
const SSRC: u32 = 7;
const PAYLOAD_TYPE: u8 = 96;

/// The flags of the byte before a packet. Without the first two bits, `piece` is the payload of a packet in order.
mod step {
    pub const KIND: u8 = 3;
    pub const AFTER_A_LOSS: u8 = 1;
    pub const RAW: u8 = 2;
    pub const RTCP: u8 = 3;
    pub const MARKER: u8 = 4;
    pub const NEXT_FRAME: u8 = 8;
    pub const LATER: u8 = 16;
    pub const REPAIR: u8 = 32;
    pub const AGAIN: u8 = 64;
    pub const KEYFRAME: u8 = 128;
}

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(first) = input.byte() else { return };
    let codec = CODECS[usize::from(first & 7) % CODECS.len()];
    let mut now = Instant::now();
    let mut incoming = Incoming::new(config(codec, first), now);
    let mut sink = Sink::new(now);
    let (mut sequence, mut timestamp) = (65_530_u16, u32::MAX - 6000);
    while let (Some(does), Some(piece)) = (input.byte(), input.piece()) {
        let says = |flag| does & flag == flag;
        timestamp = timestamp.wrapping_add(if says(step::NEXT_FRAME) { 3000 } else { 0 });
        match does & step::KIND {
            step::RAW => incoming.handle_rtp(piece, now),
            step::RTCP => incoming.handle_rtcp(piece, now),
            kind => {
                let steps = if says(step::AGAIN) { 0 } else { 1 + u16::from(kind == step::AFTER_A_LOSS) };
                sequence = sequence.wrapping_add(steps);
                let missing = sequence.wrapping_sub(1);
                let number = if says(step::REPAIR) { missing } else { sequence };
                incoming.handle_rtp(&packet((number, timestamp), says(step::MARKER), says(step::REPAIR), piece), now);
            }
        }
        if says(step::KEYFRAME) {
            incoming.request_keyframe();
        }
        if says(step::LATER) {
            now = incoming.poll_timeout().unwrap_or(now).max(now) + Duration::from_millis(1);
            incoming.handle_timeout(now);
        }
        let mut repeated = (codec, Depacketizer::new(codec, None).expect("a codec of WebRTC"));
        while let Some(arrival) = incoming.poll_arrival() {
            assert!(arrival.payload.len() <= FRAME_BYTES_MAX);
            repeat(&arrival, now, &mut repeated);
            sink.push(arrival, now);
        }
        answer(&mut incoming, now);
    }
}

fn config(codec: Codec, flags: u8) -> IncomingConfig {
    let stream = StreamConfig {
        key: codec.kind().into(),
        mid: Mid::new("0").expect("short"),
        formats: CODECS
            .iter()
            .zip(PAYLOAD_TYPE..)
            .map(|(other, number)| (number, *other))
            .chain([(110, codec)])
            .collect(),
        repairs: vec![(120, 110)],
        ssrc: (flags & 8 != 0).then_some(SSRC),
        repair_ssrc: None,
        nack: flags & 16 != 0,
        parameters: Vec::new(),
    };
    IncomingConfig {
        ssrc: 1,
        cname: "us".to_owned(),
        extensions: ExtensionIds { mid: 1, transport_cc: 2, playout_delay: 3, abs_capture_time: 4 },
        layers: LayerIds { rid: 5, repaired_rid: 6 },
        reduced_size: flags & 32 != 0,
        streams: vec![stream],
    }
}

fn packet((sequence, timestamp): (u16, u32), marker: bool, is_repair: bool, payload: &[u8]) -> Vec<u8> {
    let (payload_type, ssrc) = if is_repair { (120, SSRC + 1) } else { (110, SSRC) };
    let mut packet = vec![0x80, u8::from(marker) << 7 | payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&u32::to_be_bytes(ssrc));
    if is_repair {
        packet.extend_from_slice(&sequence.to_be_bytes());
    }
    packet.extend_from_slice(payload);
    packet
}

/// Packetises a frame as for a viewer, and checks that it is assembled to the same frame.
fn repeat(arrival: &Arrival, now: Instant, (codec, depacketizer): &mut (Codec, Depacketizer)) {
    if arrival.parameters.codec() != *codec {
        return; // The frame has another payload type.
    }
    let frame = Frame {
        dts: arrival.dts,
        pts: arrival.pts,
        wall: WallTime(1_795_000_000_000_000),
        arrived: now,
        keyframe: arrival.keyframe,
        parameters: arrival.parameters.clone(),
        payload: arrival.payload.clone(),
    };
    let payloads = Packetizer::new(*codec, MAX_PAYLOAD).expect("a codec of WebRTC").packetize(&frame);
    for payload in payloads.iter() {
        let fits = payload.len() <= MAX_PAYLOAD || *codec == Codec::Opus; // A packet of Opus cannot be cut.
        assert!(fits && !payload.is_empty());
        assert_eq!(depacketizer.push(payload), Ok(()));
    }
    match depacketizer.finish() {
        Ok(again) => {
            assert_eq!(again.keyframe, arrival.keyframe);
            // A keyframe of AV1 gets the sequence header that it lacks.
            let is_completed = *codec == Codec::Av1 && again.keyframe && again.payload.ends_with(&arrival.payload);
            let is_same = is_completed || again.payload == arrival.payload;
            assert!(is_same || has_parameter_sets(*codec, &arrival.payload), "{:?} of {arrival:?}", again.payload);
        }
        // The frame has no parameters, or none that can be parsed. Then those before count.
        Err(Unusable::NoParameters) if !arrival.keyframe || !matches!(*codec, Codec::H264 | Codec::H265) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Whether a frame has parameter sets that could not be parsed, which it keeps. Beside those before them, which the packetizer
/// adds to a keyframe, they may be taken out.
fn has_parameter_sets(codec: Codec, frame: &[u8]) -> bool {
    nal_units(frame).any(|unit| match codec {
        Codec::H264 => matches!(h264::nal_type(unit), 7 | 8),
        Codec::H265 => matches!(h265::nal_type(unit), 32..=34),
        _ => false,
    })
}

/// Checks that our feedback is RTCP, and that it ends.
fn answer(incoming: &mut Incoming, now: Instant) {
    let mut out = Vec::new();
    for _ in 0..64 {
        if !incoming.poll_rtcp(now, &mut out) {
            return;
        }
        assert!(out.len() <= 1200, "{} bytes", out.len());
        assert_eq!(feedback::read(&out, |_| {}), Ok(()));
        out.clear();
    }
    panic!("more than 64 datagrams at once");
}
