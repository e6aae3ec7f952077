//! The mailbox of one client of a room: what waits for it, which is JSON as text, and why it was closed.
//!
//! Events wait in the room's [`Log`], once for all clients. The mailbox has the number of the last one that was taken out, and
//! what this client alone is told: its first message, tickets and answers. Each of those has the number of the last event before
//! it, so a client gets everything in the order in which it was said.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use onmic_media::{Closed, Ending};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::log::{Log, Next, QUEUE};

/// The most connections of one person at once: a few windows, and connections that broke off without being noticed yet.
pub const CONNECTIONS_MAX: usize = 8;

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
    inbox: Mutex<Inbox>,
    /// Tells the client that something waits.
    bell: Notify,
    closing: OnceLock<Closing>,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Inbox {
    /// What this client alone is told, each with the number of the last event before it.
    own: VecDeque<(u64, Bytes)>,
    /// The events of the room, once the client is connected to them.
    log: Option<Arc<RwLock<Log>>>,
    /// The number of the last event that was taken out, or that the client had seen before.
    heard: u64,
    /// The events that waited when the client came, because it was away.
    missed: usize,
    /// Whether nobody takes messages out any more.
    is_left: bool,
}

impl Inbox {
    /// Returns whether more waits than may, where `number` is that of the last event.
    fn is_full(&self, number: u64) -> bool {
        let events = usize::try_from(number.saturating_sub(self.heard)).unwrap_or(usize::MAX);
        self.own.len() > QUEUE || self.own.len().saturating_add(events) > QUEUE + self.missed
    }
}

/// The end of a mailbox at which messages come out.
#[derive(Debug)]
pub struct Messages(Arc<Mailbox>);

impl Mailbox {
    /// Returns an empty mailbox and the end at which its messages come out.
    pub fn new() -> (Arc<Self>, Messages) {
        let (inbox, bell) = (Mutex::default(), Notify::new());
        let mailbox = Arc::new(Self { inbox, bell, closing: OnceLock::new(), closed: CancellationToken::new() });
        (mailbox.clone(), Messages(mailbox))
    }

    /// Adds a message to this client alone.
    pub fn put(&self, message: Bytes) {
        let mut inbox = self.inbox.lock();
        let number = inbox.log.as_ref().map_or(inbox.heard, |log| log.read().number());
        if inbox.is_left {
            return;
        }
        if inbox.own.len() <= QUEUE {
            inbox.own.push_back((number, message));
        }
        let is_full = inbox.is_full(number);
        drop(inbox);
        self.tell(is_full);
    }

    /// Lets the client hear the events of a log after event `heard`.
    pub fn listen(&self, log: Arc<RwLock<Log>>, heard: u64) {
        let missed = usize::try_from(log.read().number().saturating_sub(heard)).unwrap_or_default();
        let mut inbox = self.inbox.lock();
        (inbox.heard, inbox.missed) = (heard, missed);
        if !inbox.is_left {
            inbox.log = Some(log);
        }
        drop(inbox);
        self.bell.notify_one();
    }

    /// Tells the client that there are events up to this one, or closes it if more wait than may.
    pub fn ring(&self, number: u64) {
        let is_full = self.inbox.lock().is_full(number);
        self.tell(is_full);
    }

    fn tell(&self, is_full: bool) {
        if is_full {
            self.close(Closing::Slow);
        }
        self.bell.notify_one();
    }

    /// Takes out the next message.
    fn take(&self) -> Option<Bytes> {
        let mut inbox = self.inbox.lock();
        if inbox.own.front().is_some_and(|(after, _)| *after <= inbox.heard) {
            return inbox.own.pop_front().map(|(_, message)| message);
        }
        let next = inbox.log.as_ref()?.read().next(inbox.heard);
        match next {
            Next::Message(message) => {
                inbox.heard += 1;
                Some(message)
            }
            Next::NotYet => None,
            Next::Forgotten => {
                drop(inbox);
                self.tell(true);
                None
            }
        }
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

impl Messages {
    /// Returns the next message, if there is one.
    pub fn try_recv(&mut self) -> Option<Bytes> {
        self.0.take()
    }

    /// Waits for the next message. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Bytes {
        loop {
            if let Some(message) = self.0.take() {
                return message;
            }
            self.0.bell.notified().await; // A bell that rang meanwhile has left a permit.
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        // The channel has the mailbox, so the mailbox must not have the channel.
        *self.0.inbox.lock() = Inbox { is_left: true, ..Inbox::default() };
    }
}
