//! Tests of our sender, a bad link and our receiver in virtual time: the frames that arrive are those that were sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::{Arrival, AvSync, Codec, Frame};

use super::fixture::{self, ALL, Random, WALL};
use crate::rtp::feedback::{self, Feedback};
use crate::rtp::outgoing::Limits;
use crate::rtp::receive::depacketize::Depacketizer;
use crate::rtp::sender::RepairScratch;
use crate::rtp::*;

pub(super) const IDS: ExtensionIds = ExtensionIds { mid: 1, transport_cc: 2, playout_delay: 3, abs_capture_time: 4 };
pub(super) const LAYERS: LayerIds = LayerIds { rid: 5, repaired_rid: 6 };
const PAYLOAD_TYPE: u8 = 96;
const REPAIR_PAYLOAD_TYPE: u8 = 97;

/// The impairments of the link, in percent and milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Impairment {
    pub(super) loss: u64,
    pub(super) duplicate: u64,
    pub(super) delay: u64,
    pub(super) jitter: u64,
}

pub(super) const CLEAN: Impairment = Impairment { loss: 0, duplicate: 0, delay: 20, jitter: 0 };

enum Event {
    Media(Vec<u8>),
    Control(Vec<u8>),
}

/// One viewer's sender, a link, and a publisher's receiver.
pub(super) struct Link {
    pub(super) outgoing: Outgoing,
    pub(super) sender: Sender,
    pub(super) incoming: Incoming,
    pub(super) arrivals: Vec<Arrival>,
    impairment: Impairment,
    random: Random,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    transport_sequence: u16,
    scratch: RepairScratch,
    pub(super) now: Instant,
    pub(super) transport_feedback: usize,
}

impl Link {
    pub(super) fn new(codec: Codec, resend: Resend, impairment: Impairment, seed: u64) -> Self {
        let outgoing = Outgoing::new(codec, Limits::default()).unwrap();
        let mid = Mid::new("0").unwrap();
        let config = SenderConfig {
            ssrc: 0x1111_1111,
            payload_type: PAYLOAD_TYPE,
            extensions: IDS,
            mid,
            resend,
            sequence: 32_700,
            timestamp: u32::MAX - 4000, // It wraps within a few frames.
            sync: AvSync::LipSync,
            guard: GuardConfig::default(),
        };
        let now = Instant::now();
        let stream = StreamConfig {
            key: codec.kind().into(),
            mid,
            formats: vec![(PAYLOAD_TYPE, codec)],
            repairs: vec![(REPAIR_PAYLOAD_TYPE, PAYLOAD_TYPE)],
            ssrc: None,
            repair_ssrc: None,
            nack: resend != Resend::Never,
            parameters: Vec::new(),
        };
        let config_in = IncomingConfig {
            ssrc: 7,
            cname: "receiver".into(),
            extensions: IDS,
            layers: LAYERS,
            reduced_size: false,
            streams: vec![stream],
        };
        let sender = Sender::new(config, &outgoing);
        Self {
            incoming: Incoming::new(config_in, now),
            sender,
            outgoing,
            arrivals: Vec::new(),
            impairment,
            random: Random(seed | 1),
            events: BTreeMap::new(),
            count: 0,
            transport_sequence: 65_500,
            scratch: RepairScratch::default(),
            now,
            transport_feedback: 0,
        }
    }

    /// Sends `frames` at their times of arrival and runs until the link is empty.
    pub(super) fn run(&mut self, frames: &[Frame]) {
        self.sender.start(&self.outgoing, self.now);
        for frame in frames {
            self.run_until(frame.arrived);
            self.outgoing.push(frame);
            self.send_due();
        }
        self.run_until(self.now + Duration::from_secs(1));
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        loop {
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            let timeouts = [next, self.incoming.poll_timeout(), self.sender.poll_timeout(&self.outgoing)];
            let Some(at) = timeouts.into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if let Some(entry) = self.events.first_entry()
                && entry.key().0 <= self.now
            {
                match entry.remove() {
                    Event::Media(packet) => self.incoming.handle_rtp(&packet, self.now),
                    Event::Control(datagram) => self.handle_control(&datagram),
                }
            }
            self.incoming.handle_timeout(self.now);
            self.send_due();
            self.take();
        }
        self.now = end;
    }

    fn take(&mut self) {
        while let Some(arrival) = self.incoming.poll_arrival() {
            self.arrivals.push(arrival);
        }
        let mut datagram = Vec::new();
        while self.incoming.poll_rtcp(self.now, &mut datagram) {
            assert!(datagram.len() <= 1200 && datagram.len() % 4 == 0);
            let at = self.now + Duration::from_millis(self.impairment.delay);
            self.count += 1;
            self.events.insert((at, self.count), Event::Control(std::mem::take(&mut datagram)));
        }
    }

    fn send_due(&mut self) {
        let mut packets = Vec::new();
        while let Some(frame) = self.sender.poll_frame(&self.outgoing, self.now) {
            for packet in frame.iter() {
                let mut buffer = [0; HEADER_MAX];
                let header = self.sender.header(&packet, &mut self.transport_sequence, &mut buffer);
                packets.push([header, packet.payload].concat());
            }
        }
        packets.into_iter().for_each(|packet| self.transmit(packet));
    }

    fn transmit(&mut self, packet: Vec<u8>) {
        let copies = 1 + u64::from(self.random.chance(self.impairment.duplicate));
        for _ in 0..copies {
            let jitter = self.random.below(self.impairment.jitter + 1);
            if self.random.chance(self.impairment.loss) {
                continue;
            }
            let at = self.now + Duration::from_millis(self.impairment.delay + jitter);
            self.count += 1;
            self.events.insert((at, self.count), Event::Media(packet.clone()));
        }
    }

    fn handle_control(&mut self, datagram: &[u8]) {
        let mut again = Vec::new();
        let Self { sender, outgoing, scratch, transport_sequence, now, transport_feedback, .. } = self;
        feedback::read(datagram, |statement| match statement {
            Feedback::Nack(nack) => {
                assert_eq!(nack.ssrc, sender.ssrc());
                for lost in nack.lost() {
                    match sender.repair(lost, &*outgoing, *now, transport_sequence, scratch) {
                        Some(Repaired::New { header, payload } | Repaired::Again { header, payload }) => {
                            again.push([header, payload].concat());
                        }
                        None => {}
                    }
                }
            }
            Feedback::Reception(block) => sender.handle_reception(&block, WALL),
            Feedback::Transport { .. } => *transport_feedback += 1,
            _ => {}
        })
        .unwrap();
        again.into_iter().for_each(|packet| self.transmit(packet));
    }
}

pub(super) fn repair() -> Resend {
    Resend::Repair { ssrc: 0x2222_2222, payload_type: REPAIR_PAYLOAD_TYPE, sequence: 65_530 }
}

fn content<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<(Bytes, bool)> {
    frames.into_iter().map(|frame| (frame.payload.clone(), frame.keyframe)).collect()
}

fn arrived(link: &Link) -> Vec<(Bytes, bool)> {
    link.arrivals.iter().map(|arrival| (arrival.payload.clone(), arrival.keyframe)).collect()
}

#[test]
fn frames_of_every_codec_pass_a_clean_link_unchanged() {
    for codec in ALL {
        let mut link = Link::new(codec, Resend::Never, CLEAN, 1);
        let frames = fixture::frames(codec, link.now);
        assert_eq!(frames.len(), 12, "{codec:?}");
        link.run(&frames);
        assert_eq!(arrived(&link), content(&frames), "{codec:?} {:?}", link.incoming.counters());
        let steps: Vec<i64> = link.arrivals.windows(2).map(|pair| (pair[1].pts - pair[0].pts).0).collect();
        let expected = if codec == Codec::Opus { 960 } else { 3000 };
        assert!(steps.iter().all(|step| *step == expected), "{codec:?} {steps:?}");
        let first = &link.arrivals[0].parameters;
        assert!(link.arrivals.iter().all(|arrival| std::sync::Arc::ptr_eq(&arrival.parameters, first)), "{codec:?}");
        if codec != Codec::H264 {
            assert_eq!(**first, *frames[0].parameters, "{codec:?}"); // The SPS of H.264 is rewritten.
        }
    }
}

#[test]
fn repairs_make_up_for_loss_reordering_and_duplicates() {
    let impairment = Impairment { loss: 5, duplicate: 3, delay: 10, jitter: 12 };
    for codec in ALL {
        for (seed, resend) in [(1, repair()), (2, repair()), (3, Resend::AsSent)] {
            let mut link = Link::new(codec, resend, CLEAN, seed);
            let frames = fixture::repeated(codec, link.now, 120);
            link.sender.start(&link.outgoing, link.now);
            for (index, frame) in frames.iter().enumerate() {
                // Packets before the first that came or after the last cannot be missed, so both ends are clean.
                link.impairment = if (4..110).contains(&index) { impairment } else { CLEAN };
                link.run_until(frame.arrived);
                link.outgoing.push(frame);
                link.send_due();
            }
            link.run_until(link.now + Duration::from_secs(1));
            let sent = content(&frames);
            assert_eq!(arrived(&link).len(), sent.len(), "{codec:?} {seed} {:?}", link.incoming.counters());
            assert!(arrived(&link) == sent, "{codec:?} {seed}");
            assert!(link.incoming.counters().nacked > 0 && link.sender.repair_counters().repaired > 0);
            assert!(resend == Resend::AsSent || link.transport_feedback > 10, "{}", link.transport_feedback);
        }
    }
}

#[test]
fn without_repairs_only_frames_that_can_be_decoded_come_out() {
    for codec in ALL {
        for seed in 1..6 {
            let impairment = Impairment { loss: 4, duplicate: 2, delay: 10, jitter: 3 };
            let mut link = Link::new(codec, Resend::Never, impairment, seed);
            let frames = fixture::repeated(codec, link.now, 240);
            link.run(&frames);
            let sent = content(&frames);
            let counters = link.incoming.counters();
            assert!(link.arrivals.len() > if codec == Codec::Opus { 200 } else { 20 }, "{codec:?} {counters:?}");
            assert!(codec == Codec::Opus || counters.picture_losses > 0);
            // Positions are in order, and after a gap the next frame is a keyframe.
            let origin = link.arrivals[0].pts;
            let step = frames[1].pts - frames[0].pts;
            let first = sent.iter().position(|frame| *frame == arrived(&link)[0]).unwrap() as i64;
            let mut last = None;
            for (arrival, content) in link.arrivals.iter().zip(arrived(&link)) {
                let index = first + (arrival.pts - origin).0 / step.0;
                assert!(sent[index as usize] == content, "{codec:?} {seed}: frame {index} differs");
                assert!(last.is_none_or(|last| index > last));
                assert!(content.1 || last == Some(index - 1), "{codec:?} {seed}: frame {index} after {last:?}");
                last = Some(index);
            }
        }
    }
}

#[test]
fn random_payloads_never_panic() {
    let mut random = Random(7);
    for codec in ALL {
        let mut depacketizer = Depacketizer::new(codec, None).unwrap();
        for _ in 0..50_000 {
            let payload: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8).collect();
            depacketizer.is_start(&payload);
            if depacketizer.push(&payload).is_err() {
                depacketizer.clear();
            } else if random.chance(30)
                && let Ok(assembled) = depacketizer.finish()
            {
                assert!(!assembled.payload.is_empty());
            }
        }
    }
}

#[test]
fn mutated_packets_never_panic() {
    for codec in ALL {
        let mut random = Random(99);
        let mut link = Link::new(codec, repair(), CLEAN, 1);
        let began = link.now;
        let frames = fixture::repeated(codec, began, 60);
        let mut outgoing = Outgoing::new(codec, Limits { max_payload: 200, ..Limits::default() }).unwrap();
        link.sender.start(&outgoing, began);
        for frame in &frames {
            outgoing.push(frame);
            while let Some(packets) = link.sender.poll_frame(&outgoing, frame.arrived) {
                for packet in packets.iter() {
                    let mut buffer = [0; HEADER_MAX];
                    let header = link.sender.header(&packet, &mut link.transport_sequence, &mut buffer);
                    let mut bytes = [header, packet.payload].concat();
                    for _ in 0..random.below(4) {
                        let at = random.below(bytes.len() as u64) as usize;
                        bytes[at] = random.next() as u8;
                    }
                    bytes.truncate(bytes.len() - random.below(2) as usize * random.below(bytes.len() as u64) as usize);
                    link.incoming.handle_rtp(&bytes, frame.arrived);
                    link.incoming.handle_rtcp(&bytes, frame.arrived);
                }
            }
            link.incoming.handle_timeout(frame.arrived);
            while link.incoming.poll_arrival().is_some() {}
            let mut datagram = Vec::new();
            while link.incoming.poll_rtcp(frame.arrived, &mut datagram) {
                assert!(datagram.len() < 2000);
                datagram.clear();
            }
        }
    }
}
