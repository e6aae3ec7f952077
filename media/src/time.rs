//! Times: a track's clock, positions on it, and the node's line of time. All conversions between them are here. How a
//! moment of the line is called by the wall clock of today, its date, is in [`crate::calendar`].
//!
//! Nothing in this crate reads a clock: a driver takes `Instant::now()` and hands it in.

use std::num::NonZeroU32;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Is the number of ticks per second of a track's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockRate(NonZeroU32);

impl ClockRate {
    /// The clock of every video track (RFC 3551): 90 kHz.
    pub const VIDEO: Self = Self::new(90_000).expect("not zero");
    /// The clock of every Opus track (RFC 7587): 48 kHz, whatever rate the encoder took in.
    pub const OPUS: Self = Self::new(48_000).expect("not zero");
    /// Milliseconds, the unit of RTMP.
    pub const MILLIS: Self = Self::new(1_000).expect("not zero");
    /// Microseconds, the unit of the node's clock.
    pub const MICROS: Self = Self::new(1_000_000).expect("not zero");
    /// Nanoseconds, the unit of a [`Duration`].
    const NANOS: Self = Self::new(1_000_000_000).expect("not zero");

    /// Makes a clock of `hz` ticks per second. `None` for 0.
    pub const fn new(hz: u32) -> Option<Self> {
        match NonZeroU32::new(hz) {
            Some(hz) => Some(Self(hz)),
            None => None,
        }
    }

    /// Returns the ticks per second.
    pub const fn hz(self) -> u32 {
        self.0.get()
    }

    /// Converts `duration` to ticks of this clock, rounded to the nearest.
    pub fn ticks(self, duration: Duration) -> Ticks {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Ticks(nanos).rescale(Self::NANOS, self)
    }
}

/// Is a position or a distance on a track's clock. The track knows which clock, not the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub i64);

impl Ticks {
    /// Returns the same time on another clock, rounded to the nearest tick.
    pub fn rescale(self, from: ClockRate, to: ClockRate) -> Self {
        if from == to {
            return self;
        }
        let (from, to) = (i128::from(from.hz()), i128::from(to.hz()));
        let scaled = (i128::from(self.0) * to + from / 2).div_euclid(from);
        Self(i64::try_from(scaled).unwrap_or(if scaled < 0 { i64::MIN } else { i64::MAX }))
    }

    /// Converts ticks of a clock of `rate` to microseconds.
    pub fn micros(self, rate: ClockRate) -> i64 {
        self.rescale(rate, ClockRate::MICROS).0
    }

    /// Converts ticks of a clock of `rate` to a length of time, rounded to the nearest nanosecond. A negative one is zero.
    pub fn duration(self, rate: ClockRate) -> Duration {
        Duration::from_nanos(u64::try_from(self.rescale(rate, ClockRate::NANOS).0).unwrap_or(0))
    }
}

impl Add for Ticks {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Ticks {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Ticks {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Ticks {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// Is a moment on the node's line, in microseconds since the Unix epoch as the system clock told it when the node started.
///
/// It has no text and no NTP timestamp, because only a [`Date`](crate::calendar::Date) is stated to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

/// Seconds from the NTP era (1900) to the Unix epoch (RFC 5905).
pub(crate) const NTP_UNIX_OFFSET_SECS: u64 = 2_208_988_800;

impl WallTime {
    /// Returns the microseconds since the Unix epoch.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Returns this moment shifted by `micros`, backwards if negative.
    pub const fn offset_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add_signed(micros))
    }

    /// Returns the microseconds from `earlier` to this moment. They are negative if `earlier` is later.
    pub fn micros_since(self, earlier: Self) -> i64 {
        i64::try_from(i128::from(self.0) - i128::from(earlier.0)).unwrap_or(i64::MAX)
    }

    /// Converts a 64-bit NTP timestamp of a date. Times before 1970 become the epoch. What a publisher states need not be one.
    pub const fn from_ntp(ntp: u64) -> Self {
        let seconds = (ntp >> 32).saturating_sub(NTP_UNIX_OFFSET_SECS);
        Self(seconds * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32))
    }

    /// Converts a reading of the system clock. Times before 1970 become the epoch.
    pub fn of_system(system: SystemTime) -> Self {
        let since_epoch = system.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    }

    /// Converts to the standard library's type, for libraries that need it.
    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.0)
    }
}

/// Is the node's line: the process's monotonic clock, counted from one reading of the system clock at start.
///
/// The system clock may be set while the node runs. A program's timeline must not step with it, so the clock is read only
/// once. [`crate::calendar::Calendar`] follows it for dates.
#[derive(Clone, Copy, Debug)]
pub struct NodeClock {
    instant: Instant,
    wall: WallTime,
}

impl NodeClock {
    /// Makes the clock on which `instant` and `system` are the same moment.
    pub fn new(instant: Instant, system: SystemTime) -> Self {
        Self { instant, wall: WallTime::of_system(system) }
    }

    /// Returns the moment of the line at `now`.
    pub fn wall(&self, now: Instant) -> WallTime {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match now.checked_duration_since(self.instant) {
            Some(later) => self.wall.offset_micros(micros(later)),
            None => self.wall.offset_micros(-micros(self.instant - now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_rounds_to_the_nearest_tick_and_keeps_the_sign() {
        assert_eq!(Ticks(33).rescale(ClockRate::MILLIS, ClockRate::VIDEO), Ticks(2970));
        assert_eq!(Ticks(-33).rescale(ClockRate::MILLIS, ClockRate::VIDEO), Ticks(-2970));
        assert_eq!(Ticks(3003).rescale(ClockRate::VIDEO, ClockRate::MILLIS), Ticks(33));
        let large = Ticks(i64::MAX);
        assert_eq!(large.rescale(ClockRate::MILLIS, ClockRate::VIDEO), Ticks(i64::MAX));
    }

    #[test]
    fn ninety_kilohertz_survives_microseconds_and_back() {
        for ticks in [0, 1, 2999, 3003, 123_456_789, -7] {
            let micros = Ticks(ticks).micros(ClockRate::VIDEO);
            assert_eq!(Ticks(micros).rescale(ClockRate::MICROS, ClockRate::VIDEO), Ticks(ticks));
        }
    }

    #[test]
    fn the_node_clock_does_not_follow_steps_of_the_system_clock() {
        let start = Instant::now();
        let clock = NodeClock::new(start, UNIX_EPOCH + Duration::from_secs(10));
        assert_eq!(clock.wall(start + Duration::from_millis(5)), WallTime(10_005_000));
        assert_eq!(clock.wall(start), WallTime(10_000_000));
    }
}
