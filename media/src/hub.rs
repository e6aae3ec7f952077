//! The hub of names: which publisher has which name now, and which program each room has.
//!
//! Owns every source. A name has one publisher at a time. A publisher that goes silent or away leaves its source
//! standing for the grace period. The next one that publishes the name within it continues the same tracks, and
//! viewers notice a pause, not an end. After it, [`Hub::expire`] ends the source. A WHIP offer has its name from the
//! answer on, but as long as its publisher has not connected, it gives way: to RTMP at once, to another offer soon.
//!
//! Names are kept by room, so a question about one room looks at that room alone. A room has a program from its first
//! source to the end of its last. The first source is passed through to it at once. After that the host's source is
//! passed through, or the first one without a host, unless somebody directs the programs ([`HubLimits::directed`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;

use crate::calendar::Calendar;
use crate::changes::{ChangedRooms, Changes};
use crate::feed::{Deriver, Feed};
use crate::name::{ParticipantName, RoomName, SourceName};
use crate::program::Program;
use crate::program_clock::ProgramClock;
use crate::publication::Publication;
use crate::source::{Protocol, Publisher, Source};
use crate::time::NodeClock;

/// The limits and times of the hub.
#[derive(Clone, Copy, Debug)]
pub struct HubLimits {
    /// How long a source outlives its publisher, and how long a publisher may be silent before another may take over.
    pub grace: Duration,
    /// The most sources at once.
    pub sources: usize,
    /// The most that one publisher may send, in bits per second.
    pub bitrate: u64,
    /// Whether another part selects what a room's program plays once it has begun.
    pub directed: bool,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), sources: 10_000, bitrate: 100_000_000, directed: false }
    }
}

/// The name of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedName {
    /// The program of a room, which its audience gets.
    Program(RoomName),
    /// The source that one participant publishes.
    Source(SourceName),
}

impl std::fmt::Display for FeedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Program(room) => room.fmt(f),
            Self::Source(source) => source.fmt(f),
        }
    }
}

/// How long a viewer of any protocol waits until the tracks of a feed that has just begun are known. A publisher's
/// second kind comes within a second of its first, or later than a viewer would wait.
pub const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// The reason why a name cannot be published now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PublishRefused {
    /// Another publisher has the name.
    #[error("{0} is being published already; stop the other publisher or use another name")]
    Busy(SourceName),
    /// The node has as many sources as it may have.
    #[error("this server carries {0} sources already, its limit")]
    Full(usize),
}

/// The source that a publisher continues, if there is one.
type Found = Option<Arc<Source>>;

/// All sources and programs of a node, by name. Share it behind an `Arc`.
pub struct Hub {
    calendar: Arc<Calendar>,
    limits: HubLimits,
    deriver: Option<Arc<dyn Deriver>>,
    names: Mutex<Names>,
    changes: Changes,
}

#[derive(Debug, Default)]
struct Names {
    rooms: HashMap<RoomName, Room>,
    /// The number of sources in all rooms.
    sources: usize,
}

/// A room, from its first source to the end of its last.
#[derive(Debug)]
struct Room {
    program: Arc<Program>,
    sources: BTreeMap<ParticipantName, Arc<Source>>,
}

impl Room {
    /// Returns the feeds of its program and of its sources.
    fn feeds(&self) -> impl Iterator<Item = Arc<Feed>> {
        std::iter::once(self.program.feed()).chain(self.sources.values().map(|source| source.feed())).cloned()
    }

    /// Lets the host's source, or else the first one, follow `gone` in the program.
    fn succeed(&self, gone: &Source) {
        let next = self.sources.values().min_by_key(|left| !left.name().is_host());
        if gone.is_passed_through()
            && let Some(next) = next
        {
            next.pass_to(&self.program);
        }
    }
}

impl Hub {
    /// Returns an empty hub. `deriver` converts codecs for its feeds.
    pub fn new(clock: NodeClock, limits: HubLimits, deriver: Option<Arc<dyn Deriver>>) -> Arc<Self> {
        let calendar = Arc::new(Calendar::new(clock));
        Arc::new(Self { calendar, limits, deriver, names: Mutex::default(), changes: Changes::default() })
    }

    /// Returns the node's clock, on whose line all media lies.
    pub fn clock(&self) -> NodeClock {
        self.calendar.clock()
    }

    /// Returns the node's calendar, which gives moments of that line their dates.
    pub fn calendar(&self) -> &Arc<Calendar> {
        &self.calendar
    }

    /// Begins or continues to publish `name`. The source remembers its publisher. A refused one leaves no trace.
    pub fn publish(
        &self,
        name: &SourceName,
        publisher: impl Into<Publisher>,
        now: Instant,
    ) -> Result<Publication, PublishRefused> {
        let publisher = publisher.into();
        let mut names = self.names.lock();
        let source = self.find_free(&names, name, publisher.protocol, now)?;
        let source = source.unwrap_or_else(|| self.begin(&mut names, name, publisher.clone(), now));
        let publication = Publication::new(source, publisher, now);
        drop(names);
        self.changes.tell(&name.room);
        Ok(publication)
    }

    /// Checks that a publisher by `protocol` could publish `name` now. It changes nothing.
    pub fn may_publish(&self, name: &SourceName, protocol: Protocol, now: Instant) -> Result<(), PublishRefused> {
        self.find_free(&self.names.lock(), name, protocol, now).map(drop)
    }

    fn find_free(&self, names: &Names, name: &SourceName, by: Protocol, now: Instant) -> Result<Found, PublishRefused> {
        match names.rooms.get(&name.room).and_then(|room| room.sources.get(&name.participant)) {
            Some(source) if source.may_be_taken(by, now, self.limits.grace) => Ok(Some(source.clone())),
            Some(_) => Err(PublishRefused::Busy(name.clone())),
            None if names.sources >= self.limits.sources => Err(PublishRefused::Full(names.sources)),
            None => Ok(None),
        }
    }

    /// Begins a new source. The first one of a room also begins its program, whose timeline starts now.
    fn begin(&self, names: &mut Names, name: &SourceName, publisher: Publisher, now: Instant) -> Arc<Source> {
        let room = names.rooms.entry(name.room.clone()).or_insert_with(|| Room {
            program: Program::new(ProgramClock::starting(self.clock().wall(now)), self.deriver.clone()),
            sources: BTreeMap::new(),
        });
        let feed = Feed::new(self.deriver.clone());
        let clocks = (self.clock(), room.program.clock());
        let limit = (self.limits.bitrate, now);
        let source = Source::new(name.clone(), publisher, clocks, feed, self.changes.clone(), limit);
        if room.sources.is_empty() || (!self.limits.directed && name.is_host()) {
            source.pass_to(&room.program);
        }
        room.sources.insert(name.participant.clone(), source.clone());
        names.sources += 1;
        source
    }

    /// Returns the source of this name, while it is up or within its grace.
    pub fn source(&self, name: &SourceName) -> Option<Arc<Source>> {
        self.names.lock().rooms.get(&name.room)?.sources.get(&name.participant).cloned()
    }

    /// Returns the feed that the audience of the room gets.
    pub fn program(&self, room: &RoomName) -> Option<Arc<Feed>> {
        self.names.lock().rooms.get(room).map(|room| room.program.feed().clone())
    }

    /// Returns the feed that `name` stands for now.
    pub fn feed(&self, name: &FeedName) -> Option<Arc<Feed>> {
        match name {
            FeedName::Program(room) => self.program(room),
            FeedName::Source(source) => self.source(source).map(|source| source.feed().clone()),
        }
    }

    /// Waits until `name` is there and its tracks are known. If it ends meanwhile, the wait begins again. The caller
    /// bounds the time.
    pub async fn await_feed(&self, name: &FeedName) -> Arc<Feed> {
        let mut generations = self.generations();
        loop {
            generations.mark_unchanged();
            if let Some(feed) = self.feed(name)
                && feed.settled().await
            {
                return feed;
            }
            // This cannot fail, because the hub, which holds the sender, is borrowed here.
            let _ = generations.changed().await;
        }
    }

    /// Returns the room's program, for the code that directs it.
    pub fn director(&self, room: &RoomName) -> Option<Arc<Program>> {
        self.names.lock().rooms.get(room).map(|room| room.program.clone())
    }

    /// Returns the rooms that have a source, and so a program, by name.
    pub fn rooms(&self) -> Vec<RoomName> {
        let mut rooms: Vec<_> = self.names.lock().rooms.keys().cloned().collect();
        rooms.sort();
        rooms
    }

    /// Returns the sources of one room, by name.
    pub fn sources_of(&self, room: &RoomName) -> Vec<Arc<Source>> {
        self.names.lock().rooms.get(room).map(|room| room.sources.values().cloned().collect()).unwrap_or_default()
    }

    /// Returns all sources, by name.
    pub fn sources(&self) -> Vec<Arc<Source>> {
        let names = self.names.lock();
        let mut sources: Vec<_> = names.rooms.values().flat_map(|room| room.sources.values().cloned()).collect();
        drop(names);
        sources.sort_by(|a, b| a.name().cmp(b.name()));
        sources
    }

    /// Returns everything that can be watched in one room: its program and its sources.
    pub fn feeds_of(&self, room: &RoomName) -> Vec<Arc<Feed>> {
        self.names.lock().rooms.get(room).map(|room| room.feeds().collect()).unwrap_or_default()
    }

    /// Returns everything that can be watched: all programs and sources.
    pub fn feeds(&self) -> Vec<Arc<Feed>> {
        self.names.lock().rooms.values().flat_map(Room::feeds).collect()
    }

    /// Returns a counter that rises whenever a source begins, ends, or gets or loses its publisher or a track. A task
    /// that waits on it lists the sources again.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.changes.generations()
    }

    /// Returns a reader of the rooms in which a source begins, ends, or gets or loses its publisher or a track. A task
    /// that waits on it lists the sources of these rooms again. It begins with all rooms that there are now.
    pub fn changed_rooms(&self) -> ChangedRooms {
        self.changes.rooms(|| self.rooms())
    }

    /// Ends the sources whose publisher has been away for longer than the grace period.
    pub fn expire(&self, now: Instant) {
        let (mut expired, mut over) = (Vec::new(), Vec::new());
        let mut names = self.names.lock();
        names.rooms.retain(|_, room| {
            let first = expired.len();
            let gone = room.sources.extract_if(.., |_, source| source.is_abandoned(now, self.limits.grace));
            expired.extend(gone.map(|(_, source)| source));
            expired[first..].iter().for_each(|source| self.leave(room, source));
            if room.sources.is_empty() {
                over.push(room.program.clone());
            }
            !room.sources.is_empty()
        });
        names.sources -= expired.len();
        drop(names);
        for source in &expired {
            source.feed().end();
            tracing::info!(source = %source.name(), "source ended");
        }
        over.iter().for_each(|program| program.feed().end());
        expired.iter().for_each(|source| self.changes.tell(&source.name().room));
    }

    /// Sends the publisher of `name` away and ends its source now. Returns whether there was such a source.
    pub fn revoke(&self, name: &SourceName) -> bool {
        let mut names = self.names.lock();
        let Some(room) = names.rooms.get_mut(&name.room) else { return false };
        let Some(source) = room.sources.remove(&name.participant) else { return false };
        source.revoke();
        self.leave(room, &source);
        let over = if room.sources.is_empty() { names.rooms.remove(&name.room) } else { None };
        names.sources -= 1;
        drop(names);
        source.feed().end();
        over.iter().for_each(|room| room.program.feed().end());
        self.changes.tell(&name.room);
        true
    }

    /// Replaces `source`, which has left `room`, in the program, unless somebody else directs the programs.
    fn leave(&self, room: &Room, source: &Source) {
        if !self.limits.directed {
            room.succeed(source);
        }
    }

    /// Ends everything: the process is about to stop.
    pub fn end_all(&self) {
        let Names { rooms, .. } = std::mem::take(&mut *self.names.lock());
        rooms.values().flat_map(Room::feeds).for_each(|feed| feed.end());
        rooms.keys().for_each(|room| self.changes.tell(room));
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
