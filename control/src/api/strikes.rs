//! What a client of a room's events may do wrong before it is taken for broken.

use std::time::Instant;

use onmic_media::bucket::Bucket;

/// The most messages in a row that may be refused, pings above their rate included.
const MOST: f64 = 100.0;
/// How many of them are forgiven in a second. A client that errs now and then may be connected for days.
const FORGIVEN_PER_SECOND: f64 = 0.1;

/// Counts messages that are refused.
#[derive(Debug)]
pub(super) struct Strikes(Bucket);

impl Strikes {
    /// Begins to count.
    pub(super) fn new(now: Instant) -> Self {
        Self(Bucket::new(FORGIVEN_PER_SECOND, MOST, now))
    }

    /// Counts a message that was refused at `now`. Returns whether that is one too many.
    pub(super) fn is_out(&mut self, now: Instant) -> bool {
        self.0.try_take(1.0, now).is_err()
    }

    /// Forgives all of them, because a command at `now` was carried out.
    pub(super) fn forgive(&mut self, now: Instant) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_is_out_that_errs_often_and_not_one_that_errs_now_and_then_for_days() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut strikes = Strikes::new(start);
        assert!((0..100).all(|_| !strikes.is_out(start)) && strikes.is_out(start));
        strikes.forgive(start);
        assert!((0..100).all(|_| !strikes.is_out(start)), "a command was carried out");
        let mut strikes = Strikes::new(start);
        assert!((0..100_000).all(|number| !strikes.is_out(at(number * 10))), "11 days");
        assert!((0..200).any(|number| strikes.is_out(at(1_000_000 + number))), "one each second");
    }
}
