//! The dates of EXT-X-PROGRAM-DATE-TIME: one mapping of presentation time to the program clock, for all renditions.
//!
//! Players align renditions by their dates, so dates must advance exactly as media does (rfc8216bis 4.4.4.6). The
//! program clock of frames need not: its estimate gets better as frames come, most of all after a late first frame. So
//! dates follow it at once while the first segment is being made, and follow it slowly later.

use onmic_media::WallTime;

/// How long dates follow the estimate at once. A stream's first frames often come late and in a bunch, and after this
/// time the estimate is good.
const SETTLING_MICROS: i64 = 1_500_000;

/// The largest change of dates per second of media: too small to see, and enough for any drift of clocks.
const DRIFT_MICROS: i64 = 5_000;

/// Dates that are off by more than this are followed faster: the frames before came earlier or later than they ever
/// should, as when a publisher's clock stood still. Players must not see the future for minutes.
const FAR_MICROS: i64 = 300_000;

/// The largest change of such dates per second of media.
const RETURN_MICROS: i64 = 100_000;

/// A step of presentation time that is a break: longer than renditions are ever apart, and shorter than a noticeable
/// reconnect.
const BREAK_MICROS: u64 = 2_000_000;

/// Decides which dates a playlist states.
#[derive(Debug, Default)]
pub(crate) struct Dates {
    anchor: Option<Anchor>,
}

#[derive(Debug)]
struct Anchor {
    /// The program clock minus the presentation time.
    offset: i64,
    first: i64,
    /// The newest presentation time seen.
    newest: i64,
}

impl Dates {
    /// Returns the date of the frame that is presented at `micros` and states `wall`.
    pub(crate) fn date(&mut self, micros: i64, wall: WallTime) -> WallTime {
        // This is a new publisher, whose clock is independent of the clock of the one before.
        if self.anchor.as_ref().is_some_and(|anchor| micros.abs_diff(anchor.newest) > BREAK_MICROS) {
            self.anchor = None;
        }
        let said = wall.micros_since(WallTime(0)).saturating_sub(micros);
        let anchor = self.anchor.get_or_insert(Anchor { offset: said, first: micros, newest: micros });
        if micros.saturating_sub(anchor.first) < SETTLING_MICROS {
            anchor.offset = said;
        } else {
            let passed = micros.saturating_sub(anchor.newest).clamp(0, 1_000_000);
            let is_far = (said - anchor.offset).abs() > FAR_MICROS;
            let step = passed * if is_far { RETURN_MICROS } else { DRIFT_MICROS } / 1_000_000;
            anchor.offset += (said - anchor.offset).clamp(-step, step);
        }
        anchor.newest = anchor.newest.max(micros);
        WallTime(0).offset_micros(micros.saturating_add(anchor.offset))
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
        assert_eq!(dates.date(0, wall(700)), wall(700));
        assert_eq!(dates.date(40_000, wall(40)), wall(40));
    }

    #[test]
    fn a_date_that_is_far_off_is_near_within_seconds() {
        let mut dates = Dates::default();
        for frame in 0..50 {
            dates.date(frame * 40_000, wall(frame * 40));
        }
        let (mut before, mut off) = (dates.date(2_000_000, wall(2000)), i64::MAX);
        for frame in 51..300 {
            let date = dates.date(frame * 40_000, wall(frame * 40 - 1000));
            assert!((36_000..=40_000).contains(&date.micros_since(before)), "dates never go back");
            (before, off) = (date, date.micros_since(wall(frame * 40 - 1000)));
        }
        assert!(off <= FAR_MICROS, "{off}");
    }

    #[test]
    fn later_steps_of_the_estimate_are_followed_slowly_and_equally_in_both_renditions() {
        let mut dates = Dates::default();
        for frame in 0..50 {
            dates.date(frame * 40_000, wall(frame * 40));
        }
        let before = dates.date(2_000_000, wall(2000));
        let picture = dates.date(2_040_000, wall(2040 - 300));
        let sound = dates.date(2_040_000, wall(2040 - 300));
        assert_eq!(picture, sound);
        assert!((picture.micros_since(before) - 40_000).abs() <= 200);
        let mut last = picture;
        for second in 3..70 {
            last = dates.date(second * 1_000_000, wall(second * 1000 - 300));
        }
        assert_eq!(last, wall(69_000 - 300), "the date reaches the estimate in the end");
    }

    #[test]
    fn after_a_break_the_date_is_the_frames_own() {
        let mut dates = Dates::default();
        dates.date(0, wall(0));
        dates.date(1_900_000, wall(1900));
        assert_eq!(dates.date(5_000_000, wall(5400)), wall(5400));
    }
}
