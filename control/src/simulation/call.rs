//! The calls of REST: requests through the routes of the API, some of whose bodies come late, and what each answer must be.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, header};
use onmic_room::{ParticipantName, PersonId, RoomName};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tower::ServiceExt;

use super::World;
use super::token::{Shows, Verdict};
use super::wish::{Asker, Follows, Wish};
use crate::bans::Ban;
use crate::ticket::Good;

const ROOMS: &str = "/api/v1/rooms";

/// The statuses that the OpenAPI document has for each method and route.
static DOCUMENTED: LazyLock<HashMap<(String, String), BTreeSet<u16>>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let mut documented = HashMap::new();
    for (route, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(responses) = operation["responses"].as_object() else { continue };
            let statuses = responses.keys().map(|status| status.parse().unwrap()).collect();
            documented.insert((method.clone(), route.clone()), statuses);
        }
    }
    documented
});

/// All that the rooms show at one time.
#[derive(Debug)]
pub(super) struct State {
    /// How many permits and connections there are.
    held: (usize, usize),
    opened: usize,
    rooms: Vec<OfRoom>,
    bans: Vec<Vec<(PersonId, Ban)>>,
}

/// The life of a room with the number of its last event, what it shows, and its tickets.
type OfRoom = (Option<(String, u64)>, Option<Arc<RawValue>>, Vec<(ParticipantName, Good)>, RoomName);

impl State {
    /// Asserts that it is the same as before, but for this many permits more.
    pub fn assert_same(&self, before: &Self, more: isize, told: &dyn Fn() -> String) {
        let held = (before.held.0.saturating_add_signed(more), before.held.1);
        assert_eq!(self.held, held, "refused, and permits or connections have changed: {}", told());
        assert_eq!((self.opened, &self.bans), (before.opened, &before.bans), "{}", told());
        assert_eq!(self.rooms.len(), before.rooms.len(), "{}", told());
        for (now, before) in self.rooms.iter().zip(&before.rooms) {
            assert_eq!((&now.0, &now.2, &now.3), (&before.0, &before.2, &before.3), "{}", told());
            let [now, before] = [&now.1, &before.1].map(|shown| shown.as_deref().map(RawValue::get));
            assert_eq!(now, before, "{}", told());
        }
    }
}

/// What a request is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Value,
    has_retry_after: bool,
}

impl Answer {
    pub fn is_done(&self) -> bool {
        self.status < 300
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub async fn of(response: Response<Body>) -> Self {
        let status = response.status().as_u16();
        let has_retry_after = response.headers().contains_key(header::RETRY_AFTER);
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Self { status, body: serde_json::from_slice(&body).unwrap_or_default(), has_retry_after }
    }
}

/// A request whose body has not come yet.
pub(super) struct Begun {
    answer: Pin<Box<dyn Future<Output = Answer>>>,
    body: oneshot::Sender<Bytes>,
    room: RoomName,
    shows: Shows,
    wish: Wish,
    /// Whether the one who called has been sent out since.
    pub is_void: bool,
}

impl Begun {
    /// Returns whether what is sent out with this person, or with whoever answers for it, has begun this.
    pub fn is_of(&self, room: &RoomName, person: &PersonId) -> bool {
        self.room == *room && self.shows.person.as_ref() == Some(person)
    }

    /// Returns whether it still holds the right to be carried out.
    pub fn holds(&self, now: Instant) -> bool {
        !self.is_void && self.shows.until.is_none_or(|until| now < until)
    }
}

impl World {
    pub(super) fn request(&self, method: &str, path: &str, shows: &Shows, body: Body) -> Request<Body> {
        let peer = ConnectInfo(SocketAddr::new(shows.address, 50_000));
        let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(path).extension(peer);
        if let Some(token) = &shows.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(body).unwrap()
    }

    /// Calls a route, and checks what comes of it.
    pub(super) fn call(&mut self, room: &RoomName, shows: &Shows, asker: &Asker, wish: &Wish) -> Answer {
        let body = wish.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = self.request(wish.method, &wish.path, shows, body);
        let (before, answers) = (self.state(), self.answers_for(room, &wish.follows));
        let verdict = self.verdict(if wish.method == "get" && wish.route == ROOMS { &shows.room } else { room }, shows);
        let may = self.may(room, asker, &wish.right);
        let router = self.router.clone();
        let answer = self.runtime.block_on(async { Answer::of(router.oneshot(request).await.unwrap()).await });
        let told = || format!("{} {} by {shows:?}: {answer:?}", wish.method, wish.path);
        match verdict {
            Verdict::Invalid => assert_eq!(answer.status, 401, "{}", told()),
            Verdict::Forbidden => assert_eq!(answer.status, 403, "{}", told()),
            Verdict::Good if may => assert!(![401, 403].contains(&answer.status), "refused, and they may: {}", told()),
            Verdict::Good => assert!(!answer.is_done(), "done, and they may not: {}", told()),
        }
        self.check_answer(&answer, wish, &before, &told);
        self.check_rate(&answer, room, asker, wish, &told);
        self.count(if answer.is_done() { "called" } else { "call refused" });
        if answer.is_done() {
            self.follow(room, &wish.follows, answers);
        }
        answer
    }

    /// Asserts that the answer is one that the document has, and that nothing has changed where it refuses.
    fn check_answer(&self, answer: &Answer, wish: &Wish, before: &State, told: &dyn Fn() -> String) {
        let documented = &DOCUMENTED[&(wish.method.to_owned(), wish.route.to_owned())];
        assert!(documented.contains(&answer.status), "the document has {documented:?}: {}", told());
        assert!(answer.status != 429 || answer.has_retry_after || answer.code().ends_with("-full"), "{}", told());
        // A room that has failed is gone, whatever was asked of it.
        if !answer.is_done() && self.rooms.is_settled() && self.stage.died.lock().is_empty() {
            self.state().assert_same(before, 0, told);
        }
    }

    pub(super) fn somebody_calls(&mut self) {
        let (room, asker) = (self.a_room(), self.an_asker());
        let wish = self.a_wish(&room, &asker);
        let ticket = if self.random.percent(8) { self.random.choose(&self.tickets).cloned() } else { None };
        let Some(ticket) = ticket else {
            let shows = self.a_token(&room, asker.role, asker.person.as_ref());
            self.call(&room, &shows, &asker, &wish);
            return;
        };
        let (shows, asker) = (self.a_ticket(&ticket), Asker { role: "co-host", person: Some(ticket.person.clone()) });
        self.call(&room, &shows, &asker, &wish);
        self.count("called with a ticket");
    }

    /// Begins a call whose body comes later, if at all.
    pub(super) fn somebody_begins_to_call(&mut self) {
        let (room, asker) = (self.a_room(), self.an_asker());
        let wish = self.a_wish(&room, &asker);
        if wish.body.is_none() || wish.route == ROOMS || asker.person.is_none() {
            return;
        }
        let shows = self.a_token(&room, asker.role, asker.person.as_ref());
        let (body, coming) = oneshot::channel();
        let request = self.request(wish.method, &wish.path, &shows, Body::from_stream(futures::stream::once(coming)));
        let (before, router, verdict) = (self.state(), self.router.clone(), self.verdict(&room, &shows));
        let mut answer: Pin<Box<dyn Future<Output = Answer>>> =
            Box::pin(async move { Answer::of(router.oneshot(request).await.unwrap()).await });
        let polled = self.runtime.block_on(std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))));
        let told = || format!("{} {} by {shows:?}", wish.method, wish.path);
        match polled {
            Poll::Ready(answer) => self.check_answer(&answer, &wish, &before, &told),
            Poll::Pending => {
                assert_eq!(verdict, Verdict::Good, "a stranger is waited for: {}", told());
                self.state().assert_same(&before, 1, &told);
                self.begun.push(Begun { answer, body, room, shows, wish, is_void: false });
            }
        }
    }

    /// Lets the body of a call come.
    pub(super) fn a_body_comes(&mut self) {
        if self.begun.is_empty() {
            return;
        }
        let index = self.random.below(self.begun.len() as u64) as usize;
        let Begun { answer, body, room, shows, wish, is_void } = self.begun.swap_remove(index);
        if self.random.percent(20) {
            return; // The connection has broken off.
        }
        let answers = self.answers_for(&room, &wish.follows);
        let asker = Asker { role: shows.role, person: shows.person.clone() };
        let in_time = shows.until.is_none_or(|until| self.clock.now() < until);
        let may = !is_void && in_time && self.may(&room, &asker, &wish.right);
        let before = self.state();
        body.send(wish.body.as_ref().unwrap().to_string().into()).unwrap();
        let answer = self.runtime.block_on(answer);
        let told = || format!("{} {} by {shows:?}, late: {answer:?}", wish.method, wish.path);
        assert!(may || !answer.is_done(), "done, and they may no longer: {}", told());
        if answer.is_done() || self.stage.died.lock().is_empty() {
            let documented = &DOCUMENTED[&(wish.method.to_owned(), wish.route.to_owned())];
            assert!(documented.contains(&answer.status), "the document has {documented:?}: {}", told());
        }
        if !answer.is_done() && self.rooms.is_settled() && self.stage.died.lock().is_empty() {
            let more = if !is_void && in_time { -1 } else { 0 };
            self.state().assert_same(&before, more, &told);
        }
        self.is_too_fast(&room, asker.person.as_ref().unwrap(), wish.route.ends_with("/chat"), self.clock.now());
        self.count(if is_void { "called too late" } else { "called late" });
        if answer.is_done() {
            self.follow(&room, &wish.follows, answers);
        }
    }

    /// Returns all that the rooms show.
    pub(super) fn state(&self) -> State {
        let (now, standing) = (self.clock.now(), &self.standing);
        let of_room = |room: RoomName| {
            let shown = self.rooms.room(&room).map(|(shown, _)| shown);
            (self.rooms.life(&room), shown, standing.tickets.of_room(&room), room)
        };
        State {
            held: self.rooms.held(),
            opened: self.rooms.opened_by_somebody(),
            rooms: self.rooms.names().into_iter().map(|(room, _)| of_room(room)).collect(),
            bans: self.names.iter().map(|room| standing.bans.of(room, now)).collect(),
        }
    }

    /// Asserts that nobody but the greedy one is told to wait who has not been too fast, and nobody that the server is full.
    fn check_rate(&mut self, answer: &Answer, room: &RoomName, asker: &Asker, wish: &Wish, told: &dyn Fn() -> String) {
        assert_ne!(answer.status, 503, "{}", told());
        let (Some(person), now) = (&asker.person, self.clock.now()) else {
            return assert!(answer.status != 429, "nobody counts for a backend or a stranger: {}", told());
        };
        let is_chat = wish.route.ends_with("/chat");
        let is_late = self.is_too_fast(room, person, is_chat, now);
        if answer.status == 429 && person.as_str() != "greedy" {
            assert!(answer.code() == "too-fast" && is_late, "others have taken what is theirs: {}", told());
        }
    }

    /// Counts a command of somebody. Returns whether they have given so many that they have to wait.
    pub(super) fn is_too_fast(&mut self, room: &RoomName, person: &PersonId, is_chat: bool, now: Instant) -> bool {
        self.asked.retain(|(at, ..)| now.duration_since(*at) < super::RATE_KEPT);
        self.asked.push_back((now, room.clone(), person.clone(), is_chat));
        let own = self.asked.iter().filter(|(_, of, by, _)| of == room && by == person);
        own.clone().count() > 30 || own.filter(|(.., chat)| *chat).count() > 5
    }

    /// Returns who answers for the guest who is sent out by something.
    pub(super) fn answers_for(&self, room: &RoomName, follows: &Follows) -> Option<onmic_media::name::Principal> {
        let (Follows::SentOut(person) | Follows::Banned(person, _)) = follows else { return None };
        let (epoch, _) = self.rooms.life(room)?;
        self.guests.get(&(epoch, person.clone())).cloned()
    }
}
