//! How a client of a room's events behaves: what it may do wrong before it is taken for broken, and how long it may be silent.

use std::time::{Duration, Instant};

use onmic_media::bucket::Bucket;

use crate::rooms::mailbox::Closing;
use crate::rooms::rate::PersonRates;

/// How long a client may send nothing, not even a pong, and how long it may take for one message, before it is closed.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The most messages in a row that may be refused, pings above their rate included.
const MOST: f64 = 100.0;
/// How many of them are forgiven in a second. A client that errs now and then may be connected for days.
const FORGIVEN_PER_SECOND: f64 = 0.1;

/// The conduct of one client. Each method is told the time.
#[derive(Debug)]
pub struct Conduct {
    /// When the client was last heard, or an answer to it was ready.
    heard: Instant,
    pinging: Bucket,
    strikes: Strikes,
}

impl Conduct {
    /// Begins with a client that has just come.
    pub fn new(now: Instant) -> Self {
        Self { heard: now, pinging: PersonRates::new(now).commands, strikes: Strikes::new(now) }
    }

    /// Notes that the client is heard, whatever it sends.
    pub fn handle_sign(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Counts a ping or a pong. Returns why the client is closed, if it is one too many. No client needs more of them than it may
    /// give commands, because each costs a little work.
    pub fn handle_ping(&mut self, now: Instant) -> Option<Closing> {
        let is_too_fast = self.pinging.try_take(1.0, now).is_err();
        (is_too_fast && self.strikes.is_out(now)).then_some(Closing::Nonsense)
    }

    /// Counts the outcome of a command. Returns why the client is closed, if it was refused once too often.
    pub fn handle_outcome(&mut self, is_refused: bool, now: Instant) -> Option<Closing> {
        self.heard = now;
        if !is_refused {
            self.strikes.forgive(now);
            return None;
        }
        self.strikes.is_out(now).then_some(Closing::Nonsense)
    }

    /// Returns why the client is closed, if it is silent for too long.
    pub fn silence(&self, now: Instant) -> Option<Closing> {
        (now.saturating_duration_since(self.heard) > SILENCE_MAX).then_some(Closing::Silent)
    }
}

/// Counts messages that are refused.
#[derive(Debug)]
struct Strikes(Bucket);

impl Strikes {
    /// Begins to count.
    fn new(now: Instant) -> Self {
        Self(Bucket::new(FORGIVEN_PER_SECOND, MOST, now))
    }

    /// Counts a message that was refused at `now`. Returns whether that is one too many.
    fn is_out(&mut self, now: Instant) -> bool {
        self.0.try_take(1.0, now).is_err()
    }

    /// Forgives all of them, because a command at `now` was carried out.
    fn forgive(&mut self, now: Instant) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_client_that_answers_pings_is_not_silent_and_one_that_does_nothing_is() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut conduct = Conduct::new(start);
        assert_eq!(conduct.silence(at(60)), None);
        assert_eq!(conduct.silence(at(61)), Some(Closing::Silent));
        conduct.handle_sign(at(60));
        assert_eq!((conduct.silence(at(120)), conduct.silence(at(121))), (None, Some(Closing::Silent)));
        conduct.handle_outcome(true, at(120));
        assert_eq!(conduct.silence(at(180)), None, "it waited for an answer");
    }

    #[test]
    fn pings_above_their_rate_count_as_refused_messages() {
        let start = Instant::now();
        let mut conduct = Conduct::new(start);
        let taken = (0..1_000).take_while(|_| conduct.handle_ping(start).is_none()).count();
        assert_eq!(taken, 30 + 100);
        assert_eq!(
            conduct.handle_outcome(false, start),
            None,
            "a command that is carried out makes up for all of them"
        );
        assert_eq!((0..1_000).take_while(|_| conduct.handle_ping(start).is_none()).count(), 100);
    }
}
