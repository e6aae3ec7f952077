//! Those who were sent out of a room, whose players of LL-HLS have to begin anew.
//!
//! A player of LL-HLS holds nothing that could be ended: each of its requests is checked, and the token is as good as before. So whoever
//! is sent out is noted here, and the gate refuses what their players go on with. They come back by a player that begins, which
//! asks for the first playlist of the room, as they do by every other protocol. Until then a player that goes on is refused for
//! [`KEPT`], which is longer than a player is paused.
//!
//! It reads no clock: `now` is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use onmic_media::Whose;
use onmic_room::RoomName;
use parking_lot::RwLock;

/// How long a player is refused that goes on.
const KEPT: Duration = Duration::from_secs(3600);

/// The most of all rooms together: 2 MB. Beyond it, the oldest of the room with the most of them is forgotten.
const SENT_OUT_MAX: usize = 10_000;

/// Those of a node.
#[derive(Debug, Default)]
pub struct SentOut {
    rooms: RwLock<Rooms>,
}

#[derive(Debug, Default)]
struct Rooms {
    /// Who was sent out of each room, and when that is forgotten.
    own: HashMap<RoomName, HashMap<Whose, Instant>>,
    /// How many there are in all rooms.
    all: usize,
}

impl SentOut {
    /// Notes that what is `whose` was ended in a room at `now`.
    pub fn note(&self, room: &RoomName, whose: Whose, now: Instant) {
        let rooms = &mut *self.rooms.write();
        if rooms.own.entry(room.clone()).or_default().insert(whose, now + KEPT).is_none() {
            rooms.all += 1;
            if rooms.all > SENT_OUT_MAX {
                rooms.expire(now);
            }
            if rooms.all > SENT_OUT_MAX {
                rooms.forget_one();
            }
        }
    }

    /// Lets the players go on again that are `whose`, because somebody comes back.
    pub fn comes_back(&self, room: &RoomName, whose: impl Iterator<Item = Whose>) {
        if self.has_some_of(room) {
            let mut rooms = self.rooms.write();
            whose.for_each(|whose| rooms.forget(room, &whose));
        }
    }

    /// Returns whether one of those who are `whose` was sent out of a room, and has not come back.
    pub fn has_one_of(&self, room: &RoomName, mut whose: impl Iterator<Item = Whose>, now: Instant) -> bool {
        if !self.has_some_of(room) {
            return false; // Of most rooms nobody was, and then nothing is made of a request.
        }
        let rooms = self.rooms.read();
        let own = rooms.own.get(room);
        whose.any(|whose| own.and_then(|own| own.get(&whose)).is_some_and(|until| *until > now))
    }

    fn has_some_of(&self, room: &RoomName) -> bool {
        self.rooms.read().own.contains_key(room)
    }
}

impl Rooms {
    fn forget(&mut self, room: &RoomName, whose: &Whose) {
        let Some(own) = self.own.get_mut(room) else { return };
        self.all -= usize::from(own.remove(whose).is_some());
        if own.is_empty() {
            self.own.remove(room);
        }
    }

    fn expire(&mut self, now: Instant) {
        self.own.retain(|_, own| {
            own.retain(|_, until| *until > now);
            !own.is_empty()
        });
        self.all = self.own.values().map(HashMap::len).sum();
    }

    /// Forgets the oldest of the room with the most.
    fn forget_one(&mut self) {
        let Some((room, own)) = self.own.iter().max_by_key(|(_, own)| own.len()) else { return };
        let oldest = own.iter().min_by_key(|(_, until)| **until).map(|(whose, _)| whose.clone());
        let room = room.clone();
        oldest.iter().for_each(|oldest| self.forget(&room, oldest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        name.parse().unwrap()
    }

    fn person(id: &str) -> Whose {
        Whose::Person(id.parse().unwrap())
    }

    #[test]
    fn whoever_is_sent_out_is_so_until_they_come_back_or_it_is_forgotten() {
        let (sent_out, start) = (SentOut::default(), Instant::now());
        let is_out = |at: &str, id: &str, now| sent_out.has_one_of(&room(at), [person(id)].into_iter(), now);
        for id in ["anna", "ben"] {
            sent_out.note(&room("demo"), person(id), start);
            sent_out.note(&room("demo"), person(id), start);
        }
        assert!(is_out("demo", "anna", start) && !is_out("demo", "vera", start) && !is_out("other", "anna", start));
        sent_out.comes_back(&room("demo"), [person("anna"), person("vera")].into_iter());
        assert!(!is_out("demo", "anna", start) && is_out("demo", "ben", start));
        let late = start + KEPT;
        assert!(is_out("demo", "ben", late - Duration::from_secs(1)) && !is_out("demo", "ben", late));
        sent_out.comes_back(&room("demo"), [person("ben")].into_iter());
        assert_eq!((sent_out.rooms.read().own.len(), sent_out.rooms.read().all), (0, 0));
    }

    #[test]
    fn a_room_that_sends_out_without_end_is_forgotten_before_others() {
        let (sent_out, start) = (SentOut::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        sent_out.note(&room("quiet"), person("anna"), start);
        let busy: Vec<_> = (0..SENT_OUT_MAX + 1).map(|number| person(&format!("p{number}"))).collect();
        for (second, whose) in (1..).zip(&busy[..2]) {
            sent_out.note(&room("busy"), whose.clone(), at(second));
        }
        busy[2..].iter().for_each(|whose| sent_out.note(&room("busy"), whose.clone(), at(3)));
        let is_out = |name: &str, whose: &Whose| sent_out.has_one_of(&room(name), [whose.clone()].into_iter(), at(3));
        assert!(is_out("quiet", &person("anna")));
        assert!(!is_out("busy", &busy[0]) && !is_out("busy", &busy[1]) && is_out("busy", &busy[SENT_OUT_MAX]));
        assert_eq!(sent_out.rooms.read().all, SENT_OUT_MAX);
        sent_out.note(&room("later"), person("ben"), start + 2 * KEPT);
        assert_eq!(sent_out.rooms.read().all, 1, "those whose time is over go first");
    }
}
