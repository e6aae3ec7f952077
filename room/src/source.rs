//! The sources of participants: which are up, and what their coming and going means for seats.
//!
//! Only the host's source and those of people on a seat are kept. Any other publisher is revoked at once.

use crate::command::Authority;
use crate::effect::{RevokeReason, Step};
use crate::event::{Event, LeftReason};
use crate::host::{Host, Presence};
use crate::person::Person;
use crate::room::Room;
use crate::seat::{Occupant, Phase};
use crate::settings::Limits;
use crate::view::SourceView;
use onmic_names::{ParticipantName, PersonId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub video: bool,
    pub audio: bool,
}

impl Room {
    pub fn source_view(participant: &ParticipantName, source: Option<&Source>) -> SourceView {
        SourceView {
            participant: participant.clone(),
            up: source.is_some(),
            video: source.is_some_and(|source| source.video),
            audio: source.is_some_and(|source| source.audio),
        }
    }

    pub fn source_connecting(&mut self, step: &mut Step, participant: &ParticipantName) {
        let person = participant.person();
        let Some((seat, Phase::Granted { .. })) = self.phase_of(&person) else { return };
        self.set_phase(seat, Phase::Connecting { until: step.now + self.settings.timeouts.connect });
        let seat = self.seat_view(seat);
        self.emit(step, Event::MicConnecting { seat });
    }

    pub fn source_up(
        &mut self,
        step: &mut Step,
        limits: &Limits,
        participant: &ParticipantName,
        person: Option<&PersonId>,
        source: Source,
    ) {
        let admitted = if participant.is_host() {
            self.admit_host(step, person)
        } else {
            self.admit_participant(step, limits, participant)
        };
        match admitted {
            Ok(()) => self.set_source(step, participant, source),
            Err(reason) => {
                self.drop_source(step, participant);
                step.revoke(&self.name, participant, reason);
            }
        }
    }

    fn admit_host(&mut self, step: &mut Step, person: Option<&PersonId>) -> Result<(), RevokeReason> {
        let Some(person) = person else { return Ok(()) };
        if self.is_host(person) {
            return Ok(());
        }
        if !self.may_be_host(person) {
            return Err(RevokeReason::NotHost);
        }
        if self.persons.contains_key(person) {
            self.become_host(step, person);
        } else if self.host.person.is_some() {
            // An encoder whose person is not here is a host without a person.
            self.host = Host { presence: Presence::There, ..Host::default() };
            let host = self.host_view();
            self.emit(step, Event::HostChanged { host });
        }
        Ok(())
    }

    fn admit_participant(
        &mut self,
        step: &mut Step,
        limits: &Limits,
        participant: &ParticipantName,
    ) -> Result<(), RevokeReason> {
        let person = participant.person();
        match self.phase_of(&person) {
            Some((seat, Phase::Invited { .. })) if self.seats[seat.index()].locked => Err(RevokeReason::NotSeated),
            // To publish accepts an invitation.
            Some((seat, phase)) => {
                if phase != Phase::OnMic {
                    self.set_phase(seat, Phase::OnMic);
                }
                Ok(())
            }
            None => self.take_open_seat(step, limits, person),
        }
    }

    fn take_open_seat(&mut self, step: &mut Step, limits: &Limits, person: PersonId) -> Result<(), RevokeReason> {
        if self.is_host(&person) {
            return Err(RevokeReason::IsHost);
        }
        if self.cooling_down(step.now, &person).is_some() {
            return Err(RevokeReason::CoolingDown);
        }
        if !self.settings.open_seats {
            return Err(RevokeReason::NotSeated);
        }
        if self.settings.locked {
            return Err(RevokeReason::RoomLocked);
        }
        self.check_join(limits, &person, Authority::CoHost).map_err(|_| RevokeReason::PersonsFull)?;
        let seat = self.choose_seat(None, None).map_err(|_| RevokeReason::SeatsFull)?;
        if !self.persons.contains_key(&person) {
            let encoder = Person::encoder(person.to_string());
            let view = self.person_view(&person, &encoder);
            self.persons.insert(person.clone(), encoder);
            self.emit(step, Event::PersonJoined { person: view });
        }
        self.requests.retain(|request| request.person != person); // `mic-on` tells everybody.
        self.seats[seat.index()].occupant = Some(Occupant { person, phase: Phase::OnMic });
        Ok(())
    }

    fn set_source(&mut self, step: &mut Step, participant: &ParticipantName, source: Source) {
        let before = self.sources.insert(participant.clone(), source);
        if before == Some(source) {
            return;
        }
        let view = Self::source_view(participant, Some(&source));
        self.emit(step, Event::SourceUp { source: view });
        if participant.is_host() {
            // A host who got the room while on a seat now publishes as `host`.
            if let Some(host) = self.host.person.clone() {
                self.clear_seat(step, &host, LeftReason::HandedOver, RevokeReason::HandedOver);
            }
        } else if let Some(seat) = self.seat_of(&participant.person()) {
            let seat = self.seat_view(seat);
            let event = if before.is_none() { Event::MicOn { seat } } else { Event::SeatChanged { seat } };
            self.emit(step, event);
        }
    }

    pub fn source_changed(&mut self, step: &mut Step, participant: &ParticipantName, source: Source) {
        if self.sources.contains_key(participant) {
            self.set_source(step, participant, source);
        }
    }

    pub fn source_down(&mut self, step: &mut Step, participant: &ParticipantName) {
        if !self.drop_source(step, participant) {
            return;
        }
        if let Some((seat, Phase::OnMic)) = self.phase_of(&participant.person()) {
            self.set_phase(seat, Phase::Away { until: step.now + self.settings.timeouts.away });
            let seat = self.seat_view(seat);
            self.emit(step, Event::MicAway { seat });
        }
    }

    /// Takes a source out of the room. Returns whether it was up.
    pub fn drop_source(&mut self, step: &mut Step, participant: &ParticipantName) -> bool {
        let was_up = self.sources.remove(participant).is_some();
        if was_up {
            let source = Self::source_view(participant, None);
            self.emit(step, Event::SourceDown { source });
        }
        was_up
    }
}
