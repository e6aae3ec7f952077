//! The ban list: who may not come to which room, and until when.
//!
//! A ban binds the id of a person, as a token names it. It outlives the room, so a room that ends and begins again lets nobody
//! in. It is held against every claim: at the WebSocket, in REST, and for each publisher and viewer. Guests have an id for as
//! long as they like, so only tokens with a `sub` make bans last.
//!
//! It reads no clock: `now` is an argument. Bans that are over are taken out when others come to their room, and by
//! [`Bans::expire`]. Whoever changes the bans of a room tells the store (`rooms::keep`).

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::{Duration, Instant};

use onmic_media::gate::Refusal;
use onmic_room::{PersonId, RoomName};
use parking_lot::RwLock;

/// The most bans of one room.
pub const BANS_MAX: usize = 1_000;
/// The most rooms with bans.
const ROOMS_MAX: usize = 10_000;
/// The longest ban: ten years.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The bans of a node.
#[derive(Debug, Default)]
pub struct Bans {
    rooms: RwLock<HashMap<RoomName, BTreeMap<PersonId, Ban>>>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it is over.
    pub until: Instant,
    /// Why, as the host has put it; may be empty.
    pub reason: String,
}

/// A room, or the node, has the most bans that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Bans {
    /// Bans somebody, in place of the ban that they have. Returns whether the ban is new.
    pub fn ban(&self, room: &RoomName, person: &PersonId, ban: Ban, now: Instant) -> Result<bool, Full> {
        let mut rooms = self.rooms.write();
        if !rooms.contains_key(room) && rooms.len() >= ROOMS_MAX {
            return Err(Full);
        }
        let bans = rooms.entry(room.clone()).or_default();
        bans.retain(|_, ban| ban.until > now);
        if !bans.contains_key(person) && bans.len() >= BANS_MAX {
            return Err(Full);
        }
        Ok(bans.insert(person.clone(), ban).is_none())
    }

    /// Lifts a ban. Returns whether there was one.
    pub fn lift(&self, room: &RoomName, person: &PersonId, now: Instant) -> bool {
        let mut rooms = self.rooms.write();
        let Some(bans) = rooms.get_mut(room) else { return false };
        let lifted = bans.remove(person).is_some_and(|ban| ban.until > now);
        if bans.is_empty() {
            rooms.remove(room);
        }
        lifted
    }

    /// Returns the rooms with bans.
    pub fn rooms(&self) -> Vec<RoomName> {
        self.rooms.read().keys().cloned().collect()
    }

    /// Takes the bans of a room out that are over. Returns whether there were some.
    pub fn expire(&self, room: &RoomName, now: Instant) -> bool {
        let mut rooms = self.rooms.write();
        let Some(bans) = rooms.get_mut(room) else { return false };
        let before = bans.len();
        bans.retain(|_, ban| ban.until > now);
        let expired = bans.len() < before;
        if bans.is_empty() {
            rooms.remove(room);
        }
        expired
    }

    /// Returns the bans of a room that are not over, by person.
    pub fn of(&self, room: &RoomName, now: Instant) -> Vec<(PersonId, Ban)> {
        let rooms = self.rooms.read();
        let bans = rooms.get(room).into_iter().flatten().filter(|(_, ban)| ban.until > now);
        bans.map(|(person, ban)| (person.clone(), ban.clone())).collect()
    }

    /// Returns the bans of a room that are not over, by person: those after `after`, and at most `limit` of them.
    pub fn page(&self, room: &RoomName, after: Option<&PersonId>, limit: usize, now: Instant) -> Vec<(PersonId, Ban)> {
        let rooms = self.rooms.read();
        let Some(bans) = rooms.get(room) else { return Vec::new() };
        let bounds = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let bans = bans.range::<PersonId, _>(bounds).filter(|(_, ban)| ban.until > now).take(limit);
        bans.map(|(person, ban)| (person.clone(), ban.clone())).collect()
    }

    /// Returns how long somebody is banned yet.
    pub fn left(&self, room: &RoomName, person: &PersonId, now: Instant) -> Option<Duration> {
        let until = self.rooms.read().get(room)?.get(person)?.until;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Refuses somebody who is banned.
    pub fn admit(&self, room: &RoomName, person: &PersonId, now: Instant) -> Result<(), Refusal> {
        match self.left(room, person, now) {
            Some(left) => Err(Refusal::Banned(sentence(left))),
            None => Ok(()),
        }
    }
}

/// Returns what somebody is told who is banned for this long yet.
pub fn sentence(left: Duration) -> String {
    format!("you are banned from this room for another {} s", left.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        name.parse().unwrap()
    }

    fn person(id: &str) -> PersonId {
        id.parse().unwrap()
    }

    #[test]
    fn a_ban_keeps_one_person_out_of_one_room_until_it_is_over_or_lifted() {
        let (bans, start) = (Bans::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let ban = |seconds| Ban { until: after(seconds), reason: "spam".into() };
        let (red, ben) = (room("red"), person("ben"));
        assert_eq!(bans.ban(&red, &ben, ban(10), start), Ok(true));
        assert_eq!(bans.ban(&red, &ben, ban(20), start), Ok(false), "a later end takes the place of the first");
        assert!(bans.admit(&red, &ben, after(15)).unwrap_err().to_string().contains("5 s"));
        assert_eq!(bans.admit(&red, &person("anna"), after(15)), Ok(()));
        assert_eq!(bans.admit(&room("blue"), &ben, after(15)), Ok(()));
        assert_eq!(bans.admit(&red, &ben, after(20)), Ok(()));
        assert_eq!((bans.of(&red, after(19)).len(), bans.of(&red, after(20)).len()), (1, 0));
        assert!(bans.lift(&red, &ben, after(19)) && !bans.lift(&red, &ben, after(19)));
        assert_eq!(bans.admit(&red, &ben, after(19)), Ok(()));
    }

    #[test]
    fn bans_that_are_over_are_taken_out() {
        let (bans, start, red) = (Bans::default(), Instant::now(), room("red"));
        for (id, seconds) in [("anna", 10), ("ben", 20)] {
            let until = start + Duration::from_secs(seconds);
            bans.ban(&red, &person(id), Ban { until, reason: String::new() }, start).unwrap();
        }
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!bans.expire(&red, after(9)) && bans.expire(&red, after(10)) && !bans.expire(&red, after(10)));
        assert_eq!(bans.rooms(), std::slice::from_ref(&red));
        assert!(bans.expire(&red, after(20)));
        assert_eq!(bans.rooms(), [], "a room without bans makes place for another");
    }

    #[test]
    fn a_room_has_a_limit_of_bans_and_those_that_are_over_do_not_count() {
        let (bans, start, red) = (Bans::default(), Instant::now(), room("red"));
        let ban = Ban { until: start + Duration::from_secs(1), reason: String::new() };
        for number in 0..BANS_MAX {
            bans.ban(&red, &person(&format!("p{number}")), ban.clone(), start).unwrap();
        }
        assert_eq!(bans.ban(&red, &person("ben"), ban.clone(), start), Err(Full));
        assert_eq!(bans.ban(&red, &person("p1"), ban.clone(), start), Ok(false));
        assert_eq!(bans.ban(&room("blue"), &person("ben"), ban.clone(), start), Ok(true));
        let later = start + Duration::from_secs(1);
        let new = Ban { until: later + Duration::from_secs(1), ..ban };
        assert_eq!(bans.ban(&red, &person("ben"), new, later), Ok(true));
        assert_eq!(bans.of(&red, later).len(), 1);
    }
}
