//! The mailbox of one client of a room: a bounded queue of messages, which are JSON as text, and why it was closed.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use onmic_media::{Closed, Ending};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The most messages that may wait for a client, which is some seconds of a lively room.
const QUEUE: usize = 256;

/// The reason why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// More than [`QUEUE`] messages wait, or one waits for too long. Whoever drives the connection counts it.
    Slow,
    /// The room ended.
    Ended,
    /// The node stops.
    Stopping,
    /// The client sent nothing for too long.
    Silent,
    /// A message was too large.
    TooLarge,
    /// A message was not text.
    Binary,
    /// Too many messages in a row were refused.
    Nonsense,
    /// The client broke the protocol of WebSockets.
    Malformed,
    /// The right to be connected is over.
    Permit(Ending),
}

impl From<Closing> for Closed {
    fn from(closing: Closing) -> Self {
        match closing {
            Closing::Slow => Self::Slow,
            Closing::Ended => Self::Over,
            Closing::Stopping => Self::Stopping,
            Closing::Silent => Self::Silent,
            Closing::TooLarge => Self::TooLarge,
            Closing::Binary | Closing::Malformed => Self::Malformed,
            Closing::Nonsense => Self::Refused,
            Closing::Permit(why) => why.into(),
        }
    }
}

/// The end at which messages for one client are put. It never waits: a full mailbox is closed.
#[derive(Debug)]
pub struct Mailbox {
    queue: mpsc::Sender<Bytes>,
    closing: OnceLock<Closing>,
    closed: CancellationToken,
    /// The messages that a client missed. They are kept apart, because they may be more than the queue holds.
    missed: parking_lot::Mutex<Vec<Bytes>>,
}

impl Mailbox {
    /// Returns an empty mailbox and the end at which its messages come out.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let (closing, closed, missed) = (OnceLock::new(), CancellationToken::new(), parking_lot::Mutex::default());
        (Arc::new(Self { queue, closing, closed, missed }), messages)
    }

    /// Adds a message.
    pub fn put(&self, message: Bytes) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(message) {
            self.close(Closing::Slow);
        }
    }

    /// Adds the messages that follow right after the first one.
    pub fn put_all(&self, messages: Vec<Bytes>) {
        *self.missed.lock() = messages;
    }

    /// Takes out the messages that follow right after the first one.
    pub fn take_missed(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.missed.lock())
    }

    /// Returns the reason if the mailbox is closed.
    pub fn closing(&self) -> Option<Closing> {
        self.closing.get().copied()
    }

    /// Completes when the mailbox is closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Ends the connection. The client is told the first reason. Returns whether it was this one.
    pub fn close(&self, closing: Closing) -> bool {
        let first = self.closing.set(closing).is_ok();
        self.closed.cancel();
        first
    }
}
