//! The dates of EXT-X-PROGRAM-DATE-TIME: one mapping of presentation time to dates, for all renditions.
//!
//! Players align renditions by their dates, so dates must advance exactly as media does (rfc8216bis 4.4.4.6). The
//! program clock of frames need not: its estimate gets better as frames come, most of all after a late first frame. So
//! dates follow it at once while the first segment is being made. Later they stay as they are until they are off by more than
//! 100 ms, and then approach it slowly until they are right again. Players see a jump of dates against media as lost frames,
//! and dates of a wrong time as a wrong latency, so the speed grows with the error. It stays below that of media: dates never go back.
//!
//! The node's calendar need not either, because the system clock may be set. A small change is followed as slowly. A step
//! is due until a segment begins with a discontinuity, and that segment and all later ones are dated by the new offset.

use onmic_media::{DateOffset, WallTime};

/// How long dates follow the estimate at once. A stream's first frames often come late and in a bunch, and after this
/// time the estimate is good.
const SETTLING_MICROS: i64 = 1_500_000;

/// Dates that are off by more than this are put right. Those that are off by less stay, because shaka 5 places each segment by its
/// date, and loses the frames up to the next keyframe where dates and media have not passed alike.
const OFF_MICROS: i64 = 100_000;

/// The largest change of such dates per second of media: 2 %, by which the program clock follows a publisher whose clock is fast
/// or slow, and twice what the worst clocks gain or lose.
const FOLLOW_MICROS: i64 = 20_000;

/// Dates that are off by more than this are followed faster: the frames before came earlier or later than they ever
/// should, as when a publisher's clock stood still. Players must not see the future for minutes.
const FAR_MICROS: i64 = 300_000;

/// The largest change of such dates per second of media.
const RETURN_MICROS: i64 = 100_000;

/// Dates that are off by more than this are wrong: a publisher began, or came back, with seconds of media at once, and all of
/// it seemed to be of the present.
const LOST_MICROS: i64 = 500_000;

/// The largest change of such dates per second of media: 6 s are worked off in 8 s. A step at once would need a
/// discontinuity, and so a keyframe, which few publishers send when they are asked, or dates that go back where
/// players may have built on them. So for a few segments they pass at a fifth of their speed, most of them before anybody watches.
const HURRY_MICROS: i64 = 800_000;

/// A step of presentation time that is a break: longer than renditions are ever apart, and shorter than a noticeable
/// reconnect.
const BREAK_MICROS: u64 = 2_000_000;

/// Decides which dates a playlist states.
#[derive(Debug, Default)]
pub(crate) struct Dates {
    anchor: Option<Anchor>,
    /// The offset that new segments are dated by. It changes in steps alone.
    in_force: DateOffset,
    /// The calendar's offset now.
    newest: DateOffset,
}

#[derive(Debug)]
struct Anchor {
    /// The program clock minus the presentation time.
    offset: i64,
    first: i64,
    /// The newest presentation time seen.
    newest: i64,
    /// Whether dates were off, and have not been put right yet.
    is_off: bool,
}

impl Dates {
    /// Dates the first segment by `offset`.
    pub(crate) fn begin(&mut self, offset: DateOffset) {
        (self.in_force, self.newest) = (offset, offset);
    }

    /// Takes in the calendar's offset. Returns whether a step has become due.
    pub(crate) fn follow(&mut self, offset: DateOffset) -> bool {
        std::mem::replace(&mut self.newest, offset) != offset && self.step_is_due()
    }

    /// Returns whether the next segment needs a discontinuity, because dates step.
    pub(crate) fn step_is_due(&self) -> bool {
        self.newest.is_step_from(self.in_force)
    }

    /// Takes the step that is due, if there is one. Returns what a segment that begins with a discontinuity is dated by.
    pub(crate) fn step(&mut self) -> DateOffset {
        if self.step_is_due() {
            self.in_force = self.newest;
        }
        self.in_force
    }

    /// Returns what a segment that begins without a discontinuity is dated by.
    pub(crate) fn in_force(&self) -> DateOffset {
        self.in_force
    }

    /// Returns the moment of the frame that is presented at `micros` and states `wall`. With the offset in force it is a date.
    pub(crate) fn moment(&mut self, micros: i64, wall: WallTime) -> WallTime {
        // This is a new publisher, whose clock is independent of the clock of the one before.
        if self.anchor.as_ref().is_some_and(|anchor| micros.abs_diff(anchor.newest) > BREAK_MICROS) {
            self.anchor = None;
        }
        let drift = if self.step_is_due() { 0 } else { self.newest.micros_from(self.in_force) };
        let said = wall.micros_since(WallTime(0)).saturating_add(drift).saturating_sub(micros);
        let anchor = self.anchor.get_or_insert(Anchor { offset: said, first: micros, newest: micros, is_off: false });
        if micros.saturating_sub(anchor.first) < SETTLING_MICROS {
            anchor.offset = said;
        } else {
            let passed = micros.saturating_sub(anchor.newest).clamp(0, 1_000_000);
            let off = said - anchor.offset;
            let per_second = match off.abs() {
                LOST_MICROS.. => HURRY_MICROS,
                FAR_MICROS.. => RETURN_MICROS,
                _ => FOLLOW_MICROS,
            };
            let step = passed * per_second / 1_000_000;
            anchor.is_off = off.abs() > if anchor.is_off { step } else { OFF_MICROS };
            if anchor.is_off {
                anchor.offset += off.clamp(-step, step);
            }
        }
        anchor.newest = anchor.newest.max(micros);
        // In whole milliseconds, which is what playlists state.
        let offset = (anchor.offset + 500).div_euclid(1000) * 1000;
        WallTime(0).offset_micros(micros.saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: WallTime = WallTime(1_000_000_000_000);

    fn wall(millis: i64) -> WallTime {
        START.offset_micros(millis * 1000)
    }

    #[test]
    fn the_first_frames_correct_a_late_first_one_at_once() {
        let mut dates = Dates::default();
        assert_eq!(dates.moment(0, wall(700)), wall(700));
        assert_eq!(dates.moment(40_000, wall(40)), wall(40));
    }

    #[test]
    fn dates_follow_a_publisher_whose_clock_is_off_by_a_hundredth() {
        for fast in [-10, 10] {
            let mut dates = Dates::default();
            for second in 0..600 {
                let date = dates.moment(second * 1_000_000, wall(second * (1000 + fast)));
                let off = date.micros_since(wall(second * (1000 + fast)));
                assert!(off.abs() <= OFF_MICROS + 20_000, "{off} µs after {second} s");
            }
        }
    }

    #[test]
    fn a_date_that_is_far_off_is_near_within_seconds() {
        let mut dates = Dates::default();
        for frame in 0..50 {
            dates.moment(frame * 40_000, wall(frame * 40));
        }
        let (mut before, mut off) = (dates.moment(2_000_000, wall(2000)), i64::MAX);
        for frame in 51..300 {
            let date = dates.moment(frame * 40_000, wall(frame * 40 - 1000));
            assert!((8_000..=40_000).contains(&date.micros_since(before)), "dates never go back");
            (before, off) = (date, date.micros_since(wall(frame * 40 - 1000)));
        }
        assert!(off <= FAR_MICROS, "{off}");
    }

    #[test]
    fn dates_are_near_the_present_seconds_after_media_that_came_at_once() {
        for seconds in 1..=10 {
            let mut dates = Dates::default();
            let mut before = dates.moment(0, wall(0));
            for frame in 1..25 * (seconds + 4) {
                // What comes at once seems to be of now, and afterwards a frame comes each 40 ms.
                let now = (frame - 25 * seconds).max(0) * 40;
                let date = dates.moment(frame * 40_000, wall(now));
                assert!(frame < 50 || date > before, "dates never go back");
                let off = date.micros_since(wall(now));
                assert!(now < 3_000 || off.abs() <= LOST_MICROS, "{seconds} s at once: {off} µs at {now} ms");
                before = date;
            }
        }
    }

    #[test]
    fn later_steps_of_the_estimate_are_followed_slowly_and_equally_in_both_renditions() {
        for (step, most) in [(101, 1000), (301, 4000)] {
            let mut dates = Dates::default();
            for frame in 0..50 {
                dates.moment(frame * 40_000, wall(frame * 40));
            }
            let before = dates.moment(2_000_000, wall(2000));
            let picture = dates.moment(2_040_000, wall(2040 - step));
            let sound = dates.moment(2_040_000, wall(2040 - step));
            assert_eq!(picture, sound);
            assert!((picture.micros_since(before) - 40_000).abs() <= most, "{step} ms");
            let mut last = picture;
            for second in 3..70 {
                last = dates.moment(second * 1_000_000, wall(second * 1000 - step));
            }
            let left = last.micros_since(wall(69_000 - step));
            assert!(left.abs() <= FOLLOW_MICROS, "the moment reaches the estimate in the end: {left} µs");
        }
    }

    #[test]
    fn a_date_that_is_a_little_off_stays_exactly_as_far_from_the_media() {
        let mut dates = Dates::default();
        for frame in 0..50 {
            dates.moment(frame * 40_000, wall(frame * 40));
        }
        for frame in 50..10_000 {
            let off = i64::from(frame as u8) * 390 * if frame % 2 == 0 { 1 } else { -1 };
            let moment = dates.moment(frame * 40_000, wall(frame * 40).offset_micros(off));
            assert_eq!(moment, wall(frame * 40), "{off}");
        }
    }

    #[test]
    fn after_a_break_the_date_is_the_frames_own() {
        let mut dates = Dates::default();
        dates.moment(0, wall(0));
        dates.moment(1_900_000, wall(1900));
        assert_eq!(dates.moment(5_000_000, wall(5400)), wall(5400));
    }

    #[test]
    fn a_step_of_the_calendar_waits_for_a_discontinuity() {
        const HOUR: i64 = 3_600_000_000;
        for micros in [HOUR, -HOUR, 400_000, -400_000] {
            let mut dates = Dates::default();
            let offset = DateOffset::from_micros(micros);
            let moments: Vec<_> = (0..100).map(|frame| dates.moment(frame * 40_000, wall(frame * 40))).collect();
            assert!(!dates.follow(DateOffset::default()) && !dates.step_is_due());
            assert!(dates.follow(offset) && dates.step_is_due());
            assert!(!dates.follow(offset), "it has become due once");
            assert_eq!(dates.in_force(), DateOffset::default());
            assert_eq!(dates.moment(4_000_000, wall(4000)).micros_since(moments[99]), 40_000);
            assert_eq!(dates.step(), offset);
            assert_eq!((dates.in_force(), dates.step_is_due()), (offset, false));
            assert_eq!(dates.moment(4_040_000, wall(4040)), wall(4040), "only the offset steps");
        }
    }

    #[test]
    fn a_step_that_the_clock_takes_back_is_not_due_any_more() {
        let mut dates = Dates::default();
        assert!(dates.follow(DateOffset::from_micros(5_000_000)));
        assert!(!dates.follow(DateOffset::default()));
        assert_eq!(dates.step(), DateOffset::default());
    }

    #[test]
    fn a_small_change_of_the_calendar_is_followed_slowly() {
        let mut dates = Dates::default();
        for frame in 0..50 {
            dates.moment(frame * 40_000, wall(frame * 40));
        }
        assert!(!dates.follow(DateOffset::from_micros(150_000)));
        let mut before = dates.moment(2_000_000, wall(2000));
        for frame in 51..1_000 {
            let moment = dates.moment(frame * 40_000, wall(frame * 40));
            assert!((40_000..=41_000).contains(&moment.micros_since(before)), "{frame}");
            before = moment;
        }
        let left = wall(999 * 40 + 150).micros_since(before);
        assert!((0..=1000).contains(&left), "{left}");
    }
}
