//! What waits to be written: of each key the newest value, or that it is gone.
//!
//! A key that is gone and was never on disk is forgotten at once, so keys that come and go while the disk is full leave nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::Render;
use crate::disk::Kept;

/// The changes since the last write, and the keys that are on disk or on their way there.
#[derive(Default)]
pub struct Pending {
    changes: Batch,
    on_disk: Keys,
    under_way: Keys,
    closed: bool,
}

/// Changes that are written together. `None` stands for a value that is gone.
#[derive(Default)]
pub struct Batch {
    pub rooms: BTreeMap<String, Option<Render>>,
    pub events: BTreeMap<u64, Option<Vec<u8>>>,
    pub secrets: BTreeMap<&'static str, Vec<u8>>,
}

#[derive(Default)]
struct Keys {
    rooms: BTreeSet<String>,
    events: BTreeSet<u64>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.events.is_empty() && self.secrets.is_empty()
    }

    /// Returns the changes for people.
    #[cfg(test)]
    pub fn describe(&self) -> Vec<String> {
        fn line(key: impl std::fmt::Display, value: Option<Vec<u8>>) -> String {
            match value {
                Some(value) => format!("{key}={}", String::from_utf8(value).unwrap()),
                None => format!("{key} is gone"),
            }
        }
        let rooms = self.rooms.iter().map(|(room, state)| line(room, state.as_ref().map(|state| state())));
        rooms.chain(self.events.iter().map(|(number, event)| line(number, event.clone()))).collect()
    }
}

impl Pending {
    /// Notes what is on disk at the start.
    pub fn begin(&mut self, kept: &Kept) {
        self.on_disk.rooms = kept.rooms.iter().map(|(room, _)| room.clone()).collect();
        self.on_disk.events = kept.events.iter().map(|(number, _)| *number).collect();
    }

    pub fn put_room(&mut self, room: &str, state: Render) {
        self.changes.rooms.insert(room.to_owned(), Some(state));
    }

    pub fn remove_room(&mut self, room: &str) {
        self.changes.rooms.remove(room);
        if self.on_disk.rooms.contains(room) || self.under_way.rooms.contains(room) {
            self.changes.rooms.insert(room.to_owned(), None);
        }
    }

    pub fn put_event(&mut self, number: u64, event: Vec<u8>) {
        self.changes.events.insert(number, Some(event));
    }

    pub fn remove_event(&mut self, number: u64) {
        self.changes.events.remove(&number);
        if self.on_disk.events.contains(&number) || self.under_way.events.contains(&number) {
            self.changes.events.insert(number, None);
        }
    }

    pub fn put_secret(&mut self, name: &'static str, secret: Vec<u8>) {
        self.changes.secrets.insert(name, secret);
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes all changes out, if there are some. Tell the outcome by [`Pending::written`] or [`Pending::failed`].
    pub fn take(&mut self) -> Option<Batch> {
        if self.changes.is_empty() {
            return None;
        }
        let batch = std::mem::take(&mut self.changes);
        self.under_way.rooms = batch.rooms.keys().cloned().collect();
        self.under_way.events = batch.events.keys().copied().collect();
        Some(batch)
    }

    /// Notes that the changes that were taken out are on disk.
    pub fn written(&mut self, batch: Batch) {
        self.under_way = Keys::default();
        for (room, state) in batch.rooms {
            if state.is_some() {
                self.on_disk.rooms.insert(room)
            } else {
                self.on_disk.rooms.remove(&room)
            };
        }
        for (number, event) in batch.events {
            if event.is_some() {
                self.on_disk.events.insert(number)
            } else {
                self.on_disk.events.remove(&number)
            };
        }
    }

    /// Takes changes back that were not written. Newer ones win.
    pub fn failed(&mut self, batch: Batch) {
        self.under_way = Keys::default();
        let Batch { rooms, events, secrets } = batch;
        for (room, state) in rooms {
            self.changes.rooms.entry(room).or_insert(state);
        }
        for (number, event) in events {
            self.changes.events.entry(number).or_insert(event);
        }
        for (name, secret) in secrets {
            self.changes.secrets.entry(name).or_insert(secret);
        }
        let on_disk = &self.on_disk;
        self.changes.rooms.retain(|room, state| state.is_some() || on_disk.rooms.contains(room));
        self.changes.events.retain(|number, event| event.is_some() || on_disk.events.contains(number));
    }
}
