//! Tests of a publisher's streams: the stream of a packet, the common timeline, and the feedback.

use std::time::{Duration, Instant};

use onmic_media::codec::nal;
use onmic_media::{Alignment, Codec, Date, DateOffset, LeftOut, MediaKind, Parameters, Rendition, TrackKey, WallTime};
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc};

use super::fixture::{self, WALL};
use super::link::{IDS, LAYERS};
use crate::rtp::packet::HeaderWriter;
use crate::rtp::*;

const MILLI: Duration = Duration::from_millis(1);

fn stream(kind: MediaKind, mid: &str, formats: &[(u8, Codec)]) -> StreamConfig {
    StreamConfig {
        key: kind.into(),
        mid: Mid::new(mid).unwrap(),
        formats: formats.to_vec(),
        repairs: Vec::new(),
        ssrc: None,
        repair_ssrc: None,
        nack: kind == MediaKind::Video,
        parameters: Vec::new(),
    }
}

fn incoming(now: Instant) -> Incoming {
    let streams =
        vec![stream(MediaKind::Video, "v", &[(96, Codec::Vp8)]), stream(MediaKind::Audio, "a", &[(111, Codec::Opus)])];
    Incoming::new(
        IncomingConfig { ssrc: 1, cname: "us".into(), extensions: IDS, layers: LAYERS, reduced_size: true, streams },
        now,
    )
}

struct Header<'a> {
    mid: &'a str,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    transport: u16,
}

fn packet(header: Header<'_>, payload: &[u8]) -> Vec<u8> {
    let mut buffer = [0; HEADER_MAX];
    let Header { mid, ssrc, payload_type, sequence, timestamp, transport } = header;
    let mut writer = HeaderWriter::new(&mut buffer, (true, payload_type), sequence, timestamp, ssrc);
    writer.extension(IDS.mid, mid.as_bytes());
    writer.extension(IDS.transport_cc, &transport.to_be_bytes());
    [writer.finish(), payload].concat()
}

fn video(sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut payload = vec![0x10]; // The shortest descriptor: the start of a frame.
    payload.extend_from_slice(&fixture::frames(Codec::Vp8, Instant::now())[0].payload);
    packet(Header { mid: "v", ssrc, payload_type: 96, sequence, timestamp, transport: sequence }, &payload)
}

fn audio(sequence: u16, timestamp: u32) -> Vec<u8> {
    let header = Header { mid: "a", ssrc: 20, payload_type: 111, sequence, timestamp, transport: sequence };
    packet(header, &[0xfc, 0xff, 0xfe])
}

/// Returns the date on a publisher whose clock is `wall`.
fn date(wall: WallTime) -> Date {
    DateOffset::default().date(wall)
}

fn sender_report(ssrc: u32, wall: WallTime, timestamp: u32) -> Vec<u8> {
    let mut out = Vec::new();
    report::sender_report(&mut out, ssrc, date(wall), timestamp, (1, 1));
    out
}

/// Returns a sender report that states any NTP timestamp.
fn report_of(ssrc: u32, ntp: u64, timestamp: u32) -> Vec<u8> {
    let mut report = sender_report(ssrc, WALL, timestamp);
    report[8..16].copy_from_slice(&ntp.to_be_bytes());
    report
}

#[test]
fn packets_find_their_stream_by_mid_or_payload_type() {
    let now = Instant::now();
    let mut incoming = incoming(now);
    incoming.handle_rtp(&video(1, 0, 10), now);
    incoming.handle_rtp(&audio(1, 0), now);
    let header = Header { mid: "", ssrc: 20, payload_type: 111, sequence: 2, timestamp: 960, transport: 2 };
    incoming.handle_rtp(&packet(header, &[0xfc]), now); // The stream is now known by its SSRC.
    let header = Header { mid: "x", ssrc: 30, payload_type: 96, sequence: 2, timestamp: 960, transport: 2 };
    incoming.handle_rtp(&packet(header, &[0xfc]), now);
    let kinds: Vec<_> =
        std::iter::from_fn(|| incoming.poll_arrival()).map(|arrival| arrival.parameters.kind()).collect();
    assert_eq!(kinds, [MediaKind::Video, MediaKind::Audio, MediaKind::Audio]);
    assert_eq!(incoming.counters().unknown_stream, 1);
}

/// Returns the packets of VP8 frame `index` of a stream, a keyframe or another. The first bytes of a keyframe state its
/// size (RFC 6386 9.1).
fn sized(ssrc: u32, index: u16, (width, height): (u16, u16), keyframe: bool) -> Vec<u8> {
    let [w, h] = [width, height].map(u16::to_le_bytes);
    let frame: &[u8] =
        if keyframe { &[0x10, 2, 0, 0x9d, 1, 0x2a, w[0], w[1], h[0], h[1], 9, 9] } else { &[0x11, 2, 0, 9] };
    let payload = [&[0x10], frame].concat();
    let timestamp = u32::from(index) * 3000 + ssrc * 77_777; // The clocks of streams are not related.
    packet(Header { mid: "v", ssrc, payload_type: 96, sequence: index, timestamp, transport: index }, &payload)
}

fn widths(incoming: &mut Incoming) -> Vec<u32> {
    let arrivals = std::iter::from_fn(|| incoming.poll_arrival());
    arrivals.map(|arrival| arrival.parameters.resolution().unwrap().0).collect()
}

/// Returns the SSRCs that `incoming` asks for a keyframe now.
fn asked(incoming: &mut Incoming, now: Instant) -> Vec<u32> {
    let (mut out, mut asked) = (Vec::new(), Vec::new());
    while incoming.poll_rtcp(now, &mut out) {
        feedback::read(&out, |statement| {
            if let Feedback::KeyframeWanted { ssrc } = statement {
                asked.push(ssrc);
            }
        })
        .unwrap();
        out.clear();
    }
    asked
}

#[test]
fn of_simulcast_layers_the_largest_that_arrives_is_published() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    let sizes = [(10, (160, 90)), (11, (320, 180)), (12, (640, 360))];
    let at = |index: u16| began + Duration::from_micros(u64::from(index) * 100_000 / 3);
    for (ssrc, size) in sizes {
        incoming.handle_rtp(&sized(ssrc, 0, size, true), at(0));
    }
    for index in 1..30 {
        for (ssrc, size) in sizes {
            incoming.handle_rtp(&sized(ssrc, index, size, false), at(index));
        }
    }
    let got = widths(&mut incoming);
    assert_eq!((&got[..3], got[3..].len()), (&[160, 320, 640][..], 29));
    assert!(got[3..].iter().all(|width| *width == 640), "{got:?}");
    assert_eq!(incoming.counters().other_layer, 2 * 29);
    incoming.request_keyframe();
    assert_eq!(asked(&mut incoming, at(30)), [12], "layers that are not used are asked for nothing");

    // The largest pauses, as when the uplink is narrow. The next one is asked for a keyframe and leads with it.
    for index in 30..80 {
        let ready = index == 70;
        for (ssrc, size) in &sizes[..2] {
            incoming.handle_rtp(&sized(*ssrc, index, *size, ready && *ssrc == 11), at(index));
        }
        if index == 69 {
            assert!(asked(&mut incoming, at(index)).contains(&11));
        }
    }
    assert_eq!(widths(&mut incoming), [320; 10]);
    // It comes back with a keyframe.
    incoming.handle_rtp(&sized(12, 30, (640, 360), true), at(90));
    assert_eq!(widths(&mut incoming), [640]);
}

#[test]
fn a_lost_packet_of_a_layer_that_is_not_used_causes_no_request() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    for (ssrc, size) in [(12, (640, 360)), (10, (160, 90))] {
        incoming.handle_rtp(&sized(ssrc, 0, size, true), began);
    }
    for index in 1..60_u16 {
        let now = began + 33 * MILLI * u32::from(index);
        incoming.handle_rtp(&sized(12, index, (640, 360), false), now);
        if index != 5 {
            incoming.handle_rtp(&sized(10, index, (160, 90), false), now);
        }
        incoming.handle_timeout(now);
        assert_eq!(asked(&mut incoming, now), [0_u32; 0]);
        assert!(incoming.poll_timeout().is_none_or(|due| due > now), "no timer fires again and again");
    }
    assert_eq!(incoming.counters().nacked, 0);
}

#[test]
fn a_stream_under_a_new_ssrc_takes_the_place_of_the_old_one_with_its_first_keyframe() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    let at = |index: u16| began + Duration::from_micros(u64::from(index) * 100_000 / 3);
    for index in 0..30 {
        incoming.handle_rtp(&sized(10, index, (640, 360), index == 0), at(index));
    }
    for index in 30..60 {
        incoming.handle_rtp(&sized(11, index, (640, 360), index == 30), at(index));
    }
    let places: Vec<_> = std::iter::from_fn(|| incoming.poll_arrival()).map(|arrival| arrival.pts.0).collect();
    let steps: Vec<_> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps.len(), 59, "no frame is lost");
    assert!(steps.iter().all(|step| (2900..3100).contains(step)), "its time goes on: {steps:?}");
    // Late packets of the old one do not take the place back.
    incoming.handle_rtp(&sized(10, 30, (640, 360), true), at(60));
    assert_eq!(widths(&mut incoming), [0_u32; 0]);
}

#[test]
fn any_number_of_streams_may_follow_each_other() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    for index in 0..180_u32 {
        let (ssrc, frame) = (10 + index / 15, (index % 15) as u16);
        incoming.handle_rtp(&sized(ssrc, frame, (640, 360), frame == 0), began + 100 * MILLI * index);
    }
    assert_eq!(widths(&mut incoming).len(), 180);
    assert_eq!(incoming.counters().unknown_stream, 0);
}

#[test]
fn a_smaller_stream_takes_the_place_of_one_that_said_goodbye_at_once() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    incoming.handle_rtp(&sized(10, 0, (640, 360), true), began);
    incoming.handle_rtp(&sized(11, 0, (320, 180), true), began + MILLI);
    assert_eq!(widths(&mut incoming), [640], "while the larger one goes on, it is published");
    let mut goodbye = Vec::new();
    report::receiver_report(&mut goodbye, 10, &[]);
    report::goodbye(&mut goodbye, &[10]);
    incoming.handle_rtcp(&goodbye, began + 2 * MILLI);
    assert_eq!(incoming.goodbye(), Some(began + 2 * MILLI));
    incoming.handle_rtp(&sized(11, 1, (320, 180), false), began + 33 * MILLI);
    assert_eq!(asked(&mut incoming, began + 34 * MILLI), [11]);
    incoming.handle_rtp(&sized(11, 2, (320, 180), true), began + 66 * MILLI);
    assert_eq!((widths(&mut incoming), incoming.goodbye()), (vec![320], None));
}

#[test]
fn a_goodbye_is_taken_back_by_the_next_packet() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    incoming.handle_rtp(&video(1, 0, 10), began);
    let mut goodbye = Vec::new();
    report::receiver_report(&mut goodbye, 10, &[]);
    report::goodbye(&mut goodbye, &[10]);
    for at in [MILLI, 2 * MILLI] {
        incoming.handle_rtcp(&goodbye, began + at);
        assert_eq!(incoming.goodbye(), Some(began + MILLI), "a repeated goodbye says nothing new");
    }
    incoming.handle_rtp(&video(2, 3000, 10), began + 3 * MILLI);
    assert_eq!(incoming.goodbye(), None);
    assert_eq!(widths(&mut incoming).len(), 2);
}

#[test]
fn repairs_find_the_layer_that_they_name() {
    let began = Instant::now();
    let mut streams = stream(MediaKind::Video, "v", &[(96, Codec::Vp8)]);
    streams.repairs = vec![(97, 96)];
    let streams = vec![streams];
    let config =
        IncomingConfig { ssrc: 1, cname: "us".into(), extensions: IDS, layers: LAYERS, reduced_size: true, streams };
    let mut incoming = Incoming::new(config, began);
    let named = |ssrc: u32, payload_type: u8, sequence: u16, (id, layer): (u8, &str), payload: &[u8]| {
        let mut buffer = [0; HEADER_MAX];
        let mut writer = HeaderWriter::new(&mut buffer, (true, payload_type), sequence, ssrc, ssrc);
        writer.extension(IDS.mid, b"v");
        writer.extension(id, layer.as_bytes());
        [writer.finish(), payload].concat()
    };
    let keyframe = sized(0, 0, (640, 360), true).split_off(24);
    for (ssrc, layer) in [(10, "l"), (12, "h")] {
        incoming.handle_rtp(&named(ssrc, 96, 1, (LAYERS.rid, layer), &keyframe), began);
    }
    let mut repair = vec![0, 3]; // The original sequence number.
    repair.extend_from_slice(&keyframe);
    for (ssrc, layer) in [(20, "l"), (22, "h"), (24, "unheard")] {
        incoming.handle_rtp(&named(ssrc, 97, 1, (LAYERS.repaired_rid, layer), &repair), began);
    }
    assert_eq!(incoming.counters().repaired, 2);
    assert_eq!(incoming.counters().unknown_stream, 1);
}

#[test]
fn frames_are_taken_in_whatever_negotiated_codec_arrives() {
    let began = Instant::now();
    let formats = [(102, Codec::H264), (96, Codec::Vp8)];
    let streams = vec![stream(MediaKind::Video, "v", &formats)];
    let config =
        IncomingConfig { ssrc: 1, cname: "us".into(), extensions: IDS, layers: LAYERS, reduced_size: true, streams };
    let mut incoming = Incoming::new(config, began);
    incoming.handle_rtp(&video(1, 0, 10), began);
    let header = Header { mid: "v", ssrc: 10, payload_type: 99, sequence: 2, timestamp: 3000, transport: 2 };
    incoming.handle_rtp(&packet(header, &[0x10, 0]), began);
    let codecs: Vec<_> =
        std::iter::from_fn(|| incoming.poll_arrival()).map(|arrival| arrival.parameters.codec()).collect();
    assert_eq!((codecs, incoming.counters().unknown_payload_type), (vec![Codec::Vp8], 1));
}

#[test]
fn parameter_sets_of_the_offer_describe_a_stream_that_never_states_them() {
    let began = Instant::now();
    let frame = fixture::frames(Codec::H264, began)[0].clone();
    let nal: Vec<u8> = [&[0x65][..], &[0x55; 40]].concat();
    let mut known = stream(MediaKind::Video, "v", &[(96, Codec::H264)]);
    for parameters in [vec![], vec![frame.parameters.clone()]] {
        known.parameters = parameters;
        let streams = vec![known.clone()];
        let config = IncomingConfig {
            ssrc: 1,
            cname: "us".into(),
            extensions: IDS,
            layers: LAYERS,
            reduced_size: true,
            streams,
        };
        let mut incoming = Incoming::new(config, began);
        let header = Header { mid: "v", ssrc: 10, payload_type: 96, sequence: 1, timestamp: 0, transport: 1 };
        incoming.handle_rtp(&packet(header, &nal), began);
        incoming.handle_timeout(began + 20 * MILLI); // What it may have overtaken is not there.
        let arrived = incoming.poll_arrival().map(|arrival| arrival.parameters);
        assert_eq!(arrived, known.parameters.first().cloned());
    }
}

#[test]
fn what_the_newest_frames_lack_is_told_until_a_frame_is_whole() {
    let now = Instant::now();
    let mut incoming = incoming(now);
    let lacks = |incoming: &Incoming| incoming.left_out().map(|(kind, lack)| (kind, lack.clone())).collect::<Vec<_>>();
    incoming.handle_rtp(&audio(1, 0), now);
    incoming.handle_rtp(&sized(10, 1, (64, 64), false), now);
    assert_eq!(lacks(&incoming), [(MediaKind::Video, LeftOut::NoKeyframe)], "audio lacks nothing");
    assert_eq!(incoming.counters().left_out(), 1);
    incoming.handle_rtp(&sized(10, 2, (64, 64), true), now);
    assert_eq!(lacks(&incoming), []);

    let header = Header { mid: "v", ssrc: 10, payload_type: 99, sequence: 3, timestamp: 0, transport: 3 };
    incoming.handle_rtp(&packet(header, &[1, 2, 3]), now);
    assert_eq!(lacks(&incoming), [(MediaKind::Video, LeftOut::UnsupportedCodec("RTP payload type 99".to_owned()))]);

    let h264 = StreamConfig { ssrc: Some(10), ..stream(MediaKind::Video, "v", &[(102, Codec::H264)]) };
    let mut incoming = Incoming::new(IncomingConfig { streams: vec![h264], ..IncomingConfig::default() }, now);
    let header = Header { mid: "v", ssrc: 10, payload_type: 102, sequence: 1, timestamp: 0, transport: 1 };
    incoming.handle_rtp(&packet(header, &[0x65, 0x88, 0x80]), now); // An IDR slice, for which no parameter sets came.
    incoming.handle_timeout(now + 20 * MILLI);
    let header = Header { mid: "v", ssrc: 10, payload_type: 102, sequence: 2, timestamp: 3000, transport: 2 };
    incoming.handle_rtp(&packet(header, &[0x65, 0x88, 0x80]), now);
    assert_eq!(lacks(&incoming), [(MediaKind::Video, LeftOut::NoParameters(Codec::H264))]);
}

/// Returns the payloads of a NAL unit of H.264, in packets of at most 200 bytes (RFC 6184 5.6 and 5.8).
fn fragments(nal: &[u8]) -> Vec<Vec<u8>> {
    if nal.len() <= 200 {
        return vec![nal.to_vec()];
    }
    let pieces: Vec<_> = nal[1..].chunks(198).collect();
    let fragment = |(at, piece): (usize, &&[u8])| {
        let (start, end) = (u8::from(at == 0) << 7, u8::from(at + 1 == pieces.len()) << 6);
        [&[nal[0] & 0x60 | 28, start | end | nal[0] & 0x1f], *piece].concat()
    };
    pieces.iter().enumerate().map(fragment).collect()
}

#[test]
fn frames_are_whole_wherever_the_sender_sets_the_marker() {
    let began = Instant::now();
    let frames = fixture::repeated(Codec::H264, began, 24);
    let Parameters::H264(sets) = &*frames[0].parameters else { panic!("not H.264") };
    // Every picture has two slices: the slice of the fixture, and its copy with a first macroblock that is not 0.
    let slices = |at: usize| {
        let is_slice = |nal: &&[u8]| matches!(nal[0] & 0x1f, 1 | 5);
        let nal = nal::nal_units(&frames[at].payload).find(is_slice).unwrap().to_vec();
        let mut second = nal.clone();
        second[1] = second[1] & 0x3f | 0x40;
        [nal, second]
    };
    type Marker = fn(end_of_frame: bool, end_of_unit: bool) -> bool;
    let markers: [(&str, Marker); 4] = [
        ("the last packet", |frame, _| frame),
        ("no packet", |_, _| false),
        ("the end of each NAL unit", |_, unit| unit),
        ("every packet", |_, _| true),
    ];
    for (name, marker) in markers {
        let streams = vec![stream(MediaKind::Video, "v", &[(96, Codec::H264)])];
        let mut incoming =
            Incoming::new(IncomingConfig { streams, extensions: IDS, ..IncomingConfig::default() }, began);
        let (mut sequence, mut arrived) = (0_u16, Vec::new());
        for (at, frame) in frames.iter().enumerate() {
            let now = began + MILLI * (at as u32 * 33);
            let slices = slices(at);
            let sets = sets.sps.iter().chain(&sets.pps).map(|set| &set[..]).filter(|_| frame.keyframe);
            let units: Vec<Vec<Vec<u8>>> = sets.chain(slices.iter().map(|slice| &slice[..])).map(fragments).collect();
            for (unit, payloads) in units.iter().enumerate() {
                for (piece, payload) in payloads.iter().enumerate() {
                    let ends = (unit + 1 == units.len(), piece + 1 == payloads.len());
                    let timestamp = at as u32 * 3000;
                    let header =
                        Header { mid: "v", ssrc: 10, payload_type: 96, sequence, timestamp, transport: sequence };
                    let mut bytes = packet(header, payload);
                    bytes[1] = 96 | u8::from(marker(ends.0 && ends.1, ends.1)) << 7;
                    incoming.handle_rtp(&bytes, now);
                    sequence += 1;
                }
            }
            arrived.extend(std::iter::from_fn(|| incoming.poll_arrival()));
        }
        incoming.end(began + Duration::from_secs(1));
        arrived.extend(std::iter::from_fn(|| incoming.poll_arrival()));
        // The first group may be lost on a sender whose markers are wrong.
        let whole: Vec<_> = (6..24).map(|at| nal::join(slices(at).iter().map(|slice| &slice[..]))).collect();
        let found: Vec<_> = arrived.iter().map(|arrival| arrival.payload.clone()).collect();
        let from = found.iter().position(|payload| *payload == whole[0]).unwrap_or_else(|| panic!("{name}"));
        assert!(found[from..].starts_with(&whole), "{name}");
        assert!(found.len() - from <= 18, "{name}: each frame comes once");
        assert_eq!(incoming.counters().dropped_incomplete, 0, "{name}");
    }
}

/// A camera may state one time twice. That says nothing about its markers.
#[test]
fn two_pictures_of_one_timestamp_are_two_frames_and_the_next_ones_end_with_their_markers() {
    let began = Instant::now();
    let frames = fixture::repeated(Codec::H264, began, 24);
    let Parameters::H264(sets) = &*frames[0].parameters else { panic!("not H.264") };
    let streams = vec![stream(MediaKind::Video, "v", &[(96, Codec::H264)])];
    let mut incoming = Incoming::new(IncomingConfig { streams, extensions: IDS, ..IncomingConfig::default() }, began);
    let mut sequence = 0_u16;
    for (at, frame) in frames.iter().enumerate() {
        let sets = sets.sps.iter().chain(&sets.pps).map(|set| &set[..]).filter(|_| frame.keyframe);
        let payloads: Vec<_> = sets.chain(nal::nal_units(&frame.payload)).flat_map(fragments).collect();
        for (piece, payload) in payloads.iter().enumerate() {
            let timestamp = if at % 10 == 7 { at as u32 - 1 } else { at as u32 } * 3000;
            let header = Header { mid: "v", ssrc: 10, payload_type: 96, sequence, timestamp, transport: sequence };
            let mut bytes = packet(header, payload);
            bytes[1] = 96 | u8::from(piece + 1 == payloads.len()) << 7;
            incoming.handle_rtp(&bytes, began + MILLI * (at as u32 * 33));
            sequence += 1;
        }
        let arrived: Vec<_> = std::iter::from_fn(|| incoming.poll_arrival()).map(|arrival| arrival.payload).collect();
        assert_eq!(arrived, std::slice::from_ref(&frame.payload), "frame {at}");
    }
}

#[test]
fn each_frame_that_lost_a_packet_is_counted_once() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    // Frames of three packets of VP8. The second lacks its middle, the fourth its end, the fifth its beginning, and the
    // session ends within the sixth.
    for index in (0..16_u16).filter(|index| ![4, 11, 12].contains(index)) {
        let (frame, piece) = (index / 3, index % 3);
        let payload: &[u8] = match (frame, piece) {
            (0, 0) => &[0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0, 9],
            (_, 0) => &[0x10, 0x11, 2, 0, 9],
            _ => &[0, 1, 2],
        };
        let timestamp = u32::from(frame) * 3000;
        let header = Header { mid: "v", ssrc: 10, payload_type: 96, sequence: index, timestamp, transport: index };
        let mut bytes = packet(header, payload);
        bytes[1] = 96 | u8::from(piece == 2) << 7;
        incoming.handle_rtp(&bytes, began);
    }
    incoming.handle_timeout(began + Duration::from_secs(1));
    let counted = |incoming: &Incoming| {
        let counters = incoming.counters();
        (counters.frames, counters.lost, counters.dropped_incomplete, counters.dropped_waiting)
    };
    assert_eq!(counted(&incoming), (1, 3, 3, 1), "the third frame is whole, and refers to one that is not");
    incoming.end(began + Duration::from_secs(1));
    assert_eq!(counted(&incoming), (1, 3, 4, 1));
}

#[test]
fn what_waits_for_a_packet_when_the_session_ends_is_published_or_counted() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    for (index, keyframe) in [(0, true), (2, false), (3, true)] {
        incoming.handle_rtp(&sized(10, index, (64, 64), keyframe), began);
    }
    assert_eq!(widths(&mut incoming), [64]);
    incoming.end(began);
    assert_eq!(widths(&mut incoming), [64]);
    let counters = incoming.counters();
    assert_eq!((counters.lost, counters.dropped_waiting, counters.dropped_incomplete), (1, 1, 0));
}

#[test]
fn packets_that_are_held_are_published_when_the_numbers_jump_ahead_or_begin_anew() {
    for (jumps_to, late) in [(6000, 0), (40_000, 2)] {
        let began = Instant::now();
        let mut incoming = incoming(began);
        let mut next =
            |sequence: u16, at: u32| incoming.handle_rtp(&audio(sequence, 960 * at), began + 20 * MILLI * at);
        next(1000, 0);
        (1..9).for_each(|at| next(1001 + at as u16, at)); // One is missing, and is waited for no more.
        (9..12).for_each(|at| next(jumps_to + at as u16, at));
        let counters = incoming.counters();
        let published = std::iter::from_fn(|| incoming.poll_arrival()).count() as u64;
        assert_eq!((published, counters.lost, counters.late_or_duplicate), (12 - late, 1, late), "{jumps_to}");
    }
}

#[test]
fn two_video_sections_become_two_renditions() {
    let now = Instant::now();
    let lower = TrackKey::new(MediaKind::Video, Rendition(1));
    let formats = [(96, Codec::Vp8)];
    let second = StreamConfig { key: lower, ..stream(MediaKind::Video, "w", &formats) };
    let again = StreamConfig { mid: Mid::new("x").unwrap(), ..second.clone() };
    let streams = vec![stream(MediaKind::Video, "v", &formats), second, again];
    let config =
        IncomingConfig { ssrc: 1, cname: "us".into(), extensions: IDS, layers: LAYERS, reduced_size: true, streams };
    let mut incoming = Incoming::new(config, now);
    for (mid, ssrc) in [("v", 10), ("w", 11), ("x", 12)] {
        let mut payload = vec![0x10];
        payload.extend_from_slice(&fixture::frames(Codec::Vp8, now)[0].payload);
        let header = Header { mid, ssrc, payload_type: 96, sequence: 1, timestamp: ssrc, transport: 1 };
        incoming.handle_rtp(&packet(header, &payload), now);
    }
    let renditions: Vec<_> =
        std::iter::from_fn(|| incoming.poll_arrival()).map(|arrival| arrival.rendition.0).collect();
    assert_eq!(renditions, [0, 1]);
    assert_eq!(incoming.counters().unknown_stream, 1, "a track has one stream");
}

#[test]
fn sender_reports_move_the_video_to_match_the_audio() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    // The video took 80 ms longer to its first arrival than the audio.
    let (mut first_errors, mut last_error) = (Vec::new(), i64::MAX);
    for index in 0..120_u32 {
        let now = began + MILLI * (index * 40);
        incoming.handle_rtp(&audio(index as u16, 1_000_000 + index * 1920), now);
        incoming.handle_rtp(&video(index as u16, 5_000 + index * 3600, 10), now + 80 * MILLI);
        if index == 5 {
            incoming.handle_rtcp(&sender_report(20, WALL, 1_000_000), now);
            incoming.handle_rtcp(&sender_report(10, WALL, 5_000), now);
        }
        let mut sound = None;
        while let Some(arrival) = incoming.poll_arrival() {
            match arrival.parameters.kind() {
                MediaKind::Audio => sound = Some(arrival.pts.micros(onmic_media::ClockRate::OPUS)),
                MediaKind::Video => {
                    last_error = arrival.pts.micros(onmic_media::ClockRate::VIDEO) - sound.unwrap();
                    if index < 5 {
                        first_errors.push(last_error);
                    }
                }
                MediaKind::Data => panic!("no publisher sent data"),
            }
        }
    }
    assert!(first_errors.iter().all(|error| *error == 80_000), "{first_errors:?}");
    assert!(last_error.abs() <= 1_000, "{last_error}");
}

#[test]
fn only_the_track_whose_clock_stood_still_is_moved() {
    for stands in [MediaKind::Audio, MediaKind::Video] {
        let began = Instant::now();
        let mut incoming = incoming(began);
        let (mut apart, mut video_off) = (Vec::new(), Vec::new());
        // The track pauses from 4 s to 8 s. Both tracks report every second the wall time of their
        // timestamps.
        for index in (0..300_u32).filter(|index| stands == MediaKind::Audio || !(100..200).contains(index)) {
            let now = began + MILLI * (index * 40);
            let counts = |kind| if kind == stands && index >= 200 { index - 100 } else { index };
            let (sound, picture) =
                (1_000_000 + counts(MediaKind::Audio) * 1920, 5_000 + counts(MediaKind::Video) * 3600);
            if stands == MediaKind::Video || !(100..200).contains(&index) {
                incoming.handle_rtp(&audio(counts(MediaKind::Audio) as u16, sound), now);
            }
            incoming.handle_rtp(&video(counts(MediaKind::Video) as u16, picture, 10), now);
            if index % 25 == 0 && !(100..200).contains(&index) {
                let wall = WALL.offset_micros(i64::from(index) * 40_000);
                incoming.handle_rtcp(&sender_report(20, wall, sound), now);
                incoming.handle_rtcp(&sender_report(10, wall, picture), now);
            }
            let mut heard = None;
            while let Some(arrival) = incoming.poll_arrival() {
                match arrival.parameters.kind() {
                    MediaKind::Audio => heard = Some(arrival.pts.micros(onmic_media::ClockRate::OPUS)),
                    MediaKind::Video => {
                        let shown = arrival.pts.micros(onmic_media::ClockRate::VIDEO);
                        video_off.push(shown - i64::from(index) * 40_000);
                        apart.extend(heard.map(|heard| (index, shown - heard)));
                    }
                    MediaKind::Data => panic!("no publisher sent data"),
                }
            }
        }
        assert!(apart.iter().filter(|(index, _)| *index > 202).all(|(_, apart)| apart.abs() <= 1_000), "{apart:?}");
        if stands == MediaKind::Audio {
            assert!(video_off.iter().all(|off| off.abs() <= 1_000), "{video_off:?}");
        }
    }
}

#[test]
fn reports_of_what_is_no_wall_clock_leave_both_tracks_as_they_arrive_and_others_align_them() {
    type States = fn(u64) -> u64;
    let clocks: [(&str, States, i64); 6] = [
        ("time 0", |_| 0, 80_000),
        ("one time for ever", |_| 0xe000_0000 << 32, 80_000),
        ("milliseconds as NTP units", |millis| 1_764_000_000_000 + millis, 80_000),
        ("milliseconds as NTP seconds", |millis| (0xe000_0000 + millis) << 32, 80_000),
        ("a clock since the boot", |millis| (60 << 32) + (millis << 32) / 1000, 0),
        ("a clock at the end of the era", |millis| (0xffff_fffa_u64 << 32).wrapping_add((millis << 32) / 1000), 0),
    ];
    for (name, ntp, expected) in clocks {
        let began = Instant::now();
        let mut incoming = incoming(began);
        let (mut apart, mut shown, mut alignment) = (Vec::new(), Vec::new(), Alignment::Awaited);
        for index in 0..500_u32 {
            let now = began + MILLI * (index * 40);
            alignment = incoming.alignment(now);
            assert!(alignment != Alignment::Unreported || index >= 200, "{name}: reports may still come");
            let (sound, picture) = (1_000_000 + index * 1920, 5_000 + index * 3600);
            incoming.handle_rtp(&audio(index as u16, sound), now);
            incoming.handle_rtp(&video(index as u16, picture, 10), now + 80 * MILLI);
            // Each track reports once a second, audio 400 ms after video.
            let reports = [(0, 10, picture), (10, 20, sound)];
            for (_, ssrc, timestamp) in reports.into_iter().filter(|(at, ..)| index % 25 == *at) {
                let report = report_of(ssrc, ntp(u64::from(index) * 40), timestamp);
                incoming.handle_rtcp(&report, now + 80 * MILLI);
            }
            let mut heard = None;
            while let Some(arrival) = incoming.poll_arrival() {
                match arrival.parameters.kind() {
                    MediaKind::Audio => heard = Some(arrival.pts.micros(onmic_media::ClockRate::OPUS)),
                    MediaKind::Video => {
                        shown.push(arrival.pts.micros(onmic_media::ClockRate::VIDEO));
                        apart.extend(heard.map(|heard| shown[shown.len() - 1] - heard));
                    }
                    MediaKind::Data => panic!("no publisher sent data"),
                }
            }
        }
        assert!((apart[apart.len() - 1] - expected).abs() <= 1_000, "{name}: {}", apart[apart.len() - 1]);
        let last = shown[shown.len() - 1] - 499 * 40_000;
        assert!((last - expected).abs() <= 1_000, "{name}: time runs as it arrives: {last}");
        let in_the_end = if expected == 0 { Alignment::Reported } else { Alignment::Unreported };
        assert_eq!(alignment, in_the_end, "{name}");
        assert!(shown.windows(2).all(|pair| (30_000..=50_000).contains(&(pair[1] - pair[0]))), "{name}: {shown:?}");
    }
}

#[test]
fn receiver_reports_count_losses() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    for sequence in [65_530_u16, 65_531, 65_534, 65_535, 0, 2, 1, 3] {
        incoming.handle_rtp(&video(sequence, u32::from(sequence) * 10, 10), began);
    }
    incoming.handle_rtcp(&sender_report(10, WALL, 0), began + 500 * MILLI);
    let mut out = Vec::new();
    let mut report = None;
    while incoming.poll_rtcp(began + 1000 * MILLI, &mut out) {
        let read = rtc_rtcp::packet::unmarshal(&mut &out[..]).unwrap();
        report = report.or_else(|| read[0].as_any().downcast_ref::<ReceiverReport>().cloned());
        out.clear();
    }
    let block = &report.unwrap().reports[0];
    assert_eq!((block.ssrc, block.total_lost, block.fraction_lost), (10, 2, 51)); // 2 of 10.
    assert_eq!(block.last_sequence_number, 65_539);
    assert_eq!((block.last_sender_report, block.delay), ((date(WALL).ntp() >> 16) as u32, 32_768));
}

#[test]
fn a_missing_packet_is_asked_for_and_then_given_up() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    incoming.handle_rtp(&video(10, 0, 10), began);
    incoming.handle_rtp(&video(12, 6000, 10), began);
    let mut asked = Vec::new();
    let mut wanted = Vec::new();
    for elapsed in 0..1900_u32 {
        let now = began + MILLI * elapsed;
        incoming.handle_timeout(now);
        let mut out = Vec::new();
        while incoming.poll_rtcp(now, &mut out) {
            feedback::read(&out, |statement| match statement {
                Feedback::Nack(nack) => asked.push((elapsed, nack.lost().collect::<Vec<_>>())),
                Feedback::KeyframeWanted { ssrc: 10 } => wanted.push(elapsed),
                _ => {}
            })
            .unwrap();
            out.clear();
        }
        if elapsed == 400 {
            incoming.request_keyframe(); // A viewer asks for a keyframe.
        }
    }
    assert_eq!(asked, [5, 115, 225, 335].map(|at| (at, vec![11])), "once in a round trip of 100 ms and a tenth");
    // The keyframe behind the gap could be used at 355 ms. The viewer's request lasts until the
    // next one comes.
    assert_eq!(wanted, [401, 901, 1401]);
    assert_eq!(incoming.counters().lost, 1);
    assert_eq!(std::iter::from_fn(|| incoming.poll_arrival()).count(), 2);
}

#[test]
fn another_implementation_reads_our_transport_feedback() {
    let began = Instant::now();
    let mut incoming = incoming(began);
    let mut sent = Vec::new();
    for index in 0..60_u16 {
        let sequence = 65_500_u16.wrapping_add(index);
        if (10..30).contains(&index) || index == 33 {
            continue;
        }
        let at = began + MILLI * (u32::from(index) * 3);
        incoming.handle_rtp(&video(sequence, 0, 10), at);
        sent.push(sequence);
    }
    let mut received = Vec::new();
    let mut out = Vec::new();
    while incoming.poll_rtcp(began + 400 * MILLI, &mut out) {
        let packets = rtc_rtcp::packet::unmarshal(&mut &out[..]).unwrap();
        if let Some(feedback) = packets[0].as_any().downcast_ref::<TransportLayerCc>() {
            received.extend(reported(feedback));
            let total: i64 = feedback.recv_deltas.iter().map(|delta| delta.delta).sum();
            assert_eq!(total + i64::from(feedback.reference_time) * 64_000, 59 * 3_000);
        }
        out.clear();
    }
    assert_eq!(received, sent);
}

/// Returns the numbers of the packets that a feedback states as received.
pub(super) fn reported(feedback: &TransportLayerCc) -> Vec<u16> {
    let symbols = feedback.packet_chunks.iter().flat_map(|chunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => vec![run.packet_status_symbol; usize::from(run.run_length)],
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
    });
    let symbols = symbols.take(usize::from(feedback.packet_status_count)).enumerate();
    let came = symbols.filter(|(_, symbol)| *symbol != SymbolTypeTcc::PacketNotReceived);
    came.map(|(index, _)| feedback.base_sequence_number.wrapping_add(index as u16)).collect()
}
