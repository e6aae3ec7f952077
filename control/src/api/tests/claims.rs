//! Claims as clients see them: how a token ends, and what a kick and a ban leave.

use onmic_media::Permit;
use onmic_media::name::Principal;
use onmic_room::Input;

use super::*;

pub(super) const SECRET: &str = "secret";

pub(super) fn token(role: &str, person: &str) -> String {
    token_until(4_000_000_000, role, person)
}

pub(super) fn token_until(exp: u64, role: &str, person: &str) -> String {
    let claims = json!({"exp": exp, "room": "demo", "role": role, "sub": person});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

pub(super) fn query(role: &str, person: &str) -> String {
    format!("token={}", token(role, person))
}

impl Server {
    /// Sends a request with a token. Returns the status and the body.
    pub(super) async fn send(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default())
    }

    /// Opens the program for a viewer, as a session of any protocol does.
    fn watches(&self, person: &str) -> Result<Permit, onmic_media::gate::Refusal> {
        let room = "demo".parse().unwrap();
        self.gate.open(Action::Play(&room), Shown::token(Some(&token("viewer", person)))).map(|(_, permit)| permit)
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_token_and_another_goes_on() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut anna = server.join("demo", &format!("token={}", token_until(now + 60, "viewer", "anna"))).await;
    server.standing.permits.expire(Instant::now() + Duration::from_secs(59));
    assert_eq!(anna.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true);
    server.standing.permits.expire(Instant::now() + Duration::from_secs(66));
    assert_eq!(anna.closed().await, 4401);
    assert_eq!(host.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true);
}

#[tokio::test]
async fn somebody_who_is_kicked_loses_all_that_is_open_and_may_come_back() {
    let server = Server::start(SECRET, |_| {}).await;
    let host = server.join("demo", &query("host", "mia")).await;
    let mut windows =
        [server.join("demo", &query("viewer", "ben")).await, server.join("demo", &query("viewer", "ben")).await];
    let (watching, other) = (server.watches("ben").unwrap(), server.watches("anna").unwrap());
    let kick = |person: &str| format!("/api/v1/rooms/demo/persons/{person}");
    assert_eq!(server.send("DELETE", &kick("ben"), &token("viewer", "anna"), "").await.0, 403);
    assert_eq!(server.send("DELETE", &kick("ben"), &token("host", "mia"), "").await.0, 204);
    for window in &mut windows {
        assert_eq!(window.closed().await, 4403);
    }
    assert!(watching.ended().is_some() && other.ended().is_none());
    let left = |message: &Value| message["event"]["kind"] == "person-left";
    let mut host = host;
    while !left(&host.next().await) {}
    assert_eq!(
        server.send("DELETE", &kick("ben"), &token("host", "mia"), "").await.0,
        204,
        "once more changes nothing"
    );

    let viewer_alone = server.watches("vera").unwrap();
    assert_eq!(server.send("DELETE", &kick("vera"), &token("host", "mia"), "").await.0, 204);
    assert!(viewer_alone.ended().is_some(), "she was not in the room, and watched");
    assert!(server.watches("vera").is_ok());
    server.join("demo", &query("viewer", "ben")).await;
}

#[tokio::test]
async fn players_of_ll_hls_of_somebody_who_is_kicked_have_to_begin_anew() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let [room, other] = ["demo", "other"].map(|name| name.parse::<RoomName>().unwrap());
    let network = Principal::at("127.0.0.1".parse().unwrap());
    let plays_on = |token: &str, room| {
        let shown = Shown { token: Some(token), network: Some(&network) };
        server.gate.check(Action::PlayOn(room), shown).map(drop)
    };
    let begins = |token: &str| {
        server.gate.begin(&room, Shown { token: Some(token), network: Some(&network) }).unwrap();
    };
    let elsewhere = {
        let claims = json!({"exp": 4_000_000_000_u64, "room": "*", "role": "viewer", "sub": "ben"});
        encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    let (ben, anna) = (token("viewer", "ben"), token("viewer", "anna"));
    let guest = server.join("demo", &format!("token={}", nameless(Some("t1")))).await;
    let (own, twin) = (nameless(Some("t1")), nameless(Some("t2")));
    for (person, kicked, bystander) in [("ben", &ben, &anna), (&*guest.person(), &own, &twin)] {
        begins(kicked);
        assert_eq!((plays_on(kicked, &room), plays_on(bystander, &room)), (Ok(()), Ok(())), "{person}");
        assert_eq!(host.ask(json!({"kind": "kick", "person": person})).await["ok"], true);
        let refused = plays_on(kicked, &room).unwrap_err().to_string();
        assert!(refused.contains("sent out of the room"), "{refused}");
        assert!(
            server.gate.check(Action::Play(&room), Shown::token(Some(kicked))).is_ok(),
            "a question begins nothing"
        );
        assert!(plays_on(kicked, &room).is_err() && plays_on(bystander, &room).is_ok(), "{person}");
        begins(kicked);
        assert_eq!(plays_on(kicked, &room), Ok(()), "{person} comes back");
    }
    assert_eq!(host.ask(json!({"kind": "kick", "person": "ben"})).await["ok"], true);
    assert_eq!((plays_on(&elsewhere, &other), plays_on(&elsewhere, &room).is_err()), (Ok(()), true), "one room alone");
}

#[tokio::test]
async fn somebody_who_is_banned_is_refused_everywhere_until_the_ban_is_lifted() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let mut ben = server.join("demo", &query("viewer", "ben")).await;
    let watching = server.watches("ben").unwrap();
    let banned = host.ask(json!({"kind": "ban", "person": "ben", "seconds": 3600, "reason": "spam"})).await;
    assert_eq!((&banned["ban"]["person"], &banned["ban"]["reason"]), (&json!("ben"), &json!("spam")), "{banned}");
    assert_eq!(ben.closed().await, 4403);
    assert!(watching.ended().is_some());
    assert_eq!(server.connect("demo", &query("viewer", "ben")).await.err(), Some(StatusCode::FORBIDDEN));
    assert!(server.watches("ben").unwrap_err().to_string().contains("banned"));
    assert_eq!(
        server.send("POST", "/api/v1/rooms/demo/chat", &token("viewer", "ben"), r#"{"text":"hi"}"#).await.0,
        403
    );
    let playing_on = |token: &str| {
        let shown = Shown::token(Some(token));
        server.gate.check(Action::PlayOn(&"demo".parse().unwrap()), shown).is_ok()
    };
    assert!(!playing_on(&token("viewer", "ben")) && playing_on(&token("viewer", "anna")));

    let (status, list) = server.send("GET", "/api/v1/rooms/demo/bans", &token("host", "mia"), "").await;
    assert_eq!((status, &list["bans"][0]["person"]), (200, &json!("ben")));
    let (status, again) =
        server.send("POST", "/api/v1/rooms/demo/bans", &token("host", "mia"), r#"{"person":"ben","seconds":60}"#).await;
    assert_eq!((status, &again["ban"]["reason"]), (200, &json!("")), "another ban takes the place of the first");
    for (body, status) in [
        (r#"{"person":"anna","seconds":0}"#, 422),
        (r#"{"person":"anna","seconds":99999999999}"#, 422),
        (r#"{"person":"anna"}"#, 422),
        (r#"{"person":"mia","seconds":60}"#, 409),
    ] {
        assert_eq!(
            server.send("POST", "/api/v1/rooms/demo/bans", &token("host", "mia"), body).await.0,
            status,
            "{body}"
        );
    }
    assert_eq!(server.send("GET", "/api/v1/rooms/demo/bans", &token("viewer", "anna"), "").await.0, 403);
    assert_eq!(server.send("DELETE", "/api/v1/rooms/demo/bans/ben", &token("host", "mia"), "").await.0, 204);
    assert!(server.watches("ben").is_ok());
    server.join("demo", &query("viewer", "ben")).await;
}

#[tokio::test]
async fn a_token_that_creates_no_room_is_refused_before_the_body_has_come() {
    let server = Server::start(SECRET, |_| {}).await;
    for (token, status) in [("forged", 401), (&*token("viewer", "ben"), 403)] {
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        let head = format!("Authorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n");
        connection.write_all(format!("POST /api/v1/rooms HTTP/1.1\r\nHost: x\r\n{head}").as_bytes()).await.unwrap();
        let mut line = [0; 12];
        connection.read_exact(&mut line).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&line), format!("HTTP/1.1 {status}"), "408 for a body that is waited for");
    }
}

#[tokio::test]
async fn a_ban_outlives_its_room_and_admins_keep_it_without_one() {
    let server = Server::start(SECRET, |_| {}).await;
    let (bans, admin) = ("/api/v1/rooms/demo/bans", token("admin", "root"));
    let watching = server.watches("ben").unwrap();
    let (status, _) = server.send("POST", bans, &admin, r#"{"person":"ben","seconds":60}"#).await;
    assert_eq!(status, 201);
    assert!(watching.ended().is_some(), "he waits for the room");
    let _host = server.join("demo", &query("host", "mia")).await;
    assert_eq!(server.connect("demo", &query("viewer", "ben")).await.err(), Some(StatusCode::FORBIDDEN));
    server.send("DELETE", "/api/v1/rooms/demo", &admin, "").await;
    assert!(server.watches("ben").is_err());
    assert_eq!(server.send("GET", bans, &token("host", "mia"), "").await.0, 404, "there is no room that she directs");
    assert_eq!(server.send("GET", bans, &admin, "").await.1["bans"][0]["person"], "ben");
}

#[tokio::test]
async fn without_a_secret_a_person_who_is_banned_does_not_come_in_under_their_id() {
    let server = Server::start("", |_| {}).await;
    let mut host = server.join("demo", "role=host&person=mia").await;
    assert_eq!(host.ask(json!({"kind": "ban", "person": "ben", "seconds": 60})).await["ok"], true);
    assert_eq!(server.connect("demo", "person=ben").await.err(), Some(StatusCode::FORBIDDEN));
    server.join("demo", "person=anna").await;
}

#[tokio::test]
async fn a_host_whose_room_ends_and_begins_again_proposes_no_more_pks_for_it() {
    let server = Server::start(SECRET, |_| {}).await;
    let others: Vec<_> = (0..7).map(|number| format!("blue-{number}")).collect();
    for other in &others {
        let (room, person) = (other.parse().unwrap(), "lin".parse().unwrap());
        let join = Input::Join { room, person, name: "Lin".to_owned(), authority: Authority::Host };
        server.rooms.apply(join).unwrap();
    }
    let proposes = async |other: &str, person: &str| {
        let _host = server.join("demo", &query("host", person)).await;
        let body = format!(r#"{{"room":"{other}"}}"#);
        let (status, answer) = server.send("PUT", "/api/v1/rooms/demo/pk", &token("host", person), &body).await;
        assert_eq!(server.send("DELETE", "/api/v1/rooms/demo", &token("host", person), "").await.0, 204);
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    for other in &others[..5] {
        assert_eq!(proposes(other, "mia").await, (200, String::new()), "{other}");
    }
    assert_eq!(proposes(&others[0], "ben").await.0, 409, "the other room has been asked a moment ago");
    assert_eq!(proposes(&others[5], "mia").await, (429, "pk-too-many".to_owned()));
    assert_eq!(
        proposes(&others[6], "ben").await.0,
        200,
        "what was refused is not counted, and each counts for themselves"
    );
}

/// Returns a token that names nobody. Without an id, the network that it comes from answers for it.
pub(super) fn nameless(id: Option<&str>) -> String {
    let mut claims = json!({"exp": 4_000_000_000_u64, "room": "demo", "role": "viewer"});
    if let Some(id) = id {
        claims["jti"] = json!(id);
    }
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[tokio::test]
async fn a_guest_who_is_banned_does_not_come_back_as_another_guest() {
    let network = Principal::at("127.0.0.1".parse().unwrap());
    for (own, other) in [(Some("t1"), Some("t2")), (Some("t1"), None), (None, Some("t2"))] {
        let server = Server::start(SECRET, |_| {}).await;
        let mut host = server.join("demo", &query("host", "mia")).await;
        let enters = async |id| server.connect("demo", &format!("token={}", nameless(id))).await;
        let watches = |id| {
            let token = nameless(id);
            let shown = Shown { token: Some(&token), network: Some(&network) };
            server.gate.open(Action::Play(&"demo".parse().unwrap()), shown).map(|(_, permit)| permit)
        };
        let mut guest = server.join("demo", &format!("token={}", nameless(own))).await;
        let mut twin = enters(own).await.unwrap();
        let (watching, bystander) = (watches(own).unwrap(), watches(other).unwrap());
        let mut others = server.join("demo", &format!("token={}", nameless(other))).await;

        host.ask(json!({"kind": "kick", "person": guest.person()})).await;
        assert_eq!((guest.closed().await, twin.closed().await), (4403, 4403), "{own:?}");
        assert!(watching.ended().is_some() && bystander.ended().is_none(), "{own:?} is kicked");
        assert!(watches(own).is_ok(), "whoever is kicked may come back");

        let mut guest = server.join("demo", &format!("token={}", nameless(own))).await;
        let (person, watching) = (guest.person(), watches(own).unwrap());
        let banned = host.ask(json!({"kind": "ban", "person": person, "seconds": 3600})).await;
        assert_eq!(banned["ok"], true, "{banned}");
        assert_eq!(guest.closed().await, 4403);
        assert!(watching.ended().is_some() && bystander.ended().is_none(), "{own:?} is banned");
        assert_eq!(enters(own).await.err(), Some(StatusCode::FORBIDDEN), "{own:?}");
        assert!(watches(own).unwrap_err().to_string().contains("banned"));
        assert_eq!(others.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true, "{other:?} goes on");
        assert!(enters(other).await.is_ok() && watches(other).is_ok());
        server.join("demo", &query("viewer", "ben")).await;

        let lift = format!("/api/v1/rooms/demo/bans/{person}");
        assert_eq!(server.send("DELETE", &lift, &token("host", "mia"), "").await.0, 204);
        assert!(enters(own).await.is_ok() && watches(own).is_ok());
    }
}

/// Returns a viewer's token with a `sub` that cannot be the id of a person.
fn odd(sub: &str, id: &str) -> String {
    let claims = json!({"exp": 4_000_000_000_u64, "room": "demo", "role": "viewer", "sub": sub, "jti": id});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[tokio::test]
async fn a_viewer_whose_sub_cannot_be_an_id_is_kicked_and_banned_as_a_guest_is() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let enters = async |token: &str| server.connect("demo", &format!("token={token}")).await;
    let watches = |token: &str| {
        let shown = Shown::token(Some(token));
        server.gate.open(Action::Play(&"demo".parse().unwrap()), shown).map(|(_, permit)| permit)
    };
    let (ben, later, anna) = (odd("ben@b.example", "t1"), odd("ben@b.example", "t2"), odd("anna@b.example", "t3"));
    let mut guest = server.join("demo", &format!("token={ben}")).await;
    let person = guest.person();
    assert!(person.starts_with("guest-"), "{person}");
    let listed = server.send("GET", "/api/v1/rooms/demo/persons", &token("host", "mia"), "").await.1;
    assert_eq!(listed["persons"][0]["person"], person);
    let (watching, bystander) = (watches(&later).unwrap(), watches(&anna).unwrap());
    host.ask(json!({"kind": "kick", "person": person})).await;
    assert_eq!(guest.closed().await, 4403);
    assert!(watching.ended().is_some() && bystander.ended().is_none());

    let mut guest = server.join("demo", &format!("token={ben}")).await;
    let watching = watches(&later).unwrap();
    host.ask(json!({"kind": "ban", "person": guest.person(), "seconds": 3600})).await;
    assert_eq!(guest.closed().await, 4403);
    assert!(watching.ended().is_some() && bystander.ended().is_none());
    for token in [&ben, &later] {
        assert_eq!(enters(token).await.err(), Some(StatusCode::FORBIDDEN));
        assert!(watches(token).unwrap_err().to_string().contains("banned"));
    }
    let list = server.send("GET", "/api/v1/rooms/demo/bans", &token("host", "mia"), "").await.1;
    assert_eq!(list["bans"][0]["person"], guest.person());
    assert!(enters(&anna).await.is_ok() && watches(&anna).is_ok());
}

#[tokio::test]
async fn a_guest_who_has_just_left_is_held_by_a_ban() {
    let server = Server::start(SECRET, |config| config.defaults.timeouts.presence = Duration::from_millis(100)).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let guest = server.join("demo", &format!("token={}", nameless(Some("t1")))).await;
    let person = guest.person();
    drop(guest);
    host.event("person-left").await;
    assert_eq!(host.ask(json!({"kind": "ban", "person": person, "seconds": 60})).await["ok"], true);
    assert_eq!(
        server.connect("demo", &format!("token={}", nameless(Some("t1")))).await.err(),
        Some(StatusCode::FORBIDDEN)
    );
}

#[tokio::test]
async fn a_websocket_brings_its_token_and_key_in_no_address() {
    let server = Server::start(SECRET, |_| {}).await;
    let connect = async |query: &str, protocols: &str| {
        let url = format!("ws://{}/api/v1/rooms/demo/events?{query}", server.address);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        match connect_async(request).await {
            Ok((socket, answer)) => {
                assert_eq!(answer.headers()["sec-websocket-protocol"], "onmic.v1");
                let mut client = Client { socket, hello: Value::Null, ids: 0 };
                client.hello = client.next().await;
                Ok(client)
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    };
    let own = nameless(Some("t1"));
    let guest = connect("", &format!("onmic.v1, token.{own}")).await.unwrap_or_else(|status| panic!("{status}"));
    let (person, key) = (guest.person(), guest.hello["you"]["key"].as_str().unwrap().to_owned());
    let protocols = format!("onmic.v1, token.{own}, key.{key}");
    let same = connect(&format!("person={person}"), &protocols).await.unwrap_or_else(|status| panic!("{status}"));
    assert_eq!(same.person(), person, "the key proves who they are");
    assert_eq!(connect("", "onmic.v1, token.nonsense").await.err(), Some(401));
    assert_eq!(connect("", "onmic.v1").await.err(), Some(401));
}

#[tokio::test]
async fn somebody_who_is_banned_from_the_room_of_their_token_is_not_told_of_it() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let list = async |token: &str| server.send("GET", "/api/v1/rooms", token, "").await;
    let ben = token("viewer", "ben");
    assert_eq!(list(&ben).await.1["rooms"][0]["name"], "demo");
    host.ask(json!({"kind": "ban", "person": "ben", "seconds": 60})).await;
    assert_eq!(list(&ben).await.0, 403);
    assert_eq!(list(&token("viewer", "anna")).await.0, 200);
}

#[tokio::test]
async fn somebody_who_is_banned_while_their_body_comes_does_nothing_by_it() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut anna = server.join("demo", &query("viewer", "anna")).await;
    let mia = server.join("demo", &query("host", "mia")).await;
    let begin = async |path: &str, body: &str| {
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            token("host", "mia"),
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection
    };
    let bodies = [r#"{"title":"ha"}"#, r#"{"labels":true}"#];
    let mut begun = [begin("/api/v1/rooms/demo", bodies[0]).await, begin("/api/v1/rooms/demo/look", bodies[1]).await];
    while server.standing.permits.len() < 4 {
        tokio::task::yield_now().await; // Both are waited for.
    }
    let ban = r#"{"person":"mia","seconds":60}"#;
    assert_eq!(server.send("POST", "/api/v1/rooms/demo/bans", &token("admin", "root"), ban).await.0, 201);
    for (connection, body) in begun.iter_mut().zip(bodies) {
        connection.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("You are banned"), "{answer}");
    }
    assert_eq!(server.send("GET", "/api/v1/rooms/demo", &token("viewer", "anna"), "").await.1["state"]["title"], "");
    assert_eq!(anna.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true);
    drop(mia);
}

#[tokio::test]
async fn what_a_ticket_opened_ends_with_the_place_whatever_it_is() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let mut ben = server.join("demo", &query("viewer", "ben")).await;
    ben.ask(json!({"kind": "request-mic"})).await;
    host.ask(json!({"kind": "grant", "person": "ben"})).await;
    let ticket = ben.ticket().await["token"].as_str().unwrap().to_owned();
    let watches = |token: &str| {
        let shown = Shown::token(Some(token));
        server.gate.open(Action::Play(&"demo".parse().unwrap()), shown).map(|(_, permit)| permit)
    };
    let (watching, own) = (watches(&ticket).unwrap(), server.watches("ben").unwrap());
    let mut window = server.join("demo", &format!("token={ticket}")).await;
    assert_eq!(
        window.ask(json!({"kind": "mute", "audio": true})).await["ok"],
        true,
        "it is good while the seat is his"
    );
    ben.ask(json!({"kind": "leave-mic"})).await;
    assert_eq!(watching.ended(), None, "a player goes over to the program");
    server.standing.permits.expire(Instant::now() + Duration::from_secs(6));
    assert_eq!(window.closed().await, 4403);
    assert!(watching.ended().is_some() && watches(&ticket).is_err());
    assert_eq!(own.ended(), None, "his own token is good");
    assert_eq!(ben.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true);
}
