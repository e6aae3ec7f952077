//! A request for the mic. It waits in the room's queue for the host's answer, and expires without one.
//!
//! A person whose granted seat did not work out goes back to the front of the queue, with the reason.

use std::time::Instant;

use crate::command::Actor;
use crate::effect::{RevokeReason, Step};
use crate::event::Event;
use crate::refused::Refused;
use crate::room::Room;
use crate::seat::Phase;
use crate::settings::Limits;
use crate::view::RequestView;
use onmic_names::{PersonId, SeatNo, may_be_shown};

/// The longest reason of a failure, in characters, which is enough for a sentence.
const REASON_MAX: usize = 200;
/// The most people of one room who may be cooling down. Beyond it the first by name asks again at once.
const COOL_DOWNS_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Request {
    pub person: PersonId,
    /// The seat that the person asks for.
    pub seat: Option<SeatNo>,
    pub since: Instant,
    pub until: Instant,
    pub failed: Option<String>,
}

impl Room {
    pub fn request_view(&self, request: &Request) -> RequestView {
        RequestView {
            person: request.person.clone(),
            name: self.name_of(&request.person),
            seat: request.seat,
            since: request.since,
            expires: request.until,
            failed: request.failed.clone(),
        }
    }

    fn take_request(&mut self, person: &PersonId) -> Option<Request> {
        let index = self.requests.iter().position(|request| request.person == *person)?;
        self.requests.remove(index)
    }

    pub fn has_request(&self, person: &PersonId) -> bool {
        self.requests.iter().any(|request| request.person == *person)
    }

    /// Checks that this person may have a seat at all.
    pub fn check_may_sit(&self, person: &PersonId) -> Result<(), Refused> {
        self.person(person)?;
        if self.is_host(person) {
            return Err(Refused::HostNeedsNoSeat);
        }
        if person.participant().is_host() { Err(Refused::NameReserved) } else { Ok(()) }
    }

    pub fn request_mic(
        &mut self,
        step: &mut Step,
        limits: &Limits,
        by: &Actor,
        person: &PersonId,
        seat: Option<SeatNo>,
    ) -> Result<(), Refused> {
        self.must_act_for(by, person)?;
        self.check_may_sit(person)?;
        if let Some((_, phase)) = self.phase_of(person) {
            // The host and the person both want it, so it is granted.
            return if let Phase::Invited { .. } = phase { self.accept(step, by, person) } else { Ok(()) };
        }
        if self.has_request(person) {
            return Ok(());
        }
        if let Some(wait) = self.cooling_down(step.now, person) {
            return Err(Refused::CoolingDown(wait));
        }
        if self.settings.locked {
            return Err(Refused::RoomLocked);
        }
        if let Some(seat) = seat {
            self.check_free(seat)?;
        }
        let limit = Limits::open_to(by.authority, limits.requests);
        if self.requests.len() >= limit {
            return Err(Refused::RequestsFull(limit));
        }
        let until = step.now + self.settings.timeouts.request;
        let request = Request { person: person.clone(), seat, since: step.now, until, failed: None };
        let view = self.request_view(&request);
        self.requests.push_back(request);
        self.emit(step, Event::MicRequested { request: view });
        Ok(())
    }

    pub fn withdraw(&mut self, step: &mut Step, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        self.must_act_for(by, person)?;
        self.person(person)?;
        self.drop_request(step, person);
        Ok(())
    }

    /// Withdraws the request if there is one.
    pub fn drop_request(&mut self, step: &mut Step, person: &PersonId) {
        if let Some(request) = self.take_request(person) {
            let view = self.request_view(&request);
            self.emit(step, Event::MicWithdrawn { request: view });
        }
    }

    pub fn grant(
        &mut self,
        step: &mut Step,
        by: &Actor,
        person: &PersonId,
        seat: Option<SeatNo>,
    ) -> Result<(), Refused> {
        self.must_direct(by)?;
        self.person(person)?;
        if let Some(at) = self.seat_of(person) {
            return self.check_same_seat(person, at, seat);
        }
        let Some(request) = self.requests.iter().find(|request| request.person == *person) else {
            return Err(Refused::NotRequested(self.name_of(person)));
        };
        let seat = self.choose_seat(seat, request.seat)?;
        self.take_request(person);
        self.forgive(person);
        self.grant_seat(step, person, seat);
        Ok(())
    }

    /// Accepts a repeated grant or invitation, unless it names another seat than the person has.
    pub fn check_same_seat(&self, person: &PersonId, at: SeatNo, asked: Option<SeatNo>) -> Result<(), Refused> {
        if asked.is_none_or(|asked| asked == at) {
            return Ok(());
        }
        Err(Refused::OnAnotherSeat { name: self.name_of(person), seat: at })
    }

    /// Ends the person's mutes and cool-down, because the host wants them on mic.
    pub fn forgive(&mut self, person: &PersonId) {
        self.cool_downs.remove(person);
        self.mutes.remove(person);
    }

    pub fn refuse(&mut self, step: &mut Step, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        self.must_direct(by)?;
        self.person(person)?;
        if let Some(request) = self.take_request(person) {
            let view = self.request_view(&request);
            self.emit(step, Event::MicRefused { request: view });
        }
        Ok(())
    }

    pub fn connect_failed(
        &mut self,
        step: &mut Step,
        by: &Actor,
        person: &PersonId,
        reason: &str,
    ) -> Result<(), Refused> {
        self.must_act_for(by, person)?;
        self.person(person)?;
        if let Some((_, Phase::Granted { .. } | Phase::Connecting { .. })) = self.phase_of(person) {
            self.back_to_queue(step, person, reason, RevokeReason::Failed);
        }
        Ok(())
    }

    /// Frees a granted seat and puts the person at the front of the queue, unless they have gone.
    pub fn back_to_queue(&mut self, step: &mut Step, person: &PersonId, reason: &str, revoke: RevokeReason) {
        let Some(seat) = self.seat_of(person) else { return };
        self.seats[seat.index()].occupant = None;
        step.revoke(&self.name, &person.participant(), revoke);
        let reason: String = reason.chars().filter(|c| may_be_shown(*c)).take(REASON_MAX).collect();
        let until = step.now + self.settings.timeouts.request;
        let present = self.persons.get(person).is_some_and(|person| person.is_present());
        let mut request = None;
        if present && !self.is_host(person) {
            let again =
                Request { person: person.clone(), seat: None, since: step.now, until, failed: Some(reason.clone()) };
            request = Some(self.request_view(&again));
            self.requests.push_front(again); // The queue exceeds its limit by no more than the number of seats.
        }
        let (view, name) = (self.seat_view(seat), self.name_of(person));
        self.emit(step, Event::MicFailed { seat: view, person: person.clone(), name, request, reason });
        self.forget_if_gone(step, person);
    }

    pub fn expire_requests(&mut self, step: &mut Step) {
        while let Some(index) = self.requests.iter().position(|request| request.until <= step.now)
            && let Some(request) = self.requests.remove(index)
        {
            let view = self.request_view(&request);
            self.emit(step, Event::MicExpired { request: view });
        }
    }

    pub fn cooling_down(&self, now: Instant, person: &PersonId) -> Option<std::time::Duration> {
        self.cool_downs.get(person).filter(|until| **until > now).map(|until| until.duration_since(now))
    }

    /// Starts a cool-down. It outlives the person's presence, so leaving and coming back does not shorten it.
    pub fn cool_down(&mut self, step: &Step, person: &PersonId) {
        self.cool_downs.retain(|_, until| *until > step.now);
        if self.cool_downs.len() >= COOL_DOWNS_MAX {
            self.cool_downs.pop_first();
        }
        self.cool_downs.insert(person.clone(), step.now + self.settings.timeouts.cool_down);
    }
}
