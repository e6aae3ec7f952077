//! Estimates how much later than its position a source arrives when the network does not delay it.
//!
//! Dates follow from it. The least delayed arrivals of the last 10 to 20 s state it.

use crate::time::WallTime;

/// The least lateness is taken over one to two windows of this length.
const WINDOW_MICROS: i64 = 10_000_000;

/// How fast the estimate may rise: 500 ppm, several times what crystals differ by, and too slow to see.
const RISE_PPM: i64 = 500;

/// An estimate that is further below the least lateness than this is wrong: the publisher's clock is slow by more than a
/// crystal is, or frames came earlier for a moment than they ever should.
const WRONG_MICROS: i64 = 50_000;

/// How fast it may rise then: 2 %, twice what the slowest clocks of publishers lose.
const RISE_FAST_PPM: i64 = 20_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lateness(Option<Estimate>);

#[derive(Clone, Copy, Debug)]
struct Estimate {
    /// The least lateness in the window before this one, and in this one.
    previous_least: i64,
    least: i64,
    window_start: WallTime,
    /// The estimate, which falls at once and rises slowly.
    in_force: i64,
    updated: WallTime,
}

impl Lateness {
    /// Returns the lateness in force.
    pub(super) fn in_force(&self) -> i64 {
        self.known().unwrap_or(0)
    }

    /// Returns the lateness in force, if a frame has told it.
    pub(super) fn known(&self) -> Option<i64> {
        self.0.map(|estimate| estimate.in_force)
    }

    /// Starts over with this lateness, because what was observed was not true.
    pub(super) fn restart(&mut self, late: i64, now: WallTime) {
        *self = Self::default();
        self.observe(late, now);
    }

    /// Takes in a frame's lateness and returns the lateness in force.
    pub(super) fn observe(&mut self, late: i64, arrival: WallTime) -> i64 {
        let estimate = self.0.get_or_insert(Estimate {
            previous_least: i64::MAX,
            least: i64::MAX,
            window_start: arrival,
            in_force: late,
            updated: arrival,
        });
        if arrival.micros_since(estimate.window_start) > WINDOW_MICROS {
            estimate.previous_least = std::mem::replace(&mut estimate.least, i64::MAX);
            estimate.window_start = arrival;
        }
        estimate.least = estimate.least.min(late);
        let target = estimate.least.min(estimate.previous_least);
        let is_wrong = target.saturating_sub(estimate.in_force) > WRONG_MICROS;
        let ppm = if is_wrong { RISE_FAST_PPM } else { RISE_PPM };
        let rise = arrival.micros_since(estimate.updated).max(0) * ppm / 1_000_000;
        if target < estimate.in_force {
            estimate.in_force = target;
            estimate.updated = arrival;
        } else if rise > 0 {
            estimate.in_force = target.min(estimate.in_force + rise);
            estimate.updated = arrival;
        }
        estimate.in_force
    }
}
