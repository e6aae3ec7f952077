//! Packets in order: what comes too early is held until what is missing came or was given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Packets between the one waited for and the newest; over a second of 20 Mbit/s.
pub(super) const HELD_MAX: i64 = 2048;
/// Their payloads together.
const HELD_BYTES_MAX: usize = 4 << 20;

/// What is kept of a packet.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload_type: u8,
    pub(super) payload: Bytes,
}

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the next.
    Next,
    /// It is too early: hold it.
    Early,
    /// It was here before, or was given up.
    Late,
    /// So far from the others that they are not worth waiting for.
    Far,
}

#[derive(Debug, Default)]
pub(super) struct Reorder {
    next: Option<i64>,
    /// `held[n]` has number `next + n`; `held[0]` is what is missing, so `None`.
    held: VecDeque<Option<(Held, Instant)>>,
    bytes: usize,
    /// Arrival of the first packet behind the gap.
    waiting_since: Option<Instant>,
}

impl Reorder {
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

    /// The packet that is next was taken.
    pub(super) fn pass(&mut self, sequence: i64) {
        self.next = Some(sequence + 1);
        self.held.pop_front();
        self.note_gap();
    }

    /// Keeps a packet whose place is [`Place::Early`].
    pub(super) fn hold(&mut self, sequence: i64, packet: Held, now: Instant) {
        let Some(ahead) = self.next.and_then(|next| usize::try_from(sequence - next).ok()) else { return };
        if self.held.len() <= ahead {
            self.held.resize(ahead + 1, None);
        }
        self.bytes += packet.payload.len();
        self.held[ahead] = Some((packet, now));
        self.waiting_since.get_or_insert(now);
    }

    /// A held packet that is next now.
    pub(super) fn take(&mut self) -> Option<Held> {
        let (packet, _) = self.held.front_mut()?.take()?;
        self.bytes -= packet.payload.len();
        self.pass(self.next?);
        Some(packet)
    }

    /// When what is missing is given up.
    pub(super) fn deadline(&self, wait: Duration) -> Option<Instant> {
        self.waiting_since.map(|since| since + wait)
    }

    /// Gives up what is missing before the first held packet. The number of packets lost.
    pub(super) fn skip(&mut self) -> i64 {
        let Some(next) = self.next else { return 0 };
        let missing = self.held.iter().take_while(|slot| slot.is_none()).count();
        self.held.drain(..missing);
        self.next = Some(next + missing as i64);
        self.waiting_since = None;
        missing as i64
    }

    /// Forgets everything; `sequence` is next.
    pub(super) fn restart(&mut self, sequence: i64) {
        *self = Self { next: Some(sequence), ..Self::default() };
    }

    pub(super) fn next(&self) -> Option<i64> {
        self.next
    }

    fn note_gap(&mut self) {
        self.waiting_since = match self.held.front() {
            None | Some(Some(_)) => None,
            Some(None) => self.held.iter().flatten().next().map(|(_, arrived)| *arrived),
        };
    }
}
