//! The gate: reads tokens, and decides by their claims (see `claims`) and by the lists that a claim is held against.
//!
//! Whoever is banned from a room (see `bans`) is refused there whatever their token says, and a ticket that is void is no right
//! (see `ticket`).

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation};
use serde_json::value::RawValue;

use onmic_media::gate::{Action, Admission, Gate, Refusal};
use onmic_media::name::{Principal, RoomName};
use onmic_media::{Ending, Permit, Shown};
use onmic_room::Authority;

use crate::claims::{Claims, LEEWAY, Left, room_of};
use crate::keys::{ALGORITHMS, Keyring, Keys};
use crate::standing::Standing;

/// Checks tokens. Without keys it lets everybody do everything.
pub struct TokenGate {
    keys: Arc<Keyring>,
    /// What is checked of a token, for each algorithm of a key.
    validations: [(Algorithm, Validation); ALGORITHMS.len()],
    audiences: Vec<String>,
    standing: Standing,
    /// How long what a token opened goes on after the token has expired.
    grace: Duration,
}

impl TokenGate {
    /// Checks tokens that are signed with `secret`; an empty one opens the gate. `standing` says which tickets are good and who
    /// is banned.
    pub fn new(secret: &str, standing: impl Into<Standing>) -> Self {
        Self::with_keys(Keyring::new(Keys::of_secret(secret.as_bytes())), standing)
    }

    /// Checks tokens that are signed with one of `keys`.
    pub fn with_keys(keys: Arc<Keyring>, standing: impl Into<Standing>) -> Self {
        let validations = ALGORITHMS.map(|algorithm| {
            let mut validation = Validation::new(algorithm);
            // The claims are checked by their own clock and types: see `claims`. It passes over an `aud` of a wrong type.
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.validate_aud = false;
            (algorithm, validation)
        });
        Self { keys, validations, audiences: Vec::new(), standing: standing.into(), grace: Duration::ZERO }
    }

    /// Refuses tokens whose `aud` names none of `audiences`. A token without `aud` is for every server, and without audiences
    /// so is every token.
    pub fn for_audiences(self, audiences: &[String]) -> Self {
        Self { audiences: audiences.to_vec(), ..self }
    }

    /// Lets what a token opened go on for `grace` after the token has expired.
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Whether the server asks for tokens.
    pub fn is_closed(&self) -> bool {
        self.keys.is_closed()
    }

    /// Returns the claims of what is shown for no room in particular; `None` when the server asks for no tokens. Whoever is banned
    /// from the one room that the token is for is refused.
    pub fn claims(&self, shown: Shown<'_>) -> Result<Option<Claims>, Refusal> {
        let Some(claims) = self.read(shown.token, Duration::ZERO)? else { return Ok(None) };
        match claims.only_room() {
            Some(room) => self.must_hold(&room, shown.network, &claims)?,
            None => claims.must_be_current(&self.standing.tickets)?,
        }
        Ok(Some(claims))
    }

    /// Returns the claims of what is shown for `room`, and a permit for what is opened by them.
    pub fn enter(&self, room: &RoomName, shown: Shown<'_>) -> Result<(Option<Claims>, Permit), Refusal> {
        let claims = self.read(shown.token, Duration::ZERO)?;
        // It is there before the decision, so whatever voids the claim from now on ends the permit.
        let permit = self.permit(Action::Play(room), shown.network, claims.as_ref());
        if let Some(claims) = &claims {
            claims.must_cover(room)?;
            self.must_hold(room, shown.network, claims)?;
        }
        Ok((claims, permit))
    }

    /// Reads a token that is signed for this server and has not been expired for longer than the leeway and `grace`.
    fn read(&self, token: Option<&str>, grace: Duration) -> Result<Option<Claims>, Refusal> {
        if !self.is_closed() {
            return Ok(None);
        }
        let token = token.ok_or(Refusal::TokenMissing)?;
        let validation = |algorithm| {
            let own = self.validations.iter().find(|(of, _)| *of == algorithm);
            &own.unwrap_or(&self.validations[0]).1 // Keys have no other algorithm.
        };
        let claims: Box<RawValue> = self.keys.current().verify(token, validation)?;
        let claims = Claims::read(&claims).map_err(Refusal::TokenInvalid)?;
        claims.must_be_for(&self.audiences)?;
        claims.must_have_begun(self.standing.clock.system())?;
        if let Left::Expired(ago) = claims.left(self.standing.clock.system())
            && ago > LEEWAY + grace
        {
            return Err(Refusal::TokenInvalid(format!("it expired {} s ago", ago.as_secs())));
        }
        claims.must_have_short_ids()?;
        claims.must_not_name_the_host()?;
        Ok(Some(claims))
    }

    /// Refuses a ticket that is void, and whoever is banned from the room: a person, or who answers for one without a name.
    fn must_hold(&self, room: &RoomName, network: Option<&Principal>, claims: &Claims) -> Result<(), Refusal> {
        claims.must_be_current(&self.standing.tickets)?;
        let (bans, now) = (&self.standing.bans, self.standing.clock.now());
        if let Some(participant) = claims.alias() {
            bans.admit(room, &participant, now)?;
        }
        match (claims.person(), claims.nameless(network)) {
            (Ok(Some(person)), _) if claims.authority() != Authority::Admin => bans.admit(room, &person, now),
            (_, Some(who)) => bans.admit_nameless(room, &who, now),
            _ => Ok(()),
        }
    }

    /// Refuses a player that goes on although whoever it is of was sent out of the room.
    fn must_not_be_sent_out(
        &self,
        room: &RoomName,
        network: Option<&Principal>,
        claims: &Claims,
    ) -> Result<(), Refusal> {
        if self.standing.sent_out.has_one_of(room, claims.whose(network), self.standing.clock.now()) {
            return Err(Refusal::NotAllowed(Ending::Removed.to_string()));
        }
        Ok(())
    }

    /// Takes a permit for what is opened by these claims.
    fn permit(&self, action: Action<'_>, network: Option<&Principal>, claims: Option<&Claims>) -> Permit {
        let Some(claims) = claims else { return Permit::endless() };
        let now = (self.standing.clock.now(), self.standing.clock.system());
        self.standing.permits.open(claims.grant(action, network, self.grace, now))
    }

    fn admit(&self, action: Action<'_>, network: Option<&Principal>, claims: &Claims) -> Result<Admission, Refusal> {
        claims.allow(action)?;
        self.must_hold(room_of(action), network, claims)?;
        // A sub that is not a valid id, such as that of an encoder's token, names nobody. It does not forbid to
        // publish.
        let (person, opener) = (claims.person().ok().flatten(), claims.opener(network));
        Ok(Admission { person, owner: claims.owner(), opener })
    }
}

impl Gate for TokenGate {
    fn check(&self, action: Action<'_>, shown: Shown<'_>) -> Result<Admission, Refusal> {
        let grace = if let Action::PlayOn(_) = action { self.grace } else { Duration::ZERO };
        let Some(claims) = self.read(shown.token, grace)? else { return Ok(Admission::default()) };
        if let Action::PlayOn(room) = action {
            self.must_not_be_sent_out(room, shown.network, &claims)?;
        }
        self.admit(action, shown.network, &claims)
    }

    fn begin(&self, room: &RoomName, shown: Shown<'_>) -> Result<Admission, Refusal> {
        let Some(claims) = self.read(shown.token, Duration::ZERO)? else { return Ok(Admission::default()) };
        let admission = self.admit(Action::Play(room), shown.network, &claims)?;
        self.standing.sent_out.comes_back(room, claims.whose(shown.network));
        Ok(admission)
    }

    fn open(&self, action: Action<'_>, shown: Shown<'_>) -> Result<(Admission, Permit), Refusal> {
        let Some(claims) = self.read(shown.token, Duration::ZERO)? else {
            return Ok((Admission::default(), Permit::endless()));
        };
        let permit = self.permit(action, shown.network, Some(&claims));
        Ok((self.admit(action, shown.network, &claims)?, permit))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use jsonwebtoken::{EncodingKey, Header, encode};
    use onmic_media::name::SourceName;
    use serde_json::json;

    use super::*;
    use crate::ticket::Tickets;

    const FAR: u64 = 4_000_000_000;

    fn gate(secret: &str) -> TokenGate {
        TokenGate::new(secret, Tickets::new(secret))
    }

    fn token(secret: &str, claims: serde_json::Value) -> String {
        encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn check(action: Action<'_>, claims: serde_json::Value) -> Result<Admission, Refusal> {
        gate("secret").check(action, Shown::token(Some(&token("secret", claims))))
    }

    #[test]
    fn a_host_publishes_only_as_the_host_of_their_own_room() {
        let claims = json!({"exp": FAR, "room": "demo", "role": "host"});
        assert_eq!(check(Action::Publish(&"demo".parse().unwrap()), claims.clone()), Ok(Admission::default()));
        for key in ["other", "demo/anna"] {
            let refused = check(Action::Publish(&key.parse().unwrap()), claims.clone());
            assert!(matches!(refused, Err(Refusal::NotAllowed(_))), "{key}");
        }
    }

    #[test]
    fn a_co_host_publishes_only_as_their_own_participant() {
        let claims = json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "anna"});
        let anna = Admission { person: Some("anna".parse().unwrap()), ..Admission::default() };
        assert_eq!(check(Action::Publish(&"demo/anna".parse().unwrap()), claims.clone()), Ok(anna));
        assert!(check(Action::Publish(&"demo".parse().unwrap()), claims).is_err());
    }

    #[test]
    fn a_viewer_watches_only_the_program() {
        let claims = json!({"exp": FAR, "room": "demo", "role": "viewer"});
        assert_eq!(check(Action::Play(&"demo".parse().unwrap()), claims.clone()), Ok(Admission::default()));
        assert!(check(Action::PlaySource(&"demo/anna".parse().unwrap()), claims.clone()).is_err());
        assert!(check(Action::Publish(&"demo".parse().unwrap()), claims).is_err());
    }

    #[test]
    fn missing_tokens_are_refused_otherwise_than_forged_expired_and_early_ones() {
        let gate = gate("secret");
        let room: RoomName = "demo".parse().unwrap();
        let good = json!({"exp": FAR, "room": "*", "role": "admin"});
        let expired = json!({"exp": 1000, "room": "*", "role": "admin"});
        let early = json!({"exp": FAR, "nbf": FAR - 1, "room": "*", "role": "admin"});
        assert_eq!(gate.check(Action::Play(&room), Shown::default()), Err(Refusal::TokenMissing));
        for bad in [token("other", good), token("secret", expired), token("secret", early), "nonsense".into()] {
            let refused = gate.check(Action::Play(&room), Shown::token(Some(&bad)));
            assert!(matches!(refused, Err(Refusal::TokenInvalid(_) | Refusal::Forged(1))), "{refused:?}");
        }
        assert_eq!(
            TokenGate::new("", Tickets::new("")).check(Action::Play(&room), Shown::default()),
            Ok(Admission::default())
        );
    }

    #[test]
    fn a_token_for_another_audience_is_refused_where_the_server_has_one() {
        let room: RoomName = "demo".parse().unwrap();
        let taken = |gate: &TokenGate, aud: Option<serde_json::Value>| {
            let mut claims = json!({"exp": FAR, "room": "demo", "role": "viewer"});
            if let Some(aud) = aud {
                claims["aud"] = aud;
            }
            gate.check(Action::Play(&room), Shown::token(Some(&token("secret", claims)))).is_ok()
        };
        let (any, live) = (gate("secret"), gate("secret").for_audiences(&["live".into(), "test".into()]));
        for (aud, by_live) in [
            (None, true),
            (Some(json!("live")), true),
            (Some(json!(["other", "test"])), true),
            (Some(json!("other")), false),
            (Some(json!([])), false),
            (Some(json!("")), false),
        ] {
            assert!(taken(&any, aud.clone()), "{aud:?}");
            assert_eq!(taken(&live, aud.clone()), by_live, "{aud:?}");
        }
    }

    #[test]
    fn a_claim_of_a_wrong_type_makes_a_token_invalid() {
        let demo: RoomName = "demo".parse().unwrap();
        let good = json!({"exp": FAR, "room": "demo", "role": "viewer"});
        let audiences = ["onmic".to_owned()];
        for (claim, value) in [
            ("aud", json!(5)),
            ("aud", json!({"a": "onmic"})),
            ("aud", json!(["onmic", 5])),
            ("aud", json!(null)),
            ("role", json!({"admin": null})),
            ("role", json!(["admin"])),
            ("role", json!(null)),
            ("sub", json!(5)),
            ("sub", json!(null)),
            ("room", json!(["demo"])),
            ("exp", json!("4000000000")),
            ("exp", json!(null)),
            ("nbf", json!("0")),
            ("nbf", json!(null)),
            ("jti", json!(null)),
            ("name", json!(null)),
        ] {
            let mut claims = good.clone();
            claims[claim] = value;
            let token = token("secret", claims.clone());
            for gate in [gate("secret"), gate("secret").for_audiences(&audiences)] {
                let refused = gate.check(Action::Play(&demo), Shown::token(Some(&token)));
                assert!(matches!(refused, Err(Refusal::TokenInvalid(_))), "{claims}: {refused:?}");
            }
        }
    }

    #[test]
    fn a_token_whose_header_has_a_critical_part_is_refused() {
        let demo: RoomName = "demo".parse().unwrap();
        let claims = json!({"exp": FAR, "room": "demo", "role": "viewer"});
        for crit in [&["exp2"][..], &["b64"], &[]] {
            let header =
                Header { crit: Some(crit.iter().map(|part| (*part).to_owned()).collect()), ..Header::default() };
            let token = encode(&header, &claims, &EncodingKey::from_secret(b"secret")).unwrap();
            let refused = gate("secret").check(Action::Play(&demo), Shown::token(Some(&token)));
            let sentence = refused.unwrap_err().to_string();
            assert!(sentence.contains("crit"), "{sentence}");
        }
    }

    #[test]
    fn only_its_participant_the_host_and_admins_may_play_a_return_feed() {
        let anna: SourceName = "demo/anna".parse().unwrap();
        for (claims, allowed) in [
            (json!({"exp": FAR, "room": "demo", "role": "host"}), true),
            (json!({"exp": FAR, "room": "*", "role": "admin"}), true),
            (json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "anna"}), true),
            (json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "ben"}), false),
            (json!({"exp": FAR, "room": "demo", "role": "viewer", "sub": "anna"}), true),
            (json!({"exp": FAR, "room": "demo", "role": "viewer"}), false),
            (json!({"exp": FAR, "room": "other", "role": "host"}), false),
        ] {
            assert_eq!(check(Action::PlayReturn(&anna), claims.clone()).is_ok(), allowed, "{claims}");
        }
    }

    #[test]
    fn a_token_ends_with_its_exp() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let demo: RoomName = "demo".parse().unwrap();
        for (ago, allowed) in [(0, true), (20, false)] {
            let claims = json!({"exp": now - ago, "room": "demo", "role": "viewer"});
            assert_eq!(check(Action::Play(&demo), claims).is_ok(), allowed, "{ago} s");
        }
    }

    #[test]
    fn a_token_with_a_long_id_is_refused() {
        let demo: RoomName = "demo".parse().unwrap();
        for claim in ["jti", "sub"] {
            for length in [256, 257] {
                let mut claims = json!({"exp": FAR, "room": "demo", "role": "viewer"});
                claims[claim] = json!("a".repeat(length));
                let checked = check(Action::Play(&demo), claims);
                let refused = matches!(&checked, Err(Refusal::TokenInvalid(reason)) if reason.contains(claim));
                assert_eq!((checked.is_ok(), refused), (length == 256, length != 256), "{claim} {checked:?}");
            }
        }
    }

    #[test]
    fn only_the_host_has_the_id_of_the_host() {
        let host: SourceName = "demo/host".parse().unwrap();
        for (claims, allowed) in [
            (json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "host"}), false),
            (json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "anna", "sub": "host"}), false),
            (json!({"exp": FAR, "room": "demo", "role": "viewer", "sub": "host"}), false),
            (json!({"exp": FAR, "room": "demo", "role": "host", "sub": "host"}), true),
        ] {
            assert_eq!(check(Action::Play(&host.room), claims.clone()).is_ok(), allowed, "{claims}");
        }
    }
}
