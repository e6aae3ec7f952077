//! Losses of a network, alone or in bursts, by a seed.

use super::fixture::Random;

/// The losses of one direction: Gilbert's model, whose bad state loses all packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses {
    percent: u64,
    /// The mean length of a run of lost packets. 1 means that losses are independent.
    burst: u64,
    is_bad: bool,
}

impl Losses {
    pub(crate) fn new(percent: u64, burst: u64) -> Self {
        Self { percent, burst, is_bad: false }
    }

    /// Returns whether the next packet is lost.
    pub(crate) fn next(&mut self, random: &mut Random) -> bool {
        const MILLION: u64 = 1_000_000;
        if self.burst <= 1 {
            return random.chance(self.percent);
        }
        let enters = MILLION * self.percent / (self.burst * (100 - self.percent).max(1));
        self.is_bad = match self.is_bad {
            true => random.below(self.burst) > 0,
            false => random.below(MILLION) < enters,
        };
        self.is_bad
    }
}
