//! An invitation: a seat that is reserved for somebody who has not accepted yet.

use crate::command::Actor;
use crate::effect::Step;
use crate::event::Event;
use crate::refused::Refused;
use crate::room::Room;
use crate::seat::{Occupant, Phase};
use crate::view::InvitationView;
use onmic_names::{PersonId, SeatNo};

impl Room {
    fn invitation_of(&self, person: &PersonId) -> Option<InvitationView> {
        let (seat, phase) = self.phase_of(person)?;
        let Phase::Invited { until } = phase else { return None };
        Some(InvitationView { person: person.clone(), name: self.name_of(person), seat, expires: until })
    }

    pub fn invitation_views(&self) -> Vec<InvitationView> {
        self.seated().iter().filter_map(|person| self.invitation_of(person)).collect()
    }

    pub fn invite(
        &mut self,
        step: &mut Step,
        by: &Actor,
        person: &PersonId,
        seat: Option<SeatNo>,
    ) -> Result<(), Refused> {
        self.must_direct(by)?;
        self.check_may_sit(person)?;
        if let Some(at) = self.seat_of(person) {
            return self.check_same_seat(person, at, seat);
        }
        if self.has_request(person) {
            return self.grant(step, by, person, seat);
        }
        let seat = self.choose_seat(seat, None)?;
        let phase = Phase::Invited { until: step.now + self.settings.timeouts.invitation };
        self.forgive(person);
        self.seats[seat.index()].occupant = Some(Occupant { person: person.clone(), phase });
        if let Some(invitation) = self.invitation_of(person) {
            let seat = self.seat_view(seat);
            self.emit(step, Event::Invited { invitation, seat });
        }
        Ok(())
    }

    pub fn accept(&mut self, step: &mut Step, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        self.must_act_for(by, person)?;
        self.person(person)?;
        match self.phase_of(person) {
            // The host has locked it since.
            Some((seat, Phase::Invited { .. })) if self.seats[seat.index()].locked => Err(Refused::SeatLocked(seat)),
            Some((seat, Phase::Invited { .. })) => {
                self.grant_seat(step, person, seat);
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(Refused::NotInvited),
        }
    }

    pub fn decline(&mut self, step: &mut Step, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        self.must_act_for(by, person)?;
        self.person(person)?;
        if let Some(invitation) = self.take_invitation(person) {
            let seat = self.seat_view(invitation.seat);
            self.emit(step, Event::InvitationDeclined { invitation, seat });
            self.forget_if_gone(step, person);
        }
        Ok(())
    }

    fn take_invitation(&mut self, person: &PersonId) -> Option<InvitationView> {
        let invitation = self.invitation_of(person)?;
        self.seats[invitation.seat.index()].occupant = None;
        Some(invitation)
    }

    /// Takes the offer back if there is one: it was not answered in time, the host took it back, or the person is gone.
    pub fn drop_invitation(&mut self, step: &mut Step, person: &PersonId) {
        if let Some(invitation) = self.take_invitation(person) {
            let seat = self.seat_view(invitation.seat);
            self.emit(step, Event::InvitationExpired { invitation, seat });
            self.forget_if_gone(step, person);
        }
    }
}
