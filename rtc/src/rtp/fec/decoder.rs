//! Makes lost packets of one stream from the repair packets of FlexFEC.
//!
//! Keeps the last [`MEDIA`] packets and [`REPAIRS`] repair packets that lack something. Each pair of a packet and a repair
//! packet is added once, so the work is at most [`REPAIRS`] additions for a packet and the number of covered packets for a
//! repair packet. When it is full, the oldest repair packet goes, which is counted.
//!
//! Packets are whole ones, after SRTP. A packet that was made again has 0 as its transport-wide number, because the sender
//! counted that after it protected the packet.

use std::collections::VecDeque;

use super::header::{MASK_BITS, Recovery};
use super::parities::add;
use crate::rtp::packet::Incoming;

/// The packets that are kept: more than twice what one mask covers. A power of two.
const MEDIA: usize = 256;
/// The repair packets that wait for a packet: more than the strongest protection of one block has.
const REPAIRS: usize = 48;
/// A repair packet whose first packet is this far behind is of no use any more.
const BEHIND_MAX: u16 = 1024;

/// Counts of a [`Decoder`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderCounters {
    /// Packets that were made again.
    pub recovered: u64,
    /// Repair packets that cannot be parsed, are of another stream, or do not fit the packets that they cover.
    pub refused: u64,
    /// Repair packets that went unused, because too many were missing or because of their age.
    pub evicted: u64,
}

/// The decoder of one stream.
#[derive(Debug)]
pub struct Decoder {
    ssrc: u32,
    transport_cc: u8,
    media: Box<[Option<Kept>]>,
    repairs: VecDeque<Repair>,
    recovered: VecDeque<Vec<u8>>,
    /// The packets that have come, or were made, and are not added to the repair packets yet. Empty between calls.
    work: Vec<Kept>,
    counters: DecoderCounters,
}

#[derive(Debug)]
struct Kept {
    sequence: u16,
    is_recovered: bool,
    bytes: Vec<u8>,
}

/// A repair packet less the packets that are there.
#[derive(Debug)]
struct Repair {
    rest: Recovery,
    body: Vec<u8>,
}

impl Repair {
    /// Takes a packet out of the sum if it is covered and not taken out yet. `Err` if the packet is longer than the
    /// repair packet allows.
    fn take_out(&mut self, kept: &Kept) -> Result<(), ()> {
        let at = u32::from(kept.sequence.wrapping_sub(self.rest.base));
        if at >= MASK_BITS || self.rest.mask >> at & 1 == 0 {
            return Ok(());
        }
        let (fixed, after) = kept.bytes.split_first_chunk::<12>().ok_or(())?;
        if after.len() > self.body.len() {
            return Err(());
        }
        self.rest.add(fixed, after.len());
        self.rest.mask &= !(1 << at);
        add(&mut self.body, after);
        Ok(())
    }

    /// Makes the only packet that is left in the sum. `None` if the result is not a packet.
    fn finish(mut self) -> Option<Kept> {
        let length = usize::from(self.rest.length);
        if length > self.body.len() {
            return None;
        }
        self.body.truncate(length);
        let sequence = self.rest.base.wrapping_add(self.rest.mask.trailing_zeros() as u16);
        let mut bytes = vec![0x80 | self.rest.bits[0] & 0x3f, self.rest.bits[1]];
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&self.rest.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.rest.ssrc.to_be_bytes());
        bytes.extend_from_slice(&self.body);
        Incoming::parse(&bytes)?;
        Some(Kept { sequence, is_recovered: true, bytes })
    }

    fn is_complete(&self) -> bool {
        self.rest.mask.count_ones() <= 1
    }
}

impl Decoder {
    /// Makes the decoder of the stream `ssrc`. `transport_cc` is the id of the transport-wide number, 0 if there is none.
    pub fn new(ssrc: u32, transport_cc: u8) -> Self {
        Self {
            ssrc,
            transport_cc,
            media: std::iter::repeat_with(|| None).take(MEDIA).collect(),
            repairs: VecDeque::new(),
            recovered: VecDeque::new(),
            work: Vec::new(),
            counters: DecoderCounters::default(),
        }
    }

    /// Takes in a packet of the stream. Packets of other streams do nothing.
    pub fn handle_media(&mut self, packet: &[u8]) {
        let Some(read) = Incoming::parse(packet).filter(|read| read.ssrc == self.ssrc) else { return };
        let (sequence, mut bytes) = (read.sequence, packet.to_vec());
        if let Some(number) = read.extension_value(self.transport_cc) {
            bytes[number].fill(0);
        }
        self.forget_old(sequence);
        self.work.push(Kept { sequence, is_recovered: false, bytes });
        self.work();
    }

    /// Takes in the payload of a repair packet.
    pub fn handle_repair(&mut self, payload: &[u8]) {
        let read = Recovery::parse(payload).filter(|(rest, body)| rest.ssrc == self.ssrc && body.len() <= 1 << 11);
        let Some((rest, body)) = read else {
            self.counters.refused += 1;
            return;
        };
        let mut repair = Repair { rest, body: body.to_vec() };
        for at in (0..MASK_BITS as u16).filter(|at| rest.mask >> at & 1 == 1) {
            let sequence = rest.base.wrapping_add(at);
            let kept = self.media[usize::from(sequence) % MEDIA].as_ref();
            if let Some(kept) = kept.filter(|kept| kept.sequence == sequence)
                && repair.take_out(kept).is_err()
            {
                self.counters.refused += 1;
                return;
            }
        }
        if repair.is_complete() {
            self.complete(repair);
            return self.work();
        }
        if self.repairs.len() == REPAIRS {
            self.repairs.pop_front();
            self.counters.evicted += 1;
        }
        self.repairs.push_back(repair);
    }

    /// Returns the next packet that was made again, whole, with 0 as its transport-wide number.
    pub fn poll_recovered(&mut self) -> Option<Vec<u8>> {
        self.recovered.pop_front()
    }

    /// Returns the counters.
    pub fn counters(&self) -> DecoderCounters {
        self.counters
    }

    /// Keeps the packets in `work`, and takes them out of the repair packets, which may complete others.
    fn work(&mut self) {
        while let Some(kept) = self.work.pop() {
            let slot = usize::from(kept.sequence) % MEDIA;
            if self.media[slot].as_ref().is_some_and(|there| there.sequence == kept.sequence) {
                continue;
            }
            let mut at = 0;
            while at < self.repairs.len() {
                let taken = self.repairs[at].take_out(&kept);
                if taken.is_ok() && !self.repairs[at].is_complete() {
                    at += 1;
                    continue;
                }
                let Some(repair) = self.repairs.remove(at) else { break };
                match taken {
                    Ok(()) => self.complete(repair),
                    Err(()) => self.counters.refused += 1,
                }
            }
            if kept.is_recovered {
                self.counters.recovered += 1;
                // A reader that never polls loses the oldest: each repair packet makes one packet at most.
                if self.recovered.len() == MEDIA {
                    self.recovered.pop_front();
                }
                self.recovered.push_back(kept.bytes.clone());
            }
            self.media[slot] = Some(kept);
        }
    }

    fn complete(&mut self, repair: Repair) {
        if repair.rest.mask == 0 {
            return; // Nothing was lost.
        }
        match repair.finish() {
            Some(kept) => self.work.push(kept),
            None => self.counters.refused += 1,
        }
    }

    fn forget_old(&mut self, sequence: u16) {
        let before = self.repairs.len();
        let is_young = |repair: &Repair| {
            let behind = sequence.wrapping_sub(repair.rest.base);
            !(BEHIND_MAX..1 << 15).contains(&behind)
        };
        if self.repairs.front().is_some_and(|oldest| !is_young(oldest)) {
            self.repairs.retain(is_young);
            self.counters.evicted += (before - self.repairs.len()) as u64;
        }
    }
}
