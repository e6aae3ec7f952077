//! Tests of a viewer's repairs in virtual time: our sender, a link that loses packets both ways, and a receiver that asks as
//! Chromium does, with or without forward error correction. It asks at once for what is missing, and again after the round trip, or after 100 ms if it does not know
//! it, looked at every 20 ms, ten times at most.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use onmic_media::{AvSync, Codec, DateOffset};

use super::fixture::{self, Random, WALL};
use super::gilbert::Losses;
use super::link::{IDS, repair};
use crate::rtp::fec::Decoder;
use crate::rtp::outgoing::Limits;
use crate::rtp::recovery::{Allowed, Recovery};
use crate::rtp::sender::{FecConfig, RepairScratch};
use crate::rtp::*;

const MILLI: Duration = Duration::from_millis(1);
const ALLOWED: Allowed =
    Allowed { repairs: true, protection: false, redundancy: false, hold: Duration::from_millis(700) };
/// Frames of the first seconds are not judged: reports of them say what the path loses.
const SETTLED: Duration = Duration::from_secs(5);
/// A frame that is this late beside the hold leaves a gap of 200 ms.
const FREEZE: Duration = Duration::from_millis(167);

#[derive(Clone, Copy)]
struct Network {
    loss: u64,
    /// The mean length of a run of lost packets.
    burst: u64,
    delay: Duration,
    /// Whether the receiver takes repair packets.
    protects: bool,
    /// Whether the receiver knows the round trip. If not, it asks every 100 ms.
    knows: bool,
}

impl Network {
    fn new(loss: u64, burst: u64, delay_ms: u32) -> Self {
        Self { loss, burst, delay: delay_ms * MILLI, protects: false, knows: true }
    }

    fn protected(self) -> Self {
        Self { protects: true, ..self }
    }

    fn unknown(self) -> Self {
        Self { knows: false, ..self }
    }
}

enum Event {
    /// The number of a packet, and whether it is a repeat.
    Media(u64, bool),
    /// The payload of a repair packet.
    Parity(Vec<u8>),
    Nack(Vec<u64>),
    Report {
        lost: i32,
        highest: u64,
    },
}

/// One direction of the link.
struct Way {
    losses: Losses,
    random: Random,
}

impl Way {
    fn loses(&mut self) -> bool {
        self.losses.next(&mut self.random)
    }
}

/// What a receiver that asks as Chromium does has, and lacks.
struct Receiver {
    interval: Duration,
    highest: Option<u64>,
    missing: BTreeMap<u64, (Instant, u8)>,
    received: HashSet<u64>,
    lost: i32,
}

impl Receiver {
    /// Takes in a packet, and returns what it asks for.
    fn receive(&mut self, sequence: u64, is_repeat: bool, now: Instant) -> Vec<u64> {
        self.received.insert(sequence);
        self.missing.remove(&sequence);
        let highest = *self.highest.get_or_insert(sequence);
        if is_repeat || sequence <= highest {
            return Vec::new();
        }
        self.highest = Some(sequence);
        let new: Vec<_> = (highest + 1..sequence).filter(|sequence| !self.received.contains(sequence)).collect();
        self.missing.extend(new.iter().map(|sequence| (*sequence, (now, 1))));
        self.lost += new.len() as i32;
        new
    }

    fn ask_again(&mut self, now: Instant) -> Vec<u64> {
        self.missing.retain(|_, (_, asked)| *asked < 10);
        let due = self.missing.iter_mut().filter(|(_, (at, _))| now - *at >= self.interval);
        due.map(|(sequence, missing)| {
            *missing = (now, missing.1 + 1);
            *sequence
        })
        .collect()
    }
}

/// What became of the frames.
#[derive(Debug, Default)]
struct Outcome {
    /// How late each frame was complete, in milliseconds, without the time of the way.
    late: Vec<u64>,
    frames: usize,
    /// Frames that were complete after the time for which they were held back.
    past_hold: usize,
    /// Frames that were complete so much later that video stood still.
    frozen: usize,
    /// Packets that were sent, and those sent again or for repair.
    packets: (usize, usize),
    /// The hold at each frame, in milliseconds.
    holds: Vec<u64>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.late.extend(other.late);
        self.holds.extend(other.holds);
        self.frames += other.frames;
        self.past_hold += other.past_hold;
        self.frozen += other.frozen;
        self.packets = (self.packets.0 + other.packets.0, self.packets.1 + other.packets.1);
    }

    fn percentile(&mut self, percent: usize) -> u64 {
        percentile(&mut self.late, percent)
    }
}

fn percentile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    values[(values.len() - 1) * percent / 100]
}

/// Sends 20 s of video. `follows` says whether the sender follows what the path loses.
fn watch(network: Network, seed: u64, follows: bool) -> Outcome {
    let began = Instant::now();
    let frames = fixture::synthetic(began, 600, 120, (40_000, 9_000));
    let mut outgoing = Outgoing::new(Codec::H264, Limits::default()).unwrap();
    let config = SenderConfig {
        ssrc: 7,
        payload_type: 96,
        extensions: IDS,
        mid: Mid::new("0").unwrap(),
        resend: repair(),
        sequence: 0,
        timestamp: 0,
        sync: AvSync::LipSync,
        guard: GuardConfig {
            fec: network.protects.then_some(FecConfig { ssrc: 8, payload_type: 49, sequence: 0 }),
            red: None,
        },
    };
    let allowed = Allowed { protection: network.protects, ..ALLOWED };
    let mut decoder = Decoder::new(7, IDS.transport_cc);
    let mut bytes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut sender = Sender::new(config, &outgoing);
    sender.start(&outgoing, began);
    let losses = Losses::new(network.loss, network.burst);
    let way = |seed: u64| Way { losses, random: Random(seed * 2 + 1) };
    let (mut down, mut up) = (way(seed * 31 + 7), way(seed * 57 + 3));
    let mut receiver = Receiver {
        interval: if follows && network.knows { network.delay * 2 } else { 100 * MILLI },
        highest: None,
        missing: BTreeMap::new(),
        received: HashSet::new(),
        lost: 0,
    };
    let (mut events, mut count) = (BTreeMap::new(), 0_u64);
    let (mut recovery, mut transport, mut scratch) = (Recovery::default(), 0, RepairScratch::default());
    // Each frame: when it was sent, its hold, and its packets that are missing.
    let mut sent: Vec<(Instant, Duration, HashSet<u64>)> = Vec::new();
    let (mut frame_of, mut outcome) = (BTreeMap::new(), Outcome::default());
    let mut next = 0;
    for milli in 0..21_500_u32 {
        let now = began + milli * MILLI;
        let mut send = |way: &mut Way, event: Event| {
            count += 1;
            if !way.loses() {
                events.insert((now + network.delay, count), event);
            }
        };
        if let Some(frame) = frames.get(next).filter(|frame| frame.arrived <= now) {
            next += 1;
            outgoing.push(frame);
            while let Some(packets) = sender.poll_frame(&outgoing, now) {
                let mut numbers = HashSet::new();
                let parities = outgoing.parities(packets, sender.protection());
                for (index, packet) in packets.iter().enumerate() {
                    let mut buffer = [0; HEADER_MAX];
                    let header = sender.header(&packet, &mut transport, &mut buffer);
                    let sequence = u64::from(packet::Incoming::parse(header).unwrap().sequence);
                    bytes.insert(sequence, [header, packet.payload].concat());
                    numbers.insert(sequence);
                    frame_of.insert(sequence, sent.len());
                    outcome.packets.0 += 1;
                    send(&mut down, Event::Media(sequence, false));
                    for parity in parities.into_iter().flat_map(|parities| parities.after(index)) {
                        let mut payload = Vec::new();
                        let counted = (&mut transport, now);
                        if sender.repair_header(parity, packets, counted, &mut buffer, &mut payload).is_some() {
                            outcome.packets.1 += 1;
                            send(&mut down, Event::Parity(payload));
                        }
                    }
                }
                sent.push((now, recovery.mix().hold, numbers));
            }
        }
        while let Some(Repaired::New { payload, .. }) = sender.poll_copy(&outgoing, now, &mut transport, &mut scratch) {
            outcome.packets.1 += 1;
            send(&mut down, Event::Media(u64::from(u16::from_be_bytes([payload[0], payload[1]])), true));
        }
        if milli % 20 == 0 {
            let again = receiver.ask_again(now);
            if !again.is_empty() {
                send(&mut up, Event::Nack(again));
            }
        }
        if milli % 1000 == 999 {
            let highest = receiver.highest.unwrap_or(0);
            send(&mut up, Event::Report { lost: receiver.lost, highest });
        }
        let later = events.split_off(&(now + MILLI, 0));
        for (_, event) in std::mem::replace(&mut events, later) {
            let mut send = |way: &mut Way, event: Event| {
                count += 1;
                if !way.loses() {
                    events.insert((now + network.delay, count), event);
                }
            };
            let mut came = Vec::new();
            match event {
                Event::Media(sequence, is_repeat) => {
                    let asked = receiver.receive(sequence, is_repeat, now);
                    if !asked.is_empty() {
                        send(&mut up, Event::Nack(asked));
                    }
                    decoder.handle_media(&bytes[&sequence]);
                    came.push(sequence);
                }
                Event::Parity(payload) => decoder.handle_repair(&payload),
                Event::Nack(asked) => {
                    for lost in asked {
                        let repaired = sender.repair(lost as u16, &outgoing, now, &mut transport, &mut scratch);
                        if repaired.is_some() {
                            outcome.packets.1 += 1;
                            send(&mut down, Event::Media(lost, true));
                        }
                    }
                }
                Event::Report { lost, highest } => {
                    let wall = WALL.offset_micros((now - began).as_micros() as i64);
                    let stated = wall.offset_micros(-(2 * network.delay.as_micros() as i64));
                    let block = ReceptionBlock {
                        ssrc: 7,
                        fraction_lost: 0,
                        cumulative_lost: lost,
                        highest_sequence: highest as u32,
                        jitter: 0,
                        last_sender_report: (DateOffset::default().date(stated).ntp() >> 16) as u32,
                        delay: 0,
                    };
                    sender.handle_reception(&block, wall);
                    if follows
                        && let Some(mix) = recovery.handle_report(&block, &sender.known(network.knows), &allowed, now)
                    {
                        sender.set_mix(mix);
                    }
                }
            }
            while let Some(made) = decoder.poll_recovered() {
                let sequence = u64::from(packet::Incoming::parse(&made).unwrap().sequence);
                receiver.receive(sequence, true, now);
                came.push(sequence);
            }
            for sequence in came {
                let (at, hold, missing) = &mut sent[frame_of[&sequence]];
                if missing.remove(&sequence) && missing.is_empty() && *at >= began + SETTLED {
                    let late = (now - *at).saturating_sub(network.delay);
                    outcome.frames += 1;
                    outcome.late.push(late.as_millis() as u64);
                    outcome.holds.push(hold.as_millis() as u64);
                    outcome.past_hold += usize::from(late > *hold);
                    outcome.frozen += usize::from(late > *hold + FREEZE);
                }
            }
        }
    }
    // A frame that never was complete stands still, too.
    let never = |(at, _, missing): &&(Instant, Duration, HashSet<u64>)| !missing.is_empty() && *at >= began + SETTLED;
    let never = sent.iter().filter(never).count();
    outcome.frames += never;
    outcome.past_hold += never;
    outcome.frozen += never;
    outcome
}

fn watch_all(network: Network, seeds: u64, follows: bool) -> Outcome {
    let mut all = Outcome::default();
    (0..seeds).for_each(|seed| all.add(watch(network, seed, follows)));
    all
}

/// Returns the permille of frames that are past their hold, and those that freeze, and what repeats cost in percent.
fn shares(outcome: &Outcome) -> (usize, usize, usize) {
    let permille = |count: usize| count * 1000 / outcome.frames;
    (permille(outcome.past_hold), permille(outcome.frozen), outcome.packets.1 * 100 / outcome.packets.0)
}

/// Returns the shares of a network as they are now, and a text that has those without all this too.
fn compared(network: Network) -> ((usize, usize, usize), String) {
    let [before, after] = [false, true].map(|follows| {
        let mut outcome = watch_all(network, 50, follows);
        (shares(&outcome), outcome.percentile(99), percentile(&mut outcome.holds, 95))
    });
    let text = format!("before {before:?}, after {after:?}: shares, p99 of lateness, p95 of the hold in ms");
    eprintln!("{text}");
    (after.0, text)
}

#[test]
fn frames_are_complete_before_they_are_shown_at_ten_percent_of_loss() {
    let ((past_hold, frozen, cost), text) = compared(Network::new(10, 1, 25));
    assert!(past_hold <= 17 && frozen <= 1 && cost <= 30, "{text}");
}

#[test]
fn video_goes_on_at_thirty_percent_of_loss() {
    let ((past_hold, frozen, cost), text) = compared(Network::new(30, 1, 50));
    assert!(past_hold <= 30 && frozen <= 10 && cost <= 130, "{text}");
}

#[test]
fn bursts_of_losses_are_outlasted() {
    let network = Network::new(10, 5, 50);
    let mut after = watch_all(network, 50, true);
    let text = format!("{:?} p99 {} ms", shares(&after), after.percentile(99));
    eprintln!("{text}");
    let (past_hold, frozen, cost) = shares(&after);
    assert!(past_hold <= 30 && frozen <= 10 && cost <= 40, "{text}");
}

#[test]
fn a_clean_path_gets_no_repeats_and_no_hold() {
    let mut outcome = watch(Network::new(0, 1, 25), 1, true);
    assert_eq!((outcome.frames, outcome.past_hold, outcome.packets.1, outcome.percentile(100)), (450, 0, 0, 0));
}

/// Returns the shares of late and frozen frames in permille, the p95 of the hold, and a text that has them without repair
/// packets as well.
fn protected(network: Network) -> ((usize, usize, u64), String) {
    let [without, with] = [network, network.protected()].map(|network| {
        let mut outcome = watch_all(network, 25, true);
        let (past_hold, frozen, cost) = shares(&outcome);
        (past_hold, frozen, percentile(&mut outcome.holds, 95), cost)
    });
    let text =
        format!("without {without:?}, with {with:?}: late and frozen per thousand, p95 of the hold in ms, cost in %");
    eprintln!("{text}");
    ((with.0, with.1, with.2), text)
}

#[test]
fn repair_packets_spare_a_browser_that_knows_no_round_trip_most_of_the_hold() {
    let ((late, frozen, hold), text) = protected(Network::new(10, 1, 25).unknown());
    assert!(late <= 17 && frozen <= 1 && hold <= 150, "{text}");
}

#[test]
fn repair_packets_shorten_the_hold_over_bursts() {
    let ((late, frozen, hold), text) = protected(Network::new(10, 5, 50).unknown());
    assert!(late <= 25 && frozen <= 5 && hold <= 400, "{text}");
}
