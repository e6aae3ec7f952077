//! Watches a track whose clock cannot be followed: it stands still while frames come, or is far faster or slower than time passes.
//!
//! Such a track is loose: each of its frames is placed by its arrival. A clock that stands may
//! catch up, go on from where it stood, or show the true time at once, and the first frame after it tells none of these from another. So
//! the track stays loose until its times fit a line that is known, or until it has kept time from one second to the next.
//!
//! A clock that is too fast is seen beside another track that is on time. If none is, a publisher may send a file faster than real time,
//! or a network lets through what it has held up, and nothing is done.
//!
//! Invariant: no place that a frame was given while its track was loose is taken for what its clock states.

use crate::time::WallTime;

/// How late frames are is compared from one window of this length to the next.
const WINDOW_MICROS: i64 = 1_000_000;

/// The number of frames that tell the least lateness: with fewer, jitter would.
const FRAMES_MIN: u32 = 4;

/// A clock keeps time if the least lateness of two windows differs by no more than this. One that is off by more is not only
/// drifting ([`super::drift`]).
const STEADY_MICROS: i64 = 150_000;

/// Holds the least lateness of frames, in a window of time and the one before. Only differences of lateness count.
#[derive(Clone, Copy, Debug)]
struct Windows {
    since: WallTime,
    frames: u32,
    least: i64,
    /// Whether the clock stood in this window.
    has_stood: bool,
    /// The least lateness of the window before, if the clock did not stand in it.
    before: Option<i64>,
}

/// Holds what a window tells, in µs.
struct Told {
    least: i64,
    /// By how much it is more than in the window before.
    more: Option<i64>,
}

impl Windows {
    fn new(now: WallTime) -> Self {
        Self { since: now, frames: 0, least: i64::MAX, has_stood: false, before: None }
    }

    /// Takes in how late a frame is, and whether its clock stands. Returns what a window tells that ends with it.
    fn take(&mut self, late: i64, stands: bool, now: WallTime) -> Option<Told> {
        self.frames += 1;
        self.least = self.least.min(late);
        self.has_stood |= stands;
        let passed = now.micros_since(self.since);
        if passed < WINDOW_MICROS || self.frames < FRAMES_MIN {
            return None;
        }
        let Self { least, has_stood, before, .. } = *self;
        let known = (!has_stood).then_some(least);
        *self = Self { before: known, ..Self::new(now) };
        let more = known.zip(before).map(|(least, before)| least - before);
        Some(Told { least, more })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Loose {
    /// The shift of the line that the track has left.
    pub(super) left: i64,
    windows: Windows,
}

impl Loose {
    /// Makes a track loose that has left the line with this shift.
    pub(super) fn new(left: i64, now: WallTime) -> Self {
        Self { left, windows: Windows::new(now) }
    }

    /// Takes in that the line that the track has left is corrected by this.
    pub(super) fn lengthened(self, micros: i64) -> Self {
        Self { left: self.left + micros, ..self }
    }

    /// Takes in by how much later than stated a frame came, and whether its clock stands. Returns the least such time once
    /// the clock has kept time.
    pub(super) fn take(&mut self, late: i64, stands: bool, now: WallTime) -> Option<i64> {
        let Told { least, more } = self.windows.take(late, stands, now)?;
        more.filter(|more| more.abs() <= STEADY_MICROS).map(|_| least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type States = fn(i64) -> i64;

    fn at(millis: i64) -> WallTime {
        WallTime(0).offset_micros(millis * 1000)
    }

    /// Returns after how many ms a clock is believed that shows `states` at a time in ms, by frames every 20 ms, and how late
    /// its frames are by then.
    fn believed(states: States, stands: fn(i64) -> bool) -> Option<(i64, i64)> {
        let mut loose = Loose::new(7, at(0));
        (0..500).map(|number| number * 20).find_map(|now| {
            let least = loose.take((now - states(now)) * 1000, stands(now), at(now))?;
            assert_eq!(loose.left, 7);
            Some((now, least / 1000))
        })
    }

    #[test]
    fn a_clock_is_believed_once_it_keeps_time() {
        let never = |_| false;
        assert_eq!(believed(|at| at - 300, never), Some((2_000, 300)));
        assert_eq!(believed(|at| at + at / 10, never).map(|(at, _)| at), Some(2_000), "it drifts");
        let wrong: [States; 4] = [|at| at + at / 5, |at| at - at / 5, |at| at * 10, |_| 0];
        assert!(wrong.iter().all(|states| believed(*states, never).is_none()));
        // It stands for half of each second, and catches up.
        assert_eq!(believed(|at| at / 1_000 * 1_000 + (at % 1_000 - 500).max(0) * 2, |at| at % 1_000 < 500), None);
        // It stands for 3 s.
        assert_eq!(believed(|at| (at - 3_000).max(0), |at| at < 3_000).map(|(at, _)| at), Some(5_000));
    }
}
