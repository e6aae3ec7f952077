//! Measures the cost of a packet before it is sealed: it is made once per track, and its header is written once per
//! viewer.
//!
//! `cargo run --release -p onmic-rtc --example packetize_bench`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::codec::{nal, vp8};
use onmic_media::{AvSync, Codec, Frame, Parameters, Ticks, WallTime};
use onmic_rtc::rtp::outgoing::Limits;
use onmic_rtc::rtp::{ExtensionIds, GuardConfig, HEADER_MAX, Mid, Outgoing, Resend, Sender, SenderConfig};

const VIEWERS: usize = 200;
const FRAMES: u32 = 600;
const FRAME_BYTES: usize = 10_400; // 2.5 Mbit/s at 30 frames per second.

fn main() {
    let began = Instant::now();
    // VP8 needs no parameter sets. The fragments of H.264 cost the same.
    let parameters = Arc::new(Parameters::Vp8(vp8::Parameters { width: 1280, height: 720, version: 0 }));
    let payload: Bytes = nal::join([&vec![0x41; FRAME_BYTES][..]]);
    let Some(mut outgoing) = Outgoing::new(Codec::Vp8, Limits::default()) else { return };
    let extensions = ExtensionIds { mid: 1, transport_cc: 2, playout_delay: 3, abs_capture_time: 4 };
    let mid = Mid::new("0").unwrap_or_default();
    let mut senders: Vec<Sender> = (0..VIEWERS)
        .map(|viewer| {
            let resend = Resend::Repair { ssrc: 1000 + viewer as u32, payload_type: 97, sequence: 0 };
            let ssrc = viewer as u32;
            let (sequence, timestamp, sync) = (0, 0, AvSync::LipSync);
            let guard = GuardConfig::default();
            let config =
                SenderConfig { ssrc, payload_type: 96, extensions, mid, resend, sequence, timestamp, sync, guard };
            Sender::new(config, &outgoing)
        })
        .collect();
    senders.iter_mut().for_each(|sender| {
        sender.start(&outgoing, began);
    });

    let (mut made, mut written) = (Duration::ZERO, Duration::ZERO);
    let (mut packets, mut headers) = (0_u64, 0_u64);
    let mut transport = 0;
    for index in 0..FRAMES {
        let pts = Ticks(i64::from(index) * 3000);
        let frame = Frame {
            dts: pts,
            pts,
            wall: WallTime(1_795_000_000_000_000).offset_micros(i64::from(index) * 33_333),
            arrived: began + Duration::from_micros(u64::from(index) * 33_333),
            keyframe: index % 60 == 0,
            parameters: parameters.clone(),
            payload: payload.clone(),
        };
        let start = Instant::now();
        packets += outgoing.push(&frame).map_or(0, |packets| packets.len() as u64);
        made += start.elapsed();
        let start = Instant::now();
        for sender in &mut senders {
            while let Some(frame) = sender.poll_frame(&outgoing, began) {
                for packet in frame.iter() {
                    let mut buffer = [0; HEADER_MAX];
                    black_box(sender.header(&packet, &mut transport, &mut buffer));
                    headers += 1;
                }
            }
        }
        written += start.elapsed();
    }
    let each = |time: Duration, count: u64| time.as_nanos() / u128::from(count.max(1));
    println!(
        "{packets} packets made at {} ns, {headers} headers written at {} ns",
        each(made, packets),
        each(written, headers)
    );
    println!("{} bytes per viewer and track", size_of::<Sender>());
}
