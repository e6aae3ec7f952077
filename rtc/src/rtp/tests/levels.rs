//! Tests of viewers who go over from one level to another, in virtual time: one continuous stream, and repairs across the change.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use onmic_media::{AvSync, Frame};

use super::fixture::{self, Random};
use super::link::{IDS, repair};
use crate::rtp::outgoing::Limits;
use crate::rtp::sender::RepairScratch;
use crate::rtp::*;

const MILLI: Duration = Duration::from_millis(1);
/// The most of the past that a viewer is shown again.
const PAST: Duration = Duration::from_millis(500);

fn config(resend: Resend) -> SenderConfig {
    let mid = Mid::new("0").unwrap();
    SenderConfig {
        ssrc: 0xabcd,
        payload_type: 102,
        extensions: IDS,
        mid,
        resend,
        sequence: 32_000,
        timestamp: u32::MAX - 500_000, // It wraps after some seconds.
        sync: AvSync::LipSync,
        guard: GuardConfig::default(),
    }
}

/// A packet as it was sent.
#[derive(Clone)]
struct Sent {
    at: Instant,
    track: usize,
    keyframe: bool,
    first: bool,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    header: Vec<u8>,
    payload: Vec<u8>,
}

/// Two levels and one viewer, who changes between them.
struct World {
    frames: [Vec<Frame>; 2],
    pushed: [usize; 2],
    tracks: [Outgoing; 2],
    sender: Sender,
    watched: usize,
    left: bool,
    going: bool,
    crossed: Vec<Instant>,
    sent: Vec<Sent>,
    transport: u16,
    now: Instant,
}

impl World {
    /// Makes levels of which one arrives `skew` later than the other. Their keyframes come every `groups` frames.
    fn new(resend: Resend, count: usize, groups: [usize; 2], skew: [u64; 2]) -> Self {
        let now = Instant::now();
        let sizes = [(40_000, 8_000), (9_000, 1_300)];
        let frames: [Vec<Frame>; 2] = std::array::from_fn(|track| {
            let mut frames = fixture::synthetic(now, count, groups[track], sizes[track]);
            frames.iter_mut().for_each(|frame| frame.arrived += MILLI * skew[track] as u32);
            frames
        });
        let tracks =
            std::array::from_fn(|track| Outgoing::new(frames[track][0].parameters.codec(), Limits::default()).unwrap());
        let mut sender = Sender::new(config(resend), &tracks[0]);
        sender.start(&tracks[0], now);
        Self {
            frames,
            pushed: [0; 2],
            tracks,
            sender,
            watched: 0,
            left: false,
            going: false,
            crossed: Vec::new(),
            sent: Vec::new(),
            transport: 0,
            now,
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += MILLI;
            for track in 0..2 {
                while let Some(frame) =
                    self.frames[track].get(self.pushed[track]).filter(|frame| frame.arrived <= self.now)
                {
                    self.tracks[track].push(frame);
                    self.pushed[track] += 1;
                }
            }
            let other = 1 - self.watched;
            if self.going && self.sender.can_cross(&self.tracks[other], PAST) {
                self.sender.cross(&self.tracks[other], self.now);
                (self.watched, self.going, self.left) = (other, false, true);
                self.crossed.push(self.now);
            }
            self.send();
        }
    }

    fn send(&mut self) {
        let track = self.watched;
        while let Some(frame) = self.sender.poll_frame(&self.tracks[track], self.now) {
            for (index, packet) in frame.iter().enumerate() {
                let mut buffer = [0; HEADER_MAX];
                let header = self.sender.header(&packet, &mut self.transport, &mut buffer).to_vec();
                let parsed = packet::Incoming::parse(&header).unwrap();
                self.sent.push(Sent {
                    at: self.now,
                    track,
                    keyframe: frame.keyframe,
                    first: index == 0,
                    marker: parsed.marker,
                    sequence: parsed.sequence,
                    timestamp: parsed.timestamp,
                    header,
                    payload: packet.payload.to_vec(),
                });
            }
        }
    }
}

fn assert_continuous(sent: &[Sent], what: &str) {
    for pair in sent.windows(2) {
        let [before, after] = pair else { unreachable!() };
        assert_eq!(after.sequence, before.sequence.wrapping_add(1), "{what}");
        assert_eq!(before.marker, after.first, "{what}");
        let step = after.timestamp.wrapping_sub(before.timestamp) as i32;
        match after.first {
            true => assert!((90..=90_000 / 5).contains(&step), "{what}: a step of {step} after {before:?}"),
            false => assert_eq!(step, 0, "{what}"),
        }
        let gap = after.at - before.at;
        assert!(gap < MILLI * 200, "{what}: nothing for {gap:?}");
        if before.track != after.track {
            assert!(after.keyframe && after.first, "{what}: a level begins with a keyframe");
        }
    }
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} of track {}", self.sequence, self.timestamp, self.track)
    }
}

#[test]
fn levels_that_change_at_any_time_are_one_stream_without_a_hole() {
    for seed in 1..=60 {
        let mut random = Random(seed * 7919);
        let groups = std::array::from_fn(|_| [15, 30, 60, 45][random.below(4) as usize]);
        let skew = std::array::from_fn(|_| random.below(120));
        let mut world = World::new(repair(), 900, groups, skew);
        world.run(MILLI * 2000);
        let (mut asked, mut late) = (0, Vec::new());
        while world.pushed[0] < 800 {
            world.going = true;
            asked += 1;
            let wanted = world.now;
            // Another level may be wanted before the first has come, and the same one again.
            world.run(MILLI * (100 + random.below(2500)) as u32);
            late.extend(world.crossed.last().filter(|at| **at > wanted).map(|at| *at - wanted));
        }
        let what = format!("seed {seed}, groups {groups:?}, skew {skew:?}");
        assert!(world.crossed.len() >= asked / 2 && asked > 5, "{what}");
        assert!(late.iter().all(|late| *late <= MILLI * 2200), "{what}: {late:?}");
        assert_continuous(&world.sent, &what);
        // In the end the stream is where it would be without changes.
        world.going = false;
        world.run(MILLI * 2500);
        let last = world.sent.last().unwrap();
        let newest = world.tracks[world.watched].newest().unwrap();
        assert_eq!(last.timestamp, newest.timestamp.wrapping_add(u32::MAX - 500_000), "{what}");
    }
}

#[test]
fn a_viewer_is_shown_at_most_half_a_second_again_and_only_once() {
    for (into_group, crosses) in [(200, true), (450, true), (700, false), (1900, false)] {
        let mut world = World::new(repair(), 300, [60, 60], [0, 0]);
        world.run(MILLI * (2000 + into_group));
        world.going = true;
        world.run(MILLI * 2);
        assert_eq!(world.watched == 1, crosses, "{into_group} ms into the group");
        world.run(MILLI * 2000);
        assert_eq!(world.watched, 1);
        assert_continuous(&world.sent, "half a second");
        let keyframes = world.sent.iter().filter(|sent| sent.track == 1 && sent.keyframe && sent.first).count();
        assert_eq!(keyframes, if crosses { 2 } else { 1 }, "{into_group} ms: that of the past, and the next one");
    }
}

#[test]
fn packets_of_the_level_before_are_sent_again_as_long_as_it_is_kept() {
    for resend in [repair(), Resend::AsSent] {
        for seed in 1..=20 {
            let mut random = Random(seed * 104_729);
            let mut world = World::new(resend, 600, [30, 45], [random.below(60), random.below(60)]);
            world.run(MILLI * (1000 + random.below(1000)) as u32);
            let block = ReceptionBlock {
                ssrc: 0xabcd,
                fraction_lost: 0,
                cumulative_lost: 0,
                highest_sequence: 0,
                jitter: 0,
                last_sender_report: 0,
                delay: 0,
            };
            // From some packet on, the receiver is known to have the playout delay.
            world.sender.handle_reception(&block, fixture::WALL);
            world.going = true;
            world.run(MILLI * 1600);
            let crossed = *world.crossed.first().unwrap();
            // All of the last second before the change, and all since then, in any order.
            let recent: Vec<_> = world.sent.iter().filter(|sent| sent.at + MILLI * 1000 > world.now).cloned().collect();
            let (mut before, mut scratch, mut transport) = (0, RepairScratch::default(), 0);
            for _ in 0..40 {
                let lost = &recent[random.below(recent.len() as u64) as usize];
                world.now += MILLI * 30;
                let stores = Stores::new(&world.tracks[1], Some(&world.tracks[0]));
                let Some(again) = world.sender.repair(lost.sequence, stores, world.now, &mut transport, &mut scratch)
                else {
                    continue; // It was asked for just before.
                };
                before += usize::from(lost.at < crossed);
                match again {
                    Repaired::New { header, payload } => {
                        assert_eq!(payload[..2], lost.sequence.to_be_bytes());
                        assert_eq!(payload[2..], lost.payload, "seed {seed}");
                        let parsed = packet::Incoming::parse(header).unwrap();
                        assert_eq!((parsed.timestamp, parsed.marker), (lost.timestamp, lost.marker), "seed {seed}");
                    }
                    Repaired::Again { header, payload } => {
                        assert_eq!((header, payload), (&lost.header[..], &lost.payload[..]), "seed {seed}");
                    }
                }
            }
            assert!(before > 0 || recent.iter().all(|sent| sent.at >= crossed), "seed {seed}");
            let counters = world.sender.repair_counters();
            assert_eq!(counters.unknown, 0, "seed {seed}");
            // Without the level before, its packets are unknown, and those of the present are not.
            let old = world.sent.iter().rfind(|sent| sent.at < crossed).unwrap().sequence;
            world.now += MILLI * 500;
            let only = Stores::from(&world.tracks[1]);
            assert!(world.sender.repair(old, only, world.now, &mut transport, &mut scratch).is_none());
            assert_eq!(world.sender.repair_counters().unknown, 1);
            let new = world.sent.last().unwrap().sequence;
            assert!(world.sender.repair(new, only, world.now, &mut transport, &mut scratch).is_some());
        }
    }
}

#[test]
fn packets_of_a_track_that_has_ended_are_never_taken_from_another() {
    for resend in [Resend::AsSent, repair()] {
        let now = Instant::now();
        let frames = fixture::synthetic(now, 60, 30, (9_000, 1_300));
        let tracks: [Outgoing; 3] = std::array::from_fn(|_| {
            let mut outgoing = Outgoing::new(frames[0].parameters.codec(), Limits::default()).unwrap();
            frames[..31].iter().for_each(|frame| {
                outgoing.push(frame);
            });
            outgoing
        });
        let [first, second, third] = &tracks;
        let later = frames[30].arrived;
        let mut sender = Sender::new(config(resend), first);
        sender.start(first, later);
        let mut last = 0;
        let mut send = |sender: &mut Sender, outgoing: &Outgoing| {
            while let Some(packets) = sender.poll_frame(outgoing, later) {
                let (mut number, mut buffer) = (0, [0; HEADER_MAX]);
                for packet in packets.iter() {
                    let header = sender.header(&packet, &mut number, &mut buffer);
                    last = u16::from_be_bytes([header[2], header[3]]);
                }
            }
            last
        };
        send(&mut sender, first);
        sender.cross(second, later);
        let of_second = send(&mut sender, second);
        sender.move_to(third, later); // The second has ended.
        send(&mut sender, third);
        let (mut transport, mut scratch) = (0, RepairScratch::default());
        let stores = Stores::new(third, None);
        assert!(sender.repair(of_second, stores, later, &mut transport, &mut scratch).is_none(), "{resend:?}");
    }
}

#[test]
fn losses_around_a_change_are_made_up_for_and_every_frame_comes_whole() {
    for seed in 1..=20 {
        let mut random = Random(seed * 15_485_863);
        let mut world = World::new(repair(), 600, [30, 30], [random.below(80), 0]);
        let (mut got, mut asked) = (HashMap::new(), Vec::new());
        let (mut seen, mut scratch, mut transport) = (0, RepairScratch::default(), 0);
        for slice in 0..600 {
            if slice % 60 == 40 {
                world.going = true;
            }
            world.run(MILLI * 20);
            for sent in &world.sent[seen..] {
                match random.chance(20) {
                    true => asked.push((world.now + MILLI * 40, sent.sequence)),
                    false => _ = got.insert(sent.sequence, sent.payload.clone()),
                }
            }
            seen = world.sent.len();
            // A request takes a round trip, and is made again when the repeat is lost.
            let due: Vec<_> = asked.iter().filter(|(at, _)| *at <= world.now).map(|(_, lost)| *lost).collect();
            asked.retain(|(at, _)| *at > world.now);
            for lost in due {
                let left = Some(&world.tracks[1 - world.watched]).filter(|_| world.left);
                let stores = Stores::new(&world.tracks[world.watched], left);
                let repaired = world.sender.repair(lost, stores, world.now, &mut transport, &mut scratch);
                match repaired {
                    Some(Repaired::New { payload, .. }) if !random.chance(20) => {
                        got.insert(lost, payload[2..].to_vec());
                    }
                    _ => asked.push((world.now + MILLI * 60, lost)),
                }
            }
        }
        assert!(world.crossed.len() >= 8, "seed {seed}");
        let old = world.sent.iter().filter(|sent| sent.at + MILLI * 1500 < world.now);
        let missing: Vec<_> = old.filter(|sent| got.get(&sent.sequence) != Some(&sent.payload)).collect();
        // The budget of repeats may be spent for a moment, but nothing is missing for another reason.
        assert!(missing.len() <= world.sent.len() / 200, "seed {seed}: {} of {}", missing.len(), world.sent.len());
    }
}

#[test]
fn a_viewer_without_video_gets_it_again_from_a_keyframe_of_the_present() {
    let mut world = World::new(repair(), 600, [30, 30], [0, 0]);
    world.run(MILLI * 1500);
    world.sender.pause();
    let before = world.sent.len();
    world.run(MILLI * 3300);
    assert_eq!((world.sent.len(), world.sender.poll_timeout(&world.tracks[0])), (before, None));
    assert!(!world.sender.keyframe_wanted(&world.tracks[0], world.now));
    world.going = true;
    world.run(MILLI * 1500);
    assert_eq!(world.watched, 1);
    let (old, new) = (world.sent[before - 1].clone(), world.sent[before].clone());
    assert!(new.keyframe && new.sequence == old.sequence.wrapping_add(1));
    let away = new.timestamp.wrapping_sub(old.timestamp) / 90;
    assert!((3200..3400).contains(&away), "{away} ms");
    assert_continuous(&world.sent[before..], "after the pause");
}

#[test]
fn a_viewer_that_has_not_begun_begins_with_the_other_level() {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 40, 30, (9_000, 1_300));
    let filled = || {
        let mut outgoing = Outgoing::new(frames[0].parameters.codec(), Limits::default()).unwrap();
        frames.iter().for_each(|frame| {
            outgoing.push(frame);
        });
        outgoing
    };
    let (first, second) = (filled(), filled());
    let mut sender = Sender::new(config(repair()), &first);
    assert!(sender.can_cross(&second, Duration::ZERO));
    sender.cross(&second, began);
    assert_eq!(sender.start(&second, began + MILLI * 1400), Start::Group { frames: 10 });
    let frame = sender.poll_frame(&second, began + MILLI * 1400).unwrap();
    assert!(frame.keyframe);
}
