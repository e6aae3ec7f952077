//! The WebSockets of the simulation. They come in by the checks of their route, and what they say is taken in by the function that
//! their socket calls for each text ([`crate::api::client`]). There is no socket.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use onmic_http::{BasePath, Problem};
use onmic_room::{PersonId, RoomName};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::call::Answer;
use super::token::{Shows, Verdict};
use super::wish::{Asker, Wish};
use super::{Open, Place, World};
use crate::api::Api;
use crate::api::client::{Client, Comer, Coming, EventsQuery, conclude};
use crate::rooms::mailbox::Closing;

/// The statuses of problems in answers over the WebSocket.
const REFUSED: [u64; 6] = [400, 403, 404, 409, 422, 429];

/// Where a client that has come in is taken from.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Client>>>);

/// A client of the events of a room.
pub(super) struct Socket {
    pub client: Client,
    pub reads: bool,
    /// The number of commands that it has given.
    said: u64,
}

impl Socket {
    pub fn closing(&self) -> Option<Closing> {
        self.client.mailbox.closing()
    }

    /// Takes out what waits. Returns the answers and tickets among it.
    pub fn hear(&mut self) -> Vec<Value> {
        let is_own = |message: &Bytes| {
            [r#"{"type":"answer""#, r#"{"type":"ticket""#].iter().any(|own| message.starts_with(own.as_bytes()))
        };
        let own = self.messages().filter(is_own);
        own.map(|message| serde_json::from_slice(&message).unwrap()).collect()
    }

    /// Takes out what waits.
    pub fn messages(&mut self) -> impl Iterator<Item = Bytes> {
        std::iter::from_fn(|| self.client.messages.try_recv())
    }
}

/// Returns the route of events up to the switch to WebSocket.
pub(super) fn doorway(api: Api) -> Router {
    async fn come(
        State(api): State<Api>,
        Path(room): Path<String>,
        query: Result<Query<EventsQuery>, QueryRejection>,
        comer: Comer,
        base_path: BasePath,
        Extension(Slot(slot)): Extension<Slot>,
    ) -> Result<StatusCode, Problem> {
        let coming = Coming::check(&api, &room, query, comer)?;
        *slot.lock() = Some(Client::enter(api, coming, base_path)?);
        Ok(StatusCode::SWITCHING_PROTOCOLS)
    }
    Router::new().route("/api/v1/rooms/{room}/events", get(come)).with_state(api)
}

impl World {
    /// Opens a connection to the events of a room.
    pub(super) fn enter(&mut self, room: &RoomName, shows: &Shows, reads: bool) -> Option<Open> {
        let (verdict, before, slot) = (self.verdict(room, shows), self.state(), Slot::default());
        let path = format!("/api/v1/rooms/{room}/events");
        let mut request = self.request("get", &path, shows, Body::empty());
        request.extensions_mut().insert(slot.clone());
        let router = self.doorway.clone();
        let answer = self.runtime.block_on(async { Answer::of(router.oneshot(request).await.unwrap()).await });
        let told = || format!("events of {room} by {shows:?}: {answer:?}");
        let has_died = !self.rooms.is_settled() || !self.stage.died.lock().is_empty();
        match verdict {
            Verdict::Invalid => assert_eq!(answer.status, 401, "{}", told()),
            Verdict::Forbidden => assert_eq!(answer.status, 403, "{}", told()),
            Verdict::Good => assert!(has_died || [101, 422, 429, 503].contains(&answer.status), "{}", told()),
        }
        let Some(client) = slot.0.lock().take() else {
            assert_ne!(answer.status, 101, "{}", told());
            if !has_died {
                self.state().assert_same(&before, 0, &told);
            }
            self.hosts_find_a_place(shows, &answer);
            return None;
        };
        let person = client.speaker.connection.by.person.clone();
        if let (Some(nameless), Some(guest), Some((epoch, _))) = (&shows.nameless, &person, self.rooms.life(room)) {
            self.guests.insert((epoch, guest.clone()), nameless.clone());
        }
        Some(Open {
            room: room.clone(),
            person,
            shows: shows.clone(),
            permit: None,
            socket: Some(Socket { client, reads, said: 0 }),
            publication: None,
        })
    }

    pub(super) fn somebody_enters(&mut self) {
        let room = self.a_room();
        let ticket = if self.random.percent(8) { self.random.choose(&self.tickets).cloned() } else { None };
        let (room, shows) = match ticket {
            Some(ticket) => (ticket.name.room.clone(), self.a_ticket(&ticket)),
            None => {
                let person = self.random.percent(75).then(|| self.a_person());
                let is_host = person.as_ref().is_some_and(|person| person.as_str() == "mia");
                let shows = self.a_token(&room, if is_host { "host" } else { "viewer" }, person.as_ref());
                (room, shows)
            }
        };
        let reads = self.random.percent(80);
        match self.enter(&room, &shows, reads) {
            Some(open) => {
                self.count(if shows.nameless.is_some() { "guest entered" } else { "entered" });
                if shows.ticket.is_some() {
                    self.count("entered with a ticket");
                }
                self.open.push(open);
            }
            None => self.count("refused"),
        }
    }

    /// Lets somebody give a command over their WebSocket.
    pub(super) fn somebody_says(&mut self) {
        let speaks = |open: &Open| open.socket.as_ref().is_some_and(|socket| socket.reads);
        let speakers: Vec<_> = (0..self.open.len()).filter(|index| speaks(&self.open[*index])).collect();
        let Some(index) = self.random.choose(&speakers).copied() else { return };
        let Open { room, person, shows, .. } = &self.open[index];
        let (room, asker) = (room.clone(), Asker { role: shows.role, person: person.clone() });
        let wish = self.a_wish(&room, &asker);
        self.say(index, &room, &asker, &wish);
    }

    /// Gives a command over a WebSocket, and checks what comes of it.
    fn say(&mut self, index: usize, room: &RoomName, asker: &Asker, wish: &Wish) {
        let Some(command) = &wish.command else { return };
        let (before, answers) = (self.state(), self.answers_for(room, &wish.follows));
        let (may, now) = (self.may(room, asker, &wish.right), self.clock.now());
        let is_late = self.is_too_fast(room, asker.person.as_ref().unwrap(), command["kind"] == "chat", now);
        let socket = self.open[index].socket.as_mut().unwrap();
        socket.said += 1;
        let text = json!({"type": "command", "id": socket.said, "command": command}).to_string();
        let Client { speaker, conduct, mailbox, .. } = &mut socket.client;
        let outcome = self.runtime.block_on(speaker.handle_text(text.into()));
        if let Some(closing) = conclude(outcome, conduct, mailbox, now) {
            mailbox.close(closing);
        }
        let (heard, id) = (socket.hear(), socket.said);
        let answer = heard.iter().find(|message| message["type"] == "answer" && message["id"] == id).cloned();
        let has_lost = socket.closing().is_some();
        self.take_tickets(&heard);
        let told = || format!("{command} in {room} by {asker:?}: {answer:?}");
        let answer = answer.as_ref().unwrap_or_else(|| panic!("no answer, closed: {has_lost}: {}", told()));
        let (is_done, status) = (answer["ok"] == true, answer["problem"]["status"].as_u64().unwrap_or_default());
        let code = answer["problem"]["code"].as_str().unwrap_or_default();
        assert!(may || !is_done, "done although they may not: {}", told());
        assert!(is_done || REFUSED.contains(&status), "{}", told());
        assert!(!may || status != 403, "refused although they may: {}", told());
        let is_greedy = asker.person.as_ref().is_some_and(|person| person.as_str() == "greedy");
        let own_fault = is_late || is_greedy || self.open[index].shows.nameless.is_some();
        assert!(status != 429 || own_fault || code.ends_with("-full"), "others have taken what is theirs: {}", told());
        if !is_done && self.rooms.is_settled() && self.stage.died.lock().is_empty() {
            self.state().assert_same(&before, 0, &told);
        }
        self.count(if is_done { "said" } else { "denied" });
        if is_done {
            self.follow(room, &wish.follows, answers);
        }
    }

    /// Notes the tickets among messages.
    pub(super) fn take_tickets(&mut self, heard: &[Value]) {
        for message in heard.iter().filter(|message| message["type"] == "ticket") {
            let text = |name: &str| message["ticket"][name].as_str().unwrap().to_owned();
            let name =
                onmic_media::SourceName::new(&text("room").parse().unwrap(), &text("participant").parse().unwrap());
            let person: PersonId = text("person").parse().unwrap();
            self.tickets.push(Place { name, person, token: text("token"), lost: None });
        }
    }

    /// Lets those who read read.
    pub(super) fn read(&mut self) {
        let sockets = self.open.iter_mut().filter_map(|open| open.socket.as_mut()).filter(|socket| socket.reads);
        let heard: Vec<Value> = sockets.flat_map(Socket::hear).filter(|message| message["type"] == "ticket").collect();
        self.take_tickets(&heard);
    }
}
