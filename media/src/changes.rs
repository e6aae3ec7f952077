//! What has changed in the hub: that something has, for those who look at everything, and in which rooms, for those who
//! look at one room at a time.
//!
//! Telling never waits. A reader holds each room once however often it has changed, so it holds at most the rooms that
//! there were since it last read.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::name::RoomName;

/// The telling end, which the hub shares with its sources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    generation: watch::Sender<u64>,
    readers: Mutex<Vec<Weak<Unread>>>,
}

#[derive(Debug, Default)]
struct Unread {
    rooms: Mutex<BTreeSet<RoomName>>,
    added: Notify,
}

impl Unread {
    fn add(&self, rooms: impl IntoIterator<Item = RoomName>) {
        self.rooms.lock().extend(rooms);
        self.added.notify_one();
    }
}

impl Changes {
    /// Tells that something has changed in `room`.
    pub fn tell(&self, room: &RoomName) {
        self.0.readers.lock().retain(|reader| {
            let reader = reader.upgrade();
            reader.inspect(|reader| reader.add([room.clone()])).is_some()
        });
        self.0.generation.send_modify(|generation| *generation += 1);
    }

    /// Counts the changes.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// A reader that is told of every change from now on. To it the rooms that `there` then lists have changed already.
    pub fn rooms(&self, there: impl FnOnce() -> Vec<RoomName>) -> ChangedRooms {
        let unread = Arc::<Unread>::default();
        self.0.readers.lock().push(Arc::downgrade(&unread));
        unread.add(there());
        ChangedRooms(unread)
    }
}

/// The rooms in which something has changed, for one reader.
#[derive(Debug)]
pub struct ChangedRooms(Arc<Unread>);

impl ChangedRooms {
    /// Returns the rooms that have changed since the last call, and waits while there are none. The first call returns
    /// all rooms that there were when the reader began. Dropping the future loses nothing.
    pub async fn next(&mut self) -> BTreeSet<RoomName> {
        loop {
            let rooms = std::mem::take(&mut *self.0.rooms.lock());
            if !rooms.is_empty() {
                return rooms;
            }
            self.0.added.notified().await;
        }
    }
}
