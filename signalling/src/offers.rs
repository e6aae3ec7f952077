//! The rates of offers: how fast one principal may ask for sessions. Each costs the reading of an SDP, an answer, and the state of a
//! session with its handshake, which takes 2 ms of a core.
//!
//! Those that publish are counted apart, so that viewers behind the address of a publisher take nothing from it.

use std::time::Instant;

use onmic_media::name::Principal;
use onmic_media::{DropReason, Pace, Rates, TooFast};

/// The rates of all principals.
#[derive(Debug, Default)]
pub struct Offers {
    publishing: Rates,
    watching: Rates,
}

impl Offers {
    /// Lets each principal publish at `pace`, and watch at `pace`.
    pub fn new(pace: Option<Pace>) -> Self {
        Self { publishing: Rates::new(pace), watching: Rates::new(pace) }
    }

    /// Counts an offer to publish.
    pub(crate) fn publish(&self, who: Option<&Principal>, now: Instant) -> Result<(), TooFast> {
        take(&self.publishing, who, now)
    }

    /// Counts an offer to watch.
    pub(crate) fn watch(&self, who: Option<&Principal>, now: Instant) -> Result<(), TooFast> {
        take(&self.watching, who, now)
    }
}

/// Counts one more for `who`, unless nobody is counted.
fn take(rates: &Rates, who: Option<&Principal>, now: Instant) -> Result<(), TooFast> {
    let Some(who) = who else { return Ok(()) };
    rates.take(who, 1.0, now).inspect_err(|_| DropReason::TooFast.count(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_behind_an_address_take_no_offer_from_those_who_publish() {
        let (offers, now) = (Offers::new(Pace::of(25, 8)), Instant::now());
        let (school, home) = ("203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap());
        let [school, home] = [school, home].map(|address| Some(Principal::at(address)));
        let watched = |who: &Option<Principal>| (0..500).filter(|_| offers.watch(who.as_ref(), now).is_ok()).count();
        assert_eq!(watched(&school), 200, "a class");
        assert!(offers.publish(school.as_ref(), now).is_ok());
        assert_eq!(watched(&home), 200);
        assert_eq!(watched(&None), 500, "a proxy that names nobody");
    }
}
