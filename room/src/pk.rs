//! A PK: two rooms whose programs show both hosts.
//!
//! Both rooms agree at any time: what one has proposed the other is offered, and a PK is on in both. A step that
//! changes one side changes the other as well. Each room keeps its seats, and watches its own host's source.

use std::time::{Duration, Instant};

use crate::command::Actor;
use crate::effect::Step;
use crate::event::{Event, PkEndReason};
use crate::refused::Refused;
use crate::room::Room;
use crate::rooms::Rooms;
use crate::view::{PkState, PkView};
use onmic_names::RoomName;

/// The time in which a room may propose [`PK_PROPOSALS_MAX`] PKs.
pub const PK_WINDOW: Duration = Duration::from_secs(60);
/// The most proposals of a room in [`PK_WINDOW`], whoever makes them. Each is told to everybody in two rooms.
pub const PK_PROPOSALS_MAX: usize = 5;
/// How long a room whose proposal came to nothing may not propose to the same room again.
const COOL_DOWN: Duration = Duration::from_secs(60);
/// The most rooms that may be cooling down for one room. Beyond it the first by name proposes again at once.
const COOL_DOWNS_MAX: usize = 1_000;

/// The PK of a room. A deadline is a moment, or in a snapshot the time that is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pk<T = Instant> {
    /// There is no PK.
    #[default]
    None,
    /// This room has proposed one.
    Proposed {
        /// The room that was asked.
        to: RoomName,
        /// Until when the proposal waits.
        until: T,
    },
    /// Another room has proposed one.
    Offered {
        /// The room that asks.
        from: RoomName,
        /// Until when the proposal waits.
        until: T,
    },
    /// Both programs show both hosts.
    On {
        /// The other room.
        with: RoomName,
        /// When the PK ends, while this room's host has no source.
        until: Option<T>,
    },
}

impl<T> Pk<T> {
    /// Returns the same PK with another kind of deadline.
    pub(crate) fn map<U>(&self, map: impl FnOnce(T) -> U) -> Pk<U>
    where
        T: Copy,
    {
        match self {
            Self::None => Pk::None,
            Self::Proposed { to, until } => Pk::Proposed { to: to.clone(), until: map(*until) },
            Self::Offered { from, until } => Pk::Offered { from: from.clone(), until: map(*until) },
            Self::On { with, until } => Pk::On { with: with.clone(), until: until.map(map) },
        }
    }
}

impl Pk {
    pub(crate) fn other(&self) -> Option<&RoomName> {
        match self {
            Self::None => None,
            Self::Proposed { to: other, .. } | Self::Offered { from: other, .. } | Self::On { with: other, .. } => {
                Some(other)
            }
        }
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Proposed { until, .. } | Self::Offered { until, .. } => Some(*until),
            Self::On { until, .. } => *until,
        }
    }

    fn state(&self) -> Option<PkState> {
        match self {
            Self::None => None,
            Self::Proposed { .. } => Some(PkState::Proposed),
            Self::Offered { .. } => Some(PkState::Offered),
            Self::On { .. } => Some(PkState::On),
        }
    }

    /// Returns the reason to end it once its deadline has passed.
    pub(crate) fn end_reason(&self) -> PkEndReason {
        if let Self::On { .. } = self { PkEndReason::HostGone } else { PkEndReason::Expired }
    }
}

impl Room {
    /// Starts the deadline of a PK when the host's source is down, and stops it when the source is up.
    pub fn settle_pk(&mut self, step: &Step) {
        let host_is_live = self.host_source().is_some();
        let wait = self.settings.timeouts.pk_away;
        if let Pk::On { until, .. } = &mut self.pk {
            *until = if host_is_live { None } else { until.or(Some(step.now + wait)) };
        }
    }

    /// Checks that this room may propose another PK now.
    fn check_pk_rate(&self, now: Instant) -> Result<(), Refused> {
        let recent = self.pk_proposed.iter().filter(|at| now.saturating_duration_since(**at) < PK_WINDOW);
        let mut recent = recent.rev();
        // The oldest of the last ones makes way first.
        match recent.nth(PK_PROPOSALS_MAX - 1) {
            Some(first) => Err(Refused::PkTooMany((*first + PK_WINDOW).saturating_duration_since(now))),
            None => Ok(()),
        }
    }

    fn note_pk_proposal(&mut self, now: Instant) {
        self.pk_proposed.retain(|at| now.saturating_duration_since(*at) < PK_WINDOW);
        self.pk_proposed.push_back(now);
    }

    /// Checks that `other` may propose a PK to this room now.
    fn check_pk_of(&self, now: Instant, other: &RoomName) -> Result<(), Refused> {
        match self.pk_refused.get(other).filter(|until| **until > now) {
            Some(until) => Err(Refused::PkCoolingDown(self.name.clone(), until.duration_since(now))),
            None => Ok(()),
        }
    }

    /// Notes that the proposal of another room has come to nothing, by whomever.
    fn cool_pk_down(&mut self, now: Instant, other: RoomName) {
        self.pk_refused.retain(|_, until| *until > now);
        if self.pk_refused.len() >= COOL_DOWNS_MAX {
            self.pk_refused.pop_first();
        }
        self.pk_refused.insert(other, now + COOL_DOWN);
    }
}

impl Rooms {
    pub(crate) fn pk_view(&self, room: &Room) -> Option<PkView> {
        let other = room.pk.other()?;
        let name = self.rooms.get(other).map(|other| other.host.name.clone()).unwrap_or_default();
        Some(PkView { state: room.pk.state()?, room: other.clone(), name, until: room.pk.until() })
    }

    fn emit_pk(&mut self, step: &mut Step, name: &RoomName, event: impl Fn(PkView) -> Event) {
        let Some(pk) = self.rooms.get(name).and_then(|room| self.pk_view(room)) else { return };
        if let Some(room) = self.rooms.get_mut(name) {
            room.emit(step, event(pk));
        }
    }

    /// Returns the room if `by` directs it.
    fn directed(&self, name: &RoomName, by: &Actor) -> Result<&Room, Refused> {
        let room = self.get(name)?;
        room.must_direct(by)?;
        Ok(room)
    }

    fn set_pk(&mut self, step: &mut Step, room: &RoomName, pk: Pk) {
        if let Some(room) = self.rooms.get_mut(room) {
            step.touched.insert(room.name.clone());
            room.pk = pk;
        }
    }

    pub(crate) fn propose_pk(
        &mut self,
        step: &mut Step,
        name: &RoomName,
        by: &Actor,
        other: &RoomName,
    ) -> Result<(), Refused> {
        let room = self.directed(name, by)?;
        if name == other {
            return Err(Refused::PkWithSelf);
        }
        let offered = match &room.pk {
            Pk::None => false,
            Pk::Offered { from, .. } if from == other => return self.accept_pk(step, name, by),
            // Whoever proposes to another refuses what they are offered, so no room keeps this one from others.
            Pk::Offered { .. } => true,
            pk if pk.other() == Some(other) => return Ok(()),
            _ => return Err(Refused::PkBusy(name.clone())),
        };
        let partner = self.get(other)?;
        partner.check_pk_of(step.now, name)?;
        if partner.pk != Pk::None {
            return Err(Refused::PkBusy(other.clone()));
        }
        if !partner.host_view().present {
            return Err(Refused::PkWithoutHost(other.clone()));
        }
        room.check_pk_rate(step.now)?;
        let until = step.now + room.settings.timeouts.pk_proposal;
        if offered {
            self.dissolve_pk(step, name, |pk| Event::PkRefused { pk });
        }
        self.rooms.get_mut(name).into_iter().for_each(|room| room.note_pk_proposal(step.now));
        self.set_pk(step, name, Pk::Proposed { to: other.clone(), until });
        self.set_pk(step, other, Pk::Offered { from: name.clone(), until });
        for side in [name, other] {
            self.emit_pk(step, side, |pk| Event::PkProposed { pk });
        }
        Ok(())
    }

    pub(crate) fn accept_pk(&mut self, step: &mut Step, name: &RoomName, by: &Actor) -> Result<(), Refused> {
        let room = self.directed(name, by)?;
        let other = match &room.pk {
            Pk::Offered { from, .. } => from.clone(),
            Pk::On { .. } => return Ok(()),
            Pk::None | Pk::Proposed { .. } => return Err(Refused::PkNotProposed),
        };
        self.set_pk(step, name, Pk::On { with: other.clone(), until: None });
        self.set_pk(step, &other, Pk::On { with: name.clone(), until: None });
        for side in [name, &other] {
            if let Some(room) = self.rooms.get_mut(side) {
                room.settle_pk(step);
            }
            self.emit_pk(step, side, |pk| Event::PkOn { pk });
        }
        Ok(())
    }

    pub(crate) fn refuse_pk(&mut self, step: &mut Step, name: &RoomName, by: &Actor) -> Result<(), Refused> {
        if let Pk::Offered { .. } = self.directed(name, by)?.pk {
            self.dissolve_pk(step, name, |pk| Event::PkRefused { pk });
        }
        Ok(())
    }

    pub(crate) fn end_pk(&mut self, step: &mut Step, name: &RoomName, by: &Actor) -> Result<(), Refused> {
        self.directed(name, by)?;
        self.break_pk(step, name, PkEndReason::Ended);
        Ok(())
    }

    /// Ends the PK or the proposal between this room and another, for both.
    pub(crate) fn break_pk(&mut self, step: &mut Step, name: &RoomName, reason: PkEndReason) {
        self.dissolve_pk(step, name, |pk| Event::PkEnded { pk, reason });
    }

    fn dissolve_pk(&mut self, step: &mut Step, name: &RoomName, event: impl Fn(PkView) -> Event) {
        let Some(pk) = self.rooms.get(name).map(|room| room.pk.clone()) else { return };
        let Some(other) = pk.other().cloned() else { return };
        // Its proposer waits before the next, whoever has ended it, so nobody is held or flooded by proposals.
        let proposal = match pk {
            Pk::Proposed { .. } => Some((name, &other)),
            Pk::Offered { .. } => Some((&other, name)),
            Pk::None | Pk::On { .. } => None,
        };
        if let Some((from, to)) = proposal
            && let Some(room) = self.rooms.get_mut(to)
        {
            room.cool_pk_down(step.now, from.clone());
        }
        for side in [name, &other] {
            self.emit_pk(step, side, &event); // The event holds the state that the PK had.
        }
        for side in [name, &other] {
            self.set_pk(step, side, Pk::None);
        }
    }
}
