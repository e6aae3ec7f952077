//! The host of a room, who directs it and publishes as `host`.
//!
//! The host is there while the person is connected or the source is up, so an encoder alone is a host without a person.
//! A host who goes is lost (the grace for a reconnect, of which nobody is told), then away (everybody is told), and
//! then the room has no host.

use std::time::Instant;

use crate::command::{Actor, Authority};
use crate::effect::{Effect, RevokeReason, Step, Ticket};
use crate::event::{Event, LeftReason};
use crate::refused::Refused;
use crate::room::Room;
use crate::seat::{Muted, Phase};
use crate::settings::HostLeaves;
use crate::view::HostView;
use onmic_names::{ParticipantName, PersonId};

#[derive(Debug, Default)]
pub(crate) struct Host {
    pub person: Option<PersonId>,
    pub name: String,
    pub presence: Presence,
    pub muted: Muted,
}

/// Whether the host is there. A deadline is a moment, or in a snapshot the time that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence<T = Instant> {
    /// There is no host.
    #[default]
    None,
    /// The host is connected, or publishes.
    There,
    /// The host went, and nobody is told yet.
    Lost {
        /// Until when the host may come back unnoticed.
        until: T,
    },
    /// Everybody knows that the host is away.
    Away {
        /// Until when the room waits.
        until: T,
    },
}

impl<T> Presence<T> {
    /// Returns the same presence with another kind of deadline.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Presence<U> {
        match self {
            Self::None => Presence::None,
            Self::There => Presence::There,
            Self::Lost { until } => Presence::Lost { until: map(until) },
            Self::Away { until } => Presence::Away { until: map(until) },
        }
    }
}

impl Presence {
    pub(crate) fn until(self) -> Option<Instant> {
        match self {
            Self::None | Self::There => None,
            Self::Lost { until } | Self::Away { until } => Some(until),
        }
    }
}

impl Room {
    pub fn host_view(&self) -> HostView {
        let away_until = match self.host.presence {
            Presence::Away { until } => Some(until),
            _ => None,
        };
        HostView {
            person: self.host.person.clone(),
            name: self.host.name.clone(),
            present: matches!(self.host.presence, Presence::There | Presence::Lost { .. }),
            away_until,
            muted_by: self.host.muted.view(),
        }
    }

    pub fn is_host(&self, person: &PersonId) -> bool {
        self.host.person.as_ref() == Some(person)
    }

    /// Whether `by` may direct the room. A token of the role `host` is not enough while somebody else is the host.
    pub fn directs(&self, by: &Actor) -> bool {
        match (by.authority, &by.person) {
            (Authority::Admin, _) | (Authority::Host, None) => true,
            (Authority::Host, Some(_)) if self.host.person.is_none() => true,
            (_, Some(person)) => self.is_host(person),
            (_, None) => false,
        }
    }

    pub fn must_direct(&self, by: &Actor) -> Result<(), Refused> {
        if self.directs(by) { Ok(()) } else { Err(Refused::NotHost) }
    }

    pub fn must_act_for(&self, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        if by.person.as_ref() == Some(person) || self.directs(by) { Ok(()) } else { Err(Refused::NotYours) }
    }

    /// Returns the name under which the host publishes now: `host`, or that of their seat if they got the room while on
    /// it.
    pub fn host_source(&self) -> Option<ParticipantName> {
        let host = ParticipantName::host();
        if self.sources.contains_key(&host) {
            return Some(host);
        }
        let seated = self.host.person.as_ref()?.participant();
        self.sources.contains_key(&seated).then_some(seated)
    }

    fn host_is_there(&self) -> bool {
        let connected = self.host.person.as_ref().and_then(|id| self.persons.get(id)).is_some_and(|p| p.connected);
        connected || self.host_source().is_some()
    }

    /// Whether `person` may become the host: there is none, only an encoder without a person, or one who is not there.
    pub fn host_is_vacant_for(&self, person: &PersonId) -> bool {
        !self.is_host(person) && (self.host.person.is_none() || !self.host_is_there())
    }

    /// Whether `person` may publish as the host: they are, or may become it.
    pub fn may_be_host(&self, person: &PersonId) -> bool {
        self.is_host(person) || self.host_is_vacant_for(person)
    }

    pub fn become_host(&mut self, step: &mut Step, person: &PersonId) {
        self.drop_request(step, person);
        self.drop_invitation(step, person);
        let name = self.persons.get(person).map(|person| person.name.clone()).unwrap_or_default();
        let before = self.muted(person);
        let muted = before.own(); // Nobody else mutes the host.
        self.set_muted(person, muted);
        self.host = Host { person: Some(person.clone()), name, presence: Presence::There, muted };
        let host = self.host_view();
        self.emit(step, Event::HostChanged { host });
        // A person who is live on a seat stays there until `host` is up, so that their video does not stop.
        let live = matches!(self.phase_of(person), None | Some((_, Phase::OnMic | Phase::Away { .. })));
        if !live || self.sources.contains_key(&ParticipantName::host()) {
            self.clear_seat(step, person, LeftReason::HandedOver, RevokeReason::HandedOver);
        } else if let Some(seat) = self.seat_of(person)
            && muted != before
        {
            let seat = self.seat_view(seat);
            self.emit(step, Event::SeatChanged { seat });
        }
    }

    /// Makes `person` the host. The former host's publisher is revoked. A new host on a seat stays on it until `host`
    /// is up.
    pub fn hand_over(&mut self, step: &mut Step, by: &Actor, person: &PersonId) -> Result<(), Refused> {
        if self.is_host(person) {
            return Ok(()); // The former host, whose answer was lost, asks again although they direct no longer.
        }
        self.must_direct(by)?;
        let heir = self.person(person)?;
        if !heir.connected && !self.sources.contains_key(&person.participant()) {
            return Err(Refused::PersonAbsent(heir.name.clone()));
        }
        self.drop_source(step, &ParticipantName::host());
        step.revoke(&self.name, &ParticipantName::host(), RevokeReason::HandedOver);
        let former = self.host.person.clone();
        self.become_host(step, person);
        if let Some(former) = former {
            self.forget_if_gone(step, &former);
        }
        step.effects.push(Effect::Ticket(Ticket {
            room: self.name.clone(),
            person: person.clone(),
            seat: None,
            participant: ParticipantName::host(),
            expires_in: self.settings.timeouts.grant,
        }));
        Ok(())
    }

    pub fn settle_host(&mut self, step: &mut Step) {
        let there = self.host_is_there();
        match self.host.presence {
            Presence::None if there => {
                self.host.presence = Presence::There;
                let host = self.host_view();
                self.emit(step, Event::HostChanged { host });
            }
            Presence::Lost { .. } if there => self.host.presence = Presence::There,
            Presence::Away { .. } if there => {
                self.host.presence = Presence::There;
                let host = self.host_view();
                self.emit(step, Event::HostBack { host });
            }
            Presence::There if !there => {
                self.host.presence = Presence::Lost { until: step.now + self.settings.timeouts.presence };
            }
            _ => {}
        }
    }

    /// Lets a deadline of the host pass. Returns whether the room has to end.
    pub fn expire_host(&mut self, step: &mut Step) -> bool {
        match self.host.presence {
            Presence::Lost { until } if until <= step.now => {
                self.host.presence = Presence::Away { until: step.now + self.settings.timeouts.host_away };
                let host = self.host_view();
                self.emit(step, Event::HostAway { host });
                false
            }
            Presence::Away { until } if until <= step.now => {
                self.host = Host::default();
                let host = self.host_view();
                self.emit(step, Event::HostChanged { host });
                match self.settings.host_leaves {
                    HostLeaves::Keep => false,
                    HostLeaves::End => true,
                    HostLeaves::EmptySeats => {
                        for person in self.seated() {
                            self.clear_seat(step, &person, LeftReason::HostLeft, RevokeReason::HostLeft);
                        }
                        false
                    }
                }
            }
            _ => false,
        }
    }
}
