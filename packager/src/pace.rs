//! Estimates the distance between frames of one track, and lays its audio on an even timeline.

use std::collections::VecDeque;

use onmic_media::{ClockRate, Ticks};

/// The number of intervals whose shortest is expected next. The next frame absorbs an estimate that is too short. One
/// that is too long would put a frame's presentation before its decoding.
const RECENT: usize = 8;

/// An interval this many times longer than the shortest one is another pace. Reordering and lost frames leave two or three.
const SLOWER: i64 = 4;

/// Holds the last intervals between decoding times of video frames.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<i64>,
    recent: VecDeque<i64>,
}

impl Pace {
    pub(crate) fn observe(&mut self, dts: Ticks) {
        if let Some(last) = self.last.replace(dts.0)
            && dts.0 > last
        {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(dts.0 - last);
        }
    }

    /// Forgets the last frame, so that the time between two publishers does not count as an interval.
    pub(crate) fn forget_last(&mut self) {
        self.last = None;
    }

    /// Returns how long the newest frame will last, as far as can be told.
    pub(crate) fn expected(&self) -> Option<i64> {
        Self::usual(self.recent.iter().copied())
    }

    /// The same once a frame at `dts` has come.
    pub(crate) fn expected_from(&self, dts: i64) -> Option<i64> {
        let oldest = usize::from(self.recent.len() == RECENT);
        Self::usual(
            self.recent.iter().copied().skip(oldest).chain(self.interval_to(dts).filter(|interval| *interval > 0)),
        )
    }

    /// The shortest of the intervals. Two long ones at the end are a slower pace.
    fn usual(intervals: impl DoubleEndedIterator<Item = i64> + Clone) -> Option<i64> {
        let shortest = intervals.clone().min()?;
        let mut newest = intervals.rev();
        Some(match (newest.next(), newest.next()) {
            (Some(last), Some(before)) if last.min(before) > shortest * SLOWER => last.min(before),
            _ => shortest,
        })
    }

    /// The interval between the newest frame and one at `dts`.
    pub(crate) fn interval_to(&self, dts: i64) -> Option<i64> {
        self.last.map(|last| dts - last)
    }
}

/// States the place of an audio frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It lies here, right after the one before it.
    At(i64),
    /// It lies here, after a hole.
    After(i64),
    /// It has no place, because its time is taken.
    Overlap,
}

/// Audio that is off by more than this was lost or repeated. A smaller offset comes from the publisher's rounding, or
/// from a drift between its clocks. Hardware encoders have been seen 40 ms off.
const TOLERANCE_MS: u32 = 60;

/// An offset up to this is not corrected. Viewers do not notice 5 ms between audio and video, and rounding to
/// milliseconds stays below it.
const UNTOUCHED_MS: u32 = 5;

/// Lays audio frames end to end, because their length is known. Audio timestamps are rounded on their way (to
/// milliseconds by RTMP), and players take each distance for real. Drift is worked off by one part in 128.
#[derive(Debug)]
pub(crate) struct Cadence {
    length: i64,
    rate: ClockRate,
    next: Option<i64>,
}

impl Cadence {
    pub(crate) fn new(length: u32, rate: ClockRate) -> Self {
        Self { length: i64::from(length.max(1)), rate, next: None }
    }

    pub(crate) fn length(&self) -> i64 {
        self.length
    }

    pub(crate) fn place(&mut self, dts: Ticks) -> Placed {
        let placed = match self.next {
            None => Placed::At(dts.0),
            Some(next) => self.place_after(next, dts.0),
        };
        match placed {
            Placed::At(at) | Placed::After(at) => self.next = Some(at + self.length),
            Placed::Overlap => {}
        }
        placed
    }

    fn place_after(&self, next: i64, dts: i64) -> Placed {
        let millis = |ms: u32| i64::from(ms) * i64::from(self.rate.hz()) / 1000;
        let off = dts - next;
        if off > millis(TOLERANCE_MS).max(self.length) {
            Placed::After(dts)
        } else if off < -millis(TOLERANCE_MS).max(self.length) {
            Placed::Overlap
        } else if off.abs() > millis(UNTOUCHED_MS) {
            Placed::At(next + (self.length / 128).max(1) * off.signum())
        } else {
            Placed::At(next)
        }
    }

    /// Takes back the placing from `next` on, or skips to it.
    pub(crate) fn return_to(&mut self, next: i64) {
        self.next = Some(next);
    }

    /// Returns the time at which the frame after the last one is due.
    pub(crate) fn next(&self) -> Option<i64> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: ClockRate = ClockRate::OPUS;

    #[test]
    fn rounding_to_milliseconds_is_removed() {
        let mut cadence = Cadence::new(1024, RATE);
        for frame in 0..10_000_i64 {
            let rounded = (frame * 1024 * 1000 / 48_000) * 48;
            assert_eq!(cadence.place(Ticks(rounded)), Placed::At(frame * 1024), "frame {frame}");
        }
    }

    #[test]
    fn drift_is_followed_without_a_hole() {
        let mut cadence = Cadence::new(1024, RATE);
        for frame in 0..10_000_i64 {
            let drifting = frame * 1024 + frame * 1024 / 1000; // 1000 ppm
            let Placed::At(at) = cadence.place(Ticks(drifting)) else { panic!("frame {frame}") };
            assert!((at - drifting).abs() <= 48 * 6, "{}", at - drifting);
        }
    }

    #[test]
    fn lost_audio_is_a_hole_and_repeated_audio_is_left_out() {
        let mut cadence = Cadence::new(1024, RATE);
        assert_eq!(cadence.place(Ticks(0)), Placed::At(0));
        assert_eq!(cadence.place(Ticks(48_000)), Placed::After(48_000));
        assert_eq!(cadence.place(Ticks(4_000)), Placed::Overlap);
        assert_eq!(cadence.place(Ticks(49_024)), Placed::At(49_024));
    }

    #[test]
    fn the_shortest_recent_interval_is_expected() {
        let mut pace = Pace::default();
        [0, 3000, 6060, 9000].into_iter().for_each(|dts| pace.observe(Ticks(dts)));
        assert_eq!(pace.expected(), Some(2940));
        (1..=8).for_each(|frame| pace.observe(Ticks(9000 + frame * 9000)));
        assert_eq!(pace.expected(), Some(9000));
    }

    #[test]
    fn two_intervals_of_a_slower_pace_are_believed() {
        let mut pace = Pace::default();
        (0..20).for_each(|frame| pace.observe(Ticks(frame * 3000)));
        pace.observe(Ticks(57_000 + 90_000));
        assert_eq!(pace.expected(), Some(3000), "one may be a hole");
        pace.observe(Ticks(57_000 + 180_000));
        assert_eq!(pace.expected(), Some(90_000));
        pace.observe(Ticks(57_000 + 183_000));
        assert_eq!(pace.expected(), Some(3000));
    }
}
