//! The gate decides which actions a peer may do. Every protocol asks it, and the binary implements it.

use thiserror::Error;

use crate::name::{PersonId, Principal, RoomName, SourceName};
use crate::permit::Permit;
use crate::source::{Protocol, Publisher};

/// Names an action that a peer asks to do.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Publish this source.
    Publish(&'a SourceName),
    /// Watch the program of this room.
    Play(&'a RoomName),
    /// Go on watching the program of this room, by a request of its own: LL-HLS.
    PlayOn(&'a RoomName),
    /// Watch one source.
    PlaySource(&'a SourceName),
    /// Watch the return feed made for this participant.
    PlayReturn(&'a SourceName),
}

/// What a peer shows at the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The token, unchecked.
    pub token: Option<&'a str>,
    /// The network that the peer is in. `None` where everybody may be behind one address.
    pub network: Option<&'a Principal>,
}

impl<'a> Shown<'a> {
    /// Shows a token, or none, and nothing else.
    pub fn token(token: Option<&'a str>) -> Self {
        Self { token, network: None }
    }
}

/// States why the gate refuses an action.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// There was no token (401).
    #[error(
        "this server asks for a token: send it as 'Authorization: Bearer', as '?token=', or by a WebSocket as the subprotocol \
         'token.…' beside 'onmic.v1'"
    )]
    TokenMissing,
    /// The token is forged, expired or not a token (401).
    #[error("the token is not valid: {0}")]
    TokenInvalid(String),
    /// No key of the server has signed the token (401). Holds how many keys it was tried with.
    #[error("the token is not valid: no key of this server has signed it")]
    Forged(usize),
    /// The token is valid, but not for this action (403).
    #[error("the token does not allow this: {0}")]
    NotAllowed(String),
    /// The person, or whoever answers for them, is banned from the room (403).
    #[error("the token does not allow this: {0}")]
    Banned(String),
}

/// Holds what the gate knows about a person that it lets in. A session that publishes hands it on to
/// [`crate::Hub::publish`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The person of the token. `None` if no tokens are required, and for a backend.
    pub person: Option<PersonId>,
    /// The owner of the token. `None` if no tokens are required, or if the token names none.
    pub owner: Option<Principal>,
    /// Who is counted for the room that a publisher opens. `None` for hosts and admins, and if no tokens are required.
    pub opener: Option<Principal>,
}

impl Admission {
    /// Returns the one who answers for what is admitted: the owner of the token, or else whoever is at `network`.
    pub fn principal(&self, network: Principal) -> Principal {
        self.owner.clone().unwrap_or(network)
    }

    /// Makes a publisher by `protocol` of this admission.
    pub fn by(self, protocol: Protocol) -> Publisher {
        Publisher { protocol, person: self.person, owner: self.owner, opener: self.opener }
    }
}

/// Decides, and changes nothing. It is called on the caller's thread, and must not block.
pub trait Gate: Send + Sync + 'static {
    /// Decides on an action that is over with its answer.
    fn check(&self, action: Action<'_>, shown: Shown<'_>) -> Result<Admission, Refusal>;

    /// Decides on watching by requests, each of which is checked ([`Action::PlayOn`]), when somebody begins to. Whoever was sent out of the
    /// room comes back by it.
    fn begin(&self, room: &RoomName, shown: Shown<'_>) -> Result<Admission, Refusal> {
        self.check(Action::Play(room), shown)
    }

    /// Decides on an action that opens something, which is closed when the permit ends ([`crate::permit`]).
    fn open(&self, action: Action<'_>, shown: Shown<'_>) -> Result<(Admission, Permit), Refusal> {
        self.check(action, shown).map(|admission| (admission, Permit::endless()))
    }
}

/// Allows everything: for a server that listens on loopback only, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

impl Gate for OpenGate {
    fn check(&self, _: Action<'_>, _: Shown<'_>) -> Result<Admission, Refusal> {
        Ok(Admission::default())
    }
}
