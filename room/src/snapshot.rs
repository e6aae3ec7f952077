//! What a restart keeps of a room, as a value without instants, and the way back.
//!
//! A deadline is told as the time that is left. It goes on from there, so the time in which the server was down does not count:
//! nobody could have come back in it. A room that was restored is as it was, with everybody connected and every source up; the
//! driver then tells the machine that they are gone, by the inputs that it always uses for that.
//!
//! Of the people those are kept who have something: a seat, a request, the room, a mute. Others join again as if for the first
//! time, so a snapshot is small however many people watch.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::command::Authority;
use crate::host::{Host, Presence};
use crate::person::Person;
use crate::pk::Pk;
use crate::refused::Refused;
use crate::request::Request;
use crate::room::Room;
use crate::rooms::Rooms;
use crate::seat::{Muted, Occupant, Phase};
use crate::settings::Settings;
use crate::source::Source;
use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// A room at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The name of the room.
    pub room: RoomName,
    /// The settings.
    pub settings: Settings,
    /// Whether a command created the room.
    pub kept: bool,
    /// The number of the last event.
    pub number: u64,
    /// The host.
    pub host: HostSnapshot,
    /// The people who have something in the room.
    pub persons: Vec<PersonSnapshot>,
    /// The requests, in order.
    pub requests: Vec<RequestSnapshot>,
    /// The seats, in order.
    pub seats: Vec<SeatSnapshot>,
    /// The sources that are up.
    pub sources: Vec<SourceSnapshot>,
    /// Those who were removed from the mic, and for how long they may not ask.
    pub cool_downs: Vec<(PersonId, Duration)>,
    /// What the host has muted of people who have left.
    pub muted: Vec<(PersonId, Muted)>,
    /// The PK.
    pub pk: Pk<Duration>,
    /// How long ago the room has proposed a PK, each time that counts yet.
    pub pk_proposed: Vec<Duration>,
    /// The rooms that may not propose one to this room, and for how long.
    pub pk_refused: Vec<(RoomName, Duration)>,
    /// How long an empty room that nobody created still lives.
    pub empty: Option<Duration>,
}

/// The host of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSnapshot {
    /// The person, unless the host is an encoder alone.
    pub person: Option<PersonId>,
    /// The name that others see.
    pub name: String,
    /// Whether the host is there.
    pub presence: Presence<Duration>,
    /// What is muted.
    pub muted: Muted,
}

/// A person in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonSnapshot {
    /// The id.
    pub person: PersonId,
    /// The name that others see.
    pub name: String,
    /// The right that the person's token gave.
    pub authority: Authority,
    /// Whether the person is connected.
    pub connected: bool,
    /// How long a person who is not connected still counts as there.
    pub leaves: Option<Duration>,
    /// What is muted.
    pub muted: Muted,
}

/// A request for the mic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSnapshot {
    /// The person who asks.
    pub person: PersonId,
    /// The seat that the person asks for.
    pub seat: Option<SeatNo>,
    /// How long ago the person asked.
    pub age: Duration,
    /// How long the request still waits.
    pub left: Duration,
    /// Why a seat that was granted did not work out.
    pub failed: Option<String>,
}

/// A seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatSnapshot {
    /// Whether the seat is locked.
    pub locked: bool,
    /// The person on it, and how far that person is.
    pub occupant: Option<(PersonId, Phase<Duration>)>,
}

/// A source that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSnapshot {
    /// The participant who sends it.
    pub participant: ParticipantName,
    /// Whether it has video.
    pub video: bool,
    /// Whether it has audio.
    pub audio: bool,
}

impl Snapshot {
    fn of(room: &Room, now: Instant) -> Self {
        let left = |until: Instant| until.saturating_duration_since(now);
        let host = &room.host;
        let seats = room.seats.iter().map(|seat| {
            let occupant = seat.occupant.as_ref();
            let occupant = occupant.map(|occupant| (occupant.person.clone(), occupant.phase.map(left)));
            SeatSnapshot { locked: seat.locked, occupant }
        });
        let requests = room.requests.iter().map(|request| RequestSnapshot {
            person: request.person.clone(),
            seat: request.seat,
            age: now.saturating_duration_since(request.since),
            left: left(request.until),
            failed: request.failed.clone(),
        });
        let source = |(participant, source): (&ParticipantName, &Source)| SourceSnapshot {
            participant: participant.clone(),
            video: source.video,
            audio: source.audio,
        };
        let person = |(id, person): (&PersonId, &Person)| PersonSnapshot {
            person: id.clone(),
            name: person.name.clone(),
            authority: person.authority,
            connected: person.connected,
            leaves: person.leaves.map(left),
            muted: room.muted(id),
        };
        // They are looked up, because thousands who only watch are there beside them.
        let has_something = room.people_with_something().into_iter();
        let persons = has_something.filter_map(|id| room.persons.get_key_value(id)).map(person);
        let cool_downs = room.cool_downs.iter();
        let muted = |(id, muted): (&PersonId, &Muted)| (id.clone(), *muted);
        Self {
            room: room.name.clone(),
            settings: room.settings.clone(),
            kept: room.kept,
            number: room.number,
            host: HostSnapshot {
                person: host.person.clone(),
                name: host.name.clone(),
                presence: host.presence.map(left),
                muted: host.muted,
            },
            persons: persons.collect(),
            requests: requests.collect(),
            seats: seats.collect(),
            sources: room.sources.iter().map(source).collect(),
            cool_downs: cool_downs.map(|(id, until)| (id.clone(), left(*until))).collect(),
            muted: room.mutes.iter().filter(|(id, _)| !room.persons.contains_key(*id)).map(muted).collect(),
            pk: room.pk.map(left),
            pk_proposed: room.pk_proposed.iter().map(|at| now.saturating_duration_since(*at)).collect(),
            pk_refused: room.pk_refused.iter().map(|(other, until)| (other.clone(), left(*until))).collect(),
            empty: room.empty_until.map(left),
        }
    }

    /// Returns the room as it goes on at `now`, or the rule that it breaks.
    fn into_room(self, now: Instant) -> Result<Room, String> {
        self.settings.check().map_err(|refused| refused.to_string())?;
        let until = |left: Duration| now + left;
        let mut room = Room::new(self.room, self.settings, self.kept, self.number);
        if room.seats.len() != self.seats.len() {
            return Err(format!("it has {} seats, and {} in its settings", self.seats.len(), room.seats.len()));
        }
        for (seat, kept) in room.seats.iter_mut().zip(self.seats) {
            seat.locked = kept.locked;
            seat.occupant = kept.occupant.map(|(person, phase)| Occupant { person, phase: phase.map(until) });
        }
        let HostSnapshot { person, name, presence, muted } = self.host;
        room.host = Host { person, name, presence: presence.map(until), muted };
        for PersonSnapshot { person, name, authority, connected, leaves, muted } in self.persons {
            let leaves = leaves.map(until);
            room.leaving.extend(leaves.map(|leaves| (leaves, person.clone())));
            room.persons.insert(person.clone(), Person { name, authority, connected, leaves });
            room.set_muted(&person, muted);
        }
        room.requests.extend(self.requests.into_iter().map(|request| Request {
            person: request.person,
            seat: request.seat,
            since: now.checked_sub(request.age).unwrap_or(now),
            until: until(request.left),
            failed: request.failed,
        }));
        let source = |source: SourceSnapshot| {
            let SourceSnapshot { participant, video, audio } = source;
            (participant, Source { video, audio })
        };
        room.sources = self.sources.into_iter().map(source).collect();
        room.cool_downs = self.cool_downs.into_iter().map(|(person, left)| (person, until(left))).collect();
        room.mutes.extend(self.muted.into_iter().filter(|(id, _)| !room.persons.contains_key(id)));
        room.pk = self.pk.map(until);
        room.pk_proposed.extend(self.pk_proposed.into_iter().map(|age| now.checked_sub(age).unwrap_or(now)));
        room.pk_refused = self.pk_refused.into_iter().map(|(other, left)| (other, until(left))).collect();
        let lonely = !room.kept && room.is_empty();
        let empty = self.empty.unwrap_or(room.settings.timeouts.empty);
        room.empty_until = lonely.then(|| until(empty));
        room.check_alone()?;
        Ok(room)
    }
}

impl Room {
    fn people_with_something(&self) -> BTreeSet<&PersonId> {
        let seated = self.seats.iter().filter_map(|seat| seat.occupant.as_ref()).map(|occupant| &occupant.person);
        let asking = self.requests.iter().map(|request| &request.person);
        seated.chain(asking).chain(self.mutes.keys()).chain(&self.host.person).collect()
    }
}

impl Rooms {
    /// Returns what a restart keeps of a room.
    pub fn snapshot(&self, now: Instant, room: &RoomName) -> Result<Snapshot, Refused> {
        Ok(Snapshot::of(self.get(room)?, now))
    }

    /// Takes rooms up again. Returns those that cannot be, with the reason: they break a rule, have a name that is taken, or
    /// are more than this node has. A PK of which one side is missing is over.
    pub fn restore(&mut self, now: Instant, snapshots: Vec<Snapshot>) -> Vec<(RoomName, String)> {
        let mut refused = Vec::new();
        let mut restored = BTreeSet::new();
        for snapshot in snapshots {
            let name = snapshot.room.clone();
            let room = if self.rooms.contains_key(&name) {
                Err(Refused::RoomExists(name.clone()).to_string())
            } else if self.rooms.len() >= self.limits.rooms {
                Err(Refused::RoomsFull(self.limits.rooms).to_string())
            } else {
                snapshot.into_room(now)
            };
            match room {
                Ok(room) => {
                    self.last_number = self.last_number.max(room.number);
                    self.rooms.insert(name.clone(), room);
                    restored.insert(name);
                }
                Err(reason) => refused.push((name, reason)),
            }
        }
        restored.iter().for_each(|name| self.restore_pk(name));
        for name in restored {
            self.restore_mix(&name);
            self.update_deadline(&name);
            let room = &self.rooms[&name];
            if let Err(broken) = self.check_pk(room).and_then(|()| self.check_mix(room)) {
                self.drop_quietly(&name);
                refused.push((name, broken));
            }
        }
        self.assert_invariants();
        refused
    }

    /// Ends the PK of a room unless its partner knows of it. Of a proposal both wait for the shorter time that is left.
    fn restore_pk(&mut self, name: &RoomName) {
        let Some(other) = self.rooms[name].pk.other().cloned() else { return };
        let theirs = self.rooms.get(&other).map(|partner| partner.pk.clone());
        let own = &mut self.rooms.get_mut(name).expect("the caller has restored it").pk;
        match (&mut *own, theirs) {
            (Pk::Proposed { until, .. }, Some(Pk::Offered { from, until: theirs })) if from == *name => {
                *until = theirs.min(*until);
            }
            (Pk::Offered { until, .. }, Some(Pk::Proposed { to, until: theirs })) if to == *name => {
                *until = theirs.min(*until);
            }
            (Pk::On { .. }, Some(Pk::On { with, .. })) if with == *name => {}
            _ => *own = Pk::None,
        }
    }

    fn restore_mix(&mut self, name: &RoomName) {
        let mix = self.composed(name);
        if let (Some(mix), Some(room)) = (mix, self.rooms.get_mut(name)) {
            room.mix = mix;
        }
    }

    /// Forgets a room, and the PK that another has with it.
    pub(crate) fn drop_quietly(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.remove(name) else { return };
        self.last_number = self.last_number.max(room.number);
        self.deadlines.retain(|(_, of)| of != name);
        let partners: Vec<RoomName> = self
            .rooms
            .values()
            .filter(|other| other.pk.other() == Some(name))
            .map(|other| other.name.clone())
            .collect();
        for partner in partners {
            self.rooms.get_mut(&partner).into_iter().for_each(|partner| partner.pk = Pk::None);
            self.restore_mix(&partner);
            self.update_deadline(&partner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, Command, Input, Limits};

    fn rooms() -> Rooms {
        Rooms::new(Limits::default(), Settings::default()).unwrap()
    }

    fn name(room: &str) -> RoomName {
        room.parse().unwrap()
    }

    /// A room that is locked, with a host on air and a guest on mic whom the host has muted.
    fn lively(now: Instant) -> Rooms {
        let mut rooms = rooms();
        let (demo, anna) = (name("demo"), "anna".parse::<PersonId>().unwrap());
        let settings = Settings { title: "Tea".into(), ..Settings::default() };
        rooms.apply(now, Input::Open { room: demo.clone(), settings, kept: true }).unwrap();
        for (person, authority) in [("mia", Authority::Host), ("anna", Authority::Viewer), ("ben", Authority::Viewer)] {
            let (person, name) = (person.parse().unwrap(), person.to_owned());
            rooms.apply(now, Input::Join { room: demo.clone(), person, name, authority }).unwrap();
        }
        for participant in ["host", "anna"] {
            let (participant, person) = (participant.parse().unwrap(), None);
            rooms
                .apply(now, Input::SourceUp { room: demo.clone(), participant, person, video: true, audio: true })
                .unwrap();
        }
        let lock = Command::LockSeat { seat: SeatNo::new(3).unwrap(), locked: true };
        let mute = Command::Mute { who: anna.into(), audio: Some(true), video: None };
        for command in [lock, mute] {
            rooms.apply(now, Input::Command { room: demo.clone(), by: Actor::admin(), command }).unwrap();
        }
        rooms
    }

    #[test]
    fn a_restored_room_is_as_it_was_without_those_who_only_watch() {
        let now = Instant::now();
        let before = lively(now);
        let snapshot = before.snapshot(now, &name("demo")).unwrap();
        let later = now + Duration::from_secs(3600);
        let mut after = rooms();
        assert_eq!(after.restore(later, vec![snapshot.clone()]), []);
        assert_eq!(after.snapshot(later, &name("demo")).unwrap(), snapshot);
        let mut expected = before.room(&name("demo")).unwrap();
        expected.persons.retain(|person| person.person.as_str() != "ben");
        assert_eq!(after.room(&name("demo")).unwrap(), expected);
    }

    #[test]
    fn seats_are_kept_for_their_grace_when_the_driver_tells_that_everybody_is_gone() {
        let now = Instant::now();
        let snapshot = lively(now).snapshot(now, &name("demo")).unwrap();
        let mut rooms = rooms();
        rooms.restore(now, vec![snapshot]);
        let anna: ParticipantName = "anna".parse().unwrap();
        rooms.apply(now, Input::SourceDown { room: name("demo"), participant: anna.clone() }).unwrap();
        let away = rooms.room(&name("demo")).unwrap();
        assert_eq!(away.seats[0].until, Some(now + Settings::default().timeouts.away));
        let back = Input::SourceUp { room: name("demo"), participant: anna, person: None, video: true, audio: true };
        rooms.apply(now + Duration::from_secs(5), back).unwrap();
        let seat = &rooms.room(&name("demo")).unwrap().seats[0];
        assert_eq!((seat.until, seat.muted_by.audio), (None, Some(crate::MutedBy::Host)));
    }

    #[test]
    fn a_snapshot_that_breaks_a_rule_costs_its_own_room() {
        let now = Instant::now();
        let good = lively(now).snapshot(now, &name("demo")).unwrap();
        let mut bad = Snapshot { room: name("bad"), ..good.clone() };
        bad.persons.clear();
        let mut short = Snapshot { room: name("short"), ..good.clone() };
        short.seats.pop();
        let mut rooms = rooms();
        let refused = rooms.restore(now, vec![bad, short, good.clone(), good]);
        assert_eq!(refused.iter().map(|(room, _)| room.as_str()).collect::<Vec<_>>(), ["bad", "short", "demo"]);
        assert_eq!(rooms.names().count(), 1);
    }

    #[test]
    fn a_room_that_is_taken_out_leaves_the_others_whole() {
        let now = Instant::now();
        let mut rooms = lively(now);
        let (person, authority) = ("lin".parse().unwrap(), Authority::Host);
        rooms.apply(now, Input::Join { room: name("blue"), person, name: "Lin".to_owned(), authority }).unwrap();
        let propose = Command::ProposePk { room: name("demo") };
        let (participant, person) = (ParticipantName::host(), None);
        let up = Input::SourceUp { room: name("blue"), participant, person, video: true, audio: true };
        rooms.apply(now, up).unwrap();
        rooms.apply(now, Input::Command { room: name("blue"), by: Actor::admin(), command: propose }).unwrap();
        assert_eq!(rooms.evict(&name("demo")), [crate::Effect::Ended { room: name("demo") }]);
        assert_eq!(rooms.evict(&name("demo")), []);
        assert_eq!(rooms.pk(&name("blue")).unwrap(), None);
        rooms.check_invariants().unwrap();
    }

    #[test]
    fn a_pk_is_over_if_its_other_side_is_missing() {
        let now = Instant::now();
        let mut both = rooms();
        for (room, host) in [("red", "mia"), ("blue", "lin")] {
            let (person, authority) = (host.parse().unwrap(), Authority::Host);
            both.apply(now, Input::Join { room: name(room), person, name: host.to_owned(), authority }).unwrap();
            let (participant, person) = (ParticipantName::host(), None);
            let up = Input::SourceUp { room: name(room), participant, person, video: true, audio: true };
            both.apply(now, up).unwrap();
        }
        for (room, command) in [("red", Command::ProposePk { room: name("blue") }), ("blue", Command::AcceptPk)] {
            both.apply(now, Input::Command { room: name(room), by: Actor::admin(), command }).unwrap();
        }
        let [red, blue] = ["red", "blue"].map(|room| both.snapshot(now, &name(room)).unwrap());
        let mut alone = rooms();
        assert_eq!(alone.restore(now, vec![red.clone()]), []);
        assert_eq!(alone.pk(&name("red")).unwrap(), None);
        assert_eq!(alone.room(&name("red")).unwrap().mix.sources.len(), 1);
        let mut again = rooms();
        assert_eq!(again.restore(now, vec![red, blue]), []);
        assert_eq!(again.room(&name("red")), both.room(&name("red")));
    }
}
