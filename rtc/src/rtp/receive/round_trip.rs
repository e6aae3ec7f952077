//! The round trip to a publisher and back, and after what time an answer is overdue.
//!
//! Extended reports state it (RFC 3611 4.4 and 4.5): a reference time of ours, and the publisher's answer with the delay that it
//! had there. Publishers that send none are measured by their repairs. A repair may answer a request that was repeated, and then its
//! time is too long. A packet that was only late may be taken for a repair, and then it is too short. So the second fastest of the
//! last few counts.

use std::time::{Duration, Instant};

/// The round trip before one was measured.
const START: Duration = Duration::from_millis(100);
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(1);
/// The number of repairs of which the second fastest counts. With 30 % of all packets lost, half of them come in the first round.
const ANSWERS: usize = 8;
/// Reports come once a second. After ten without one, repairs tell the round trip.
const REPORTED_FOR: Duration = Duration::from_secs(10);
/// An answer is overdue by a tenth of the round trip at least, and by 5 ms: a pacer sends repairs in turn.
const MARGIN_SHARE: u32 = 10;
const MARGIN_LEAST: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct RoundTrip {
    smoothed: Duration,
    variation: Duration,
    reported: Option<Instant>,
    /// The times that the last repairs took, newest first.
    answers: [Duration; ANSWERS],
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self { smoothed: START, variation: Duration::ZERO, reported: None, answers: [MOST; ANSWERS] }
    }
}

impl RoundTrip {
    /// Takes in a round trip that a report states. Smoothed as in RFC 6298 2.
    pub(super) fn reported(&mut self, sample: Duration, now: Instant) {
        let sample = sample.clamp(LEAST, MOST);
        if self.is_reported(now) {
            self.variation = (self.variation * 3 + self.smoothed.abs_diff(sample)) / 4;
            self.smoothed = (self.smoothed * 7 + sample) / 8;
        } else {
            (self.smoothed, self.variation) = (sample, Duration::ZERO);
        }
        self.reported = Some(now);
    }

    /// Takes in the time from the first request of a packet to its repair.
    pub(super) fn answered(&mut self, sample: Duration, now: Instant) {
        self.answers.rotate_right(1);
        self.answers[0] = sample.clamp(LEAST, MOST);
        if !self.is_reported(now) {
            let mut sorted = self.answers;
            sorted.sort_unstable();
            // The first few are all that there is.
            let fastest = if sorted[1] < MOST { sorted[1] } else { sorted[0] };
            (self.smoothed, self.variation) = (fastest, Duration::ZERO);
        }
    }

    /// Returns the round trip.
    pub(super) fn get(&self) -> Duration {
        self.smoothed
    }

    /// Returns the time after which an answer does not come any more, unless it was lost.
    pub(super) fn overdue(&self) -> Duration {
        self.smoothed + (self.variation * 4).max(self.smoothed / MARGIN_SHARE).max(MARGIN_LEAST)
    }

    fn is_reported(&self, now: Instant) -> bool {
        self.reported.is_some_and(|reported| now.saturating_duration_since(reported) < REPORTED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn repairs_of_requests_that_were_repeated_do_not_make_the_round_trip_longer() {
        let (mut round_trip, began) = (RoundTrip::default(), Instant::now());
        for (at, sample) in [250, 83, 170, 80, 400, 81, 160, 12, 330, 82].into_iter().enumerate() {
            round_trip.answered(MILLI * sample, began + MILLI * at as u32);
        }
        assert_eq!(round_trip.get(), 80 * MILLI, "nor does one that was only late make it shorter");
        (0..8).for_each(|at| round_trip.answered(MILLI * 200, began + MILLI * (100 + at)));
        assert_eq!((round_trip.get(), round_trip.overdue()), (200 * MILLI, 220 * MILLI), "it grows as well");
    }

    #[test]
    fn reports_count_for_more_than_repairs_while_they_come() {
        let (mut round_trip, began) = (RoundTrip::default(), Instant::now());
        round_trip.reported(50 * MILLI, began);
        round_trip.answered(90 * MILLI, began + MILLI);
        assert_eq!(round_trip.get(), 50 * MILLI);
        round_trip.reported(90 * MILLI, began + 1000 * MILLI);
        assert_eq!((round_trip.get(), round_trip.overdue()), (55 * MILLI, 95 * MILLI));
        round_trip.answered(90 * MILLI, began + 12_000 * MILLI);
        assert_eq!(round_trip.get(), 90 * MILLI);
    }
}
