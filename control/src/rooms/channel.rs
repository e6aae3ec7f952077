//! The channel of a room: its last events, and the clients that are told them.
//!
//! An event is put once, into the log. A client takes it out of the log when it is about to send it. So an event costs the same
//! under the lock of the room however many clients there are, and waits in memory once. What is left is to wake the clients,
//! which takes about 0.2 µs for each. A few are woken by whoever puts the event. Of many the [`Ringer`] wakes a few at a time, and
//! lets other tasks run in between.
//!
//! A channel belongs to one life of its room.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::task::yield_now;

use onmic_media::Date;

use super::log::{Log, LogSpace};
use super::mailbox::{Closing, Mailbox};
use crate::random;

/// The most clients that are woken in a row, which takes about 50 µs.
const AT_ONCE: usize = 256;

/// The events of one life of a room, and its clients.
#[derive(Debug)]
pub struct Channel {
    epoch: String,
    log: Arc<RwLock<Log>>,
    clients: Mutex<BTreeMap<u64, Arc<Mailbox>>>,
    /// Why the channel is over.
    over: OnceLock<Closing>,
    /// Whether the ringer has it to do.
    is_due: AtomicBool,
}

impl Channel {
    /// Begins the channel of a new life of a room.
    pub fn new(space: Arc<LogSpace>) -> Arc<Self> {
        Self::resumed(random::id(), 0, space)
    }

    /// Goes on with a life that an earlier process began, after event `number`. No message of that time is kept.
    pub fn resumed(epoch: String, number: u64, space: Arc<LogSpace>) -> Arc<Self> {
        let (log, clients) = (Arc::new(RwLock::new(Log::after(number, space))), Mutex::default());
        Arc::new(Self { epoch, log, clients, over: OnceLock::new(), is_due: AtomicBool::new(false) })
    }

    /// Returns the id of this life of the room.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Returns the number of the last event.
    pub fn number(&self) -> u64 {
        self.log.read().number()
    }

    /// Returns whether a client that has seen event `number` of `epoch` may go on from there.
    pub fn can_resume(&self, epoch: &str, number: u64) -> bool {
        epoch == self.epoch && self.log.read().can_resume(number)
    }

    /// Adds an event. Nobody is told yet.
    pub fn push(&self, at: Date, event: &RawValue) {
        self.log.write().push(at, event);
    }

    /// Connects a client, which hears the events after `heard`.
    pub fn connect(&self, client: u64, mailbox: Arc<Mailbox>, heard: u64) {
        mailbox.listen(self.log.clone(), heard);
        self.clients.lock().insert(client, mailbox);
    }

    /// Removes a client.
    pub fn disconnect(&self, client: u64) {
        self.clients.lock().remove(&client);
    }

    /// Closes all clients. They are told the events before that.
    fn end(&self, closing: Closing) {
        let _ = self.over.set(closing); // The first reason holds.
    }

    /// Wakes the clients after this one, a few at most. Returns the last of them if others follow.
    fn ring(&self, after: Option<u64>) -> Option<u64> {
        let (number, over) = (self.number(), self.over.get());
        let clients = self.clients.lock();
        let bounds: (_, Bound<u64>) = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut last = None;
        for (client, mailbox) in clients.range::<u64, _>(bounds).take(AT_ONCE) {
            mailbox.ring(number);
            if let Some(closing) = over {
                mailbox.close(*closing);
            }
            last = Some(*client);
        }
        let last = last?;
        clients.range::<u64, _>((Bound::Excluded(last), Bound::Unbounded)).next().map(|_| last)
    }
}

/// Wakes the clients of rooms that have many of them. A channel is in it once, whatever happens in its room meanwhile.
#[derive(Debug, Default)]
pub struct Ringer {
    due: Mutex<VecDeque<Arc<Channel>>>,
    bell: Notify,
}

impl Ringer {
    /// Wakes the clients of a channel, or has it done.
    pub fn ring(&self, channel: &Arc<Channel>) {
        let many = channel.clients.lock().len() > AT_ONCE;
        if !many {
            channel.ring(None);
        } else if !channel.is_due.swap(true, Ordering::AcqRel) {
            self.due.lock().push_back(channel.clone());
            self.bell.notify_one();
        }
    }

    /// Closes the clients of a channel.
    pub fn end(&self, channel: &Arc<Channel>, closing: Closing) {
        channel.end(closing);
        self.ring(channel);
    }

    /// Wakes clients for ever.
    pub async fn run(&self) {
        loop {
            let next = self.due.lock().pop_front();
            let Some(channel) = next else {
                self.bell.notified().await;
                continue;
            };
            // What is put from now on is for another round.
            channel.is_due.store(false, Ordering::Release);
            let mut last = channel.ring(None);
            while let Some(client) = last {
                yield_now().await;
                last = channel.ring(Some(client));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::future::join_all;

    use super::super::log::{KEPT, QUEUE};
    use super::super::mailbox::Messages;
    use super::*;

    fn say(channel: &Arc<Channel>, ringer: &Ringer, text: usize) {
        channel.push(Date(0), &RawValue::from_string(format!(r#"{{"kind":"{text}"}}"#)).unwrap());
        ringer.ring(channel);
    }

    /// Returns the kinds of the events, and other messages as they are.
    fn heard(messages: &mut Messages) -> Vec<String> {
        let text = |message: Bytes| {
            let text = std::str::from_utf8(&message).unwrap();
            text.split(r#""kind":""#).nth(1).map_or(text, |rest| rest.split('"').next().unwrap()).to_owned()
        };
        std::iter::from_fn(|| messages.try_recv()).map(text).collect()
    }

    fn connect(channel: &Arc<Channel>, client: u64, heard: u64) -> (Arc<Mailbox>, Messages) {
        let (mailbox, messages) = Mailbox::new();
        mailbox.put("hello".into());
        channel.connect(client, mailbox.clone(), heard);
        (mailbox, messages)
    }

    #[test]
    fn a_client_hears_events_and_what_it_alone_is_told_in_the_order_in_which_it_was_said() {
        let (channel, ringer) = (Channel::new(Arc::default()), Ringer::default());
        say(&channel, &ringer, 1);
        let (mailbox, mut messages) = connect(&channel, 1, 1);
        say(&channel, &ringer, 2);
        mailbox.put("ticket".into());
        mailbox.put("answer".into());
        say(&channel, &ringer, 3);
        assert_eq!(heard(&mut messages), ["hello", "2", "ticket", "answer", "3"]);
        mailbox.put("answer".into());
        assert_eq!(heard(&mut messages), ["answer"]);
        let (_mailbox, mut others) = connect(&channel, 2, 1);
        assert_eq!(heard(&mut others), ["hello", "2", "3"], "one that was away hears what it has missed");
    }

    #[test]
    fn a_client_for_which_too_much_waits_is_closed_and_others_are_not() {
        let (channel, ringer) = (Channel::new(Arc::default()), Ringer::default());
        let ((slow, _full), (reader, mut messages)) = (connect(&channel, 1, 0), connect(&channel, 2, 0));
        for text in 1..=QUEUE {
            assert_eq!(slow.closing(), None, "{text}");
            say(&channel, &ringer, text);
            heard(&mut messages);
        }
        assert_eq!((slow.closing(), reader.closing()), (Some(Closing::Slow), None));
        let (away, mut missed) = connect(&channel, 3, 0);
        assert_eq!(away.closing(), None, "what it missed before it came does not count");
        (0..QUEUE).for_each(|text| say(&channel, &ringer, text));
        assert_eq!((away.closing(), heard(&mut missed).len()), (Some(Closing::Slow), 1 + 2 * QUEUE));
        let (told, _own) = Mailbox::new();
        (0..=QUEUE).for_each(|_| told.put("ticket".into()));
        assert_eq!(told.closing(), Some(Closing::Slow));
    }

    #[test]
    fn a_client_that_was_away_goes_on_as_long_as_nothing_is_forgotten() {
        let (channel, ringer) = (Channel::new(Arc::default()), Ringer::default());
        (1..=KEPT + 1).for_each(|text| say(&channel, &ringer, text));
        let epoch = channel.epoch().to_owned();
        assert!(channel.can_resume(&epoch, 1) && !channel.can_resume(&epoch, 0) && !channel.can_resume("other", 1));
        assert!(!channel.can_resume(&epoch, KEPT as u64 + 2), "it is ahead");
        let (mailbox, mut messages) = connect(&channel, 1, 1);
        (0..QUEUE - 1).for_each(|text| say(&channel, &ringer, text));
        assert_eq!((heard(&mut messages).len(), mailbox.closing()), (1 + KEPT + QUEUE - 1, None));
    }

    #[test]
    fn a_client_whose_next_event_is_forgotten_for_its_bytes_is_closed_as_too_slow() {
        let (channel, ringer) = (Channel::new(Arc::default()), Ringer::default());
        let ((slow, mut late), (reader, mut messages)) = (connect(&channel, 1, 0), connect(&channel, 2, 0));
        for _ in 0..40 {
            let event = format!(r#"{{"kind":"{}"}}"#, "x".repeat(170_000));
            channel.push(Date(0), &RawValue::from_string(event).unwrap());
            ringer.ring(&channel);
            heard(&mut messages);
        }
        assert_eq!(heard(&mut late), ["hello"]);
        assert_eq!((slow.closing(), reader.closing()), (Some(Closing::Slow), None));
        assert!(!channel.can_resume(channel.epoch(), 0), "it comes back, and gets a snapshot");
    }

    #[tokio::test]
    async fn many_clients_are_woken_a_few_at_a_time_and_all_of_them() {
        let (channel, ringer) = (Channel::new(Arc::default()), Arc::new(Ringer::default()));
        let mut all: Vec<_> = (0..3 * AT_ONCE as u64).map(|client| connect(&channel, client, 0)).collect();
        all.iter_mut().for_each(|(_, messages)| assert_eq!(heard(messages), ["hello"]));
        let waiting = join_all(all.iter_mut().map(|(_, messages)| messages.recv()));
        let saying = async {
            yield_now().await; // All wait before it.
            say(&channel, &ringer, 1);
            say(&channel, &ringer, 2);
            assert_eq!(ringer.due.lock().len(), 1, "a channel is in it once");
        };
        let ringing = tokio::spawn({
            let ringer = ringer.clone();
            async move { ringer.run().await }
        });
        let (told, ()) = tokio::join!(waiting, saying);
        assert!(told.iter().all(|message| message.ends_with(br#"{"kind":"1"}}"#)));
        ringer.end(&channel, Closing::Ended);
        for (mailbox, messages) in &mut all {
            mailbox.closed().await;
            assert_eq!((mailbox.closing(), heard(messages)), (Some(Closing::Ended), vec!["2".to_owned()]));
        }
        ringing.abort();
        let gone = Arc::downgrade(&channel);
        drop((channel, all, ringing.await));
        assert!(gone.upgrade().is_none(), "nothing holds the channel of a room that is over");
    }
}
