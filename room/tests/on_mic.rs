//! The way onto the mic and off it, and what happens when one side stops on the way.

mod stage;

use onmic_room::{
    Actor, Authority, Command, Effect, Event, HostLeaves, Input, Refused, RevokeReason, SeatState, Settings, Who,
};
use stage::{
    Stage, events, grant, invite, kinds, mute, participant, person, request, revoked, room, seat, seconds, settings,
};

#[test]
fn a_viewer_asks_is_granted_and_is_in_the_program() {
    let mut stage = Stage::new(settings());
    assert_eq!(kinds("red", &stage.by("anna", request("anna")).unwrap()), ["mic-requested"]);
    let granted = stage.by("mia", grant("anna")).unwrap();
    assert_eq!(kinds("red", &granted), ["mic-granted"]);
    let Some(Effect::Ticket(ticket)) = granted.iter().find(|effect| matches!(effect, Effect::Ticket(_))) else {
        panic!("no ticket in {granted:?}");
    };
    assert_eq!((&ticket.person, ticket.seat, ticket.expires_in), (&person("anna"), Some(seat(1)), seconds(10)));
    assert_eq!(stage.program("red"), "host");

    let input = Input::SourceConnecting { room: room("red"), participant: participant("anna") };
    assert_eq!(kinds("red", &stage.apply(input).unwrap()), ["mic-connecting"]);
    let up = stage.up("red", "anna");
    assert_eq!(kinds("red", &up), ["source-up", "mic-on"]);
    assert!(matches!(up.last(), Some(Effect::Mix { .. })));
    assert_eq!(stage.program("red"), "host, anna");

    let left = stage.by("anna", Command::LeaveMic { person: person("anna") }).unwrap();
    assert_eq!(kinds("red", &left), ["source-down", "mic-left"]);
    assert_eq!(revoked(&left), [("anna".to_owned(), RevokeReason::Left)]);
    assert_eq!(stage.program("red"), "host");
}

#[test]
fn the_program_expects_a_person_from_the_grant_until_they_are_up_or_have_failed() {
    let mut stage = Stage::new(settings());
    let expects = |stage: &Stage| stage.view("red").mix.expects;
    stage.by("anna", request("anna")).unwrap();
    stage.by("mia", invite("bo")).unwrap();
    assert!(!expects(&stage), "a request or an invitation is not a grant");
    let granted = stage.by("mia", grant("anna")).unwrap();
    assert!(matches!(granted.last(), Some(Effect::Mix { mix, .. }) if mix.expects), "{granted:?}");
    let input = Input::SourceConnecting { room: room("red"), participant: participant("anna") };
    stage.apply(input).unwrap();
    assert!(expects(&stage));
    stage.up("red", "anna");
    assert!(!expects(&stage));
    stage.down("red", "anna");
    assert!(!expects(&stage), "a person who is away may not come back");

    stage.by("bo", Command::Accept { person: person("bo") }).unwrap();
    assert!(expects(&stage));
    stage.pass(seconds(10));
    assert!(!expects(&stage));
}

#[test]
fn every_event_is_numbered_without_a_gap() {
    let mut stage = Stage::new(settings());
    let mut last = stage.view("red").number;
    for command in [request("anna"), Command::Withdraw { person: person("anna") }, request("anna")] {
        for effect in stage.by("anna", command).unwrap() {
            let Effect::Event { number, .. } = effect else { continue };
            assert_eq!(number, last + 1);
            last = number;
        }
    }
}

#[test]
fn an_unanswered_request_expires() {
    let mut stage = Stage::new(settings());
    stage.by("anna", request("anna")).unwrap();
    assert!(stage.pass(seconds(119)).is_empty());
    assert_eq!(kinds("red", &stage.pass(seconds(1))), ["mic-expired"]);
    assert_eq!(stage.rooms.next_timeout(), None);
}

#[test]
fn a_person_who_does_not_publish_on_a_granted_seat_goes_back_to_the_front_of_the_queue() {
    let mut stage = Stage::new(settings());
    for id in ["anna", "bo"] {
        stage.by(id, request(id)).unwrap();
    }
    stage.by("mia", grant("bo")).unwrap();
    let failed = stage.pass(seconds(10));
    assert_eq!(kinds("red", &failed), ["mic-failed"]);
    assert_eq!(revoked(&failed), [("bo".to_owned(), RevokeReason::Timeout)]);
    assert_eq!(stage.queue(), ["bo", "anna"]);
    assert_eq!(stage.view("red").requests[0].failed.as_deref(), Some("Nothing was published in time."));
}

#[test]
fn a_person_who_could_not_connect_waits_in_front_with_the_reason() {
    let mut stage = Stage::new(settings());
    for id in ["anna", "bo"] {
        stage.by(id, request(id)).unwrap();
    }
    stage.by("mia", grant("bo")).unwrap();
    let reason = "No network path for WebRTC was found.".to_owned();
    let failed = stage.by("bo", Command::ConnectFailed { who: person("bo").into(), reason: reason.clone() }).unwrap();
    let [Event::MicFailed { request: Some(again), reason: told, .. }] = &events(&failed)[..] else {
        panic!("{failed:?}");
    };
    assert_eq!((told, again.failed.as_ref()), (&reason, Some(&reason)));
    assert_eq!(stage.queue(), ["bo", "anna"]);
    stage.by("mia", grant("bo")).unwrap();
    stage.up("red", "bo");
    assert_eq!(stage.program("red"), "host, bo");
}

#[test]
fn an_invitation_is_accepted_declined_or_expires() {
    let mut stage = Stage::new(settings());
    assert_eq!(kinds("red", &stage.by("mia", invite("anna")).unwrap()), ["invited"]);
    assert_eq!(stage.state_of("anna"), Some(SeatState::Reserved));
    let accepted = stage.by("anna", Command::Accept { person: person("anna") }).unwrap();
    assert_eq!(kinds("red", &accepted), ["mic-granted"]);

    stage.by("mia", invite("bo")).unwrap();
    let declined = stage.by("bo", Command::Decline { person: person("bo") }).unwrap();
    assert_eq!(kinds("red", &declined), ["invitation-declined"]);

    stage.up("red", "anna");
    stage.by("mia", invite("bo")).unwrap();
    assert_eq!(kinds("red", &stage.pass(seconds(30))), ["invitation-expired"]);
    assert_eq!(stage.state_of("bo"), None);
}

#[test]
fn a_request_of_an_invited_person_and_an_invitation_of_one_who_asks_are_granted() {
    let mut stage = Stage::new(settings());
    stage.by("mia", invite("anna")).unwrap();
    assert_eq!(kinds("red", &stage.by("anna", request("anna")).unwrap()), ["mic-granted"]);
    stage.by("bo", request("bo")).unwrap();
    assert_eq!(kinds("red", &stage.by("mia", invite("bo")).unwrap()), ["mic-granted"]);
}

#[test]
fn a_source_that_flaps_keeps_its_seat_within_the_grace_and_loses_it_after() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    assert_eq!(kinds("red", &stage.down("red", "anna")), ["source-down", "mic-away"]);
    assert_eq!(stage.program("red"), "host");
    stage.pass(seconds(9));
    stage.up("red", "anna");
    assert_eq!(stage.program("red"), "host, anna");
    stage.down("red", "anna");
    let gone = stage.pass(seconds(10));
    assert_eq!(kinds("red", &gone), ["mic-left"]);
    assert_eq!(stage.state_of("anna"), None);
}

#[test]
fn a_person_who_loses_their_connection_keeps_the_seat_they_publish_from() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    stage.by("bo", request("bo")).unwrap();
    stage.leave("red", "anna");
    stage.leave("red", "bo");
    assert_eq!(kinds("red", &stage.pass(seconds(10))), ["mic-withdrawn", "person-left"]);
    assert_eq!(stage.program("red"), "host, anna");
    stage.down("red", "anna");
    assert_eq!(kinds("red", &stage.pass(seconds(10))), ["mic-left", "person-left"]);
}

#[test]
fn a_reload_within_the_grace_keeps_the_request_and_repeats_the_ticket() {
    let mut stage = Stage::new(settings());
    stage.by("anna", request("anna")).unwrap();
    stage.leave("red", "anna");
    stage.pass(seconds(5));
    assert!(stage.join("red", "anna", Authority::Viewer).is_empty());
    assert_eq!(stage.queue(), ["anna"]);
    stage.by("mia", grant("anna")).unwrap();
    stage.leave("red", "anna");
    stage.pass(seconds(4));
    let back = stage.join("red", "anna", Authority::Viewer);
    assert!(matches!(&back[..], [Effect::Ticket(ticket)] if ticket.expires_in == seconds(6)), "{back:?}");
}

#[test]
fn the_hosts_mute_and_the_participants_own_must_both_be_lifted() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    stage.by("anna", mute("anna", true)).unwrap();
    stage.by("mia", mute("anna", true)).unwrap();
    assert_eq!(stage.program("red"), "host, anna -audio");
    stage.by("mia", mute("anna", false)).unwrap();
    assert_eq!(stage.program("red"), "host, anna -audio");
    stage.by("anna", mute("anna", false)).unwrap();
    assert_eq!(stage.program("red"), "host, anna");
    let video = Command::Mute { who: person("anna").into(), audio: None, video: Some(true) };
    stage.by("mia", video).unwrap();
    assert_eq!(stage.program("red"), "host, anna -video");
}

#[test]
fn a_mute_survives_a_flap_and_ends_with_the_next_grant() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    stage.by("mia", mute("anna", true)).unwrap();
    stage.down("red", "anna");
    stage.up("red", "anna");
    assert_eq!(stage.program("red"), "host, anna -audio");
    stage.by("anna", Command::LeaveMic { person: person("anna") }).unwrap();
    stage.on_mic("anna");
    assert_eq!(stage.program("red"), "host, anna");
}

#[test]
fn what_the_host_has_muted_stays_muted_for_who_leaves_and_comes_back() {
    let settings = || Settings { open_seats: true, ..settings() };
    let mut stage = Stage::new(settings());
    stage.up("red", "zoe"); // An encoder alone, which nothing keeps in the room but its seat.
    let own = Actor::new(person("zoe"), Authority::CoHost);
    let herself = Command::Mute { who: person("zoe").into(), audio: None, video: Some(true) };
    stage.apply(Input::Command { room: room("red"), by: own.clone(), command: herself }).unwrap();
    stage.by("mia", mute("zoe", true)).unwrap();
    let leave = Command::LeaveMic { person: person("zoe") };
    stage.apply(Input::Command { room: room("red"), by: own, command: leave }).unwrap();
    assert!(stage.view("red").persons.iter().all(|known| known.person != person("zoe")), "she is gone");
    let now = stage.now;
    let mut again = onmic_room::Rooms::new(onmic_room::Limits::default(), settings()).unwrap();
    assert!(again.restore(now, vec![stage.rooms.snapshot(now, &room("red")).unwrap()]).is_empty());
    for rooms in [&mut stage.rooms, &mut again] {
        let up = Input::SourceUp {
            room: room("red"),
            participant: participant("zoe"),
            person: None,
            video: true,
            audio: true,
        };
        rooms.apply(now, up).unwrap();
        let seat = rooms.seat_of(&room("red"), &person("zoe")).unwrap().unwrap();
        assert_eq!(seat.muted_by.audio, Some(onmic_room::MutedBy::Host));
        assert_eq!(seat.muted_by.video, None, "her own mute is over");
    }
}

#[test]
fn an_invitation_to_a_seat_that_was_locked_since_is_not_accepted_in_any_way() {
    let mut stage = Stage::new(settings());
    stage.join("red", "anna", Authority::Viewer);
    stage.by("mia", invite("anna")).unwrap();
    let lock = |locked| Command::LockSeat { seat: seat(1), locked };
    stage.by("mia", lock(true)).unwrap();
    let accept = || Command::Accept { person: person("anna") };
    assert_eq!(stage.by("anna", accept()), Err(Refused::SeatLocked(seat(1))));
    let up = stage.up("red", "anna");
    assert_eq!(revoked(&up), [("anna".to_owned(), RevokeReason::NotSeated)]);
    stage.by("mia", lock(false)).unwrap();
    stage.by("anna", accept()).unwrap();
}

#[test]
fn sources_with_one_track_are_shown_or_heard() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    stage.up_with("red", "anna", false, true);
    assert_eq!(stage.program("red"), "host, anna -video");
    stage.up_with("red", "anna", true, false);
    assert_eq!(stage.program("red"), "host, anna -audio");
}

#[test]
fn the_program_is_in_the_order_of_seats() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    stage.on_mic("bo");
    assert_eq!(stage.program("red"), "host, anna, bo");
    stage.by("mia", Command::Move { who: person("anna").into(), seat: seat(3) }).unwrap();
    assert_eq!(stage.program("red"), "host, bo, anna");
}

#[test]
fn open_seats_take_an_encoder_without_a_connection() {
    let mut stage = Stage::new(Settings { open_seats: true, ..settings() });
    let up = stage.up("red", "camera-2");
    assert_eq!(kinds("red", &up), ["person-joined", "source-up", "mic-on"]);
    assert_eq!(stage.program("red"), "host, camera-2");
    stage.down("red", "camera-2");
    assert_eq!(kinds("red", &stage.pass(seconds(10))), ["mic-left", "person-left"]);
}

#[test]
fn an_encoder_alone_is_a_host_without_a_person() {
    let mut stage = Stage::new(settings());
    let up = stage.up("green", "host");
    assert_eq!(kinds("green", &up), ["room-opened", "source-up", "host-changed"]);
    let host = stage.view("green").host;
    assert_eq!((host.person, host.present), (None, true));
    // A person who joins with the right to host becomes the host of that source.
    stage.join("green", "zoe", Authority::Host);
    assert_eq!(stage.view("green").host.person, Some(person("zoe")));
    assert_eq!(stage.program("green"), "host");
}

#[test]
fn an_empty_room_ends_unless_it_is_kept() {
    let mut stage = Stage::new(settings());
    stage.down("blue", "host");
    stage.leave("blue", "kim");
    let ended = stage.pass(seconds(70));
    assert_eq!(kinds("blue", &ended).last(), Some(&"room-ended"));
    assert!(matches!(ended.last(), Some(Effect::Ended { .. })));
    assert!(stage.rooms.room(&room("blue")).is_none());

    let open = Input::Open { room: room("kept"), settings: settings(), kept: true };
    stage.apply(open).unwrap();
    stage.pass(seconds(1_000));
    assert!(stage.rooms.room(&room("kept")).is_some());
}

#[test]
fn event_numbers_go_on_in_a_later_room_of_the_same_name() {
    let mut stage = Stage::new(settings());
    let before = stage.view("red").number;
    let by = Actor::admin();
    stage.apply(Input::End { room: room("red"), by }).unwrap();
    stage.join("red", "anna", Authority::Viewer);
    assert!(stage.view("red").number > before);
}

#[test]
fn an_ended_room_closes_every_publisher() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    let by = Actor::admin();
    let ended = stage.apply(Input::End { room: room("red"), by }).unwrap();
    let reason = RevokeReason::RoomEnded;
    assert_eq!(revoked(&ended), [("anna".to_owned(), reason), ("host".to_owned(), reason)]);
}

#[test]
fn a_room_can_end_or_go_on_without_its_host() {
    for (host_leaves, kept_going) in
        [(HostLeaves::Keep, true), (HostLeaves::EmptySeats, true), (HostLeaves::End, false)]
    {
        let mut stage = Stage::new(Settings { host_leaves, ..settings() });
        stage.on_mic("anna");
        stage.down("red", "host");
        stage.leave("red", "mia");
        stage.pass(seconds(70));
        assert_eq!(stage.rooms.room(&room("red")).is_some(), kept_going);
        if kept_going {
            let expected = if host_leaves == HostLeaves::Keep { "anna" } else { "" };
            assert_eq!(stage.program("red"), expected);
        }
    }
}

#[test]
fn a_command_for_a_seat_is_for_the_person_who_is_on_it_then() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    let mute = |who: Who| Command::Mute { who, audio: Some(true), video: None };
    let empty = Refused::SeatEmpty(seat(2));
    assert_eq!(stage.by("mia", mute(Who::Seat(seat(2)))), Err(empty));
    stage.by("mia", Command::Move { who: Who::Seat(seat(1)), seat: seat(2) }).unwrap();
    assert_eq!(kinds("red", &stage.by("mia", mute(Who::Seat(seat(2)))).unwrap()), ["seat-changed"]);
    assert_eq!(kinds("red", &stage.by("mia", mute(Who::Host)).unwrap()), ["host-changed"]);
    assert_eq!(stage.program("red"), "host -audio, anna -audio");
}

#[test]
fn a_seat_is_left_by_its_participant_and_cleared_by_the_host() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    let clear = Command::ClearSeat { seat: seat(1) };
    assert_eq!(stage.by("bo", clear.clone()), Err(Refused::NotHost));
    let left = stage.by("anna", clear.clone()).unwrap();
    assert_eq!(revoked(&left), [("anna".to_owned(), RevokeReason::Left)]);
    assert!(stage.by("anna", clear.clone()).unwrap().is_empty(), "an empty seat");
    stage.on_mic("anna");
    let removed = stage.by("mia", clear).unwrap();
    assert_eq!(revoked(&removed), [("anna".to_owned(), RevokeReason::Removed)]);
}
