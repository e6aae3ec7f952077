//! What people do wrong: the sentence they get, and what happens to the room.

#![allow(clippy::unwrap_used)] // The helpers of tests unwrap as well.

mod stage;

use onmic_room::{
    Actor, Authority, Command, Effect, Input, Limits, Refused, RefusedKind, RevokeReason, Rooms, SeatState, Settings,
    Timeouts,
};
use stage::{
    Stage, events, grant, invite, kinds, mute, participant, person, request, revoked, room, seat, seconds, settings,
};

/// Checks that the command is refused with this sentence, and that nothing has changed.
fn refused(stage: &mut Stage, by: &str, command: Command, sentence: &str, kind: RefusedKind) {
    let before = stage.view("red");
    let refused = stage.by(by, command).unwrap_err();
    assert_eq!((refused.to_string().as_str(), refused.kind()), (sentence, kind));
    assert_eq!(stage.view("red"), before);
}

#[test]
fn a_viewer_who_asks_twice_has_one_request() {
    let mut stage = Stage::new(settings());
    stage.by("anna", request("anna")).unwrap();
    let first = stage.view("red").requests;
    stage.pass(seconds(5));
    assert!(stage.by("anna", request("anna")).unwrap().is_empty());
    assert_eq!(stage.view("red").requests, first);
}

#[test]
fn a_request_for_a_locked_seat_is_refused() {
    let mut stage = Stage::new(settings());
    stage.by("mia", Command::LockSeat { seat: seat(2), locked: true }).unwrap();
    let command = Command::RequestMic { person: person("anna"), seat: Some(seat(2)) };
    refused(&mut stage, "anna", command, "Seat 2 is locked. Ask for another one.", RefusedKind::Conflict);
}

#[test]
fn a_request_for_a_taken_or_missing_seat_is_refused() {
    let mut stage = Stage::new(settings());
    stage.on_mic("bo");
    let ask = |number| Command::RequestMic { person: person("anna"), seat: Some(seat(number)) };
    refused(&mut stage, "anna", ask(1), "Seat 1 is taken. Ask for another one.", RefusedKind::Conflict);
    refused(&mut stage, "anna", ask(9), "There is no seat 9. This room has seats 1 to 3.", RefusedKind::NotFound);
}

#[test]
fn a_locked_room_takes_no_requests() {
    let mut stage = Stage::new(Settings { locked: true, ..settings() });
    let sentence = "The room takes no requests for the mic now. Wait until the host unlocks it.";
    refused(&mut stage, "anna", request("anna"), sentence, RefusedKind::Conflict);
}

#[test]
fn a_viewer_who_was_removed_may_ask_again_after_the_cool_down() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    let removed = stage.by("mia", Command::Remove { person: person("anna") }).unwrap();
    assert_eq!(revoked(&removed), [("anna".to_owned(), RevokeReason::Removed)]);
    stage.pass(seconds(4));
    let sentence = "You were removed from the mic a moment ago. Ask again in 6 s.";
    refused(&mut stage, "anna", request("anna"), sentence, RefusedKind::Conflict);
    // To leave and come back does not shorten the cool-down.
    stage.leave("red", "anna");
    stage.join("red", "anna", Authority::Viewer);
    assert!(stage.by("anna", request("anna")).is_err());
    stage.pass(seconds(6));
    stage.by("anna", request("anna")).unwrap();
}

#[test]
fn a_viewer_who_was_removed_and_publishes_anyway_is_revoked() {
    let mut stage = Stage::new(Settings { open_seats: true, ..settings() });
    stage.up("red", "anna");
    stage.by("mia", Command::Remove { person: person("anna") }).unwrap();
    let up = stage.up("red", "anna");
    assert_eq!(revoked(&up), [("anna".to_owned(), RevokeReason::CoolingDown)]);
    assert_eq!(stage.program("red"), "host");
}

#[test]
fn somebody_who_is_kicked_has_nothing_left_in_the_room_whatever_they_had() {
    let kick = |id: &str| Command::Kick { person: person(id) };
    for had in ["nothing", "a request", "an invitation", "a grant", "a source"] {
        let mut stage = Stage::new(settings());
        match had {
            "a request" => drop(stage.by("anna", request("anna")).unwrap()),
            "an invitation" => drop(stage.by("mia", invite("anna")).unwrap()),
            "a grant" => {
                stage.by("anna", request("anna")).unwrap();
                stage.by("mia", grant("anna")).unwrap();
            }
            "a source" => stage.on_mic("anna"),
            _ => {}
        }
        let kicked = stage.by("mia", kick("anna")).unwrap();
        let expelled = Effect::Kicked { room: room("red"), person: person("anna") };
        assert!(kicked.contains(&expelled), "{had}: {kicked:?}");
        assert_eq!(kinds("red", &kicked).last(), Some(&"person-left"), "{had}");
        let was_seated = ["a grant", "a source"].contains(&had);
        assert_eq!(revoked(&kicked).contains(&("anna".to_owned(), RevokeReason::Kicked)), was_seated, "{had}");
        let view = stage.view("red");
        assert!(view.persons.iter().all(|there| there.person != person("anna")), "{had}");
        assert!(view.requests.is_empty() && view.invitations.is_empty() && stage.state_of("anna").is_none(), "{had}");
        assert_eq!(stage.program("red"), "host", "{had}");
        stage.leave("red", "anna"); // Her connections end after that.
        stage.join("red", "anna", Authority::Viewer);
        assert_eq!(stage.by("anna", request("anna")).is_err(), was_seated, "{had}: whoever had a seat cools down");
    }
}

#[test]
fn a_host_who_is_kicked_hosts_no_more_and_somebody_else_can() {
    let mut stage = Stage::new(settings());
    let by = Actor::admin();
    let command = Command::Kick { person: person("mia") };
    let kicked = stage.apply(Input::Command { room: room("red"), by, command }).unwrap();
    assert_eq!(revoked(&kicked), [("host".to_owned(), RevokeReason::Kicked)]);
    let view = stage.view("red");
    assert!(view.host.person.is_none() && !view.host.present && view.sources.is_empty());
    stage.join("red", "anna", Authority::Host);
    assert_eq!(stage.view("red").host.person, Some(person("anna")));
}

#[test]
fn a_viewer_who_publishes_without_a_seat_is_revoked() {
    let mut stage = Stage::new(settings());
    let up = stage.up("red", "anna");
    assert_eq!(revoked(&up), [("anna".to_owned(), RevokeReason::NotSeated)]);
    assert_eq!(RevokeReason::NotSeated.to_string(), "You have no seat in this room. Ask for the mic first.");
    assert_eq!(stage.program("red"), "host");
    // A publisher does not open a room in which it may not stay.
    assert_eq!(revoked(&stage.up("green", "anna")).len(), 1);
    assert!(stage.rooms.room(&room("green")).is_none());
}

#[test]
fn a_viewer_cannot_act_for_another_viewer() {
    let mut stage = Stage::new(settings());
    stage.by("anna", request("anna")).unwrap();
    stage.by("mia", invite("bo")).unwrap();
    let sentence = "That is somebody else's. Only they or the host can do it.";
    let withdraw = Command::Withdraw { person: person("anna") };
    refused(&mut stage, "bo", withdraw, sentence, RefusedKind::NotAllowed);
    let accept = Command::Accept { person: person("bo") };
    refused(&mut stage, "anna", accept, sentence, RefusedKind::NotAllowed);
}

#[test]
fn a_viewer_cannot_direct_the_room() {
    let mut stage = Stage::new(settings());
    stage.by("anna", request("anna")).unwrap();
    let sentence = "Only the host of this room may do that. Ask the host, or to be handed the room.";
    let commands = [
        grant("anna"),
        invite("bo"),
        Command::Refuse { person: person("anna") },
        Command::Remove { person: person("bo") },
        Command::Kick { person: person("anna") },
        mute("mia", true),
        Command::LockSeat { seat: seat(1), locked: true },
        Command::Move { who: person("anna").into(), seat: seat(1) },
        Command::HandOver { person: person("bo") },
        Command::ProposePk { room: room("blue") },
        Command::AcceptPk,
        Command::RefusePk,
        Command::EndPk,
    ];
    for command in commands {
        refused(&mut stage, "bo", command, sentence, RefusedKind::NotAllowed);
    }
    let bo = Actor::new(person("bo"), Authority::Viewer);
    assert!(stage.rooms.authorize(&room("red"), &bo).is_err());
    assert!(stage.rooms.authorize(&room("red"), &Actor::admin()).is_ok());
    // The host of another room is a viewer here: the driver gives them no authority, and they are not this room's host.
    assert!(stage.rooms.authorize(&room("red"), &Actor::new(person("kim"), Authority::Viewer)).is_err());
    let end = Input::End { room: room("red"), by: bo.clone() };
    assert_eq!(stage.apply(end).unwrap_err().kind(), RefusedKind::NotAllowed);
    let configure = Input::Configure { room: room("red"), by: bo, settings: Settings::default() };
    assert_eq!(stage.apply(configure).unwrap_err().kind(), RefusedKind::NotAllowed);
}

#[test]
fn a_participant_cannot_lift_the_hosts_mute() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    stage.by("mia", mute("anna", true)).unwrap();
    let sentence = "The host has muted you. Ask the host to lift it.";
    refused(&mut stage, "anna", mute("anna", false), sentence, RefusedKind::NotAllowed);
}

#[test]
fn a_host_can_grant_only_a_request_and_invite_only_somebody_who_is_there() {
    let mut stage = Stage::new(settings());
    let sentence = "Anna is not asking for the mic. Send an invitation instead.";
    refused(&mut stage, "mia", grant("anna"), sentence, RefusedKind::NotFound);
    let sentence = "zoe is not in this room. Connect to the room's events first.";
    refused(&mut stage, "mia", invite("zoe"), sentence, RefusedKind::NotFound);
}

#[test]
fn a_host_cannot_grant_more_seats_than_there_are_or_take_away_a_taken_one() {
    let mut stage = Stage::new(Settings { seats: 1, ..settings() });
    stage.on_mic("bo");
    stage.by("anna", request("anna")).unwrap();
    let sentence = "All seats are taken or locked. Free one first.";
    refused(&mut stage, "mia", grant("anna"), sentence, RefusedKind::Conflict);
    let by = Actor::admin();
    let fewer = Input::Configure { room: room("red"), by, settings: Settings { seats: 0, ..settings() } };
    let sentence = "Seat 1 is taken, so it cannot go. Free it first.";
    assert_eq!(stage.apply(fewer).unwrap_err().to_string(), sentence);
}

#[test]
fn a_host_cannot_give_a_taken_seat_or_a_second_seat() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    stage.on_mic("bo");
    let onto = Command::Move { who: person("anna").into(), seat: seat(2) };
    refused(&mut stage, "mia", onto, "Seat 2 is taken. Ask for another one.", RefusedKind::Conflict);
    let again = Command::Grant { person: person("anna"), seat: Some(seat(3)) };
    let sentence = "Anna has seat 1 already. Move them instead.";
    refused(&mut stage, "mia", again, sentence, RefusedKind::Conflict);
}

#[test]
fn a_host_has_no_seat() {
    let mut stage = Stage::new(Settings { open_seats: true, ..settings() });
    let sentence = "The host is live without a seat. Publish to the room itself.";
    refused(&mut stage, "mia", request("mia"), sentence, RefusedKind::Conflict);
    assert_eq!(revoked(&stage.up("red", "mia")), [("mia".to_owned(), RevokeReason::IsHost)]);
}

#[test]
fn a_host_cannot_hand_the_room_to_somebody_who_is_absent() {
    let mut stage = Stage::new(settings());
    stage.leave("red", "bo");
    let sentence = "Bo is not here at the moment. Choose somebody who is.";
    refused(&mut stage, "mia", Command::HandOver { person: person("bo") }, sentence, RefusedKind::Conflict);
}

#[test]
fn a_grant_and_requests_outlive_a_host_who_vanishes() {
    let mut stage = Stage::new(settings());
    stage.by("anna", request("anna")).unwrap();
    stage.by("bo", request("bo")).unwrap();
    stage.by("mia", grant("anna")).unwrap();
    stage.down("red", "host");
    stage.leave("red", "mia");
    // The grant stands.
    stage.up("red", "anna");
    assert_eq!(stage.program("red"), "anna");
    assert!(kinds("red", &stage.pass(seconds(10))).contains(&"host-away"));
    assert_eq!(stage.queue(), ["bo"]);
    // After a minute without the host the seats are emptied. A request still waits, and expires in its own time.
    let over = stage.pass(seconds(60));
    assert_eq!(kinds("red", &over), ["host-changed", "source-down", "mic-left"]);
    assert_eq!(revoked(&over), [("anna".to_owned(), RevokeReason::HostLeft)]);
    assert_eq!(stage.queue(), ["bo"]);
    assert_eq!(kinds("red", &stage.pass(seconds(60))), ["mic-expired"]);
}

#[test]
fn a_pk_ends_when_the_partners_host_is_gone() {
    let mut stage = Stage::new(settings());
    stage.by("mia", Command::ProposePk { room: room("blue") }).unwrap();
    stage.by_in("blue", "kim", Command::AcceptPk).unwrap();
    stage.down("blue", "host");
    stage.leave("blue", "kim");
    let over = stage.pass(seconds(10));
    assert!(kinds("red", &over).contains(&"pk-ended"));
    assert_eq!(stage.program("red"), "host");
    let sentence = "Nobody hosts room blue at the moment. Try again when its host is there.";
    refused(&mut stage, "mia", Command::ProposePk { room: room("blue") }, sentence, RefusedKind::Conflict);
}

#[test]
fn a_pk_with_itself_or_with_a_busy_room_is_refused() {
    let mut stage = Stage::new(settings());
    stage.join("green", "zoe", Authority::Host);
    stage.by("mia", Command::ProposePk { room: room("blue") }).unwrap();
    let itself = "A room cannot have a PK with itself. Name another room.";
    refused(&mut stage, "mia", Command::ProposePk { room: room("red") }, itself, RefusedKind::Malformed);
    let none = "There is no PK proposal; it may have expired. Propose one instead.";
    refused(&mut stage, "mia", Command::AcceptPk, none, RefusedKind::NotFound);
    let third = stage.by_in("green", "zoe", Command::ProposePk { room: room("blue") }).unwrap_err();
    let busy = "Room blue has another PK or proposal. Wait until that is over, or choose another room.";
    assert_eq!(third.to_string(), busy);
}

#[test]
fn a_track_that_flaps_changes_the_program_and_no_seat() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    for round in 0..100 {
        let (room, participant) = (room("red"), participant("anna"));
        let video = round % 2 == 0;
        stage.apply(Input::SourceChanged { room, participant, video, audio: true }).unwrap();
        assert_eq!(stage.state_of("anna"), Some(SeatState::OnMic));
        assert_eq!(stage.program("red"), if video { "host, anna" } else { "host, anna -video" });
    }
}

#[test]
fn a_late_or_unknown_input_changes_nothing() {
    let mut stage = Stage::new(settings());
    let before = stage.view("red");
    for id in ["anna", "nobody"] {
        let (room, participant) = (room("red"), participant(id));
        assert!(stage.down("red", id).is_empty());
        let connecting = Input::SourceConnecting { room: room.clone(), participant: participant.clone() };
        assert!(stage.apply(connecting).unwrap().is_empty());
        let changed = Input::SourceChanged { room, participant, video: true, audio: true };
        assert!(stage.apply(changed).unwrap().is_empty());
    }
    stage.leave("red", "nobody");
    assert_eq!(stage.view("red"), before);
    let (room, person) = (room("nowhere"), person("anna"));
    assert_eq!(
        stage.apply(Input::Leave { room, person }).unwrap_err().to_string(),
        "There is no room nowhere. Check the name, or create the room first."
    );
}

#[test]
fn an_invalid_or_reserved_name_is_refused() {
    let mut stage = Stage::new(settings());
    let mut join = |id: &str, name: &str, authority| {
        let input = Input::Join { room: room("red"), person: person(id), name: name.to_owned(), authority };
        stage.apply(input).map(|effects| events(&effects).len()).map_err(|refused| refused.code())
    };
    assert_eq!(join("zoe", "", Authority::Viewer), Err("display-name"));
    assert_eq!(join("zoe", &"z".repeat(65), Authority::Viewer), Err("display-name"));
    assert_eq!(join("zoe", "Z\u{202e}oe", Authority::Viewer), Err("display-name"));
    assert_eq!(join("host", "Me", Authority::Viewer), Err("name-reserved"));
    assert_eq!(join("host", "Me", Authority::Host), Ok(1));
}

#[test]
fn rooms_persons_and_requests_above_their_limits_are_refused() {
    let limits = Limits { rooms: 1, persons: 3, requests: 1 };
    let mut stage = Stage { rooms: Rooms::new(limits, settings()).unwrap(), now: std::time::Instant::now() };
    for id in ["mia", "anna", "bo"] {
        stage.join("red", id, Authority::Viewer);
    }
    let mut join = |at: &str| {
        let input =
            Input::Join { room: room(at), person: person("zoe"), name: "Zoe".into(), authority: Authority::Viewer };
        stage.apply(input).unwrap_err()
    };
    assert_eq!((join("red").code(), join("blue").code()), ("persons-full", "rooms-full"));
    assert_eq!(revoked(&stage.up("blue", "host")), [("host".to_owned(), RevokeReason::RoomsFull)]);
    stage.by("anna", request("anna")).unwrap();
    let full = stage.by("bo", request("bo")).unwrap_err();
    let sentence = "1 people are asking for the mic already, the limit. Try again later.";
    assert_eq!((full.to_string().as_str(), full.kind()), (sentence, RefusedKind::Full));
}

#[test]
fn viewers_leave_an_eighth_of_each_limit_to_others() {
    let limits = Limits { rooms: 8, persons: 8, requests: 8 };
    let mut stage = Stage { rooms: Rooms::new(limits, settings()).unwrap(), now: std::time::Instant::now() };
    let refused = |stage: &mut Stage, at: &str| {
        let (room, person, name, authority) = (room(at), person("zoe"), "Zoe".to_owned(), Authority::Viewer);
        stage.apply(Input::Join { room, person, name, authority }).unwrap_err()
    };
    for number in 0..7 {
        stage.join(&format!("room-{number}"), "anna", Authority::Viewer);
    }
    assert_eq!(refused(&mut stage, "red"), Refused::RoomsFull(7));
    stage.join("red", "mia", Authority::Host);
    for viewer in ["v1", "v2", "v3", "v4", "v5", "v6"] {
        stage.join("red", viewer, Authority::Viewer);
    }
    assert_eq!(refused(&mut stage, "red"), Refused::PersonsFull(7));
    stage.by("mia", Command::HandOver { person: person("v1") }).unwrap();
    stage.leave("red", "v1");
    stage.pass(seconds(11));
    stage.join("red", "v7", Authority::Viewer);
    stage.join("red", "v1", Authority::Viewer); // The host is who has the room, whatever their token says.

    let mut stage = Stage { rooms: Rooms::new(Limits { persons: 100, ..limits }, settings()).unwrap(), ..stage };
    for number in 0..9 {
        stage.join("red", &format!("v{number}"), Authority::Viewer);
    }
    for number in 0..7 {
        stage.by(&format!("v{number}"), request(&format!("v{number}"))).unwrap();
    }
    assert_eq!(stage.by("v7", request("v7")).unwrap_err(), Refused::RequestsFull(7));
    let by = Actor::new(person("v7"), Authority::CoHost);
    stage.apply(Input::Command { room: room("red"), by, command: request("v7") }).unwrap();
    let full = Input::Command { room: room("red"), by: Actor::admin(), command: request("v8") };
    assert_eq!(stage.apply(full).unwrap_err(), Refused::RequestsFull(8));
}

#[test]
fn invalid_settings_are_refused() {
    let mut stage = Stage::new(settings());
    let mut open = |settings| {
        let input = Input::Open { room: room("new"), settings, kept: true };
        stage.apply(input).map_err(|refused| refused.to_string())
    };
    let seats = "99 seats are too many. A room has 0 to 16.";
    assert_eq!(open(Settings { seats: 99, ..settings() }), Err(seats.to_owned()));
    let timeouts = Timeouts { request: seconds(0), ..Timeouts::default() };
    let timeout = "The timeout request is out of bounds. Set it between 100 ms and 24 h.";
    assert_eq!(open(Settings { timeouts, ..settings() }), Err(timeout.to_owned()));
    open(settings()).unwrap();
    let exists = "Room new exists with other settings. Configure it, or choose another name.";
    assert_eq!(open(Settings { seats: 1, ..settings() }), Err(exists.to_owned()));
}
