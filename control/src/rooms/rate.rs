//! The rates at which commands are given: by one person in a room, and by one principal in all rooms.
//!
//! A person may be one of many whom one principal has made, so both count. Requests of REST and commands over the WebSocket
//! are the same to them. Backends, which have an admin's or a host's token that names no person, are trusted to keep their own
//! rate, and so is everybody where no tokens are asked for.

use std::collections::{HashMap, VecDeque};
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
    /// A command in a message of this many bytes. It counts as a request for each [`REQUEST_BYTES`] of them.
    Message(usize),
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
            Self::Request | Self::Message(_) => (100.0, 500.0),
            Self::Chat => (20.0, 100.0),
            Self::Enter => (20.0, 300.0),
        }
    }

    /// Returns how much of its rate it takes.
    fn amount(self) -> f64 {
        match self {
            Self::Message(bytes) => bytes.div_ceil(REQUEST_BYTES).max(1) as f64,
            Self::Request | Self::Chat | Self::Enter => 1.0,
        }
    }
}

/// The bytes of a message that cost as much as a request does: half a millisecond to read the densest JSON. The pictures of a room
/// have as many as 48 requests.
const REQUEST_BYTES: usize = 16 * 1024;

/// The most principals whose rates are kept. Those who come beyond it go uncounted for the seconds until others are forgotten.
const PRINCIPALS_MAX: usize = 100_000;

/// After this long all buckets of a principal are full again, so nothing is lost when they are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// How many others are looked at for each newcomer. Two, so that the table becomes smaller where most have gone.
const LOOKED_AT: usize = 2;

/// The rates of all principals. Every call costs the same few steps, whoever comes: nothing looks at all of them at once.
#[derive(Debug, Default)]
pub struct PrincipalRates(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    own: HashMap<Principal, Own>,
    /// Each principal of the table once, in the order in which they are looked at.
    turns: VecDeque<Principal>,
}

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
        let mut table = self.0.lock();
        if let Some(own) = table.own.get_mut(who) {
            return own.take(doing, now);
        }
        for _ in 0..LOOKED_AT {
            table.look_at_the_next(now);
        }
        if table.own.len() >= PRINCIPALS_MAX {
            return Ok(());
        }
        table.turns.push_back(who.clone());
        table.own.entry(who.clone()).or_insert_with(|| Own::new(now)).take(doing, now)
    }
}

impl Table {
    /// Forgets the principal whose turn it is, unless it has done something lately.
    fn look_at_the_next(&mut self, now: Instant) {
        let Some(next) = self.turns.pop_front() else { return };
        let is_known = |own: &Own| now.saturating_duration_since(own.last) < FORGOTTEN;
        if self.own.get(&next).is_some_and(is_known) {
            self.turns.push_back(next);
        } else {
            self.own.remove(&next);
        }
    }
}

impl Own {
    fn new(now: Instant) -> Self {
        let full = |doing: Doing| {
            let (each_second, burst) = doing.rate();
            Bucket::new(each_second, burst, now)
        };
        Self { request: full(Doing::Request), chat: full(Doing::Chat), enter: full(Doing::Enter), last: now }
    }

    fn take(&mut self, doing: Doing, now: Instant) -> Result<(), Duration> {
        self.last = self.last.max(now);
        let bucket = match doing {
            Doing::Request | Doing::Message(_) => &mut self.request,
            Doing::Chat => &mut self.chat,
            Doing::Enter => &mut self.enter,
        };
        bucket.try_take(doing.amount(), now)
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
    fn a_large_message_counts_as_many_requests() {
        let (rates, start) = (PrincipalRates::default(), Instant::now());
        let anna = Principal::Token("anna".into());
        let taken = |bytes, now| (0..1000).filter(|_| rates.take(&anna, Doing::Message(bytes), now).is_ok()).count();
        assert_eq!(taken(50 * REQUEST_BYTES, start), 10);
        assert_eq!(taken(0, start), 0, "they have one rate");
        let rested = start + Duration::from_secs(1);
        assert_eq!(taken(REQUEST_BYTES + 1, rested), 50);
        assert_eq!(taken(1, rested + Duration::from_secs(1)), 100);
    }

    #[test]
    fn principals_that_rest_are_forgotten_when_others_need_the_room() {
        let (rates, start) = (PrincipalRates::default(), Instant::now());
        let who = |number: usize| Principal::Token(number.to_string().into());
        for number in 0..PRINCIPALS_MAX {
            rates.take(&who(number), Doing::Request, start).unwrap();
        }
        let known = |rates: &PrincipalRates| {
            let table = rates.0.lock();
            assert_eq!(table.own.len(), table.turns.len(), "each has one turn");
            table.own.len()
        };
        for _ in 0..1000 {
            assert_eq!(rates.take(&who(PRINCIPALS_MAX), Doing::Request, start), Ok(()), "one too many goes uncounted");
        }
        assert_eq!(known(&rates), PRINCIPALS_MAX);
        let later = start + FORGOTTEN;
        for newcomer in 0..10 {
            rates.take(&who(PRINCIPALS_MAX + newcomer), Doing::Request, later).unwrap();
        }
        assert_eq!(known(&rates), PRINCIPALS_MAX - 10 * LOOKED_AT + 10, "each newcomer makes room for another");
        let taken = (0..1000).filter(|_| rates.take(&who(PRINCIPALS_MAX), Doing::Request, later).is_ok()).count();
        assert_eq!(taken, 499, "and is counted");
    }

    #[test]
    fn a_principal_that_goes_on_is_not_forgotten_whoever_comes() {
        let (rates, start) = (PrincipalRates::default(), Instant::now());
        let who = |number: usize| Principal::Token(number.to_string().into());
        let greedy = Principal::Token("greedy".into());
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            let taken = (0..1000).filter(|_| rates.take(&greedy, Doing::Request, now).is_ok()).count();
            assert_eq!(taken, if second == 0 { 500 } else { 100 }, "{second} s");
            for number in 0..100 {
                rates.take(&who(second as usize * 100 + number), Doing::Request, now).unwrap();
            }
        }
        assert!(
            rates.0.lock().own.len() <= 1 + 100 * (FORGOTTEN.as_secs() as usize + 20),
            "those who rest are forgotten"
        );
    }
}
