//! PK, which shows two rooms in one program, and the handing over of a room.

#![allow(clippy::unwrap_used)] // The helpers of tests unwrap as well.

mod stage;

use onmic_room::{Actor, Authority, Command, Event, Input, PkEndReason, PkState, RevokeReason};
use stage::{Stage, events, grant, kinds, mute, participant, person, request, revoked, room, seconds, settings};

fn pk_on(stage: &mut Stage) {
    stage.by("mia", Command::ProposePk { room: room("blue") }).unwrap();
    stage.by_in("blue", "kim", Command::AcceptPk).unwrap();
}

#[test]
fn each_program_shows_both_hosts_and_its_own_seats() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    let proposed = stage.by("mia", Command::ProposePk { room: room("blue") }).unwrap();
    assert_eq!((kinds("red", &proposed), kinds("blue", &proposed)), (vec!["pk-proposed"], vec!["pk-proposed"]));
    assert_eq!(stage.view("red").pk.unwrap().state, PkState::Proposed);
    assert_eq!(stage.view("blue").pk.unwrap().state, PkState::Offered);
    stage.by_in("blue", "kim", Command::AcceptPk).unwrap();
    assert_eq!(stage.program("red"), "host, blue/host, anna");
    assert_eq!(stage.program("blue"), "host, red/host");
    assert_eq!(stage.view("red").pk.unwrap().name, "Kim");
    stage.by("mia", mute("mia", true)).unwrap();
    assert_eq!(stage.program("blue"), "host, red/host -audio");
    let ended = stage.by_in("blue", "kim", Command::EndPk).unwrap();
    assert_eq!((kinds("red", &ended), kinds("blue", &ended)), (vec!["pk-ended"], vec!["pk-ended"]));
    assert_eq!((stage.program("red"), stage.program("blue")), ("host -audio, anna".into(), "host".into()));
}

#[test]
fn a_proposal_is_refused_taken_back_or_expires() {
    let mut stage = Stage::new(settings());
    let propose = || Command::ProposePk { room: room("blue") };
    stage.by("mia", propose()).unwrap();
    assert_eq!(kinds("red", &stage.by_in("blue", "kim", Command::RefusePk).unwrap()), ["pk-refused"]);
    stage.pass(seconds(60));
    stage.by("mia", propose()).unwrap();
    assert_eq!(kinds("blue", &stage.by("mia", Command::EndPk).unwrap()), ["pk-ended"]);
    stage.pass(seconds(60));
    stage.by("mia", propose()).unwrap();
    let expired = stage.pass(seconds(30));
    assert!(matches!(events(&expired)[0], Event::PkEnded { reason: PkEndReason::Expired, .. }));
    assert_eq!(stage.view("blue").pk, None);
}

#[test]
fn a_proposal_that_came_to_nothing_is_not_repeated_for_a_minute_however_it_ended() {
    type End = fn(&mut Stage);
    let propose = || Command::ProposePk { room: room("blue") };
    let ends: [(&str, End); 3] = [
        ("refused", |stage| drop(stage.by_in("blue", "kim", Command::RefusePk).unwrap())),
        ("taken back", |stage| drop(stage.by("mia", Command::EndPk).unwrap())),
        ("expired", |stage| drop(stage.pass(seconds(30)))),
    ];
    for (how, end) in ends {
        let mut stage = Stage::new(settings());
        stage.by("mia", propose()).unwrap();
        end(&mut stage);
        let refused = stage.by("mia", propose()).unwrap_err();
        assert_eq!(refused.code(), "pk-cooling-down", "{how}");
        assert!(refused.to_string().contains("60 s"), "{how}: {refused}");
        let backend = Actor { person: None, authority: Authority::Host };
        let input = Input::Command { room: room("red"), by: backend, command: propose() };
        assert_eq!(stage.apply(input).unwrap_err().code(), "pk-cooling-down", "{how}: whoever proposes for the room");
        stage.by_in("blue", "kim", Command::ProposePk { room: room("red") }).unwrap();
        stage.by("mia", Command::AcceptPk).unwrap();
        stage.by("mia", Command::EndPk).unwrap();
        stage.pass(seconds(60));
        stage.by("mia", propose()).unwrap();
    }
}

#[test]
fn an_offer_keeps_no_room_from_proposing_to_a_third() {
    let mut stage = Stage::new(settings());
    stage.join("green", "zoe", Authority::Host);
    stage.by("mia", Command::ProposePk { room: room("blue") }).unwrap();
    let proposed = stage.by_in("blue", "kim", Command::ProposePk { room: room("green") }).unwrap();
    assert_eq!(kinds("red", &proposed), ["pk-refused"]);
    assert_eq!(kinds("blue", &proposed), ["pk-refused", "pk-proposed"]);
    assert_eq!((stage.view("red").pk, stage.view("green").pk.unwrap().state), (None, PkState::Offered));
}

#[test]
fn a_room_proposes_five_times_a_minute_to_whomever() {
    let mut stage = Stage::new(settings());
    let others = ["a", "b", "c", "d", "e", "f"];
    for other in others {
        stage.join(other, "zoe", Authority::Host);
    }
    let propose = |stage: &mut Stage, other: &str| {
        stage.by("mia", Command::ProposePk { room: room(other) })?;
        stage.by("mia", Command::EndPk)
    };
    for other in &others[..5] {
        propose(&mut stage, other).unwrap();
    }
    let refused = propose(&mut stage, "f").unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("pk-too-many", onmic_room::RefusedKind::Full));
    assert!(refused.to_string().contains("60 s"), "{refused}");
    stage.pass(seconds(60));
    propose(&mut stage, "f").unwrap();
}

#[test]
fn two_rooms_that_propose_to_each_other_have_a_pk() {
    let mut stage = Stage::new(settings());
    stage.by("mia", Command::ProposePk { room: room("blue") }).unwrap();
    let both = stage.by_in("blue", "kim", Command::ProposePk { room: room("red") }).unwrap();
    assert_eq!(kinds("red", &both), ["pk-on"]);
}

#[test]
fn a_partner_whose_source_goes_down_has_a_grace() {
    let mut stage = Stage::new(settings());
    pk_on(&mut stage);
    stage.down("blue", "host");
    assert_eq!(stage.program("red"), "host");
    stage.pass(seconds(9));
    stage.up("blue", "host");
    assert_eq!(stage.program("red"), "host, blue/host");
    stage.down("blue", "host");
    let over = stage.pass(seconds(10));
    assert_eq!(kinds("red", &over), ["pk-ended"]);
    assert!(matches!(events(&over)[0], Event::PkEnded { reason: PkEndReason::HostGone, .. }));
}

#[test]
fn a_pk_ends_at_once_with_the_partners_room() {
    let mut stage = Stage::new(settings());
    pk_on(&mut stage);
    let ended = stage.apply(Input::End { room: room("blue"), by: Actor::admin() }).unwrap();
    assert_eq!(kinds("red", &ended), ["pk-ended"]);
    assert_eq!(stage.program("red"), "host");
}

#[test]
fn a_room_handed_to_somebody_on_mic_always_has_a_program() {
    let mut stage = Stage::new(settings());
    stage.on_mic("anna");
    let handed = stage.by("mia", Command::HandOver { person: person("anna") }).unwrap();
    assert_eq!(kinds("red", &handed), ["source-down", "host-changed"]);
    assert_eq!(revoked(&handed), [("host".to_owned(), RevokeReason::HandedOver)]);
    assert_eq!(stage.program("red"), "anna");
    stage.down("red", "host"); // The former host's publisher closes, which does not concern the new host.
    // The new host publishes as `host`, and their seat is free.
    let up = stage.up("red", "host");
    assert_eq!(revoked(&up), [("anna".to_owned(), RevokeReason::HandedOver)]);
    assert_eq!(stage.program("red"), "host");
    assert_eq!(stage.state_of("anna"), None);
    // The former host is a viewer.
    assert_eq!(stage.by("mia", Command::EndPk).unwrap_err().code(), "not-host");
    stage.by("mia", request("mia")).unwrap();
    stage.by("anna", grant("mia")).unwrap();
}

#[test]
fn a_former_hosts_encoder_does_not_come_back_as_the_host() {
    let mut stage = Stage::new(settings());
    stage.by("mia", Command::HandOver { person: person("anna") }).unwrap();
    let (room, participant) = (room("red"), participant("host"));
    let up = Input::SourceUp { room, participant, person: Some(person("mia")), video: true, audio: true };
    assert_eq!(revoked(&stage.apply(up).unwrap()), [("host".to_owned(), RevokeReason::NotHost)]);
}

#[test]
fn a_second_person_with_a_hosts_token_becomes_the_host_once_the_first_is_gone() {
    let mut stage = Stage::new(settings());
    stage.join("red", "zoe", Authority::Host);
    assert_eq!(stage.view("red").host.person, Some(person("mia")));
    stage.down("red", "host");
    stage.leave("red", "mia");
    stage.join("red", "zoe", Authority::Host);
    assert_eq!(stage.view("red").host.person, Some(person("zoe")));
}

#[test]
fn a_host_who_comes_back_in_time_is_still_the_host() {
    let mut stage = Stage::new(settings());
    stage.down("red", "host");
    stage.leave("red", "mia");
    assert_eq!(kinds("red", &stage.pass(seconds(10))), ["person-left", "host-away"]);
    assert_eq!(kinds("red", &stage.join("red", "mia", Authority::Host)), ["person-joined", "host-back"]);
    assert_eq!(stage.rooms.next_timeout(), None);
}
