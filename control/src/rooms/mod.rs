//! The rooms of this node: drives the state machine of `onmic_room` with what happens, and carries out what it decides.
//!
//! One mutex holds the machine and what is live beside it. Every input goes through [`Rooms::apply`]: decided, then carried
//! out in order, under that lock and without ever waiting: clients have bounded queues, the stage and the webhooks only
//! note. The machine's deadlines are kept by one task, sources are watched by another.

pub mod audience;
mod live;
mod log;
pub mod look;
pub mod mailbox;
pub mod order;
pub mod program;
mod rate;
pub mod refusal;
mod watch;
pub mod wire;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::http::StatusCode;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use onmic_http::Problem;
use onmic_media::{Hub, SourceName, metric};
use onmic_room::{
    Actor, Authority, Effect, Event, Input, Limits, ParticipantName, PersonId, Refused, RoomName, RoomView, Settings,
};
use onmic_stage::Report;

use live::{CONNECTIONS_MAX, Known, Live};
use mailbox::{Closing, Mailbox};
use order::Order;
use program::Stage;
use rate::Rates;
use wire::Wire;

use crate::random::{self, GuestKeys};
use crate::ticket::{Grant, Ticket, Tickets};
use crate::webhook::Outbox;

/// In rooms of more persons, coming and going is told by number only: to tell everybody of everybody grows with the square.
const PERSONS_ANNOUNCED: usize = 200;

/// What limits the node's rooms.
#[derive(Clone, Debug)]
pub struct RoomsConfig {
    /// Connections to events, of all rooms together.
    pub clients: usize,
    /// How many rooms, persons and requests there may be.
    pub limits: Limits,
    /// Of rooms that come to be by themselves, and of what a creator leaves out.
    pub defaults: Settings,
}

/// See the module. Share it behind an `Arc`.
pub struct Rooms {
    hub: Arc<Hub>,
    tickets: Arc<Tickets>,
    stage: Arc<dyn Stage>,
    webhooks: Option<Arc<Outbox>>,
    config: RoomsConfig,
    guests: GuestKeys,
    state: Mutex<State>,
    /// The machine's next deadline has changed.
    due: Notify,
    clients: AtomicUsize,
    stop: CancellationToken,
    connections: TaskTracker,
}

struct State {
    machine: onmic_room::Rooms,
    live: HashMap<RoomName, Live>,
    next_client: u64,
}

/// Who comes, and what it has seen already.
pub struct Entry {
    pub room: RoomName,
    pub authority: Authority,
    /// As the token says.
    pub person: Option<PersonId>,
    /// The person it says it is, and the key that proves it. Without a key it is believed only where no tokens are asked
    /// for.
    pub claimed: Option<(PersonId, Option<String>)>,
    pub trusted: bool,
    pub name: Option<String>,
    pub epoch: Option<String>,
    pub after: Option<u64>,
}

/// A connection of a person to a room; dropping it takes the person out.
pub struct Connection {
    rooms: Arc<Rooms>,
    client: u64,
    pub room: RoomName,
    pub by: Actor,
}

impl Connection {
    /// Carries out what this person wants.
    pub fn order(&self, order: Order) -> Result<Value, Problem> {
        self.rooms.order(&self.room, &self.by, order)
    }

    /// Cancelled when the node stops.
    pub fn stopping(&self) -> CancellationToken {
        self.rooms.stop.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.rooms.exit(self);
    }
}

impl Rooms {
    /// No rooms. Refused if the default settings are impossible.
    pub fn new(
        config: RoomsConfig,
        hub: Arc<Hub>,
        tickets: Arc<Tickets>,
        stage: Arc<dyn Stage>,
        webhooks: Option<Arc<Outbox>>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, Refused> {
        let machine = onmic_room::Rooms::new(config.limits, config.defaults.clone())?;
        let state = Mutex::new(State { machine, live: HashMap::new(), next_client: 0 });
        let (guests, due, clients, connections) =
            (GuestKeys::new(), Notify::new(), AtomicUsize::new(0), TaskTracker::new());
        Ok(Arc::new(Self { hub, tickets, stage, webhooks, config, guests, state, due, clients, stop, connections }))
    }

    /// Keeps the deadlines, watches sources and viewers, until the node stops and every client is told.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.keep_deadlines(), watch::run(&self), audience::run(&self));
        self.connections.close();
        self.connections.wait().await;
    }

    /// Held by whatever serves a client: [`Rooms::run`] waits for it.
    pub fn track(&self) -> TaskTrackerToken {
        self.connections.token()
    }

    async fn keep_deadlines(&self) {
        loop {
            let next = self.state.lock().machine.next_timeout();
            let lapse = async {
                match next {
                    Some(next) => sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.due.notified() => continue,
                () = lapse => {}
            }
            let mut state = self.state.lock();
            let now = Instant::now();
            let effects = state.machine.handle_timeout(now);
            self.carry_out(&mut state, now, effects);
        }
    }

    /// Tells the machine what has happened, and does what follows.
    pub fn apply(&self, input: Input) -> Result<(), Refused> {
        self.step(&mut self.state.lock(), input)
    }

    fn step(&self, state: &mut State, input: Input) -> Result<(), Refused> {
        let now = Instant::now();
        let before = state.machine.next_timeout();
        let effects = state.machine.apply(now, input)?;
        if state.machine.next_timeout() != before {
            self.due.notify_one();
        }
        self.carry_out(state, now, effects);
        Ok(())
    }

    fn carry_out(&self, state: &mut State, now: Instant, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Event { room, event, .. } => self.announce(state, now, &room, &event),
                Effect::Ticket(ticket) => {
                    let name = SourceName::new(&ticket.room, &ticket.participant);
                    let seat = ticket.seat.map(onmic_room::SeatNo::get);
                    let expires_in = ticket.expires_in;
                    self.send_ticket(state, now, &Grant { name: &name, person: &ticket.person, seat, expires_in });
                }
                Effect::Revoke { room, participant, reason } => {
                    let name = SourceName::new(&room, &participant);
                    self.tickets.void(&name);
                    if self.hub.revoke(&name) {
                        tracing::info!(source = %name, reason = reason.code(), "publisher sent away");
                    }
                }
                Effect::Mix { room, mix } => {
                    let Some(live) = state.live.get_mut(&room) else { continue };
                    self.stage.direct(&room, &mix, &live.look);
                    live.mix = mix;
                    live.rendered = None;
                }
                Effect::Ended { room } => {
                    if let Some(live) = state.live.remove(&room) {
                        live.close_all(Closing::Ended);
                    }
                    self.tickets.void_room(&room);
                    self.stage.ended(&room);
                    tracing::info!(%room, "room ended");
                }
            }
        }
        gauge!(metric::ROOMS).set(state.live.len() as f64);
    }

    fn wire(&self) -> Wire {
        Wire(self.hub.clock())
    }

    fn announce(&self, state: &mut State, now: Instant, room: &RoomName, event: &Event) {
        let at = self.hub.clock().wall(now);
        let live = state.live.entry(room.clone()).or_insert_with(|| {
            tracing::info!(%room, "room opened");
            Live::new(at)
        });
        match event {
            Event::PersonJoined { person } => {
                let known = Known { name: person.name.clone(), rates: Rates::new(now) };
                live.persons.entry(person.person.clone()).or_insert(known).name = person.name.clone();
            }
            Event::PersonLeft { person } => {
                live.persons.remove(&person.person);
                live.look.sources.remove(&person.person.participant());
            }
            Event::SourceDown { source } => drop(live.speaking.remove(&source.participant)),
            _ => {}
        }
        let person_only = matches!(event, Event::PersonJoined { .. } | Event::PersonLeft { .. });
        if person_only && live.persons.len() > PERSONS_ANNOUNCED {
            return; // The audience task tells how many there are.
        }
        let told = self.wire().event(event, |seat| live.is_speaking(seat), live.persons.len());
        if person_only {
            live.persons_told = live.persons.len();
        }
        self.tell_all(live, room, now, &told, !person_only);
        if let Event::MicAway { seat } = event
            && let (Some(person), Some(participant), Some(until)) = (&seat.person, &seat.participant, seat.until)
        {
            // The ticket of the grant has expired; this one is for coming back.
            let name = SourceName::new(room, participant);
            let expires_in = until.saturating_duration_since(now);
            self.send_ticket(state, now, &Grant { name: &name, person, seat: Some(seat.seat.get()), expires_in });
        }
    }

    /// Numbers an event and tells everybody in the room; and the webhook, if it is of a room or a seat.
    fn tell_all(&self, live: &mut Live, room: &RoomName, now: Instant, event: &Value, to_webhook: bool) {
        let kind = event["kind"].as_str().unwrap_or_default().to_owned();
        counter!(metric::EVENTS, "kind" => kind).increment(1);
        let (at, text) = (self.hub.clock().wall(now), event.to_string());
        live.announce(at, &text);
        if to_webhook && let Some(webhooks) = &self.webhooks {
            webhooks.put(room, live.log.epoch(), live.log.number(), at, &text);
        }
    }

    fn send_ticket(&self, state: &State, now: Instant, grant: &Grant<'_>) -> Ticket {
        let room = &grant.name.room;
        let program_time = self.hub.director(room).and_then(|program| program.newest_wall());
        let ticket = self.tickets.issue(grant, self.hub.clock().wall(now), program_time);
        if let Some(live) = state.live.get(room) {
            live.tell(grant.person, &json!({"type": "ticket", "ticket": ticket}).to_string().into());
        }
        ticket
    }

    /// What the stage tells.
    pub fn hear(&self, report: Report) {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        match report {
            Report::Program(room, program) => {
                if let Some(live) = state.live.get_mut(&room) {
                    self.set_program_state(live, &room, now, program.name());
                }
            }
            Report::Speaking(room, sources) => {
                if let Some(live) = state.live.get_mut(&room) {
                    self.set_speaking(live, &room, now, &sources);
                }
            }
        }
    }

    fn set_speaking(&self, live: &mut Live, room: &RoomName, now: Instant, sources: &[SourceName]) {
        let own = sources.iter().filter(|source| source.room == *room);
        let speaking: BTreeSet<ParticipantName> = own.map(|source| source.participant.clone()).collect();
        let before = std::mem::replace(&mut live.speaking, speaking.clone());
        for participant in before.symmetric_difference(&speaking) {
            let speaks = speaking.contains(participant);
            let event = json!({"kind": "speaking", "participant": participant.as_str(), "speaking": speaks});
            self.tell_all(live, room, now, &event, false);
        }
    }

    fn set_program_state(&self, live: &mut Live, room: &RoomName, now: Instant, program: &'static str) {
        if live.program != program {
            live.program = program;
            let event = live.program_changed(room.as_str());
            self.tell_all(live, room, now, &event, true);
        }
    }

    /// Takes a person in: what it gets first is in `mailbox` when this returns.
    pub fn enter(self: &Arc<Self>, entry: Entry, mailbox: &Arc<Mailbox>) -> Result<Connection, Problem> {
        if self.stop.is_cancelled() {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "This server is about to stop. Try again."));
        }
        if self.clients.fetch_add(1, Ordering::Relaxed) >= self.config.clients {
            self.clients.fetch_sub(1, Ordering::Relaxed);
            let detail = format!("{} clients are connected already, the limit. Try again later.", self.config.clients);
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        let entered = self.enter_counted(entry, mailbox);
        if entered.is_err() {
            self.clients.fetch_sub(1, Ordering::Relaxed);
        }
        gauge!(metric::ROOM_CLIENTS).set(self.clients.load(Ordering::Relaxed) as f64);
        entered
    }

    fn enter_counted(self: &Arc<Self>, entry: Entry, mailbox: &Arc<Mailbox>) -> Result<Connection, Problem> {
        let state = &mut *self.state.lock();
        let now = Instant::now();
        let room = entry.room.clone();
        let person = self.identify(state.live.get(&room), &entry);
        let live = state.live.get(&room);
        if live.is_some_and(|live| live.connections(&person) >= CONNECTIONS_MAX) {
            let detail = format!("You have {CONNECTIONS_MAX} connections to this room already. Close one first.");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).with_code("connections-full"));
        }
        let known = live.and_then(|live| live.persons.get(&person)).map(|known| known.name.clone());
        let name = entry.name.clone().or(known).unwrap_or_else(|| person.to_string());
        let join =
            Input::Join { room: room.clone(), person: person.clone(), name: name.clone(), authority: entry.authority };
        let before = state.machine.next_timeout();
        let effects = state.machine.apply(now, join).map_err(|refused| refusal::refused(&refused))?;
        if state.machine.next_timeout() != before {
            self.due.notify_one();
        }
        // First what all are told, then what this client begins with, then its own tickets.
        let (tickets, told) = effects.into_iter().partition(|effect| matches!(effect, Effect::Ticket(_)));
        self.carry_out(state, now, told);
        let client = state.next_client;
        state.next_client += 1;
        let by = Actor::new(person, entry.authority);
        self.greet(state, &entry, &by, &name, mailbox);
        if let (Some(live), Some(person)) = (state.live.get_mut(&room), &by.person) {
            live.connect(client, person.clone(), mailbox.clone());
        }
        self.carry_out(state, now, tickets);
        Ok(Connection { rooms: self.clone(), client, room, by })
    }

    /// Who comes: as the token says, as it proves, or somebody new.
    fn identify(&self, live: Option<&Live>, entry: &Entry) -> PersonId {
        if let Some(person) = &entry.person {
            return person.clone();
        }
        if let Some((person, key)) = &entry.claimed {
            let fits = |key: &String| {
                live.is_some_and(|live| self.guests.fits(key, entry.room.as_str(), person.as_str(), live.log.epoch()))
            };
            if key.as_ref().map_or(entry.trusted, fits) {
                return person.clone();
            }
        }
        loop {
            let guest = random::guest().parse().expect("letters and a hyphen");
            if live.is_none_or(|live| !live.persons.contains_key(&guest)) {
                return guest;
            }
        }
    }

    fn greet(&self, state: &mut State, entry: &Entry, by: &Actor, name: &str, mailbox: &Mailbox) {
        let Some(rendered) = self.rendered(state, &entry.room) else { return };
        let Some(live) = state.live.get(&entry.room) else { return };
        let (epoch, number) = (live.log.epoch(), live.log.number());
        let person = by.person.as_ref().map(PersonId::as_str).unwrap_or_default();
        let key = self.guests.key(entry.room.as_str(), person, epoch);
        let you = json!({"person": person, "key": key, "name": name, "role": wire::role(by.authority)});
        // A key that fits is of this epoch, so an epoch need not be said along with it.
        let seen = entry.epoch.as_deref().unwrap_or_else(|| {
            let proven =
                entry.claimed.as_ref().is_some_and(|(claimed, key)| claimed.as_str() == person && key.is_some());
            if proven { epoch } else { "" }
        });
        let missed = entry.after.and_then(|after| live.log.after(seen, after));
        let head = |kind: &str| format!(r#"{{"type":"{kind}","epoch":"{epoch}","number":{number},"you":{you}"#);
        match missed {
            Some(missed) => {
                mailbox.put(format!("{}}}", head("resumed")).into());
                mailbox.put_all(missed.cloned().collect());
            }
            None => mailbox.put(format!(r#"{},"room":{rendered}}}"#, head("snapshot")).into()),
        }
    }

    fn exit(&self, connection: &Connection) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
        gauge!(metric::ROOM_CLIENTS).set(self.clients.load(Ordering::Relaxed) as f64);
        let Some(person) = &connection.by.person else { return };
        let state = &mut *self.state.lock();
        let last = state.live.get_mut(&connection.room).is_some_and(|live| live.disconnect(connection.client, person));
        if last {
            let left = Input::Leave { room: connection.room.clone(), person: person.clone() };
            if let Err(refused) = self.step(state, left) {
                tracing::debug!(room = %connection.room, %person, %refused, "left a room that is gone");
            }
        }
    }

    fn rendered(&self, state: &mut State, room: &RoomName) -> Option<Arc<str>> {
        if let Some(rendered) = state.live.get(room)?.rendered.clone() {
            return Some(rendered);
        }
        let told = self.room_state(state, room)?;
        let rendered: Arc<str> = serde_json::to_string(&told).ok()?.into();
        state.live.get_mut(room)?.rendered = Some(rendered.clone());
        Some(rendered)
    }

    fn room_state(&self, state: &State, room: &RoomName) -> Option<wire::RoomState> {
        let (live, view) = (state.live.get(room)?, state.machine.room(room)?);
        let program = live.told_program(room.as_str());
        Some(self.wire().room(&view, |seat| live.is_speaking(seat), program, live.viewers, live.chat()))
    }

    /// A room as it is now, and when it began.
    pub fn room(&self, room: &RoomName) -> Option<(wire::RoomState, onmic_media::WallTime)> {
        let state = self.state.lock();
        let told = self.room_state(&state, room)?;
        Some((told, state.live.get(room)?.opened))
    }

    /// A room as the machine has it.
    pub fn view(&self, room: &RoomName) -> Option<RoomView> {
        self.state.lock().machine.room(room)
    }

    /// All rooms, by name, and when they began.
    pub fn names(&self) -> Vec<(RoomName, onmic_media::WallTime)> {
        let state = self.state.lock();
        state.machine.names().filter_map(|name| Some((name.clone(), state.live.get(name)?.opened))).collect()
    }

    /// Of rooms that come to be by themselves.
    pub fn defaults(&self) -> &Settings {
        &self.config.defaults
    }
}
