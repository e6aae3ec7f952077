//! Tests of senders and decoders of FlexFEC together: every loss that the masks can make good is made good, and the
//! packets are the same to the last bit.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use onmic_media::{AvSync, Codec, Frame};

use super::masks::{BLOCK, blocks, masks};
use super::{Decoder, Protection};
use crate::rtp::outgoing::Limits;
use crate::rtp::recovery::Mix;
use crate::rtp::red::Redundancy;
use crate::rtp::sender::FecConfig;
use crate::rtp::tests::fixture::{Random, WALL, repeated, synthetic};
use crate::rtp::*;

const IDS: ExtensionIds = ExtensionIds { mid: 1, transport_cc: 2, playout_delay: 3, abs_capture_time: 4 };
const SSRC: u32 = 0x1234_5678;
const FEC: FecConfig = FecConfig { ssrc: 0x2345_6789, payload_type: 49, sequence: 32_767 };

/// A frame on the wire: its packets, and its repair packets with their payloads at the end.
#[derive(Debug, Default)]
struct Wire {
    media: Vec<Vec<u8>>,
    repairs: Vec<Vec<u8>>,
}

struct Viewer {
    outgoing: Outgoing,
    sender: Sender,
    transport: u16,
}

impl Viewer {
    fn new(codec: Codec, guard: GuardConfig) -> Self {
        Self::resending(codec, guard, Resend::Repair { ssrc: 5, payload_type: 103, sequence: 0 })
    }

    fn resending(codec: Codec, guard: GuardConfig, resend: Resend) -> Self {
        let outgoing = Outgoing::new(codec, Limits::default()).unwrap();
        let config = SenderConfig {
            ssrc: SSRC,
            payload_type: 102,
            extensions: IDS,
            mid: Mid::new("0").unwrap(),
            resend,
            sequence: 32_760,
            timestamp: u32::MAX - 9000,
            sync: AvSync::LipSync,
            guard,
        };
        Self { sender: Sender::new(config, &outgoing), outgoing, transport: 65_500 }
    }

    /// Gives it this redundancy from the next frame on.
    fn guard(&mut self, protection: Protection, depth: u8) {
        let redundancy = Redundancy::new(depth, 1);
        self.sender.set_mix(&Mix { protection, redundancy, budget: 100.0, ..Mix::default() });
    }

    /// Returns a packet as the receiver has it when it was sent again.
    fn again(&mut self, packet: &[u8], now: Instant) -> Option<Vec<u8>> {
        let sent = packet::Incoming::parse(packet).unwrap();
        let mut scratch = sender::RepairScratch::default();
        let again = self.sender.repair(sent.sequence, &self.outgoing, now, &mut self.transport, &mut scratch)?;
        Some(match again {
            Repaired::Again { header, payload } => [header, payload].concat(),
            Repaired::New { header, payload } => {
                let mut header = header.to_vec();
                header[1] = header[1] & 0x80 | sent.payload_type;
                header[2..4].copy_from_slice(&payload[..2]);
                header[8..12].copy_from_slice(&SSRC.to_be_bytes());
                [&header, &payload[2..]].concat()
            }
        })
    }

    /// The receiver reports that everything has come.
    fn report(&mut self) {
        let highest_sequence = 32_760 + self.sender.sent().0 - 1;
        let block = ReceptionBlock {
            ssrc: SSRC,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence,
            jitter: 0,
            last_sender_report: 0,
            delay: 0,
        };
        self.sender.handle_reception(&block, WALL);
    }

    /// Sends a frame as a shard does.
    fn send(&mut self, frame: &Frame) -> Wire {
        self.outgoing.push(frame);
        let mut wire = Wire::default();
        while let Some(packets) = self.sender.poll_frame(&self.outgoing, frame.arrived) {
            let parities = self.outgoing.parities(packets, self.sender.protection());
            for (index, packet) in packets.iter().enumerate() {
                let (mut buffer, mut scratch) = ([0; HEADER_MAX], Vec::new());
                let packet = self.sender.dressed(packet, &self.outgoing, frame.arrived, &mut scratch);
                let header = self.sender.header(&packet, &mut self.transport, &mut buffer);
                wire.media.push([header, packet.payload].concat());
                for parity in parities.into_iter().flat_map(|parities| parities.after(index)) {
                    let mut payload = Vec::new();
                    let transport = (&mut self.transport, frame.arrived);
                    let header = self.sender.repair_header(parity, packets, transport, &mut buffer, &mut payload);
                    wire.repairs.extend(header.map(|header| [header, &payload].concat()));
                }
            }
        }
        wire
    }
}

fn guarded() -> Viewer {
    Viewer::new(Codec::H264, GuardConfig { fec: Some(FEC), red: None })
}

/// Returns the packet with 0 as its transport-wide number, as it is made again.
fn without_number(packet: &[u8]) -> Vec<u8> {
    let number = packet::Incoming::parse(packet).unwrap().extension_value(IDS.transport_cc).unwrap();
    let mut packet = packet.to_vec();
    packet[number].fill(0);
    packet
}

/// Returns the packets of one block that can be made again by taking single missing ones out of the sums, as bits.
pub(in crate::rtp) fn recoverable(masks: &[u64], repairs: &[bool], mut missing: u64) -> u64 {
    let lost = missing;
    loop {
        let alone = masks.iter().zip(repairs).map(|(mask, _)| mask & missing).zip(repairs);
        let Some((found, _)) = alone.into_iter().find(|(rest, there)| **there && rest.count_ones() == 1) else {
            return lost & !missing;
        };
        missing &= !found;
    }
}

#[test]
fn blocks_cover_a_frame_without_gaps_and_masks_cover_a_block() {
    for packets in 1..400 {
        let mut next = 0;
        for block in blocks(packets) {
            assert_eq!(block.first, next);
            assert!((1..=BLOCK).contains(&block.packets));
            next += block.packets;
            for protection in Protection::ALL {
                let masks: Vec<_> = masks(block.packets, protection).collect();
                assert_eq!(masks.len(), protection.parities(block.packets));
                let all = u64::MAX >> (64 - block.packets);
                assert_eq!(masks.iter().fold(0, |sum, mask| sum | mask), all, "{packets} {protection:?}");
                assert!(masks.iter().all(|mask| *mask != 0), "{packets} {protection:?}");
            }
        }
        assert_eq!(next, packets);
    }
    assert_eq!(masks(5, Protection::None).count(), 0);
}

#[test]
fn each_level_has_its_share_of_repair_packets_and_small_frames_have_one() {
    let share = |packets| Protection::ALL.map(|protection| protection.parities(packets));
    assert_eq!(share(1), [1, 1, 1]);
    assert_eq!(share(3), [1, 1, 2]);
    assert_eq!(share(4), [1, 1, 2]);
    assert_eq!(share(10), [1, 3, 6]);
    assert_eq!(share(40), [4, 12, 24]);
}

#[test]
fn any_one_packet_can_be_lost_at_any_level_and_a_burst_of_five_of_ten_at_the_strongest() {
    for packets in 1..=BLOCK {
        for protection in Protection::ALL {
            let masks: Vec<_> = masks(packets, protection).collect();
            let all = vec![true; masks.len()];
            let burst = if protection == Protection::Strong { 5.min(masks.len() - 1).max(1) } else { 1 };
            assert!(packets < 10 || protection != Protection::Strong || burst == 5);
            for first in 0..=packets.saturating_sub(burst) {
                let lost = ((1 << burst.min(packets)) - 1) << first;
                assert_eq!(recoverable(&masks, &all, lost), lost, "{packets} {protection:?} {first}");
            }
        }
    }
}

#[test]
fn every_loss_that_the_masks_can_make_good_is_made_good_to_the_last_bit() {
    let began = Instant::now();
    for seed in 1..=60 {
        let mut random = Random(seed * 7919);
        let protection = Protection::ALL[random.below(3) as usize];
        let (key, delta) = (1 + random.below(80_000) as usize, 1 + random.below(12_000) as usize);
        let mut viewer = guarded();
        viewer.guard(protection, 0);
        assert_eq!(viewer.sender.protection(), protection);
        let mut decoder = Decoder::new(SSRC, IDS.transport_cc);
        viewer.sender.start(&viewer.outgoing, began);
        for frame in synthetic(began, 24, 8, (key, delta)) {
            let wire = viewer.send(&frame);
            let loss = random.below(60);
            let mut there: Vec<_> = wire.media.iter().map(|_| !random.chance(loss)).collect();
            if random.chance(20) {
                let burst = random.below(there.len() as u64) as usize;
                there.iter_mut().skip(burst).take(5).for_each(|there| *there = false);
            }
            let repaired: Vec<_> = wire.repairs.iter().map(|_| !random.chance(loss)).collect();
            // Packets come in any order.
            let mut arriving: Vec<(u64, bool, &[u8])> = Vec::new();
            for (packets, there, is_media) in [(&wire.media, &there, true), (&wire.repairs, &repaired, false)] {
                let arrives = packets.iter().zip(there).filter(|(_, there)| **there);
                arriving.extend(arrives.map(|(packet, _)| (random.next(), is_media, &packet[..])));
            }
            arriving.sort_unstable();
            for (_, is_media, packet) in arriving {
                match is_media {
                    true => decoder.handle_media(packet),
                    false => decoder.handle_repair(packet::Incoming::parse(packet).unwrap().payload),
                }
            }
            let mut expected = BTreeSet::new();
            let (mut first, mut repair) = (0, 0);
            for block in blocks(wire.media.len()) {
                let masks: Vec<_> = masks(block.packets, protection).collect();
                let bit = |at: usize| u64::from(!there[first + at]) << at;
                let missing = (0..block.packets).map(bit).sum();
                let made = recoverable(&masks, &repaired[repair..][..masks.len()], missing);
                expected.extend((0..block.packets).filter(|at| made >> at & 1 == 1).map(|at| first + at));
                first += block.packets;
                repair += masks.len();
            }
            assert_eq!(repair, wire.repairs.len());
            let counters = decoder.counters();
            let which = || format!("seed {seed}, frame {}, {protection:?}, {counters:?}", frame.pts.0);
            while let Some(made) = decoder.poll_recovered() {
                let same = wire.media.iter().position(|packet| without_number(packet) == made);
                let at = same.unwrap_or_else(|| panic!("{}", which()));
                // A packet that comes late may be made before it.
                assert!(expected.remove(&at) || there[at], "{}", which());
            }
            assert!(expected.is_empty(), "{} lacks {expected:?}", which());
        }
        assert_eq!(decoder.counters().refused, 0, "seed {seed}");
    }
}

#[test]
fn a_viewer_without_loss_gets_the_bytes_that_it_gets_without_redundancy() {
    let began = Instant::now();
    let frames = synthetic(began, 20, 10, (20_000, 5000));
    let (mut guarded, mut plain) = (guarded(), Viewer::new(Codec::H264, GuardConfig::default()));
    for viewer in [&mut guarded, &mut plain] {
        viewer.sender.start(&viewer.outgoing, began);
    }
    for frame in &frames {
        let wire = guarded.send(frame);
        assert_eq!(wire.media, plain.send(frame).media);
        assert!(wire.repairs.is_empty());
    }
    assert_eq!(guarded.sender.guarded(), Default::default());
    plain.guard(Protection::Strong, 3);
    assert_eq!(plain.sender.protection(), Protection::None, "it was not negotiated");
}

#[test]
fn repair_packets_are_a_stream_of_their_own_with_transport_wide_numbers() {
    let began = Instant::now();
    let mut viewer = guarded();
    viewer.sender.start(&viewer.outgoing, began);
    viewer.guard(Protection::Medium, 0);
    let (mut sequence, mut repairs, mut octets) = (FEC.sequence, 0, 0);
    let mut numbers = Vec::new();
    for frame in synthetic(began, 20, 10, (100_000, 5000)) {
        let wire = viewer.send(&frame);
        let timestamp = packet::Incoming::parse(&wire.media[0]).unwrap().timestamp;
        for packet in &wire.repairs {
            let read = packet::Incoming::parse(packet).unwrap();
            assert_eq!((read.ssrc, read.payload_type, read.marker), (FEC.ssrc, FEC.payload_type, false));
            assert_eq!((read.sequence, read.timestamp), (sequence, timestamp));
            sequence = sequence.wrapping_add(1);
            repairs += 1;
            octets += read.payload.len() as u64;
        }
        let all = wire.media.iter().chain(&wire.repairs);
        numbers.extend(all.map(|packet| packet::Incoming::parse(packet).unwrap().extensions(&IDS).transport_sequence));
    }
    let guarded = viewer.sender.guarded();
    assert_eq!((guarded.fec_packets, guarded.fec_octets), (repairs, octets));
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), viewer.sender.sent().0 as usize + repairs as usize, "each number is used once");
}

#[test]
fn old_frames_have_no_repair_packets_any_more() {
    let began = Instant::now();
    let mut outgoing = Outgoing::new(Codec::H264, Limits::default()).unwrap();
    for frame in synthetic(began, 20, 20, (5000, 5000)) {
        let number = outgoing.push(&frame).unwrap().number;
        let newest = outgoing.frame(number).unwrap();
        assert!(outgoing.parities(newest, Protection::Light).is_some());
        assert!(outgoing.parities(newest, Protection::None).is_none());
    }
    let protected = |number: u64| outgoing.parities(outgoing.frame(number).unwrap(), Protection::Light).is_some();
    assert_eq!((protected(11), protected(12)), (false, true));
}

#[test]
fn the_decoder_keeps_a_bounded_number_of_repair_packets() {
    let began = Instant::now();
    let mut viewer = guarded();
    viewer.sender.start(&viewer.outgoing, began);
    viewer.guard(Protection::Strong, 0);
    let mut decoder = Decoder::new(SSRC, IDS.transport_cc);
    let mut repairs = 0;
    for frame in synthetic(began, 40, 40, (50_000, 10_000)) {
        for packet in viewer.send(&frame).repairs {
            decoder.handle_repair(packet::Incoming::parse(&packet).unwrap().payload);
            repairs += 1;
        }
    }
    let counters = decoder.counters();
    assert!(counters.evicted > 0 && counters.evicted + counters.recovered + 48 >= repairs, "{counters:?} {repairs}");
    let foreign = [&[0_u8, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 9], &[0x80, 0], &[1; 20]].concat();
    decoder.handle_repair(&foreign);
    assert_eq!(decoder.counters().refused, 1, "it is of another stream");
}

#[test]
fn audio_repeats_earlier_packets_while_packets_are_lost() {
    let began = Instant::now();
    let mut viewer = Viewer::new(Codec::Opus, GuardConfig { fec: None, red: Some(63) });
    viewer.sender.start(&viewer.outgoing, began);
    let frames = repeated(Codec::Opus, began, 40);
    let mut payloads = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        match index {
            10 => viewer.guard(Protection::None, 1),
            20 => viewer.guard(Protection::None, 3),
            30 => viewer.guard(Protection::None, 0),
            _ => {}
        }
        let wire = viewer.send(frame);
        let read = packet::Incoming::parse(&wire.media[0]).unwrap();
        payloads.push(frame.payload.clone());
        let depth = match index {
            0..10 | 30.. => 0,
            10..20 => 1,
            _ => 3,
        };
        if depth == 0 {
            assert_eq!((read.payload_type, read.payload), (102, &frame.payload[..]));
            continue;
        }
        assert_eq!(read.payload_type, 63);
        let blocks: Vec<_> = red::blocks(read.payload).unwrap().collect();
        assert_eq!(blocks.len(), depth + 1, "{index}");
        for (back, block) in blocks.iter().rev().enumerate() {
            assert_eq!((block.payload_type, block.offset), (102, back as u32 * 960));
            assert_eq!(block.payload, &payloads[index - back][..]);
        }
    }
    let guarded = viewer.sender.guarded();
    assert_eq!(guarded.red_packets, 20);
    assert!(guarded.red_octets > 20 * 60);
}

#[test]
fn audio_that_is_sent_again_as_it_was_has_the_same_bytes_after_the_redundancy_changed() {
    let began = Instant::now();
    let mut viewer = Viewer::resending(Codec::Opus, GuardConfig { fec: None, red: Some(63) }, Resend::AsSent);
    viewer.sender.start(&viewer.outgoing, began);
    let mut sent = Vec::new();
    for (index, frame) in repeated(Codec::Opus, began, 30).iter().enumerate() {
        match index {
            10 => viewer.guard(Protection::None, 1),
            20 => viewer.guard(Protection::None, 3),
            _ => {}
        }
        sent.extend(viewer.send(frame).media);
    }
    let now = began + Duration::from_millis(600);
    for packet in &sent {
        assert_eq!(viewer.again(packet, now).unwrap(), *packet);
    }
}

/// A receiver makes a packet from others only if their headers are alike, and it takes repeats for the packets that were lost.
#[test]
fn the_headers_of_a_frame_and_of_its_repeats_are_alike_while_the_hold_and_reports_change_them() {
    const REPAIR: Resend = Resend::Repair { ssrc: 5, payload_type: 103, sequence: 0 };
    for resend in [REPAIR, Resend::AsSent, Resend::Never] {
        let (began, mut random) = (Instant::now(), Random(7));
        let mut viewer = Viewer::resending(Codec::H264, GuardConfig { fec: Some(FEC), red: None }, resend);
        viewer.sender.start(&viewer.outgoing, began);
        let mut decoder = Decoder::new(SSRC, if resend == Resend::AsSent { 0 } else { IDS.transport_cc });
        let (mut stated, mut lengths, mut made) = (BTreeSet::new(), BTreeSet::new(), 0);
        for (index, frame) in synthetic(began, 120, 30, (20_000, 9000)).iter().enumerate() {
            // The hold goes up and down, and the audio of the track comes later for a while.
            let hold = Duration::from_millis(if index / 20 % 2 == 0 { 100 } else { 0 });
            viewer.sender.set_mix(&Mix { protection: Protection::Medium, hold, budget: 100.0, ..Mix::default() });
            viewer.outgoing.hold_for_sound(Duration::from_millis(index as u64 / 30 * 30));
            let wire = viewer.send(frame);
            let heads = |packet: &[u8]| {
                let read = packet::Incoming::parse(packet).unwrap();
                let mut header = packet[..packet.len() - read.payload.len()].to_vec();
                (header[1], header[2], header[3]) = (header[1] & 0x7f, 0, 0);
                if let Some(number) = read.extension_value(IDS.transport_cc) {
                    header[number].fill(0);
                }
                header
            };
            let first = heads(&wire.media[0]);
            assert!(wire.media.iter().all(|packet| heads(packet) == first), "{resend:?}, frame {index}");
            lengths.insert(first.len());
            stated.insert(
                packet::Incoming::parse(&wire.media[0])
                    .unwrap()
                    .extension_value(IDS.playout_delay)
                    .map(|at| wire.media[0][at].to_vec()),
            );
            // One packet of each frame is lost, another comes as a repeat where there are any.
            let lost = random.below(wire.media.len() as u64) as usize;
            for (at, packet) in wire.media.iter().enumerate().filter(|(at, _)| *at != lost) {
                let repeat = if at == lost + 1 { viewer.again(packet, frame.arrived) } else { None };
                decoder.handle_media(&repeat.unwrap_or_else(|| packet.clone()));
            }
            wire.repairs
                .iter()
                .for_each(|packet| decoder.handle_repair(packet::Incoming::parse(packet).unwrap().payload));
            let recovered = decoder.poll_recovered();
            let whole =
                if resend == Resend::AsSent { wire.media[lost].clone() } else { without_number(&wire.media[lost]) };
            assert_eq!(recovered.as_deref(), Some(&whole[..]), "{resend:?}, frame {index}");
            made += 1;
            if index % 7 == 3 {
                viewer.report();
            }
        }
        assert_eq!((made, decoder.counters().refused), (120, 0));
        assert!(stated.len() > 8 && lengths.len() > 1, "{} delays, lengths {lengths:?}", stated.len());
    }
}

#[test]
fn repeats_and_repair_packets_share_one_budget() {
    let (began, mut now) = (Instant::now(), Instant::now());
    let mut viewer = guarded();
    viewer.sender.start(&viewer.outgoing, began);
    viewer.sender.set_mix(&Mix { protection: Protection::Strong, ..Mix::default() });
    let (mut repeated, mut media) = (0, 0);
    for frame in synthetic(began, 300, 30, (40_000, 40_000)) {
        let wire = viewer.send(&frame);
        media += wire.media.iter().map(Vec::len).sum::<usize>();
        now = frame.arrived;
        // It asks for everything.
        repeated +=
            wire.media.iter().filter_map(|packet| viewer.again(packet, now)).map(|packet| packet.len()).sum::<usize>();
    }
    let guarded = viewer.sender.guarded();
    let beside = guarded.fec_octets as usize + repeated;
    let seconds = (now - began).as_secs_f32();
    let allowed = (seconds + 1.0) * 125_000.0 + 0.5 * media as f32 * (1.0 + 1.0 / seconds);
    assert!(beside as f32 <= allowed * 1.02, "{beside} bytes of {allowed}, {guarded:?}");
    assert!(beside as f32 >= allowed * 0.7 && guarded.fec_left_out > 0, "{beside} bytes of {allowed}, {guarded:?}");
}
