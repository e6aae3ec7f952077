//! The log of a room: its last events with their numbers, out of which clients take them.
//!
//! Numbers rise by one from 1 and belong to an epoch, which is one life of the room. An event is rendered once for
//! everybody.
//!
//! The last events are bounded in number and in bytes: those of one room, and those of all rooms ([`LogSpace`]). A client
//! that has not taken an event before it is forgotten gets a snapshot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::value::RawValue;

use onmic_media::{Date, DropReason};

use super::event::ServerMessage;

/// The most messages that may wait for a client, which is some seconds of a lively room.
pub const QUEUE: usize = 256;

/// The number of events from which a client that was away can go on, which is some minutes of a lively room.
pub const KEPT: usize = 512;

/// The most bytes of the last events of a room. They hold 768 events of 5 kB each, or 24 of the longest, which repeat 16 overlays
/// of text.
const BYTES_MAX: usize = 4 << 20;

/// The bytes of all rooms from which on each room that adds an event keeps its even part of them: those of 64 rooms with the most.
const BYTES_MAX_OF_NODE: usize = 256 << 20;

/// What the logs of a node take of memory, which is twice [`BYTES_MAX_OF_NODE`] at most, and the newest event of each room.
#[derive(Debug)]
pub struct LogSpace {
    /// The bytes from which on each log keeps its even part.
    most: usize,
    logs: AtomicUsize,
    bytes: AtomicUsize,
}

impl Default for LogSpace {
    fn default() -> Self {
        Self::of(BYTES_MAX_OF_NODE)
    }
}

impl LogSpace {
    fn of(most: usize) -> Self {
        Self { most, logs: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Returns how many bytes a log that adds an event may hold.
    fn of_each(&self) -> usize {
        let (logs, bytes) = (self.logs.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        if bytes > self.most { (self.most / logs.max(1)).min(BYTES_MAX) } else { BYTES_MAX }
    }
}

/// The events of one life of a room.
#[derive(Debug)]
pub struct Log {
    space: Arc<LogSpace>,
    number: u64,
    /// The bytes of the messages that are kept.
    bytes: usize,
    /// The messages of the last events. The newest has `number`. They are more than [`KEPT`], because further ones may come
    /// while a client that was away takes them out.
    kept: VecDeque<Bytes>,
}

/// The message that follows an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is there.
    Message(Bytes),
    /// The event was the last one.
    NotYet,
    /// It is too long ago.
    Forgotten,
}

impl Log {
    /// Begins after an event.
    pub fn after(number: u64, space: Arc<LogSpace>) -> Self {
        space.logs.fetch_add(1, Ordering::Relaxed);
        Self { space, number, bytes: 0, kept: VecDeque::new() }
    }

    /// Returns the number of the last event.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Adds an event.
    pub fn push(&mut self, at: Date, event: &RawValue) {
        self.number += 1;
        let message = ServerMessage::Event { number: self.number, at: at.to_string(), event };
        let message: Bytes = message.render().into();
        if self.kept.len() == KEPT + QUEUE {
            self.forget_oldest();
        }
        self.bytes += message.len();
        self.space.bytes.fetch_add(message.len(), Ordering::Relaxed);
        self.kept.push_back(message);
        let (most, mut forgotten) = (self.space.of_each(), 0);
        while self.bytes > most && self.kept.len() > 1 {
            self.forget_oldest();
            forgotten += 1;
        }
        DropReason::RoomLogBytes.count(forgotten);
    }

    fn forget_oldest(&mut self) {
        let bytes = self.kept.pop_front().map_or(0, |message| message.len());
        self.bytes -= bytes;
        self.space.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns whether a client that has seen event `number` can go on from there.
    pub fn can_resume(&self, number: u64) -> bool {
        self.missed(number).is_some_and(|missed| missed <= KEPT.min(self.kept.len()))
    }

    /// Returns the message that follows event `number`.
    pub fn next(&self, number: u64) -> Next {
        match self.missed(number) {
            None | Some(0) => Next::NotYet,
            Some(missed) => {
                let index = self.kept.len().checked_sub(missed);
                index.and_then(|index| self.kept.get(index)).cloned().map_or(Next::Forgotten, Next::Message)
            }
        }
    }

    /// Returns how many events have followed event `number`; `None` if that one is ahead.
    fn missed(&self, number: u64) -> Option<usize> {
        usize::try_from(self.number.checked_sub(number)?).ok()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.space.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.space.logs.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_after(number: u64) -> Log {
        Log::after(number, Arc::default())
    }

    /// Adds an event of this many bytes, and some more.
    fn add(log: &mut Log, bytes: usize) {
        let event = format!(r#"{{"kind":"{}"}}"#, "x".repeat(bytes));
        log.push(Date(0), &RawValue::from_string(event).unwrap());
    }

    fn filled(count: usize) -> Log {
        let mut log = log_after(0);
        for index in 0..count {
            let event = RawValue::from_string(format!(r#"{{"kind":"{index}"}}"#)).unwrap();
            log.push(Date(0), &event);
        }
        log
    }

    #[test]
    fn a_client_takes_out_one_event_after_the_other() {
        let log = filled(2);
        let first = r#"{"type":"event","number":1,"at":"1970-01-01T00:00:00.000Z","event":{"kind":"0"}}"#;
        let second = r#"{"type":"event","number":2,"at":"1970-01-01T00:00:00.000Z","event":{"kind":"1"}}"#;
        assert_eq!([log.next(0), log.next(1)], [first, second].map(|text| Next::Message(text.into())));
        assert_eq!([log.next(2), log.next(3)], [Next::NotYet, Next::NotYet]);
        assert_eq!(log_after(7).next(6), Next::Forgotten, "an earlier process has told it");
    }

    #[test]
    fn a_number_that_is_too_old_or_ahead_cannot_be_gone_on_from() {
        let log = filled(KEPT + 10);
        assert!(log.can_resume(10) && log.can_resume(log.number()));
        assert!(!log.can_resume(9) && !log.can_resume(log.number() + 1));
        assert!(!log_after(7).can_resume(6) && log_after(7).can_resume(7));
        let full = filled(2 * (KEPT + QUEUE));
        let oldest = (KEPT + QUEUE) as u64;
        assert!(matches!((full.next(oldest - 1), full.next(oldest)), (Next::Forgotten, Next::Message(_))));
    }

    #[test]
    fn long_events_are_forgotten_earlier_than_their_number_says() {
        let mut log = log_after(0);
        for _ in 0..40 {
            add(&mut log, 170_000);
        }
        assert!(log.bytes <= BYTES_MAX && log.bytes > BYTES_MAX - 171_000, "{}", log.bytes);
        assert_eq!(log.bytes, log.kept.iter().map(Bytes::len).sum::<usize>());
        assert!(log.can_resume(20) && !log.can_resume(10), "a client that was away gets a snapshot");
        assert!(matches!((log.next(10), log.next(39)), (Next::Forgotten, Next::Message(_))));
        (0..KEPT + QUEUE).for_each(|_| add(&mut log, 100));
        assert_eq!(log.kept.len(), KEPT + QUEUE, "short events are not forgotten earlier");
    }

    #[test]
    fn the_logs_of_all_rooms_together_are_bounded() {
        let (most, count) = (1 << 20, 20);
        let space = Arc::new(LogSpace::of(most));
        let mut rooms: Vec<Log> = (0..count).map(|_| Log::after(0, space.clone())).collect();
        for log in &mut rooms {
            (0..10).for_each(|_| add(log, 10_000));
        }
        let bytes = |space: &LogSpace| space.bytes.load(Ordering::Relaxed);
        assert!((most..=2 * most).contains(&bytes(&space)), "{}", bytes(&space));
        assert!(rooms[0].can_resume(1), "nothing is taken from a room that adds no event");
        add(&mut rooms[0], 100);
        assert!(rooms[0].bytes <= most / count && rooms[0].bytes > 0);
        drop(rooms);
        assert_eq!((bytes(&space), space.logs.load(Ordering::Relaxed)), (0, 0));
    }
}
