//! What a viewer gets beside its packets, so that it need not ask for a lost one: repair packets of video
//! ([`fec`](crate::rtp::fec)), and audio packets that repeat those before them ([`red`](crate::rtp::red)).
//!
//! How much of it is sent follows from the viewer's path ([`Mix`]). A viewer without loss gets the bytes that it would get
//! without all this.

use std::time::Instant;

use super::{HEADER_MAX, SEQUENCE_START, SPANS, Sender};
use crate::rtp::fec::{Parity, Protection};
use crate::rtp::outgoing::{Outgoing, Packet, Packets};
use crate::rtp::packet::HeaderWriter;
use crate::rtp::recovery::Mix;
use crate::rtp::red::Redundancy;

/// The forms of redundancy that were negotiated for one track of one viewer.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardConfig {
    /// The stream of repair packets (FlexFEC).
    pub fec: Option<FecConfig>,
    /// The payload type of redundant audio (RFC 2198).
    pub red: Option<u8>,
}

/// The stream of repair packets.
#[derive(Clone, Copy, Debug)]
pub struct FecConfig {
    /// The SSRC of the stream.
    pub ssrc: u32,
    /// The payload type.
    pub payload_type: u8,
    /// The first sequence number, taken modulo 32768.
    pub sequence: u16,
}

/// Counts of what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Repair packets of video.
    pub fec_packets: u32,
    /// The bytes of their payloads.
    pub fec_octets: u64,
    /// Repair packets of video that were left out because they are over the budget.
    pub fec_left_out: u64,
    /// Audio packets that repeat others.
    pub red_packets: u32,
    /// The bytes that they have more than the packets alone.
    pub red_octets: u64,
}

#[derive(Debug)]
pub(super) struct Guard {
    config: GuardConfig,
    protection: Protection,
    redundancy: Redundancy,
    guarded: Guarded,
}

impl Guard {
    pub(super) fn new(config: GuardConfig) -> Option<Box<Self>> {
        if config.fec.is_none() && config.red.is_none() {
            return None;
        }
        let fec = config.fec.map(|fec| FecConfig {
            payload_type: fec.payload_type & 0x7f,
            sequence: fec.sequence % SEQUENCE_START,
            ..fec
        });
        let red = config.red.map(|payload_type| payload_type & 0x7f);
        let (protection, redundancy, guarded) = (Protection::None, Redundancy::NONE, Guarded::default());
        Some(Box::new(Self { config: GuardConfig { fec, red }, protection, redundancy, guarded }))
    }

    /// Takes in how the viewer's losses are made up for.
    pub(super) fn set_mix(&mut self, mix: &Mix) {
        (self.protection, self.redundancy) = (mix.protection, mix.redundancy);
    }
}

impl Sender {
    /// Returns the level of the repair packets that this viewer gets now: none without the stream for them.
    pub fn protection(&self) -> Protection {
        let guard = self.guard.as_ref().filter(|guard| guard.config.fec.is_some());
        guard.map_or(Protection::None, |guard| guard.protection)
    }

    /// Returns whether the viewer takes repair packets, and whether it takes audio that repeats earlier packets.
    pub fn guards(&self) -> (bool, bool) {
        self.guard.as_ref().map_or((false, false), |guard| (guard.config.fec.is_some(), guard.config.red.is_some()))
    }

    /// Returns which earlier packets an audio packet repeats.
    pub(super) fn redundancy(&self) -> Redundancy {
        let guard = self.guard.as_ref().filter(|guard| guard.config.red.is_some());
        guard.map_or(Redundancy::NONE, |guard| guard.redundancy)
    }

    /// Returns what was sent beside the packets.
    pub fn guarded(&self) -> Guarded {
        self.guard.as_ref().map(|guard| guard.guarded).unwrap_or_default()
    }

    /// Returns the packet in the form in which this viewer gets it: audio perhaps with earlier packets, which are put into
    /// `scratch`. The packet is of the frame polled last.
    pub fn dressed<'p>(
        &mut self,
        packet: Packet<'p>,
        outgoing: &Outgoing,
        now: Instant,
        scratch: &'p mut Vec<u8>,
    ) -> Packet<'p> {
        let alone = packet.payload.len();
        let packet = self.as_sent(packet, self.spans[SPANS - 1].redundancy, outgoing, scratch);
        if let Some(guard) = self.guard.as_mut().filter(|_| packet.is_redundant) {
            guard.guarded.red_packets = guard.guarded.red_packets.wrapping_add(1);
            let more = packet.payload.len() - alone;
            guard.guarded.red_octets += more as u64;
            self.budget.get_or_insert_default().charge(more, self.octets, now);
        }
        packet
    }

    /// Returns the packet as it was sent in a span that repeats these packets.
    pub(super) fn as_sent<'p>(
        &self,
        packet: Packet<'p>,
        redundancy: Redundancy,
        outgoing: &Outgoing,
        scratch: &'p mut Vec<u8>,
    ) -> Packet<'p> {
        match outgoing.redundant(packet.frame, redundancy) {
            Some(redundant) => {
                redundant.write(self.payload_type, scratch);
                Packet { payload: scratch, is_redundant: true, ..packet }
            }
            None => packet,
        }
    }

    /// Returns the payload type of a packet.
    pub(super) fn payload_type_of(&self, packet: &Packet<'_>) -> u8 {
        let red = self.guard.as_ref().and_then(|guard| guard.config.red).filter(|_| packet.is_redundant);
        red.unwrap_or(self.payload_type)
    }

    /// Writes a repair packet of the frame polled last, whose packets have been sent: its header into `buffer`, which is
    /// returned, and its payload into `payload`. `transport_sequence` is as for [`Sender::header`]. `None` if the budget does not pay
    /// for it, which is counted.
    pub fn repair_header<'b>(
        &mut self,
        parity: &Parity,
        packets: &Packets,
        (transport_sequence, now): (&mut u16, Instant),
        buffer: &'b mut [u8; HEADER_MAX],
        payload: &mut Vec<u8>,
    ) -> Option<&'b [u8]> {
        let first = packets.get(parity.first())?;
        let span = self.spans[SPANS - 1];
        let stream = (self.ssrc, self.payload_type, span.on_wire(first.sequence) as u16);
        let mut covered = [0; HEADER_MAX];
        let covered = self.write_header(stream, &span, &first, &mut 0, &mut covered);
        let block = packets.iter().skip(parity.first()).map(|packet| (packet.marker, packet.payload.len()));
        parity.write(block, covered, payload);
        let timestamp = u32::from_be_bytes([covered[4], covered[5], covered[6], covered[7]]);
        let guard = self.guard.as_mut()?;
        let fec = guard.config.fec.as_mut()?;
        if !self.budget.get_or_insert_default().spend(payload.len(), self.octets, now) {
            guard.guarded.fec_left_out += 1;
            return None;
        }
        let sequence = fec.sequence;
        fec.sequence = sequence.wrapping_add(1);
        guard.guarded.fec_packets = guard.guarded.fec_packets.wrapping_add(1);
        guard.guarded.fec_octets += payload.len() as u64;
        let mut writer = HeaderWriter::new(buffer, (false, fec.payload_type), sequence, timestamp, fec.ssrc);
        if self.extensions.transport_cc != 0 {
            writer.extension(self.extensions.transport_cc, &transport_sequence.to_be_bytes());
            *transport_sequence = transport_sequence.wrapping_add(1);
        }
        Some(writer.finish())
    }
}
