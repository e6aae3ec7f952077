//! All rooms of a node, as one state machine. It takes inputs and the passing of time, and gives effects.
//!
//! A step decides one thing. Then it settles every room that it touched: who is there, which sources the programs are
//! made of, and when to wake up next. A refused input changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Instant;

use crate::command::{Actor, Authority, Command, Who};
use crate::effect::{Effect, RevokeReason, Step};
use crate::event::{EndReason, Event, LeftReason, PkEndReason};
use crate::input::Input;
use crate::mix::Mix;
use crate::pk::Pk;
use crate::refused::Refused;
use crate::room::Room;
use crate::settings::{Limits, Settings};
use crate::source::Source;
use crate::view::{HostView, InvitationView, PersonView, PkView, RequestView, RoomView, SeatView};
use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// All rooms of a node. It reads no clock: the caller passes `now`, which never goes back.
#[derive(Debug)]
pub struct Rooms {
    pub(crate) limits: Limits,
    /// The settings of rooms that come to be by themselves.
    defaults: Settings,
    pub(crate) rooms: BTreeMap<RoomName, Room>,
    pub(crate) deadlines: BTreeSet<(Instant, RoomName)>,
    /// The highest number of an event of any room that has ended. No later room repeats a number.
    pub(crate) last_number: u64,
}

impl Rooms {
    /// Begins without rooms. `defaults` are the settings of rooms that somebody opens by joining or publishing.
    pub fn new(limits: Limits, defaults: Settings) -> Result<Self, Refused> {
        defaults.check()?;
        let (rooms, deadlines) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { limits, defaults, rooms, deadlines, last_number: 0 })
    }

    /// Takes an input and returns its effects. A refusal changes nothing.
    pub fn apply(&mut self, now: Instant, input: Input) -> Result<Vec<Effect>, Refused> {
        let mut step = Step::new(now);
        let decided = self.decide(&mut step, input);
        self.settle(&mut step);
        debug_assert!(decided.is_ok() || step.effects.is_empty(), "a refusal has effects: {:?}", step.effects);
        self.assert_invariants();
        decided.map(|()| step.effects)
    }

    /// Returns when to call [`Rooms::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Ends everything whose deadline has passed in one room, that of [`Rooms::next_due`]. A driver calls it again while
    /// [`Rooms::next_timeout`] has passed, and may do something else in between: after a restart thousands of rooms are due at once.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Effect> {
        let mut step = Step::new(now);
        if let Some((_, room)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now).cloned() {
            self.expire(&mut step, &room);
            self.settle(&mut step);
        }
        self.assert_invariants();
        step.effects
    }

    /// Returns the room whose deadline is next.
    pub fn next_due(&self) -> Option<&RoomName> {
        self.deadlines.first().map(|(_, room)| room)
    }

    /// Takes a room out in which a step has failed half-way, so that no rule need hold in it. Others lose their PK with it.
    pub fn evict(&mut self, name: &RoomName) -> Vec<Effect> {
        let known = self.rooms.contains_key(name);
        self.drop_quietly(name);
        if known { vec![Effect::Ended { room: name.clone() }] } else { Vec::new() }
    }

    /// Returns a room as it is now.
    pub fn room(&self, name: &RoomName) -> Option<RoomView> {
        let view = self.outline(name)?;
        Some(RoomView { persons: self.persons(name, None, usize::MAX).ok()?, ..view })
    }

    /// Returns a room as it is now without its persons, of whom there may be thousands.
    pub fn outline(&self, name: &RoomName) -> Option<RoomView> {
        self.rooms.get(name).map(|room| room.outline(self.pk_view(room)))
    }

    /// Returns the settings of a room.
    pub fn settings(&self, room: &RoomName) -> Result<&Settings, Refused> {
        Ok(&self.get(room)?.settings)
    }

    /// Returns the people of a room by id: those after `after`, and at most `limit` of them.
    pub fn persons(&self, room: &RoomName, after: Option<&PersonId>, limit: usize) -> Result<Vec<PersonView>, Refused> {
        let room = self.get(room)?;
        let bounds = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let persons = room.persons.range::<PersonId, _>(bounds).take(limit);
        Ok(persons.map(|(id, person)| room.person_view(id, person)).collect())
    }

    /// Returns the host of a room.
    pub fn host(&self, room: &RoomName) -> Result<HostView, Refused> {
        Ok(self.get(room)?.host_view())
    }

    /// Whether `person` may publish as the host of a room. Ask before a publisher gets that name, so that nobody holds it who is
    /// then sent away.
    pub fn may_be_host(&self, room: &RoomName, person: &PersonId) -> bool {
        self.rooms.get(room).is_none_or(|room| room.may_be_host(person))
    }

    /// Returns one seat of a room.
    pub fn seat(&self, room: &RoomName, seat: SeatNo) -> Result<SeatView, Refused> {
        let room = self.get(room)?;
        room.check_seat(seat).map(|()| room.seat_view(seat))
    }

    /// Returns the seat that a person has, or is invited to.
    pub fn seat_of(&self, room: &RoomName, person: &PersonId) -> Result<Option<SeatView>, Refused> {
        let room = self.get(room)?;
        Ok(room.seat_of(person).map(|seat| room.seat_view(seat)))
    }

    /// Returns the request of a person.
    pub fn request_of(&self, room: &RoomName, person: &PersonId) -> Result<Option<RequestView>, Refused> {
        let room = self.get(room)?;
        let request = room.requests.iter().find(|request| request.person == *person);
        Ok(request.map(|request| room.request_view(request)))
    }

    /// Returns the people of a room who ask for the mic.
    pub fn asking(&self, room: &RoomName) -> Result<impl Iterator<Item = &PersonId>, Refused> {
        Ok(self.get(room)?.requests.iter().map(|request| &request.person))
    }

    /// Returns the invitation of a person.
    pub fn invitation_of(&self, room: &RoomName, person: &PersonId) -> Result<Option<InvitationView>, Refused> {
        let invitations = self.get(room)?.invitation_views();
        Ok(invitations.into_iter().find(|invitation| invitation.person == *person))
    }

    /// Returns the PK of a room, or the proposal of one.
    pub fn pk(&self, room: &RoomName) -> Result<Option<PkView>, Refused> {
        Ok(self.pk_view(self.get(room)?))
    }

    /// Returns the participant whom a command names.
    pub fn resolve(&self, room: &RoomName, who: &Who) -> Result<PersonId, Refused> {
        self.get(room)?.resolve(who)
    }

    /// Returns the names of all rooms, in order.
    pub fn names(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    /// Checks that `by` may direct the program of a room: its layout, its overlays and the look of its sources.
    pub fn authorize(&self, room: &RoomName, by: &Actor) -> Result<(), Refused> {
        self.get(room)?.must_direct(by)
    }

    pub(crate) fn get(&self, name: &RoomName) -> Result<&Room, Refused> {
        self.rooms.get(name).ok_or_else(|| Refused::RoomUnknown(name.clone()))
    }

    fn get_mut(&mut self, name: &RoomName) -> Result<&mut Room, Refused> {
        self.rooms.get_mut(name).ok_or_else(|| Refused::RoomUnknown(name.clone()))
    }

    fn decide(&mut self, step: &mut Step, input: Input) -> Result<(), Refused> {
        let limits = self.limits;
        match input {
            Input::Open { room, settings, kept } => self.open(step, room, settings, kept),
            Input::Configure { room, by, settings } => {
                step.touched.insert(room.clone());
                self.get_mut(&room)?.configure(step, &by, settings)
            }
            Input::End { room, by } => {
                self.get(&room)?.must_direct(&by)?;
                self.end(step, &room, EndReason::Ended);
                Ok(())
            }
            Input::Join { room, person, name, authority } => {
                Room::check_name(&person, &name, authority)?;
                if let Ok(there) = self.get(&room) {
                    there.check_join(&limits, &person, authority)?;
                }
                self.get_or_open(step, &room, authority)?.join(step, person, name, authority);
                Ok(())
            }
            Input::Leave { room, person } => {
                step.touched.insert(room.clone());
                self.get_mut(&room)?.leave(step, &person);
                Ok(())
            }
            Input::Command { room, by, command } => {
                step.touched.insert(room.clone());
                self.command(step, &room, &by, command)
            }
            Input::SourceConnecting { room, participant } => {
                step.touched.insert(room.clone());
                if let Ok(room) = self.get_mut(&room) {
                    room.source_connecting(step, &participant);
                }
                Ok(())
            }
            Input::SourceUp { room, participant, person, video, audio } => {
                let source = Source { video, audio };
                match self.get_or_open_for(step, &room, &participant) {
                    Ok(room) => room.source_up(step, &limits, &participant, person.as_ref(), source),
                    Err(reason) => step.revoke(&room, &participant, reason),
                }
                Ok(())
            }
            Input::SourceChanged { room, participant, video, audio } => {
                step.touched.insert(room.clone());
                if let Ok(room) = self.get_mut(&room) {
                    room.source_changed(step, &participant, Source { video, audio });
                }
                Ok(())
            }
            Input::SourceDown { room, participant } => {
                step.touched.insert(room.clone());
                if let Ok(room) = self.get_mut(&room) {
                    room.source_down(step, &participant);
                }
                Ok(())
            }
        }
    }

    fn command(&mut self, step: &mut Step, name: &RoomName, by: &Actor, command: Command) -> Result<(), Refused> {
        let limits = self.limits;
        let room = self.get_mut(name)?;
        match command {
            Command::RequestMic { person, seat } => room.request_mic(step, &limits, by, &person, seat),
            Command::Withdraw { person } => room.withdraw(step, by, &person),
            Command::Grant { person, seat } => room.grant(step, by, &person, seat),
            Command::Refuse { person } => room.refuse(step, by, &person),
            Command::Invite { person, seat } => room.invite(step, by, &person, seat),
            Command::Accept { person } => room.accept(step, by, &person),
            Command::Decline { person } => room.decline(step, by, &person),
            Command::LeaveMic { person } => room.leave_mic(step, by, &person),
            Command::Remove { person } => room.remove(step, by, &person),
            Command::Kick { person } => room.kick(step, by, &person),
            Command::ClearSeat { seat } => room.clear_by(step, by, seat),
            Command::Mute { who, audio, video } => room.mute(step, by, &room.resolve(&who)?, audio, video),
            Command::LockSeat { seat, locked } => room.lock_seat(step, by, seat, locked),
            Command::Move { who, seat } => room.move_to(step, by, &room.resolve(&who)?, seat),
            Command::HandOver { person } => room.hand_over(step, by, &person),
            Command::ConnectFailed { who, reason } => room.connect_failed(step, by, &room.resolve(&who)?, &reason),
            Command::ProposePk { room: other } => self.propose_pk(step, name, by, &other),
            Command::AcceptPk => self.accept_pk(step, name, by),
            Command::RefusePk => self.refuse_pk(step, name, by),
            Command::EndPk => self.end_pk(step, name, by),
        }
    }

    fn open(&mut self, step: &mut Step, name: RoomName, settings: Settings, kept: bool) -> Result<(), Refused> {
        settings.check()?;
        let Ok(room) = self.get_mut(&name) else {
            return self.create(step, name, settings, kept, Authority::Admin).map(drop);
        };
        step.touched.insert(name.clone());
        if room.kept && room.settings != settings {
            return Err(Refused::RoomExists(name));
        }
        // A room that came to be by itself takes the settings that are asked for.
        room.configure(step, &Actor::admin(), settings)?;
        if kept && !room.kept {
            room.kept = true;
            room.emit_configured(step);
        }
        Ok(())
    }

    fn create(
        &mut self,
        step: &mut Step,
        name: RoomName,
        settings: Settings,
        kept: bool,
        authority: Authority,
    ) -> Result<&mut Room, Refused> {
        let limit = Limits::open_to(authority, self.limits.rooms);
        if self.rooms.len() >= limit {
            return Err(Refused::RoomsFull(limit));
        }
        step.touched.insert(name.clone());
        let mut room = Room::new(name.clone(), settings.clone(), kept, self.last_number);
        let seats = room.seat_views();
        room.emit(step, Event::RoomOpened { settings, kept, seats });
        Ok(self.rooms.entry(name).or_insert(room))
    }

    fn get_or_open(&mut self, step: &mut Step, name: &RoomName, authority: Authority) -> Result<&mut Room, Refused> {
        if !self.rooms.contains_key(name) {
            let settings = self.defaults.clone();
            return self.create(step, name.clone(), settings, false, authority);
        }
        step.touched.insert(name.clone());
        self.get_mut(name)
    }

    /// Returns the room for a publisher, who opens it only if the publisher may stay in it.
    fn get_or_open_for(
        &mut self,
        step: &mut Step,
        name: &RoomName,
        participant: &ParticipantName,
    ) -> Result<&mut Room, RevokeReason> {
        let open_seats = self.defaults.open_seats && self.defaults.seats > 0;
        if !self.rooms.contains_key(name) && !participant.is_host() && !open_seats {
            return Err(RevokeReason::NotSeated);
        }
        self.get_or_open(step, name, Authority::CoHost).map_err(|_| RevokeReason::RoomsFull)
    }

    fn expire(&mut self, step: &mut Step, name: &RoomName) {
        step.touched.insert(name.clone());
        let Some(room) = self.rooms.get_mut(name) else { return };
        let due = room.expire(step);
        if due.pk {
            let reason = room.pk.end_reason();
            self.break_pk(step, name, reason);
        }
        if due.host_left {
            self.end(step, name, EndReason::HostLeft);
        } else if due.empty {
            self.end(step, name, EndReason::Empty);
        }
    }

    fn end(&mut self, step: &mut Step, name: &RoomName, reason: EndReason) {
        self.break_pk(step, name, PkEndReason::RoomEnded);
        let Some(mut room) = self.rooms.remove(name) else { return };
        for person in room.seated() {
            room.clear_seat(step, &person, LeftReason::RoomEnded, RevokeReason::RoomEnded);
        }
        room.drop_source(step, &ParticipantName::host());
        step.revoke(name, &ParticipantName::host(), RevokeReason::RoomEnded);
        room.emit(step, Event::RoomEnded { reason });
        step.effects.push(Effect::Ended { room: name.clone() });
        if let Some(deadline) = room.deadline {
            self.deadlines.remove(&(deadline, name.clone()));
        }
        self.last_number = self.last_number.max(room.number);
    }

    fn settle(&mut self, step: &mut Step) {
        let touched = std::mem::take(&mut step.touched);
        for name in &touched {
            if let Some(room) = self.rooms.get_mut(name) {
                room.settle(step);
            }
        }
        for name in &touched {
            self.update_mix(step, name);
            let partner = self.rooms.get(name).and_then(|room| room.pk.other().cloned());
            if let Some(partner) = partner.filter(|partner| !touched.contains(partner)) {
                self.update_mix(step, &partner);
            }
            self.update_deadline(name);
        }
    }

    /// Composes the program of a room as it is now.
    pub(crate) fn composed(&self, name: &RoomName) -> Option<Mix> {
        let room = self.rooms.get(name)?;
        let partner = match &room.pk {
            Pk::On { with, .. } => self.rooms.get(with).and_then(Room::host_in_mix),
            _ => None,
        };
        Some(room.compose(partner))
    }

    fn update_mix(&mut self, step: &mut Step, name: &RoomName) {
        let (Some(mix), Some(room)) = (self.composed(name), self.rooms.get(name)) else { return };
        if mix == room.mix {
            return;
        }
        step.effects.push(Effect::Mix { room: name.clone(), mix: mix.clone() });
        if let Some(room) = self.rooms.get_mut(name) {
            room.mix = mix;
        }
    }

    pub(crate) fn update_deadline(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let deadline = room.next_deadline();
        if deadline == room.deadline {
            return;
        }
        if let Some(before) = std::mem::replace(&mut room.deadline, deadline) {
            self.deadlines.remove(&(before, name.clone()));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, name.clone()));
        }
    }
}
