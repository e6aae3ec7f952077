//! RTCP of a viewer, as it comes out of SRTP: it is parsed, and the sender of a track acts on it.
//!
//! The first byte says how losses are repaired. Datagrams follow, each after 16 bits of length.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Input;
use bytes::Bytes;
use onmic_media::codec::opus;
use onmic_media::{AvSync, Codec, Frame, Parameters, Ticks, WallTime};
use onmic_rtc::rtp::outgoing::Limits;
use onmic_rtc::rtp::sender::RepairScratch;
use onmic_rtc::rtp::{
    ExtensionIds, Feedback, GuardConfig, HEADER_MAX, Mid, Outgoing, Repaired, Resend, Sender, SenderConfig, feedback,
};

const WALL: WallTime = WallTime(1_795_000_000_000_000);
const SSRC: u32 = 0x1111_1111;

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let resend = match input.byte().unwrap_or(0) % 3 {
        0 => Resend::Repair { ssrc: SSRC + 1, payload_type: 97, sequence: 65_530 },
        1 => Resend::AsSent,
        _ => Resend::Never,
    };
    let mut now = Instant::now();
    let mut track = Outgoing::new(Codec::Opus, Limits::default()).expect("a codec of WebRTC");
    let mut sender = sender(resend, &track);
    let (mut transport_sequence, mut scratch) = (0, RepairScratch::default());
    sender.start(&track, now);
    send(&mut track, &mut sender, now);
    while let Some(datagram) = input.piece() {
        now += Duration::from_millis(300);
        let mut statements = 0;
        let _ = feedback::read(datagram, |statement| {
            statements += 1;
            match statement {
                Feedback::Reception(block) => sender.handle_reception(&block, WALL.offset_micros(50_000)),
                Feedback::Nack(nack) => {
                    assert!(nack.lost().count() <= datagram.len() / 4 * 17);
                    for lost in nack.lost() {
                        let repaired = sender.repair(lost, &track, now, &mut transport_sequence, &mut scratch);
                        if let Some(Repaired::New { header, .. } | Repaired::Again { header, .. }) = repaired {
                            assert!((12..=HEADER_MAX).contains(&header.len()));
                        }
                    }
                }
                _ => {}
            }
        });
        assert!(statements <= datagram.len() / 4);
        assert!(sender.round_trip().is_none_or(|rtt| rtt < Duration::from_secs(30)));
        sender.poll_report(now, WALL, "room", &mut Vec::new());
    }
}

fn sender(resend: Resend, track: &Outgoing) -> Sender {
    let config = SenderConfig {
        ssrc: SSRC,
        payload_type: 111,
        extensions: ExtensionIds { mid: 1, transport_cc: 2, playout_delay: 3, abs_capture_time: 4 },
        mid: Mid::new("0").expect("short"),
        resend,
        sequence: 32_700,
        timestamp: u32::MAX,
        sync: AvSync::LipSync,
        guard: GuardConfig::default(),
    };
    Sender::new(config, track)
}

/// Sends forty packets, across the middle of the sequence numbers.
fn send(track: &mut Outgoing, sender: &mut Sender, now: Instant) {
    let parameters = Arc::new(Parameters::Opus(opus::Parameters::new(2)));
    for index in 0..40 {
        let pts = Ticks(900_000 + index * 960);
        let (payload, parameters) = (Bytes::from_static(&[0xfc, 0xff, 0xfe]), parameters.clone());
        let wall = WALL.offset_micros(index * 20_000);
        track.push(&Frame { dts: pts, pts, wall, arrived: now, keyframe: true, parameters, payload });
        while let Some(packets) = sender.poll_frame(track, now) {
            for packet in packets.iter() {
                sender.header(&packet, &mut 0, &mut [0; HEADER_MAX]);
            }
        }
    }
}
