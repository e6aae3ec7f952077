//! Puts packets in order: a packet that comes too early is held until the missing ones came or were
//! given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::loss::Between;

/// The most packets between the one waited for and the newest: more than a second at 20 Mbit/s.
pub(super) const HELD_MAX: i64 = 2048;
/// The most bytes of their payloads together.
const HELD_BYTES_MAX: usize = 4 << 20;

/// The most packets of a stream that the first one to come may have overtaken.
const OVERTAKEN_MAX: i64 = 8;

/// The parts of a packet that are kept.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload_type: u8,
    pub(super) payload: Bytes,
    pub(super) ready: Between,
}

/// The place of a packet in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The packet is the next.
    Next,
    /// The packet is too early. Hold it.
    Early,
    /// The packet came before, or was given up.
    Late,
    /// The packet is too far ahead, or too many bytes are held, to wait for the missing ones.
    Far,
}

#[derive(Debug, Default)]
pub(super) struct Reorder {
    next: Option<i64>,
    /// The packet with number `next + n` is `held[n]`. The missing one is `held[0]`, so that is
    /// `None`.
    held: VecDeque<Option<Held>>,
    bytes: usize,
    /// When the first packet behind the gap was ready at the latest.
    waiting_since: Option<Instant>,
}

impl Reorder {
    /// Makes the order of a stream whose first packet may have been overtaken by this one.
    pub(super) fn before(sequence: i64) -> Self {
        Self { next: Some(sequence - OVERTAKEN_MAX), ..Self::default() }
    }

    pub(super) fn place(&self, sequence: i64) -> Place {
        let Some(next) = self.next else { return Place::Next };
        match sequence - next {
            0 => Place::Next,
            ahead @ 1.. if ahead < HELD_MAX && self.bytes < HELD_BYTES_MAX => match self.held.get(ahead as usize) {
                Some(Some(_)) => Place::Late,
                _ => Place::Early,
            },
            1.. => Place::Far,
            _ => Place::Late,
        }
    }

    /// Notes that the packet `sequence`, which was next, was taken.
    pub(super) fn pass(&mut self, sequence: i64) {
        self.next = Some(sequence + 1);
        self.held.pop_front();
        self.note_gap();
    }

    /// Keeps a packet whose place is [`Place::Early`].
    pub(super) fn hold(&mut self, sequence: i64, packet: Held) {
        let Some(ahead) = self.next.and_then(|next| usize::try_from(sequence - next).ok()) else { return };
        if self.held.len() <= ahead {
            self.held.resize(ahead + 1, None);
        }
        self.bytes += packet.payload.len();
        self.waiting_since.get_or_insert(packet.ready.latest);
        self.held[ahead] = Some(packet);
    }

    /// Takes the held packet that is next now, if there is one.
    pub(super) fn take(&mut self) -> Option<Held> {
        let packet = self.held.front_mut()?.take()?;
        self.bytes -= packet.payload.len();
        self.pass(self.next?);
        Some(packet)
    }

    /// Returns the time at which the missing packets are given up.
    pub(super) fn deadline(&self, wait: Duration) -> Option<Instant> {
        self.waiting_since.map(|since| since + wait)
    }

    /// Gives up the packets that are missing before the first held one, and returns their number.
    pub(super) fn skip(&mut self) -> i64 {
        let Some(next) = self.next else { return 0 };
        let missing = self.held.iter().take_while(|slot| slot.is_none()).count();
        self.held.drain(..missing);
        self.next = Some(next + missing as i64);
        self.waiting_since = None;
        missing as i64
    }

    /// Forgets everything. The packet `sequence` is next.
    pub(super) fn restart(&mut self, sequence: i64) {
        *self = Self { next: Some(sequence), ..Self::default() };
    }

    pub(super) fn next(&self) -> Option<i64> {
        self.next
    }

    fn note_gap(&mut self) {
        self.waiting_since = match self.held.front() {
            None | Some(Some(_)) => None,
            Some(None) => self.held.iter().flatten().next().map(|packet| packet.ready.latest),
        };
    }
}
