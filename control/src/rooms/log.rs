//! The log of a room: its last events with their numbers, out of which clients take them.
//!
//! Numbers rise by one from 1 and belong to an epoch, which is one life of the room. An event is rendered once for
//! everybody.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;

use onmic_media::Date;

use super::event::ServerMessage;

/// The most messages that may wait for a client, which is some seconds of a lively room.
pub const QUEUE: usize = 256;

/// The number of events from which a client that was away can go on, which is some minutes of a lively room.
pub const KEPT: usize = 512;

/// The events of one life of a room.
#[derive(Debug)]
pub struct Log {
    number: u64,
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
    pub fn after(number: u64) -> Self {
        Self { number, kept: VecDeque::new() }
    }

    /// Returns the number of the last event.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Adds an event.
    pub fn push(&mut self, at: Date, event: &RawValue) {
        self.number += 1;
        let message = ServerMessage::Event { number: self.number, at: at.to_string(), event };
        if self.kept.len() == KEPT + QUEUE {
            self.kept.pop_front();
        }
        self.kept.push_back(message.render().into());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: usize) -> Log {
        let mut log = Log::after(0);
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
        assert_eq!(Log::after(7).next(6), Next::Forgotten, "an earlier process has told it");
    }

    #[test]
    fn a_number_that_is_too_old_or_ahead_cannot_be_gone_on_from() {
        let log = filled(KEPT + 10);
        assert!(log.can_resume(10) && log.can_resume(log.number()));
        assert!(!log.can_resume(9) && !log.can_resume(log.number() + 1));
        assert!(!Log::after(7).can_resume(6) && Log::after(7).can_resume(7));
        let full = filled(2 * (KEPT + QUEUE));
        let oldest = (KEPT + QUEUE) as u64;
        assert!(matches!((full.next(oldest - 1), full.next(oldest)), (Next::Forgotten, Next::Message(_))));
    }
}
