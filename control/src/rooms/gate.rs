//! The gate for publishers: what their token says, and then what the room says.
//!
//! A token of the role `host` gives the right to be the host, and only the room knows who is. It decides again when the source is
//! up, for then somebody else may be the host. But whoever is not is refused here, before they get the name: else they would hold it
//! from the host until their first frame, which need not come.

use std::sync::Arc;

use onmic_media::Permit;
use onmic_media::gate::{Action, Admission, Gate, Refusal, Shown};
use onmic_room::RoomName;

use super::Rooms;
use crate::auth::TokenGate;

/// Asks the token, and then the room.
pub struct RoomGate {
    tokens: Arc<TokenGate>,
    rooms: Arc<Rooms>,
}

impl RoomGate {
    /// Returns a gate over these two.
    pub fn new(tokens: Arc<TokenGate>, rooms: Arc<Rooms>) -> Self {
        Self { tokens, rooms }
    }

    fn ask(&self, action: Action<'_>, admission: &Admission) -> Result<(), Refusal> {
        match action {
            Action::Publish(name) if !self.rooms.may_publish_as(name, admission.person.as_ref()) => {
                let sentence = "somebody else hosts this room; ask them to hand it over";
                Err(Refusal::NotAllowed(sentence.into()))
            }
            _ => Ok(()),
        }
    }
}

impl Gate for RoomGate {
    fn check(&self, action: Action<'_>, shown: Shown<'_>) -> Result<Admission, Refusal> {
        let admission = self.tokens.check(action, shown)?;
        self.ask(action, &admission).map(|()| admission)
    }

    fn begin(&self, room: &RoomName, shown: Shown<'_>) -> Result<Admission, Refusal> {
        self.tokens.begin(room, shown)
    }

    fn open(&self, action: Action<'_>, shown: Shown<'_>) -> Result<(Admission, Permit), Refusal> {
        let (admission, permit) = self.tokens.open(action, shown)?;
        self.ask(action, &admission).map(|()| (admission, permit))
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use onmic_media::SourceName;
    use onmic_room::{Actor, Authority, Command, Input};
    use serde_json::json;

    use super::super::tests::{enter, name, rooms_with};
    use super::*;

    /// Returns a token of the role `host`. Without a `sub` it is a backend's.
    fn token(sub: Option<&str>) -> String {
        let mut claims = json!({"exp": 4_000_000_000_u64, "room": "red", "role": "host"});
        sub.into_iter().for_each(|sub| claims["sub"] = json!(sub));
        encode(&Header::default(), &claims, &EncodingKey::from_secret(b"secret")).unwrap()
    }

    #[test]
    fn only_who_hosts_a_room_or_may_host_it_gets_the_name_of_its_host() {
        let rooms = rooms_with(std::time::Duration::ZERO);
        let tokens = Arc::new(TokenGate::new("secret", rooms.standing.clone()));
        let gate = RoomGate::new(tokens, rooms.clone());
        let host = SourceName::host(name("red"));
        let admits = |sub| {
            let token = token(sub);
            let shown = Shown::token(Some(&token));
            let (checked, opened) =
                (gate.check(Action::Publish(&host), shown), gate.open(Action::Publish(&host), shown));
            assert_eq!(checked.is_ok(), opened.is_ok(), "{sub:?}");
            checked.is_ok()
        };
        assert!(admits(Some("ben")) && admits(Some("mia")), "there is no room yet, so everybody may be its host");
        let (_ben, _messages) = enter(&rooms, "red", "ben", Authority::Host);
        assert!(admits(Some("ben")) && admits(None) && !admits(Some("mia")));
        let watched = gate.check(Action::Play(&host.room), Shown::token(Some(&token(Some("mia")))));
        assert!(watched.is_ok(), "she watches all the same");
        assert!(rooms.standing.permits.is_empty(), "nothing stays of what was refused");

        let (_mia, _others) = enter(&rooms, "red", "mia", Authority::Host);
        let command = Command::HandOver { person: "mia".parse().unwrap() };
        rooms.apply(Input::Command { room: name("red"), by: Actor::admin(), command }).unwrap();
        assert!(admits(Some("mia")) && !admits(Some("ben")));
    }
}
