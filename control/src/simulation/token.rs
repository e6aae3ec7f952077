//! The tokens that people show in the simulation, good ones and others, and what a gate must make of them.

use std::net::IpAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use jsonwebtoken::{EncodingKey, Header, encode};
use onmic_media::Shown;
use onmic_media::gate::Refusal;
use onmic_media::name::Principal;
use onmic_room::{PersonId, RoomName};
use serde_json::{Value, json};

use super::{GRACE, LEEWAY, Place, World};

/// The key of the server without a `kid`.
pub(super) const SECRET: &str = "secret";
/// The key with the `kid` k1: 32 bytes that are zero.
pub(super) const SET: &str =
    r#"{"keys":[{"kty":"oct","alg":"HS256","kid":"k1","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
const SET_KEY: [u8; 32] = [0; 32];
/// The ids of the tokens of guests. Guests without one are told apart by their network alone.
const IDS: [&str; 2] = ["t1", "t2"];
const NETWORKS: [&str; 2] = ["192.0.2.7", "2001:db8:1:2::7"];
/// What every token has more than whole seconds. All other times are whole milliseconds, so nothing happens just when one expires.
const MORE: Duration = Duration::from_micros(500);

/// What is wrong with a token, whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Nothing,
    /// There is none.
    Missing,
    /// A key signed it that the server does not have.
    Forged,
    /// Another key signed it than it names.
    WrongKid,
    /// It begins an hour later.
    Early,
}

/// What a gate must make of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not a token of this server now (401).
    Invalid,
    /// It is not for this, or no longer (403).
    Forbidden,
    Good,
}

/// A token, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Shows {
    pub token: Option<String>,
    pub address: IpAddr,
    pub network: Principal,
    pub flaw: Flaw,
    pub room: RoomName,
    pub role: &'static str,
    /// The person that it names.
    pub person: Option<PersonId>,
    /// Who answers for it if it names nobody.
    pub nameless: Option<Principal>,
    /// Who answers for what is done with it.
    pub who: Option<Principal>,
    /// When it expires by the system's clock, since 1970. A ticket does not.
    pub exp: Option<Duration>,
    /// When what it opens now is over.
    pub until: Option<Instant>,
    /// The ticket, if it is one.
    pub ticket: Option<Place>,
}

impl Shows {
    pub fn shown(&self) -> Shown<'_> {
        Shown { token: self.token.as_deref(), network: Some(&self.network) }
    }

    pub fn is_admin(&self) -> bool {
        self.role == "admin"
    }
}

impl World {
    /// Returns what somebody shows for a room. Some of it has just expired, within the leeway or beyond it, and some is no token of
    /// this server.
    pub(super) fn a_token(&mut self, room: &RoomName, role: &'static str, person: Option<&PersonId>) -> Shows {
        let seconds = self.random.below(40) as i64 - 8;
        let flaw = match self.random.below(25) {
            0 => Flaw::Missing,
            1 => Flaw::Forged,
            2 => Flaw::WrongKid,
            3 => Flaw::Early,
            _ => Flaw::Nothing,
        };
        let room = if self.random.percent(4) { "elsewhere".parse().unwrap() } else { room.clone() };
        self.a_token_with(&room, role, person, seconds, flaw)
    }

    /// Returns a good token, which is so for some seconds yet.
    pub(super) fn a_token_for(
        &mut self,
        room: &RoomName,
        role: &'static str,
        person: Option<&PersonId>,
        seconds: i64,
    ) -> Shows {
        self.a_token_with(room, role, person, seconds, Flaw::Nothing)
    }

    fn a_token_with(
        &mut self,
        room: &RoomName,
        role: &'static str,
        person: Option<&PersonId>,
        seconds: i64,
        flaw: Flaw,
    ) -> Shows {
        let now = self.clock.system().duration_since(UNIX_EPOCH).unwrap();
        let magnitude = Duration::from_secs(seconds.unsigned_abs());
        let exp = (if seconds < 0 { now - magnitude } else { now + magnitude }) + MORE;
        let mut claims = json!({"exp": exp.as_secs_f64(), "room": room.as_str(), "role": role});
        let address = self.random.choose(&NETWORKS).unwrap().parse().unwrap();
        let network = Principal::at(address);
        let (mut nameless, mut who) = (None, None);
        if let Some(person) = person {
            claims["sub"] = json!(person.as_str());
            who = Some(Principal::Token(person.as_str().into()));
            if role == "co-host" {
                claims["participant"] = json!(person.as_str());
            }
        } else if role == "viewer" {
            nameless = Some(network.clone());
            if self.random.percent(60) {
                let id = *self.random.choose(&IDS).unwrap();
                claims["jti"] = json!(id);
                nameless = Some(Principal::Token(id.into()));
            }
            who = nameless.clone();
        }
        if flaw == Flaw::Early {
            claims["nbf"] = json!(exp.as_secs_f64() + 3600.0);
        }
        let (mut header, mut key) = (Header::default(), SECRET.as_bytes());
        if flaw == Flaw::WrongKid || self.random.percent(25) {
            header.kid = Some("k1".to_owned());
            key = if flaw == Flaw::WrongKid { key } else { &SET_KEY };
        }
        let key = if flaw == Flaw::Forged { b"another" } else { key };
        let token = encode(&header, &claims, &EncodingKey::from_secret(key)).unwrap();
        let left = (exp + LEEWAY).saturating_sub(now) + GRACE;
        Shows {
            token: Some(token).filter(|_| flaw != Flaw::Missing),
            address,
            network,
            flaw,
            room: room.clone(),
            role,
            person: person.cloned(),
            nameless,
            who: who.filter(|_| role != "admin"),
            exp: Some(exp),
            until: Some(self.clock.now() + left),
            ticket: None,
        }
    }

    /// Returns what somebody shows who uses a ticket as a token.
    pub(super) fn a_ticket(&mut self, place: &Place) -> Shows {
        let address = self.random.choose(&NETWORKS).unwrap().parse().unwrap();
        let payload = place.token.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        Shows {
            token: Some(place.token.clone()),
            address,
            network: Principal::at(address),
            flaw: Flaw::Nothing,
            room: place.name.room.clone(),
            role: "co-host",
            person: Some(place.person.clone()),
            nameless: None,
            who: Some(Principal::Token(claims["jti"].as_str().unwrap().into())),
            exp: None,
            until: None,
            ticket: Some(place.clone()),
        }
    }

    /// Returns whether what is shown for a room should be refused because of a ban.
    pub(super) fn is_banned(&self, room: &RoomName, person: Option<&PersonId>, nameless: Option<&Principal>) -> bool {
        let now = self.clock.now();
        self.bans.iter().filter(|ban| ban.room == *room && ban.until > now).any(|ban| {
            person.is_some_and(|person| ban.person == *person)
                || nameless.is_some_and(|nameless| ban.nameless.contains(nameless))
        })
    }

    /// Returns what a gate must make of a token for a room.
    pub(super) fn verdict(&self, room: &RoomName, shows: &Shows) -> Verdict {
        let now = self.clock.system().duration_since(UNIX_EPOCH).unwrap();
        if shows.flaw != Flaw::Nothing || shows.exp.is_some_and(|exp| now > exp + LEEWAY) {
            return Verdict::Invalid;
        }
        let is_lost = shows.ticket.as_ref().is_some_and(|ticket| !self.is_good(ticket));
        let is_banned = !shows.is_admin() && self.is_banned(room, shows.person.as_ref(), shows.nameless.as_ref());
        if shows.room != *room || is_lost || is_banned { Verdict::Forbidden } else { Verdict::Good }
    }

    /// Returns whether the place that a ticket is for is still the person's.
    fn is_good(&self, ticket: &Place) -> bool {
        self.tickets.iter().any(|known| known.token == ticket.token && known.lost.is_none())
    }

    /// Asserts that the gate has decided as it must, and refuses for a ban exactly where there is one.
    pub(super) fn check_gate<T>(&self, allowed: &Result<T, Refusal>, room: &RoomName, shows: &Shows) {
        let verdict = self.verdict(room, shows);
        match allowed {
            Ok(_) => assert_eq!(verdict, Verdict::Good, "{shows:?} is let into {room}"),
            Err(Refusal::Banned(_)) => assert_eq!(verdict, Verdict::Forbidden, "{shows:?} is not banned from {room}"),
            Err(Refusal::NotAllowed(_)) => assert_ne!(verdict, Verdict::Invalid, "{shows:?} in {room}"),
            Err(_) => assert_eq!(verdict, Verdict::Invalid, "{shows:?} is good in {room}"),
        }
    }
}
