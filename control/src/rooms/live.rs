//! The live state of one room beside the machine's: its log, its connections, its chat and the look of its program.
//!
//! It belongs to one life of the room, which begins with the machine's `room-opened` and ends with its `Ended`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use onmic_media::{Date, Share, Shares, WallTime};
use onmic_room::{Mix, ParticipantName, PersonId, RoomName, SeatView};

use super::fair::Asking;
use super::guests::Guests;
use super::log::Log;
use super::look::Look;
use super::mailbox::{Closing, Mailbox};
use super::rate::Rates;
use super::rendered::{Rendered, RenderedRequests};
use super::wire::{Audience, Message, RoomProgram};
use super::words::ProgramState;

/// The most connections of one person at once: a few windows, and connections that broke off without being noticed yet.
pub const CONNECTIONS_MAX: usize = 8;
/// The number of chat messages that are kept for people who come later.
const CHAT_KEPT: usize = 50;

/// A person in the room, as the driver knows them.
pub struct Known {
    pub name: String,
    pub rates: Rates,
    /// What they take of their principal's part of the room. Somebody who only publishes has none.
    pub place: Option<Share>,
}

/// The live state of one room.
pub struct Live {
    pub log: Log,
    pub opened: WallTime,
    /// Everybody whom the machine has in the room, announced to clients or not.
    pub persons: HashMap<PersonId, Known>,
    clients: BTreeMap<u64, Arc<Mailbox>>,
    connections: HashMap<PersonId, Vec<u64>>,
    pub guests: Guests,
    /// The places of the people.
    pub places: Arc<Shares>,
    /// The requests for the mic.
    pub asking: Asking,
    /// What the room takes of the part of whoever opened it, until somebody else wants it.
    pub opened_by: Option<Share>,
    chat: VecDeque<Message>,
    /// The mix that the machine last decided on.
    pub mix: Mix,
    pub look: Look,
    pub program: ProgramState,
    pub speaking: BTreeSet<ParticipantName>,
    /// The viewers that clients were last told of.
    pub viewers: Audience,
    /// The number of people that clients were last told of.
    pub persons_told: usize,
    /// The room's state as JSON, until something changes.
    pub rendered: Option<Rendered>,
    /// The requests in it.
    pub requests: RenderedRequests,
}

impl Live {
    pub fn new(opened: WallTime, places: Arc<Shares>) -> Self {
        Self::with_log(Log::new(), opened, places)
    }

    /// Begins with a log.
    pub fn with_log(log: Log, opened: WallTime, places: Arc<Shares>) -> Self {
        Self {
            log,
            opened,
            persons: HashMap::new(),
            clients: BTreeMap::new(),
            connections: HashMap::new(),
            guests: Guests::default(),
            places,
            asking: Asking::default(),
            opened_by: None,
            chat: VecDeque::new(),
            mix: Mix::default(),
            look: Look::default(),
            program: ProgramState::Off,
            speaking: BTreeSet::new(),
            viewers: Audience::default(),
            persons_told: 0,
            rendered: None,
            requests: RenderedRequests::default(),
        }
    }

    /// Numbers an event and tells it to everybody who is connected.
    pub fn announce(&mut self, at: Date, event: &RawValue) {
        self.rendered = None;
        let message = self.log.push(at, event);
        for mailbox in self.clients.values() {
            mailbox.put(message.clone());
        }
    }

    /// Tells one person, over each of their connections.
    pub fn tell(&self, person: &PersonId, message: &Bytes) {
        let clients = self.connections.get(person).into_iter().flatten();
        for mailbox in clients.filter_map(|client| self.clients.get(client)) {
            mailbox.put(message.clone());
        }
    }

    pub fn is_speaking(&self, seat: &SeatView) -> bool {
        self.speaks(seat.participant.as_ref().map(ParticipantName::as_str))
    }

    /// Whether the participant of this name speaks.
    pub fn speaks(&self, participant: Option<&str>) -> bool {
        self.speaking.iter().any(|speaking| participant == Some(speaking.as_str()))
    }

    pub fn connections(&self, person: &PersonId) -> usize {
        self.connections.get(person).map_or(0, Vec::len)
    }

    pub fn connect(&mut self, client: u64, person: PersonId, mailbox: Arc<Mailbox>) {
        self.clients.insert(client, mailbox);
        self.connections.entry(person).or_default().push(client);
    }

    /// Removes a connection. Returns whether it was the person's last one; false for a client of another life of the
    /// room.
    pub fn disconnect(&mut self, client: u64, person: &PersonId) -> bool {
        if self.clients.remove(&client).is_none() {
            return false;
        }
        let Some(connections) = self.connections.get_mut(person) else { return false };
        connections.retain(|other| *other != client);
        let last = connections.is_empty();
        if last {
            self.connections.remove(person);
        }
        last
    }

    /// Closes the connections of one person. Returns how many there are.
    pub fn close(&self, person: &PersonId, closing: Closing) -> usize {
        let clients = self.connections.get(person).into_iter().flatten();
        clients.filter_map(|client| self.clients.get(client)).filter(|mailbox| mailbox.close(closing)).count()
    }

    pub fn close_all(&self, closing: Closing) {
        for mailbox in self.clients.values() {
            mailbox.close(closing);
        }
    }

    pub fn say(&mut self, message: Message) {
        if self.chat.len() == CHAT_KEPT {
            self.chat.pop_front();
        }
        self.chat.push_back(message);
    }

    pub fn chat(&self) -> Vec<Message> {
        self.chat.iter().cloned().collect()
    }

    pub fn told_program(&self, room: &RoomName) -> RoomProgram {
        RoomProgram {
            state: self.program,
            layout: self.look.layout.clone(),
            overlays: self.look.told_overlays(room),
            background: self.look.background.into(),
            labels: self.look.labels,
            borders: self.look.borders,
            source_settings: self.look.sources.iter().map(|(id, look)| (id.to_string(), look.clone())).collect(),
        }
    }
}
