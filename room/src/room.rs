//! One room: everything it holds, and what follows from that. The transitions are in the files of their nouns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use crate::command::Actor;
use crate::effect::{Effect, Step};
use crate::event::Event;
use crate::host::Host;
use crate::mix::MixSource;
use crate::person::Person;
use crate::pk::Pk;
use crate::refused::Refused;
use crate::request::Request;
use crate::seat::{Muted, Phase, Seat};
use crate::settings::Settings;
use crate::source::Source;
use crate::{Mix, RoomView};
use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

#[derive(Debug)]
pub(crate) struct Room {
    pub name: RoomName,
    pub settings: Settings,
    pub kept: bool,
    /// The number of the last event.
    pub number: u64,
    pub host: Host,
    pub persons: BTreeMap<PersonId, Person>,
    /// What is muted, of the persons of whom something is. It is not kept on the seat, so that somebody who comes back by an open
    /// seat stays muted. Of those who have left it has what the host has muted.
    pub mutes: BTreeMap<PersonId, Muted>,
    /// The persons who are not connected, by when they leave.
    pub leaving: BTreeSet<(Instant, PersonId)>,
    pub requests: VecDeque<Request>,
    pub seats: Vec<Seat>,
    /// The sources that are up.
    pub sources: BTreeMap<ParticipantName, Source>,
    pub cool_downs: BTreeMap<PersonId, Instant>,
    pub pk: Pk,
    /// When this room has proposed a PK within [`crate::pk::PK_WINDOW`], the oldest first.
    pub pk_proposed: VecDeque<Instant>,
    /// The rooms whose proposal came to nothing, and until when they may not propose again to this one.
    pub pk_refused: BTreeMap<RoomName, Instant>,
    /// When the room ends, while nobody is in it and nobody asked for it to be kept.
    pub empty_until: Option<Instant>,
    /// The mix that the last effect gave out.
    pub mix: Mix,
    /// The deadline under which the list of deadlines has this room.
    pub deadline: Option<Instant>,
}

/// The deadlines that have passed and that a room cannot act on alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub pk: bool,
    pub host_left: bool,
    pub empty: bool,
}

impl Room {
    pub fn new(name: RoomName, settings: Settings, kept: bool, number: u64) -> Self {
        let seats =
            SeatNo::first(settings.seats).map(|number| Seat { number, locked: false, occupant: None }).collect();
        Self {
            name,
            settings,
            kept,
            number,
            host: Host::default(),
            persons: BTreeMap::new(),
            mutes: BTreeMap::new(),
            leaving: BTreeSet::new(),
            requests: VecDeque::new(),
            seats,
            sources: BTreeMap::new(),
            cool_downs: BTreeMap::new(),
            pk: Pk::None,
            pk_proposed: VecDeque::new(),
            pk_refused: BTreeMap::new(),
            empty_until: None,
            mix: Mix::default(),
            deadline: None,
        }
    }

    pub fn emit(&mut self, step: &mut Step, event: Event) {
        self.number += 1;
        step.effects.push(Effect::Event { room: self.name.clone(), number: self.number, event });
    }

    pub fn configure(&mut self, step: &mut Step, by: &Actor, settings: Settings) -> Result<(), Refused> {
        self.must_direct(by)?;
        settings.check()?;
        let wanted = usize::from(settings.seats);
        if let Some(taken) = self.seats.iter().skip(wanted).find(|seat| seat.occupant.is_some()) {
            return Err(Refused::SeatInUse(taken.number));
        }
        if settings == self.settings {
            return Ok(());
        }
        self.seats.truncate(wanted);
        let more = SeatNo::first(settings.seats).skip(self.seats.len());
        self.seats.extend(more.map(|number| Seat { number, locked: false, occupant: None }));
        for request in &mut self.requests {
            request.seat = request.seat.filter(|seat| seat.index() < wanted);
        }
        self.settings = settings;
        self.emit_configured(step);
        Ok(())
    }

    pub fn emit_configured(&mut self, step: &mut Step) {
        let (settings, kept, seats) = (self.settings.clone(), self.kept, self.seat_views());
        self.emit(step, Event::RoomConfigured { settings, kept, seats });
    }

    pub fn is_empty(&self) -> bool {
        self.persons.is_empty() && self.sources.is_empty()
    }

    /// Brings the host, the PK and the end of an empty room in line with who is there now.
    pub fn settle(&mut self, step: &mut Step) {
        self.settle_host(step);
        self.settle_pk(step);
        let wait = self.settings.timeouts.empty;
        self.empty_until =
            if self.kept || !self.is_empty() { None } else { self.empty_until.or(Some(step.now + wait)) };
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let seats = self.seats.iter().filter_map(|seat| seat.occupant.as_ref()).filter_map(|o| o.phase.until());
        let requests = self.requests.iter().map(|request| request.until);
        let one_each = [
            self.host.presence.until(),
            self.leaving.first().map(|(until, _)| *until),
            self.pk.until(),
            self.empty_until,
        ];
        one_each.into_iter().flatten().chain(seats).chain(requests).min()
    }

    pub fn expire(&mut self, step: &mut Step) -> Due {
        let past = |until: Option<Instant>| until.is_some_and(|until| until <= step.now);
        let pk = past(self.pk.until());
        let empty = past(self.empty_until);
        self.expire_presence(step);
        self.expire_seats(step);
        self.expire_requests(step);
        let host_left = self.expire_host(step);
        Due { pk, host_left, empty: empty && self.is_empty() }
    }

    /// Returns the host as a source of its own room's program, and of that of a PK's partner.
    pub fn host_in_mix(&self) -> Option<MixSource> {
        let participant = self.host_source()?;
        // A host who got the room while on a seat keeps the seat's number, but leads the program.
        let seat = if participant.is_host() { None } else { self.seat_of(&participant.person()) };
        let (person, name) = (self.host.person.clone(), self.host.name.clone());
        self.in_mix(participant, person, name, seat, self.host.muted)
    }

    fn in_mix(
        &self,
        participant: ParticipantName,
        person: Option<PersonId>,
        name: String,
        seat: Option<SeatNo>,
        muted: Muted,
    ) -> Option<MixSource> {
        let source = self.sources.get(&participant)?;
        let show = source.video && !muted.video();
        let (hear, silenced) = (source.audio && !muted.audio(), source.audio && muted.audio());
        Some(MixSource { room: self.name.clone(), participant, person, name, seat, show, hear, silenced })
    }

    /// Composes the program. `partner` is the host of the room that this one has a PK with.
    pub fn compose(&self, partner: Option<MixSource>) -> Mix {
        let seated = self.seats.iter().filter_map(|seat| {
            let occupant = seat.occupant.as_ref().filter(|occupant| occupant.phase == Phase::OnMic)?;
            let person = self.persons.get(&occupant.person)?;
            let id = &occupant.person;
            self.in_mix(id.participant(), Some(id.clone()), person.name.clone(), Some(seat.number), self.muted(id))
        });
        let host = self.host_in_mix();
        let leads = host.as_ref().map(|host| host.participant.clone());
        let seated = seated.filter(|source| Some(&source.participant) != leads.as_ref());
        Mix { sources: host.clone().into_iter().chain(partner).chain(seated).collect(), expects: self.expects() }
    }

    /// Returns whether a person is on the way to a seat: they have the ticket, or publish already.
    pub fn expects(&self) -> bool {
        let on_the_way = |phase| matches!(phase, Phase::Granted { .. } | Phase::Connecting { .. });
        self.seats.iter().any(|seat| seat.occupant.as_ref().is_some_and(|occupant| on_the_way(occupant.phase)))
    }

    /// Returns the room as seen from outside, without its persons.
    pub fn outline(&self, pk: Option<crate::PkView>) -> RoomView {
        RoomView {
            room: self.name.clone(),
            settings: self.settings.clone(),
            kept: self.kept,
            number: self.number,
            live: !self.sources.is_empty(),
            host: self.host_view(),
            seats: self.seat_views(),
            requests: self.requests.iter().map(|request| self.request_view(request)).collect(),
            invitations: self.invitation_views(),
            sources: self.sources.iter().map(|(id, source)| Self::source_view(id, Some(source))).collect(),
            pk,
            persons: Vec::new(),
            mix: self.mix.clone(),
        }
    }
}
