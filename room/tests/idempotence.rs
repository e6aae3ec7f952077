//! A command that is given twice has the effect of one.

#![allow(clippy::unwrap_used)] // The helpers of tests unwrap as well.

mod stage;

use onmic_room::{Command, Input};
use stage::{Stage, grant, invite, mute, person, request, room, seat, settings};

/// Checks that the command, given twice after `before`, has an effect only the first time.
#[track_caller]
fn once(before: &[(&str, Command)], by: &str, command: &Command) {
    let mut stage = Stage::new(settings());
    for (by, command) in before {
        let at = if *by == "kim" { "blue" } else { "red" };
        stage.by_in(at, by, command.clone()).unwrap();
    }
    let at = if by == "kim" { "blue" } else { "red" };
    let effects = stage.by_in(at, by, command.clone()).unwrap();
    assert!(!effects.is_empty(), "{command:?} has no effect");
    let after = (stage.view("red"), stage.view("blue"));
    let again = stage.by_in(at, by, command.clone()).unwrap();
    assert!(again.is_empty(), "{command:?} has an effect the second time: {again:?}");
    assert_eq!((stage.view("red"), stage.view("blue")), after);
}

#[test]
fn commands_about_requests_have_an_effect_once() {
    let asked = [("anna", request("anna"))];
    once(&[], "anna", &request("anna"));
    once(&asked, "anna", &Command::Withdraw { person: person("anna") });
    once(&asked, "mia", &grant("anna"));
    once(&asked, "mia", &Command::Grant { person: person("anna"), seat: Some(seat(2)) });
    once(&asked, "mia", &Command::Refuse { person: person("anna") });
    let granted = [("anna", request("anna")), ("mia", grant("anna"))];
    once(&granted, "anna", &Command::ConnectFailed { who: person("anna").into(), reason: "No path.".into() });
}

#[test]
fn commands_about_invitations_have_an_effect_once() {
    let invited = [("mia", invite("anna"))];
    once(&[], "mia", &invite("anna"));
    once(&invited, "anna", &Command::Accept { person: person("anna") });
    once(&invited, "anna", &Command::Decline { person: person("anna") });
}

#[test]
fn commands_about_seats_have_an_effect_once() {
    let granted = [("anna", request("anna")), ("mia", grant("anna"))];
    once(&granted, "anna", &Command::LeaveMic { person: person("anna") });
    once(&granted, "mia", &Command::Remove { person: person("anna") });
    once(&granted, "mia", &Command::Kick { person: person("anna") });
    once(&granted, "mia", &mute("anna", true));
    once(&granted, "anna", &mute("anna", true));
    once(&granted, "mia", &Command::Move { who: person("anna").into(), seat: seat(3) });
    once(&[], "mia", &Command::LockSeat { seat: seat(1), locked: true });
    once(&[], "mia", &Command::HandOver { person: person("anna") });
}

#[test]
fn commands_about_a_pk_have_an_effect_once() {
    let propose = Command::ProposePk { room: room("blue") };
    let proposed = [("mia", propose.clone())];
    once(&[], "mia", &propose);
    once(&proposed, "kim", &Command::AcceptPk);
    once(&proposed, "kim", &Command::RefusePk);
    once(&[("mia", propose), ("kim", Command::AcceptPk)], "mia", &Command::EndPk);
}

#[test]
fn opening_and_configuring_a_room_have_an_effect_once() {
    let mut stage = Stage::new(settings());
    let by = onmic_room::Actor::admin();
    let open = Input::Open { room: room("new"), settings: settings(), kept: true };
    let fewer = onmic_room::Settings { seats: 1, ..settings() };
    let configure = Input::Configure { room: room("new"), by, settings: fewer };
    assert!(!stage.apply(open.clone()).unwrap().is_empty());
    assert!(stage.apply(open).unwrap().is_empty());
    assert!(!stage.apply(configure.clone()).unwrap().is_empty());
    assert!(stage.apply(configure).unwrap().is_empty());
}
