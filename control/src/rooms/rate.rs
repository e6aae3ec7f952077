//! The rates at which commands are given: by one person in a room, and by one principal in all rooms.
//!
//! A person may be one of many whom one principal has made, so both count. Requests of REST and commands over the WebSocket
//! are the same to them. Backends, which have an admin's or a host's token that names no person, are trusted to keep their own
//! rate, and so is everybody where no tokens are asked for.

use std::time::{Duration, Instant};

use onmic_media::bucket::Bucket;
use onmic_media::name::Principal;
use onmic_media::{Pace, Rates};
use onmic_room::{PK_PROPOSALS_MAX, PK_WINDOW};

/// The rates of one person.
#[derive(Clone, Copy, Debug)]
pub struct PersonRates {
    /// The rate of commands of any kind.
    pub commands: Bucket,
    /// The rate of the commands among them that are chat.
    pub chat: Bucket,
}

impl PersonRates {
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
    /// The body of a request that was counted before, of this many bytes. It counts as a message, but for that request.
    Body(usize),
    /// A message for the chat of a room, beside the request that brings it.
    Chat,
    /// A connection to the events of a room, beside the request that asks for it. It may make a guest.
    Enter,
    /// A proposal of a PK that is made, beside the request that brings it. The room has the same rate, and forgets it with its end.
    ProposePk,
}

impl Doing {
    /// Returns how much of its rate it takes.
    fn amount(self) -> f64 {
        match self {
            Self::Message(bytes) => bytes.div_ceil(REQUEST_BYTES).max(1) as f64,
            Self::Body(bytes) => bytes.div_ceil(REQUEST_BYTES).saturating_sub(1) as f64,
            Self::Request | Self::Chat | Self::Enter | Self::ProposePk => 1.0,
        }
    }
}

/// The bytes of a message that cost as much as a request does: half a millisecond to read the densest JSON. The pictures of a room
/// have as many as 48 requests by WebSocket, and 192 by REST.
const REQUEST_BYTES: usize = 16 * 1024;

/// How often in a second, and how often at once. An audience behind one address does all that it does as one principal, so these are
/// for hundreds of people.
const REQUESTS: Pace = Pace { each_second: 100.0, burst: 500.0 };
const CHAT: Pace = Pace { each_second: 20.0, burst: 100.0 };
const ENTRIES: Pace = Pace { each_second: 20.0, burst: 300.0 };
/// It is that of one room, in all rooms together.
const PROPOSALS: Pace =
    Pace { each_second: PK_PROPOSALS_MAX as f64 / PK_WINDOW.as_secs() as f64, burst: PK_PROPOSALS_MAX as f64 };

/// The rates of all principals.
#[derive(Debug)]
pub struct PrincipalRates {
    requests: Rates,
    chat: Rates,
    entries: Rates,
    proposals: Rates,
}

impl Default for PrincipalRates {
    fn default() -> Self {
        let all = [REQUESTS, CHAT, ENTRIES, PROPOSALS].map(|pace| Rates::new(Some(pace)));
        let [requests, chat, entries, proposals] = all;
        Self { requests, chat, entries, proposals }
    }
}

impl PrincipalRates {
    /// Counts what `who` does. The error is how long to wait.
    pub fn take(&self, who: &Principal, doing: Doing, now: Instant) -> Result<(), Duration> {
        self.of(doing).take(who, doing.amount(), now).map_err(|refused| refused.wait)
    }

    /// Checks whether `who` may do something. Nothing is counted. The error is how long to wait.
    pub fn may_take(&self, who: &Principal, doing: Doing, now: Instant) -> Result<(), Duration> {
        self.of(doing).may_take(who, doing.amount(), now).map_err(|refused| refused.wait)
    }

    fn of(&self, doing: Doing) -> &Rates {
        match doing {
            Doing::Request | Doing::Message(_) | Doing::Body(_) => &self.requests,
            Doing::Chat => &self.chat,
            Doing::Enter => &self.entries,
            Doing::ProposePk => &self.proposals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_after_it_only_what_is_refilled() {
        let start = Instant::now();
        let mut chat = PersonRates::new(start).chat;
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
    fn a_principal_proposes_as_many_pks_as_a_room_may_and_a_look_at_the_rate_counts_nothing() {
        let (rates, start) = (PrincipalRates::default(), Instant::now());
        let anna = Principal::Token("anna".into());
        let made = |now| {
            let may = || rates.may_take(&anna, Doing::ProposePk, now).is_ok();
            (0..100).filter(|_| may() && may() && rates.take(&anna, Doing::ProposePk, now).is_ok()).count()
        };
        assert_eq!(made(start), 5);
        assert_eq!(rates.may_take(&anna, Doing::ProposePk, start), Err(Duration::from_secs(12)));
        assert_eq!(made(start + Duration::from_secs(60)), 5);
        assert_eq!(rates.take(&anna, Doing::Request, start), Ok(()));
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
    fn a_request_and_its_body_count_as_a_message_of_that_size() {
        let start = Instant::now();
        let anna = Principal::Token("anna".into());
        for bytes in [0, 1, REQUEST_BYTES, REQUEST_BYTES + 1, 3 << 20] {
            let (by_rest, by_socket) = (PrincipalRates::default(), PrincipalRates::default());
            let rest = |doing| by_rest.take(&anna, doing, start);
            let request = || rest(Doing::Request).and_then(|()| rest(Doing::Body(bytes)));
            let message = || by_socket.take(&anna, Doing::Message(bytes), start);
            let taken = (0..1000).filter(|_| request().is_ok()).count();
            assert_eq!(taken, (0..1000).filter(|_| message().is_ok()).count(), "{bytes}");
        }
    }
}
