//! What one sort of report says of a stream's place on its publisher's wall clock, and whether that is a clock at all.
//!
//! A sender report may state the NTP time 0 (RFC 3550 6.4.1), and others state one that stands still or counts in other
//! units. A moment of such a clock says nothing of lip sync. A clock that counts from the boot of a device says as much as any other.
//!
//! Invariant: a moment is believed only while the wall clock that states it keeps time. Between two reports it advances
//! as the timestamps do, or, if the stream's clock stood still meanwhile, as our own clock does. After a report that
//! breaks this, no moment is believed until two reports agree.

use std::time::{Duration, Instant};

use onmic_media::{ClockRate, Ticks};

use crate::rtp::ntp::Ntp;

/// Two reports that are less than 1 s apart do not tell a clock from one that stands still.
const APART: Duration = Duration::from_secs(1);
/// A clock that is off by more than 1 in 10 does not count seconds.
const OFF_SHARE: i64 = 10;
/// Differences up to 100 ms are of the network, or of the moment at which a report was written.
const OFF_LEAST_MICROS: i64 = 100_000;

/// The same moment on the publisher's wall clock and on the stream's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) wall: Ntp,
    pub(super) timestamp: i64,
}

/// The reports of one sort of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Reports {
    believed: Option<Moment>,
    /// The last report that was compared with the one before, and its arrival.
    compared: Option<(Moment, Instant)>,
    agreed: bool,
}

impl Reports {
    /// Takes a report about a stream whose clock has this rate.
    pub(super) fn take(&mut self, moment: Moment, rate: ClockRate, now: Instant) {
        if moment.wall == Ntp::NONE {
            return;
        }
        let Some((before, arrived)) = self.compared else {
            (self.believed, self.compared) = (Some(moment), Some((moment, now)));
            return;
        };
        let since = now.saturating_duration_since(arrived);
        if since < APART {
            self.believed = self.believed.map(|_| moment);
            return;
        }
        let wall = moment.wall.micros_since(before.wall);
        let stream = Ticks(moment.timestamp.saturating_sub(before.timestamp)).micros(rate);
        let ours = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        self.agreed = is_near(wall, stream) || is_near(wall, ours);
        self.believed = self.agreed.then_some(moment);
        self.compared = Some((moment, now));
    }

    /// Returns the moment that is believed.
    pub(super) fn believed(&self) -> Option<Moment> {
        self.believed
    }

    /// Returns whether the last two reports agree, so that the clock has shown that it keeps time.
    pub(super) fn have_agreed(&self) -> bool {
        self.agreed
    }
}

fn is_near(wall: i64, other: i64) -> bool {
    wall.saturating_sub(other).saturating_abs() <= (other.saturating_abs() / OFF_SHARE).max(OFF_LEAST_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of today's clocks, of a device that was switched on a minute ago, and of the end of the era.
    const BASES: [u64; 3] = [0xe000_0000 << 32, 60 << 32, (0xffff_ffff << 32) + 1];

    /// Returns, after each report, whether one is believed, and whether two have agreed. A report has the time of the
    /// wall clock, of the stream and of its arrival, in ms.
    fn judged(reports: &[(i64, i64, u64)]) -> Vec<(bool, bool)> {
        let [judged, others @ ..] = BASES.map(|base| judged_from(base, reports));
        assert!(others.iter().all(|other| *other == judged), "only differences count");
        judged
    }

    fn judged_from(base: u64, reports: &[(i64, i64, u64)]) -> Vec<(bool, bool)> {
        let (mut taken, began) = (Reports::default(), Instant::now());
        let mut judge = |(wall, stream, now): &(i64, i64, u64)| {
            let wall = Ntp(base.wrapping_add_signed((wall << 32) / 1000));
            let moment = Moment { wall, timestamp: stream * 90 };
            taken.take(moment, ClockRate::VIDEO, began + Duration::from_millis(*now));
            (taken.believed().is_some(), taken.have_agreed())
        };
        reports.iter().map(&mut judge).collect()
    }

    const NO: (bool, bool) = (false, false);
    const FIRST: (bool, bool) = (true, false);
    const YES: (bool, bool) = (true, true);

    #[test]
    fn a_clock_that_keeps_time_is_believed_however_late_its_reports_come() {
        assert_eq!(
            judged(&[(0, 0, 0), (500, 500, 500), (1500, 1500, 3900), (2500, 2500, 4900)]),
            [FIRST, FIRST, YES, YES]
        );
    }

    #[test]
    fn a_clock_that_stands_still_or_counts_other_units_is_not_believed_until_two_reports_agree() {
        assert_eq!(judged(&[(0, 0, 0), (0, 500, 500), (0, 1500, 1500), (0, 2500, 2500)]), [FIRST, FIRST, NO, NO]);
        assert_eq!(judged(&[(0, 0, 0), (1, 1000, 1000), (2, 2000, 2000)]), [FIRST, NO, NO], "1000 times too slow");
        assert_eq!(judged(&[(0, 0, 0), (9000, 1000, 1000), (18_000, 2000, 2000)]), [FIRST, NO, NO], "too fast");
        let steps = [(0, 0, 0), (1000, 1000, 1000), (1000, 2000, 2000), (1500, 2500, 2500), (2000, 3000, 3000)];
        assert_eq!(judged(&steps), [FIRST, YES, NO, NO, YES]);
    }

    #[test]
    fn a_stream_whose_clock_stood_while_the_wall_clock_went_on_is_believed() {
        assert_eq!(judged(&[(0, 0, 0), (1000, 1000, 1000), (5000, 1000, 5000)]), [FIRST, YES, YES]);
    }

    #[test]
    fn a_sender_without_a_wall_clock_states_nothing() {
        let mut reports = Reports::default();
        reports.take(Moment { wall: Ntp::NONE, timestamp: 5 }, ClockRate::VIDEO, Instant::now());
        assert!(reports.believed().is_none());
    }
}
