//! Tests of viewers in virtual time: their start, their repairs, their reports.

use std::time::{Duration, Instant};

use onmic_media::{AvSync, Codec, DateOffset, Frame, Ticks};
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::SourceDescription;

use super::fixture::{self, Random, WALL};
use super::link::{IDS, repair};
use crate::rtp::outgoing::Limits;
use crate::rtp::sender::RepairScratch;
use crate::rtp::*;

const MILLI: Duration = Duration::from_millis(1);

fn config(resend: Resend) -> SenderConfig {
    let mid = Mid::new("0").unwrap();
    let sync = AvSync::LipSync;
    let guard = GuardConfig::default();
    SenderConfig {
        ssrc: 0xabcd,
        payload_type: 102,
        extensions: IDS,
        mid,
        resend,
        sequence: 100,
        timestamp: 0,
        sync,
        guard,
    }
}

fn filled(frames: &[Frame]) -> Outgoing {
    let mut outgoing = Outgoing::new(frames[0].parameters.codec(), Limits::default()).unwrap();
    frames.iter().for_each(|frame| {
        outgoing.push(frame);
    });
    outgoing
}

/// Does the same for a source that was asked for a keyframe after 40 frames and sent none.
fn filled_without_answer(frames: &[Frame]) -> Outgoing {
    let mut outgoing = filled(&frames[..40]);
    assert!(outgoing.want_keyframe(frames[39].arrived));
    frames[40..].iter().for_each(|frame| {
        outgoing.push(frame);
    });
    assert!(outgoing.answer_patience().is_zero());
    outgoing
}

/// Sends the frames that are due, and returns the sequence numbers on the wire.
fn send(sender: &mut Sender, outgoing: &Outgoing, now: Instant) -> Vec<u16> {
    let mut sequences = Vec::new();
    let mut transport = 0;
    while let Some(frame) = sender.poll_frame(outgoing, now) {
        for packet in frame.iter() {
            let mut buffer = [0; HEADER_MAX];
            let header = sender.header(&packet, &mut transport, &mut buffer);
            sequences.push(packet::Incoming::parse(header).unwrap().sequence);
        }
    }
    sequences
}

#[test]
fn a_viewer_of_a_track_takes_little_memory() {
    assert!(size_of::<Sender>() <= 376, "{}", size_of::<Sender>());
}

#[test]
fn instant_start_plays_the_cached_group_at_five_times_real_time() {
    let began = Instant::now();
    let all = fixture::synthetic(began, 240, 120, (60_000, 9_000)); // Groups of 4 s at 2.2 Mbit/s.
    let (cached, live) = all.split_at(112); // 3.7 s.
    let mut outgoing = filled_without_answer(cached);
    let mut sender = Sender::new(config(repair()), &outgoing);
    let start = cached[111].arrived + 5 * MILLI;
    assert_eq!(sender.start(&outgoing, start), Start::OldGroup { frames: 112 });

    let mut live = live[..8].iter().peekable(); // Up to before the next keyframe.
    let (mut sent, mut backlog_done, mut live_at) = (Vec::new(), None, None);
    for elapsed in 0..300 {
        let now = start + MILLI * elapsed;
        while live.peek().is_some_and(|frame| frame.arrived <= now) {
            outgoing.push(live.next().unwrap());
        }
        while let Some(frame) = sender.poll_frame(&outgoing, now) {
            let at = Duration::from_micros(frame.number * 100_000 / 3);
            assert!(at <= (now - start) * 5 + MILLI, "frame {} is too early", frame.number);
            sent.push(frame.number);
        }
    }
    // Without new frames the rest follows, frame by frame.
    for elapsed in 300..1000 {
        let now = start + MILLI * elapsed;
        while let Some(frame) = sender.poll_frame(&outgoing, now) {
            sent.push(frame.number);
            backlog_done = backlog_done.or((frame.number == 111).then_some(elapsed));
        }
        live_at = live_at.or(sender.is_live().then_some(elapsed));
    }
    assert_eq!(sent, (0..120).collect::<Vec<_>>());
    assert!((735..=745).contains(&backlog_done.unwrap()), "{backlog_done:?}");
    assert!((790..=800).contains(&live_at.unwrap()), "{live_at:?}");
    assert_eq!(sender.poll_timeout(&outgoing), None);
}

/// Returns VP8 frames at 30 per second that begin with the only keyframe.
fn one_group(began: Instant, count: usize) -> Vec<Frame> {
    let mut frames = fixture::repeated(Codec::Vp8, began, count);
    frames.iter_mut().skip(1).for_each(|frame| frame.keyframe = false);
    frames
}

#[test]
fn a_viewer_of_an_old_group_waits_for_the_keyframe_that_it_causes() {
    let began = Instant::now();
    let mut frames = one_group(began, 780);
    frames[756].keyframe = true; // 200 ms after the viewer came.
    let mut outgoing = filled(&frames[..750]); // 25 s.
    let mut sender = Sender::new(config(repair()), &outgoing);
    let start = frames[749].arrived + 5 * MILLI;
    assert_eq!(sender.start(&outgoing, start), Start::NextKeyframe);
    assert!(outgoing.want_keyframe(start));
    let mut sent = Vec::new();
    for frame in &frames[750..] {
        outgoing.push(frame);
        sent.extend(sender.poll_frame(&outgoing, frame.arrived).map(|frame| frame.number));
    }
    assert_eq!(sent, (756..780).collect::<Vec<_>>());
    assert!(sender.is_live());
    assert_eq!(outgoing.answer_patience(), 600 * MILLI);
}

#[test]
fn a_viewer_whose_source_answers_no_request_starts_with_the_old_group() {
    let began = Instant::now();
    let frames = one_group(began, 900);
    let mut outgoing = filled(&frames[..750]);
    let mut sender = Sender::new(config(repair()), &outgoing);
    let start = frames[749].arrived;
    assert_eq!(sender.start(&outgoing, start), Start::NextKeyframe);
    assert!(outgoing.want_keyframe(start));
    let until = start + 600 * MILLI;
    assert_eq!(sender.poll_timeout(&outgoing), Some(until));
    let (before, after) = frames[750..].split_at(17);
    for frame in before {
        outgoing.push(frame);
        assert!(sender.poll_frame(&outgoing, frame.arrived).is_none());
    }
    assert_eq!(sender.poll_frame(&outgoing, until).unwrap().number, 0);
    // The next viewer does not wait in vain. It asks all the same.
    for frame in &after[..9] {
        outgoing.push(frame);
    }
    let mut next = Sender::new(config(repair()), &outgoing);
    assert_eq!(next.start(&outgoing, after[8].arrived), Start::OldGroup { frames: 776 });
}

#[test]
fn the_first_request_to_a_source_that_may_come_by_rtmp_is_waited_for_briefly() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 100, 300, (6_000, 900));
    let outgoing = filled(&frames);
    let mut sender = Sender::new(config(repair()), &outgoing);
    let start = frames[99].arrived;
    assert_eq!(sender.start(&outgoing, start), Start::NextKeyframe);
    assert_eq!(sender.poll_timeout(&outgoing), Some(start + 250 * MILLI));
    assert_eq!(sender.poll_frame(&outgoing, start + 250 * MILLI).unwrap().number, 0);
}

#[test]
fn a_group_of_two_seconds_is_not_old() {
    let began = Instant::now();
    let outgoing = filled(&one_group(began, 61));
    let mut sender = Sender::new(config(repair()), &outgoing);
    assert_eq!(sender.start(&outgoing, began + 2 * MILLI), Start::Group { frames: 61 });
}

#[test]
fn a_viewer_that_lost_its_first_group_is_started_again_a_few_times() {
    let began = Instant::now();
    let all = fixture::synthetic(began, 60, 300, (6_000, 900));
    let outgoing = filled(&all);
    let mut sender = Sender::new(config(repair()), &outgoing);
    let start = all[59].arrived;
    assert!(!sender.keyframe_wanted(&outgoing, start), "it has not started");
    sender.start(&outgoing, start);
    let mut sequences = send(&mut sender, &outgoing, start + 200 * MILLI);
    assert!(!sender.keyframe_wanted(&outgoing, start + 249 * MILLI), "repairs come first");
    let (mut again, mut restarts) = (Vec::new(), Vec::new());
    for elapsed in (250..60_000).step_by(50) {
        let now = start + elapsed * MILLI;
        if sender.keyframe_wanted(&outgoing, now) {
            restarts.push(elapsed);
            again.clear();
        }
        let sent = send(&mut sender, &outgoing, now);
        again.extend_from_slice(&sent);
        sequences.extend(sent);
    }
    assert_eq!(restarts, [250, 500, 1000, 2000, 4000]);
    let group: usize = (0..60).map(|frame| outgoing.frame(frame).unwrap().len()).sum();
    assert_eq!(again.len(), group);
    assert_eq!(sequences, (100..100 + sequences.len() as u16).collect::<Vec<_>>()); // No number is sealed twice.
    assert!(sender.is_live());
    assert_eq!(sender.counters().started_again, 5);
}

#[test]
fn a_new_group_ends_the_catching_up() {
    let began = Instant::now();
    let all = fixture::synthetic(began, 130, 120, (6_000, 900));
    let mut outgoing = filled_without_answer(&all[..118]);
    let mut sender = Sender::new(config(repair()), &outgoing);
    let start = all[117].arrived;
    sender.start(&outgoing, start);
    let mut sequences = send(&mut sender, &outgoing, start + 10 * MILLI);
    for frame in &all[118..] {
        outgoing.push(frame);
        sequences.extend(send(&mut sender, &outgoing, frame.arrived));
    }
    assert!(sender.is_live() && sender.counters().skipped_frames > 100);
    assert_eq!(sequences, (100..100 + sequences.len() as u16).collect::<Vec<_>>()); // There is no gap on the wire.
    // Packets from before and after the jump can both be asked for.
    let later = all[129].arrived;
    let (mut scratch, mut transport) = (RepairScratch::default(), 0);
    let newest = *sequences.last().unwrap();
    for sequence in [newest, newest - 3] {
        assert!(sender.repair(sequence, &outgoing, later, &mut transport, &mut scratch).is_some());
    }
    assert!(sender.repair(newest + 1, &outgoing, later, &mut transport, &mut scratch).is_none());
    assert!(sender.repair(99, &outgoing, later, &mut transport, &mut scratch).is_none());
    assert_eq!(sender.repair_counters().unknown, 2);
}

#[test]
fn without_a_whole_group_a_viewer_waits_for_a_keyframe() {
    let began = Instant::now();
    let all = fixture::synthetic(began, 35, 30, (6_000, 900));
    let mut outgoing = filled(&all[..20]);
    outgoing.skipped(3);
    let mut sender = Sender::new(config(repair()), &outgoing);
    assert_eq!(sender.start(&outgoing, began), Start::NextKeyframe);
    for frame in &all[20..30] {
        outgoing.push(frame);
        assert!(sender.poll_frame(&outgoing, frame.arrived).is_none());
    }
    assert!(sender.waits_for_keyframe());
    outgoing.push(&all[30]);
    assert!(sender.poll_frame(&outgoing, all[30].arrived).unwrap().keyframe);
    assert!(sender.is_live());
}

#[test]
fn a_group_over_the_cap_is_not_kept() {
    let began = Instant::now();
    let limits = Limits { group_bytes: 100_000, repair_bytes: 50_000, ..Limits::default() };
    let mut outgoing = Outgoing::new(Codec::H264, limits).unwrap();
    for frame in fixture::synthetic(began, 300, 300, (60_000, 9_000)) {
        outgoing.push(&frame);
        assert!(outgoing.bytes() <= 170_000, "{}", outgoing.bytes());
    }
    assert_eq!((outgoing.group(), outgoing.counters().overgrown_groups), (None, 1));
}

#[test]
fn a_group_of_frames_without_bytes_to_speak_of_is_over_the_cap_too() {
    let limits = Limits { group_bytes: 100_000, ..Limits::default() };
    let mut outgoing = Outgoing::new(Codec::H264, limits).unwrap();
    for frame in fixture::synthetic(Instant::now(), 500, 500, (6, 6)) {
        outgoing.push(&frame);
    }
    assert_eq!((outgoing.group(), outgoing.counters().overgrown_groups), (None, 1));
}

#[test]
fn a_viewer_that_moves_to_another_track_continues_its_sequence_numbers() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 60, 30, (6_000, 900));
    let first = filled(&frames[..30]);
    let mut sender = Sender::new(config(Resend::AsSent), &first);
    sender.start(&first, began);
    let mut sequences = send(&mut sender, &first, frames[29].arrived);
    sender.handle_reception(&block(0xabcd, 0, 0), WALL);
    let mut second = filled(&frames[25..30]);
    sender.move_to(&second, frames[29].arrived);
    frames[30..].iter().for_each(|frame| {
        second.push(frame);
    });
    let later = frames[59].arrived;
    sequences.extend(send(&mut sender, &second, later));
    assert_eq!(sequences, (100..100 + sequences.len() as u16).collect::<Vec<_>>());
    let (mut scratch, mut transport) = (RepairScratch::default(), 0);
    let newest = *sequences.last().unwrap();
    assert!(sender.repair(100, &second, later, &mut transport, &mut scratch).is_none());
    let repaired = sender.repair(newest, &second, later, &mut transport, &mut scratch);
    let Some(Repaired::Again { header, .. }) = repaired else { panic!("{repaired:?}") };
    assert_eq!(header.len(), 20); // The header has no playout delay, because the receiver has it.
}

#[test]
fn audio_starts_live() {
    let began = Instant::now();
    let frames = fixture::repeated(Codec::Opus, began, 60);
    let mut outgoing = filled(&frames[..50]);
    let mut sender = Sender::new(config(Resend::Never), &outgoing);
    assert_eq!(sender.start(&outgoing, began), Start::Live);
    assert!(sender.poll_frame(&outgoing, began).is_none());
    outgoing.push(&frames[50]);
    assert_eq!(sender.poll_frame(&outgoing, began).unwrap().number, 50);
}

#[test]
fn all_packets_of_a_frame_have_headers_of_one_length() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 60, 30, (60_000, 9_000));
    let mut outgoing = Outgoing::new(Codec::H264, Limits::default()).unwrap();
    let mut sender = Sender::new(config(repair()), &outgoing);
    sender.start(&outgoing, began);
    let (mut lengths, mut transport) = (Vec::new(), 0);
    for (index, frame) in frames.iter().enumerate() {
        outgoing.push(frame);
        let packets = sender.poll_frame(&outgoing, frame.arrived);
        let mut of_frame: Vec<usize> = Vec::new();
        for packet in packets.into_iter().flat_map(|packets| packets.iter()) {
            let mut buffer = [0; HEADER_MAX];
            of_frame.push(sender.header(&packet, &mut transport, &mut buffer).len());
            if index == 10 {
                let ssrc = sender.ssrc();
                sender.handle_reception(&block(ssrc, 0, 0), WALL); // The receiver has the playout delay now.
            }
        }
        of_frame.dedup();
        lengths.extend(of_frame);
    }
    let count = |length| lengths.iter().filter(|header| **header == length).count();
    assert_eq!(lengths.len(), 60);
    // Both keyframes have capture time and playout delay. Frames up to the 10th have the playout delay.
    assert_eq!((count(36), count(28), count(24)), (2, 10, 48), "{lengths:?}");
}

fn block(ssrc: u32, last_sender_report: u32, delay: u32) -> ReceptionBlock {
    ReceptionBlock {
        ssrc,
        fraction_lost: 3,
        cumulative_lost: 0,
        highest_sequence: 0,
        jitter: 0,
        last_sender_report,
        delay,
    }
}

#[test]
fn a_report_during_a_second_start_does_not_change_the_bytes_of_repeats() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 30, 30, (3_000, 900));
    let outgoing = filled(&frames);
    let mut sender = Sender::new(config(Resend::AsSent), &outgoing);
    let start = frames[29].arrived;
    sender.start(&outgoing, start);
    let (mut sent, mut transport, mut scratch) = (Vec::new(), 0, RepairScratch::default());
    for elapsed in (0..400).step_by(10) {
        let now = start + elapsed * MILLI;
        if elapsed == 300 {
            assert!(sender.keyframe_wanted(&outgoing, now));
        }
        while let Some(frame) = sender.poll_frame(&outgoing, now) {
            for packet in frame.iter() {
                let mut buffer = [0; HEADER_MAX];
                sent.push([sender.header(&packet, &mut transport, &mut buffer), packet.payload].concat());
            }
        }
        if elapsed == 320 {
            sender.handle_reception(&block(0xabcd, 0, 0), WALL); // It is behind the frames that it was sent before.
        }
    }
    for (index, bytes) in sent.iter().enumerate() {
        let repaired = sender.repair(100 + index as u16, &outgoing, start, &mut transport, &mut scratch);
        let Some(Repaired::Again { header, payload }) = repaired else { continue }; // It was just repaired.
        assert_eq!([header, payload].concat(), *bytes, "packet {index}");
    }
}

#[test]
fn a_repeat_without_a_repair_stream_has_the_same_bytes() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 3, 30, (3_000, 900));
    let mut outgoing = Outgoing::new(Codec::H264, Limits::default()).unwrap();
    let mut sender = Sender::new(config(Resend::AsSent), &outgoing);
    sender.start(&outgoing, began);
    let (mut sent, mut transport) = (Vec::new(), 0);
    for frame in &frames {
        outgoing.push(frame);
        let packets = sender.poll_frame(&outgoing, frame.arrived);
        for packet in packets.into_iter().flat_map(|packets| packets.iter()) {
            let mut buffer = [0; HEADER_MAX];
            let header = sender.header(&packet, &mut transport, &mut buffer);
            sent.push([header, packet.payload].concat());
        }
        sender.handle_reception(&block(0xabcd, 0, 0), WALL); // This changes the headers of later packets.
    }
    let mut scratch = RepairScratch::default();
    for (index, bytes) in sent.iter().enumerate() {
        let repaired = sender.repair(100 + index as u16, &outgoing, began, &mut transport, &mut scratch);
        let Some(Repaired::Again { header, payload }) = repaired else { panic!("{repaired:?}") };
        assert_eq!([header, payload].concat(), *bytes);
    }
    assert_eq!(transport, 0);
}

#[test]
fn packets_are_looked_for_up_to_a_rate() {
    let outgoing = Outgoing::new(Codec::H264, Limits::default()).unwrap();
    let (mut sender, now) = (Sender::new(config(repair()), &outgoing), Instant::now());
    let looked = |sender: &mut Sender, now| (0..10_000).take_while(|_| sender.looks(now)).count();
    assert_eq!(looked(&mut sender, now), 2000, "two full requests of a browser");
    assert_eq!(looked(&mut sender, now), 0);
    assert_eq!(looked(&mut sender, now + Duration::from_millis(100)), 200);
    assert_eq!(looked(&mut sender, now + Duration::from_secs(60)), 2000);
}

#[test]
fn repairs_keep_to_one_per_round_trip_and_to_the_budget() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 1, 30, (1_000_000, 900));
    let outgoing = filled(&frames);
    let mut sender = Sender::new(config(repair()), &outgoing);
    sender.start(&outgoing, began);
    let sequences = send(&mut sender, &outgoing, began);
    let (mut scratch, mut transport) = (RepairScratch::default(), 0);
    let mut ask = |sender: &mut Sender, sequence: u16, at: Duration| {
        sender.repair(sequence, &outgoing, began + at, &mut transport, &mut scratch).is_some()
    };
    assert!(ask(&mut sender, sequences[5], Duration::ZERO));
    assert!(!ask(&mut sender, sequences[5], 30 * MILLI));
    assert!(ask(&mut sender, sequences[5], 60 * MILLI));
    assert_eq!(sender.repair_counters().duplicate, 1);
    let burst = sequences.iter().filter(|sequence| ask(&mut sender, **sequence, 100 * MILLI)).count();
    assert!((200..230).contains(&burst), "{burst}"); // 250 kB.
    assert!(sender.repair_counters().over_budget > 600);
    let later = sequences.iter().filter(|sequence| ask(&mut sender, **sequence, 200 * MILLI)).count();
    assert!((20..24).contains(&later), "{later}"); // 25 kB in 100 ms.
}

#[test]
fn keyframes_are_asked_for_twice_a_second_at_most() {
    let began = Instant::now();
    let mut outgoing = filled(&fixture::synthetic(began, 1, 30, (3_000, 900)));
    let asked: Vec<u32> = (0..20).filter(|tenth| outgoing.want_keyframe(began + MILLI * 100 * *tenth)).collect();
    assert_eq!(asked, [5, 10, 15]); // A keyframe has just passed.
}

#[test]
fn reports_state_the_date_of_the_program_clock_once_a_second_when_live() {
    const DATES: DateOffset = DateOffset::from_micros(-3_600_000_000);
    let began = Instant::now();
    let all = fixture::synthetic(began, 90, 90, (6_000, 900));
    let mut outgoing = filled(&all[..60]);
    let mut sender = Sender::new(config(repair()), &outgoing).dated_by(DATES);
    sender.start(&outgoing, all[59].arrived);
    send(&mut sender, &outgoing, all[59].arrived);
    let mut out = Vec::new();
    assert!(!sender.poll_report(all[59].arrived, WALL, "room", &mut out)); // The viewer is catching up.
    for frame in &all[60..] {
        outgoing.push(frame);
        send(&mut sender, &outgoing, frame.arrived);
    }
    let now = all[89].arrived + 10 * MILLI;
    let wall = all[89].wall.offset_micros(10_000);
    assert!(sender.is_live() && sender.poll_report(now, wall, "room", &mut out));
    assert!(!sender.poll_report(now + 999 * MILLI, wall, "room", &mut out.clone()));
    assert!(sender.poll_report(now + 1000 * MILLI, wall, "room", &mut out.clone()));

    let packets = rtc_rtcp::packet::unmarshal(&mut &out[..]).unwrap();
    let report = packets[0].as_any().downcast_ref::<SenderReport>().unwrap();
    let date = DATES.date(wall);
    assert_eq!((report.ssrc, report.ntp_time), (0xabcd, date.ntp()));
    assert_eq!(report.rtp_time, (all[89].pts.0 + 900) as u32);
    assert_eq!((report.packet_count, report.octet_count), sender.sent());
    let description = packets[1].as_any().downcast_ref::<SourceDescription>().unwrap();
    assert_eq!(&description.chunks[0].items[0].text[..], b"room");

    // The answer comes 80 ms later. It was written 30 ms after the report came in.
    let answer = block(0xabcd, (date.ntp() >> 16) as u32, 65_536 * 30 / 1000);
    sender.handle_reception(&answer, wall.offset_micros(80_000));
    assert!(sender.round_trip().unwrap().abs_diff(50 * MILLI) < MILLI);
}

#[test]
fn feedback_is_exchanged_with_another_implementation() {
    use rtc_rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
    use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
    use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
    use rtc_rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};

    let lost = [65_530, 65_535, 3, 4, 900];
    let nacks = nack_pairs_from_sequence_numbers(&lost);
    let fir = FirEntry { ssrc: 5, sequence_number: 1 };
    let bytes = rtc_rtcp::packet::marshal(&[
        Box::new(ReceiverReport::default()),
        Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc: 2, nacks }),
        Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: 3 }),
        Box::new(FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir: vec![fir] }),
        Box::new(ReceiverEstimatedMaximumBitrate { sender_ssrc: 1, bitrate: 2_500_000.0, ssrcs: vec![2] }),
    ])
    .unwrap();
    let mut seen = Vec::new();
    feedback::read(&bytes, |statement| {
        seen.push(match statement {
            Feedback::Nack(nack) => format!("{} lost {:?}", nack.ssrc, nack.lost().collect::<Vec<_>>()),
            other => format!("{other:?}"),
        });
    })
    .unwrap();
    assert_eq!(seen[0], "2 lost [65530, 65535, 3, 4, 900]");
    assert_eq!(seen[1..3], ["KeyframeWanted { ssrc: 3 }", "KeyframeWanted { ssrc: 5 }"]);
    assert_eq!(seen[3], "Bitrate { bps: 2500000 }");

    let mut ours = Vec::new();
    report::nack(&mut ours, 1, 2, lost);
    report::goodbye(&mut ours, &[2]);
    let read = rtc_rtcp::packet::unmarshal(&mut &ours[..]).unwrap();
    let nack = read[0].as_any().downcast_ref::<TransportLayerNack>().unwrap();
    assert_eq!(nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect::<Vec<_>>(), lost);

    let mut random = Random(5);
    for round in 0..20_000 {
        let mut broken = bytes[..=round % bytes.len()].to_vec();
        for _ in 0..random.below(5) {
            let at = random.below(broken.len() as u64) as usize;
            broken[at] = random.next() as u8;
        }
        let mut statements = 0;
        let _ = feedback::read(&broken, |statement| {
            statements += match statement {
                Feedback::Nack(nack) => nack.lost().count(),
                _ => 1,
            };
        });
        assert!(statements <= broken.len() / 4 * 17);
    }
}

/// Sends the frames that are due, and returns the timestamps on the wire.
fn timestamps(sender: &mut Sender, outgoing: &Outgoing, now: Instant) -> Vec<u32> {
    let (mut timestamps, mut transport) = (Vec::new(), 0);
    while let Some(frame) = sender.poll_frame(outgoing, now) {
        for packet in frame.iter() {
            let header = sender.header(&packet, &mut transport, &mut [0; HEADER_MAX]).to_vec();
            timestamps.push(packet::Incoming::parse(&header).unwrap().timestamp);
        }
    }
    timestamps
}

#[test]
fn timestamps_of_the_backlog_follow_the_time_of_sending() {
    let began = Instant::now();
    let all = fixture::synthetic(began, 150, 300, (900, 900));
    let (cached, live) = all.split_at(90);
    let mut outgoing = filled_without_answer(cached);
    let mut sender = Sender::new(config(Resend::AsSent), &outgoing);
    let start = cached[89].arrived;
    sender.start(&outgoing, start);
    let (mut live, mut sent) = (live.iter().peekable(), Vec::new());
    for elapsed in 0..1800_u32 {
        let now = start + MILLI * elapsed;
        while live.peek().is_some_and(|frame| frame.arrived <= now) {
            outgoing.push(live.next().unwrap());
        }
        sent.extend(timestamps(&mut sender, &outgoing, now).into_iter().map(|timestamp| (elapsed, timestamp)));
    }
    assert_eq!(sent.len(), 143);
    let present = outgoing.frame(89).unwrap().timestamp;
    let first = sent[0].1;
    assert_eq!(first, present - 1800, "20 ms before the newest frame");
    assert!(sent.is_sorted_by(|before, after| before.1 < after.1), "{sent:?}");
    // The clock runs at its stated rate for every frame from the first to the last.
    for (elapsed, timestamp) in &sent {
        let off = i64::from(*timestamp) - i64::from(first) - i64::from(*elapsed) * 90;
        assert!((-2000..=2000).contains(&off), "{off} ticks off after {elapsed} ms");
    }
    assert_eq!(sent.last().unwrap().1, outgoing.frame(142).unwrap().timestamp, "its own time once it is level");
    let (mut transport, mut scratch) = (0, RepairScratch::default());
    for (index, (_, timestamp)) in sent.iter().enumerate() {
        let repaired = sender.repair(100 + index as u16, &outgoing, start, &mut transport, &mut scratch);
        let Some(Repaired::Again { header, .. }) = repaired else { continue };
        assert_eq!(packet::Incoming::parse(header).unwrap().timestamp, *timestamp);
    }
}

#[test]
fn frames_that_come_at_once_when_the_publisher_is_back_are_collected_first() {
    let began = Instant::now();
    let away = Duration::from_secs(2);
    // Twelve video frames and their audio were waiting. All have the arrival time of the first.
    let back = |mut frames: Vec<Frame>, from: usize| {
        let rate = frames[0].parameters.clock_rate();
        let arrived = frames[from].arrived + away;
        for frame in &mut frames[from..] {
            frame.arrived = (frame.arrived + away - 400 * MILLI).max(arrived);
            frame.pts += rate.ticks(away);
            frame.dts = frame.pts;
            // The first was placed by its arrival, so the timeline is ahead by the time that it waited.
            frame.wall = frame.wall.offset_micros(1_600_000);
        }
        (frames, arrived)
    };
    let pictures = back(fixture::synthetic(began, 120, 60, (900, 900)), 60);
    let sound = back(fixture::repeated(Codec::Opus, began, 200), 100);
    for (frames, arrived) in [pictures, sound] {
        let is_sound = frames[0].parameters.codec() == Codec::Opus;
        let mut outgoing = filled(&frames[..10]);
        let mut sender = Sender::new(config(Resend::Never), &outgoing);
        sender.start(&outgoing, frames[9].arrived);
        let (mut frames, mut now, mut sent) = (frames[10..].iter().peekable(), began, Vec::new());
        while frames.peek().is_some() {
            while frames.peek().is_some_and(|frame| frame.arrived <= now) {
                outgoing.push(frames.next().unwrap());
            }
            sent.extend(timestamps(&mut sender, &outgoing, now).into_iter().map(|timestamp| (now, timestamp)));
            now += MILLI;
        }
        let first = sent.iter().position(|(at, _)| *at >= arrived).unwrap();
        let (at, timestamp) = sent[first];
        assert!(at >= arrived + sender::COLLECT, "{:?}", at - arrived);
        assert!(at <= arrived + sender::COLLECT + 21 * MILLI, "{:?}", at - arrived);
        // The timestamp is on the line it was on before: no frame that waited has its own time, nor that of the
        // timeline.
        let rate = outgoing.clock_rate();
        let (before, last) = sent[first - 1];
        let stamped = Ticks(i64::from(timestamp - last)).duration(rate);
        assert!(stamped.abs_diff(at - before) < 40 * MILLI, "{stamped:?} for {:?}", at - before);
        // Audio leaves out the packets that waited. Video needs the frames.
        let expected = if is_sound { 0 } else { 12 };
        assert!(
            sent[first..].iter().filter(|(at, _)| *at < arrived + sender::COLLECT + 100 * MILLI).count() >= expected
        );
        assert!(sender.is_live() && sent.is_sorted_by(|before, after| before.1 < after.1));
    }
}

#[test]
fn video_is_delayed_for_audio_that_comes_later_and_each_change_is_stated() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 40, 300, (900, 900));
    let mut outgoing = filled(&frames[..10]);
    let stated = |outgoing: &Outgoing| {
        let newest = outgoing.newest().unwrap();
        newest.states_playout_delay.then(|| newest.playout_delay.bytes())
    };
    assert_eq!(outgoing.frame(0).unwrap().playout_delay.bytes(), [0, 0, 0]);
    for (frame, late, expected) in [
        (10, 20, None),                        // A microphone's lateness is not worth a delay.
        (11, 53, Some([0x00, 0x90, 0x0b])),    // At least 90 ms, at most 110.
        (12, 60, None),                        // Nearly the same.
        (13, 62, Some([0x00, 0xa0, 0x0c])),    // The next step: at least 100 ms.
        (14, 5_000, Some([0x00, 0xe0, 0x10])), // At least 140 ms, which is the most.
        (15, 0, Some([0, 0, 0])),
    ] {
        outgoing.hold_for_sound(late * MILLI);
        outgoing.push(&frames[frame]);
        assert_eq!(stated(&outgoing), expected, "{late}");
    }
}

#[test]
fn a_viewer_is_told_to_delay_video_for_its_audio_unless_video_comes_first_and_as_far_as_it_asked_for() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 30, 300, (900, 900));
    for (sync, delay, expected) in [
        (AvSync::LipSync, 0, [0x00, 0x90, 0x0b]),
        (AvSync::LipSync, 50, [0x00, 0x90, 0x0b]),
        (AvSync::LipSync, 400, [0x02, 0x80, 0x32]),
        (AvSync::LipSync, 2000, [0x0c, 0x80, 0xd2]),
        (AvSync::LipSync, 60_000, [0x0c, 0x80, 0xd2]),
        (AvSync::PictureFirst, 0, [0, 0, 0]),
        (AvSync::PictureFirst, 400, [0x02, 0x80, 0x32]),
    ] {
        let mut outgoing = filled(&frames[..10]);
        let config = SenderConfig { sync, ..config(Resend::Never) };
        let mut sender = Sender::new(config, &outgoing).delayed_by(delay);
        sender.start(&outgoing, frames[9].arrived);
        outgoing.hold_for_sound(53 * MILLI);
        let (mut stated, mut transport) = (Vec::new(), 0);
        for frame in &frames[10..] {
            outgoing.push(frame);
            while let Some(packets) = sender.poll_frame(&outgoing, frame.arrived) {
                for packet in packets.iter() {
                    let mut buffer = [0; HEADER_MAX];
                    let header = sender.header(&packet, &mut transport, &mut buffer);
                    let element = IDS.playout_delay << 4 | 2;
                    let at = header[16..].iter().position(|byte| *byte == element).expect("the header has the delay");
                    stated.push(header[16 + at + 1..16 + at + 4].to_vec());
                }
            }
        }
        assert_eq!(stated.len(), 30);
        assert_eq!(stated[29], expected, "{sync:?} {delay}");
        assert!(sync == AvSync::LipSync || stated.iter().all(|stated| stated == &expected));
    }
}
