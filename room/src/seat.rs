//! A seat: a numbered place on mic, and the phase that the person on it is in.
//!
//! The phases are invited → granted → connecting → on mic ⇄ away. Each of them but `on mic` has a deadline. A seat has
//! one person, and a person one seat. This file says what happens to somebody on a seat. `request` and `invitation` say
//! how they get onto it.

use std::time::Instant;

use crate::command::{Actor, Who};
use crate::effect::{Effect, RevokeReason, Step, Ticket};
use crate::event::{Event, LeftReason};
use crate::refused::Refused;
use crate::room::Room;
use crate::view::{MutedBy, MutedByView, SeatState, SeatView};
use onmic_names::{PersonId, SeatNo};

#[derive(Debug)]
pub(crate) struct Seat {
    pub number: SeatNo,
    pub locked: bool,
    pub occupant: Option<Occupant>,
}

#[derive(Debug)]
pub(crate) struct Occupant {
    pub person: PersonId,
    pub phase: Phase,
}

/// How far the person on a seat is. A deadline is a moment, or in a snapshot the time that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase<T = Instant> {
    /// Has to accept an invitation.
    Invited {
        /// Until when the seat waits.
        until: T,
    },
    /// Has the ticket.
    Granted {
        /// Until when the seat waits.
        until: T,
    },
    /// Connects.
    Connecting {
        /// Until when the seat waits.
        until: T,
    },
    /// Is heard and seen.
    OnMic,
    /// Has a source that is down.
    Away {
        /// Until when the seat waits.
        until: T,
    },
}

impl<T> Phase<T> {
    /// Returns the same phase with another kind of deadline.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Phase<U> {
        match self {
            Self::Invited { until } => Phase::Invited { until: map(until) },
            Self::Granted { until } => Phase::Granted { until: map(until) },
            Self::Connecting { until } => Phase::Connecting { until: map(until) },
            Self::OnMic => Phase::OnMic,
            Self::Away { until } => Phase::Away { until: map(until) },
        }
    }
}

impl Phase {
    pub(crate) fn until(self) -> Option<Instant> {
        match self {
            Self::Invited { until } | Self::Granted { until } | Self::Connecting { until } | Self::Away { until } => {
                Some(until)
            }
            Self::OnMic => None,
        }
    }

    fn state(self) -> SeatState {
        match self {
            Self::Invited { .. } | Self::Granted { .. } => SeatState::Reserved,
            Self::Connecting { .. } => SeatState::Connecting,
            Self::OnMic => SeatState::OnMic,
            Self::Away { .. } => SeatState::Away,
        }
    }
}

/// What is muted of a participant. The host's mutes and their own are kept apart: lifting one does not lift the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Muted {
    /// The host has muted the video.
    pub video_by_host: bool,
    /// The host has muted the audio.
    pub audio_by_host: bool,
    /// The participant has muted the video.
    pub video_by_self: bool,
    /// The participant has muted the audio.
    pub audio_by_self: bool,
}

impl Muted {
    pub(crate) fn video(self) -> bool {
        self.video_by_host || self.video_by_self
    }

    pub(crate) fn audio(self) -> bool {
        self.audio_by_host || self.audio_by_self
    }

    /// Returns the mutes without those of the host.
    pub(crate) fn own(self) -> Self {
        Self { video_by_host: false, audio_by_host: false, ..self }
    }

    /// Returns the mutes of the host alone.
    pub(crate) fn by_host(self) -> Self {
        Self { video_by_self: false, audio_by_self: false, ..self }
    }

    pub(crate) fn view(self) -> MutedByView {
        let by = |host: bool, own: bool| match (host, own) {
            (true, _) => Some(MutedBy::Host),
            (false, true) => Some(MutedBy::Myself),
            (false, false) => None,
        };
        MutedByView {
            video: by(self.video_by_host, self.video_by_self),
            audio: by(self.audio_by_host, self.audio_by_self),
        }
    }

    fn with_own(self, audio: Option<bool>, video: Option<bool>) -> Self {
        Self {
            audio_by_self: audio.unwrap_or(self.audio_by_self),
            video_by_self: video.unwrap_or(self.video_by_self),
            ..self
        }
    }

    fn with_hosts(self, audio: Option<bool>, video: Option<bool>) -> Self {
        Self {
            audio_by_host: audio.unwrap_or(self.audio_by_host),
            video_by_host: video.unwrap_or(self.video_by_host),
            ..self
        }
    }
}

impl Room {
    pub fn seat_view(&self, number: SeatNo) -> SeatView {
        let seat = &self.seats[number.index()];
        let mut view = SeatView {
            seat: number,
            state: SeatState::Empty,
            locked: seat.locked,
            person: None,
            name: String::new(),
            participant: None,
            video: false,
            audio: false,
            muted_by: MutedByView::default(),
            until: None,
        };
        if let Some(occupant) = &seat.occupant {
            let participant = occupant.person.participant();
            let source = self.sources.get(&participant);
            view.state = occupant.phase.state();
            view.person = Some(occupant.person.clone());
            view.name = self.name_of(&occupant.person);
            view.video = source.is_some_and(|source| source.video);
            view.audio = source.is_some_and(|source| source.audio);
            view.participant = Some(participant);
            view.muted_by = self.muted(&occupant.person).view();
            view.until = occupant.phase.until();
        }
        view
    }

    pub fn seat_views(&self) -> Vec<SeatView> {
        self.seats.iter().map(|seat| self.seat_view(seat.number)).collect()
    }

    pub fn seat_of(&self, person: &PersonId) -> Option<SeatNo> {
        let taken_by = |seat: &&Seat| seat.occupant.as_ref().is_some_and(|occupant| occupant.person == *person);
        self.seats.iter().find(taken_by).map(|seat| seat.number)
    }

    pub fn phase_of(&self, person: &PersonId) -> Option<(SeatNo, Phase)> {
        let seat = self.seat_of(person)?;
        self.seats[seat.index()].occupant.as_ref().map(|occupant| (seat, occupant.phase))
    }

    /// Returns everybody who has a seat or is invited to one.
    pub fn seated(&self) -> Vec<PersonId> {
        self.seats.iter().filter_map(|seat| seat.occupant.as_ref()).map(|occupant| occupant.person.clone()).collect()
    }

    /// Returns the participant whom a command names.
    pub fn resolve(&self, who: &Who) -> Result<PersonId, Refused> {
        match who {
            Who::Person(person) => Ok(person.clone()),
            Who::Host => self.host.person.clone().ok_or(Refused::NobodyHosts),
            Who::Seat(seat) => self.occupant(*seat)?.cloned().ok_or(Refused::SeatEmpty(*seat)),
        }
    }

    fn occupant(&self, number: SeatNo) -> Result<Option<&PersonId>, Refused> {
        self.check_seat(number)?;
        Ok(self.seats[number.index()].occupant.as_ref().map(|occupant| &occupant.person))
    }

    pub fn check_seat(&self, seat: SeatNo) -> Result<(), Refused> {
        let seats = self.settings.seats;
        if seat.index() < self.seats.len() { Ok(()) } else { Err(Refused::SeatUnknown { seat, seats }) }
    }

    pub fn set_phase(&mut self, seat: SeatNo, phase: Phase) {
        if let Some(occupant) = &mut self.seats[seat.index()].occupant {
            occupant.phase = phase;
        }
    }

    /// Checks that the seat takes somebody new.
    pub fn check_free(&self, number: SeatNo) -> Result<(), Refused> {
        match self.seats.get(number.index()) {
            None => Err(Refused::SeatUnknown { seat: number, seats: self.settings.seats }),
            Some(seat) if seat.locked => Err(Refused::SeatLocked(number)),
            Some(seat) if seat.occupant.is_some() => Err(Refused::SeatTaken(number)),
            Some(_) => Ok(()),
        }
    }

    /// Returns the seat `asked` for and no other. Without one, returns `wished` if it is free, or else the first free
    /// seat.
    pub fn choose_seat(&self, asked: Option<SeatNo>, wished: Option<SeatNo>) -> Result<SeatNo, Refused> {
        if let Some(asked) = asked {
            return self.check_free(asked).map(|()| asked);
        }
        let free = |number: &SeatNo| self.check_free(*number).is_ok();
        let first = || self.seats.iter().map(|seat| seat.number).find(free);
        wished.filter(free).or_else(first).ok_or(Refused::SeatsFull)
    }

    /// Gives a person the seat: tells everybody, and sends the ticket.
    pub fn grant_seat(&mut self, step: &mut Step, person: &PersonId, seat: SeatNo) {
        let wait = self.settings.timeouts.grant;
        let phase = Phase::Granted { until: step.now + wait };
        self.seats[seat.index()].occupant = Some(Occupant { person: person.clone(), phase });
        let view = self.seat_view(seat);
        self.emit(step, Event::MicGranted { seat: view });
        step.effects.push(Effect::Ticket(Ticket {
            room: self.name.clone(),
            person: person.clone(),
            seat: Some(seat),
            participant: person.participant(),
            expires_in: wait,
        }));
    }

    /// Takes a person off their seat, and their source out of the room.
    pub fn clear_seat(&mut self, step: &mut Step, person: &PersonId, reason: LeftReason, revoke: RevokeReason) {
        let Some((seat, phase)) = self.phase_of(person) else { return };
        if let Phase::Invited { .. } = phase {
            self.drop_invitation(step, person);
            return;
        }
        self.drop_source(step, &person.participant());
        step.revoke(&self.name, &person.participant(), revoke);
        let name = self.name_of(person);
        self.seats[seat.index()].occupant = None;
        let view = self.seat_view(seat);
        self.emit(step, Event::MicLeft { seat: view, person: person.clone(), name, reason });
        self.forget_if_gone(step, person);
    }

    pub fn leave_mic(&mut self, step: &mut Step, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        self.must_act_for(by, person)?;
        self.person(person)?;
        self.clear_seat(step, person, LeftReason::Left, RevokeReason::Left);
        Ok(())
    }

    pub fn clear_by(&mut self, step: &mut Step, by: &Actor, seat: SeatNo) -> Result<(), Refused> {
        let Some(person) = self.occupant(seat)?.cloned() else { return Ok(()) };
        if by.person.as_ref() == Some(&person) {
            self.leave_mic(step, by, &person)
        } else {
            self.remove(step, by, &person)
        }
    }

    pub fn remove(&mut self, step: &mut Step, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        self.must_direct(by)?;
        match self.phase_of(person) {
            Some((_, Phase::Invited { .. })) => self.drop_invitation(step, person),
            Some(_) => {
                self.cool_down(step, person);
                self.clear_seat(step, person, LeftReason::Removed, RevokeReason::Removed);
            }
            None if self.cool_downs.contains_key(person) => {}
            None => drop(self.person(person)?),
        }
        Ok(())
    }

    pub fn mute(
        &mut self,
        step: &mut Step,
        by: &Actor,
        person: &PersonId,
        audio: Option<bool>,
        video: Option<bool>,
    ) -> Result<(), Refused> {
        let own = by.person.as_ref() == Some(person);
        let is_host = self.is_host(person);
        if !own {
            self.must_direct(by)?;
        }
        if !is_host && self.seat_of(person).is_none() {
            return Err(Refused::NotOnMic(self.person(person)?.name.clone()));
        }
        let before = if is_host { self.host.muted } else { self.person(person).map(|_| self.muted(person))? };
        let lifts_hosts =
            (audio == Some(false) && before.audio_by_host) || (video == Some(false) && before.video_by_host);
        if own && !is_host && lifts_hosts {
            return Err(Refused::MutedByHost);
        }
        let after = if own || is_host { before.with_own(audio, video) } else { before.with_hosts(audio, video) };
        if after == before {
            return Ok(());
        }
        self.set_muted(person, after);
        if is_host {
            self.host.muted = after;
            let host = self.host_view();
            self.emit(step, Event::HostChanged { host });
        }
        if let Some(seat) = self.seat_of(person) {
            let view = self.seat_view(seat);
            self.emit(step, Event::SeatChanged { seat: view });
        }
        Ok(())
    }

    pub fn lock_seat(&mut self, step: &mut Step, by: &Actor, seat: SeatNo, locked: bool) -> Result<(), Refused> {
        self.must_direct(by)?;
        let seats = self.settings.seats;
        let place = self.seats.get_mut(seat.index()).ok_or(Refused::SeatUnknown { seat, seats })?;
        if place.locked != locked {
            place.locked = locked;
            let view = self.seat_view(seat);
            self.emit(step, Event::SeatChanged { seat: view });
        }
        Ok(())
    }

    pub fn move_to(&mut self, step: &mut Step, by: &Actor, person: &PersonId, to: SeatNo) -> Result<(), Refused> {
        self.must_direct(by)?;
        let Some(from) = self.seat_of(person) else {
            return Err(Refused::NotOnMic(self.person(person)?.name.clone()));
        };
        if from == to {
            return Ok(());
        }
        self.check_free(to)?;
        self.seats[to.index()].occupant = self.seats[from.index()].occupant.take();
        for seat in [from, to] {
            let view = self.seat_view(seat);
            self.emit(step, Event::SeatChanged { seat: view });
        }
        Ok(())
    }

    pub fn expire_seats(&mut self, step: &mut Step) {
        for person in self.seated() {
            let Some((_, phase)) = self.phase_of(&person) else { continue };
            if phase.until().is_none_or(|until| until > step.now) {
                continue;
            }
            match phase {
                Phase::Invited { .. } => self.drop_invitation(step, &person),
                Phase::Granted { .. } => {
                    self.back_to_queue(step, &person, "Nothing was published in time.", RevokeReason::Timeout);
                }
                Phase::Connecting { .. } => {
                    self.back_to_queue(
                        step,
                        &person,
                        "The connection did not come about in time.",
                        RevokeReason::Timeout,
                    );
                }
                Phase::Away { .. } => self.clear_seat(step, &person, LeftReason::Timeout, RevokeReason::Timeout),
                Phase::OnMic => {}
            }
        }
    }
}
