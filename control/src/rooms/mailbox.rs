//! Where messages for one client of a room wait: a bounded queue, and why it was closed. Messages are JSON as text.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use onmic_media::DropReason;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait for a client; some seconds of a lively room.
const QUEUE: usize = 256;

/// Why a connection is closed by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// More than [`QUEUE`] messages wait.
    Slow,
    /// The room ended.
    Ended,
    /// The node stops.
    Stopping,
    /// Nothing was heard for too long.
    Silent,
    /// A message was too large.
    TooLarge,
    /// Not text.
    Binary,
    /// Nothing but nonsense came.
    Nonsense,
}

/// Where messages for one client are put. Never waits: a full one is closed.
#[derive(Debug)]
pub struct Mailbox {
    queue: mpsc::Sender<Bytes>,
    closing: OnceLock<Closing>,
    closed: CancellationToken,
    /// What a client missed, given at once: it may be more than the queue holds.
    missed: parking_lot::Mutex<Vec<Bytes>>,
}

impl Mailbox {
    /// An empty one, and where its messages come out.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let (closing, closed, missed) = (OnceLock::new(), CancellationToken::new(), parking_lot::Mutex::default());
        (Arc::new(Self { queue, closing, closed, missed }), messages)
    }

    /// Adds a message.
    pub fn put(&self, message: Bytes) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(message)
            && self.close(Closing::Slow)
        {
            DropReason::BehindRoomClient.count(1);
        }
    }

    /// Adds what comes right after the first message.
    pub fn put_all(&self, messages: Vec<Bytes>) {
        *self.missed.lock() = messages;
    }

    /// Takes out what comes right after the first message.
    pub fn take_missed(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.missed.lock())
    }

    /// Why it is closed, if it is.
    pub fn closing(&self) -> Option<Closing> {
        self.closing.get().copied()
    }

    /// Completes when it is closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Ends the connection; the first reason is told. Whether it was this one.
    pub fn close(&self, closing: Closing) -> bool {
        let first = self.closing.set(closing).is_ok();
        self.closed.cancel();
        first
    }
}
