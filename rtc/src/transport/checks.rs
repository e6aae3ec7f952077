//! The addresses that a peer's checks come from, and the one of them that media is wanted at.
//!
//! That is the nominated one. Behind a NAT that gives the peer another port, the peer does not know that it has moved, so it
//! nominates nothing: the checks that keep its consent alive come from another address, and the nominated one is silent.
//! Then the other one is nominated in its place, once it has proved itself (see [`super::path`]).
//!
//! Consent is counted for each address (RFC 7675 5.1).

use std::time::{Duration, Instant};

use super::route::Route;

/// The most addresses that count as checked: a host has a few interfaces, times two IP families.
const ADDRESSES: usize = 8;
/// A peer that has checked within this time is there. Checks come at least every 6 s (RFC 7675 5.1).
pub const HEARD: Duration = Duration::from_secs(7);

/// The addresses that have passed a check.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// Each with the time of its last check. The most recent is the last.
    valid: Vec<(Route, Instant)>,
    nominated: Option<Route>,
    /// When the first check of the newest ICE restart came.
    restarted: Option<Instant>,
}

impl Checks {
    /// Notes a valid check. If there are too many addresses, the oldest is forgotten, but neither the nominated one nor
    /// that of `media`.
    pub(super) fn note(&mut self, from: Route, media: Option<Route>, now: Instant) {
        self.valid.retain(|(known, _)| *known != from);
        if self.valid.len() == ADDRESSES {
            let in_use = [self.nominated, media];
            let oldest = self.valid.iter().position(|(known, _)| !in_use.contains(&Some(*known))).unwrap_or(0);
            self.valid.remove(oldest);
        }
        self.valid.push((from, now));
    }

    /// Forgets a route that is no more.
    pub(super) fn forget(&mut self, route: Route) {
        self.valid.retain(|(known, _)| *known != route);
        self.nominated.take_if(|nominated| *nominated == route);
    }

    /// Nominates an address.
    pub(super) fn nominate(&mut self, address: Route) {
        self.nominated = Some(address);
    }

    /// Returns whether an address has passed a check.
    pub(super) fn contains(&self, address: Route) -> bool {
        self.last(address).is_some()
    }

    /// Returns the time of the last check from an address.
    pub(super) fn last(&self, address: Route) -> Option<Instant> {
        self.valid.iter().find(|(known, _)| *known == address).map(|(_, at)| *at)
    }

    /// Notes that the peer has begun to check anew after an ICE restart, so that nothing is nominated.
    pub(super) fn restart(&mut self, now: Instant) {
        (self.nominated, self.restarted) = (None, Some(now));
    }

    /// Returns the address that the peer wants media at: the nominated one, or before a nomination the last valid one. After a restart it is
    /// that of `media`, if checks have come from there since. So a peer that restarts because its way is dead need not nominate another first.
    pub(super) fn wanted(&self, media: Option<Route>) -> Option<Route> {
        let is_current =
            |media: &Route| self.restarted.is_some_and(|at| self.last(*media).is_some_and(|last| last >= at));
        self.nominated.or_else(|| media.filter(is_current)).or_else(|| self.newest())
    }

    /// Returns the address that checks have come from since the last check from the nominated one.
    pub(super) fn successor(&self) -> Option<Route> {
        self.newest().filter(|newest| self.nominated.is_some_and(|nominated| nominated != *newest))
    }

    /// Returns the time from which the nominated address counts as silent. `None` without one, or without a check from it.
    pub(super) fn silent_from(&self) -> Option<Instant> {
        Some(self.last(self.nominated?)? + HEARD)
    }

    fn newest(&self) -> Option<Route> {
        self.valid.last().map(|(address, _)| *address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Route {
        Route::Udp(([203, 0, 113, 7], port).into())
    }

    #[test]
    fn the_nominated_address_is_never_forgotten() {
        let now = Instant::now();
        let mut checks = Checks::default();
        checks.note(address(1), None, now);
        checks.nominate(address(1));
        for port in 2..50 {
            checks.note(address(port), Some(address(2)), now);
        }
        assert!([1, 2, 49].iter().all(|port| checks.contains(address(*port))) && !checks.contains(address(3)));
        assert_eq!(checks.valid.len(), ADDRESSES);
    }

    #[test]
    fn the_last_address_follows_a_nominated_one_that_is_silent() {
        let now = Instant::now();
        let at = |secs| now + Duration::from_secs(secs);
        let mut checks = Checks::default();
        checks.note(address(1), None, now);
        assert_eq!((checks.wanted(None), checks.successor(), checks.silent_from()), (Some(address(1)), None, None));
        checks.nominate(address(1));
        checks.note(address(2), None, at(5));
        assert_eq!((checks.wanted(None), checks.successor()), (Some(address(1)), Some(address(2))));
        assert_eq!((checks.silent_from(), checks.last(address(2))), (Some(now + HEARD), Some(at(5))));
        checks.note(address(1), None, at(6));
        assert_eq!((checks.successor(), checks.silent_from()), (None, Some(at(6) + HEARD)));
    }
}
