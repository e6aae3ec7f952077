//! The bytes that one publisher may send: a bucket that fills at a bitrate.
//!
//! All that is kept of a stream (rings, parts, segments, windows) is a time times its bitrate, so this bounds it for
//! all of them.

use std::time::{Duration, Instant};

/// How much of its bitrate a publisher may send at once: a group that was held back, a keyframe, the start of a file.
const BURST: Duration = Duration::from_secs(4);

/// A bucket of bytes, full at first.
#[derive(Clone, Copy, Debug)]
pub struct ByteBudget {
    /// In bytes.
    per_second: f64,
    left: f64,
    filled: Instant,
}

impl ByteBudget {
    /// Makes a budget of this many bits a second.
    pub fn new(bitrate: u64, now: Instant) -> Self {
        let per_second = bitrate as f64 / 8.0;
        Self { per_second, left: per_second * BURST.as_secs_f64(), filled: now }
    }

    /// Takes these bytes out of the budget. False if they are not in it: then nothing is taken.
    pub fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.left = (self.left + passed * self.per_second).min(self.per_second * BURST.as_secs_f64());
        let is_within = bytes as f64 <= self.left;
        if is_within {
            self.left -= bytes as f64;
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitrate_may_be_sent_for_ever_and_four_seconds_of_it_at_once() {
        let start = Instant::now();
        let mut budget = ByteBudget::new(8_000_000, start);
        assert!(budget.take(4_000_000, start), "four seconds of a megabyte a second");
        assert!(!budget.take(1, start));
        for second in 1..100 {
            assert!(budget.take(1_000_000, start + Duration::from_secs(second)));
        }
        assert!(!budget.take(1, start + Duration::from_secs(99)));
        assert!(budget.take(4_000_000, start + Duration::from_secs(500)), "it does not grow beyond four seconds");
        assert!(!budget.take(1, start + Duration::from_secs(500)));
    }
}
