//! Shares: how many of one kind of thing a principal may have open, and all of them together.
//!
//! One who holds all that a node has keeps everybody else out. So each kind of connection has a limit for one principal beside
//! that for all, and so has what rooms give (`control/src/rooms/fair.rs`). Viewers leave a part to everybody else, because
//! without hosts and publishers there is nothing to watch. A share is taken before anything is made, and free again when it is
//! dropped. WebRTC has a table of its own (`rtc/src/places.rs`), because its sessions give way.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;

use crate::name::Principal;

/// The part that viewers leave to others: one in this many. A limit that is smaller than this leaves nothing.
const RESERVE: usize = 8;

/// The shares of one kind of thing. It is bounded by its own limits.
#[derive(Debug)]
pub struct Shares {
    what: &'static str,
    all: usize,
    each: usize,
    /// The shares of which each of these takes one as well.
    within: Option<Arc<Shares>>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    viewers: usize,
    by: HashMap<Principal, usize>,
}

/// One thing that a principal has open. Dropping it makes room for another.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    who: Option<Principal>,
    is_viewer: bool,
    _within: Option<Box<Share>>,
}

/// Why there is no share. Display is a sentence for the client.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoShare {
    /// All principals together have the most.
    #[error("this server has {1} {0} already, its limit; try again later")]
    Full(&'static str, usize),
    /// This principal has the most that one may have.
    #[error("{2} has {1} {0} already, as many as one may have here; try again when it has fewer")]
    Principal(&'static str, usize, Principal),
}

impl Share {
    /// Returns whose it is.
    pub fn who(&self) -> Option<&Principal> {
        self.who.as_ref()
    }
}

impl Shares {
    /// Makes shares of `what`, a word for several of them: `all` together, and `each` for one principal.
    pub fn new(what: &'static str, all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { what, all, each, within: None, held: Mutex::default() })
    }

    /// Makes shares of which nobody has too many.
    pub fn endless() -> Arc<Self> {
        Self::new("things", usize::MAX, usize::MAX)
    }

    /// Makes shares of `what`, each of which takes one of these as well.
    pub fn part(self: &Arc<Self>, what: &'static str, all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { what, all, each, within: Some(self.clone()), held: Mutex::default() })
    }

    /// Takes a share for `who`. It counts for nobody alone where everybody may be behind one address: a trusted proxy that does
    /// not name its clients.
    pub fn take(self: &Arc<Self>, who: Option<Principal>) -> Result<Share, NoShare> {
        self.take_for(who, false)
    }

    /// Takes a share for somebody who only watches, of those that viewers may have.
    pub fn take_to_watch(self: &Arc<Self>, who: Option<Principal>) -> Result<Share, NoShare> {
        self.take_for(who, true)
    }

    fn take_for(self: &Arc<Self>, who: Option<Principal>, is_viewer: bool) -> Result<Share, NoShare> {
        let within = self.within.as_ref().map(|within| within.take_for(None, is_viewer)).transpose()?;
        let for_viewers = self.all - self.all / RESERVE;
        let mut held = self.held.lock();
        if let Some(who) = who.as_ref().filter(|who| held.by.get(who).is_some_and(|own| *own >= self.each)) {
            return Err(NoShare::Principal(self.what, self.each, who.clone()));
        }
        if held.all >= self.all {
            return Err(NoShare::Full(self.what, self.all));
        }
        if is_viewer && held.viewers >= for_viewers {
            return Err(NoShare::Full(self.what, for_viewers));
        }
        held.all += 1;
        held.viewers += usize::from(is_viewer);
        if let Some(who) = &who {
            *held.by.entry(who.clone()).or_default() += 1;
        }
        drop(held);
        Ok(Share { shares: self.clone(), who, is_viewer, _within: within.map(Box::new) })
    }

    /// Returns how many shares are taken.
    pub fn taken(&self) -> usize {
        self.held.lock().all
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock();
        held.all -= 1;
        held.viewers -= usize::from(self.is_viewer);
        let Some(who) = &self.who else { return };
        if let Some(own) = held.by.get_mut(who) {
            *own -= 1;
            if *own == 0 {
                held.by.remove(who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(id: &str) -> Option<Principal> {
        Some(Principal::Token(id.into()))
    }

    #[test]
    fn one_who_has_the_most_leaves_the_rest_to_others() {
        let shares = Shares::new("players", 3, 2);
        let own: Vec<_> = (0..2).map(|_| shares.take(who("anna")).unwrap()).collect();
        let refused = shares.take(who("anna")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this token has 2 players already, as many as one may have here; try again when it has fewer"
        );
        let other = shares.take(who("ben")).unwrap();
        assert_eq!(shares.take(who("vera")).unwrap_err(), NoShare::Full("players", 3));
        drop(own);
        assert_eq!(shares.taken(), 1);
        drop(other);
        assert_eq!(shares.taken(), 0);
        assert!(shares.held.lock().by.is_empty(), "nobody is remembered who holds nothing");
        let _behind_a_proxy: Vec<_> = (0..3).map(|_| shares.take(None).unwrap()).collect();
        assert_eq!(shares.take(None).unwrap_err(), NoShare::Full("players", 3));
    }

    #[test]
    fn viewers_leave_an_eighth_to_others() {
        let shares = Shares::new("players", 16, 16);
        let own: Vec<_> = (0..14).map(|_| shares.take_to_watch(None).unwrap()).collect();
        assert_eq!(shares.take_to_watch(None).unwrap_err(), NoShare::Full("players", 14));
        let hosts: Vec<_> = (0..2).map(|_| shares.take(who("mia")).unwrap()).collect();
        assert_eq!(shares.take(who("ben")).unwrap_err(), NoShare::Full("players", 16));
        drop(own);
        assert!(shares.take_to_watch(None).is_ok());
        drop(hosts);
        let few = Shares::new("players", 1, 1);
        assert!(few.take_to_watch(None).is_ok(), "one place is a viewer's too");
    }

    #[test]
    fn two_kinds_leave_an_eighth_together() {
        let all = Shares::new("connections", 16, usize::MAX);
        let kinds = ["players", "listeners"].map(|what| all.part(what, usize::MAX, 10));
        let own: Vec<_> = (0..14).map(|number| kinds[number % 2].take_to_watch(who("anna")).unwrap()).collect();
        assert_eq!(kinds[0].take_to_watch(who("ben")).unwrap_err(), NoShare::Full("connections", 14));
        let host = kinds[1].take(who("mia")).unwrap();
        assert_eq!((all.taken(), kinds[1].taken()), (15, 8));
        drop((own, host));
        assert_eq!((all.taken(), kinds[1].taken()), (0, 0));
        let most: Vec<_> = (0..10).map(|_| kinds[0].take_to_watch(who("anna")).unwrap()).collect();
        assert!(matches!(kinds[0].take_to_watch(who("anna")), Err(NoShare::Principal("players", 10, _))));
        assert_eq!(all.taken(), most.len(), "who is refused leaves nothing taken");
    }
}
