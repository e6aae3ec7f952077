//! Seeds of the WebRTC targets: datagrams of a real handshake, and packets by our own packetisers and reports.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use onmic_fuzz_targets::pair::Pair;
use onmic_media::codec::{av1, h264, h265, nal, opus, vp8, vp9};
use onmic_media::{Date, Frame, Parameters, Ticks, WallTime};
use onmic_rtc::rtp::{Packetizer, ReceptionBlock, report};
use onmic_rtc::transport::Profile;

use crate::{FUZZ, Failure, piece, save};

const WALL: WallTime = WallTime(1_795_000_000_000_000);
const DATE: Date = Date(WALL.micros());
/// Enough of a frame for its headers, and for fragments.
const FRAME_BYTES: usize = 300;
const PAYLOAD_BYTES: usize = 100;

pub fn write() -> Result<(), Failure> {
    transport()?;
    feedback()?;
    redundancy()?;
    received()
}

fn transport() -> Result<(), Failure> {
    let mut pair = Pair::new(&[Profile::AeadAes128Gcm]);
    pair.wait();
    let mut datagrams = Vec::new();
    while let Some((to_server, datagram)) = pair.flying.pop_front() {
        if to_server {
            datagrams.extend(piece(&datagram));
        }
        pair.deliver(to_server, datagram);
    }
    save("peer_datagram", "handshake", &datagrams)?;
    save("rtc_framing", "handshake", &[&[9], &datagrams[..]].concat())?;
    save("rtc_framing", "empty_and_too_large", &[1, 0, 0, 0, 1, 7, 0xff, 0xff, 1])?;
    save(
        "peer_datagram",
        "media",
        &[piece(&[0x80; 40]), piece(&[[0x80, 200].as_slice(), &[0; 40]].concat())].concat(),
    )?;

    let attribute = |kind: u16, value: &[u8]| [&kind.to_be_bytes()[..], &piece(value)].concat();
    let usual = [attribute(0x24, &[1, 2, 3, 4]), attribute(0x802a, &[7; 8]), attribute(0x25, &[])].concat();
    save("peer_check", "nominating", &usual)?;
    save("peer_check", "conflicting", &attribute(0x8029, &[7; 8]))?;
    save("peer_check", "unknown", &[attribute(0x7777, &[1]), attribute(0x6, b"other:name")].concat())?;

    for profiles in 0..3 {
        save("peer_handshake", &format!("profiles_{profiles}"), &[profiles])?;
    }
    save("peer_handshake", "fragments", &[0, 11, 0, 9, 11, 0, 30, 11, 0, 20, 11, 0, 99])?;
    save("peer_handshake", "twice", &[0, 2, 2, 2, 2, 2, 2])?;
    save("peer_handshake", "changed", &[0, 0, 3, 0, 60, 4, 6, 0, 99, 7, 0, 40, 0, 2, 1, 2, 8, 0, 30, 0, 50])?;
    save("peer_handshake", "late", &[1, 1, 12, 10, 12, 9, 0, 15, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40])?;

    let rtp = |sequence: u8| piece(&[&[0x80, 96, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 7], &b"picture"[..]].concat());
    for profile in 0..2 {
        let packets =
            [&[profile, 2][..], &rtp(1), &[6], &rtp(2), &[0], &rtp(1), &[3], &piece(&[0x80, 201, 0, 1, 0, 0, 0, 9])];
        save("srtp", &format!("profile_{profile}"), &packets.concat())?;
    }
    Ok(())
}

fn feedback() -> Result<(), Failure> {
    let ssrc = 0x1111_1111;
    let block = ReceptionBlock {
        ssrc,
        fraction_lost: 9,
        cumulative_lost: -3,
        highest_sequence: 32_739,
        jitter: 7,
        last_sender_report: (DATE.ntp() >> 16) as u32,
        delay: 100,
    };
    let mut reports = Vec::new();
    report::receiver_report(&mut reports, 1, &[block]);
    report::source_description(&mut reports, 1, "viewer");
    let mut losses = Vec::new();
    report::receiver_report(&mut losses, 1, &[]);
    report::nack(&mut losses, 1, ssrc, [32_701, 32_702, 32_710, 32_739]);
    report::picture_loss(&mut losses, 1, ssrc);
    report::goodbye(&mut losses, &[1]);
    let bitrate =
        [&[0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0][..], b"REMB", &[1, 0x0b, 0xff, 0xff, 0x11, 0x11, 0x11, 0x11]];
    let mut clocks = Vec::new();
    report::sender_report(&mut clocks, 7, DATE, 3000, (1, 1));
    for resend in 0..3 {
        save(
            "rtcp",
            &format!("resend_{resend}"),
            &[&[resend], &piece(&losses)[..], &piece(&reports), &piece(&losses)].concat(),
        )?;
    }
    save("rtcp", "bitrate", &[&[0], &piece(&bitrate.concat())[..]].concat())?;
    save("rtcp", "clocks", &[&[0], &piece(&clocks)[..]].concat())
}

/// Writes five packets of which two are lost, with the repair packet of all and that of the last two, and a packet of
/// redundant audio.
fn redundancy() -> Result<(), Failure> {
    let media = |does: u8, payload: &[u8]| [&[does][..], &piece(payload)].concat();
    let repair = |base: u16, mask: u16, payload: &[u8]| {
        let header = [&[0, 0, 0, 5, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 7][..], &base.to_be_bytes(), &mask.to_be_bytes()];
        media(0, &[header.concat(), payload.to_vec()].concat())
    };
    let sent = [media(0x03, b"first"), media(0x13, b"next!"), media(0x03, b"third")].concat();
    save("fec", "one_lost", &[sent.clone(), repair(65_530, 0xf800, b"sums!")].concat())?;
    save("fec", "in_turn", &[sent, repair(65_530, 0xf800, b"sums!"), repair(65_532, 0xe000, b"other")].concat())?;
    save("fec", "cut", &[media(0, &[0; 19]), media(1, &[0x80; 12])].concat())?;
    let earlier = [(48_000_u32 - 960, &b"before"[..]), (48_000 - 1920, b"first")];
    let mut packet = Vec::new();
    onmic_rtc::rtp::red::Redundant::new((48_000, b"now"), earlier, 1200).ok_or("it fits")?.write(111, &mut packet);
    save("red", "two_repeated", &packet)?;
    save("red", "alone", &[111, 1, 2, 3])?;
    save("red", "cut", &packet[..10])
}

fn received() -> Result<(), Failure> {
    let read = |name: &str| std::fs::read(format!("{FUZZ}/../media/tests/fixtures/{name}")).map(Bytes::from);
    let avc = nal::from_annex_b(&read("h264_baseline.h264")?);
    let hevc = nal::from_annex_b(&read("h265_main.hevc")?);
    let obus = read("av1_main.obu")?;
    let (vp8_frame, vp9_frame) = (read("vp8.ivf")?.slice(44..), read("vp9_profile0.ivf")?.slice(44..));
    let idr = |first: u8| nal::join([&[&[first, 1], &[0x55; FRAME_BYTES][..]].concat()[..]]);
    let short = |frame: &Bytes| frame.slice(..frame.len().min(FRAME_BYTES));
    let frames = [
        ("h264", Parameters::H264(h264::Parameters::from_access_unit(&avc).ok_or("no sets")?), idr(0x65)),
        ("h265", Parameters::H265(h265::Parameters::from_access_unit(&hevc).ok_or("no sets")?), idr(0x26)),
        ("vp8", Parameters::Vp8(vp8::Parameters::from_keyframe(&vp8_frame)?), short(&vp8_frame)),
        ("vp9", Parameters::Vp9(vp9::Parameters::from_keyframe(&vp9_frame)?), short(&vp9_frame)),
        ("av1", Parameters::Av1(av1::Parameters::from_access_unit(&obus).ok_or("no header")?), obus),
        ("opus", Parameters::Opus(opus::Parameters::new(2)), Bytes::from_static(&[0xfc, 0xff, 0xfe])),
    ];
    for (index, (name, parameters, payload)) in (0_u8..).zip(frames) {
        let codec = parameters.codec();
        let arrived = Instant::now();
        let (parameters, pts) = (Arc::new(parameters), Ticks(0));
        let frame = Frame { dts: pts, pts, wall: WALL, arrived, keyframe: true, parameters, payload };
        let payloads = Packetizer::new(codec, PAYLOAD_BYTES).ok_or("not a codec of WebRTC")?.packetize(&frame);
        let (mut whole, mut gappy) = (vec![index | 16], vec![index | 8 | 16]);
        for (at, payload) in payloads.iter().enumerate() {
            let (first, last) = (at == 0, at + 1 == payloads.len());
            let flags = (u8::from(last) * 4) | (u8::from(first) * 8);
            whole.extend([&[flags], &piece(payload)[..]].concat());
            // Each packet comes after a loss, and the packet before it comes as its repair.
            gappy.extend(
                [&[flags | 1], &piece(payload)[..], &[32 | 64], &piece(payload), &[16 | 3], &piece(&[])].concat(),
            );
        }
        let again = whole[1..].to_vec();
        save("rtp_receive", name, &[whole, again].concat())?;
        save("rtp_receive", &format!("{name}_with_losses"), &gappy)?;
    }
    let mut raw = vec![0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 4, 0x10, b'0', 0x21, 0, 1, 0x47];
    raw.extend([&DATE.ntp().to_be_bytes()[..], &[0, 0], &[0xfc, 0xff]].concat());
    let mut clocks = Vec::new();
    report::sender_report(&mut clocks, 7, DATE, 0, (1, 1));
    save(
        "rtp_receive",
        "extensions",
        &[&[5, 2][..], &piece(&raw), &[3 | 16], &piece(&clocks), &[2], &piece(&raw)].concat(),
    )
}
