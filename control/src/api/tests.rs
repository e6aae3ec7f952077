//! Rooms as clients see them: a server on loopback and real WebSockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use futures::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header, encode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use onmic_http::BasePath;
use onmic_http::door::{self, Door};
use onmic_media::codec::vp8;
use onmic_media::hub::HubLimits;
use onmic_media::{
    Action, Arrival, Date, Gate, Hub, NodeClock, Parameters, Protocol, Rendition, Shares, Shown, SourceName, Ticks,
    WallTime,
};
use onmic_room::{Actor, Authority, Limits, Mix, RoomName, Settings};
use onmic_stage::{ProgramState, Report};

use super::Api;
use crate::auth::TokenGate;
use crate::rooms::look::{Layout, Look};
use crate::rooms::mailbox::{Closing, Mailbox};
use crate::rooms::order::Order;
use crate::rooms::program::Stage;
use crate::rooms::{Entry, Rooms, RoomsConfig};
use crate::standing::Standing;
use crate::ticket::Tickets;

const PATIENCE: Duration = Duration::from_secs(10);

/// A stage that notes what it was asked for.
#[derive(Default)]
struct Noted(Mutex<Vec<(RoomName, Mix, Look)>>);

impl Stage for Noted {
    fn direct(&self, room: &RoomName, mix: &Mix, look: &Look) {
        self.0.lock().push((room.clone(), mix.clone(), look.clone()));
    }

    fn ended(&self, _: &RoomName) {}
}

mod bodies;
mod claims;
mod counted;
mod multitrack;
mod outlives;

struct Server {
    address: SocketAddr,
    hub: Arc<Hub>,
    gate: Arc<TokenGate>,
    rooms: Arc<Rooms>,
    standing: Standing,
    stage: Arc<Noted>,
    stop: CancellationToken,
}

impl Server {
    async fn start(secret: &str, change: impl FnOnce(&mut RoomsConfig)) -> Self {
        Self::start_at(SystemTime::now(), secret, change).await
    }

    /// Starts a server whose system clock tells `system`.
    async fn start_at(system: SystemTime, secret: &str, change: impl FnOnce(&mut RoomsConfig)) -> Self {
        let mut config = RoomsConfig {
            clients: 100,
            clients_each: 100,
            of_http: Shares::endless(),
            limits: Limits::default(),
            defaults: Settings::default(),
        };
        change(&mut config);
        let hub = Hub::new(NodeClock::new(Instant::now(), system), HubLimits::default(), None);
        let standing = Standing::from(Tickets::new(secret));
        let gate = Arc::new(TokenGate::new(secret, standing.clone()));
        let (stage, stop) = (Arc::new(Noted::default()), CancellationToken::new());
        let rooms = Rooms::new(config, hub.clone(), standing.clone(), stage.clone(), None, stop.clone()).unwrap();
        tokio::spawn(rooms.clone().run(onmic_stage::reports().1));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, hub, gate, rooms, standing, stage, stop };
        let router = server.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// Returns the routes behind the door.
    fn router(&self) -> Router {
        let Self { hub, gate, rooms, .. } = self;
        let routes = Api::new(hub.clone(), gate.clone(), rooms.clone(), super::rtmp_ingest()).router();
        let door = Door::new(Vec::new(), !gate.is_closed(), BasePath::default(), Vec::new());
        Router::new().fallback_service(routes).layer(from_fn_with_state(door, door::enter))
    }

    async fn get(&self, path: &str) -> Value {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    async fn join(&self, room: &str, query: &str) -> Client {
        let mut client = self.connect(room, query).await.unwrap();
        client.hello = client.next().await;
        client
    }

    async fn connect(&self, room: &str, query: &str) -> Result<Client, StatusCode> {
        let url = format!("ws://{}/api/v1/rooms/{room}/events?{query}", self.address);
        match connect_async(url.into_client_request().unwrap()).await {
            Ok((socket, _)) => Ok(Client { socket, hello: Value::Null, ids: 0 }),
            Err(Error::Http(response)) => Err(StatusCode::from_u16(response.status().as_u16()).unwrap()),
            Err(error) => panic!("{error}"),
        }
    }
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The first message: the snapshot, or `resumed`.
    hello: Value,
    ids: u64,
}

impl Client {
    async fn next(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn message(&mut self) -> Message {
        timeout(PATIENCE, self.socket.next()).await.expect("a message").expect("a connection").unwrap()
    }

    async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.map_or(0, |frame| frame.code.into());
            }
        }
    }

    /// Returns the next event of this kind, and skips other messages.
    async fn event(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["event"]["kind"] == kind {
                return message["event"].clone();
            }
        }
    }

    async fn ticket(&mut self) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == "ticket" {
                return message["ticket"].clone();
            }
        }
    }

    async fn say(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    /// Gives a command and returns the answer, and skips messages before it.
    async fn ask(&mut self, command: Value) -> Value {
        self.ids += 1;
        self.say(json!({"type": "command", "id": self.ids, "command": command}).to_string()).await;
        loop {
            let message = self.next().await;
            if message["type"] == "answer" {
                assert_eq!(message["id"], self.ids);
                return message;
            }
        }
    }

    fn person(&self) -> String {
        self.hello["you"]["person"].as_str().unwrap().to_owned()
    }

    fn as_the_same(&self) -> String {
        let you = &self.hello["you"];
        format!("person={}&key={}", you["person"].as_str().unwrap(), you["key"].as_str().unwrap())
    }
}

#[tokio::test]
async fn a_viewer_who_is_granted_a_seat_gets_a_ticket() {
    let server = Server::start("", |_| {}).await;
    let mut host = server.join("demo", "role=host&name=Mia").await;
    let mut viewer = server.join("demo", "name=Anna%20B").await;
    assert_eq!(viewer.hello["room"]["host"]["name"], "Mia");
    assert_eq!(viewer.hello["you"]["role"], "viewer");

    let asked = viewer.ask(json!({"kind": "request-mic", "seat": 2})).await;
    assert_eq!((&asked["ok"], &asked["request"]["seat"]), (&json!(true), &json!(2)));
    let twice = viewer.ask(json!({"kind": "request-mic"})).await;
    assert_eq!(twice["request"], asked["request"], "one request");
    assert_eq!(host.event("mic-requested").await["request"]["name"], "Anna B");

    let granted = host.ask(json!({"kind": "grant", "person": viewer.person()})).await;
    assert_eq!(granted["seat"]["state"], "reserved");
    let ticket = viewer.ticket().await;
    assert_eq!((&ticket["seat"], &ticket["participant"]), (&json!(2), &json!(viewer.person())));
    assert_eq!(ticket["whip"], format!("/whip/demo/{}", viewer.person()));
    assert!(ticket.get("token").is_none());

    let renewed = viewer.ask(json!({"kind": "renew-ticket"})).await;
    assert_eq!(renewed["ticket"]["seat"], 2);
    let left = viewer.ask(json!({"kind": "leave-mic"})).await;
    assert_eq!(left["ok"], true);
    assert_eq!(host.event("mic-left").await["reason"], "left");
    let without = viewer.ask(json!({"kind": "renew-ticket"})).await;
    assert_eq!(without["problem"]["code"], "not-on-mic");
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_with_the_number_it_has() {
    let server = Server::start("", |_| {}).await;
    let mut host = server.join("demo", "role=host&name=Mia").await;
    let mut viewer = server.join("demo", "name=Anna").await;
    let (epoch, number) = (viewer.hello["epoch"].clone(), viewer.hello["number"].as_u64().unwrap());
    let same = viewer.as_the_same();
    viewer.socket.close(None).await.unwrap();
    host.ask(json!({"kind": "lock-seat", "seat": 1, "locked": true})).await;
    host.ask(json!({"kind": "chat", "text": "hello"})).await;

    let mut back = server.join("demo", &format!("{same}&after={number}")).await;
    assert_eq!((&back.hello["type"], &back.hello["epoch"]), (&json!("resumed"), &epoch));
    assert_eq!(back.person(), viewer.person());
    assert_eq!(back.hello["you"]["name"], "Anna");
    let (locked, said) = (back.next().await, back.next().await);
    assert_eq!((&locked["number"], &locked["event"]["kind"]), (&json!(number + 1), &json!("seat-changed")));
    assert_eq!((&said["number"], &said["event"]["message"]["text"]), (&json!(number + 2), &json!("hello")));

    let ahead = server.join("demo", &format!("{same}&after={}", number + 1000)).await;
    assert_eq!(ahead.hello["type"], "snapshot");
    let forged = server.join("demo", &format!("person={}&key=00ff", viewer.person())).await;
    assert_ne!(forged.person(), viewer.person(), "a new person");
    let other_epoch = server.join("demo", &format!("epoch=0&after={number}")).await;
    assert_eq!(other_epoch.hello["type"], "snapshot");
}

#[tokio::test]
async fn a_bad_message_is_answered_with_a_sentence() {
    let server = Server::start("", |_| {}).await;
    let mut viewer = server.join("demo", "").await;
    for (text, status) in [
        ("", 400),
        ("{\"type\":", 400),
        ("[]", 422),
        (r#"{"type":"dance","id":1}"#, 422),
        (r#"{"type":"command","id":1,"command":{"kind":"grant"}}"#, 422),
        (r#"{"type":"command","id":1,"command":{"kind":"withdraw","seet":1}}"#, 422),
        (r#"{"type":"command","id":1,"command":{"kind":"grant","person":"anna"}}"#, 403),
        (r#"{"type":"command","id":1,"command":{"kind":"request-mic","seat":9}}"#, 404),
        (r#"{"type":"command","id":1,"command":{"kind":"chat","text":"  "}}"#, 422),
        (r#"{"type":"command","id":1,"command":{"kind":"set-layout","layout":{"kind":"solo"}}}"#, 403),
    ] {
        viewer.say(text).await;
        let answer = loop {
            let message = viewer.next().await;
            if message["type"] == "answer" {
                break message;
            }
        };
        assert_eq!((&answer["ok"], &answer["problem"]["status"]), (&json!(false), &json!(status)), "{text}");
        assert!(answer["problem"]["detail"].as_str().unwrap().ends_with('.'), "{answer}");
    }
}

#[tokio::test]
async fn a_person_who_chats_too_fast_is_told_to_wait() {
    let server = Server::start("", |_| {}).await;
    let mut viewer = server.join("demo", "").await;
    let mut problems = Vec::new();
    for index in 0..6 {
        let answer = viewer.ask(json!({"kind": "chat", "text": index.to_string()})).await;
        problems.push(answer["problem"]["status"].clone());
    }
    assert_eq!(problems, [Value::Null, Value::Null, Value::Null, Value::Null, Value::Null, json!(429)]);
}

#[tokio::test]
async fn a_message_that_is_too_large_or_not_text_ends_the_connection() {
    let server = Server::start("", |_| {}).await;
    let mut binary = server.join("demo", "").await;
    binary.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(binary.closed().await, 1003);
    let mut large = server.join("demo", "").await;
    large.say("x".repeat(65 * 1024)).await;
    assert_eq!(large.closed().await, 1009);
    let mut host = server.join("demo", "role=host").await;
    host.say("x".repeat(65 * 1024)).await;
    assert_eq!(host.next().await["problem"]["status"], 400, "a host may send pictures");
}

#[tokio::test]
async fn pings_without_end_end_the_connection() {
    let server = Server::start("", |_| {}).await;
    let mut mia = server.join("red", "name=Mia&role=host").await;
    for _ in 0..1_000 {
        if mia.socket.send(Message::Ping("ping".into())).await.is_err() {
            break; // The server has closed.
        }
    }
    assert_eq!(mia.closed().await, 1008);
    let mut anna = server.join("red", "name=Anna").await;
    for _ in 0..30 {
        anna.socket.send(Message::Ping("ping".into())).await.unwrap();
    }
    assert_eq!(anna.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true);
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_closed_and_does_not_delay_others() {
    let server = Server::start("", |_| {}).await;
    let mut host = server.join("demo", "role=host").await;
    let room: RoomName = "demo".parse().unwrap();
    let (mailbox, messages) = Mailbox::new();
    let entry = Entry {
        room: room.clone(),
        who: None,
        nameless: None,
        authority: Authority::Viewer,
        person: None,
        claimed: None,
        trusted: true,
        name: None,
        epoch: None,
        after: None,
    };
    let slow = server.rooms.enter(entry, &mailbox).unwrap();
    for index in 0..256 {
        let speaking = index % 2 == 0;
        let sources = if speaking { vec!["demo/anna".parse().unwrap()] } else { vec![] };
        server.rooms.hear(Report::Speaking(room.clone(), sources));
        assert_eq!(host.event("speaking").await["speaking"], speaking, "the host reads");
    }
    assert_eq!(mailbox.closing(), Some(Closing::Slow));
    drop((slow, messages));
    assert_eq!(host.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true);
}

#[tokio::test]
async fn connections_above_the_limits_are_refused() {
    let server = Server::start("", |config| config.clients = 10).await;
    let first = server.join("demo", "name=Anna").await;
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(server.join("demo", &first.as_the_same()).await);
    }
    assert_eq!(server.connect("demo", &first.as_the_same()).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    held.push(server.join("demo", "").await);
    assert_eq!(server.connect("demo", "").await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    held.push(server.join("demo", "role=host").await); // Viewers leave a place to the host.
    assert_eq!(server.connect("demo", "role=host").await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(held[6].hello["room"]["persons"], 1, "eight connections of one person");
}

#[tokio::test]
async fn a_token_without_a_name_takes_its_part_and_leaves_the_rest() {
    let server = Server::start("secret", |config| config.limits = Limits { rooms: 8, persons: 16, requests: 8 }).await;
    let query = |role: &str, id: &str, value: &str| {
        let claims = json!({"exp": 4_000_000_000_u64, "room": "*", "role": role, id: value});
        let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(b"secret")).unwrap();
        format!("token={token}")
    };
    let mut host = server.join("demo", &query("host", "sub", "mia")).await;
    let greedy = query("viewer", "jti", "t1");
    let (mut first, mut second) = (server.join("demo", &greedy).await, server.join("demo", &greedy).await);
    assert_eq!(server.connect("demo", &greedy).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(first.ask(json!({"kind": "request-mic"})).await["ok"], true);
    let refused = second.ask(json!({"kind": "request-mic"})).await;
    assert_eq!([&refused["problem"]["status"], &refused["problem"]["code"]], [&json!(429), &json!("too-many")]);
    let other = server.join("other", &greedy).await;
    assert_eq!(server.connect("third", &greedy).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    let mut anna = server.join("demo", &query("viewer", "sub", "anna")).await;
    assert_eq!(anna.ask(json!({"kind": "request-mic"})).await["ok"], true);
    host.event("mic-requested").await;
    drop(other);
}

#[tokio::test]
async fn an_invalid_entry_is_refused_before_the_upgrade() {
    let server = Server::start("secret", |_| {}).await;
    assert_eq!(server.connect("demo", "").await.err(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(server.connect("demo", "token=nonsense").await.err(), Some(StatusCode::UNAUTHORIZED));
    let open = Server::start("", |_| {}).await;
    for (query, status) in [
        ("role=king", StatusCode::UNPROCESSABLE_ENTITY),
        ("person=two%20words", StatusCode::UNPROCESSABLE_ENTITY),
        ("person=host", StatusCode::UNPROCESSABLE_ENTITY),
        ("after=-1", StatusCode::UNPROCESSABLE_ENTITY),
        ("name=a%0Ab", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(open.connect("demo", query).await.err(), Some(status), "{query}");
    }
    assert_eq!(open.connect(".demo", "").await.err(), Some(StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn the_stage_is_told_of_a_changed_look_and_its_reports_become_events() {
    let server = Server::start("", |_| {}).await;
    let mut host = server.join("demo", "role=host").await;
    let changed = host.ask(json!({"kind": "set-layout", "layout": {"kind": "side-by-side"}})).await;
    assert_eq!(changed["program"]["layout"]["kind"], "side-by-side");
    let again = host.ask(json!({"kind": "set-layout", "layout": {"kind": "side-by-side"}})).await;
    assert_eq!(again["program"], changed["program"]);
    {
        let noted = server.stage.0.lock();
        assert_eq!(noted.len(), 1, "the second changes nothing");
        assert_eq!(noted[0].2.layout, Layout::SideBySide {});
    }
    let room: RoomName = "demo".parse().unwrap();
    server.rooms.hear(Report::Program(room.clone(), ProgramState::Mixed));
    assert_eq!(host.event("program-changed").await["program"]["state"], "mixed");
    for speaking in [vec!["demo/anna"], vec!["demo/anna"], vec![]] {
        let sources = speaking.into_iter().map(|name| name.parse().unwrap()).collect();
        server.rooms.hear(Report::Speaking(room.clone(), sources));
    }
    assert_eq!(host.event("speaking").await["speaking"], true);
    assert_eq!(host.event("speaking").await["speaking"], false);
}

#[tokio::test]
async fn clients_are_told_of_the_end_of_a_room_and_of_the_node() {
    let server = Server::start("", |_| {}).await;
    let mut viewer = server.join("demo", "").await;
    let input = onmic_room::Input::End { room: "demo".parse().unwrap(), by: Actor::admin() };
    server.rooms.apply(input).unwrap();
    assert_eq!(viewer.event("room-ended").await["reason"], "ended");
    assert_eq!(viewer.closed().await, 1000);
    let mut other = server.join("demo", "").await;
    assert_ne!(other.hello["epoch"], viewer.hello["epoch"]);
    server.stop.cancel();
    assert_eq!(other.closed().await, 1001);
    assert!(matches!(server.connect("demo", "").await.err(), Some(StatusCode::SERVICE_UNAVAILABLE)));
}

#[tokio::test]
async fn a_request_expires_at_its_deadline() {
    let server = Server::start("", |config| config.defaults.timeouts.request = Duration::from_millis(100)).await;
    let mut viewer = server.join("demo", "").await;
    viewer.ask(json!({"kind": "request-mic"})).await;
    assert_eq!(viewer.event("mic-expired").await["request"]["person"], viewer.person());
}

/// Asserts that `date` is the present. The clocks of these tests are an hour off, so half an hour tells them apart.
fn assert_is_now(date: &Value) {
    let now = WallTime::of_system(SystemTime::now()).micros();
    let [before, after] = [-1_800_000_000, 1_800_000_000].map(|off| Date(now).offset_micros(off).to_string());
    let date = date.as_str().unwrap();
    assert!(*before < *date && *date < *after, "{date} is not between {before} and {after}");
}

#[tokio::test]
async fn dates_and_tickets_follow_a_system_clock_that_is_put_right_later() {
    const HOUR: Duration = Duration::from_secs(3600);
    for started in [SystemTime::now() - HOUR, SystemTime::now() + HOUR] {
        let server = Server::start_at(started, "secret", |_| {}).await;
        let query = |role: &str, person: &str| {
            let claims = json!({"exp": 4_000_000_000_u64, "room": "demo", "role": role, "sub": person});
            let key = EncodingKey::from_secret(b"secret");
            format!("token={}", encode(&Header::default(), &claims, &key).unwrap())
        };
        let mut host = server.join("demo", &query("host", "mia")).await;
        let mut viewer = server.join("demo", &query("viewer", "anna")).await;
        viewer.ask(json!({"kind": "request-mic"})).await;
        let calendar = server.hub.calendar();
        let read = || calendar.read(Instant::now(), SystemTime::now());
        // A reading between whose clocks this thread is interrupted does not count.
        assert!(std::iter::repeat_with(read).take(1000).any(|step| step.is_some()));

        assert_is_now(&server.get("/api/v1/server").await["now"]);
        let room = server.get(&format!("/api/v1/rooms/demo?{}", query("viewer", "ben"))).await;
        assert_is_now(&room["started_at"]);
        // The state of the room was rendered with other dates before.
        let late = server.join("demo", &query("viewer", "ben")).await;
        assert_is_now(&late.hello["room"]["requests"][0]["since"]);
        assert_eq!(host.ask(json!({"kind": "grant", "person": "anna"})).await["ok"], true);
        let ticket = viewer.ticket().await;
        assert_is_now(&ticket["expires"]);
        let seat = "demo/anna".parse().unwrap();
        assert!(server.gate.check(Action::Publish(&seat), Shown::token(ticket["token"].as_str())).is_ok());
    }
}

#[tokio::test]
async fn a_room_is_live_once_media_has_come_and_its_publisher_is_there() {
    let server = Server::start("", |_| {}).await;
    let (name, now) = ("demo".parse::<SourceName>().unwrap(), Instant::now());
    let publish = || server.hub.publish(&name, Protocol::Whip, now).unwrap();
    let seen = async || {
        let room = server.get("/api/v1/rooms/demo").await;
        let listed = server.get("/api/v1/rooms").await["rooms"][0]["live"].clone();
        assert_eq!(room["live"], listed);
        (room["live"].as_bool().unwrap(), room["participants"][0]["state"].as_str().unwrap().to_owned())
    };
    let is = |live: bool, state: &str| (live, state.to_owned());
    let mut publication = publish();
    assert_eq!(seen().await, is(false, "connecting"), "an offer");
    publication.arrived(now);
    assert_eq!(seen().await, is(false, "connecting"), "nothing has come");
    let parameters = Arc::new(Parameters::Vp8(vp8::Parameters { width: 64, height: 48, version: 0 }));
    let (rendition, dts, payload) = (Rendition::MAIN, Ticks(0), (&[0; 10][..]).into());
    publication.push(Arrival { rendition, dts, pts: dts, keyframe: true, parameters, payload }, now).unwrap();
    assert_eq!(seen().await, is(true, "live"));
    drop(publication);
    assert_eq!(seen().await, is(false, "interrupted"));
    let mut again = publish();
    assert_eq!(seen().await, is(false, "interrupted"), "an offer alone is not the publisher");
    again.arrived(now);
    assert_eq!(seen().await, is(true, "live"));
}

#[tokio::test]
async fn a_long_list_is_answered_in_pages_by_id() {
    let server = Server::start("", |config| config.clients = 1400).await;
    let room: RoomName = "demo".parse().unwrap();
    let enter = |number: usize| {
        let (mailbox, messages) = Mailbox::new();
        let entry = Entry {
            room: room.clone(),
            who: None,
            nameless: None,
            authority: Authority::Viewer,
            person: Some(format!("p{number:04}").parse().unwrap()),
            claimed: None,
            trusted: true,
            name: None,
            epoch: None,
            after: None,
        };
        (server.rooms.enter(entry, &mailbox).unwrap(), messages)
    };
    let _held: Vec<_> = (0..1201).map(enter).collect();
    let (mut lengths, mut listed, mut query) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/rooms/demo/persons{query}")).await;
        let persons = page["persons"].as_array().unwrap();
        lengths.push(persons.len());
        listed.extend(persons.iter().map(|person| person["person"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?after={next}");
    }
    assert_eq!(lengths, [500, 500, 201]);
    assert_eq!(listed, (0..1201).map(|number| format!("p{number:04}")).collect::<Vec<_>>());
    let short = server.get("/api/v1/rooms/demo/persons?limit=2&after=p0003").await;
    assert_eq!((&short["persons"][1]["person"], &short["next"]), (&json!("p0005"), &json!("p0005")));
    let last = server.get("/api/v1/rooms/demo/persons?after=p0700").await;
    assert_eq!(
        (last["persons"].as_array().unwrap().len(), last.get("next")),
        (500, None),
        "nobody follows a full page"
    );
    for query in ["limit=0", "limit=501", "limit=few", "after=two%20words"] {
        let refused = server.get(&format!("/api/v1/rooms/demo/persons?{query}")).await;
        assert_eq!(refused["status"], 422, "{query}");
    }
    for person in ["anna", "ben", "carl"] {
        let ban = Order::Ban(person.parse().unwrap(), (Duration::from_secs(60), String::new()));
        server.rooms.order(&room, &Actor::admin(), ban).await.unwrap();
    }
    let first = server.get("/api/v1/rooms/demo/bans?limit=2").await;
    assert_eq!((&first["bans"][1]["person"], &first["next"]), (&json!("ben"), &json!("ben")));
    let all = server.get("/api/v1/rooms/demo/bans?limit=3").await;
    assert_eq!((all["bans"].as_array().unwrap().len(), all.get("next")), (3, None), "nobody follows a full page");
    let rest = server.get("/api/v1/rooms/demo/bans?limit=2&after=ben").await;
    assert_eq!((&rest["bans"][0]["person"], rest.get("next")), (&json!("carl"), None));
}
