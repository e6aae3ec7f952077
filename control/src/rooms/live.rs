//! The live state of one room beside the machine's: its log, its connections, its chat and the look of its program.
//!
//! It belongs to one life of the room, which begins with the machine's `room-opened` and ends with its `Ended`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use onmic_media::{Share, Shares, WallTime};
use onmic_room::{Mix, ParticipantName, PersonId, RoomName, SeatView};

use super::asking::Asking;
use super::channel::Channel;
use super::guests::Guests;
use super::log::LogSpace;
use super::look::Look;
use super::mailbox::{Closing, Mailbox};
use super::rate::PersonRates;
use super::rendered::{Rendered, RenderedRequests};
use super::wire::{Audience, Message, ProgramChange, RoomProgram};
use super::words::ProgramState;

/// The number of chat messages that are kept for people who come later.
const CHAT_KEPT: usize = 50;

/// A person in the room, as the driver knows them.
pub struct Known {
    pub name: String,
    pub rates: PersonRates,
    /// What they take of their principal's part of the room. Somebody who only publishes has none.
    pub place: Option<Share>,
}

/// The live state of one room.
pub struct Live {
    /// The events, and the clients that are told them.
    pub channel: Arc<Channel>,
    pub opened: WallTime,
    /// Everybody whom the machine has in the room, announced to clients or not.
    pub persons: HashMap<PersonId, Known>,
    connections: HashMap<PersonId, Vec<(u64, Arc<Mailbox>)>>,
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
    pub fn new(opened: WallTime, places: Arc<Shares>, log_space: Arc<LogSpace>) -> Self {
        Self::on(Channel::new(log_space), opened, places)
    }

    /// Begins with a channel.
    pub fn on(channel: Arc<Channel>, opened: WallTime, places: Arc<Shares>) -> Self {
        Self {
            channel,
            opened,
            persons: HashMap::new(),
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

    /// Tells one person, over each of their connections.
    pub fn tell(&self, person: &PersonId, message: &Bytes) {
        for (_, mailbox) in self.connections.get(person).into_iter().flatten() {
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

    /// Connects a client of a person, which has heard the events up to `heard`.
    pub fn connect(&mut self, client: u64, person: PersonId, mailbox: Arc<Mailbox>, heard: u64) {
        self.channel.connect(client, mailbox.clone(), heard);
        self.connections.entry(person).or_default().push((client, mailbox));
    }

    /// Removes a connection. Returns whether it was the person's last one; false for a client of another life of the
    /// room.
    pub fn disconnect(&mut self, client: u64, person: &PersonId) -> bool {
        let Some(connections) = self.connections.get_mut(person) else { return false };
        let Some(index) = connections.iter().position(|(own, _)| *own == client) else { return false };
        connections.remove(index);
        self.channel.disconnect(client);
        let last = connections.is_empty();
        if last {
            self.connections.remove(person);
        }
        last
    }

    /// Closes the connections of one person. Returns how many there are.
    pub fn close(&self, person: &PersonId, closing: Closing) -> usize {
        let clients = self.connections.get(person).into_iter().flatten();
        clients.filter(|(_, mailbox)| mailbox.close(closing)).count()
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

    /// Returns the program as everybody is told of it after a change of what it was `before`.
    pub fn told_change(&self, room: &RoomName, before: &Look) -> ProgramChange {
        let (others, otherwise) = (self.look.overlays != before.overlays, self.look.sources != before.sources);
        let RoomProgram { state, layout, overlays, background, labels, borders, source_settings } =
            self.told_program(room);
        let overlays = Some(overlays).filter(|_| others);
        let source_settings = Some(source_settings).filter(|_| otherwise);
        ProgramChange { state, layout, overlays, background, labels, borders, source_settings }
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
