//! The claims of a token and the rights that they give. A token is a JWT (RFC 7519) that is signed with a key of the server (see
//! `keys`). The gate (`auth`) reads it, and asks the lists that a claim is held against.
//!
//! Its claims are `exp`, `room` (a name, or `*`), `role`, and for co-hosts `participant`; `nbf` is checked if it is
//! there. `aud` is checked if the server has audiences. Identity providers write it also for servers that have none. A claim of
//! another type than it has by RFC 7519 makes the token invalid: it is never passed over as if it were not there. `null` is such
//! a type, for every claim that is read here: an issuer that writes `"sub": null` has looked for a person and found nobody, and a
//! host's token without a person would be a backend's. A claim that has no value is left out.
//! `sub` is the id of the person, and `name` is the name that others see. `seat` and `jti` mark a ticket for a seat, which
//! is good for exactly as long as the person has the seat (see `ticket`). The role says what is allowed:
//!
//! | role | publish | play | direct its room |
//! | --- | --- | --- | --- |
//! | `host` | as `host` | the program, every source and return feed | while they are the host |
//! | `co-host` | as its `participant` | the program, every source, its own return feed | no |
//! | `viewer` | no | the program, its own return feed | no |
//! | `admin` | as anybody | everything, and the API | yes |
//!
//! Each claim has one clock. The `exp` of a token counts on the system clock, with a leeway for the clocks of those who sign,
//! until it is checked; from then on the rest of its time counts on the monotonic clock. What it opened may go on for the
//! grace after that, and so may the requests of an LL-HLS player. A ticket's clock is the state of its seat, and nothing else.
//! Whoever is banned from a room (see `bans`) is refused there whatever their token says. A token without `sub` names nobody. Then
//! whoever answers for it is refused: its `jti`, or else the network that it comes from.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use onmic_media::gate::{Action, Refusal};
use onmic_media::name::{InvalidName, ParticipantName, Principal, RoomName, SourceName};
use onmic_media::{Grant, Whose};
use onmic_room::{Actor, Authority, PersonId};

use crate::random::GUEST;
use crate::rooms::fair;
use crate::rooms::words::Role;
use crate::ticket::Tickets;

/// How far the clocks of those who sign tokens may be off.
pub const LEEWAY: Duration = Duration::from_secs(5);
/// The longest id in a token. OpenID Connect Core 2 allows a `sub` of 255 characters.
const ID_MAX: usize = 256;
/// The participant that the host's source has.
const HOST: &str = "host";

/// The claims of a token.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    /// When it expires, in seconds of Unix time. Some libraries write fractions.
    exp: f64,
    /// When it begins to be good, in the same seconds.
    #[serde(default, deserialize_with = "present")]
    nbf: Option<f64>,
    room: String,
    #[serde(deserialize_with = "of_text")]
    role: Role,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    participant: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    /// The name that others see.
    #[serde(default, deserialize_with = "present")]
    pub name: Option<String>,
    /// The number of a ticket's seat; 0 for the host's place. Other tokens have no seat.
    #[serde(default, deserialize_with = "present")]
    seat: Option<u8>,
    #[serde(default, deserialize_with = "present")]
    jti: Option<String>,
}

/// The claims that are read here. Identity providers write others too, of any type.
const READ: [&str; 10] = ["exp", "nbf", "room", "role", "aud", "participant", "sub", "name", "seat", "jti"];

/// For whom a token is (RFC 7519 4.1.3).
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "its aud is neither a text nor a list of texts")]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// Returns whether it has one of `names`.
    fn has_one_of(&self, names: &[String]) -> bool {
        let own = match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(own) => own,
        };
        own.iter().any(|name| names.contains(name))
    }
}

/// Reads a word that is a text. By itself serde takes `{"admin": null}` for "admin", too.
fn of_text<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(String::deserialize(deserializer)?.into_deserializer())
}

/// Reads a claim that is there. By itself serde takes null for a claim that is not.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Claims {
    /// Reads the claims of a token. The error is a clause, which names a claim that is null.
    pub fn read(json: &RawValue) -> Result<Self, String> {
        serde_json::from_str(json.get()).map_err(|error| {
            let stated: serde_json::Map<String, Value> = serde_json::from_str(json.get()).unwrap_or_default();
            match READ.iter().find(|claim| stated.get(**claim).is_some_and(Value::is_null)) {
                Some(claim) => format!("its {claim} is null, and a claim that has no value is left out"),
                None => format!("its claims cannot be read: {error}"),
            }
        })
    }

    /// Whether the token is for this room.
    pub fn covers(&self, room: &RoomName) -> bool {
        self.covers_all() || self.room == room.as_str()
    }

    /// Whether the token is for all rooms.
    pub fn covers_all(&self) -> bool {
        self.room == "*"
    }

    /// Returns the one room that the token is for, if its name is one of a room.
    pub fn only_room(&self) -> Option<RoomName> {
        self.room.parse().ok()
    }

    /// Checks that the token is for this room.
    pub fn must_cover(&self, room: &RoomName) -> Result<(), Refusal> {
        if self.covers(room) {
            return Ok(());
        }
        Err(Refusal::NotAllowed(format!("it is for room {:?}", self.room)))
    }

    /// Checks that the token is for one of `audiences`. A token that names nobody is for every server.
    pub fn must_be_for(&self, audiences: &[String]) -> Result<(), Refusal> {
        match &self.aud {
            Some(aud) if !audiences.is_empty() && !aud.has_one_of(audiences) => {
                Err(Refusal::TokenInvalid("it is for another audience".into()))
            }
            _ => Ok(()),
        }
    }

    /// Returns the right that the role gives in a room.
    pub fn authority(&self) -> Authority {
        self.role.into()
    }

    /// Returns the person who has the token: its `sub`, or a co-host's `participant` if there is no `sub` or it cannot be an id. A
    /// backend's token has no person. A `sub` that looks like the id of a guest cannot be an id, but in a ticket of this server, which
    /// is for one.
    pub fn person(&self) -> Result<Option<PersonId>, Refusal> {
        let participant = self.participant.as_deref().filter(|_| self.role == Role::CoHost);
        let Some(id) = self.sub.as_deref().or(participant) else { return Ok(None) };
        let is_of_a_guest = self.sub.is_some() && self.seat.is_none() && id.starts_with(GUEST);
        let parsed = if is_of_a_guest {
            Err(format!("{GUEST}… is for people whom no token names"))
        } else {
            id.parse().map_err(|error: InvalidName| error.to_string())
        };
        match (parsed, participant.map(str::parse)) {
            (Ok(person), _) | (Err(_), Some(Ok(person))) => Ok(Some(person)),
            (Err(error), _) => {
                let sentence = format!("its sub {id:?} cannot be the id of a person in a room: {error}");
                Err(Refusal::NotAllowed(sentence))
            }
        }
    }

    /// Returns the participant as whom a co-host's token publishes, where its `sub` is another id: a host who bans the participant
    /// means whoever publishes as them. A ticket is its person's.
    pub fn alias(&self) -> Option<PersonId> {
        let participant = self.participant.as_deref().filter(|_| self.role == Role::CoHost && self.seat.is_none())?;
        let participant = participant.parse().ok()?;
        (self.person().ok().flatten().as_ref() != Some(&participant)).then_some(participant)
    }

    /// Returns the person who comes to a room with the token. A viewer whose `sub` cannot be an id comes as a guest, so that others
    /// see them, and a host can send them out.
    pub fn comer(&self) -> Result<Option<PersonId>, Refusal> {
        self.person().or_else(|refusal| if self.role == Role::Viewer { Ok(None) } else { Err(refusal) })
    }

    /// Refuses a long id. Whatever counts for the owner of the token keeps it.
    pub fn must_have_short_ids(&self) -> Result<(), Refusal> {
        for (claim, id) in [("jti", &self.jti), ("sub", &self.sub)] {
            if let Some(length) = id.as_ref().map(String::len).filter(|length| *length > ID_MAX) {
                let reason = format!("its {claim} has {length} bytes, and {ID_MAX} are the most");
                return Err(Refusal::TokenInvalid(reason));
            }
        }
        Ok(())
    }

    /// Refuses the id that the host's source has, for everybody who is not the host: it would publish as the host. A ticket may
    /// be for the host's place. It has to be current.
    pub fn must_not_name_the_host(&self) -> Result<(), Refusal> {
        let names_the_host = match self.role {
            _ if self.seat.is_some() => false,
            Role::CoHost => self.participant.as_deref() == Some(HOST) || self.sub.as_deref() == Some(HOST),
            Role::Viewer => self.sub.as_deref() == Some(HOST),
            Role::Host | Role::Admin => false,
        };
        if names_the_host {
            return Err(Refusal::NotAllowed(format!("{HOST:?} is reserved for the host of a room")));
        }
        Ok(())
    }

    /// Returns the owner of the token: its `jti`, or else its `sub`. `None` if it has neither.
    pub fn owner(&self) -> Option<Principal> {
        self.jti.as_deref().or(self.sub.as_deref()).map(|id| Principal::Token(id.into()))
    }

    /// Returns who answers for what is done with this token: its owner, or else `network`, from which it came. A backend is
    /// trusted, and counts for nobody.
    pub fn principal(&self, network: Option<Principal>) -> Option<Principal> {
        let is_backend = self.role == Role::Admin || (self.role == Role::Host && self.sub.is_none());
        self.owner().or(network).filter(|_| !is_backend)
    }

    /// Returns whose rate the requests and commands with this token keep in `room`: that of whoever answers for it. Hosts whose token
    /// names nobody keep one together, for they direct one room and are trusted with no more than that. Admins keep none.
    pub fn answers(&self, room: &RoomName, network: Option<Principal>) -> Option<Principal> {
        let hosts = (self.role == Role::Host && self.sub.is_none()).then(|| Principal::Hosts(room.clone()));
        hosts.or_else(|| self.principal(network))
    }

    /// Returns who is counted for the room that a publisher with this token opens. Hosts and admins count for nobody.
    pub fn opener(&self, network: Option<&Principal>) -> Option<Principal> {
        fair::counted(self.authority(), self.principal(network.cloned()).as_ref())
    }

    /// Returns who answers for a token that names no person: what holds a guest who is banned. For a `sub` that cannot be an id it is
    /// the `sub`, which outlives each `jti`. It is nobody for a backend, and where everybody may be behind one address.
    pub fn nameless(&self, network: Option<&Principal>) -> Option<Principal> {
        match self.person() {
            Ok(Some(_)) => None,
            Ok(None) => self.principal(network.cloned()),
            Err(_) if self.role == Role::Admin => None,
            Err(_) => self.sub.as_deref().map(|sub| Principal::Token(sub.into())),
        }
    }

    /// Returns the actor who gives commands with this token. A viewer needs a name, because others see who acts, and
    /// because only a backend acts for nobody.
    pub fn actor(&self) -> Result<Actor, Refusal> {
        let (person, authority) = (self.person()?, self.authority());
        if person.is_none() && authority == Authority::Viewer {
            let sentence = "it names nobody: a viewer's token needs a sub to act in a room";
            return Err(Refusal::NotAllowed(sentence.into()));
        }
        Ok(Actor { person, authority })
    }

    /// Refuses a token whose `nbf` is later on the system clock, by more than the leeway.
    pub fn must_have_begun(&self, now: SystemTime) -> Result<(), Refusal> {
        let ahead = self.nbf.unwrap_or_default() - unix_seconds(now);
        if ahead > LEEWAY.as_secs_f64() {
            return Err(Refusal::TokenInvalid("its nbf is later than the clock of this server".into()));
        }
        Ok(())
    }

    /// Returns how long ago it expired, or how long it is good yet, on the system clock. A ticket does not expire.
    pub fn left(&self, now: SystemTime) -> Left {
        if self.seat.is_some() {
            return Left::Good(None);
        }
        let now = unix_seconds(now);
        let left = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        match self.exp - now {
            seconds if seconds >= 0.0 => Left::Good(left(seconds)), // One that is too far away is never reached.
            seconds => Left::Expired(left(-seconds).unwrap_or(Duration::MAX)),
        }
    }

    /// Returns what `action` has in this claim, which somebody in `network` shows `now`, and which is over `grace` after it has
    /// expired.
    pub fn grant(
        &self,
        action: Action<'_>,
        network: Option<&Principal>,
        grace: Duration,
        now: (Instant, SystemTime),
    ) -> Grant {
        let until = match self.left(now.1) {
            Left::Good(left) => left.and_then(|left| now.0.checked_add(left.saturating_add(LEEWAY + grace))),
            Left::Expired(ago) => Some(now.0 + (LEEWAY + grace).saturating_sub(ago)),
        };
        let (room, person, place) = (room_of(action).clone(), self.person().ok().flatten(), place_of(action));
        let ticket = self.seat.and(self.jti.as_deref()).map(Into::into);
        Grant { room, person, alias: self.alias(), nameless: self.nameless(network), place, ticket, until }
    }

    /// Returns who is behind the claim, as those are named whose permits end when they are sent out.
    pub fn whose(&self, network: Option<&Principal>) -> impl Iterator<Item = Whose> + use<> {
        let persons = [self.person().ok().flatten(), self.alias()].into_iter().flatten().map(Whose::Person);
        persons.chain(self.nameless(network).map(Whose::Nameless))
    }

    /// Checks that the role allows an action.
    pub fn allow(&self, action: Action<'_>) -> Result<(), Refusal> {
        self.must_cover(room_of(action))?;
        let allowed = match action {
            Action::Play(_) | Action::PlayOn(_) => true,
            Action::PlaySource(_) => self.role != Role::Viewer,
            Action::Publish(name) => match self.role {
                Role::Admin => true,
                Role::Host => name.participant.is_host(),
                Role::CoHost => self.is_participant(name),
                Role::Viewer => false,
            },
            Action::PlayReturn(name) => match self.role {
                Role::Admin | Role::Host => true,
                Role::CoHost => self.is_participant(name),
                Role::Viewer => self.sub.as_deref() == Some(name.participant.as_str()),
            },
        };
        if !allowed {
            let Self { role, participant, .. } = self;
            return Err(Refusal::NotAllowed(format!("its role is {role:?}, its participant {participant:?}")));
        }
        Ok(())
    }

    fn is_participant(&self, name: &SourceName) -> bool {
        self.participant.as_deref() == Some(name.participant.as_str())
    }

    /// Refuses a ticket whose place is not the person's any more.
    pub fn must_be_current(&self, tickets: &Tickets) -> Result<(), Refusal> {
        let place = || {
            let participant = self.participant.as_deref()?.parse::<ParticipantName>().ok()?;
            Some(SourceName::new(&self.only_room()?, &participant))
        };
        let is_current = |id: &str| place().is_some_and(|name| tickets.is_current(&name, id));
        if self.seat.is_none() || self.jti.as_deref().is_some_and(is_current) {
            return Ok(());
        }
        Err(Refusal::NotAllowed("the seat it was for is no longer yours; ask for the mic again".into()))
    }
}

/// The time that a claim has left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Left {
    /// It is good for this long; `None` for ever.
    Good(Option<Duration>),
    /// It expired this long ago.
    Expired(Duration),
}

fn unix_seconds(now: SystemTime) -> f64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Returns the room that an action is in.
pub fn room_of(action: Action<'_>) -> &RoomName {
    match action {
        Action::Publish(name) | Action::PlaySource(name) | Action::PlayReturn(name) => &name.room,
        Action::Play(room) | Action::PlayOn(room) => room,
    }
}

/// Returns the place on mic that an action needs.
fn place_of(action: Action<'_>) -> Option<ParticipantName> {
    match action {
        Action::Publish(name) | Action::PlayReturn(name) => Some(name.participant.clone()),
        Action::PlaySource(_) | Action::Play(_) | Action::PlayOn(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FAR: u64 = 4_000_000_000;

    #[test]
    fn a_claim_that_is_null_makes_a_token_invalid_and_is_named() {
        let read = |claims: &Value| Claims::read(&serde_json::value::to_raw_value(claims).unwrap());
        let good = json!({"exp": FAR, "nbf": 0.5, "room": "demo", "role": "co-host", "aud": "onmic", "participant": "anna",
            "sub": "anna", "name": "Anna", "seat": 1, "jti": "t1", "email": null});
        assert!(read(&good).is_ok(), "a claim that nobody reads may be null");
        for claim in READ {
            let mut claims = good.clone();
            claims[claim] = Value::Null;
            let refused = read(&claims).unwrap_err();
            assert!(refused.contains(&format!("its {claim} is null")), "{refused}");
        }
        let mut unread = good.as_object().unwrap().keys().filter(|claim| !READ.contains(&claim.as_str()));
        assert_eq!((unread.next().map(String::as_str), unread.next()), (Some("email"), None));
    }

    #[test]
    fn a_token_begins_with_its_nbf_on_the_clock_that_is_given() {
        let claims = |nbf: f64| -> Claims {
            serde_json::from_value(json!({"exp": FAR, "nbf": nbf, "room": "demo", "role": "viewer"})).unwrap()
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        for (nbf, good) in [(-1.0, true), (1_000.0, true), (1_004.5, true), (1_005.5, false), (1e300, false)] {
            assert_eq!(claims(nbf).must_have_begun(now).is_ok(), good, "{nbf}");
        }
    }

    #[test]
    fn the_owner_of_a_token_is_its_jti_or_else_its_sub_and_a_viewer_without_a_name_commands_nothing() {
        let claims = |claims| serde_json::from_value::<Claims>(claims).unwrap();
        let named = claims(json!({"exp": FAR, "room": "demo", "role": "viewer", "sub": "vera"}));
        assert_eq!(named.owner(), Some(Principal::Token("vera".into())));
        let ticket = claims(json!({"exp": FAR, "room": "demo", "role": "viewer", "sub": "vera", "jti": "t1"}));
        assert_eq!(ticket.owner(), Some(Principal::Token("t1".into())));
        let nameless = claims(json!({"exp": FAR, "room": "demo", "role": "viewer"}));
        assert_eq!(nameless.owner(), None);
        assert!(named.actor().is_ok() && nameless.actor().is_err());
        let backend = claims(json!({"exp": FAR, "room": "demo", "role": "host"}));
        assert!(backend.actor().is_ok());
        let network = Some(Principal::at("192.0.2.7".parse().unwrap()));
        assert_eq!(backend.principal(network.clone()), None);
        assert_eq!(nameless.principal(network.clone()), network);
        assert_eq!(named.principal(network), Some(Principal::Token("vera".into())));
    }

    #[test]
    fn the_person_of_a_token_is_its_sub_or_the_co_hosts_participant() {
        let person = |claims| {
            let claims = serde_json::from_value::<Claims>(claims).unwrap();
            claims.person().map(|person| person.map(|person| person.to_string()))
        };
        let co_host = json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "anna"});
        assert_eq!(person(co_host), Ok(Some("anna".into())));
        assert_eq!(person(json!({"exp": FAR, "room": "demo", "role": "host", "sub": "mia"})), Ok(Some("mia".into())));
        assert_eq!(person(json!({"exp": FAR, "room": "demo", "role": "host"})), Ok(None));
        let spaced = person(json!({"exp": FAR, "room": "demo", "role": "viewer", "sub": "two words"}));
        assert!(spaced.unwrap_err().to_string().contains("two words"));
        let co_host = |participant| {
            person(json!({"exp": FAR, "room": "demo", "role": "co-host", "sub": "a@b", "participant": participant}))
        };
        assert_eq!(co_host("anna"), Ok(Some("anna".into())));
        assert!(co_host("a@b").is_err());
    }

    #[test]
    fn hosts_whose_token_names_nobody_keep_one_rate_for_their_room() {
        let claims = |role: &str, sub: Option<&str>| {
            let mut claims = json!({"exp": FAR, "room": "*", "role": role});
            sub.into_iter().for_each(|sub| claims["sub"] = json!(sub));
            serde_json::from_value::<Claims>(claims).unwrap()
        };
        let network = Principal::at("192.0.2.7".parse().unwrap());
        let answers = |claims: &Claims, room: &str| claims.answers(&room.parse().unwrap(), Some(network.clone()));
        let host = claims("host", None);
        assert!(answers(&host, "red").is_some_and(|who| who != network));
        assert_ne!(answers(&host, "red"), answers(&host, "blue"));
        assert_eq!(answers(&claims("admin", None), "red"), None);
        assert_eq!(answers(&claims("host", Some("mia")), "red"), Some(Principal::Token("mia".into())));
        assert_eq!(answers(&claims("viewer", None), "red"), Some(network.clone()));
    }

    #[test]
    fn a_viewer_whose_sub_cannot_be_an_id_is_a_guest_for_whom_the_sub_answers() {
        let claims = |claims| serde_json::from_value::<Claims>(claims).unwrap();
        let network = Principal::at("192.0.2.7".parse().unwrap());
        for sub in ["ben@b.example", "guest-7f3a2b"] {
            for (role, comes, answers) in [("viewer", true, true), ("host", false, true), ("admin", false, false)] {
                let odd = claims(json!({"exp": FAR, "room": "demo", "role": role, "sub": sub, "jti": "t1"}));
                assert_eq!(odd.comer().ok(), comes.then_some(None), "{role} {sub}");
                let who = answers.then(|| Principal::Token(sub.into()));
                assert_eq!(odd.nameless(Some(&network)), who, "{role} {sub}");
                assert!(odd.actor().is_err(), "{role} {sub}");
            }
        }
    }

    #[test]
    fn the_ticket_of_a_guest_names_the_guest() {
        let claims = json!({"exp": FAR, "room": "demo", "role": "co-host", "participant": "guest-7f3a2b",
            "sub": "guest-7f3a2b", "seat": 1, "jti": "t1"});
        let ticket: Claims = serde_json::from_value(claims).unwrap();
        assert_eq!(ticket.person(), Ok(Some("guest-7f3a2b".parse().unwrap())));
    }
}
