//! The way back to a peer: where media goes, and the proof that the peer is there.
//!
//! A check proves that its sender knows the session's password, and nothing about where the sender is: the source of a
//! datagram can be forged. So media goes to an address that has proved itself, and moves to another only once that one
//! has answered a question of ours, a binding request (RFC 8445 7.3) with a random transaction. The address that
//! finished the handshake has proved itself with that.
//!
//! A peer that answers no question keeps the address of its handshake, for as long as checks come from there.
//!
//! A peer whose NAT gives it another port checks from there after seconds only. If it sends media, that comes from there at once. So
//! the source of media that authenticates is asked as well, and once it answers, media goes there. The source of a stolen packet can be
//! forged too, so there is one such question in [`HEARD_INTERVAL`] at most.

use std::time::{Duration, Instant};

use rtc_stun::message::TransactionId;

use super::route::Route;

/// The most proven addresses that are remembered.
const PROVEN: usize = 8;
/// How often a question is asked before the peer's next check has to renew it.
const TRIES: u32 = 3;
/// The time until a question is asked again. It doubles with each try.
const RETRY: Duration = Duration::from_millis(200);

/// The least time between two questions to addresses that media comes from without a check.
const HEARD_INTERVAL: Duration = Duration::from_secs(1);

/// The address that media goes to, and the question to the one that it may move to.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// The most recent is the last.
    proven: Vec<Route>,
    media: Option<Route>,
    /// Whether the consent to media there has ended.
    lapsed: bool,
    question: Option<Question>,
    /// The address that was asked because media came from there, until it has answered.
    heard: Option<Route>,
    heard_at: Option<Instant>,
}

#[derive(Debug)]
struct Question {
    to: Route,
    transaction: TransactionId,
    asked: u32,
    /// The time of the next try, or of the end after the last.
    next: Instant,
}

impl Path {
    /// Returns the proven address that media goes to.
    pub(super) fn media(&self) -> Option<Route> {
        self.media
    }

    /// Returns whether the peer has proved that it is at this address.
    pub(super) fn is_proven(&self, address: Route) -> bool {
        self.proven.contains(&address)
    }

    /// Returns whether the peer's consent to media at its address has ended.
    pub(super) fn has_lapsed(&self) -> bool {
        self.lapsed
    }

    /// Ends media to its address.
    pub(super) fn lapse(&mut self) {
        self.lapsed = true;
    }

    /// Forgets a route that is no more. If media goes there, it goes nowhere until [`Path::follow`] finds another one.
    pub(super) fn forget(&mut self, route: Route) {
        self.proven.retain(|known| *known != route);
        self.question.take_if(|question| question.to == route);
        self.heard.take_if(|heard| *heard == route);
        self.lapsed |= self.media == Some(route);
    }

    /// Notes that an address consents. If it is that of media, media goes on.
    pub(super) fn renew(&mut self, from: Route) {
        self.lapsed &= self.media != Some(from);
    }

    /// Sends media to the address that has finished the handshake.
    pub(super) fn begin(&mut self, at: Route) {
        self.prove(at);
        self.media = Some(at);
    }

    /// Moves media to the address that the peer wants it at, or asks that address to prove itself. Does nothing before
    /// the handshake has finished.
    pub(super) fn follow(&mut self, wanted: Route, now: Instant) {
        if self.media.is_none_or(|media| media == wanted) {
            return;
        }
        if self.is_proven(wanted) {
            (self.media, self.lapsed) = (Some(wanted), false);
        } else {
            self.ask(wanted, now);
        }
    }

    /// Asks an address to prove itself, unless it is being asked.
    pub(super) fn ask(&mut self, to: Route, now: Instant) {
        let is_asked = self.question.as_ref().is_some_and(|question| question.to == to && !question.is_over(now));
        if !is_asked && !self.is_proven(to) {
            self.question = Some(Question { to, transaction: TransactionId::new(), asked: 0, next: now });
        }
    }

    /// Asks an address to prove itself, unless another one is being asked. So many addresses are asked no more than one.
    pub(super) fn ask_aside(&mut self, to: Route, now: Instant) {
        if self.question.as_ref().is_none_or(|question| question.is_over(now)) {
            self.ask(to, now);
        }
    }

    /// Notes that media comes from an address without a check. It is asked to prove itself, unless another one is being asked, or was asked
    /// for the same reason just now.
    pub(super) fn heard(&mut self, from: Route, now: Instant) {
        let is_asking = self.question.as_ref().is_some_and(|question| !question.is_over(now));
        let is_soon = self.heard_at.is_some_and(|at| now < at + HEARD_INTERVAL);
        if !is_asking && !is_soon {
            (self.heard, self.heard_at) = (Some(from), Some(now));
            self.ask(from, now);
        }
    }

    /// Does not move to where media comes from, whatever that answers.
    pub(super) fn stay(&mut self) {
        self.heard = None;
    }

    /// Returns the question to send now.
    pub(super) fn poll_question(&mut self, now: Instant) -> Option<(Route, TransactionId)> {
        let question = self.question.as_mut().filter(|question| question.asked < TRIES && question.next <= now)?;
        question.next = now + RETRY * (1 << question.asked);
        question.asked += 1;
        Some((question.to, question.transaction))
    }

    /// Returns the time of the next try.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.question.as_ref().filter(|question| question.asked < TRIES).map(|question| question.next)
    }

    /// Returns whether this answers the question, which is not checked for its integrity here.
    pub(super) fn is_answer(&self, from: Route, transaction: TransactionId) -> bool {
        self.question.as_ref().is_some_and(|question| question.to == from && question.transaction == transaction)
    }

    /// Takes an answer whose integrity was checked. Returns whether the address was asked because media comes from there.
    pub(super) fn answered(&mut self, from: Route) -> bool {
        self.question = None;
        self.prove(from);
        self.heard.take_if(|heard| *heard == from).is_some()
    }

    /// Notes that the peer has proved that it is at this address.
    pub(super) fn prove(&mut self, address: Route) {
        self.proven.retain(|known| *known != address);
        if self.proven.len() == PROVEN {
            let oldest = usize::from(self.proven.first().copied() == self.media);
            self.proven.remove(oldest);
        }
        self.proven.push(address);
    }
}

impl Question {
    fn is_over(&self, now: Instant) -> bool {
        self.asked == TRIES && self.next <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Route {
        Route::Udp(([203, 0, 113, 7], port).into())
    }

    #[test]
    fn media_moves_only_to_an_address_that_has_answered() {
        let now = Instant::now();
        let mut path = Path::default();
        path.follow(address(1), now);
        assert_eq!((path.media(), path.poll_question(now)), (None, None), "the handshake is the first proof");
        path.begin(address(1));
        path.follow(address(2), now);
        let (to, transaction) = path.poll_question(now).unwrap();
        assert_eq!((to, path.media()), (address(2), Some(address(1))));
        assert!(!path.is_answer(address(3), transaction) && !path.is_answer(address(2), TransactionId::new()));
        assert!(path.is_answer(address(2), transaction));
        path.answered(address(2));
        path.follow(address(2), now);
        assert_eq!(path.media(), Some(address(2)));
        path.follow(address(1), now);
        assert_eq!((path.media(), path.poll_question(now)), (Some(address(1)), None), "it has proved itself before");
    }

    #[test]
    fn a_question_is_asked_three_times_and_again_when_the_peer_checks_again() {
        let now = Instant::now();
        let mut path = Path::default();
        path.begin(address(1));
        path.follow(address(2), now);
        let mut asked = Vec::new();
        while let Some(at) = path.poll_timeout() {
            path.follow(address(2), at); // Checks meanwhile do not add questions.
            asked.extend(path.poll_question(at).map(|_| at.duration_since(now).as_millis()));
        }
        assert_eq!(asked, [0, 200, 600]);
        path.follow(address(2), now + Duration::from_millis(1000));
        assert_eq!(path.poll_timeout(), None, "the last try may still be answered");
        path.follow(address(2), now + Duration::from_millis(1400));
        assert!(path.poll_question(now + Duration::from_millis(1400)).is_some());
    }

    #[test]
    fn the_address_of_media_stays_proven() {
        let now = Instant::now();
        let mut path = Path::default();
        path.begin(address(1));
        for port in 2..30 {
            path.ask(address(port), now);
            path.answered(address(port));
        }
        assert!(path.is_proven(address(1)) && path.is_proven(address(29)) && !path.is_proven(address(2)));
        assert_eq!(path.proven.len(), PROVEN);
    }
}
