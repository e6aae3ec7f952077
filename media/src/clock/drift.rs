//! Tells whether the clock of one track runs faster or slower than that of another, from how late they are in windows of equal length.
//!
//! A network that is slow, or gets slow, delays both. A clock that steps or stands moves one of them once. A drift moves it by the
//! same in each window, so it shows as a line, and more windows are asked for where less of it can be told from jitter.

/// The number of windows that are kept.
const KEPT: usize = 6;

/// A drift is at least that many µs in each interval between windows, for that many intervals. The clocks of audio devices differ from those of cameras by
/// 0.01 %; audio whose sample rate is declared wrongly is 8.8 % off.
const DRIFTS: [(usize, i64); 3] = [(3, 40_000), (4, 12_000), (5, 6_000)];

/// Holds the least lateness of a track in the last windows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trend {
    /// The newest is last.
    least: [i64; KEPT],
    count: usize,
}

impl Trend {
    /// Takes in the least lateness of the next window.
    pub(super) fn push(&mut self, least: i64) {
        self.least.rotate_left(1);
        self.least[KEPT - 1] = least;
        self.count = (self.count + 1).min(KEPT);
    }

    /// Takes in that all lateness is more by `micros` from now on, because the track was moved.
    pub(super) fn shift(&mut self, micros: i64) {
        self.least.iter_mut().for_each(|least| *least += micros);
    }

    /// Returns by how much lateness grew in each window, if there were two.
    pub(super) fn mean(&self) -> Option<i64> {
        let intervals = self.count.checked_sub(1).filter(|intervals| *intervals > 0)?;
        Some((self.least[KEPT - 1] - self.least[KEPT - 1 - intervals]) / i64::try_from(intervals).ok()?)
    }

    /// Returns by how much this track falls behind `other` in each window. It is negative if this one is fast. `None` if the
    /// difference is not a line.
    pub(super) fn drift(&self, other: &Self) -> Option<i64> {
        let known = self.count.min(other.count);
        let difference = |window: usize| self.least[window] - other.least[window];
        DRIFTS.into_iter().filter(|(intervals, _)| known > *intervals).find_map(|(intervals, drifts)| {
            let first = KEPT - 1 - intervals;
            let mean = (difference(KEPT - 1) - difference(first)) / i64::try_from(intervals).ok()?;
            // With few intervals, a step at the border of two windows could look like a line that jitter bends.
            let even = if intervals == DRIFTS[0].0 {
                mean.abs() / 2..=mean.abs() * 8 / 5
            } else {
                mean.abs() / 4..=mean.abs() * 2
            };
            let is_even = (first + 1..KEPT).all(|window| {
                let step = (difference(window) - difference(window - 1)) * mean.signum();
                even.contains(&step)
            });
            (mean.abs() >= drifts && is_even).then_some(mean)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(least: &[i64]) -> Trend {
        let mut trend = Trend::default();
        least.iter().for_each(|least| trend.push(least * 1000));
        trend
    }

    #[test]
    fn a_line_is_a_drift_and_the_larger_it_is_the_sooner_it_is_seen() {
        let still = trend(&[0; 6]);
        assert_eq!(trend(&[0, 60, 118, 182]).drift(&still), Some(60_666));
        assert_eq!(trend(&[0, -176, -352, -528]).drift(&still), Some(-176_000));
        assert_eq!(trend(&[0, 20, 40, 60]).drift(&still), None, "one window more tells");
        assert_eq!(trend(&[0, 20, 38, 61, 80]).drift(&still), Some(20_000));
        assert_eq!(trend(&[0, 10, 21, 29, 41, 50]).drift(&still), Some(10_000));
        assert_eq!(still.drift(&trend(&[0, 20, 38, 61, 80])), Some(-20_000));
    }

    #[test]
    fn a_step_a_network_and_a_crystal_are_no_drift() {
        let still = trend(&[0; 6]);
        for least in
            [[0, 0, 0, 140, 140], [0, 0, 90, 140, 140], [0, 140, 140, 140, 140], [5, -9, 12, 3, -4], [0, 1, 2, 3, 4]]
        {
            assert_eq!(trend(&least).drift(&still), None, "{least:?}");
        }
        assert_eq!(
            trend(&[0, 0, 0, 20, 110, 140]).drift(&still),
            None,
            "a step at the border of two windows, and jitter"
        );
        let queue = trend(&[0, 100, 210, 290, 400]);
        assert_eq!(queue.drift(&trend(&[10, 105, 222, 302, 408])), None, "both are late");
        assert_eq!((still.mean(), queue.mean(), Trend::default().mean()), (Some(0), Some(100_000), None));
    }
}
