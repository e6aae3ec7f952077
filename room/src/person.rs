//! A person in a room: connected, gone for a moment, or an encoder that publishes from a seat without a connection.
//!
//! People stay while they are connected, for the grace after that, and for as long as they are on a seat. Their request
//! and their invitation go with them.

use std::time::Instant;

use crate::command::{Actor, Authority};
use crate::effect::{Effect, RevokeReason, Step, Ticket};
use crate::event::{Event, LeftReason};
use crate::host::Host;
use crate::refused::Refused;
use crate::room::Room;
use crate::seat::{Muted, Phase};
use crate::settings::Limits;
use crate::view::PersonView;
use onmic_names::{ParticipantName, PersonId, display_name};

/// The most people who have left and are still muted by the host. Beyond it the first by name is forgotten.
const MUTED_GONE_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Person {
    pub name: String,
    pub authority: Authority,
    pub connected: bool,
    /// When a person who is not connected ceases to count as there.
    pub leaves: Option<Instant>,
}

impl Person {
    pub fn encoder(name: String) -> Self {
        Self { name, authority: Authority::CoHost, connected: false, leaves: None }
    }

    /// Whether the person is connected, or was a moment ago and may be again.
    pub fn is_present(&self) -> bool {
        self.connected || self.leaves.is_some()
    }
}

impl Room {
    pub fn person(&self, person: &PersonId) -> Result<&Person, Refused> {
        self.persons.get(person).ok_or_else(|| Refused::PersonUnknown(person.clone()))
    }

    /// Returns what of a person is muted.
    pub fn muted(&self, person: &PersonId) -> Muted {
        self.mutes.get(person).copied().unwrap_or_default()
    }

    /// Mutes somebody who is in the room, in place of what was muted.
    pub fn set_muted(&mut self, person: &PersonId, muted: Muted) {
        if muted == Muted::default() {
            self.mutes.remove(person);
        } else if self.persons.contains_key(person) {
            self.mutes.insert(person.clone(), muted);
        }
    }

    /// Keeps what the host has muted of somebody who has left, and forgets what they have muted themselves.
    fn keep_mutes_of_host(&mut self, gone: &PersonId) {
        let Some(muted) = self.mutes.remove(gone).map(Muted::by_host).filter(|muted| *muted != Muted::default()) else {
            return;
        };
        let left: Vec<_> = self.mutes.keys().filter(|id| !self.persons.contains_key(*id)).cloned().collect();
        if left.len() >= MUTED_GONE_MAX
            && let Some(first) = left.first()
        {
            self.mutes.remove(first);
        }
        self.mutes.insert(gone.clone(), muted);
    }

    /// Returns the name that others see.
    pub fn name_of(&self, person: &PersonId) -> String {
        self.persons.get(person).map_or_else(|| person.to_string(), |person| person.name.clone())
    }

    pub fn person_view(&self, id: &PersonId, person: &Person) -> PersonView {
        PersonView { person: id.clone(), name: person.name.clone(), authority: person.authority }
    }

    pub fn check_join(&self, limits: &Limits, person: &PersonId, authority: Authority) -> Result<(), Refused> {
        // Somebody may be the host by a hand-over, whatever their token says.
        let authority = if self.is_host(person) { Authority::Host } else { authority };
        let limit = Limits::open_to(authority, limits.persons);
        if !self.persons.contains_key(person) && self.persons.len() >= limit {
            return Err(Refused::PersonsFull(limit));
        }
        Ok(())
    }

    pub fn check_name(person: &PersonId, name: &str, authority: Authority) -> Result<(), Refused> {
        if display_name(name).as_deref() != Some(name) {
            return Err(Refused::DisplayName);
        }
        // A seat of this person would publish as `host`.
        if person.participant().is_host() && authority != Authority::Host {
            return Err(Refused::NameReserved);
        }
        Ok(())
    }

    pub fn join(&mut self, step: &mut Step, person: PersonId, name: String, authority: Authority) {
        let known = self.persons.get(&person);
        let changed = known.is_none_or(|known| known.name != name || known.authority != authority);
        if let Some(until) = known.and_then(|known| known.leaves) {
            self.leaving.remove(&(until, person.clone()));
        }
        let joined = Person { name, authority, connected: true, leaves: None };
        let view = self.person_view(&person, &joined);
        self.persons.insert(person.clone(), joined);
        if changed {
            self.emit(step, Event::PersonJoined { person: view });
        }
        if authority == Authority::Host && self.host_is_vacant_for(&person) {
            self.become_host(step, &person);
        } else if self.is_host(&person) && self.host.name != self.name_of(&person) {
            self.host.name = self.name_of(&person);
            let host = self.host_view();
            self.emit(step, Event::HostChanged { host });
        }
        self.repeat_ticket(step, &person);
    }

    /// Repeats the ticket of somebody who comes back and has not published from their seat yet.
    fn repeat_ticket(&self, step: &mut Step, person: &PersonId) {
        let Some(seat) = self.seat_of(person) else { return };
        let Some(occupant) = &self.seats[seat.index()].occupant else { return };
        let (Phase::Granted { until } | Phase::Connecting { until }) = occupant.phase else { return };
        step.effects.push(Effect::Ticket(Ticket {
            room: self.name.clone(),
            person: person.clone(),
            seat: Some(seat),
            participant: person.participant(),
            expires_in: until.saturating_duration_since(step.now),
        }));
    }

    pub fn leave(&mut self, step: &mut Step, person: &PersonId) {
        let until = step.now + self.settings.timeouts.presence;
        let Some(leaver) = self.persons.get_mut(person) else { return };
        if leaver.connected {
            leaver.connected = false;
            leaver.leaves = Some(until);
            self.leaving.insert((until, person.clone()));
        }
    }

    /// Takes a person out of the room at once, with everything that they have in it.
    pub fn kick(&mut self, step: &mut Step, by: &Actor, id: &PersonId) -> Result<(), Refused> {
        self.must_direct(by)?;
        if !self.persons.contains_key(id) {
            return Ok(()); // They may watch without being in the room. The driver knows what they have open.
        }
        if self.phase_of(id).is_some_and(|(_, phase)| !matches!(phase, Phase::Invited { .. })) {
            self.cool_down(step, id);
        }
        if self.is_host(id) {
            self.drop_source(step, &ParticipantName::host());
            step.revoke(&self.name, &ParticipantName::host(), RevokeReason::Kicked);
            self.host = Host::default();
            let host = self.host_view();
            self.emit(step, Event::HostChanged { host });
        }
        if let Some(person) = self.persons.get_mut(id) {
            person.connected = false;
            if let Some(until) = person.leaves.take() {
                self.leaving.remove(&(until, id.clone()));
            }
        }
        self.drop_request(step, id);
        self.drop_invitation(step, id);
        self.clear_seat(step, id, LeftReason::Removed, RevokeReason::Kicked);
        self.forget_if_gone(step, id);
        step.effects.push(Effect::Kicked { room: self.name.clone(), person: id.clone() });
        Ok(())
    }

    pub fn expire_presence(&mut self, step: &mut Step) {
        while let Some((until, _)) = self.leaving.first()
            && *until <= step.now
            && let Some((_, id)) = self.leaving.pop_first()
        {
            if let Some(person) = self.persons.get_mut(&id) {
                person.leaves = None;
            }
            self.drop_request(step, &id);
            self.drop_invitation(step, &id);
            self.forget_if_gone(step, &id);
        }
    }

    /// Takes a person out of the room if nothing keeps them there. Call it when they have lost something that did. What the host has
    /// muted of them stays so: leaving and coming back does not lift it.
    pub fn forget_if_gone(&mut self, step: &mut Step, id: &PersonId) {
        let Some(person) = self.persons.get(id) else { return };
        if person.is_present() || self.seat_of(id).is_some() {
            return;
        }
        let view = self.person_view(id, person);
        self.persons.remove(id);
        self.keep_mutes_of_host(id);
        self.emit(step, Event::PersonLeft { person: view });
    }
}
