//! What waits to be written: of each key the newest value, or that it is gone.
//!
//! A key that is gone and was never on disk is forgotten at once, so keys that come and go while the disk is full leave nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::Render;
use crate::kept::Kept;
use crate::key::Key;

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
    pub records: BTreeMap<Key, Option<Render>>,
    pub events: BTreeMap<u64, Option<Vec<u8>>>,
    pub secrets: BTreeMap<&'static str, Vec<u8>>,
}

#[derive(Default)]
struct Keys {
    records: BTreeSet<Key>,
    events: BTreeSet<u64>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.events.is_empty() && self.secrets.is_empty()
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
        let records = self.records.iter();
        let records = records.map(|((_, room), record)| line(room, record.as_ref().map(|record| record())));
        records.chain(self.events.iter().map(|(number, event)| line(number, event.clone()))).collect()
    }
}

impl Pending {
    /// Notes what is on disk at the start.
    pub fn begin(&mut self, kept: &Kept) {
        self.on_disk.records = kept.records.iter().map(|(key, _)| key.clone()).collect();
        self.on_disk.events = kept.events.iter().map(|(number, _)| *number).collect();
    }

    pub fn put(&mut self, key: Key, record: Render) {
        self.changes.records.insert(key, Some(record));
    }

    pub fn remove(&mut self, key: Key) {
        self.changes.records.remove(&key);
        if self.on_disk.records.contains(&key) || self.under_way.records.contains(&key) {
            self.changes.records.insert(key, None);
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
        self.under_way.records = batch.records.keys().cloned().collect();
        self.under_way.events = batch.events.keys().copied().collect();
        Some(batch)
    }

    /// Notes that the changes that were taken out are on disk.
    pub fn written(&mut self, batch: Batch) {
        self.under_way = Keys::default();
        for (key, record) in batch.records {
            if record.is_some() {
                self.on_disk.records.insert(key)
            } else {
                self.on_disk.records.remove(&key)
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
        let Batch { records, events, secrets } = batch;
        for (key, record) in records {
            self.changes.records.entry(key).or_insert(record);
        }
        for (number, event) in events {
            self.changes.events.entry(number).or_insert(event);
        }
        for (name, secret) in secrets {
            self.changes.secrets.entry(name).or_insert(secret);
        }
        let on_disk = &self.on_disk;
        self.changes.records.retain(|key, record| record.is_some() || on_disk.records.contains(key));
        self.changes.events.retain(|number, event| event.is_some() || on_disk.events.contains(number));
    }
}
