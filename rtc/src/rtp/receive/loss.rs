//! Missing packets, the times to ask for them (NACK), and the round trip that the answers show.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most missing packets that are tracked at one time. More mean a broken path, and then a
/// keyframe costs less.
pub(super) const MISSING_MAX: usize = 512;
/// The most packets that one NACK asks for: 800 bytes at worst.
pub(super) const ASKED_AT_ONCE: usize = 192;
/// The wait before a packet is asked for, because it may only be late.
const REORDER_TOLERANCE: Duration = Duration::from_millis(5);
const TRIES_MAX: u8 = 8;
const RTT_START: Duration = Duration::from_millis(100);
const RTT_LEAST: Duration = Duration::from_millis(10);
const RTT_MOST: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: i64,
    asked: Option<Instant>,
    tries: u8,
    next: Instant,
}

#[derive(Debug)]
pub(super) struct Losses {
    missing: VecDeque<Missing>,
    rtt: Duration,
}

impl Default for Losses {
    fn default() -> Self {
        Self { missing: VecDeque::new(), rtt: RTT_START }
    }
}

impl Losses {
    /// Notes that the packets from `first` up to before `end` are missing. Returns false if they
    /// are too many to ask for.
    pub(super) fn note(&mut self, first: i64, end: i64, now: Instant) -> bool {
        if self.missing.len() as i64 + (end - first) > MISSING_MAX as i64 {
            self.missing.clear();
            return false;
        }
        let next = now + REORDER_TOLERANCE;
        self.missing.extend((first..end).map(|sequence| Missing { sequence, asked: None, tries: 0, next }));
        true
    }

    /// Notes that a missing packet came.
    pub(super) fn found(&mut self, sequence: i64, now: Instant) {
        let Ok(index) = self.missing.binary_search_by_key(&sequence, |missing| missing.sequence) else { return };
        if let Some(found) = self.missing.remove(index)
            && found.tries == 1
            && let Some(asked) = found.asked
        {
            let sample = now.saturating_duration_since(asked).clamp(RTT_LEAST, RTT_MOST);
            self.rtt = (self.rtt * 7 + sample) / 8;
        }
    }

    /// Forgets the missing packets before `sequence`, which were given up.
    pub(super) fn give_up_before(&mut self, sequence: i64) {
        while self.missing.front().is_some_and(|missing| missing.sequence < sequence) {
            self.missing.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.missing.clear();
    }

    /// Asks for the packets that are due, oldest first.
    pub(super) fn poll(&mut self, now: Instant, mut ask: impl FnMut(i64)) {
        let rtt = self.rtt;
        let due = self.missing.iter_mut().filter(|missing| missing.tries < TRIES_MAX && missing.next <= now);
        for missing in due.take(ASKED_AT_ONCE) {
            missing.tries += 1;
            missing.asked = Some(now);
            missing.next = now + rtt * (2 + u32::from(missing.tries)) / 2; // 1.5, 2, 2.5 … round trips
            ask(missing.sequence);
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.missing.iter().filter(|missing| missing.tries < TRIES_MAX).map(|missing| missing.next).min()
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.rtt
    }
}
