//! People and publishers, the truth about them, and the network between them and the rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Report;
use super::random::Random;
use super::replica::Replica;
use crate::{
    Actor, Authority, AvSync, Command, Effect, Event, HostLeaves, Input, Limits, Mix, ParticipantName, PersonId,
    PkState, RoomName, RoomView, Rooms, SeatNo, SeatState, Settings, Snapshot, Ticket, Timeouts,
};

const ROOMS: [&str; 3] = ["red", "green", "blue"];
/// The ids of the people. Nobody with the id `host` can have a seat.
const PERSONS: [&str; 8] = ["mia", "anna", "bo", "li", "kim", "zoe", "max", "host"];
const LATE: Duration = Duration::from_millis(500); // The most that the driver's timer may be late.

pub(super) struct World {
    random: Random,
    /// Decides about restarts, so that they change nothing else of a run.
    restarts: Random,
    now: Instant,
    rooms: Rooms,
    settings: Settings,
    room_names: Vec<RoomName>,
    persons: Vec<PersonId>,
    /// The people who are connected in truth.
    connected: BTreeSet<(RoomName, PersonId)>,
    /// The participants who publish in truth, with whether they send video and audio.
    publishing: BTreeMap<(RoomName, ParticipantName), (bool, bool)>,
    /// The inputs that are not delivered yet, by when they will be.
    network: BTreeMap<(Instant, u64), Input>,
    sent: u64,
    faulty: bool,
    replicas: BTreeMap<RoomName, Replica>,
    mixes: BTreeMap<RoomName, Mix>,
    /// The number above which the next room of any name must begin.
    last_number: u64,
    pub report: Report,
    pub trace: Option<fn(&str)>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let settings = random_settings(&mut random);
        // The limits are small, so that runs reach them.
        let limits = Limits { rooms: 2 + usize::from(random.percent(80)), persons: 7, requests: 3 };
        Self {
            now: Instant::now(), // No rule depends on which instant this is.
            rooms: Rooms::new(limits, settings.clone()).expect("the settings are within bounds"),
            settings,
            room_names: ROOMS.iter().map(|name| name.parse().expect("a name")).collect(),
            persons: PERSONS.iter().map(|name| name.parse().expect("a name")).collect(),
            random,
            restarts: Random::new(!seed),
            connected: BTreeSet::new(),
            publishing: BTreeMap::new(),
            network: BTreeMap::new(),
            sent: 0,
            faulty: true,
            replicas: BTreeMap::new(),
            mixes: BTreeMap::new(),
            last_number: 0,
            report: Report::default(),
            trace: None,
        }
    }

    /// Lets somebody do something, and lets time pass.
    pub fn step(&mut self) {
        self.somebody_acts();
        let pause = if self.random.percent(3) { Duration::from_secs(70) } else { Duration::from_millis(700) };
        let until = self.now + self.random.up_to(pause);
        self.pass_time(until);
        self.restart();
    }

    /// Takes all rooms up again from their snapshots, which must give the same rooms. The world goes on with them at times,
    /// if nobody is in a room who only watches, because those are not kept.
    fn restart(&mut self) {
        if self.rooms.next_timeout().is_some_and(|due| due <= self.now) {
            return; // The timer is late. No time is left of what should have ended.
        }
        let snapshots = |rooms: &Rooms, now| -> Vec<Snapshot> {
            rooms.names().map(|name| rooms.snapshot(now, name).expect("a room that is there")).collect()
        };
        let kept = snapshots(&self.rooms, self.now);
        let mut again = Rooms::new(self.rooms.limits, self.settings.clone()).expect("they were within bounds before");
        let refused = again.restore(self.now, kept.clone());
        assert!(refused.is_empty(), "rooms are not taken up again: {refused:?}");
        if let Err(broken) = again.check_invariants() {
            panic!("invariant broken after a restart: {broken}");
        }
        let mut expected = kept.clone();
        for kept in expected.iter_mut().filter(|kept| kept.persons.is_empty() && kept.sources.is_empty() && !kept.kept)
        {
            kept.empty.get_or_insert(kept.settings.timeouts.empty); // Only people who watch were in it.
        }
        assert_eq!(snapshots(&again, self.now), expected, "a restart changed a room");
        let mut views = self.views();
        for (view, kept) in views.iter_mut().zip(&kept) {
            view.persons.retain(|there| kept.persons.iter().any(|person| person.person == there.person));
        }
        let views_again: Vec<RoomView> = again.names().filter_map(|name| again.room(name)).collect();
        assert_eq!(views_again, views, "a restart changed a room");
        if views == self.views() && self.restarts.percent(20) {
            assert_eq!(again.next_timeout(), self.rooms.next_timeout(), "a restart changed a deadline");
            self.rooms = again;
            self.last_number = 0; // The numbers of rooms that ended before are not kept.
        }
    }

    /// Delivers and expires what is due, in order, until this moment.
    fn pass_time(&mut self, until: Instant) {
        loop {
            let message = self.network.first_key_value().map(|((at, _), _)| *at);
            let timer = self.rooms.next_timeout();
            let Some(next) = message.into_iter().chain(timer).min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            if message.is_some_and(|at| timer.is_none_or(|timer| at <= timer)) {
                if let Some((_, input)) = self.network.pop_first() {
                    self.deliver(input);
                }
            } else {
                if self.faulty && self.random.percent(20) {
                    self.now += self.random.up_to(LATE);
                }
                self.expire();
            }
        }
        self.now = self.now.max(until);
    }

    fn expire(&mut self) {
        while let Some(due) = self.rooms.next_timeout().filter(|due| *due <= self.now) {
            let room = self.rooms.next_due().cloned();
            let effects = self.rooms.handle_timeout(self.now);
            let after = (self.rooms.next_timeout(), self.rooms.next_due().cloned());
            assert_ne!(after, (Some(due), room), "the deadline of a room does not move");
            self.carry_out(effects);
        }
    }

    fn deliver(&mut self, input: Input) {
        if let Some(trace) = self.trace {
            trace(&format!("{input:?}"));
        }
        self.report.inputs += 1;
        let before = self.views();
        let result = self.rooms.apply(self.now, input.clone());
        let after = self.views();
        match &result {
            Err(refused) => {
                *self.report.refusals.entry(refused.code()).or_default() += 1;
                assert_eq!(before, after, "{input:?} was refused and changed something");
                assert!(refused.to_string().ends_with('.'), "not a sentence: {refused}");
            }
            Ok(_) => check_authority(&before, &after, &input),
        }
        let effects = result.unwrap_or_default();
        self.carry_out(effects);
        // A command that is given again at once changes nothing.
        if let Input::Command { .. } = input {
            let again = self.rooms.apply(self.now, input.clone()).unwrap_or_default();
            assert!(again.is_empty(), "{input:?} has an effect the second time: {again:?}");
            assert_eq!(after, self.views(), "{input:?} changes something the second time");
        }
    }

    fn views(&self) -> Vec<RoomView> {
        self.rooms.names().filter_map(|name| self.rooms.room(name)).collect()
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Some(trace) = self.trace {
                trace(&format!("    {effect:?}"));
            }
            match effect {
                Effect::Event { room, number, event } => self.hear(room, number, &event),
                Effect::Ticket(ticket) => self.use_ticket(&ticket),
                Effect::Revoke { room, participant, reason } => {
                    *self.report.revocations.entry(reason.code()).or_default() += 1;
                    if self.publishing.remove(&(room.clone(), participant.clone())).is_some() {
                        self.send(Input::SourceDown { room, participant });
                    }
                }
                Effect::Kicked { room, person } => self.kicked(room, person),
                Effect::Mix { room, mix } => {
                    self.mixes.insert(room, mix);
                }
                Effect::Ended { room } => {
                    self.replicas.remove(&room).expect("only a room that opened ends");
                    self.mixes.remove(&room);
                }
            }
        }
        self.check();
    }

    /// Closes the connections of somebody who was sent out of the room. Most people come back.
    fn kicked(&mut self, room: RoomName, person: PersonId) {
        self.report.kicked += 1;
        if let Some(view) = self.rooms.room(&room) {
            assert!(view.persons.iter().all(|there| there.person != person), "{person} was kicked and is there");
            assert!(view.host.person.as_ref() != Some(&person), "{person} was kicked and is the host");
            assert!(view.seats.iter().all(|seat| seat.person.as_ref() != Some(&person)), "{person} has a seat");
        }
        if self.connected.remove(&(room.clone(), person.clone())) {
            self.send(Input::Leave { room: room.clone(), person });
        }
        if self.random.percent(60) {
            self.joins(room);
        }
    }

    fn hear(&mut self, room: RoomName, number: u64, event: &Event) {
        *self.report.events.entry(event.kind()).or_default() += 1;
        match event {
            Event::RoomOpened { settings, kept, seats } => {
                assert!(number > self.last_number || self.last_number == 0, "event numbers were used before");
                let known = self.replicas.insert(room, Replica::new(number, settings, *kept, seats));
                assert!(known.is_none(), "a room opened twice");
                return;
            }
            Event::RoomEnded { .. } => self.last_number = self.last_number.max(number),
            _ => {}
        }
        self.replicas.get_mut(&room).expect("only a room that opened has events").apply(number, event);
    }

    /// Checks what must be true at any time.
    fn check(&mut self) {
        if let Err(broken) = self.rooms.check_invariants() {
            panic!("invariant broken: {broken}");
        }
        for view in self.views() {
            self.replicas.get_mut(&view.room).expect("every room has opened").compare(&view);
            assert_eq!(self.mixes.get(&view.room).cloned().unwrap_or_default(), view.mix, "the mix was not told");
            self.check_mix(&view);
            // Nothing waits past its deadline by more than the timer is late.
            let seats = view.seats.iter().filter_map(|seat| seat.until);
            let requests = view.requests.iter().map(|request| request.expires);
            let pk = view.pk.iter().filter_map(|pk| pk.until);
            for until in seats.chain(requests).chain(pk).chain(view.host.away_until) {
                assert!(until + LATE >= self.now, "something waits past its end in {}: {view:?}", view.room);
            }
            for seat in &view.seats {
                let waits = matches!(seat.state, SeatState::Reserved | SeatState::Connecting | SeatState::Away);
                assert_eq!(waits, seat.until.is_some(), "{seat:?}");
            }
        }
    }

    /// Checks from outside that everything heard and shown is up and not muted.
    fn check_mix(&self, view: &RoomView) {
        for source in &view.mix.sources {
            let home = self.rooms.room(&source.room).expect("the room of a source is there");
            let up = home.sources.iter().find(|up| up.participant == source.participant).expect("only what is up");
            assert!(up.video || !source.show, "shown without video");
            assert!(up.audio || !source.hear, "heard without audio");
            let seat = home.seats.iter().find(|seat| seat.participant.as_ref() == Some(&source.participant));
            let muted = match seat {
                Some(seat) => seat.muted_by,
                None => home.host.muted_by,
            };
            assert!(muted.audio.is_none() || !source.hear, "{} is heard, but muted", source.participant);
            assert!(muted.video.is_none() || !source.show, "{} is shown, but muted", source.participant);
        }
    }

    /// Most people publish when they get a ticket. Some do nothing, some fail, and some connect and never send.
    fn use_ticket(&mut self, ticket: &Ticket) {
        let (room, person) = (ticket.room.clone(), ticket.person.clone());
        if !self.faulty || self.random.percent(15) {
            return;
        }
        if self.random.percent(15) {
            let (by, reason) = (Actor::admin(), "ICE failed.".to_owned());
            self.send(Input::Command { room, by, command: Command::ConnectFailed { who: person.into(), reason } });
            return;
        }
        self.send(Input::SourceConnecting { room: room.clone(), participant: ticket.participant.clone() });
        if self.random.percent(80) {
            self.publish(room, ticket.participant.clone(), Some(person));
        }
    }

    fn publish(&mut self, room: RoomName, participant: ParticipantName, person: Option<PersonId>) {
        let (video, audio) = (self.random.percent(80), self.random.percent(80));
        self.publishing.insert((room.clone(), participant.clone()), (video, audio));
        self.send(Input::SourceUp { room, participant, person, video, audio });
    }

    /// Sends an input through the network, which may deliver it late, twice, or before what was sent earlier.
    fn send(&mut self, input: Input) {
        let copies = if self.faulty && self.random.percent(10) { 2 } else { 1 };
        for _ in 0..copies {
            let longest = match self.random.below(10) {
                _ if !self.faulty => Duration::from_millis(1),
                0 => Duration::from_secs(15),
                1 | 2 => Duration::from_secs(2),
                _ => Duration::from_millis(50),
            };
            let at = self.now + self.random.up_to(longest);
            self.sent += 1;
            self.network.insert((at, self.sent), input.clone());
        }
    }

    fn a_room(&mut self) -> RoomName {
        // The first room is the busiest.
        let among = if self.random.percent(50) { 1 } else { self.room_names.len() };
        self.random.choose(&self.room_names[..among]).expect("there are rooms").clone()
    }

    fn a_person(&mut self) -> PersonId {
        self.random.choose(&self.persons).expect("there are persons").clone()
    }

    fn a_seat(&mut self) -> Option<SeatNo> {
        if self.random.percent(50) { None } else { Some(self.some_seat()) }
    }

    fn some_seat(&mut self) -> SeatNo {
        let number = u8::try_from(1 + self.random.below(5)).unwrap_or(1);
        SeatNo::new(number).expect("one of the first five")
    }

    /// Returns mostly somebody who may direct the room, because otherwise nothing would happen.
    fn an_actor(&mut self, room: &RoomName) -> Actor {
        let host = self.rooms.room(room).and_then(|room| room.host.person);
        match (self.random.below(10), host) {
            (0, _) => Actor::admin(),
            (1, _) => Actor { person: None, authority: Authority::Host },
            (2..=7, Some(host)) => Actor::new(host, Authority::Host),
            _ => {
                let authority = self.an_authority();
                Actor::new(self.a_person(), authority)
            }
        }
    }

    fn an_authority(&mut self) -> Authority {
        match self.random.below(20) {
            0..=4 => Authority::Host,
            5..=8 => Authority::CoHost,
            9 => Authority::Admin,
            _ => Authority::Viewer,
        }
    }

    fn somebody_acts(&mut self) {
        let room = self.a_room();
        match self.random.below(100) {
            0..=14 => self.joins(room),
            15..=22 => self.leaves(room),
            23..=32 => self.source_flaps(room),
            33..=38 => self.publishes_unasked(room),
            39 => self.host_vanishes(room),
            40 => {
                let settings = random_settings(&mut self.random);
                let kept = self.random.percent(30);
                self.send(Input::Open { room, settings, kept });
            }
            41 | 42 => {
                let (by, settings) = (self.an_actor(&room), random_settings(&mut self.random));
                self.send(Input::Configure { room, by, settings });
            }
            43 => {
                let by = self.an_actor(&room);
                if self.random.percent(30) {
                    self.send(Input::End { room, by });
                }
            }
            _ => self.commands(room),
        }
    }

    fn joins(&mut self, room: RoomName) {
        let (person, authority) = (self.a_person(), self.an_authority());
        let name = if self.random.percent(90) { format!("The {person}") } else { format!("{person} again") };
        self.connected.insert((room.clone(), person.clone()));
        self.send(Input::Join { room, person, name, authority });
    }

    fn leaves(&mut self, room: RoomName) {
        let person = self.a_person();
        if self.connected.remove(&(room.clone(), person.clone())) {
            self.send(Input::Leave { room, person });
        }
    }

    fn source_flaps(&mut self, room: RoomName) {
        let up: Vec<_> = self.publishing.keys().filter(|(there, _)| *there == room).cloned().collect();
        let Some((room, participant)) = self.random.choose(&up).cloned() else { return };
        let (video, audio) = (self.random.percent(70), self.random.percent(70));
        if self.random.percent(40) {
            self.publishing.insert((room.clone(), participant.clone()), (video, audio));
            self.send(Input::SourceChanged { room, participant, video, audio });
            return;
        }
        self.publishing.remove(&(room.clone(), participant.clone()));
        self.send(Input::SourceDown { room: room.clone(), participant: participant.clone() });
        if self.random.percent(60) {
            self.publish(room, participant, None);
        }
    }

    fn publishes_unasked(&mut self, room: RoomName) {
        let person = self.a_person();
        let participant = if self.random.percent(40) { ParticipantName::host() } else { person.participant() };
        let named = self.random.percent(50).then_some(person);
        if !self.publishing.contains_key(&(room.clone(), participant.clone())) {
            self.publish(room, participant, named);
        }
    }

    fn host_vanishes(&mut self, room: RoomName) {
        let host = self.rooms.room(&room).and_then(|room| room.host.person);
        if let Some(person) = host
            && self.connected.remove(&(room.clone(), person.clone()))
        {
            self.send(Input::Leave { room: room.clone(), person });
        }
        let participant = ParticipantName::host();
        if self.publishing.remove(&(room.clone(), participant.clone())).is_some() {
            self.send(Input::SourceDown { room, participant });
        }
    }

    fn commands(&mut self, room: RoomName) {
        let (person, other, seat) = (self.a_person(), self.a_room(), self.a_seat());
        // Now and then somebody gives a command for somebody else.
        let speaker = if self.random.percent(15) { self.a_person() } else { person.clone() };
        let own = Actor::new(speaker, self.an_authority());
        let host = self.an_actor(&room);
        let mut maybe = || self.random.percent(70).then(|| self.random.percent(50));
        let (audio, video) = (maybe(), maybe());
        let at = self.some_seat();
        let asking = self.rooms.room(&room).and_then(|room| room.requests.first().map(|first| first.person.clone()));
        let likely = asking.filter(|_| self.random.percent(70)).unwrap_or_else(|| person.clone());
        let (by, command) = match self.random.below(44) {
            0..=8 => (own, Command::RequestMic { person, seat }),
            9 => (own, Command::Withdraw { person }),
            10..=15 => (host, Command::Grant { person: likely, seat }),
            16 => (host, Command::Refuse { person: likely }),
            17 | 18 => (host, Command::Invite { person, seat }),
            19..=21 => (own, Command::Accept { person }),
            22 | 40..=42 => (own, Command::Decline { person }),
            23 => (own, Command::LeaveMic { person }),
            24 => (host, Command::Remove { person }),
            25 | 26 => (own, Command::Mute { who: person.into(), audio, video }),
            27 | 28 => (host, Command::Mute { who: person.into(), audio, video }),
            29 => (host, Command::LockSeat { seat: at, locked: self.random.percent(40) }),
            30 | 31 => (host, Command::Move { who: person.into(), seat: at }),
            32 => (host, Command::HandOver { person }),
            33 | 34 => (host, Command::ProposePk { room: other }),
            35 | 36 => (host, Command::AcceptPk),
            37 => (host, Command::RefusePk),
            38 => (host, Command::EndPk),
            39 => (host, Command::Kick { person }),
            _ => (own, Command::ConnectFailed { who: person.into(), reason: "The browser gave up.".to_owned() }),
        };
        self.send(Input::Command { room, by, command });
    }

    /// Stops the faults and states the truth, after which everything that waits must end. Then everybody goes.
    pub fn quieten(&mut self) {
        self.faulty = false;
        self.pass_time(self.now + Duration::from_secs(20)); // The inputs that are still under way arrive.
        self.tell_the_truth();
        self.pass_time(self.now + Duration::from_secs(900));
        for view in self.views() {
            assert!(view.requests.is_empty(), "requests unanswered: {view:?}");
            assert!(view.invitations.is_empty(), "invitations unanswered: {view:?}");
            for seat in &view.seats {
                assert!(matches!(seat.state, SeatState::Empty | SeatState::OnMic), "a seat waits: {seat:?}");
            }
            assert!(view.pk.as_ref().is_none_or(|pk| pk.state == PkState::On), "a PK waits: {view:?}");
            assert!(view.host.away_until.is_none(), "a room waits for its host: {view:?}");
        }
        assert_eq!(self.rooms.next_timeout(), None, "something still waits");

        self.connected.clear();
        self.publishing.clear();
        self.tell_the_truth();
        self.pass_time(self.now + Duration::from_secs(900));
        for view in self.views() {
            assert!(view.kept, "an empty room stays: {view:?}");
            assert!(view.persons.is_empty() && view.sources.is_empty() && view.pk.is_none(), "not empty: {view:?}");
            assert!(view.mix.sources.is_empty(), "an empty room has a program: {view:?}");
        }
        assert_eq!(self.rooms.next_timeout(), None, "something still waits");
    }

    fn tell_the_truth(&mut self) {
        for room in self.room_names.clone() {
            for person in self.persons.clone() {
                let participant = person.participant(); // One of the people has the id `host`.
                if !self.connected.contains(&(room.clone(), person.clone())) {
                    self.deliver(Input::Leave { room: room.clone(), person: person.clone() });
                }
                let input = match self.publishing.get(&(room.clone(), participant.clone())) {
                    Some(&(video, audio)) => {
                        Input::SourceUp { room: room.clone(), participant, person: None, video, audio }
                    }
                    None => Input::SourceDown { room: room.clone(), participant },
                };
                self.deliver(input);
            }
        }
    }
}

/// Checks that somebody who does not direct the room changed nothing in it but what is their own.
fn check_authority(before: &[RoomView], after: &[RoomView], input: &Input) {
    let (Input::Command { room, by, .. } | Input::Configure { room, by, .. } | Input::End { room, by }) = input else {
        return;
    };
    let find = |views: &[RoomView]| views.iter().find(|view| view.room == *room).cloned();
    let Some(before) = find(before) else { return };
    let directs = match (by.authority, &by.person) {
        (Authority::Admin, _) | (Authority::Host, None) => true,
        (Authority::Host, _) if before.host.person.is_none() => true,
        (_, person) => person.is_some() && *person == before.host.person,
    };
    if directs {
        return;
    }
    let Some(after) = find(after) else { panic!("{input:?} ended a room that is not theirs") };
    let person = by.person.as_ref();
    let others = |view: &RoomView| {
        let mut view = view.clone();
        view.number = 0;
        view.mix = Mix::default();
        view.live = false;
        view.requests.retain(|request| Some(&request.person) != person);
        view.invitations.retain(|invitation| Some(&invitation.person) != person);
        view.persons.retain(|there| Some(&there.person) != person);
        view.sources.retain(|source| Some(source.participant.person()) != person.cloned());
        let locks: Vec<_> = view.seats.iter().map(|seat| seat.locked).collect();
        view.seats.retain(|seat| seat.person.is_some() && seat.person.as_ref() != person);
        (locks, view)
    };
    assert_eq!(others(&before), others(&after), "{input:?} changed what is not theirs");
    // What the host muted stays muted as long as the person is on that seat.
    let hosts = |view: &RoomView| {
        let seat = view.seats.iter().find(|seat| seat.person.is_some() && seat.person.as_ref() == person).cloned();
        seat.map(|seat| (seat.seat, seat.muted_by))
    };
    if let (Some((seat, muted)), Some((still, now))) = (hosts(&before), hosts(&after)) {
        assert_eq!(seat, still, "{input:?} moved its own seat");
        for (muted, now) in [(muted.audio, now.audio), (muted.video, now.video)] {
            let by_host = |muted: Option<crate::MutedBy>| muted == Some(crate::MutedBy::Host);
            assert_eq!(by_host(muted), by_host(now), "{input:?} changed what the host has muted");
        }
    }
}

fn random_settings(random: &mut Random) -> Settings {
    let host_leaves = match random.below(3) {
        0 => HostLeaves::EmptySeats,
        1 => HostLeaves::End,
        _ => HostLeaves::Keep,
    };
    Settings {
        title: String::new(),
        seats: u8::try_from(random.below(5)).unwrap_or(0),
        locked: random.percent(10),
        open_seats: random.percent(50),
        host_leaves,
        sync: AvSync::ALL[usize::from(random.percent(50))],
        playout_delay_ms: if random.percent(50) { 400 } else { 0 },
        timeouts: Timeouts::default(),
    }
}
