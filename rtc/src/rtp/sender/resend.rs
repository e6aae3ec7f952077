//! Packets that a viewer gets again: those that it asks for, their further copies, and what the [`Mix`] changes about them.

use std::time::{Duration, Instant};

use super::super::outgoing::{Outgoing, Packet, PlayoutDelay};
use super::super::recovery::{Known, Mix};
use super::super::red::Redundant;
use super::hold::Hold;
use super::repair::Repairs;
use super::span::Span;
use super::{HEADER_MAX, RepairCounters, SPANS, Sender, Stores};

/// A packet that is sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired<'b> {
    /// A packet of the repair stream. It is sealed like any new packet.
    New {
        /// The whole header.
        header: &'b [u8],
        /// The original sequence number, then the payload of the lost packet.
        payload: &'b [u8],
    },
    /// The packet as it was sent before, byte for byte. It is sealed under its old number.
    Again {
        /// The whole header.
        header: &'b [u8],
        /// The payload.
        payload: &'b [u8],
    },
}

/// The buffer for one repaired packet. It is reused.
#[derive(Debug)]
pub struct RepairScratch {
    header: [u8; HEADER_MAX],
    payload: Vec<u8>,
}

impl Default for RepairScratch {
    fn default() -> Self {
        Self { header: [0; HEADER_MAX], payload: Vec::new() }
    }
}

/// Returns the payload bytes of a repeat. Without a repair stream they are those that were sent: of redundant audio with what it repeats.
fn repeated_bytes(repairs: &Repairs, packet: &Packet<'_>, span: &Span, outgoing: &Outgoing) -> usize {
    let redundant = repairs.sends_the_same().then(|| outgoing.redundant(packet.frame, span.redundancy)).flatten();
    redundant.map_or(packet.payload.len(), Redundant::bytes)
}

impl Sender {
    /// Returns whether lost packets are sent again.
    pub fn repairs(&self) -> bool {
        self.repairs.is_some()
    }

    /// Returns whether a packet that the peer asks for may be looked for now. If not, the rest of its request is left.
    pub fn looks(&mut self, now: Instant) -> bool {
        self.repairs.as_mut().is_none_or(|repairs| repairs.looks(now))
    }

    /// Makes a packet to send again. `lost` is the sequence number on the wire that the peer reports lost. `None` if
    /// the packet is not sent again, which is counted. `scratch` holds the returned bytes.
    pub fn repair<'b>(
        &mut self,
        lost: u16,
        stores: impl Into<Stores<'b>>,
        now: Instant,
        transport_sequence: &mut u16,
        scratch: &'b mut RepairScratch,
    ) -> Option<Repaired<'b>> {
        let stores = stores.into();
        let wanted = self.kept(lost, stores);
        let round_trip = self.round_trip().map(|mean| (mean, self.round_trip_variation()));
        let repairs = self.repairs.as_mut()?;
        let Some((packet, span)) = wanted.filter(|(packet, span)| {
            let remembers = |hold: &Hold| hold.remembers(span.on_wire(packet.sequence));
            !repairs.sends_the_same() || self.hold.as_deref().is_none_or(remembers)
        }) else {
            repairs.counters.unknown += 1;
            return None;
        };
        let bytes = repeated_bytes(repairs, &packet, &span, stores.of(span.generation, self.generation)?);
        let spend = || self.budget.get_or_insert_default().spend(bytes, self.octets, now);
        repairs.admit((span.on_wire(packet.sequence), lost), spend, round_trip, now).ok()?;
        repairs.age = now.saturating_duration_since(packet.frame.arrived);
        self.repeat((lost, packet, &span), stores, transport_sequence, scratch)
    }

    /// Makes a further copy of a packet that the peer asked for, if one is due. Call it until `None`, at
    /// [`Sender::copy_timeout`].
    pub fn poll_copy<'b>(
        &mut self,
        stores: impl Into<Stores<'b>>,
        now: Instant,
        transport_sequence: &mut u16,
        scratch: &'b mut RepairScratch,
    ) -> Option<Repaired<'b>> {
        let stores = stores.into();
        loop {
            let lost = self.repairs.as_mut()?.poll_copy(now)?;
            // It may be evicted by now.
            let Some((packet, span)) = self.kept(lost, stores) else {
                self.repairs.as_mut()?.counters.unknown += 1;
                continue;
            };
            let (store, repairs) = (stores.of(span.generation, self.generation)?, self.repairs.as_mut()?);
            let bytes = repeated_bytes(repairs, &packet, &span, store);
            let is_paid = self.budget.get_or_insert_default().spend(bytes, self.octets, now);
            repairs.count_copy(is_paid);
            if is_paid {
                return self.repeat((lost, packet, &span), stores, transport_sequence, scratch);
            }
        }
    }

    /// Returns the time from the arrival of a frame to the repeat of a packet of it, for the packet that was repeated last.
    pub fn repair_age(&self) -> Duration {
        self.repairs.as_ref().map_or(Duration::ZERO, |repairs| repairs.age)
    }

    /// Returns when a further copy of a packet is due.
    pub fn copy_timeout(&self) -> Option<Instant> {
        self.repairs.as_ref()?.poll_timeout()
    }

    fn repeat<'b>(
        &mut self,
        (lost, packet, span): (u16, Packet<'b>, &Span),
        stores: Stores<'b>,
        transport_sequence: &mut u16,
        scratch: &'b mut RepairScratch,
    ) -> Option<Repaired<'b>> {
        let outgoing = stores.of(span.generation, self.generation)?;
        let Some((ssrc, payload_type, sequence)) = self.repairs.as_mut()?.next_in_stream() else {
            let packet = self.as_sent(packet, span.redundancy, outgoing, &mut scratch.payload);
            let stream = (self.ssrc, self.payload_type_of(&packet), lost);
            let header = self.write_header(stream, span, &packet, transport_sequence, &mut scratch.header);
            return Some(Repaired::Again { header, payload: packet.payload });
        };
        let stream = (ssrc, payload_type, sequence);
        let header = self.write_header(stream, span, &packet, transport_sequence, &mut scratch.header);
        scratch.payload.clear();
        scratch.payload.extend_from_slice(&lost.to_be_bytes());
        scratch.payload.extend_from_slice(packet.payload);
        Some(Repaired::New { header, payload: &scratch.payload })
    }

    /// Sends repeats, and has frames held back, by this mix from now on.
    pub fn set_mix(&mut self, mix: &Mix) {
        self.budget.get_or_insert_default().set_mix(mix);
        if let Some(repairs) = &mut self.repairs {
            repairs.set_mix(mix);
        }
        if let Some(guard) = &mut self.guard {
            guard.set_mix(mix);
        }
        if self.is_video && (self.hold.is_some() || !mix.hold.is_zero()) {
            self.hold.get_or_insert_default().set_target(PlayoutDelay::units(mix.hold));
        }
    }

    /// Returns what is known of the path by this track. `knows_round_trip` says whether the receiver knows the round trip.
    pub fn known(&self, knows_round_trip: bool) -> Known {
        let counters = self.repair_counters();
        Known {
            round_trip: self.round_trip(),
            variation: self.round_trip_variation(),
            knows_round_trip,
            asked: counters.asked,
            asked_again: counters.asked_again,
            began: self.started.map(|started| (started, self.first)),
        }
    }

    /// Returns the counts of repairs. They are zero for a viewer that is sent nothing again.
    pub fn repair_counters(&self) -> RepairCounters {
        self.repairs.as_ref().map_or_else(RepairCounters::default, |repairs| repairs.counters)
    }

    /// Returns a packet that this viewer was sent, if it is kept, and its span.
    fn kept<'b>(&self, wire: u16, stores: Stores<'b>) -> Option<(Packet<'b>, Span)> {
        let (shared, span) = self.sent_as(wire)?;
        Some((stores.of(span.generation, self.generation)?.packet(shared)?, span))
    }

    /// Returns the track's number of a packet that this viewer was sent, and the span of the packet.
    fn sent_as(&self, wire: u16) -> Option<(u64, Span)> {
        if self.span_count == 0 {
            return None;
        }
        let newest = self.spans[SPANS - 1];
        let next = newest.on_wire(self.next_shared);
        let behind = (next as u16).wrapping_sub(wire); // 1 stands for the last packet sent.
        let viewer = next.checked_sub(u64::from(behind)).filter(|_| behind != 0)?;
        let spans = &self.spans[SPANS - usize::from(self.span_count)..];
        let span = spans.iter().rev().find(|span| span.viewer <= viewer)?;
        Some((span.shared + (viewer - span.viewer), *span))
    }
}
