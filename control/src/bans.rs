//! The ban list: who may not come to which room, and until when.
//!
//! A ban binds the id of a person, as a token names it. It outlives the room, so a room that ends and begins again lets nobody
//! in. It is held against every claim: at the WebSocket, in REST, and for each publisher and viewer.
//!
//! A guest has an id for as long as they like. So the ban of a guest also binds whoever answers for them ([`Principal`]): the `jti`
//! of the token that names nobody, or else the network that it came from. It holds against claims without a name alone, so nobody
//! whom a token names is kept out because of a guest. Without a `jti` all guests of one address are kept out together.
//!
//! It reads no clock: `now` is an argument. Bans that are over are taken out when others come to their room, and by
//! [`Bans::expire`]. Whoever changes the bans of a room tells the store (`rooms::keep`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::{Duration, Instant};

use onmic_media::gate::Refusal;
use onmic_media::name::Principal;
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
    rooms: RwLock<HashMap<RoomName, OfRoom>>,
}

/// The bans of a room.
#[derive(Debug, Default)]
struct OfRoom {
    persons: BTreeMap<PersonId, Ban>,
    /// The persons whose bans bind a principal. A principal has as many as it was guests.
    nameless: HashMap<Principal, BTreeSet<PersonId>>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it is over.
    pub until: Instant,
    /// Why, as the host has put it; may be empty.
    pub reason: String,
    /// Those who answer for the person, if it is a guest.
    pub nameless: Vec<Principal>,
}

/// There are as many bans as may be. Its Display is the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The room has as many.
    #[error("This room has {BANS_MAX} bans already, the limit. Lift one first.")]
    Room,
    /// As many rooms of the node have some.
    #[error("{ROOMS_MAX} rooms of this server have bans already, the limit. Lift those of another room first.")]
    Node,
}

impl Bans {
    /// Bans somebody, in place of the ban that they have. Returns whether the ban is new.
    pub fn ban(&self, room: &RoomName, person: &PersonId, ban: Ban, now: Instant) -> Result<bool, Full> {
        let mut rooms = self.rooms.write();
        if !rooms.contains_key(room) && rooms.len() >= ROOMS_MAX {
            return Err(Full::Node);
        }
        let bans = rooms.entry(room.clone()).or_default();
        bans.expire(now);
        if !bans.persons.contains_key(person) && bans.persons.len() >= BANS_MAX {
            return Err(Full::Room);
        }
        Ok(bans.insert(person, ban))
    }

    /// Lifts a ban. Returns whether there was one.
    pub fn lift(&self, room: &RoomName, person: &PersonId, now: Instant) -> bool {
        let mut rooms = self.rooms.write();
        let Some(bans) = rooms.get_mut(room) else { return false };
        let lifted = bans.remove(person).is_some_and(|ban| ban.until > now);
        if bans.persons.is_empty() {
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
        let expired = bans.expire(now);
        if bans.persons.is_empty() {
            rooms.remove(room);
        }
        expired
    }

    /// Returns the bans of a room that are not over, by person.
    pub fn of(&self, room: &RoomName, now: Instant) -> Vec<(PersonId, Ban)> {
        let rooms = self.rooms.read();
        let bans = rooms.get(room).into_iter().flat_map(|bans| &bans.persons).filter(|(_, ban)| ban.until > now);
        bans.map(|(person, ban)| (person.clone(), ban.clone())).collect()
    }

    /// Returns the bans of a room that are not over, by person: those after `after`, and at most `limit` of them.
    pub fn page(&self, room: &RoomName, after: Option<&PersonId>, limit: usize, now: Instant) -> Vec<(PersonId, Ban)> {
        let rooms = self.rooms.read();
        let Some(bans) = rooms.get(room) else { return Vec::new() };
        let bounds = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let bans = bans.persons.range::<PersonId, _>(bounds).filter(|(_, ban)| ban.until > now).take(limit);
        bans.map(|(person, ban)| (person.clone(), ban.clone())).collect()
    }

    /// Returns how long somebody is banned yet.
    pub fn left(&self, room: &RoomName, person: &PersonId, now: Instant) -> Option<Duration> {
        let until = self.rooms.read().get(room)?.persons.get(person)?.until;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Returns for how long yet those without a name are banned for whom this principal answers.
    pub fn left_of_nameless(&self, room: &RoomName, who: &Principal, now: Instant) -> Option<Duration> {
        let rooms = self.rooms.read();
        let bans = rooms.get(room)?;
        let ends = bans.nameless.get(who)?.iter().filter_map(|person| bans.persons.get(person)).map(|ban| ban.until);
        ends.max()?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Refuses somebody who is banned.
    pub fn admit(&self, room: &RoomName, person: &PersonId, now: Instant) -> Result<(), Refusal> {
        refuse(self.left(room, person, now))
    }

    /// Refuses somebody without a name, for whom this principal answers, if that is banned.
    pub fn admit_nameless(&self, room: &RoomName, who: &Principal, now: Instant) -> Result<(), Refusal> {
        refuse(self.left_of_nameless(room, who, now))
    }
}

impl OfRoom {
    /// Returns whether the ban is new. It binds whom the ban before has bound, too: nobody may know them any more.
    fn insert(&mut self, person: &PersonId, mut ban: Ban) -> bool {
        let before = self.remove(person);
        let bound = before.iter().flat_map(|before| &before.nameless).filter(|who| !ban.nameless.contains(who));
        let bound: Vec<_> = bound.cloned().collect();
        ban.nameless.extend(bound);
        for who in &ban.nameless {
            self.nameless.entry(who.clone()).or_default().insert(person.clone());
        }
        self.persons.insert(person.clone(), ban);
        before.is_none()
    }

    fn remove(&mut self, person: &PersonId) -> Option<Ban> {
        let ban = self.persons.remove(person)?;
        for who in &ban.nameless {
            if let Some(persons) = self.nameless.get_mut(who) {
                persons.remove(person);
                if persons.is_empty() {
                    self.nameless.remove(who);
                }
            }
        }
        Some(ban)
    }

    /// Takes the bans out that are over. Returns whether there were some.
    fn expire(&mut self, now: Instant) -> bool {
        let over = self.persons.iter().filter(|(_, ban)| ban.until <= now).map(|(person, _)| person.clone());
        let over: Vec<_> = over.collect();
        over.iter().for_each(|person| drop(self.remove(person)));
        !over.is_empty()
    }
}

fn refuse(left: Option<Duration>) -> Result<(), Refusal> {
    left.map_or(Ok(()), |left| Err(Refusal::Banned(sentence(left))))
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
        let ban = |seconds| Ban { until: after(seconds), reason: "spam".into(), nameless: Vec::new() };
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
    fn the_ban_of_a_guest_binds_who_answers_for_them_until_the_last_such_ban_is_over() {
        let (bans, start) = (Bans::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let who = |id: &str| Principal::Token(id.into());
        let ban = |seconds, ids: &[&str]| {
            let nameless = ids.iter().map(|id| who(id)).collect();
            Ban { until: after(seconds), reason: String::new(), nameless }
        };
        let (red, first, second) = (room("red"), person("guest-1"), person("guest-2"));
        bans.ban(&red, &first, ban(20, &["t1", "t2"]), start).unwrap();
        bans.ban(&red, &second, ban(10, &["t1"]), start).unwrap();
        let is_bound = |id: &str, seconds| bans.admit_nameless(&red, &who(id), after(seconds)).is_err();
        assert!(is_bound("t1", 19) && is_bound("t2", 19) && !is_bound("t3", 19));
        assert!(!is_bound("t1", 20), "the ban is over");
        assert_eq!(bans.admit_nameless(&room("blue"), &who("t1"), start), Ok(()));
        bans.lift(&red, &first, start);
        assert!(is_bound("t1", 9) && !is_bound("t2", 9) && !is_bound("t1", 10), "the other ban goes on");
        bans.ban(&red, &second, ban(60, &[]), start).unwrap();
        assert!(is_bound("t1", 59), "a ban that takes the place of another binds whom that one bound");
        assert!(bans.expire(&red, after(60)) && bans.rooms().is_empty());
    }

    #[test]
    fn bans_that_are_over_are_taken_out() {
        let (bans, start, red) = (Bans::default(), Instant::now(), room("red"));
        for (id, seconds) in [("anna", 10), ("ben", 20)] {
            let until = start + Duration::from_secs(seconds);
            bans.ban(&red, &person(id), Ban { until, reason: String::new(), nameless: Vec::new() }, start).unwrap();
        }
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!bans.expire(&red, after(9)) && bans.expire(&red, after(10)) && !bans.expire(&red, after(10)));
        assert_eq!(bans.rooms(), std::slice::from_ref(&red));
        assert!(bans.expire(&red, after(20)));
        assert_eq!(bans.rooms(), [], "a room without bans makes place for another");
    }

    #[test]
    fn a_node_whose_rooms_have_their_bans_says_so_of_itself() {
        let (bans, start, ben) = (Bans::default(), Instant::now(), person("ben"));
        let ban = Ban { until: start + Duration::from_secs(1), reason: String::new(), nameless: Vec::new() };
        for number in 0..ROOMS_MAX {
            bans.ban(&room(&format!("r{number}")), &ben, ban.clone(), start).unwrap();
        }
        let full = bans.ban(&room("red"), &ben, ban, start).unwrap_err();
        assert_eq!(full, Full::Node);
        assert!(full.to_string().contains("of this server"), "{full}");
    }

    #[test]
    fn a_room_has_a_limit_of_bans_and_those_that_are_over_do_not_count() {
        let (bans, start, red) = (Bans::default(), Instant::now(), room("red"));
        let ban = Ban { until: start + Duration::from_secs(1), reason: String::new(), nameless: Vec::new() };
        for number in 0..BANS_MAX {
            bans.ban(&red, &person(&format!("p{number}")), ban.clone(), start).unwrap();
        }
        assert_eq!(bans.ban(&red, &person("ben"), ban.clone(), start), Err(Full::Room));
        assert_eq!(bans.ban(&red, &person("p1"), ban.clone(), start), Ok(false));
        assert_eq!(bans.ban(&room("blue"), &person("ben"), ban.clone(), start), Ok(true));
        let later = start + Duration::from_secs(1);
        let new = Ban { until: later + Duration::from_secs(1), ..ban };
        assert_eq!(bans.ban(&red, &person("ben"), new, later), Ok(true));
        assert_eq!(bans.of(&red, later).len(), 1);
    }
}
