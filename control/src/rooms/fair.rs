//! What one principal may take of what rooms have to give: people in a room, requests for its mic, and rooms of the node.
//!
//! Each of them has a limit for all, which the machine keeps. One principal could reach it alone, by guests without number, and
//! keep everybody else out. So two rules hold beside it:
//!
//! - A principal has at most an eighth of each, and at least one. It is the one who answers for the connection by which a person
//!   came, or by which a room was opened: by coming to it, or by publishing in it from a seat. Nobody answers for a backend, or
//!   where no tokens are asked for, and hosts and admins are not counted.
//! - Viewers leave an eighth of each to hosts, co-hosts, admins and publishers. The machine does that (`onmic_room::Limits`), because
//!   it knows everybody's right, and knows no principal.
//!
//! Nothing has to be given back by hand. A person's place is a [`Share`] in what the driver knows of the person, and goes with that:
//! when they leave, are sent out or banned, or the room ends or fails. A room's is in its live state, until the room ends or has a
//! host, a publisher for whom somebody else answers, or an admin's settings, for then others want it as well. Requests are counted
//! along with the events that begin and end them, as every client of the room does. A restart keeps who opened a room, and the
//! places of those who ask there or have a seat. Everybody else comes to the room again.

use std::sync::Arc;

use onmic_media::name::Principal;
use onmic_media::{NoShare, Share, Shares, Source, SourceName};
use onmic_room::{Actor, Authority, Event, Input, PersonId, RevokeReason, RoomName};

use super::live::{Known, Live};
use super::refusal::Denied;
use super::{Entry, Rooms};

/// One part of this many is the most of one principal.
const PARTS: usize = 8;

/// Returns how much of `all` one principal may have.
fn part(all: usize) -> usize {
    all.div_ceil(PARTS).max(1)
}

/// Makes the shares of the places in one room.
pub fn places(persons: usize) -> Arc<Shares> {
    Shares::new("people in this room", usize::MAX, part(persons))
}

/// Makes the shares of the rooms that people open by coming to them.
pub fn openings(rooms: usize) -> Arc<Shares> {
    Shares::new("rooms open", usize::MAX, part(rooms))
}

/// Returns who is counted for what somebody with this right takes.
pub fn counted(authority: Authority, who: Option<&Principal>) -> Option<Principal> {
    match authority {
        Authority::Viewer | Authority::CoHost => who.cloned(),
        Authority::Host | Authority::Admin => None,
    }
}

impl Entry {
    /// Returns who is counted for the place that this person takes, and for the room if they open it.
    pub(super) fn counted(&self) -> Option<Principal> {
        counted(self.authority, self.who.as_ref())
    }
}

impl Live {
    /// Counts requests along with an event that begins or ends them.
    pub fn follow_requests(&mut self, event: &Event) {
        match event {
            Event::MicRequested { request } | Event::MicFailed { request: Some(request), .. } => {
                self.asks(&request.person);
            }
            Event::MicWithdrawn { request } | Event::MicRefused { request } | Event::MicExpired { request } => {
                self.asking.ends(&request.person);
            }
            Event::MicGranted { seat } | Event::MicOn { seat } => {
                seat.person.iter().for_each(|person| self.asking.ends(person));
            }
            Event::HostChanged { host } => host.person.iter().for_each(|person| self.asking.ends(person)),
            _ => {}
        }
    }

    /// Notes that somebody asks for the mic.
    pub fn asks(&mut self, person: &PersonId) {
        let who = self.who(person).cloned();
        self.asking.begins(person, who);
    }

    /// Takes the place of somebody who comes, if they are not in the room yet.
    pub fn place(&self, person: &PersonId, who: Option<Principal>) -> Result<Option<Share>, NoShare> {
        if self.persons.contains_key(person) { Ok(None) } else { self.places.take(who).map(Some) }
    }

    /// Gives somebody who is in the room their place, unless they have one.
    pub fn keep_place(&mut self, person: &PersonId, who: Option<Principal>, place: Option<Share>) {
        if let Some(known @ Known { place: None, .. }) = self.persons.get_mut(person) {
            known.place = place.or_else(|| self.places.take(who).ok());
            if self.asking.has(person) {
                self.asks(person);
            }
        }
    }

    /// Returns who answers for the place of a person.
    pub fn who(&self, person: &PersonId) -> Option<&Principal> {
        self.persons.get(person)?.place.as_ref()?.who()
    }
}

impl Rooms {
    /// Refuses a request for the mic of somebody whose principal has as many in this room as one may have.
    pub(super) fn must_leave_requests(
        &self,
        room: &RoomName,
        live: Option<&Live>,
        by: &Actor,
        person: &PersonId,
    ) -> Result<(), Denied> {
        let Some((live, who)) = live.and_then(|live| Some((live, live.who(person)?))) else { return Ok(()) };
        if counted(by.authority, Some(who)).is_none() {
            return Ok(()); // A host or an admin wants it.
        }
        let most = part(self.config.limits.requests);
        if live.asking.of(who) < most || live.asking.has(person) {
            return Ok(());
        }
        if self.desk.lock().machine.seat_of(room, person)?.is_some() {
            return Ok(()); // They take nothing more by it.
        }
        Err(Denied::Share(NoShare::Principal("requests for the mic of this room", most, who.clone())))
    }

    /// Tells the machine that a source is up. `opener` is counted if the room is opened by it. Where that one has opened as many as
    /// one may, the publisher is sent away.
    pub(super) fn bring_up(&self, name: &SourceName, input: Input, opener: Option<Principal>) {
        let mut desk = self.desk.lock();
        let is_new = desk.machine.settings(&name.room).is_err();
        let opening = is_new.then(|| self.openings.take(opener)).transpose();
        let stepped = opening.map_err(Denied::Share).and_then(|opening| {
            let step = self.step(&mut desk, input, |_, _| ())?;
            Ok((opening, step))
        });
        drop(desk);
        let (mut opening, step) = match stepped {
            Ok(stepped) => stepped,
            Err(Denied::Share(full)) => {
                if self.hub.revoke(name) {
                    let reason = RevokeReason::RoomsFull.code();
                    tracing::info!(source = %name, reason, %full, "publisher sent away");
                }
                return;
            }
            Err(denied) => return tracing::debug!(source = %name, %denied, "a room failed over a source of it"),
        };
        for (room, cell) in step.touched {
            let mut live = cell.live.lock();
            self.settle(&room, &cell, &mut live);
            if room == name.room
                && let (Some(opening), Some(live)) = (opening.take(), &mut *live)
            {
                self.note_opener(&room, live, opening);
            }
        }
    }

    /// Notes who has opened a room, unless it counts for nobody by now: others may have come to it since it was opened, and have been
    /// told of already.
    fn note_opener(&self, room: &RoomName, live: &mut Live, opening: Share) {
        let is_of_another = |source: &Arc<Source>| self.is_of_another_than(opening.who(), source.name());
        if !self.is_wanted(room) && !self.hub.sources_of(room).iter().any(is_of_another) {
            live.opened_by = Some(opening);
        }
    }

    /// Returns whether a room has a host or an admin's settings, so that it counts for nobody.
    fn is_wanted(&self, room: &RoomName) -> bool {
        let outline = self.desk.lock().machine.outline(room);
        outline.is_none_or(|room| room.kept || room.host.person.is_some() || room.host.present)
    }

    /// Returns whether a source is of somebody else than the one who opened the room.
    pub(super) fn is_of_another(&self, name: &SourceName, live: &Live) -> bool {
        self.is_of_another_than(live.opened_by.as_ref().and_then(Share::who), name)
    }

    fn is_of_another_than(&self, opener: Option<&Principal>, name: &SourceName) -> bool {
        name.is_host() || self.hub.source(name).and_then(|source| source.opener()).as_ref() != opener
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::{Admission, Protocol, Publication};
    use onmic_room::{Command, Limits, ParticipantName, Refused, Settings};

    use super::super::Connection;
    use super::super::mailbox::Mailbox;
    use super::super::order::Order;
    use super::super::tests::{entry, name, rooms_of};
    use super::*;

    const LIMITS: Limits = Limits { rooms: 16, persons: 16, requests: 16 };

    fn token(id: &str) -> Option<Principal> {
        Some(Principal::Token(id.into()))
    }

    /// Lets somebody come for whom `who` answers: a guest, or the person of this name.
    fn come(
        rooms: &Arc<Rooms>,
        room: &str,
        who: Option<Principal>,
        person: Option<&str>,
        authority: Authority,
    ) -> Result<Connection, Denied> {
        let named = entry(room, person.unwrap_or("nobody"), authority);
        let person = named.person.filter(|_| person.is_some());
        rooms.enter(Entry { who, person, ..named }, &Mailbox::new().0)
    }

    fn guest(rooms: &Arc<Rooms>, room: &str, who: &str) -> Result<Connection, Denied> {
        come(rooms, room, token(who), None, Authority::Viewer)
    }

    fn id(connection: &Connection) -> PersonId {
        connection.by.person.clone().unwrap()
    }

    fn has_no_more<T>(denied: Result<T, Denied>) -> bool {
        matches!(denied, Err(Denied::Share(NoShare::Principal(_, 2, _))))
    }

    #[tokio::test]
    async fn a_principal_has_an_eighth_of_the_people_of_a_room() {
        let rooms = rooms_of(LIMITS);
        let host = come(&rooms, "demo", token("a"), Some("mia"), Authority::Host).unwrap();
        let own: Vec<_> = (0..2).map(|_| guest(&rooms, "demo", "a").unwrap()).collect();
        let Err(denied) = guest(&rooms, "demo", "a") else { panic!("it has three guests") };
        let sentence = "Leave some to others: this token has 2 people in this room already, as many as one may have here; \
                        try again when it has fewer.";
        assert_eq!(denied.to_string(), sentence);
        let other = guest(&rooms, "other", "a").expect("each room is counted for itself");
        let windows: Vec<_> =
            (0..3).map(|_| come(&rooms, "demo", token("v"), Some("vera"), Authority::Viewer).unwrap()).collect();
        let second = guest(&rooms, "demo", "v").expect("a person with three windows is one person");
        assert!(has_no_more(guest(&rooms, "demo", "v")));
        let nobodys: Vec<_> =
            (0..5).map(|_| come(&rooms, "demo", None, None, Authority::Viewer).expect("nobody answers")).collect();
        host.order(Order::Kick(id(&own[0]))).await.unwrap();
        let again = guest(&rooms, "demo", "a").expect("the place of one who was sent out is free");
        assert!(has_no_more(guest(&rooms, "demo", "a")));
        rooms.apply(Input::End { room: name("demo"), by: Actor::admin() }).unwrap();
        let next: Vec<_> = (0..2).map(|_| guest(&rooms, "demo", "a").expect("it is another room")).collect();
        drop((own, other, windows, second, nobodys, again, next));
    }

    #[test]
    fn viewers_leave_places_to_the_host() {
        let rooms = rooms_of(LIMITS);
        let viewers: Vec<_> = (0..14).map(|number| guest(&rooms, "demo", &number.to_string()).unwrap()).collect();
        let denied = guest(&rooms, "demo", "late").err();
        assert_eq!(denied, Some(Denied::Refused(Refused::PersonsFull(14))));
        let host = come(&rooms, "demo", token("h"), Some("mia"), Authority::Host).expect("a host finds a place");
        drop((viewers, host));
    }

    #[tokio::test]
    async fn a_principal_has_an_eighth_of_the_requests_of_a_room() {
        let rooms = rooms_of(Limits { persons: 100, ..LIMITS });
        let own: Vec<_> = (0..4).map(|_| guest(&rooms, "demo", "a").unwrap()).collect();
        let ask = async |connection: &Connection| {
            let command = Command::RequestMic { person: id(connection), seat: None };
            connection.order(Order::Machine(command)).await
        };
        for connection in &own[..2] {
            ask(connection).await.unwrap();
        }
        assert!(has_no_more(ask(&own[2]).await));
        ask(&own[0]).await.expect("they ask already");
        let other = guest(&rooms, "demo", "b").unwrap();
        ask(&other).await.expect("another principal has its own part");
        let withdraw = Command::Withdraw { person: id(&own[0]) };
        own[0].order(Order::Machine(withdraw)).await.unwrap();
        ask(&own[2]).await.expect("one has withdrawn");
        assert!(has_no_more(ask(&own[0]).await));
        let for_a_guest = Command::RequestMic { person: id(&own[3]), seat: None };
        rooms.order(&name("demo"), &Actor::admin(), Order::Machine(for_a_guest)).await.expect("an admin asks");
        let grant = Command::Grant { person: id(&own[1]), seat: None };
        rooms.order(&name("demo"), &Actor::admin(), Order::Machine(grant)).await.unwrap();
        ask(&own[1]).await.expect("they have a seat already");
    }

    /// Publishes from a seat of a room, for whose opening `opener` is counted.
    fn publish(rooms: &Rooms, room: &str, participant: &str, opener: Option<Principal>) -> Publication {
        let source = SourceName::new(&name(room), &participant.parse().unwrap());
        let admission = Admission { opener: opener.clone(), ..Admission::default() };
        let publication = rooms.hub.publish(&source, admission.by(Protocol::Rtmp), std::time::Instant::now()).unwrap();
        let SourceName { room, participant } = source.clone();
        let up = Input::SourceUp { room, participant, person: None, video: true, audio: true };
        rooms.bring_up(&source, up, opener);
        publication
    }

    #[test]
    fn somebody_who_publishes_opens_an_eighth_of_the_rooms_too() {
        let rooms = rooms_of(LIMITS);
        let anna = |room| publish(&rooms, room, "anna", token("a"));
        let came = guest(&rooms, "one", "a").unwrap();
        let own = [anna("one"), anna("two")];
        assert!(own.iter().all(Publication::is_current));
        assert!(!anna("three").is_current(), "one who publishes is sent away");
        assert!(has_no_more(guest(&rooms, "three", "a")));
        assert!(rooms.opened(&name("three")).is_none() && rooms.openings.taken() == 2);
        let others = publish(&rooms, "one", "ben", token("b"));
        let third = anna("three");
        assert!(third.is_current(), "the first counts for nobody, since somebody else publishes in it");
        let host = publish(&rooms, "two", "host", None);
        assert_eq!(rooms.openings.taken(), 1, "a room with a host counts for nobody");
        drop((came, own, others, third, host));
    }

    #[test]
    fn a_room_to_which_others_came_before_its_opener_was_noted_counts_for_nobody() {
        let rooms = rooms_of(LIMITS);
        let anna = publish(&rooms, "demo", "anna", token("a"));
        let note = || {
            let cell = rooms.cell(&name("demo")).unwrap();
            let (mut live, opening) = (cell.live.lock(), rooms.openings.take(token("a")).unwrap());
            let live = live.as_mut().unwrap();
            live.opened_by = None;
            rooms.note_opener(&name("demo"), live, opening);
            live.opened_by.is_some()
        };
        assert!(note(), "nobody else publishes");
        let ben = publish(&rooms, "demo", "ben", token("b"));
        assert!(!note());
        assert_eq!(rooms.openings.taken(), 0);
        drop((anna, ben));
    }

    #[test]
    fn a_principal_opens_an_eighth_of_the_rooms_and_leaves_some_to_publishers() {
        let rooms = rooms_of(LIMITS);
        let open = |room: String, who: usize| guest(&rooms, &room, &who.to_string());
        let mut viewers = Vec::new();
        for who in 0..7 {
            viewers.extend((0..2).map(|number| open(format!("room-{who}-{number}"), who).unwrap()));
        }
        assert_eq!(open("another".to_owned(), 9).err(), Some(Denied::Refused(Refused::RoomsFull(14))));
        viewers.push(open("room-0-0".to_owned(), 1).expect("the room is there"));
        assert!(has_no_more(open("another".to_owned(), 1)));
        assert_eq!(rooms.open(&name("honest"), Settings::default()), Ok(true), "an admin makes a room");
        let (room, participant) = (name("published"), ParticipantName::host());
        let up = Input::SourceUp { room: room.clone(), participant, person: None, video: true, audio: true };
        rooms.apply(up).unwrap();
        assert!(rooms.opened(&room).is_some(), "a publisher opens a room");
        let end = |room: &RoomName| rooms.apply(Input::End { room: room.clone(), by: Actor::admin() }).unwrap();
        [name("honest"), room].iter().for_each(end);
        assert_eq!(rooms.names().len(), 14);
        end(&name("room-1-1"));
        viewers.push(open("another".to_owned(), 1).expect("its room has ended"));
        end(&name("room-0-1"));
        viewers.push(open("room-6-2".to_owned(), 0).expect("there is a place again"));
        assert!(has_no_more(open("room-6-3".to_owned(), 6)));
        let host = come(&rooms, "room-6-0", token("h"), Some("mia"), Authority::Host).unwrap();
        end(&name("room-2-0"));
        viewers.push(open("room-6-3".to_owned(), 6).expect("a room that has a host counts for nobody"));
        drop((viewers, host));
        assert_eq!(rooms.desk.lock().cells.len(), 14, "nothing stays of those who were refused");
    }
}
