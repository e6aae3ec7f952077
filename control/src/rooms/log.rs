//! The log of a room: its last events with their numbers, so that a client that was away can go on where it stopped.
//!
//! Numbers rise by one from 1 and belong to an epoch, which is one life of the room. An event is rendered once for
//! everybody.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;

use onmic_media::Date;

use super::event::ServerMessage;
use crate::random;

/// The number of events that a log keeps, which is some minutes of a lively room.
pub const KEPT: usize = 512;

/// The log of one life of a room.
#[derive(Debug)]
pub struct Log {
    epoch: String,
    number: u64,
    /// The messages of the last events. The newest has `number`.
    kept: VecDeque<Bytes>,
}

impl Log {
    /// Begins the log of a new life of a room.
    pub fn new() -> Self {
        Self { epoch: random::id(), number: 0, kept: VecDeque::new() }
    }

    /// Goes on with the log of a life that an earlier process began. No message of that time is kept.
    pub fn resumed(epoch: String, number: u64) -> Self {
        Self { epoch, number, kept: VecDeque::new() }
    }

    /// Returns the id of this life of the room.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Returns the number of the last event.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Adds an event. Returns the message for clients.
    pub fn push(&mut self, at: Date, event: &RawValue) -> Bytes {
        self.number += 1;
        let message = ServerMessage::Event { number: self.number, at: at.to_string(), event };
        let message: Bytes = message.render().into();
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(message.clone());
        message
    }

    /// Returns the messages after event `number` of `epoch`, if all of them are still there.
    pub fn after(&self, epoch: &str, number: u64) -> Option<impl Iterator<Item = &Bytes>> {
        let missed = usize::try_from(self.number.checked_sub(number)?).ok()?;
        let start = self.kept.len().checked_sub(missed)?;
        (epoch == self.epoch).then(|| self.kept.range(start..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: usize) -> Log {
        let mut log = Log::new();
        for index in 0..count {
            let event = RawValue::from_string(format!(r#"{{"kind":"{index}"}}"#)).unwrap();
            log.push(Date(0), &event);
        }
        log
    }

    #[test]
    fn a_client_that_comes_back_gets_the_events_it_missed() {
        let log = filled(3);
        let epoch = log.epoch().to_owned();
        let missed: Vec<_> =
            log.after(&epoch, 1).unwrap().map(|message| std::str::from_utf8(message).unwrap()).collect();
        assert_eq!(
            missed,
            [
                r#"{"type":"event","number":2,"at":"1970-01-01T00:00:00.000Z","event":{"kind":"1"}}"#,
                r#"{"type":"event","number":3,"at":"1970-01-01T00:00:00.000Z","event":{"kind":"2"}}"#,
            ]
        );
        assert_eq!(log.after(&epoch, 3).unwrap().count(), 0);
    }

    #[test]
    fn a_number_that_is_too_old_ahead_or_of_another_epoch_gets_no_events() {
        let log = filled(KEPT + 10);
        let epoch = log.epoch().to_owned();
        assert_eq!(log.after(&epoch, 10).unwrap().count(), KEPT);
        assert!(log.after(&epoch, 9).is_none());
        assert!(log.after(&epoch, log.number() + 1).is_none());
        assert!(log.after("another", log.number()).is_none());
    }
}
