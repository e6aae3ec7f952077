//! The places of sessions: how many are taken, by whom, and who gives way when there are too many.
//!
//! One lock guards the places of all shards, because a principal's share holds for the node. It is taken when a session
//! begins, connects and ends, and never while anything waits.
//!
//! - A session is *pending* until it has connected, which costs its client a handshake from an address that it has. A
//!   principal has pending sessions in at most a quarter of the places. Its oldest one gives way to its next.
//! - When all places are taken, the oldest pending session of the principal with the most of them gives way. Without
//!   any, the newcomer is refused.
//! - Viewers leave an eighth of the places to publishers.
//! - Viewers of one principal take at most half of the places, so that no one alone can fill the node.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use onmic_media::name::Principal;
use parking_lot::Mutex;
use thiserror::Error;

use crate::session::SessionId;

/// The part of the places that the pending sessions of one principal may take: one in this many.
const PENDING_SHARE: usize = 4;
/// The part of the places that the viewers of one principal may take: one in this many.
const VIEWERS_SHARE: usize = 2;
/// The part of the places that is kept for publishers: one in this many.
const RESERVE: usize = 8;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Publish,
    Watch,
}

/// Why there is no place for a session. Display is a sentence for the client.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoPlace {
    /// All places are taken by sessions that have connected.
    #[error("this server has reached its limit of WebRTC sessions; try again later, or watch by LL-HLS")]
    Full,
    /// The principal has as many viewers as one may have.
    #[error("{0} has as many viewers by WebRTC as one may have here; watch by LL-HLS")]
    Share(Principal),
}

/// A place that was taken, and the session that has to end for it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) id: SessionId,
    pub(crate) place: Place,
    /// The session that gives way. Its place is free already.
    pub(crate) gives_way: Option<SessionId>,
}

/// The places of all shards. It is cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Mutex<Ledger>>);

/// A session's place. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    key: u64,
    places: Places,
}

impl Places {
    /// Makes free places: `each` in each of `shards`, which are at least one.
    pub(crate) fn new(shards: usize, each: usize) -> Self {
        let ledger = Ledger { each, shards: vec![Load::default(); shards], ..Ledger::default() };
        Self(Arc::new(Mutex::new(ledger)))
    }

    /// Takes a place in the shard with the fewest sessions.
    pub(crate) fn take(&self, purpose: Purpose, who: Principal) -> Result<Taken, NoPlace> {
        let (key, id, gives_way) = self.0.lock().take(purpose, who)?;
        Ok(Taken { id, place: Place { key, places: self.clone() }, gives_way })
    }

    /// Returns how many places are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.0.lock().held.len()
    }
}

impl Place {
    /// Notes that the session has connected, so that it gives way to nobody.
    pub(crate) fn connected(&self) {
        self.places.0.lock().settle(self.key);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().free(self.key);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    all: usize,
    viewers: usize,
}

#[derive(Debug)]
struct Held {
    id: SessionId,
    purpose: Purpose,
    who: Principal,
}

/// What one principal holds.
#[derive(Debug, Default)]
struct Holdings {
    viewers: usize,
    /// The keys of pending sessions. The oldest is the first.
    pending: BTreeSet<u64>,
}

/// The state behind [`Places`]. A place's key grows with time.
#[derive(Debug, Default)]
struct Ledger {
    each: usize,
    shards: Vec<Load>,
    next: u64,
    held: HashMap<u64, Held>,
    by: HashMap<Principal, Holdings>,
}

impl Ledger {
    fn take(&mut self, purpose: Purpose, who: Principal) -> Result<(u64, SessionId, Option<SessionId>), NoPlace> {
        let all = self.each * self.shards.len();
        let own = self.by.get(&who);
        let pends_too_much = own.is_some_and(|own| own.pending.len() >= (all / PENDING_SHARE).max(1));
        let views_too_much = own.is_some_and(|own| own.viewers >= (all / VIEWERS_SHARE).max(1));
        let gives_way = if purpose == Purpose::Watch && views_too_much {
            Some(self.oldest_of(&who, purpose).ok_or_else(|| NoPlace::Share(who.clone()))?)
        } else if let Some(oldest) = self.oldest_of(&who, purpose).filter(|_| pends_too_much) {
            Some(oldest)
        } else if self.roomiest(purpose).is_none() {
            Some(self.greediest(purpose).ok_or(NoPlace::Full)?)
        } else {
            None
        };
        let gone = gives_way.and_then(|key| self.free(key));
        // Whoever gave way made a place for this purpose.
        let shard = self.roomiest(purpose).ok_or(NoPlace::Full)?;
        let (key, id) = (self.next, SessionId::random(shard));
        self.next += 1;
        self.shards[shard].all += 1;
        let holdings = self.by.entry(who.clone()).or_default();
        holdings.pending.insert(key);
        if purpose == Purpose::Watch {
            self.shards[shard].viewers += 1;
            holdings.viewers += 1;
        }
        self.held.insert(key, Held { id, purpose, who });
        Ok((key, id, gone.map(|held| held.id)))
    }

    /// Returns the shard with the fewest sessions among those that have a place for this purpose.
    fn roomiest(&self, purpose: Purpose) -> Option<usize> {
        let for_viewers = self.each - self.each / RESERVE;
        let has_place =
            |load: &Load| load.all < self.each && (purpose == Purpose::Publish || load.viewers < for_viewers);
        let open = self.shards.iter().enumerate().filter(|(_, load)| has_place(load));
        open.min_by_key(|(_, load)| load.all).map(|(index, _)| index)
    }

    /// Returns the oldest pending session of a principal that makes a place for this purpose.
    fn oldest_of(&self, who: &Principal, purpose: Purpose) -> Option<u64> {
        let makes_place = |key: &&u64| purpose == Purpose::Publish || self.held[*key].purpose == Purpose::Watch;
        self.by.get(who)?.pending.iter().find(makes_place).copied()
    }

    /// Returns the oldest pending session, that makes a place, of the principal who has the most pending ones.
    fn greediest(&self, purpose: Purpose) -> Option<u64> {
        let oldest = |who| self.oldest_of(who, purpose);
        let pending = self.by.iter().filter_map(|(who, own)| Some((own.pending.len(), oldest(who)?)));
        pending.max_by_key(|(count, oldest)| (*count, std::cmp::Reverse(*oldest))).map(|(_, oldest)| oldest)
    }

    fn settle(&mut self, key: u64) {
        let Some(held) = self.held.get(&key) else { return };
        if let Some(own) = self.by.get_mut(&held.who) {
            own.pending.remove(&key);
        }
    }

    /// Frees a place. Does nothing if it is free already.
    fn free(&mut self, key: u64) -> Option<Held> {
        let held = self.held.remove(&key)?;
        let load = &mut self.shards[held.id.shard()];
        let viewers = usize::from(held.purpose == Purpose::Watch);
        load.all -= 1;
        load.viewers -= viewers;
        if let Some(own) = self.by.get_mut(&held.who) {
            own.pending.remove(&key);
            own.viewers -= viewers;
            // A principal with connected publishers alone holds nothing that is counted here.
            if own.viewers == 0 && own.pending.is_empty() {
                self.by.remove(&held.who);
            }
        }
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Principal {
        Principal::Token(name.into())
    }

    fn watch(places: &Places, name: &str) -> Result<Taken, NoPlace> {
        places.take(Purpose::Watch, who(name))
    }

    fn connected(places: &Places, purpose: Purpose, name: &str) -> Taken {
        let taken = places.take(purpose, who(name)).unwrap();
        taken.place.connected();
        taken
    }

    #[test]
    fn offers_that_never_connect_give_way_to_those_of_the_same_owner_first() {
        let places = Places::new(2, 8);
        let first: Vec<_> = (0..4).map(|_| watch(&places, "mallory").unwrap()).collect();
        assert!(first.iter().all(|taken| taken.gives_way.is_none()));
        let fifth = watch(&places, "mallory").unwrap();
        assert_eq!(fifth.gives_way, Some(first[0].id));
        assert_eq!(watch(&places, "vera").unwrap().gives_way, None);
        drop(first); // The place that was given away is not freed twice.
        assert_eq!(places.0.lock().shards.iter().map(|load| load.all).sum::<usize>(), 1);
    }

    #[test]
    fn when_all_is_taken_the_oldest_pending_session_of_the_greediest_gives_way() {
        let places = Places::new(1, 8);
        let ben: Vec<_> = ["ben", "anna"].map(|name| watch(&places, name).unwrap()).into();
        let eve: Vec<_> = (0..2).map(|_| watch(&places, "eve").unwrap()).collect();
        let rest: Vec<_> = ["a", "b", "c"].map(|name| watch(&places, name).unwrap()).into();
        assert_eq!(watch(&places, "vera").unwrap().gives_way, Some(eve[0].id), "seven places are for viewers");
        drop((ben, eve, rest));
    }

    #[test]
    fn viewers_that_have_connected_are_never_sent_away_and_leave_places_to_publishers() {
        let places = Places::new(1, 8);
        let viewers: Vec<_> =
            (0..7).map(|index| connected(&places, Purpose::Watch, &format!("viewer{index}"))).collect();
        assert_eq!(watch(&places, "late").unwrap_err(), NoPlace::Full);
        let host = connected(&places, Purpose::Publish, "host");
        assert_eq!(places.take(Purpose::Publish, who("anna")).unwrap_err(), NoPlace::Full);
        drop(host);
        assert!(places.take(Purpose::Publish, who("anna")).is_ok());
        drop(viewers);
    }

    #[test]
    fn viewers_of_one_principal_take_at_most_half_of_the_places() {
        let places = Places::new(1, 8);
        let own: Vec<_> = (0..4).map(|_| connected(&places, Purpose::Watch, "crowd")).collect();
        assert_eq!(watch(&places, "crowd").unwrap_err(), NoPlace::Share(who("crowd")));
        assert!(watch(&places, "vera").is_ok());
        assert!(places.take(Purpose::Publish, who("crowd")).is_ok(), "the share is of viewers");
        drop(own);
        assert!(watch(&places, "crowd").is_ok());
    }

    #[test]
    fn nothing_is_left_when_all_have_gone() {
        let places = Places::new(3, 5);
        let mut random = 7_u64;
        let mut held: Vec<Place> = Vec::new();
        for _ in 0..5000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = format!("p{}", (random >> 40) % 4);
            let purpose = if (random >> 50).is_multiple_of(3) { Purpose::Publish } else { Purpose::Watch };
            match (random >> 33) % 4 {
                0 if !held.is_empty() => drop(held.swap_remove((random >> 20) as usize % held.len())),
                1 if !held.is_empty() => held[(random >> 20) as usize % held.len()].connected(),
                _ => held.extend(places.take(purpose, who(&name)).map(|taken| taken.place)),
            }
            let ledger = places.0.lock();
            assert!(ledger.shards.iter().all(|load| load.all <= 5 && load.viewers <= load.all));
            assert_eq!(ledger.shards.iter().map(|load| load.all).sum::<usize>(), ledger.held.len());
        }
        held.clear();
        let ledger = places.0.lock();
        assert!(ledger.held.is_empty() && ledger.by.is_empty() && ledger.shards.iter().all(|load| load.all == 0));
    }
}
