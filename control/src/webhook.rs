//! Webhooks, which tell the events of rooms and seats to a business by HTTP.
//!
//! [`Outbox::put`] never waits. The events that wait are bounded in number and in bytes, and the oldest of the room with the most is dropped first. The order
//! within a room is kept, and a room whose event is tried again holds up no other room. Each body is signed: see
//! [`sign`]. With a store, events outlive the process: each is kept until it is delivered or given up, so one that was delivered
//! right before a crash may come again, with the same id.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use axum::http::{HeaderValue, Method, Request, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use metrics::counter;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use onmic_media::life::{count_death, guarded};
use onmic_media::{Date, DropReason, metric, with_causes};
use onmic_room::RoomName;
use onmic_store::Store;

use crate::random::{self, hex};

/// The most events that may wait.
pub const WAITING_MAX: usize = 1_000;
/// The most bytes of them: 1,000 of 32 KiB, or 190 of the longest, which repeat 16 overlays of text.
const BYTES_MAX: usize = WAITING_MAX * EVENT_BYTES;
/// What an event counts at least, so that one bound holds for the number and the bytes.
const EVENT_BYTES: usize = 32 << 10;
/// The most requests at once.
const REQUESTS_MAX: usize = 16;
/// How long the receiver may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause between two attempts. The first is 1 s, and each is twice as long as the one before.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long an event is tried before it is given up.
const GIVE_UP: Duration = Duration::from_secs(600);

/// The version of the records in the store.
const VERSION: u32 = 1;

/// An event on its way to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivery {
    /// The place in the order of all events, by which the store has it.
    number: u64,
    room: RoomName,
    body: Bytes,
}

/// An event in the store.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    version: u32,
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

impl Delivery {
    /// Returns what it counts of [`BYTES_MAX`].
    fn cost(&self) -> usize {
        self.body.len().max(EVENT_BYTES)
    }

    fn record(&self) -> Vec<u8> {
        let record =
            Record { version: VERSION, room: self.room.as_str().into(), body: String::from_utf8_lossy(&self.body) };
        serde_json::to_vec(&record).expect("texts are JSON")
    }

    fn read(number: u64, record: &[u8]) -> Option<Self> {
        let Record { version, room, body } = serde_json::from_slice(record).ok()?;
        let room = room.parse().ok().filter(|_| version == VERSION)?;
        Some(Self { number, room, body: Bytes::from(body.into_owned()) })
    }
}

/// The events that wait to be sent. Share it behind an `Arc`.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    added: Notify,
    /// Keeps the events until they are delivered or given up.
    store: Option<Arc<Store>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The events, oldest first.
    events: VecDeque<Delivery>,
    /// Others that are being delivered, by their number, with what each counts. They may be tried again for minutes, and count as waiting.
    under_way: HashMap<u64, usize>,
    /// What all of them count, those under way included.
    cost: usize,
    /// The number of the last event.
    last: u64,
}

impl Waiting {
    /// Returns whether an event that counts this much has a place.
    fn has_room(&self, cost: usize) -> bool {
        self.cost + cost <= BYTES_MAX
    }

    /// Adds the newest event.
    fn push(&mut self, delivery: Delivery) {
        self.cost += delivery.cost();
        self.events.push_back(delivery);
    }

    /// Takes out the oldest event of the room whose events count most, so that a room loses its own first.
    fn drop_of_the_loudest(&mut self) -> Option<Delivery> {
        let mut costs = HashMap::<&RoomName, usize>::new();
        for delivery in &self.events {
            *costs.entry(&delivery.room).or_default() += delivery.cost();
        }
        // Of two rooms with as much, the one with the oldest event.
        let most = costs.values().copied().max()?;
        let index = self.events.iter().position(|delivery| costs.get(&delivery.room) == Some(&most))?;
        let dropped = self.events.remove(index)?;
        self.cost -= dropped.cost();
        Some(dropped)
    }
}

impl Outbox {
    /// Begins with the events that the process before has left in the store, in their order.
    pub fn keeping(store: Arc<Store>, left: Vec<(u64, Vec<u8>)>) -> Self {
        let mut waiting = Waiting::default();
        for (number, record) in left {
            waiting.last = waiting.last.max(number);
            let why = match Delivery::read(number, &record) {
                Some(delivery) if waiting.has_room(delivery.cost()) => {
                    waiting.push(delivery);
                    continue;
                }
                Some(_) => DropReason::WebhookQueue,
                None => DropReason::WebhookRecord,
            };
            why.count(1);
            store.remove_event(number);
        }
        Self { waiting: Mutex::new(waiting), added: Notify::new(), store: Some(store) }
    }

    /// Adds an event, which is given as JSON. It gets an id, which is the same in each attempt to deliver it.
    pub fn put(&self, room: &RoomName, epoch: &str, number: u64, at: Date, event: &str) {
        let id = random::id();
        let body = format!(
            r#"{{"id":"{id}","room":"{room}","epoch":"{epoch}","number":{number},"at":"{at}","event":{event}}}"#
        );
        let mut waiting = self.waiting.lock();
        let delivery = Delivery { number: waiting.last + 1, room: room.clone(), body: body.into() };
        while !waiting.has_room(delivery.cost()) {
            DropReason::WebhookQueue.count(1);
            match waiting.drop_of_the_loudest() {
                Some(dropped) => self.forget(dropped.number),
                None => return, // All are being delivered.
            }
        }
        waiting.last += 1;
        if let Some(store) = &self.store {
            store.put_event(delivery.number, delivery.record());
        }
        waiting.push(delivery);
        drop(waiting);
        self.added.notify_one();
    }

    /// Takes out the oldest event of a room that is not among `busy`, to deliver it. It stays in the store until [`Outbox::ended`].
    fn take(&self, busy: &HashSet<RoomName>) -> Option<Delivery> {
        let mut waiting = self.waiting.lock();
        let index = waiting.events.iter().position(|delivery| !busy.contains(&delivery.room))?;
        let delivery = waiting.events.remove(index)?;
        waiting.under_way.insert(delivery.number, delivery.cost());
        Some(delivery)
    }

    /// Notes that an event that was taken out is delivered or given up.
    fn ended(&self, number: u64) {
        let mut waiting = self.waiting.lock();
        let cost = waiting.under_way.remove(&number).unwrap_or_default();
        waiting.cost -= cost;
        drop(waiting);
        self.forget(number);
    }

    fn forget(&self, number: u64) {
        if let Some(store) = &self.store {
            store.remove_event(number);
        }
    }

    /// Delivers events until `stop`. Those that wait then are in the store, or lost without one.
    ///
    /// A receiver may answer without end, which keeps a thread busy. So the deliveries have a thread of their own. An error says why
    /// it ended before `stop`.
    pub async fn run(self: Arc<Self>, receiver: Receiver, stop: CancellationToken) -> io::Result<()> {
        let receiver = Arc::new(receiver);
        let deliver = move |delivery: Delivery| {
            let receiver = receiver.clone();
            async move { receiver.deliver(&delivery).await }
        };
        self.run_in_a_thread(deliver, stop).await
    }

    async fn run_in_a_thread<F>(
        self: Arc<Self>,
        deliver: impl Fn(Delivery) -> F + Send + 'static,
        stop: CancellationToken,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (ended, end) = oneshot::channel();
        thread::Builder::new().name("webhooks".to_owned()).spawn(move || {
            let _ = ended.send(guarded("webhooks", || runtime.block_on(self.run_with(deliver, stop))));
        })?;
        end.await.ok().flatten().ok_or_else(|| io::Error::other("the thread of webhooks died"))
    }

    /// Delivers events by `deliver`, one at a time of each room. An event whose delivery panics is given up.
    async fn run_with<F>(&self, deliver: impl Fn(Delivery) -> F, stop: CancellationToken)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut busy = HashSet::new();
        let mut tasks = JoinSet::new();
        let mut under_way: HashMap<tokio::task::Id, (RoomName, u64)> = HashMap::new();
        loop {
            while let Some(delivery) = self.take(&busy) {
                let (room, number) = (delivery.room.clone(), delivery.number);
                busy.insert(room.clone());
                under_way.insert(tasks.spawn(deliver(delivery)).id(), (room, number));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.added.notified() => {}
                Some(ended) = tasks.join_next_with_id() => {
                    let id = match ended {
                        Ok((id, ())) => id,
                        Err(error) => {
                            count_death("webhook");
                            counter!(metric::WEBHOOKS, "outcome" => "failed").increment(1);
                            error.id()
                        }
                    };
                    if let Some((room, number)) = under_way.remove(&id) {
                        busy.remove(&room);
                        self.ended(number);
                    }
                }
            }
        }
    }
}

/// The receiver of events.
pub struct Receiver {
    url: Uri,
    key: hmac::Key,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    slots: Semaphore,
}

impl Receiver {
    /// Events are posted to `url` and signed with `secret`. The receiver's certificate must be one that this system
    /// trusts.
    pub fn new(url: Uri, secret: &str) -> io::Result<Self> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots();
        let connector = match connector {
            Ok(connector) => connector.https_or_http().enable_http1().build(),
            // A system that trusts no certificate cannot post to https:, but can post to http:.
            Err(error) if url.scheme_str() == Some("http") => {
                tracing::debug!(%error, "this system trusts no certificates");
                let config = rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth();
                hyper_rustls::HttpsConnectorBuilder::new()
                    .with_tls_config(config)
                    .https_or_http()
                    .enable_http1()
                    .build()
            }
            Err(error) => return Err(error),
        };
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Ok(Self { url, key, client, slots: Semaphore::new(REQUESTS_MAX) })
    }

    async fn deliver(&self, delivery: &Delivery) {
        let begun = Instant::now();
        let mut wait = Duration::from_secs(1);
        loop {
            let failure = match self.attempt(&delivery.body).await {
                Ok(()) => {
                    counter!(metric::WEBHOOKS, "outcome" => "sent").increment(1);
                    return;
                }
                Err(failure) => failure,
            };
            if begun.elapsed() + wait > GIVE_UP {
                counter!(metric::WEBHOOKS, "outcome" => "failed").increment(1);
                tracing::warn!(room = %delivery.room, failure, "gave up a webhook");
                return;
            }
            counter!(metric::WEBHOOKS, "outcome" => "retried").increment(1);
            tracing::info!(room = %delivery.room, failure, ?wait, "a webhook failed and will be tried again");
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn attempt(&self, body: &Bytes) -> Result<(), String> {
        let _slot = self.slots.acquire().await.map_err(|error| error.to_string())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("onmic-signature", sign(&self.key, now, body))
            .body(Full::new(body.clone()))
            .map_err(|error| error.to_string())?;
        let answer = timeout(ANSWER_TIMEOUT, self.client.request(request)).await;
        let answer =
            answer.map_err(|_| format!("no answer within {ANSWER_TIMEOUT:?}"))?.map_err(|error| with_causes(&error))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("the receiver answered {}", answer.status())) }
    }
}

/// Returns `t=UNIX,v1=HEX`, where HEX is the HMAC-SHA256 of the time, a dot and the body.
fn sign(key: &hmac::Key, now: u64, body: &[u8]) -> String {
    let mut signing = hmac::Context::with_key(key);
    signing.update(format!("{now}.").as_bytes());
    signing.update(body);
    format!("t={now},v1={}", hex(signing.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use onmic_media::life::Lives;

    use super::*;

    fn put(outbox: &Outbox, room: &str, number: u64) {
        outbox.put(&room.parse().unwrap(), "e", number, Date(0), "{}");
    }

    #[test]
    fn a_room_whose_event_is_on_its_way_waits_and_others_do_not() {
        let outbox = Outbox::default();
        for (room, number) in [("a", 1), ("a", 2), ("b", 3)] {
            put(&outbox, room, number);
        }
        let mut busy = HashSet::from([outbox.take(&HashSet::new()).unwrap().room]);
        assert!(busy.contains(&"a".parse().unwrap()));
        assert_eq!(outbox.take(&busy).unwrap().room.as_str(), "b");
        assert!(outbox.take(&busy).is_none());
        busy.clear();
        let second = outbox.take(&busy).unwrap();
        assert!(std::str::from_utf8(&second.body).unwrap().contains(r#""number":2"#));
    }

    #[test]
    fn a_full_outbox_drops_its_oldest_event() {
        let outbox = Outbox::default();
        for number in 0..=WAITING_MAX as u64 {
            put(&outbox, "a", number);
        }
        let oldest = outbox.take(&HashSet::new()).unwrap();
        assert!(std::str::from_utf8(&oldest.body).unwrap().contains(r#""number":1,"#));
    }

    #[test]
    fn a_room_with_many_events_drops_its_own_and_no_other_rooms() {
        let outbox = Outbox::default();
        put(&outbox, "quiet", 1);
        for number in 2..=2 * WAITING_MAX as u64 {
            put(&outbox, "loud", number);
        }
        let oldest = outbox.take(&HashSet::new()).unwrap();
        assert_eq!((oldest.room.as_str(), outbox.waiting.lock().events.len()), ("quiet", WAITING_MAX - 1));
    }

    #[test]
    fn long_events_take_the_place_of_many_short_ones_and_cost_their_own_room() {
        let outbox = Outbox::default();
        put(&outbox, "quiet", 1);
        let event = format!(r#"{{"kind":"{}"}}"#, "x".repeat(170_000));
        for number in 2..=500 {
            outbox.put(&"loud".parse().unwrap(), "e", number, Date(0), &event);
        }
        let waiting = outbox.waiting.lock();
        let bytes: usize = waiting.events.iter().map(|delivery| delivery.body.len()).sum();
        assert!((BYTES_MAX - 400_000..=BYTES_MAX).contains(&bytes), "{bytes}");
        assert_eq!(waiting.cost, waiting.events.iter().map(Delivery::cost).sum::<usize>());
        drop(waiting);
        let taken = outbox.take(&HashSet::new()).unwrap();
        assert_eq!(taken.room.as_str(), "quiet");
        outbox.ended(taken.number);
        while let Some(taken) = outbox.take(&HashSet::new()) {
            outbox.ended(taken.number);
        }
        assert_eq!(outbox.waiting.lock().cost, 0);
    }

    #[test]
    fn events_that_are_tried_again_count_as_waiting() {
        let (outbox, mut busy) = (Outbox::default(), HashSet::new());
        (0..WAITING_MAX as u64).for_each(|number| put(&outbox, &format!("room-{number}"), number));
        let mut taken = Vec::new();
        while let Some(delivery) = outbox.take(&busy) {
            busy.insert(delivery.room.clone());
            taken.push(delivery.number);
        }
        put(&outbox, "late", 1);
        assert_eq!((taken.len(), outbox.waiting.lock().events.len()), (WAITING_MAX, 0), "it is dropped");
        outbox.ended(taken[0]);
        put(&outbox, "later", 1);
        put(&outbox, "last", 1);
        assert_eq!(outbox.take(&busy).unwrap().room.as_str(), "last");
    }

    #[tokio::test]
    async fn the_death_of_the_thread_is_an_error() {
        let outbox = Arc::new(Outbox::default());
        put(&outbox, "a", 1);
        let dies = |_: Delivery| -> std::future::Ready<()> { panic!("a fault of the outbox") };
        let ended = outbox.run_in_a_thread(dies, CancellationToken::new()).await;
        assert_eq!(ended.unwrap_err().to_string(), "the thread of webhooks died");
        let (outbox, stop) = (Arc::new(Outbox::default()), CancellationToken::new());
        stop.cancel();
        outbox.run_in_a_thread(|_| std::future::ready(()), stop).await.unwrap();
    }

    /// Delivers to a list until `stop`, and panics over the first event.
    async fn deliver_all(outbox: &Outbox, panics: bool, expected: usize) -> Vec<String> {
        let (stop, delivered) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let (list, ended, first) =
            (delivered.clone(), stop.clone(), Arc::new(std::sync::atomic::AtomicBool::new(panics)));
        let deliver = move |delivery: Delivery| {
            let (list, ended, first) = (list.clone(), ended.clone(), first.clone());
            async move {
                assert!(!first.swap(false, std::sync::atomic::Ordering::Relaxed), "a fault of the delivery");
                let mut list = list.lock();
                list.push(String::from_utf8(delivery.body.to_vec()).unwrap());
                if list.len() == expected {
                    ended.cancel();
                }
            }
        };
        outbox.run_with(deliver, stop).await;
        delivered.lock().clone()
    }

    #[tokio::test]
    async fn a_delivery_that_panics_costs_its_event_and_the_room_goes_on() {
        let outbox = Outbox::default();
        for number in 1..=3 {
            put(&outbox, "a", number);
        }
        let delivered = deliver_all(&outbox, true, 2).await;
        assert!(delivered[0].contains(r#""number":2"#) && delivered[1].contains(r#""number":3"#), "{delivered:?}");
    }

    #[tokio::test]
    async fn events_that_were_not_delivered_come_after_a_restart_with_their_ids_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (store, kept) = Store::open(&path, Lives::default()).unwrap();
        let outbox = Outbox::keeping(store.clone(), kept.events);
        for number in 1..=12 {
            put(&outbox, "a", number);
        }
        let waiting: Vec<Delivery> = outbox.waiting.lock().events.iter().cloned().collect();
        let _under_way = outbox.take(&HashSet::new()).unwrap();
        store.put_event(99, b"{}".to_vec());
        store.close();
        drop((store, outbox));
        let (store, kept) = Store::open(&path, Lives::default()).unwrap();
        assert_eq!(kept.events.len(), 13);
        let outbox = Outbox::keeping(store.clone(), kept.events);
        assert_eq!(
            outbox.waiting.lock().events.iter().cloned().collect::<Vec<_>>(),
            waiting,
            "the ids are in the bodies"
        );
        put(&outbox, "a", 13);
        assert_eq!(outbox.waiting.lock().events.back().unwrap().number, 100);
        outbox.forget(1);
        store.close();
        drop((store, outbox));
        let numbers = Store::open(&path, Lives::default()).unwrap().1.events;
        assert_eq!(
            numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            (2..=12).chain([100]).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_signature_is_over_time_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let signed = sign(&key, 1_700_000_000, b"{}");
        assert!(signed.starts_with("t=1700000000,v1="), "{signed}");
        assert_eq!(signed, EXPECTED);
    }

    const EXPECTED: &str = "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
}
