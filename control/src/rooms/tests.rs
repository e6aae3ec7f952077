//! The driver without a server: decisions at the same time in one room and in several.

use std::thread;

use onmic_media::hub::HubLimits;
use onmic_media::{Hub, NodeClock};
use onmic_room::{Authority, Command, Mix, Refused, Who};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::look::{Layout, Look, OverlayBody, SourceChange};
use super::mailbox::{Mailbox, Messages};
use super::order::Order;
use super::*;
use crate::ticket::Tickets;

pub struct NoStage;

impl Stage for NoStage {
    fn direct(&self, _: &RoomName, _: &Mix, _: &Look) {}

    fn ended(&self, _: &RoomName) {}
}

fn rooms() -> Arc<Rooms> {
    rooms_with(HubLimits::default().grace)
}

/// Returns rooms over a hub with this grace.
pub fn rooms_with(grace: std::time::Duration) -> Arc<Rooms> {
    rooms_like(Limits::default(), grace)
}

/// Returns rooms with these limits.
pub fn rooms_of(limits: Limits) -> Arc<Rooms> {
    rooms_like(limits, HubLimits::default().grace)
}

/// Returns the configuration of rooms that have these limits, and more connections than a test makes.
pub fn config_of(limits: Limits) -> RoomsConfig {
    RoomsConfig { clients: 100, clients_each: 100, of_http: Shares::endless(), limits, defaults: Settings::default() }
}

fn rooms_like(limits: Limits, grace: std::time::Duration) -> Arc<Rooms> {
    let config = config_of(limits);
    let hub = Hub::new(
        NodeClock::new(Instant::now(), std::time::SystemTime::now()),
        HubLimits { grace, ..HubLimits::default() },
        None,
    );
    Rooms::new(config, hub, Tickets::new(""), Arc::new(NoStage), None, CancellationToken::new()).unwrap()
}

pub fn name(room: &str) -> RoomName {
    room.parse().unwrap()
}

pub fn enter(rooms: &Arc<Rooms>, room: &str, person: &str, authority: Authority) -> (Connection, Messages) {
    try_to_enter(rooms, room, person, authority).unwrap()
}

pub fn try_to_enter(
    rooms: &Arc<Rooms>,
    room: &str,
    person: &str,
    authority: Authority,
) -> Result<(Connection, Messages), Denied> {
    let (mailbox, messages) = Mailbox::new();
    Ok((rooms.enter(entry(room, person, authority), &mailbox)?, messages))
}

/// Returns what a person shows whom a token names.
pub fn entry(room: &str, person: &str, authority: Authority) -> Entry {
    Entry {
        room: name(room),
        who: None,
        nameless: None,
        authority,
        person: Some(person.parse().unwrap()),
        claimed: None,
        trusted: true,
        name: None,
        epoch: None,
        after: None,
    }
}

fn chat() -> Order {
    Order::Chat("hello".to_owned())
}

pub fn logo() -> OverlayBody {
    const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let place = json!({"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2});
    serde_json::from_value(json!({"id": "logo", "kind": "image", "place": place, "image": PIXEL})).unwrap()
}

#[test]
fn a_room_whose_lock_is_held_does_not_delay_other_rooms() {
    let (rooms, runtime) = (rooms(), tokio::runtime::Builder::new_current_thread().build().unwrap());
    let (host, _messages) = enter(&rooms, "red", "mia", Authority::Host);
    let (_other, _others) = enter(&rooms, "blue", "lin", Authority::Host);
    let blue = rooms.cell(&name("blue")).unwrap();
    let held = blue.live.lock();
    runtime.block_on(host.order(chat())).unwrap();
    let lock = Command::LockSeat { seat: onmic_room::SeatNo::new(1).unwrap(), locked: true };
    runtime.block_on(host.order(Order::Machine(lock))).unwrap();
    drop(enter(&rooms, "green", "ben", Authority::Viewer));
    drop(held);
}

#[tokio::test]
async fn no_room_waits_while_pictures_are_decoded() {
    let rooms = rooms();
    let (host, _messages) = enter(&rooms, "red", "mia", Authority::Host);
    let host = Arc::new(host);
    let (guest, _guests) = enter(&rooms, "red", "ben", Authority::Viewer);
    let (other, _others) = enter(&rooms, "blue", "lin", Authority::Host);
    let turn = rooms.decoder.occupy().await;
    let showing = tokio::spawn({
        let host = host.clone();
        async move { host.order(Order::Overlays(vec![logo()])).await }
    });
    yield_now().await;
    for connection in [&other, &guest, &host] {
        connection.order(chat()).await.unwrap();
    }
    assert!(!showing.is_finished());
    drop(turn);
    let shown = showing.await.unwrap().unwrap();
    assert_eq!(shown.changed.program.unwrap().overlays.len(), 1);
}

#[tokio::test]
async fn a_change_of_the_program_repeats_no_overlays_and_settings_that_are_as_they_were() {
    let rooms = rooms();
    let (host, mut messages) = enter(&rooms, "red", "mia", Authority::Host);
    let mut told = || {
        let all = std::iter::from_fn(|| messages.try_recv());
        let all = all.map(|message| serde_json::from_slice::<Value>(&message).unwrap());
        let program = all.filter(|message| message["event"]["kind"] == "program-changed").last().unwrap();
        program["event"]["program"].as_object().unwrap().clone()
    };
    const BLACK: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg==";
    let other_picture = || match logo() {
        OverlayBody::Image { id, place, z, opacity, .. } => {
            OverlayBody::Image { id, place, z, opacity, image: BLACK.to_owned() }
        }
        text => text,
    };
    host.order(Order::Overlays(vec![logo()])).await.unwrap();
    let program = told();
    assert_eq!((&program["overlays"][0]["id"], program.get("source_settings")), (&json!("logo"), None));
    let done = host.order(Order::Layout(Layout::Solo {})).await.unwrap();
    let program = told();
    assert_eq!((&program["layout"]["kind"], program.get("overlays")), (&json!("solo"), None));
    assert_eq!(done.changed.program.unwrap().overlays.len(), 1, "the answer has all of it");
    let louder = SourceChange { gain_db: Some(3.0), ..SourceChange::default() };
    host.order(Order::Source("ben".parse().unwrap(), louder)).await.unwrap();
    let program = told();
    assert_eq!((&program["source_settings"]["ben"]["gain_db"], program.get("overlays")), (&json!(3.0), None));
    rooms.hear(onmic_stage::Report::Program(name("red"), onmic_stage::ProgramState::Mixed));
    let program = told();
    assert_eq!(program["state"], "mixed");
    assert!(program.get("overlays").is_none() && program.get("source_settings").is_none());
    host.order(Order::Overlays(vec![other_picture()])).await.unwrap();
    assert!(told().contains_key("overlays"), "the picture at the address is another one");
    host.order(Order::Overlays(Vec::new())).await.unwrap();
    assert_eq!(told()["overlays"], json!([]));
}

#[tokio::test]
async fn pictures_that_find_too_many_waiting_or_no_memory_are_told_to_come_back() {
    let rooms = rooms();
    let hosts: Vec<_> = (0..9).map(|room| enter(&rooms, &format!("room-{room}"), "mia", Authority::Host)).collect();
    let (hosts, _messages): (Vec<_>, Vec<_>) = hosts.into_iter().map(|(host, own)| (Arc::new(host), own)).unzip();
    let show = |host: Arc<Connection>| async move { host.order(Order::Overlays(vec![logo()])).await };
    let busy = |denied: &Denied| matches!(denied, Denied::Busy(_));
    let nearly_all = rooms.decoder.budget.take(onmic_media::Work::Picture, (1 << 30) - 10).unwrap();
    let refused = show(hosts[0].clone()).await.unwrap_err();
    assert!(busy(&refused) && refused.to_string().contains("memory"), "{refused}");
    drop(nearly_all);
    let turn = rooms.decoder.occupy().await;
    let twice = hosts[..8].iter().flat_map(|host| [host, host]);
    let waiting: Vec<_> = twice.map(|host| tokio::spawn(show(host.clone()))).collect();
    yield_now().await;
    let refused = show(hosts[8].clone()).await.unwrap_err();
    assert!(busy(&refused) && refused.to_string().contains("many other rooms"), "{refused}");
    drop(turn);
    for showing in waiting {
        assert!(showing.await.unwrap().is_ok(), "as many as may wait");
    }
    let turn = rooms.decoder.occupy().await;
    let waiting: Vec<_> = (0..17).map(|_| tokio::spawn(show(hosts[0].clone()))).collect();
    yield_now().await;
    let other = tokio::spawn(show(hosts[8].clone()));
    yield_now().await;
    drop(turn);
    assert!(other.await.unwrap().is_ok(), "one room leaves places to others");
    let mut shown = 0;
    for showing in waiting {
        match showing.await.unwrap() {
            Ok(_) => shown += 1,
            Err(denied) => assert!(busy(&denied) && denied.to_string().contains("this room"), "{denied}"),
        }
    }
    assert_eq!(shown, 2, "as many of one room");
}

#[tokio::test]
async fn no_picture_is_decoded_for_somebody_who_does_not_direct_the_room() {
    let rooms = rooms();
    let (_host, _messages) = enter(&rooms, "red", "mia", Authority::Host);
    let (guest, _guests) = enter(&rooms, "red", "ben", Authority::Viewer);
    let _turn = rooms.decoder.occupy().await;
    let refused = guest.order(Order::Overlays(vec![logo()])).await.unwrap_err();
    assert_eq!(refused, Denied::Refused(Refused::NotHost));
    let twice = rooms.order(&name("red"), &Actor::admin(), Order::Overlays(vec![logo(), logo()])).await.unwrap_err();
    assert!(matches!(twice, Denied::Impossible(_)), "{twice}");
}

#[tokio::test]
async fn of_equal_calls_at_once_one_creates_and_the_others_find_it_created() {
    let rooms = rooms();
    let open = |_| {
        thread::spawn({
            let rooms = rooms.clone();
            move || rooms.open(&name("red"), Settings::default()).unwrap()
        })
    };
    let opened: Vec<_> = [0; 8].map(open).into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(opened.iter().filter(|new| **new).count(), 1);

    let (guest, _guests) = enter(&rooms, "red", "ben", Authority::Viewer);
    let request = || Order::Machine(Command::RequestMic { person: "ben".parse().unwrap(), seat: None });
    let (first, second) = tokio::join!(guest.order(request()), guest.order(request()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.created, second.created);
    assert!(first.changed.request.is_some() && second.changed.request.is_some());
}

#[test]
fn events_are_told_in_the_order_of_the_decisions() {
    let rooms = rooms();
    let (_host, mut messages) = enter(&rooms, "red", "mia", Authority::Host);
    let seat = onmic_room::SeatNo::new(1).unwrap();
    let threads = [true, false].map(|locked| {
        thread::spawn({
            let rooms = rooms.clone();
            move || {
                for _ in 0..100 {
                    let command = Command::LockSeat { seat, locked };
                    rooms.apply(Input::Command { room: name("red"), by: Actor::admin(), command }).unwrap();
                }
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let (mut number, mut locked) = (0, None);
    while let Some(message) = messages.try_recv() {
        let message: Value = serde_json::from_slice(&message).unwrap();
        if message["event"]["kind"] == "seat-changed" {
            assert!(message["number"].as_u64() > Some(number));
            number = message["number"].as_u64().unwrap();
            let told = message["event"]["seat"]["locked"].as_bool();
            assert_ne!(told, locked, "no event repeats the state of the one before");
            locked = told;
        }
    }
    assert_eq!(locked, Some(rooms.desk.lock().machine.seat(&name("red"), seat).unwrap().locked));
}

#[test]
fn two_rooms_that_act_on_each_other_at_once_do_not_wait_for_each_other() {
    let rooms = rooms();
    let _clients = [enter(&rooms, "red", "mia", Authority::Host), enter(&rooms, "blue", "lin", Authority::Host)];
    let threads = [("red", "blue"), ("blue", "red")].map(|(own, other)| {
        thread::spawn({
            let rooms = rooms.clone();
            move || {
                for _ in 0..200 {
                    for command in [Command::ProposePk { room: name(other) }, Command::EndPk] {
                        let input = Input::Command { room: name(own), by: Actor::admin(), command };
                        drop(rooms.apply(input)); // The machine refuses it if the other thread was first.
                    }
                }
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[tokio::test]
async fn a_room_that_ends_leaves_nothing_behind() {
    let rooms = rooms();
    rooms.open(&name("red"), Settings::default()).unwrap();
    let (host, _messages) = enter(&rooms, "red", "mia", Authority::Host);
    let mute = Command::Mute { who: Who::Host, audio: Some(true), video: None };
    host.order(Order::Machine(mute)).await.unwrap();
    rooms.apply(Input::End { room: name("red"), by: Actor::admin() }).unwrap();
    assert!(rooms.desk.lock().cells.is_empty());
    let refused = host.order(chat()).await.unwrap_err();
    assert_eq!(refused, Denied::Refused(Refused::RoomUnknown(name("red"))));
    let (_again, _more) = enter(&rooms, "red", "mia", Authority::Host);
    assert_eq!(rooms.names().len(), 1);
}

#[test]
fn the_metric_of_rooms_counts_those_that_are_open() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let rooms = rooms();
        for room in ["red", "blue", "red"] {
            rooms.open(&name(room), Settings::default()).unwrap();
        }
        rooms.apply(Input::End { room: name("red"), by: Actor::admin() }).unwrap();
    });
    assert!(recorder.handle().render().contains("onmic_rooms 1"), "{}", recorder.handle().render());
}

#[tokio::test]
async fn a_crowd_of_viewers_keeps_out_no_host_and_nobody_who_is_on_mic() {
    let (limits, clients) = (Limits::default(), 16);
    let of_http = Shares::endless();
    let config = RoomsConfig { clients, of_http, ..config_of(limits) };
    let hub = Hub::new(NodeClock::new(Instant::now(), std::time::SystemTime::now()), HubLimits::default(), None);
    let rooms = Rooms::new(config, hub, Tickets::new(""), Arc::new(NoStage), None, CancellationToken::new()).unwrap();
    let mut crowd: Vec<_> =
        (0..14).map(|number| enter(&rooms, "demo", &format!("p{number}"), Authority::Viewer)).collect();
    let comes = |person, authority| try_to_enter(&rooms, "demo", person, authority);
    let full = |denied: Option<Denied>| matches!(denied, Some(Denied::NoShare(onmic_media::NoShare::Full(_, 14))));
    assert!(full(comes("late", Authority::Viewer).err()));
    let _host = comes("mia", Authority::Host).expect("a host finds a place");
    let ask = Command::RequestMic { person: "p3".parse().unwrap(), seat: None };
    let grant = Command::Grant { person: "p3".parse().unwrap(), seat: None };
    for command in [ask, grant] {
        rooms.order(&name("demo"), &Actor::admin(), Order::Machine(command)).await.unwrap();
    }
    drop(crowd.swap_remove(3));
    crowd.push(comes("late", Authority::Viewer).unwrap());
    assert!(full(comes("p4", Authority::Viewer).err()));
    let _seated = comes("p3", Authority::Viewer).expect("their connection broke, and they are on mic");
}

#[test]
fn a_join_in_a_crowd_renders_nothing_but_what_it_changes() {
    let limits = Limits::default();
    let config = RoomsConfig {
        clients: 300,
        clients_each: 300,
        of_http: Shares::endless(),
        limits,
        defaults: Settings::default(),
    };
    let hub = Hub::new(NodeClock::new(Instant::now(), std::time::SystemTime::now()), HubLimits::default(), None);
    let rooms = Rooms::new(config, hub, Tickets::new(""), Arc::new(NoStage), None, CancellationToken::new()).unwrap();
    let state = || rooms.room(&name("demo")).unwrap().0;
    let person = |number: usize| format!("p{number}");
    let mut held: Vec<_> =
        (0..PERSONS_ANNOUNCED).map(|number| enter(&rooms, "demo", &person(number), Authority::Viewer)).collect();
    let before = state();
    held.push(enter(&rooms, "demo", "one-more", Authority::Viewer));
    let crowd = state();
    let persons = |state: &RawValue| serde_json::from_str::<Value>(state.get()).unwrap()["persons"].clone();
    assert_eq!((persons(&before), persons(&crowd)), (json!(200), json!(200)), "the number that was told last");
    let (joined, mut messages) = enter(&rooms, "demo", "another", Authority::Viewer);
    let first: Value = serde_json::from_slice(&messages.try_recv().unwrap()).unwrap();
    assert_eq!(first["room"], serde_json::from_str::<Value>(crowd.get()).unwrap());
    assert!(Arc::ptr_eq(&crowd, &state()), "it is not rendered again");
    drop(joined);

    let cell = rooms.cell(&name("demo")).unwrap();
    let request = Command::RequestMic { person: "p7".parse().unwrap(), seat: None };
    rooms.command(&name("demo"), &cell, &Actor::admin(), request).unwrap();
    let named = |state: &RawValue| serde_json::from_str::<Value>(state.get()).unwrap()["requests"][0]["name"].clone();
    assert_eq!(named(&state()), "p7");
    let (mailbox, mut messages) = Mailbox::new();
    let again = Entry { name: Some("Anna B".to_owned()), ..entry("demo", "p7", Authority::Viewer) };
    let _again = rooms.enter(again, &mailbox).unwrap();
    let first: Value = serde_json::from_slice(&messages.try_recv().unwrap()).unwrap();
    assert_eq!((&first["room"]["requests"][0]["name"], named(&state())), (&json!("Anna B"), json!("Anna B")));
}

#[tokio::test]
async fn a_former_host_who_publishes_again_leaves_the_next_one_their_ticket() {
    let (rooms, room) = (rooms(), name("demo"));
    let (mia, _told) = enter(&rooms, "demo", "mia", Authority::Host);
    let (_ben, _messages) = enter(&rooms, "demo", "ben", Authority::Viewer);
    let ben: PersonId = "ben".parse().unwrap();
    mia.order(Order::Machine(Command::HandOver { person: ben.clone() })).await.unwrap();
    let tickets = || rooms.standing.tickets.of_room(&room);
    let before = tickets();
    assert_eq!(before.iter().map(|(_, good)| &good.person).collect::<Vec<_>>(), [&ben]);
    let (source, person) = (SourceName::host(room.clone()), mia.by.person.clone());
    let admission = onmic_media::Admission { person: person.clone(), ..Default::default() };
    let by = admission.by(onmic_media::Protocol::Rtmp);
    let publication = rooms.hub.publish(&source, by, Instant::now()).unwrap();
    let (room, participant) = (room.clone(), source.participant.clone());
    rooms.bring_up(&source, Input::SourceUp { room, participant, person, video: true, audio: true }, None);
    assert!(!publication.is_current(), "another one is the host");
    assert_eq!(tickets(), before);
}

#[tokio::test]
async fn names_and_messages_do_not_turn_the_text_around_them() {
    let rooms = rooms();
    let join = |person: &str, shown: &str| {
        let (mailbox, mut messages) = Mailbox::new();
        let entry = Entry { name: Some(shown.to_owned()), ..entry("demo", person, Authority::Host) };
        let connection = rooms.enter(entry, &mailbox)?;
        let first: Value = serde_json::from_slice(&messages.try_recv().unwrap()).unwrap();
        Ok::<_, Denied>((connection, messages, first["you"]["name"].clone()))
    };
    let (mia, mut messages, shown) = join("mia", "\u{2068}M\u{202e}ia\u{2069} ").unwrap();
    assert_eq!(shown, "Mia");
    assert_eq!(join("anna", "\u{200b} ").err(), Some(Refused::DisplayName.into()));
    mia.order(Order::Chat("so \u{202e}it is".to_owned())).await.unwrap();
    let said = std::iter::from_fn(|| messages.try_recv()).map(|said| String::from_utf8(said.to_vec()).unwrap());
    let said: Vec<_> = said.filter(|said| said.contains("so it is")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
}
