//! The rooms of this node: tells the state machine of `onmic_room` what happens, and carries out what it decides.
//!
//! There are two kinds of locks, which are always taken in this order: one for each room, over its live state, and one
//! for the desk, over the machine. The desk is held for a step of the machine or a look at it. It files the effects of
//! the step with the rooms that they concern. The caller that took the step then carries them out, with the lock of one
//! room at a time. So events are numbered, rendered and told in the order of the decisions, and no room waits for
//! another one. Nothing waits while it holds a lock: clients take events out of the room's log themselves ([`channel`]), the
//! stage and the webhooks only note what they are told, and pictures are decoded before.

mod asking;
pub mod audience;
mod broken;
mod channel;
mod connection;
mod decoder;
mod entry;
pub mod event;
mod expel;
pub mod fair;
pub mod gate;
mod guests;
mod keep;
mod kept;
mod live;
mod log;
pub mod look;
pub mod mailbox;
pub mod order;
#[cfg(test)]
mod probe;
pub mod program;
pub mod rate;
pub mod refusal;
mod rendered;
mod reports;
mod state;
#[cfg(test)]
mod tests;
pub mod timeouts;
mod watch;
pub mod wire;
pub mod words;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use onmic_media::life::guarded;
use onmic_media::{Ending, Hub, Shares, SourceName, WallTime, metric};
use onmic_room::{Actor, Effect, Event, Input, Limits, PersonId, PersonView, Playout, Refused, RoomName, Settings};
use onmic_stage::Reports;

use channel::Ringer;
use decoder::Decoder;
use event::{RoomEvent, ServerMessage};
use keep::Keeper;
use live::{Known, Live};
use log::LogSpace;
use mailbox::Closing;
use program::Stage;
use rate::PersonRates;
use refusal::Denied;
use wire::Wire;

pub use connection::Connection;
pub use entry::Entry;
pub use keep::Keeping;

use crate::random::GuestKeys;
use crate::standing::Standing;
use crate::ticket::{Grant, Ticket};
use crate::webhook::Outbox;

/// The most people of a room whose coming and going is told one by one. Beyond it clients are told only the number of
/// people, because to tell everybody about everybody grows with the square of that number.
const PERSONS_ANNOUNCED: usize = 200;

/// The most rooms that are listed in a row under the lock of all rooms, which takes a few microseconds.
const ROOMS_AT_ONCE: usize = 64;

/// The word for the connections to the events of rooms, where one is refused.
const CLIENTS: &str = "connections to the events of rooms";

/// The name under which a panic in the work for a room is counted. No thread of its own does that work.
const ROOM_THREAD: &str = "room";

/// The limits of the node's rooms, and the settings of new ones.
#[derive(Clone, Debug)]
pub struct RoomsConfig {
    /// The most connections to events, of all rooms together.
    pub clients: usize,
    /// The most of them that one principal may have.
    pub clients_each: usize,
    /// The connections of HTTP, of which each of them takes one.
    pub of_http: Arc<Shares>,
    /// The most rooms, persons and requests.
    pub limits: Limits,
    /// The settings of rooms that come to be by themselves, and those that somebody who creates a room leaves out.
    pub defaults: Settings,
}

/// The rooms of this node. Share it behind an `Arc`.
pub struct Rooms {
    hub: Arc<Hub>,
    standing: Standing,
    stage: Arc<dyn Stage>,
    webhooks: Option<Arc<Outbox>>,
    config: RoomsConfig,
    guests: GuestKeys,
    keeper: Option<Keeper>,
    decoder: Decoder,
    desk: Mutex<Desk>,
    /// Is notified when the machine's next deadline has changed.
    due: Notify,
    clients: Arc<Shares>,
    /// The rooms that people have opened by coming to them.
    openings: Arc<Shares>,
    next_client: AtomicU64,
    stop: CancellationToken,
    connections: TaskTracker,
    ringer: Ringer,
    log_space: Arc<LogSpace>,
    /// Rooms with effects that a caller with the lock of another room has left for the task of deadlines.
    left: Mutex<Touched>,
}

/// The machine, and the cells of the rooms, with which its decisions are filed.
struct Desk {
    machine: onmic_room::Rooms,
    cells: BTreeMap<RoomName, Arc<Cell>>,
}

/// One room, from its first effect until its last one is carried out.
#[derive(Default)]
struct Cell {
    /// `None` before the room has opened, and after it has ended.
    live: Mutex<Option<Live>>,
    /// The effects that are decided and not yet carried out. They are filed under the lock of the desk, and taken out
    /// under that of `live`.
    pending: Mutex<VecDeque<(Instant, Effect)>>,
}

/// The rooms for which a step has decided something.
type Touched = Vec<(RoomName, Arc<Cell>)>;

/// A step of the machine.
struct Step<T> {
    /// The answer to the caller's question, as of right after the step.
    answer: T,
    touched: Touched,
}

/// The part of a list that somebody asks for, which is by id.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The id after which it begins.
    pub after: Option<&'a PersonId>,
    /// The most entries of it.
    pub limit: usize,
}

impl Rooms {
    /// Begins without rooms. Refuses default settings that are invalid.
    pub fn new(
        config: RoomsConfig,
        hub: Arc<Hub>,
        standing: impl Into<Standing>,
        stage: Arc<dyn Stage>,
        webhooks: Option<Arc<Outbox>>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, Refused> {
        Self::keeping(config, hub, standing, stage, webhooks, stop, None)
    }

    /// Begins with the rooms of the process before, and keeps them for the next one.
    pub fn keeping(
        config: RoomsConfig,
        hub: Arc<Hub>,
        standing: impl Into<Standing>,
        stage: Arc<dyn Stage>,
        webhooks: Option<Arc<Outbox>>,
        stop: CancellationToken,
        keeping: Option<Keeping>,
    ) -> Result<Arc<Self>, Refused> {
        let machine = onmic_room::Rooms::new(config.limits, config.defaults.clone())?;
        let clients = config.of_http.part(CLIENTS, config.clients, config.clients_each);
        let openings = fair::openings(config.limits.rooms);
        let guests = keeping.as_ref().map_or_else(GuestKeys::new, |keeping| GuestKeys::of(&keeping.guests));
        let (keeper, records) = keeping.map(|keeping| (Keeper::new(keeping.store), keeping.records)).unzip();
        let rooms = Arc::new(Self {
            hub,
            standing: standing.into(),
            stage,
            webhooks,
            config,
            guests,
            keeper,
            decoder: Decoder::default(),
            desk: Mutex::new(Desk { machine, cells: BTreeMap::new() }),
            due: Notify::new(),
            clients,
            openings,
            next_client: AtomicU64::new(0),
            stop,
            connections: TaskTracker::new(),
            ringer: Ringer::default(),
            log_space: Arc::default(),
            left: Mutex::default(),
        });
        rooms.take_up(records.unwrap_or_default());
        Ok(rooms)
    }

    /// Keeps the deadlines, watches sources and viewers and reads the reports of the stage. Ends when the node stops
    /// and every client is told.
    pub async fn run(self: Arc<Self>, reports: Reports) {
        let (deadlines, states) = (self.keep_deadlines(), self.keep_states());
        let ringing = self.stop.run_until_cancelled(self.ringer.run());
        tokio::join!(deadlines, states, ringing, self.hear_all(reports), watch::run(&self), audience::run(&self));
        self.connections.close();
        self.connections.wait().await;
        self.keep_last();
    }

    /// Returns a token for the task that serves a client. [`Rooms::run`] waits until it is dropped.
    pub fn track(&self) -> TaskTrackerToken {
        self.connections.token()
    }

    async fn keep_deadlines(&self) {
        loop {
            let next = self.desk.lock().machine.next_timeout();
            let lapse = async {
                match next {
                    Some(next) => sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.due.notified() => {
                    let left = std::mem::take(&mut *self.left.lock());
                    self.settle_all(left);
                    continue;
                }
                () = lapse => {}
            }
            self.lapse();
            yield_now().await; // Others may be due as well.
        }
    }

    /// Ends everything in one room whose deadline has passed. Returns whether there was such a room.
    fn lapse(&self) -> bool {
        let touched = {
            let mut desk = self.desk.lock();
            let now = self.now();
            if desk.machine.next_timeout().is_none_or(|next| next > now) {
                return false;
            }
            let room = desk.machine.next_due().cloned();
            let machine = &mut desk.machine;
            match (guarded(ROOM_THREAD, || machine.handle_timeout(now)), room) {
                (Some(effects), _) => desk.file(now, effects),
                (None, Some(room)) => {
                    self.evict(&mut desk, now, room);
                    Touched::new()
                }
                (None, None) => Touched::new(),
            }
        };
        self.settle_all(touched);
        true
    }

    /// Returns the time, as everything that rooms and tokens have to do with reads it.
    pub fn now(&self) -> Instant {
        self.standing.clock.now()
    }

    /// Tells the machine what has happened, and carries out what it decides.
    pub fn apply(&self, input: Input) -> Result<(), Denied> {
        let step = self.decide(input, |_, _| ())?;
        self.settle_all(step.touched);
        Ok(())
    }

    /// Opens a room that lives until it is ended. Returns whether the room is new.
    pub fn open(&self, room: &RoomName, settings: Settings) -> Result<bool, Denied> {
        let opened = |effect: &Effect| matches!(effect, Effect::Event { room: at, event: Event::RoomOpened { .. }, .. } if at == room);
        let input = Input::Open { room: room.clone(), settings, kept: true };
        let step = self.decide(input, |_, effects| effects.iter().any(opened))?;
        self.settle_all(step.touched);
        Ok(step.answer)
    }

    /// Lets the machine take a step. Its effects are filed, but not carried out.
    fn decide<T>(
        &self,
        input: Input,
        look: impl FnOnce(&onmic_room::Rooms, &[Effect]) -> T,
    ) -> Result<Step<T>, Denied> {
        self.step(&mut self.desk.lock(), input, look)
    }

    fn step<T>(
        &self,
        desk: &mut Desk,
        input: Input,
        look: impl FnOnce(&onmic_room::Rooms, &[Effect]) -> T,
    ) -> Result<Step<T>, Denied> {
        let now = self.now();
        let before = desk.machine.next_timeout();
        let room = input.room().clone();
        let machine = &mut desk.machine;
        let stepped = guarded(ROOM_THREAD, || {
            let effects = machine.apply(now, input)?;
            let answer = look(machine, &effects);
            Ok::<_, Refused>((effects, answer))
        });
        let Some(stepped) = stepped else { return Err(self.evict(desk, now, room)) };
        let (effects, answer) = stepped?;
        if desk.machine.next_timeout() != before {
            self.due.notify_one();
        }
        Ok(Step { answer, touched: desk.file(now, effects) })
    }

    /// Returns the cell of a room.
    fn cell(&self, room: &RoomName) -> Result<Arc<Cell>, Refused> {
        self.desk.lock().cells.get(room).cloned().ok_or_else(|| Refused::RoomUnknown(room.clone()))
    }

    /// Carries out the effects that are filed with these rooms.
    fn settle_all(&self, touched: Touched) {
        for (room, cell) in touched {
            self.settle(&room, &cell, &mut cell.live.lock());
        }
    }

    /// Carries out the effects that are filed with a room, of whichever step, and forgets the room when it is over.
    fn settle(&self, room: &RoomName, cell: &Cell, live: &mut Option<Live>) {
        self.carry_out_filed(room, cell, live);
        if live.is_none() {
            let cells = &mut self.desk.lock().cells;
            let over = |known: &mut Arc<Cell>| std::ptr::eq(&**known, cell) && cell.pending.lock().is_empty();
            if cells.get_mut(room).is_some_and(over) {
                cells.remove(room);
            }
        }
    }

    fn carry_out_filed(&self, room: &RoomName, cell: &Cell, live: &mut Option<Live>) {
        loop {
            let filed = std::mem::take(&mut *cell.pending.lock());
            if filed.is_empty() {
                return;
            }
            filed.into_iter().for_each(|(now, effect)| self.carry_out(room, live, now, effect));
        }
    }

    /// Carries out one effect. A room in which that panics ends.
    fn carry_out(&self, room: &RoomName, live: &mut Option<Live>, now: Instant, effect: Effect) {
        self.note(room);
        // Whoever takes a step has its answer already, so nobody is told but the room.
        let _ = self.within(room, live, |live| self.try_to_carry_out(room, live, now, effect));
    }

    fn try_to_carry_out(&self, room: &RoomName, live: &mut Option<Live>, now: Instant, effect: Effect) {
        match effect {
            Effect::Event { event, .. } => self.announce(room, live, now, &event),
            Effect::Ticket(ticket) => {
                let name = SourceName::new(&ticket.room, &ticket.participant);
                let seat = ticket.seat.map(onmic_room::SeatNo::get);
                let expires_in = ticket.expires_in;
                let grant = Grant { name: &name, person: &ticket.person, seat, expires_in };
                self.send_ticket(live.as_ref(), now, &grant);
            }
            Effect::Revoke { participant, reason, .. } => {
                let name = SourceName::new(room, &participant);
                self.void(&name, reason, now);
                if self.hub.revoke(&name) {
                    tracing::info!(source = %name, reason = reason.code(), "publisher sent away");
                }
            }
            Effect::Kicked { person, .. } => self.expel(room, live.as_ref(), &person, Ending::Removed, now),
            Effect::Mix { mix, .. } => {
                let Some(live) = live else { return };
                self.stage.direct(room, &mix, &live.look);
                live.mix = mix;
                live.rendered = None;
            }
            Effect::Ended { .. } => {
                if let Some(live) = live.take() {
                    self.ringer.end(&live.channel, Closing::Ended);
                    gauge!(metric::ROOMS).decrement(1.0);
                }
                self.go_over(room, self.standing.tickets.void_room(room), now);
                self.stage.ended(room);
                tracing::info!(%room, "room ended");
            }
        }
    }

    fn wire(&self) -> Wire {
        Wire::new(self.hub.calendar())
    }

    fn announce(&self, room: &RoomName, live: &mut Option<Live>, now: Instant, event: &Event) {
        let at = self.hub.clock().wall(now);
        let live = live.get_or_insert_with(|| {
            tracing::info!(%room, "room opened");
            gauge!(metric::ROOMS).increment(1.0);
            Live::new(at, fair::places(self.config.limits.persons), self.log_space.clone())
        });
        match event {
            Event::PersonJoined { person } => {
                let known = Known { name: person.name.clone(), rates: PersonRates::new(now), place: None };
                live.persons.entry(person.person.clone()).or_insert(known).name = person.name.clone();
            }
            Event::PersonLeft { person } => {
                live.persons.remove(&person.person);
                live.guests.left(&person.person);
                if live.look.sources.remove(&person.person.participant()).is_some() {
                    live.rendered = None;
                }
            }
            Event::HostChanged { host } => {
                if host.person.is_some() {
                    live.opened_by = None;
                }
                let former = self.standing.tickets.keep_for(&SourceName::host(room.clone()), host.person.as_ref());
                self.go_over(room, former, now);
            }
            Event::RoomConfigured { kept: true, .. } => live.opened_by = None,
            Event::SourceUp { source } => {
                let name = SourceName::new(room, &source.participant);
                if self.is_of_another(&name, live) {
                    live.opened_by = None;
                }
            }
            Event::SourceDown { source } => drop(live.speaking.remove(&source.participant)),
            _ => {}
        }
        live.follow_requests(event);
        let person_only = matches!(event, Event::PersonJoined { .. } | Event::PersonLeft { .. });
        if person_only && live.is_crowd() {
            if !live.is_same_after_event(event) {
                live.rendered = None;
            }
            return; // The task in `audience` tells the number of people.
        }
        let told = RoomEvent::of(event, self.wire(), |seat| live.is_speaking(seat), live.persons.len());
        if person_only {
            live.persons_told = live.persons.len();
        }
        self.tell_all(live, room, now, &told, !person_only);
        if let Event::MicAway { seat } = event
            && let (Some(person), Some(participant), Some(until)) = (&seat.person, &seat.participant, seat.until)
        {
            // The ticket of the grant has expired. With this one the participant can come back.
            let name = SourceName::new(room, participant);
            let expires_in = until.saturating_duration_since(now);
            let grant = Grant { name: &name, person, seat: Some(seat.seat.get()), expires_in };
            self.send_ticket(Some(live), now, &grant);
        }
    }

    /// Numbers an event and tells it to everybody in the room, and if `to_webhook` to the webhook.
    fn tell_all(&self, live: &mut Live, room: &RoomName, now: Instant, event: &RoomEvent, to_webhook: bool) {
        let (at, event) = (self.hub.calendar().at(now), event.render());
        counter!(metric::EVENTS, "kind" => event::kind(&event).to_owned()).increment(1);
        live.rendered = None;
        live.channel.push(at, &event);
        self.ringer.ring(&live.channel);
        if to_webhook && let Some(webhooks) = &self.webhooks {
            webhooks.put(room, live.channel.epoch(), live.channel.number(), at, event.get());
        }
    }

    fn send_ticket(&self, live: Option<&Live>, now: Instant, grant: &Grant<'_>) -> Ticket {
        let calendar = self.hub.calendar();
        let newest = self.hub.director(&grant.name.room).and_then(|program| program.newest_wall());
        let program_time = newest.map(|newest| calendar.date(newest));
        let ticket = self.standing.tickets.issue(grant, calendar.at(now), program_time);
        self.note(&grant.name.room);
        if let Some(live) = live {
            live.tell(grant.person, &ServerMessage::Ticket { ticket: &ticket }.render().into());
        }
        ticket
    }

    /// Returns whether a publisher who is this person may have a name: that of the host is for the host, and for who may become it.
    pub fn may_publish_as(&self, name: &SourceName, person: Option<&PersonId>) -> bool {
        person.is_none_or(|person| !name.is_host() || self.desk.lock().machine.may_be_host(&name.room, person))
    }

    /// Returns when a room began, if there is one.
    pub fn opened(&self, room: &RoomName) -> Option<WallTime> {
        self.cell(room).ok()?.live.lock().as_ref().map(|live| live.opened)
    }

    /// Returns the people of a room, by id, to somebody who directs it.
    pub fn persons(&self, room: &RoomName, by: &Actor, part: Part<'_>) -> Result<Vec<PersonView>, Denied> {
        let desk = self.desk.lock();
        desk.machine.authorize(room, by)?;
        Ok(desk.machine.persons(room, part.after, part.limit)?)
    }

    /// Returns all rooms by name, and when they began.
    pub fn names(&self) -> Vec<(RoomName, WallTime)> {
        let opened = |(name, cell): (RoomName, Arc<Cell>)| Some((name, cell.live.lock().as_ref()?.opened));
        let (mut rooms, mut last) = (Vec::new(), None);
        loop {
            let cells = self.cells_after(last.as_ref());
            let Some((name, _)) = cells.last() else { return rooms };
            last = Some(name.clone());
            rooms.extend(cells.into_iter().filter_map(opened));
        }
    }

    /// Returns the rooms after this one by name, a few at most.
    fn cells_after(&self, room: Option<&RoomName>) -> Touched {
        let bounds = (room.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let desk = self.desk.lock();
        let cells = desk.cells.range::<RoomName, _>(bounds).take(ROOMS_AT_ONCE);
        cells.map(|(name, cell)| (name.clone(), cell.clone())).collect()
    }

    /// Returns how the WebRTC viewers of a room play who do not choose for themselves.
    pub fn playout(&self, room: &RoomName) -> Playout {
        let desk = self.desk.lock();
        desk.machine.settings(room).unwrap_or(&self.config.defaults).playout()
    }

    /// Returns the settings of rooms that come to be by themselves.
    pub fn defaults(&self) -> &Settings {
        &self.config.defaults
    }
}

impl Desk {
    /// Files effects with the rooms that they concern, in this order.
    fn file(&mut self, now: Instant, effects: Vec<Effect>) -> Touched {
        let mut touched = Touched::new();
        for effect in effects {
            let room = effect.room();
            let cell = match touched.iter().find(|(name, _)| name == room) {
                Some((_, cell)) => cell,
                None => {
                    let cell = self.cells.entry(room.clone()).or_default().clone();
                    touched.push((room.clone(), cell));
                    &touched[touched.len() - 1].1
                }
            };
            cell.pending.lock().push_back((now, effect));
        }
        touched
    }
}
