//! What outlives a claim, and must not: what a ticket has opened, and the key of somebody whose token is over.

use onmic_media::{Ending, Permit};
use onmic_room::{Input, ParticipantName};

use super::claims::{SECRET, nameless, query, token};
use super::*;

/// Returns a token for the room with these claims.
fn signed(mut claims: Value) -> String {
    claims["exp"] = json!(4_000_000_000_u64);
    claims["room"] = json!("demo");
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

impl Server {
    /// Opens everything that a ticket opens without a place: the program, and a source.
    fn opened_by(&self, token: &str) -> [Permit; 2] {
        let (room, host) = ("demo".parse().unwrap(), "demo".parse().unwrap());
        [Action::Play(&room), Action::PlaySource(&host)]
            .map(|action| self.gate.open(action, Shown::token(Some(token))).unwrap().1)
    }

    fn publishes_as_host(&self, token: &str) -> bool {
        self.gate.check(Action::Publish(&"demo".parse().unwrap()), Shown::token(Some(token))).is_ok()
    }
}

/// Lets a person on a seat. Returns the token of the ticket.
async fn seated(host: &mut Client, person: &mut Client) -> String {
    assert_eq!(person.ask(json!({"kind": "request-mic"})).await["ok"], true);
    assert_eq!(host.ask(json!({"kind": "grant", "person": person.person()})).await["ok"], true);
    person.ticket().await["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_ticket_has_opened_is_closed_with_the_seat_whatever_it_is() {
    for (how, at_once) in [("remove", true), ("leave-mic", false)] {
        let server = Server::start(SECRET, |_| {}).await;
        let mut host = server.join("demo", &query("host", "mia")).await;
        let mut anna = server.join("demo", &query("viewer", "anna")).await;
        let ticket = seated(&mut host, &mut anna).await;
        let opened = server.opened_by(&ticket);
        let mut window = server.join("demo", &format!("token={ticket}")).await;
        let by_her_own = server.opened_by(&token("host", "anna"));
        match how {
            "remove" => host.ask(json!({"kind": "remove", "person": "anna"})).await,
            _ => anna.ask(json!({"kind": "leave-mic"})).await,
        };
        assert!(opened.iter().all(|permit| permit.ended().is_some() == at_once), "{how}");
        server.standing.permits.expire(Instant::now() + Duration::from_secs(5));
        assert!(opened.iter().all(|permit| permit.ended() == Some(Ending::PlaceLost)), "{how}");
        assert_eq!(window.closed().await, 4403, "{how}");
        assert!(by_her_own.iter().all(|permit| permit.ended().is_none()), "{how}: her own token is good");
        assert_eq!(anna.ask(json!({"kind": "chat", "text": "hello"})).await["ok"], true, "{how}");
    }
}

#[tokio::test]
async fn what_the_ticket_of_a_host_has_opened_is_closed_when_nobody_or_somebody_else_is_the_host() {
    let soon = |config: &mut RoomsConfig| {
        config.defaults.timeouts.presence = Duration::from_millis(100);
        config.defaults.timeouts.host_away = Duration::from_millis(100);
    };
    let server = Server::start(SECRET, soon).await;
    let mut mia = server.join("demo", &query("host", "mia")).await;
    let mut ben = server.join("demo", &query("viewer", "ben")).await;
    assert_eq!(mia.ask(json!({"kind": "hand-over", "person": "ben"})).await["ok"], true);
    let ticket = ben.ticket().await["token"].as_str().unwrap().to_owned();
    let opened = server.opened_by(&ticket);
    drop(ben);
    while !mia.event("host-changed").await["host"]["person"].is_null() {}
    server.standing.permits.expire(Instant::now() + Duration::from_secs(5));
    assert!(opened.iter().all(|permit| permit.ended() == Some(Ending::PlaceLost)));
    assert!(!server.publishes_as_host(&ticket));
}

#[tokio::test]
async fn the_encoder_of_a_former_host_that_comes_back_leaves_the_new_hosts_ticket_good() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut mia = server.join("demo", &query("host", "mia")).await;
    let mut ben = server.join("demo", &query("viewer", "ben")).await;
    assert_eq!(mia.ask(json!({"kind": "hand-over", "person": "ben"})).await["ok"], true);
    let ticket = ben.ticket().await["token"].as_str().unwrap().to_owned();
    let opened = server.opened_by(&ticket);
    let (room, participant) = ("demo".parse().unwrap(), ParticipantName::host());
    let person = Some("mia".parse().unwrap());
    server.rooms.apply(Input::SourceUp { room, participant, person, video: true, audio: true }).unwrap();
    assert!(server.publishes_as_host(&ticket), "the place was never the former host's again");
    server.standing.permits.expire(Instant::now() + Duration::from_secs(60));
    assert!(opened.iter().all(|permit| permit.ended().is_none()));
}

#[tokio::test]
async fn a_key_proves_nobody_whom_a_token_has_named_and_gives_no_right_that_is_over() {
    let server = Server::start(SECRET, |_| {}).await;
    let mia = server.join("demo", &query("host", "mia")).await;
    let common = nameless(Some("t1"));
    let with = async |client: &Client, token: &str| {
        server.join("demo", &format!("token={token}&{}", client.as_the_same())).await.person()
    };
    assert!(with(&mia, &common).await.starts_with("guest-"), "only her token makes her mia");
    assert_eq!(with(&mia, &token("host", "mia")).await, "mia");

    let backend = signed(json!({"role": "host"}));
    let directs = server.join("demo", &format!("token={backend}")).await;
    assert_ne!(
        with(&directs, &common).await,
        directs.person(),
        "the viewers' token gives less than the one of the key"
    );
    assert_eq!(with(&directs, &backend).await, directs.person());
    let guest = server.join("demo", &format!("token={common}")).await;
    for token in [&common, &backend, &common] {
        assert_eq!(with(&guest, token).await, guest.person(), "a guest is proven by the key");
    }
}

#[tokio::test]
async fn a_guest_on_mic_who_shows_the_ticket_and_the_key_keeps_a_key_that_is_good_without_it() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let common = nameless(Some("t1"));
    let mut guest = server.join("demo", &format!("token={common}")).await;
    let ticket = seated(&mut host, &mut guest).await;
    let on_mic = server.join("demo", &format!("token={ticket}&{}", guest.as_the_same())).await;
    assert_eq!(on_mic.person(), guest.person());
    let again = server.join("demo", &format!("token={common}&{}", on_mic.as_the_same())).await;
    assert_eq!(again.person(), guest.person());
    let without = server.join("demo", &format!("token={ticket}")).await;
    let other = server.join("demo", &format!("token={common}&{}", without.as_the_same())).await;
    assert_ne!(other.person(), guest.person(), "a ticket alone gives no key that outlives it");
}

#[tokio::test]
async fn a_ban_of_a_participant_holds_every_token_that_publishes_as_them() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let both = signed(json!({"role": "co-host", "participant": "anna", "sub": "user-17"}));
    let other = signed(json!({"role": "co-host", "participant": "ben", "sub": "user-17"}));
    let publishes = |token: &str, name: &str| {
        let shown = Shown::token(Some(token));
        server.gate.open(Action::Publish(&name.parse().unwrap()), shown).map(|(_, permit)| permit)
    };
    let (own, others) = (publishes(&both, "demo/anna").unwrap(), publishes(&other, "demo/ben").unwrap());
    let watching = server.opened_by(&both);
    let ban = |person: &str| json!({"kind": "ban", "person": person, "seconds": 60});
    assert_eq!(host.ask(ban("anna")).await["ok"], true);
    assert!([&own, &watching[0], &watching[1]].iter().all(|permit| permit.ended() == Some(Ending::Banned)));
    assert!(publishes(&both, "demo/anna").unwrap_err().to_string().contains("banned"));
    assert_eq!(server.connect("demo", &format!("token={both}")).await.err(), Some(StatusCode::FORBIDDEN));
    assert!(others.ended().is_none() && publishes(&other, "demo/ben").is_ok());
    assert_eq!(host.ask(ban("user-17")).await["ok"], true);
    assert!(publishes(&other, "demo/ben").is_err());
}

#[tokio::test]
async fn whoever_is_banned_finds_the_room_in_no_list_and_a_guest_sees_its_pictures() {
    let server = Server::start(SECRET, |_| {}).await;
    let mut host = server.join("demo", &query("host", "mia")).await;
    let list = async |token: &str| server.send("GET", "/api/v1/rooms", token, "").await;
    assert_eq!(list(&token("viewer", "ben")).await.1["rooms"][0]["name"], "demo");
    host.ask(json!({"kind": "ban", "person": "ben", "seconds": 60})).await;
    assert_eq!(list(&token("viewer", "ben")).await.0, 403);
    assert_eq!(list(&token("viewer", "anna")).await.0, 200);

    let image = "/api/v1/rooms/demo/overlays/logo/image";
    let odd = signed(json!({"role": "viewer", "sub": "vera@b.example"}));
    for (token, status) in [(&nameless(None), 404), (&odd, 404), (&token("viewer", "ben"), 403)] {
        assert_eq!(server.send("GET", image, token, "").await.0, status, "there is no such picture");
    }
}
