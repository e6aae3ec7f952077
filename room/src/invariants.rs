//! The rules that hold after every step, whatever came in. Debug builds check them, and the simulation in any build.

use std::collections::BTreeSet;

use crate::host::Presence;
use crate::pk::Pk;
use crate::room::Room;
use crate::rooms::Rooms;
use crate::seat::{Muted, Phase};

/// Returns an error with this sentence, which says which rule is broken and where, unless the condition holds.
macro_rules! ensure {
    ($true:expr, $($sentence:tt)+) => {
        if !$true {
            return Err(format!($($sentence)+));
        }
    };
}

impl Rooms {
    /// Checks all rules. The error says which one is broken.
    pub fn check_invariants(&self) -> Result<(), String> {
        for (name, room) in &self.rooms {
            ensure!(*name == room.name, "room {name} is kept under another name");
            room.check_alone()?;
            self.check_pk(room)?;
            self.check_mix(room)?;
            let listed = room.deadline.is_none_or(|at| self.deadlines.contains(&(at, name.clone())));
            ensure!(listed, "the deadline of room {name} is not listed");
            ensure!(room.deadline == room.next_deadline(), "the deadline of room {name} is out of date");
        }
        let deadlines = self.rooms.values().filter(|room| room.deadline.is_some()).count();
        ensure!(deadlines == self.deadlines.len(), "{} deadlines for {deadlines} rooms", self.deadlines.len());
        Ok(())
    }

    pub(crate) fn assert_invariants(&self) {
        if cfg!(debug_assertions)
            && let Err(broken) = self.check_invariants()
        {
            debug_assert!(false, "invariant broken: {broken}");
        }
    }

    /// Both rooms of a PK agree on it.
    pub(crate) fn check_pk(&self, room: &Room) -> Result<(), String> {
        let name = &room.name;
        let Some(other) = room.pk.other() else { return Ok(()) };
        ensure!(other != name, "room {name} has a PK with itself");
        let Some(partner) = self.rooms.get(other) else {
            return Err(format!("room {name} has a PK with {other}, which is gone"));
        };
        let symmetric = match (&room.pk, &partner.pk) {
            (Pk::Proposed { until, .. }, Pk::Offered { from, until: theirs }) => from == name && until == theirs,
            (Pk::Offered { until, .. }, Pk::Proposed { to, until: theirs }) => to == name && until == theirs,
            (Pk::On { .. }, Pk::On { with, .. }) => with == name,
            _ => false,
        };
        ensure!(symmetric, "rooms {name} and {other} disagree: {:?} and {:?}", room.pk, partner.pk);
        Ok(())
    }

    /// A mix has only sources that are up, each of them once. Nothing muted is heard or shown. Each source but a host's
    /// is that of somebody on mic.
    pub(crate) fn check_mix(&self, room: &Room) -> Result<(), String> {
        let name = &room.name;
        let mut seen = BTreeSet::new();
        for source in &room.mix.sources {
            let who = format!("{}/{}", source.room, source.participant);
            ensure!(seen.insert((&source.room, &source.participant)), "{who} is twice in the mix of {name}");
            let own = source.room == *name;
            let partner = matches!(&room.pk, Pk::On { with, .. } if *with == source.room);
            ensure!(own || partner, "{who} is in the mix of {name}, which has no PK with it");
            let Some(home) = self.rooms.get(&source.room) else {
                return Err(format!("{who} is in the mix of {name}, but its room is gone"));
            };
            let Some(up) = home.sources.get(&source.participant) else {
                return Err(format!("{who} is in the mix of {name}, but not up"));
            };
            let is_host = home.host_source().as_ref() == Some(&source.participant);
            ensure!(own || is_host, "{who} is in the mix of {name} as a partner, but not its room's host");
            let muted = if is_host {
                home.host.muted
            } else {
                let person = source.participant.person();
                let on_mic = home.phase_of(&person).is_some_and(|(_, phase)| phase == Phase::OnMic);
                ensure!(on_mic, "{who} is in the mix of {name} without being on mic");
                home.muted(&person)
            };
            ensure!(
                !(source.hear && (muted.audio() || !up.audio)),
                "{who} is heard in {name} but muted or without audio"
            );
            ensure!(
                !(source.show && (muted.video() || !up.video)),
                "{who} is shown in {name} but muted or without video"
            );
        }
        let own = room.mix.sources.iter().filter(|source| source.room == *name).count();
        ensure!(own == room.sources.len(), "room {name} has {} sources up and {own} in its mix", room.sources.len());
        ensure!(room.mix.expects == room.expects(), "the mix of {name} expects someone: {}", room.mix.expects);
        Ok(())
    }
}

impl Room {
    /// Checks the rules that concern no other room.
    pub(crate) fn check_alone(&self) -> Result<(), String> {
        self.check_people()?;
        self.check_sources()?;
        self.check_deadlines()
    }

    /// A seat has one person, and a person one seat. Nobody who is seated, asks or is invited has left.
    fn check_people(&self) -> Result<(), String> {
        let name = &self.name;
        ensure!(self.seats.len() == usize::from(self.settings.seats), "room {name} has seats it is not set to have");
        let mut seated = BTreeSet::new();
        for (index, seat) in self.seats.iter().enumerate() {
            ensure!(seat.number.index() == index, "seat {} of {name} is not in its place", seat.number);
            let Some(occupant) = &seat.occupant else { continue };
            let id = &occupant.person;
            ensure!(seated.insert(id), "{id} has two seats in {name}");
            ensure!(!id.participant().is_host(), "the seat of {id} in {name} would publish as the host");
            let Some(person) = self.persons.get(id) else {
                return Err(format!("{id} is on seat {} of {name}, but has left", seat.number));
            };
            let invited = matches!(occupant.phase, Phase::Invited { .. });
            ensure!(person.is_present() || !invited, "{id} is invited in {name}, but not there");
            let reserved =
                matches!(occupant.phase, Phase::Invited { .. } | Phase::Granted { .. } | Phase::Connecting { .. });
            ensure!(!(reserved && self.is_host(id)), "a seat of {name} is kept for {id}, its host");
        }
        let mut asking = BTreeSet::new();
        for request in &self.requests {
            let id = &request.person;
            ensure!(asking.insert(id), "{id} asks twice in {name}");
            ensure!(!seated.contains(id), "{id} asks in {name}, but has a seat");
            ensure!(!self.is_host(id), "{id} asks in {name}, but is the host");
            let present = self.persons.get(id).is_some_and(|person| person.is_present());
            ensure!(present, "{id} asks in {name}, but is not there");
        }
        for (id, person) in &self.persons {
            ensure!(!(person.connected && person.leaves.is_some()), "{id} in {name} is connected and leaving");
            ensure!(person.is_present() || seated.contains(id), "{id} in {name} is neither there nor on a seat");
            let listed = person.leaves.is_none_or(|until| self.leaving.contains(&(until, id.clone())));
            ensure!(listed, "{id} leaves {name}, but is not listed");
        }
        for (id, muted) in &self.mutes {
            let is_there = self.persons.contains_key(id);
            let holds = is_there || *muted == muted.by_host();
            ensure!(holds && *muted != Muted::default(), "{id} in {name} is muted: {muted:?}, there: {is_there}");
        }
        let leaving = self.persons.values().filter(|person| person.leaves.is_some()).count();
        ensure!(leaving == self.leaving.len(), "{} leave {name}, {leaving} should", self.leaving.len());
        Ok(())
    }

    /// The source of everybody on mic is up, and every source that is up is that of somebody on mic or of the host.
    fn check_sources(&self) -> Result<(), String> {
        let name = &self.name;
        for participant in self.sources.keys().filter(|participant| !participant.is_host()) {
            let phase = self.phase_of(&participant.person()).map(|(_, phase)| phase);
            ensure!(phase == Some(Phase::OnMic), "source {participant} of {name} is up, its seat {phase:?}");
        }
        for seat in &self.seats {
            let Some(occupant) = &seat.occupant else { continue };
            let up = self.sources.contains_key(&occupant.person.participant());
            ensure!(up == (occupant.phase == Phase::OnMic), "{} in {name} is {:?}", occupant.person, occupant.phase);
        }
        Ok(())
    }

    /// Everything that waits has a deadline.
    fn check_deadlines(&self) -> Result<(), String> {
        let name = &self.name;
        let lonely = !self.kept && self.is_empty();
        ensure!(lonely == self.empty_until.is_some(), "room {name} is empty: {lonely}, ends: {:?}", self.empty_until);
        let host_waits = matches!(self.host.presence, Presence::Lost { .. } | Presence::Away { .. });
        let connected = self.host.person.as_ref().and_then(|id| self.persons.get(id)).is_some_and(|p| p.connected);
        let there = connected || self.host_source().is_some();
        let exists = self.host.presence != Presence::None;
        ensure!(there != host_waits || !exists, "the host of {name} is {:?}, there: {there}", self.host.presence);
        ensure!(exists || !there, "room {name} has no host, but one is there");
        if let Pk::On { until, .. } = &self.pk {
            let live = self.host_source().is_some();
            ensure!(live == until.is_none(), "the PK of {name} has a live host: {live}, ends: {until:?}");
        }
        Ok(())
    }
}
