//! Relates positions of the mix, in samples, to the wall clock. It has the lead's line, or the program's while there is
//! no lead.

use onmic_media::{ProgramClock, WallTime};

use super::{micros, samples};

/// Is a [`ProgramClock`] that counts samples. It may not be known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock(Option<ProgramClock>);

impl WallClock {
    /// Replaces the line by a newer one.
    pub fn follow(&mut self, line: ProgramClock) {
        self.0 = Some(line);
    }

    /// Returns whether the line is known.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the wall time at a position.
    pub fn wall(&self, position: i64) -> Option<WallTime> {
        Some(self.0?.wall(micros(position)))
    }

    /// Returns the position at a wall time.
    pub fn position(&self, wall: WallTime) -> Option<i64> {
        Some(samples(self.0?.position(wall)).round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_wall_times_convert_to_each_other() {
        let mut clock = WallClock::default();
        assert_eq!(clock.wall(0), None);
        clock.follow(ProgramClock::through(10_000_000, WallTime(1_795_000_000_000_000)));
        assert_eq!(clock.position(WallTime(1_795_000_000_010_000)), Some(480_480));
        assert_eq!(clock.wall(480_480), Some(WallTime(1_795_000_000_010_000)));
    }
}
