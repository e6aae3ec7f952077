//! A room as seen from outside. Snapshots and events hold the same complete values.

use std::time::Instant;

use crate::command::Authority;
use crate::mix::Mix;
use crate::settings::Settings;
use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// The whole state of a room that this crate owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// The name of the room.
    pub room: RoomName,
    /// The settings, which hold `title` and `locked`.
    pub settings: Settings,
    /// Whether the room lives until it is ended.
    pub kept: bool,
    /// The number of the last event. A room begins above all numbers of an earlier room of that name.
    pub number: u64,
    /// Whether any source of this room is up.
    pub live: bool,
    /// The host of the room.
    pub host: HostView,
    /// The seats, by number.
    pub seats: Vec<SeatView>,
    /// The requests, in the order of the queue.
    pub requests: Vec<RequestView>,
    /// The invitations, by seat.
    pub invitations: Vec<InvitationView>,
    /// The sources that are up, by name.
    pub sources: Vec<SourceView>,
    /// The PK, or the proposal of one.
    pub pk: Option<PkView>,
    /// Everybody in the room, by id.
    pub persons: Vec<PersonView>,
    /// The mix that the last effect gave out.
    pub mix: Mix,
}

/// A person in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonView {
    /// The id of the person.
    pub person: PersonId,
    /// The name that others see.
    pub name: String,
    /// The right that the token gives. Only [`HostView`] says who the host is.
    pub authority: Authority,
}

/// The host of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView {
    /// The person; `None` if there is no host, or only an encoder.
    pub person: Option<PersonId>,
    /// The name that others see; empty if there is no host.
    pub name: String,
    /// Whether the host is there, or gone for less than the grace.
    pub present: bool,
    /// Until when the room waits for a host who is away.
    pub away_until: Option<Instant>,
    /// What is muted of the host.
    pub muted_by: MutedByView,
}

/// A seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatView {
    /// The number of the seat.
    pub seat: SeatNo,
    /// The state of the seat.
    pub state: SeatState,
    /// Whether the seat takes nobody new.
    pub locked: bool,
    /// The person on the seat.
    pub person: Option<PersonId>,
    /// The name that others see; empty if nobody is on the seat.
    pub name: String,
    /// The name that the person publishes under.
    pub participant: Option<ParticipantName>,
    /// Whether their source is up and has video.
    pub video: bool,
    /// Whether their source is up and has audio.
    pub audio: bool,
    /// What is muted of the person.
    pub muted_by: MutedByView,
    /// When the state ends by itself.
    pub until: Option<Instant>,
}

/// The state of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// Nobody has it.
    Empty,
    /// It is granted or offered, and nobody publishes yet.
    Reserved,
    /// A publisher is connecting.
    Connecting,
    /// The source is up.
    OnMic,
    /// The source is down and may come back.
    Away,
}

/// Somebody who muted a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MutedBy {
    /// The host, and perhaps the participant as well.
    Host,
    /// The participant alone.
    Myself,
}

/// What is muted of a participant, and who muted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MutedByView {
    /// Who muted the video.
    pub video: Option<MutedBy>,
    /// Who muted the audio.
    pub audio: Option<MutedBy>,
}

/// The request of somebody who asks for the mic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// The person who asks.
    pub person: PersonId,
    /// The name that others see.
    pub name: String,
    /// The seat that they ask for; any seat if `None`.
    pub seat: Option<SeatNo>,
    /// When they asked.
    pub since: Instant,
    /// When the request expires.
    pub expires: Instant,
    /// Why the last attempt to go on mic did not work.
    pub failed: Option<String>,
}

/// The invitation of somebody who is offered a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationView {
    /// The person who is invited.
    pub person: PersonId,
    /// The name that others see.
    pub name: String,
    /// The seat that is reserved.
    pub seat: SeatNo,
    /// When the invitation expires.
    pub expires: Instant,
}

/// The source that a participant publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// The name it is published under.
    pub participant: ParticipantName,
    /// Whether its frames arrive.
    pub up: bool,
    /// Whether it has video.
    pub video: bool,
    /// Whether it has audio.
    pub audio: bool,
}

/// A PK, or the proposal of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkView {
    /// The state of the PK.
    pub state: PkState,
    /// The other room.
    pub room: RoomName,
    /// The name of the other host that others see.
    pub name: String,
    /// When it ends by itself: a proposal without an answer, or a PK while this room's host has no source.
    pub until: Option<Instant>,
}

/// The state of a PK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkState {
    /// This room has proposed it.
    Proposed,
    /// The other room has proposed it.
    Offered,
    /// It is on: both programs show both hosts.
    On,
}
