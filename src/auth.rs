//! Who may do what: tokens are JWTs (RFC 7519) signed with HS256 and the configured secret.
//!
//! Claims: `exp`, `room` (a name, or `*`), `role`, and for co-hosts `participant`; `nbf` is minded if it is there. A role
//! says what is allowed:
//!
//! | role | publish | play |
//! | --- | --- | --- |
//! | `host` | as `host` | the program, every source and every return feed |
//! | `co-host` | as its `participant` | the program, every source and its return feed |
//! | `viewer` | no | the program |
//! | `admin` | as anybody | everything, and the API |

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use onmic_media::gate::{Action, Gate, Refusal};
use onmic_media::name::RoomName;

/// What a token says.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    room: String,
    role: Role,
    #[serde(default)]
    participant: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Host,
    CoHost,
    Viewer,
    Admin,
}

impl Claims {
    /// Whether the token is for this room.
    pub fn covers(&self, room: &RoomName) -> bool {
        self.room == "*" || self.room == room.as_str()
    }

    fn allow(&self, action: Action<'_>) -> Result<(), Refusal> {
        let room = match action {
            Action::Publish(name) | Action::PlaySource(name) | Action::PlayReturn(name) => &name.room,
            Action::Play(room) => room,
        };
        if !self.covers(room) {
            return Err(Refusal::NotAllowed(format!("it is for room {:?}", self.room)));
        }
        let allowed = match action {
            Action::Play(_) => true,
            Action::PlaySource(_) => self.role != Role::Viewer,
            Action::PlayReturn(_) if self.role == Role::Host => true,
            Action::Publish(name) | Action::PlayReturn(name) => match self.role {
                Role::Admin => true,
                Role::Host => name.participant.as_str() == "host",
                Role::CoHost => self.participant.as_deref() == Some(name.participant.as_str()),
                Role::Viewer => false,
            },
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::NotAllowed(format!("its role is {:?}, its participant {:?}", self.role, self.participant)))
    }
}

/// Checks tokens, or nothing when there is no secret.
pub struct TokenGate {
    key: Option<DecodingKey>,
}

impl TokenGate {
    /// An empty secret opens the gate.
    pub fn new(secret: &str) -> Self {
        Self { key: (!secret.is_empty()).then(|| DecodingKey::from_secret(secret.as_bytes())) }
    }

    /// Whether tokens are asked for.
    pub fn is_closed(&self) -> bool {
        self.key.is_some()
    }

    /// What `token` says; `None` when no tokens are asked for.
    pub fn claims(&self, token: Option<&str>) -> Result<Option<Claims>, Refusal> {
        let Some(key) = &self.key else { return Ok(None) };
        let token = token.ok_or(Refusal::TokenMissing)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_nbf = true;
        decode::<Claims>(token, key, &validation)
            .map(|decoded| Some(decoded.claims))
            .map_err(|error| Refusal::TokenInvalid(error.to_string()))
    }
}

impl Gate for TokenGate {
    fn check(&self, action: Action<'_>, token: Option<&str>) -> Result<(), Refusal> {
        self.claims(token)?.map_or(Ok(()), |claims| claims.allow(action))
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const FAR: u64 = 4_000_000_000;

    fn token(secret: &str, claims: serde_json::Value) -> String {
        encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn check(action: Action<'_>, claims: serde_json::Value) -> Result<(), Refusal> {
        TokenGate::new("secret").check(action, Some(&token("secret", claims)))
    }

    #[test]
    fn a_host_publishes_its_room_and_no_other() {
        let claims = json!({"exp": FAR, "room": "demo", "role": "host"});
        assert_eq!(check(Action::Publish(&"demo".parse().unwrap()), claims.clone()), Ok(()));
        for key in ["other", "demo/anna"] {
            let refused = check(Action::Publish(&key.parse().unwrap()), claims.clone());
            assert!(matches!(refused, Err(Refusal::NotAllowed(_))), "{key}");
        }
    }

    #[test]
    fn a_co_host_publishes_its_seat_only() {
        let claims = json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "anna"});
        assert_eq!(check(Action::Publish(&"demo/anna".parse().unwrap()), claims.clone()), Ok(()));
        assert!(check(Action::Publish(&"demo".parse().unwrap()), claims).is_err());
    }

    #[test]
    fn a_viewer_watches_the_program_only() {
        let claims = json!({"exp": FAR, "room": "demo", "role": "viewer"});
        assert_eq!(check(Action::Play(&"demo".parse().unwrap()), claims.clone()), Ok(()));
        assert!(check(Action::PlaySource(&"demo/anna".parse().unwrap()), claims.clone()).is_err());
        assert!(check(Action::Publish(&"demo".parse().unwrap()), claims).is_err());
    }

    #[test]
    fn forged_expired_early_and_missing_tokens_are_told_apart_from_weak_ones() {
        let gate = TokenGate::new("secret");
        let room: RoomName = "demo".parse().unwrap();
        let good = json!({"exp": FAR, "room": "*", "role": "admin"});
        let expired = json!({"exp": 1000, "room": "*", "role": "admin"});
        let early = json!({"exp": FAR, "nbf": FAR - 1, "room": "*", "role": "admin"});
        assert_eq!(gate.check(Action::Play(&room), None), Err(Refusal::TokenMissing));
        for bad in [token("other", good), token("secret", expired), token("secret", early), "nonsense".into()] {
            assert!(matches!(gate.check(Action::Play(&room), Some(&bad)), Err(Refusal::TokenInvalid(_))));
        }
        assert_eq!(TokenGate::new("").check(Action::Play(&room), None), Ok(()));
    }
}
