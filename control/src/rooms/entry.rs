//! How people come to a room and leave it: who they are, and what they are told first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metrics::gauge;

use onmic_media::name::Principal;
use onmic_media::{DropReason, NoShare, Share, metric};
use onmic_names::display_name;
use onmic_room::{Actor, Authority, Effect, Input, PersonId, Refused, RoomName};
use serde_json::value::RawValue;

use super::event::{ServerMessage, You};
use super::live::Live;
use super::mailbox::{CONNECTIONS_MAX, Mailbox};
use super::refusal::Denied;
use super::{Connection, Rooms};
use crate::random;

/// A person who comes to a room, and what they have seen already.
pub struct Entry {
    pub room: RoomName,
    /// Who answers for the connection, if anybody has to.
    pub who: Option<Principal>,
    /// Who answers for a person whom the token does not name, if anybody has to: what a ban of them holds.
    pub nameless: Option<Principal>,
    pub authority: Authority,
    /// The person that the token names.
    pub person: Option<PersonId>,
    /// The person whom the client claims to be, and the key that proves it. Without a key the claim is believed only if
    /// `trusted`.
    pub claimed: Option<(PersonId, Option<String>)>,
    /// Whether the server asks for no tokens.
    pub trusted: bool,
    pub name: Option<String>,
    pub epoch: Option<String>,
    pub after: Option<u64>,
}

/// The way of those whom a claim has named. No key of this way is ever taken.
const NAMED: &str = "named";

/// Returns the word in the keys of guests who came with this right.
const fn way(authority: Authority) -> &'static str {
    match authority {
        Authority::Viewer => "viewer",
        Authority::CoHost => "co-host",
        Authority::Host => "host",
        Authority::Admin => "admin",
    }
}

/// Returns how much a right gives, beside others.
const fn rank(authority: Authority) -> u8 {
    match authority {
        Authority::Viewer => 0,
        Authority::CoHost => 1,
        Authority::Host => 2,
        Authority::Admin => 3,
    }
}

impl Rooms {
    /// Lets a person into a room. When this returns, `mailbox` holds the messages that they get first.
    pub fn enter(self: &Arc<Self>, entry: Entry, mailbox: &Arc<Mailbox>) -> Result<Connection, Denied> {
        if self.stop.is_cancelled() {
            return Err(Denied::Stopping);
        }
        let share = self.share_for(&entry).inspect_err(|full| match full {
            NoShare::Full(..) => DropReason::EventsFull.count(1),
            NoShare::Principal(..) => DropReason::EventsShare.count(1),
        })?;
        let entered = self.enter_with(share, entry, mailbox);
        gauge!(metric::ROOM_CLIENTS).set(self.clients.taken() as f64);
        entered
    }

    /// Takes a share of the connections. Viewers leave some to others, and those who are on mic or host a room are not kept out by
    /// them, whatever their token says.
    fn share_for(&self, entry: &Entry) -> Result<Share, NoShare> {
        let who = || entry.who.clone();
        if entry.authority != Authority::Viewer {
            return self.clients.take(who());
        }
        match self.clients.take_to_watch(who()) {
            Err(NoShare::Full(..)) if self.has_place_of_their_own(entry) => self.clients.take(who()),
            taken => taken,
        }
    }

    /// Returns whether somebody who comes has a seat in the room, or is its host.
    fn has_place_of_their_own(&self, entry: &Entry) -> bool {
        let Ok(cell) = self.cell(&entry.room) else { return false };
        let person = self.known(cell.live.lock().as_ref(), entry);
        let desk = self.desk.lock();
        let is_host =
            |person: &PersonId| desk.machine.host(&entry.room).is_ok_and(|host| host.person.as_ref() == Some(person));
        let is_seated = |person: &PersonId| desk.machine.seat_of(&entry.room, person).is_ok_and(|seat| seat.is_some());
        person.is_some_and(|person| is_host(&person) || is_seated(&person))
    }

    fn enter_with(self: &Arc<Self>, share: Share, entry: Entry, mailbox: &Arc<Mailbox>) -> Result<Connection, Denied> {
        let room = entry.room.clone();
        loop {
            let cell = self.desk.lock().cells.entry(room.clone()).or_default().clone();
            let mut live = cell.live.lock();
            self.carry_out_filed(&room, &cell, &mut live);
            let recognised = self.recognise(live.as_ref(), &entry).and_then(|(person, name)| {
                let place = live.as_ref().map(|live| live.place(&person, entry.counted())).transpose();
                Ok((person, name, place.map_err(Denied::Share)?.flatten()))
            });
            let (person, name, place) = match recognised {
                Ok(recognised) => recognised,
                Err(denied) => {
                    self.settle(&room, &cell, &mut live); // There may be no such room, and nothing stays of it then.
                    return Err(denied);
                }
            };
            let by = Actor::new(person.clone(), entry.authority);
            let authority = entry.authority;
            let join = Input::Join { room: room.clone(), person: person.clone(), name: name.clone(), authority };
            let mut desk = self.desk.lock();
            if !desk.cells.get(&room).is_some_and(|current| Arc::ptr_eq(current, &cell)) {
                continue; // The room has ended meanwhile. Its next life has another cell.
            }
            let rendered = live.as_ref().and_then(|live| self.rendered_before(live));
            let rendered = rendered.filter(|_| cell.pending.lock().is_empty());
            let is_same = |effects: &[Effect]| {
                let live = live.as_ref().filter(|_| rendered.is_some());
                live.is_some_and(|live| effects.iter().all(|effect| live.is_same_after(effect)))
            };
            // A room that is rendered already needs no look at the machine.
            let look = |machine: &onmic_room::Rooms, effects: &[Effect]| {
                if is_same(effects) { None } else { machine.outline(&room) }
            };
            let is_new = desk.machine.settings(&room).is_err();
            let opening = is_new.then(|| self.openings.take(entry.counted())).transpose().map_err(Denied::Share);
            let stepped = opening.and_then(|opening| Ok((opening, self.step(&mut desk, join, look)?)));
            let (opening, step) = match stepped {
                Ok(stepped) => stepped,
                Err(denied) => {
                    drop(desk);
                    self.settle(&room, &cell, &mut live);
                    return Err(denied);
                }
            };
            // They are taken out with the desk held, so the snapshot shows the moment right after exactly these
            // effects.
            let filed = std::mem::take(&mut *cell.pending.lock());
            drop(desk);
            // Everybody is told the events first. Then this client gets its first message, and then its own tickets.
            let (tickets, told): (Vec<_>, Vec<_>) =
                filed.into_iter().partition(|(_, effect)| matches!(effect, Effect::Ticket(_)));
            told.into_iter().for_each(|(now, effect)| self.carry_out(&room, &mut live, now, effect));
            let client = self.next_client.fetch_add(1, Ordering::Relaxed);
            let connected = self.within(&room, &mut live, |live| {
                let Some(live) = live else { return };
                let state = step.answer.map(|view| self.rendered(live, &view)).or(rendered);
                let state = state.expect("the room is there, or was rendered");
                let heard = self.greet(live, &state, &entry, &by, &name, mailbox);
                if let (None, Some(who)) = (&entry.person, &entry.nameless) {
                    live.guests.came(&person, who.clone());
                    self.note(&room);
                }
                live.keep_place(&person, entry.counted(), place);
                if opening.is_some() {
                    live.opened_by = opening;
                }
                live.connect(client, person, mailbox.clone(), heard);
            });
            tickets.into_iter().for_each(|(now, effect)| self.carry_out(&room, &mut live, now, effect));
            drop(live);
            self.settle_all(step.touched);
            connected?;
            return Ok(Connection { rooms: self.clone(), client, share: Some(share), room, by });
        }
    }

    /// Returns the person who comes, and the name that others see.
    fn recognise(&self, live: Option<&Live>, entry: &Entry) -> Result<(PersonId, String), Denied> {
        let person = self.identify(live, entry);
        if let Some(left) = self.standing.bans.left(&entry.room, &person, self.now()) {
            return Err(Denied::Banned(left));
        }
        if live.is_some_and(|live| live.connections(&person) >= CONNECTIONS_MAX) {
            return Err(Denied::ConnectionsFull);
        }
        let known = live.and_then(|live| live.persons.get(&person)).map(|known| known.name.clone());
        let stated = entry.name.as_deref().map(|name| display_name(name).ok_or(Refused::DisplayName)).transpose()?;
        let name = stated.or(known).unwrap_or_else(|| person.to_string());
        Ok((person, name))
    }

    /// Returns the person whom the token names, or whom the client proves to be.
    fn known(&self, live: Option<&Live>, entry: &Entry) -> Option<PersonId> {
        if let Some(person) = &entry.person {
            return Some(person.clone());
        }
        let (person, key) = entry.claimed.as_ref()?;
        let is_proven = || live.is_some_and(|live| self.proof(live, entry).is_some());
        let is_known = if key.is_some() { is_proven() } else { entry.trusted };
        is_known.then(|| person.clone())
    }

    /// Returns the key of the client if it proves the person whom the client claims to be. A key proves guests alone, and was given
    /// to somebody whose token gave no more than what is shown now. Else it would outlive the token.
    fn proof<'a>(&self, live: &Live, entry: &'a Entry) -> Option<&'a String> {
        let (person, Some(key)) = entry.claimed.as_ref()? else { return None };
        let epoch = live.channel.epoch();
        let given = |authority| self.guests.fits(key, entry.room.as_str(), person.as_str(), epoch, way(authority));
        let no_more = |authority| entry.trusted || rank(authority) <= rank(entry.authority);
        let all = [Authority::Viewer, Authority::CoHost, Authority::Host, Authority::Admin];
        all.into_iter().any(|authority| no_more(authority) && given(authority)).then_some(key)
    }

    /// Returns the key with which a person comes back. Whoever is named by a token, or by the ticket of a seat, comes back by that:
    /// their key proves nothing.
    fn key(&self, live: &Live, entry: &Entry, person: &str) -> String {
        let own = entry.claimed.as_ref().is_some_and(|(claimed, _)| claimed.as_str() == person);
        if own && let Some(key) = self.proof(live, entry) {
            return key.clone();
        }
        let way = if entry.person.is_some() { NAMED } else { way(entry.authority) };
        self.guests.key(entry.room.as_str(), person, live.channel.epoch(), way)
    }

    /// Returns the person whom the token names, or whom the client proves to be, or else a new guest.
    fn identify(&self, live: Option<&Live>, entry: &Entry) -> PersonId {
        if let Some(person) = self.known(live, entry) {
            return person;
        }
        loop {
            let guest = random::guest().parse().expect("letters and a hyphen");
            if live.is_none_or(|live| !live.persons.contains_key(&guest)) {
                return guest;
            }
        }
    }

    /// Puts the first message. Returns the number of the last event that the client has seen, or sees in it.
    fn greet(&self, live: &Live, room: &RawValue, entry: &Entry, by: &Actor, name: &str, mailbox: &Mailbox) -> u64 {
        let (epoch, number) = (live.channel.epoch(), live.channel.number());
        let person = by.person.as_ref().map(PersonId::as_str).unwrap_or_default();
        let you = You::new(person, self.key(live, entry, person), name, by.authority);
        // A key that fits belongs to this epoch, so a client need not send an epoch along with it.
        let seen = entry.epoch.as_deref().unwrap_or_else(|| {
            let proven =
                entry.claimed.as_ref().is_some_and(|(claimed, key)| claimed.as_str() == person && key.is_some());
            if proven { epoch } else { "" }
        });
        let after = entry.after.filter(|after| live.channel.can_resume(seen, *after));
        let first = match after {
            Some(_) => ServerMessage::Resumed { epoch, number, you },
            None => ServerMessage::Snapshot { epoch, number, you, room },
        };
        mailbox.put(first.render().into());
        after.unwrap_or(number)
    }

    pub(super) fn exit(&self, connection: &Connection) {
        gauge!(metric::ROOM_CLIENTS).set(self.clients.taken() as f64);
        let (room, Some(person)) = (&connection.room, &connection.by.person) else { return };
        let Ok(cell) = self.cell(room) else { return };
        let mut live = cell.live.lock();
        let disconnected = self.within(room, &mut live, |live| {
            live.as_mut().is_some_and(|live| live.disconnect(connection.client, person))
        });
        if disconnected != Ok(true) {
            return;
        }
        let left = self.decide(Input::Leave { room: room.clone(), person: person.clone() }, |_, _| ());
        drop(live);
        match left {
            Ok(step) => self.settle_all(step.touched),
            Err(denied) => tracing::debug!(%room, %person, %denied, "somebody left a room that is gone"),
        }
    }
}
