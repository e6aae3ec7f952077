//! The program's timeline against the wall clock: what the lead's frames say, and what they said last when there are none.

use onmic_media::WallTime;

use super::{micros, samples};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    /// Wall time at position 0, in microseconds since the epoch.
    zero: Option<i64>,
}

impl WallClock {
    /// `wall` was the time at `pts_micros` of the timeline. The newest word counts.
    pub fn follow(&mut self, pts_micros: i64, wall: WallTime) {
        self.zero = i64::try_from(wall.micros()).ok().map(|wall| wall.saturating_sub(pts_micros));
    }

    /// Whether anything is known yet.
    pub fn is_known(&self) -> bool {
        self.zero.is_some()
    }

    /// The wall time at a position.
    pub fn wall(&self, position: i64) -> Option<WallTime> {
        let wall = self.zero?.saturating_add(micros(position));
        u64::try_from(wall).ok().map(WallTime)
    }

    /// The position at a wall time.
    pub fn position(&self, wall: WallTime) -> Option<i64> {
        let since = i64::try_from(wall.micros()).ok()?.saturating_sub(self.zero?);
        Some(samples(since).round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_walls_are_each_others_inverse() {
        let mut timeline = WallClock::default();
        assert_eq!(timeline.wall(0), None);
        timeline.follow(10_000_000, WallTime(1_795_000_000_000_000));
        assert_eq!(timeline.position(WallTime(1_795_000_000_010_000)), Some(480_480));
        assert_eq!(timeline.wall(480_480), Some(WallTime(1_795_000_000_010_000)));
        assert_eq!(timeline.wall(i64::MIN), None, "before the epoch there is nothing");
    }
}
