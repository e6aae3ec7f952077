//! Webhooks, which tell the events of rooms and seats to a business by HTTP.
//!
//! [`Outbox::put`] never waits. The number of events that wait is bounded, and the oldest is dropped first. The order
//! within a room is kept, and a room whose event is tried again holds up no other room. Each body is signed: see
//! [`sign`].

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
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
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use onmic_media::{Date, DropReason, metric};
use onmic_room::RoomName;

use crate::random::hex;

/// The most events that may wait.
pub const WAITING_MAX: usize = 1_000;
/// The most requests at once.
const REQUESTS_MAX: usize = 16;
/// How long the receiver may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause between two attempts. The first is 1 s, and each is twice as long as the one before.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long an event is tried before it is given up.
const GIVE_UP: Duration = Duration::from_secs(600);

/// An event on its way to the receiver.
#[derive(Debug)]
struct Delivery {
    room: RoomName,
    body: Bytes,
}

/// The events that wait to be sent. Share it behind an `Arc`.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The events, oldest first.
    waiting: Mutex<VecDeque<Delivery>>,
    added: Notify,
}

impl Outbox {
    /// Adds an event, which is given as JSON.
    pub fn put(&self, room: &RoomName, epoch: &str, number: u64, at: Date, event: &str) {
        let body = format!(r#"{{"room":"{room}","epoch":"{epoch}","number":{number},"at":"{at}","event":{event}}}"#);
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
            DropReason::WebhookQueue.count(1);
        }
        waiting.push_back(Delivery { room: room.clone(), body: body.into() });
        drop(waiting);
        self.added.notify_one();
    }

    /// Takes out the oldest event of a room that is not among `busy`.
    fn take(&self, busy: &HashSet<RoomName>) -> Option<Delivery> {
        let mut waiting = self.waiting.lock();
        let index = waiting.iter().position(|delivery| !busy.contains(&delivery.room))?;
        waiting.remove(index)
    }

    /// Delivers events until `stop`. Those that wait then are lost.
    pub async fn run(self: Arc<Self>, receiver: Receiver, stop: CancellationToken) {
        let receiver = Arc::new(receiver);
        let mut busy = HashSet::new();
        let mut under_way = JoinSet::new();
        loop {
            while let Some(delivery) = self.take(&busy) {
                busy.insert(delivery.room.clone());
                let receiver = receiver.clone();
                under_way.spawn(async move {
                    receiver.deliver(&delivery).await;
                    delivery.room
                });
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.added.notified() => {}
                Some(done) = under_way.join_next() => {
                    if let Ok(room) = done {
                        busy.remove(&room);
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
    pub fn new(url: Uri, secret: &str) -> std::io::Result<Self> {
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
            answer.map_err(|_| format!("no answer within {ANSWER_TIMEOUT:?}"))?.map_err(|error| chain(&error))?;
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

/// Returns an error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
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
    fn the_signature_is_over_time_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let signed = sign(&key, 1_700_000_000, b"{}");
        assert!(signed.starts_with("t=1700000000,v1="), "{signed}");
        assert_eq!(signed, EXPECTED);
    }

    const EXPECTED: &str = "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
}
