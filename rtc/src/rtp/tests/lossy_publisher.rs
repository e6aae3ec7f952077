//! Tests of a publisher whose network loses packets both ways, in virtual time and by seeds: all frames come, evenly and in step.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use onmic_media::{Codec, MediaKind};
use rtc_rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;

use super::fixture::Random;
use super::gilbert::Losses;
use super::link::{IDS, LAYERS};
use super::publisher::reported;
use crate::rtp::packet::HeaderWriter;
use crate::rtp::*;

const MILLI: Duration = Duration::from_millis(1);
const VIDEO: u32 = 10;
const REPAIRS: u32 = 11;
const AUDIO: u32 = 20;

/// One way of the network, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Way {
    losses: Losses,
    delay: u64,
    jitter: u64,
}

impl Way {
    /// `loss` is in percent, and `burst` in packets.
    fn new(loss: u64, burst: u64, delay: u64, jitter: u64) -> Self {
        Self { losses: Losses::new(loss, burst), delay, jitter }
    }

    /// Returns how long a packet takes, if it is not lost.
    fn carry(&mut self, random: &mut Random) -> Option<Duration> {
        let micros = self.delay * 1000 + random.below(self.jitter * 1000 + 1);
        (!self.losses.next(random)).then_some(Duration::from_micros(micros))
    }
}

/// How a publisher repairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repairs {
    /// On a stream of its own, each packet once in a round trip, as browsers do. It answers reference times.
    OncePerRoundTrip,
    /// Each time that it is asked, by the packet itself.
    Always,
}

enum Event {
    Up(Vec<u8>),
    Down(Vec<u8>),
    Report,
}

/// A frame as it was released, in µs from the beginning.
#[derive(Clone, Copy, Debug)]
struct Out {
    number: u32,
    sent: i64,
    at: i64,
    ready: i64,
}

struct World {
    began: Instant,
    now: Instant,
    random: Random,
    up: Way,
    down: Way,
    repairs: Repairs,
    incoming: Incoming,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    /// The number of the next picture.
    next: u32,
    keyframe_wanted: bool,
    sequence: u16,
    repair_sequence: u16,
    audio_sequence: u16,
    transport: u16,
    /// The packets that were sent, and when they were sent again last.
    history: HashMap<u16, (Vec<u8>, Option<Instant>)>,
    /// The last reference time, and its arrival.
    reference: Option<(u32, Instant)>,
    resent: usize,
    video: Vec<Out>,
    audio: Vec<Out>,
}

impl World {
    fn new(up: Way, down: Way, repairs: Repairs, seed: u64) -> Self {
        let began = Instant::now();
        let stream = |kind: MediaKind, mid, format| StreamConfig {
            key: kind.into(),
            mid: Mid::new(mid).unwrap(),
            formats: vec![format],
            repairs: match (kind, repairs) {
                (MediaKind::Video, Repairs::OncePerRoundTrip) => vec![(97, 96)],
                _ => Vec::new(),
            },
            ssrc: Some(if kind == MediaKind::Video { VIDEO } else { AUDIO }),
            repair_ssrc: Some(REPAIRS),
            nack: kind == MediaKind::Video,
            parameters: Vec::new(),
        };
        let video = stream(MediaKind::Video, "v", (96, Codec::Vp8));
        let audio = StreamConfig { repair_ssrc: None, ..stream(MediaKind::Audio, "a", (111, Codec::Opus)) };
        let config = IncomingConfig {
            ssrc: 1,
            cname: "us".into(),
            extensions: IDS,
            layers: LAYERS,
            reduced_size: true,
            streams: vec![video, audio],
        };
        let mut world = Self {
            began,
            now: began,
            random: Random(seed | 1),
            up,
            down,
            repairs,
            incoming: Incoming::new(config, began),
            events: BTreeMap::new(),
            count: 0,
            next: 0,
            keyframe_wanted: false,
            sequence: 65_000,
            repair_sequence: 7,
            audio_sequence: 100,
            transport: 0,
            history: HashMap::new(),
            reference: None,
            resent: 0,
            video: Vec::new(),
            audio: Vec::new(),
        };
        world.schedule(began + 500 * MILLI, Event::Report);
        world
    }

    /// Publishes for this many seconds: 30 frames of 7 packets, keyframes of 40 each 2 s, and audio of 20 ms.
    fn publish(&mut self, seconds: u32) {
        let first = self.next;
        self.next += seconds * 30;
        let mut sends: Vec<(Duration, bool, u32)> = Vec::new();
        sends.extend((first..first + seconds * 30).map(|number| (Duration::from_secs(1) * number / 30, true, number)));
        let sounds = first * 5 / 3;
        sends.extend((sounds..sounds + seconds * 50).map(|number| (20 * MILLI * number, false, number)));
        sends.sort();
        for (at, is_video, number) in sends {
            self.run_until(self.began + at);
            if is_video { self.send_picture(number) } else { self.send_sound(number) }
        }
    }

    /// Waits for what is under way.
    fn drain(&mut self) {
        self.run_until(self.now + 2000 * MILLI);
    }

    fn send_picture(&mut self, number: u32) {
        let is_keyframe = std::mem::take(&mut self.keyframe_wanted) || number.is_multiple_of(60);
        let pieces = if is_keyframe { 40 } else { 7 };
        for piece in 0..pieces {
            let frame: &[u8] = match (is_keyframe, piece) {
                (true, 0) => &[0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0, 9],
                (false, 0) => &[0x10, 0x11, 2, 0, 9],
                _ => &[0, 1, 2],
            };
            let payload = [frame, &number.to_be_bytes()].concat();
            let header = (piece + 1 == pieces, 96, self.sequence, number * 3000, VIDEO);
            self.history.insert(self.sequence, (payload.clone(), None));
            self.sequence = self.sequence.wrapping_add(1);
            self.send(header, &payload, self.now + MILLI * piece / 2);
        }
    }

    fn send_sound(&mut self, number: u32) {
        let payload = [&[0xfc][..], &number.to_be_bytes()].concat();
        let header = (true, 111, self.audio_sequence, number * 960, AUDIO);
        self.audio_sequence = self.audio_sequence.wrapping_add(1);
        self.send(header, &payload, self.now);
    }

    fn send(&mut self, header: (bool, u8, u16, u32, u32), payload: &[u8], at: Instant) {
        let (marker, payload_type, sequence, timestamp, ssrc) = header;
        let mut buffer = [0; HEADER_MAX];
        let mut writer = HeaderWriter::new(&mut buffer, (marker, payload_type), sequence, timestamp, ssrc);
        writer.extension(IDS.transport_cc, &self.transport.to_be_bytes());
        self.transport = self.transport.wrapping_add(1);
        if let Some(takes) = self.up.carry(&mut self.random) {
            self.schedule(at + takes, Event::Up([writer.finish(), payload].concat()));
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            let due = next.into_iter().chain(self.incoming.poll_timeout()).min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if let Some(entry) = self.events.first_entry()
                && entry.key().0 <= self.now
            {
                match entry.remove() {
                    Event::Up(bytes) if matches!(bytes[1], 200..=207) => self.incoming.handle_rtcp(&bytes, self.now),
                    Event::Up(bytes) => self.incoming.handle_rtp(&bytes, self.now),
                    Event::Down(datagram) => self.take_feedback(&datagram),
                    Event::Report => self.report(),
                }
            }
            self.incoming.handle_timeout(self.now);
            self.take();
        }
        self.now = end;
    }

    fn take(&mut self) {
        let micros = |at: Instant| at.duration_since(self.began).as_micros() as i64;
        while let Some(released) = self.incoming.poll_released() {
            let payload = &released.arrival.payload;
            let number = u32::from_be_bytes(*payload.last_chunk().unwrap());
            let is_video = released.arrival.parameters.kind() == MediaKind::Video;
            let sent = i64::from(number) * if is_video { 1_000_000 } else { 600_000 } / 30;
            let out = Out { number, sent, at: micros(self.now), ready: micros(released.ready) };
            if is_video { self.video.push(out) } else { self.audio.push(out) }
        }
        let mut datagram = Vec::new();
        while self.incoming.poll_rtcp(self.now, &mut datagram) {
            let takes = self.down.carry(&mut self.random);
            let datagram = std::mem::take(&mut datagram);
            takes.into_iter().for_each(|takes| self.schedule(self.now + takes, Event::Down(datagram.clone())));
        }
    }

    /// Answers the reference time, as a browser does with its sender report.
    fn report(&mut self) {
        self.schedule(self.now + 1000 * MILLI, Event::Report);
        let Some((reference, came)) = self.reference.take() else { return };
        let delay = (self.now.duration_since(came).as_micros() << 16) / 1_000_000;
        let mut report = vec![0x80, 207, 0, 5];
        for word in [VIDEO, 5 << 24 | 3, 1, reference, delay as u32] {
            report.extend_from_slice(&word.to_be_bytes());
        }
        let takes = self.up.carry(&mut self.random);
        takes.into_iter().for_each(|takes| self.schedule(self.now + takes, Event::Up(report.clone())));
    }

    fn take_feedback(&mut self, mut datagram: &[u8]) {
        let mut lost = Vec::new();
        feedback::read(datagram, |statement| match statement {
            Feedback::Nack(nack) => lost.extend(nack.lost()),
            Feedback::KeyframeWanted { .. } => self.keyframe_wanted = true,
            _ => {}
        })
        .unwrap();
        let once = self.repairs == Repairs::OncePerRoundTrip;
        while once && datagram.len() >= 4 {
            let (packet, rest) = datagram.split_at(4 + 4 * usize::from(u16::from_be_bytes([datagram[2], datagram[3]])));
            if packet[1] == 207 {
                self.reference = Some((u32::from_be_bytes(packet[14..18].try_into().unwrap()), self.now));
            }
            datagram = rest;
        }
        let round_trip = MILLI * (self.up.delay + self.down.delay) as u32;
        for number in lost {
            let Some((payload, sent)) = self.history.get_mut(&number) else { continue };
            if once && sent.is_some_and(|sent| self.now.duration_since(sent) < round_trip) {
                continue;
            }
            *sent = Some(self.now);
            self.resent += 1;
            let picture = u32::from_be_bytes(*payload.last_chunk().unwrap());
            let ends = self.history.get(&number.wrapping_add(1)).is_none_or(|(next, _)| next[0] == 0x10);
            let payload = self.history[&number].0.clone();
            if once {
                let header = (ends, 97, self.repair_sequence, picture * 3000, REPAIRS);
                self.repair_sequence = self.repair_sequence.wrapping_add(1);
                self.send(header, &[&number.to_be_bytes()[..], &payload].concat(), self.now);
            } else {
                self.send((ends, 96, number, picture * 3000, VIDEO), &payload, self.now);
            }
        }
    }

    /// Returns the gaps between frames of video that were released after this many seconds, in ms, the longest first.
    fn gaps(&self, from: i64) -> Vec<i64> {
        let video = self.video.iter().filter(|out| out.sent >= from * 1_000_000);
        let at: Vec<_> = video.map(|out| out.at).collect();
        let mut gaps: Vec<_> = at.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
        gaps.sort_unstable_by(|one, other| other.cmp(one));
        gaps
    }
}

fn clean() -> Way {
    Way::new(0, 1, 50, 0)
}

#[test]
fn without_loss_each_frame_is_released_when_its_last_packet_comes() {
    for jitter in [0, 8] {
        let mut world = World::new(Way::new(0, 1, 50, jitter), clean(), Repairs::OncePerRoundTrip, 3);
        world.publish(20);
        world.drain();
        assert_eq!((world.video.len(), world.audio.len()), (600, 1000));
        let on_time = |out: &&Out| out.at == out.ready;
        assert_eq!(world.video.iter().filter(on_time).count(), 600);
        assert_eq!(world.incoming.held_for(), Duration::ZERO);
        if jitter == 0 {
            assert_eq!(world.incoming.counters().nacked, 0);
            assert!(world.audio.iter().all(|out| out.at == out.sent + 50_000));
        }
    }
}

#[test]
fn with_10_percent_of_loss_both_ways_all_frames_come_evenly_and_in_step() {
    for seed in 1..=6 {
        for repairs in [Repairs::OncePerRoundTrip, Repairs::Always] {
            let way = Way::new(10, 1, 50, 3);
            let mut world = World::new(clean(), clean(), repairs, seed);
            world.publish(1); // Nobody can know that the first packet of a stream is lost.
            (world.up, world.down) = (way, way);
            world.publish(58);
            (world.up, world.down) = (clean(), clean()); // Nor that the last packet of the last frame is.
            world.publish(1);
            world.drain();
            let counters = world.incoming.counters();
            let gaps = world.gaps(4);
            let uneven = gaps.iter().filter(|gap| **gap > 60).count();
            let case = format!("{seed} {repairs:?}: {counters:?} {:?} {uneven} {}", &gaps[..8], world.resent);
            assert!(world.video.iter().map(|out| out.number).eq(0..1800), "{case}");
            assert!(gaps[0] <= 200, "{case}");
            assert!(uneven <= 20, "{case}");
            // Audio and video of one moment are released together, but for what waits for the last packets of a frame.
            let held = |outs: &[Out]| outs.iter().skip(300).map(|out| out.at - out.ready).min().unwrap();
            let (picture, sound) = (held(&world.video), held(&world.audio));
            assert!(picture >= 0 && (sound > 80_000), "{case} {picture} {sound}");
            let early = world.video.windows(2).filter(|pair| pair[1].at < pair[0].at).count();
            assert_eq!(early, 0, "{case}");
        }
    }
}

#[test]
fn bursts_and_jitter_cost_no_frame() {
    for seed in 1..=6 {
        let (up, down) = (Way::new(10, 5, 50, 15), Way::new(10, 5, 50, 15));
        let mut world = World::new(clean(), clean(), Repairs::OncePerRoundTrip, seed);
        world.publish(1);
        (world.up, world.down) = (up, down);
        world.publish(59);
        world.drain();
        let (counters, gaps) = (world.incoming.counters(), world.gaps(4));
        let case = format!("{seed}: {counters:?} {:?}", &gaps[..8]);
        assert!(world.video.len() >= 1740, "{case} {}", world.video.len());
    }
}

#[test]
fn when_the_loss_is_over_frames_are_no_later_than_before() {
    let way = Way::new(10, 1, 50, 0);
    let mut world = World::new(way, way, Repairs::OncePerRoundTrip, 5);
    world.publish(10);
    let held = world.incoming.held_for();
    assert!(held >= 100 * MILLI && held <= 500 * MILLI, "{held:?}");
    (world.up, world.down) = (clean(), clean());
    world.publish(40);
    world.drain();
    assert_eq!(world.incoming.held_for(), Duration::ZERO);
    let last: Vec<_> = world.video.iter().rev().take(30).map(|out| out.at - out.ready).collect();
    assert_eq!(last, [0; 30]);
}

#[test]
fn a_single_loss_moves_nothing() {
    let mut world = World::new(clean(), clean(), Repairs::OncePerRoundTrip, 5);
    world.publish(3);
    world.up = Way::new(60, 1, 50, 0);
    world.send_picture(world.next);
    world.next += 1;
    world.up = clean();
    world.publish(10);
    world.drain();
    assert_eq!(world.incoming.held_for(), Duration::ZERO);
    assert!(world.incoming.counters().repaired > 0);
}

fn packet(
    (marker, payload_type, sequence): (bool, u8, u16),
    timestamp: u32,
    transport: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut buffer = [0; HEADER_MAX];
    let mut writer = HeaderWriter::new(&mut buffer, (marker, payload_type), sequence, timestamp, VIDEO);
    writer.extension(IDS.transport_cc, &transport.to_be_bytes());
    [writer.finish(), payload].concat()
}

#[test]
fn first_packets_that_overtake_each_other_cost_no_keyframe() {
    let pieces: [&[u8]; 3] = [&[0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0, 9], &[0, 1, 2], &[0, 3, 4]];
    for order in [[1, 0, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let mut world = World::new(clean(), clean(), Repairs::OncePerRoundTrip, 1);
        for (at, piece) in order.into_iter().enumerate() {
            let bytes = packet((piece == 2, 96, 65_535_u16.wrapping_add(piece as u16)), 0, 0, pieces[piece]);
            world.incoming.handle_rtp(&bytes, world.began + MILLI * at as u32);
        }
        assert!(world.incoming.poll_arrival().is_some_and(|arrival| arrival.keyframe), "{order:?}");
        let mut out = Vec::new();
        assert!(!world.incoming.poll_rtcp(world.began + 3 * MILLI, &mut out), "{order:?}");
    }
    // What never comes is waited for briefly, and nobody says that it was lost.
    let mut world = World::new(clean(), clean(), Repairs::OncePerRoundTrip, 1);
    world.incoming.handle_rtp(&packet((true, 96, 9), 0, 0, pieces[2]), world.began);
    assert_eq!(world.incoming.poll_timeout(), Some(world.began + 20 * MILLI));
    world.incoming.handle_timeout(world.began + 20 * MILLI);
    assert_eq!(world.incoming.counters().lost, 0);
}

#[test]
fn transport_feedback_takes_jitter_for_no_loss() {
    let mut world = World::new(clean(), clean(), Repairs::OncePerRoundTrip, 1);
    let mut random = Random(11);
    let lost = |number: u16| number % 10 == 7;
    let numbers = (0..2000_u16).filter(|number| !lost(*number));
    let mut packets: Vec<_> = numbers.map(|number| (u64::from(number) * 4 + random.below(30), number)).collect();
    packets.sort_unstable();
    let (mut came, mut out) = (std::collections::BTreeSet::new(), Vec::new());
    for (at, number) in packets {
        let now = world.began + MILLI * at as u32;
        world.incoming.handle_rtp(&packet((true, 96, number), 0, number, &[]), now);
        while world.incoming.poll_rtcp(now, &mut out) {
            let read = rtc_rtcp::packet::unmarshal(&mut &out[..]).unwrap();
            if let Some(feedback) = read[0].as_any().downcast_ref::<TransportLayerCc>() {
                came.extend(reported(feedback));
            }
            out.clear();
        }
    }
    let missing: Vec<_> = (0..1970).filter(|number| !lost(*number) && !came.contains(number)).collect();
    assert_eq!(missing, [0_u16; 0], "reported as lost, though they came");
    assert!(came.iter().all(|number| !lost(*number)));
}
