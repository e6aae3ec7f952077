//! A room as seen from outside: complete values, for snapshots and events alike.

use std::time::Instant;

use crate::command::Authority;
use crate::mix::Mix;
use crate::settings::Settings;
use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// Everything of a room that this crate owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// Its name.
    pub room: RoomName,
    /// As configured; `title` and `locked` are in here.
    pub settings: Settings,
    /// Lives until it is ended.
    pub kept: bool,
    /// Of the last event; the first one of a room is greater than any of an earlier room of that name.
    pub number: u64,
    /// Whether any source of this room is up.
    pub live: bool,
    /// The host.
    pub host: HostView,
    /// By number.
    pub seats: Vec<SeatView>,
    /// In the order they will be served.
    pub requests: Vec<RequestView>,
    /// By seat.
    pub invitations: Vec<InvitationView>,
    /// Those that are up, by name.
    pub sources: Vec<SourceView>,
    /// The PK, or the proposal of one.
    pub pk: Option<PkView>,
    /// By id.
    pub persons: Vec<PersonView>,
    /// As last given out.
    pub mix: Mix,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonView {
    /// Id.
    pub person: PersonId,
    /// What others see.
    pub name: String,
    /// What the token says. Who is the host is said by [`HostView`].
    pub authority: Authority,
}

/// The host of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView {
    /// Nobody, if there is none, or only an encoder.
    pub person: Option<PersonId>,
    /// What others see; empty if there is none.
    pub name: String,
    /// There, or gone for less than the grace.
    pub present: bool,
    /// Until when it is waited for, while it is away.
    pub away_until: Option<Instant>,
    /// What the host has muted of itself.
    pub muted_by: MutedByView,
}

/// A seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatView {
    /// Its number.
    pub seat: SeatNo,
    /// What goes on there.
    pub state: SeatState,
    /// Takes nobody new.
    pub locked: bool,
    /// Who is on it.
    pub person: Option<PersonId>,
    /// What others see; empty if nobody.
    pub name: String,
    /// What they publish as.
    pub participant: Option<ParticipantName>,
    /// Their source is up and has a picture.
    pub video: bool,
    /// Their source is up and has sound.
    pub audio: bool,
    /// What is muted.
    pub muted_by: MutedByView,
    /// When the state runs out by itself.
    pub until: Option<Instant>,
}

/// What goes on on a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// Nothing.
    Empty,
    /// Granted or offered; nobody publishes yet.
    Reserved,
    /// A publisher is connecting.
    Connecting,
    /// Live.
    OnMic,
    /// The source is down, and may come back.
    Away,
}

/// Who muted something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MutedBy {
    /// The host, perhaps the participant too.
    Host,
    /// The participant alone.
    Myself,
}

/// What is muted of a participant, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MutedByView {
    /// The picture.
    pub video: Option<MutedBy>,
    /// The sound.
    pub audio: Option<MutedBy>,
}

/// Somebody who asks for the mic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// Who.
    pub person: PersonId,
    /// What others see.
    pub name: String,
    /// Which seat; any if `None`.
    pub seat: Option<SeatNo>,
    /// Since when.
    pub since: Instant,
    /// Until when.
    pub expires: Instant,
    /// Why the last attempt to go on mic did not work.
    pub failed: Option<String>,
}

/// Somebody who is offered a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationView {
    /// Who.
    pub person: PersonId,
    /// What others see.
    pub name: String,
    /// Which seat.
    pub seat: SeatNo,
    /// Until when.
    pub expires: Instant,
}

/// What somebody publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// As whom.
    pub participant: ParticipantName,
    /// Frames arrive.
    pub up: bool,
    /// Has a picture.
    pub video: bool,
    /// Has sound.
    pub audio: bool,
}

/// A PK, or the proposal of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkView {
    /// How far it is.
    pub state: PkState,
    /// The other room.
    pub room: RoomName,
    /// The other host, as shown to others.
    pub name: String,
    /// When it runs out by itself: a proposal unanswered, or a PK with this room's host gone.
    pub until: Option<Instant>,
}

/// How far a PK is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkState {
    /// This room has proposed it.
    Proposed,
    /// The other room has.
    Offered,
    /// Both programs show both hosts.
    On,
}
