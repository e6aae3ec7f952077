//! The rates at which commands are given: by one person in a room, and by one principal in all rooms.
//!
//! A person may be one of many whom one principal has made, so both count. Requests of REST and commands over the WebSocket
//! are the same to them. Backends, which have an admin's or a host's token that names no person, are trusted to keep their own
//! rate, and so is everybody where no tokens are asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use onmic_media::bucket::Bucket;
use onmic_media::name::Principal;
use parking_lot::Mutex;

/// The rates of one person.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// The rate of commands of any kind.
    pub commands: Bucket,
    /// The rate of the commands among them that are chat.
    pub chat: Bucket,
}

impl Rates {
    /// Returns the rates of a person who has done nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { commands: Bucket::new(10.0, 30.0, now), chat: Bucket::new(1.0, 5.0, now) }
    }
}

/// Something that a principal does at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A request or a command.
    Request,
    /// A message for the chat of a room, beside the request that brings it.
    Chat,
    /// A connection to the events of a room, beside the request that asks for it. It may make a guest.
    Enter,
}

impl Doing {
    /// Returns how often in a second, and how often at once. An audience behind one address does all that it does as one
    /// principal, so these are for hundreds of people.
    const fn rate(self) -> (f64, f64) {
        match self {
            Self::Request => (100.0, 500.0),
            Self::Chat => (20.0, 100.0),
            Self::Enter => (20.0, 300.0),
        }
    }
}

/// The most principals whose rates are kept. Those who come beyond it go uncounted for the seconds until others are forgotten.
const PRINCIPALS_MAX: usize = 100_000;

/// The rates of all principals.
#[derive(Debug, Default)]
pub struct PrincipalRates(Mutex<HashMap<Principal, Own>>);

#[derive(Debug)]
struct Own {
    request: Bucket,
    chat: Bucket,
    enter: Bucket,
    /// When it last did anything.
    last: Instant,
}

impl PrincipalRates {
    /// Counts what `who` does. The error is how long to wait.
    pub fn take(&self, who: &Principal, doing: Doing, now: Instant) -> Result<(), Duration> {
        /// After this long all buckets are full again.
        const FORGOTTEN: Duration = Duration::from_secs(20);
        let mut all = self.0.lock();
        if !all.contains_key(who) {
            if all.len() >= PRINCIPALS_MAX {
                all.retain(|_, own| now.saturating_duration_since(own.last) < FORGOTTEN);
            }
            if all.len() >= PRINCIPALS_MAX {
                return Ok(());
            }
        }
        let full = |doing: Doing| {
            let (each_second, burst) = doing.rate();
            Bucket::new(each_second, burst, now)
        };
        let own = all.entry(who.clone()).or_insert_with(|| Own {
            request: full(Doing::Request),
            chat: full(Doing::Chat),
            enter: full(Doing::Enter),
            last: now,
        });
        own.last = own.last.max(now);
        let bucket = match doing {
            Doing::Request => &mut own.request,
            Doing::Chat => &mut own.chat,
            Doing::Enter => &mut own.enter,
        };
        bucket.try_take(1.0, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_after_it_only_what_is_refilled() {
        let start = Instant::now();
        let mut chat = Rates::new(start).chat;
        for _ in 0..5 {
            assert_eq!(chat.try_take(1.0, start), Ok(()));
        }
        assert_eq!(chat.try_take(1.0, start), Err(Duration::from_secs(1)));
        assert_eq!(chat.try_take(1.0, start + Duration::from_secs(1)), Ok(()));
        assert!(chat.try_take(1.0, start + Duration::from_secs(1)).is_err());
        let rested = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| chat.try_take(1.0, rested).is_ok()).count(), 5);
    }

    #[test]
    fn a_principal_that_is_too_fast_waits_and_others_do_not() {
        let (rates, start) = (PrincipalRates::default(), Instant::now());
        let [anna, ben] = ["anna", "ben"].map(|id| Principal::Token(id.into()));
        let taken = |who, doing, now| (0..1000).filter(|_| rates.take(who, doing, now).is_ok()).count();
        assert_eq!(taken(&anna, Doing::Request, start), 500);
        assert_eq!(taken(&anna, Doing::Chat, start), 100, "each kind has a rate of its own");
        assert_eq!(taken(&ben, Doing::Request, start), 500);
        assert_eq!(taken(&anna, Doing::Request, start + Duration::from_secs(2)), 200);
        assert!(
            rates.take(&anna, Doing::Request, start + Duration::from_secs(2)).unwrap_err() <= Duration::from_millis(10)
        );
    }

    #[test]
    fn principals_that_rest_are_forgotten_when_others_need_the_room() {
        let (rates, start) = (PrincipalRates::default(), Instant::now());
        let who = |number: usize| Principal::Token(number.to_string().into());
        for number in 0..PRINCIPALS_MAX {
            rates.take(&who(number), Doing::Request, start).unwrap();
        }
        assert_eq!(rates.take(&who(PRINCIPALS_MAX), Doing::Request, start), Ok(()));
        assert_eq!(rates.0.lock().len(), PRINCIPALS_MAX);
        rates.take(&who(PRINCIPALS_MAX), Doing::Request, start + Duration::from_secs(20)).unwrap();
        assert_eq!(rates.0.lock().len(), 1);
    }
}
