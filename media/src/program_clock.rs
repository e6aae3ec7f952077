//! The clock of a program: it relates positions on the program's timeline to moments of the node's clock.
//!
//! A room has one such clock. The hub makes it when the room's first source begins. It places everything in the room:
//! sources ([`crate::clock::SourceClock`]), composed video, mixed audio and return feeds. Nothing else has an origin.
//!
//! A source keeps the pace of its publisher's crystal, so its frames lie near this line and not on it. A mix follows
//! its lead there: each frame states a position and a moment, and [`ProgramClock::through`] is the line through it.

use crate::time::WallTime;

/// The position at which a timeline starts: 10 s. It is above zero, so that audio that is slightly older than the first
/// video frame has a place.
const START_MICROS: i64 = 10_000_000;

/// A straight line: positions on a timeline (µs) and moments of the node's clock run at the same pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramClock {
    /// Microseconds from the Unix epoch to position 0.
    zero_micros: i64,
}

impl ProgramClock {
    /// Returns the clock of a timeline that starts at `wall`.
    pub fn starting(wall: WallTime) -> Self {
        Self::through(START_MICROS, wall)
    }

    /// Returns the clock by which `position_micros` is the moment `wall`.
    pub fn through(position_micros: i64, wall: WallTime) -> Self {
        let wall = i64::try_from(wall.micros()).unwrap_or(i64::MAX);
        Self { zero_micros: wall.saturating_sub(position_micros) }
    }

    /// Returns the clock whose positions are later than those of this one by `micros` at the same moment.
    pub fn shifted(self, micros: i64) -> Self {
        Self { zero_micros: self.zero_micros.saturating_sub(micros) }
    }

    /// Returns the position of a moment, in µs.
    pub fn position(&self, wall: WallTime) -> i64 {
        i64::try_from(wall.micros()).unwrap_or(i64::MAX).saturating_sub(self.zero_micros)
    }

    /// Returns the moment of a position, not before the Unix epoch.
    pub fn wall(&self, position_micros: i64) -> WallTime {
        WallTime(u64::try_from(self.zero_micros.saturating_add(position_micros)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: WallTime = WallTime(1_795_000_000_000_000);

    #[test]
    fn positions_and_moments_are_each_others_inverse() {
        let clock = ProgramClock::starting(WALL);
        assert_eq!(clock.position(WALL), START_MICROS);
        for position in [-5_000_000, 0, 77, START_MICROS, 86_400_000_000] {
            assert_eq!(clock.position(clock.wall(position)), position);
            assert_eq!(ProgramClock::through(position, clock.wall(position)), clock);
            assert_eq!(clock.shifted(77).position(clock.wall(position)), position + 77);
        }
    }

    #[test]
    fn no_position_overflows() {
        for clock in [ProgramClock::starting(WallTime(0)), ProgramClock::starting(WallTime(u64::MAX))] {
            assert_eq!(clock.wall(i64::MIN), WallTime(0));
            clock.wall(i64::MAX);
            clock.position(WallTime(u64::MAX));
            clock.position(WallTime(0));
        }
    }
}
