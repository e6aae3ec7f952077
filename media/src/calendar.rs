//! Dates: what the system clock, which may be set while the node runs, calls a moment of the node's line.
//!
//! Two times are kept apart. The **line** ([`NodeClock`], [`WallTime`]) is read from the system clock once, and goes on
//! with the monotonic clock. All media lies on it, so media never steps. A **date** ([`Date`]) is how a moment is stated to
//! people and to other machines: EXT-X-PROGRAM-DATE-TIME, sender reports, times of the API, expiries. A moment is kept
//! as a place on the line, and becomes a date when it is stated. So what was kept before the clock was set is right
//! afterwards too. Only a [`Date`] can be written as text or as an NTP timestamp.
//!
//! A driver hands in readings of both clocks ([`Calendar::read`]). A new difference is believed when two readings in a
//! row show it, so that neither a thread that was interrupted between its two clocks nor a clock that is set to and fro
//! moves dates. A machine that was suspended looks like a clock that was set: its monotonic clock stood still.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::time::{NTP_UNIX_OFFSET_SECS, NodeClock, WallTime};

/// A change of at least this much is a step. A smaller one, such as the drift between a machine's two clocks, can be
/// followed slowly. It is twice the 128 ms from which NTP sets a clock at once.
const STEP_MICROS: i64 = 250_000;

/// Readings that differ by less are equal. A thread that is not interrupted takes both within some microseconds.
const NOISE_MICROS: i64 = 5_000;

/// The last date that RFC 3339 and HTTP can write: the end of the year 9999.
const LAST_MICROS: u64 = 253_402_300_799_999_999;

/// Is a moment as the system clock calls it, in microseconds since the Unix epoch.
///
/// It is displayed as RFC 3339 with milliseconds, the form of EXT-X-PROGRAM-DATE-TIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub u64);

impl Date {
    /// Returns the microseconds since the Unix epoch.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Returns this date shifted by `micros`, backwards if negative.
    pub const fn offset_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add_signed(micros))
    }

    /// Returns the microseconds from `earlier` to this date. They are negative if `earlier` is later.
    pub fn micros_since(self, earlier: Self) -> i64 {
        WallTime(self.0).micros_since(WallTime(earlier.0))
    }

    /// Converts to the standard library's type, for libraries that need it.
    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.0.min(LAST_MICROS))
    }

    /// Returns the 64-bit NTP timestamp (RFC 3550 §4) of RTCP sender reports and abs-capture-time.
    pub const fn ntp(self) -> u64 {
        let seconds = self.0 / 1_000_000 + NTP_UNIX_OFFSET_SECS;
        let fraction = ((self.0 % 1_000_000) << 32) / 1_000_000;
        (seconds << 32) | fraction
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To the nearest millisecond. Times of media are rounded to microseconds, and may not flicker around a whole one.
        humantime::format_rfc3339_millis(self.offset_micros(500).system_time()).fmt(f)
    }
}

/// Is the difference between dates and the line: what the system clock was set by since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateOffset(i64);

impl DateOffset {
    /// Makes the offset of dates that are later than the line by `micros`.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the date of a moment.
    pub const fn date(self, moment: WallTime) -> Date {
        Date(moment.offset_micros(self.0).micros())
    }

    /// Returns by how many microseconds its dates are later than those of `other`.
    pub const fn micros_from(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }

    /// Returns whether dates step from those of `before`, which is too far to be followed slowly.
    pub const fn is_step_from(self, before: Self) -> bool {
        self.micros_from(before).saturating_abs() >= STEP_MICROS
    }
}

/// Gives moments their dates. Share it behind an `Arc`.
#[derive(Debug)]
pub struct Calendar {
    clock: NodeClock,
    offset_micros: AtomicI64,
    readings: Mutex<Readings>,
}

impl Calendar {
    /// Makes a calendar whose dates are the moments of the line, until a reading differs.
    pub fn new(clock: NodeClock) -> Self {
        Self { clock, offset_micros: AtomicI64::new(0), readings: Mutex::default() }
    }

    /// Returns the line that it dates.
    pub fn clock(&self) -> NodeClock {
        self.clock
    }

    /// Returns the offset of dates now. What is stated together is dated by one offset.
    pub fn offset(&self) -> DateOffset {
        DateOffset(self.offset_micros.load(Ordering::Relaxed))
    }

    /// Returns the date of a moment of the line.
    pub fn date(&self, moment: WallTime) -> Date {
        self.offset().date(moment)
    }

    /// Returns the date of an instant.
    pub fn at(&self, moment: Instant) -> Date {
        self.date(self.clock.wall(moment))
    }

    /// Takes in a reading of both clocks, of the same moment. Call it twice a second: dates then follow within a second.
    /// Returns the step, if this reading is the second that shows it.
    pub fn read(&self, instant: Instant, system: SystemTime) -> Option<Step> {
        let mut readings = self.readings.lock();
        let offset = WallTime::of_system(system).micros_since(self.clock.wall(instant));
        let before = self.offset();
        let believed = DateOffset(readings.take(offset, before.0)?);
        self.offset_micros.store(believed.0, Ordering::Relaxed);
        believed.is_step_from(before).then(|| Step { micros: believed.micros_from(before) })
    }
}

/// Tells by how much dates were moved at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    micros: i64,
}

impl Step {
    /// Returns the word for the metric: whether dates went forward or back.
    pub const fn direction(self) -> &'static str {
        if self.micros < 0 { "back" } else { "forward" }
    }

    /// Returns the size of the step.
    pub const fn size(self) -> Duration {
        Duration::from_micros(self.micros.unsigned_abs())
    }
}

/// Decides which readings are believed.
#[derive(Debug, Default)]
struct Readings {
    /// The offset that the last reading showed, if it was not the one in force.
    seen: Option<i64>,
}

impl Readings {
    /// Takes in an offset, and returns it if it replaces the one in force.
    fn take(&mut self, offset: i64, in_force: i64) -> Option<i64> {
        let differs = |from: i64| offset.saturating_sub(from).saturating_abs() >= NOISE_MICROS;
        if !differs(in_force) {
            self.seen = None;
            return None;
        }
        let confirmed = self.seen.replace(offset).is_some_and(|seen| !differs(seen));
        confirmed.then(|| {
            self.seen = None;
            offset
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;
    const START: Duration = Duration::from_secs(1_795_000_000);

    /// A machine whose two clocks are read every half second.
    struct Machine {
        calendar: Calendar,
        began: Instant,
        readings: u32,
    }

    impl Machine {
        fn new() -> Self {
            let began = Instant::now();
            Self { calendar: Calendar::new(NodeClock::new(began, UNIX_EPOCH + START)), began, readings: 0 }
        }

        fn now(&self) -> Instant {
            self.began + Duration::from_millis(500) * self.readings
        }

        /// Reads the clocks when the system clock is ahead of the line by `micros`.
        fn read(&mut self, micros: i64) -> Option<Step> {
            self.readings += 1;
            let now = self.now();
            let line = self.calendar.clock().wall(now);
            self.calendar.read(now, line.offset_micros(micros).system_time())
        }

        /// Returns by how much dates are ahead of the line.
        fn ahead(&self) -> i64 {
            self.calendar.offset().0
        }
    }

    #[test]
    fn a_clock_that_is_set_is_followed_by_the_second_reading_in_both_directions() {
        for micros in [HOUR, -HOUR, 400_000, -400_000, 30 * 365 * 24 * HOUR] {
            let mut machine = Machine::new();
            assert_eq!(machine.read(0), None);
            let line = machine.calendar.clock().wall(machine.now());
            assert_eq!(machine.read(micros), None);
            assert_eq!(machine.ahead(), 0);
            let step = machine.read(micros).unwrap();
            assert_eq!(step.size(), Duration::from_micros(micros.unsigned_abs()));
            assert_eq!(step.direction(), if micros > 0 { "forward" } else { "back" });
            assert_eq!(machine.calendar.date(line), Date(line.offset_micros(micros).micros()));
            assert_eq!(machine.read(micros), None);
            assert_eq!(machine.read(0), None);
            assert_eq!(machine.read(0).unwrap().size(), step.size());
            assert_eq!(machine.ahead(), 0);
        }
    }

    #[test]
    fn the_line_itself_does_not_follow() {
        let mut machine = Machine::new();
        let before = machine.calendar.clock().wall(machine.now());
        machine.read(HOUR);
        machine.read(HOUR);
        let after = machine.calendar.clock().wall(machine.now());
        assert_eq!(after.micros_since(before), 1_000_000);
        assert_eq!(machine.calendar.at(machine.now()), Date(after.offset_micros(HOUR).micros()));
    }

    #[test]
    fn a_moment_that_was_kept_gets_its_date_by_the_clock_of_today() {
        let mut machine = Machine::new();
        let began = machine.calendar.clock().wall(machine.began);
        machine.read(HOUR);
        machine.read(HOUR);
        assert_eq!(machine.calendar.date(began), Date(began.offset_micros(HOUR).micros()));
    }

    #[test]
    fn a_difference_that_may_be_drift_is_followed_and_is_not_a_step() {
        let mut machine = Machine::new();
        // 50 ppm for an hour, then a clock that is set by 0.1 s.
        for reading in 0..7_200_i64 {
            assert_eq!(machine.read(reading * 25), None);
            assert!((machine.ahead() - reading * 25).abs() <= NOISE_MICROS + 25, "{}", machine.ahead());
        }
        let drifted = machine.ahead();
        assert_eq!((machine.read(drifted + 100_000), machine.read(drifted + 100_000)), (None, None));
        assert_eq!(machine.ahead(), drifted + 100_000);
    }

    #[test]
    fn one_odd_reading_changes_nothing() {
        let mut machine = Machine::new();
        // The thread was interrupted between its two clocks.
        for late in [0, 80_000, 0, 1_200_000, 90_000, 0, 3_000, 700_000] {
            assert_eq!(machine.read(late), None);
            assert_eq!(machine.ahead(), 0);
        }
    }

    #[test]
    fn a_clock_that_is_set_to_and_fro_is_followed_once_it_stays() {
        let mut machine = Machine::new();
        for reading in 0..100 {
            assert_eq!(machine.read(if reading % 2 == 0 { HOUR } else { 0 }), None);
        }
        for reading in 0..100 {
            assert_eq!(machine.read(if reading % 2 == 0 { HOUR } else { 2 * HOUR }), None);
        }
        assert_eq!(machine.ahead(), 0);
        assert_eq!(machine.read(HOUR), None);
        assert!(machine.read(HOUR).is_some());
    }

    #[test]
    fn a_machine_that_was_suspended_has_the_dates_of_its_system_clock() {
        let mut machine = Machine::new();
        machine.read(0);
        // The monotonic clock stood still for eight hours.
        machine.read(8 * HOUR);
        assert_eq!(machine.read(8 * HOUR).unwrap().size(), Duration::from_secs(8 * 3600));
    }

    #[test]
    fn no_clock_is_too_far_off() {
        let mut machine = Machine::new();
        for micros in [i64::MIN, i64::MAX / 2, -HOUR * 24 * 365 * 80] {
            machine.read(micros);
            machine.read(micros);
            let _ = machine.calendar.at(machine.now()).to_string();
        }
        let _ = Date(u64::MAX).to_string();
        let _ = DateOffset::from_micros(i64::MIN).is_step_from(DateOffset::from_micros(i64::MAX));
    }

    #[test]
    fn a_date_prints_as_program_date_time() {
        assert_eq!(Date(1_795_000_000_123_499).to_string(), "2026-11-18T11:06:40.123Z");
        assert_eq!(Date(1_795_000_000_123_999).to_string(), "2026-11-18T11:06:40.124Z");
    }

    #[test]
    fn a_date_as_ntp_timestamp_is_read_back_within_a_microsecond() {
        let wall = WallTime(1_795_000_000_123_456);
        let back = WallTime::from_ntp(DateOffset::default().date(wall).ntp());
        assert!(back.micros_since(wall).abs() <= 1, "{back:?}");
        assert_eq!(WallTime::from_ntp(0), WallTime(0));
    }
}
