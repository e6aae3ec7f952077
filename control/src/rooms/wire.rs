//! Rooms as JSON: the machine's views under the names of the API.
//!
//! Only this file turns the machine's moments into dates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use onmic_media::{Calendar, DateOffset, NodeClock};
use onmic_room::{
    HostView, InvitationView, MutedByView, PersonId, PersonView, PkView, RequestView, RoomView, SeatView, Settings,
    SourceView,
};

use crate::bans::Ban;

use super::look::{Layout, OverlayBody, SourceLook};
use super::timeouts::TimeoutsMs;
use super::words::{AvSync, HostLeaves, MutedBy, PkState, ProgramState, Role, SeatState};

/// The state of a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomState {
    pub room: String,
    pub title: String,
    /// Whether any source of the room is up.
    pub live: bool,
    pub host: Host,
    /// Whether the room takes no new requests.
    pub locked: bool,
    /// Whether the room lives until it is ended.
    pub kept: bool,
    pub settings: RoomSettings,
    pub seats: Vec<Seat>,
    /// The requests, in the order of the queue.
    #[schema(value_type = Vec<Request>)]
    pub requests: Vec<RenderedRequest>,
    pub invitations: Vec<Invitation>,
    /// The sources that are up.
    pub sources: Vec<RoomSource>,
    #[schema(required)]
    pub pk: Option<Pk>,
    pub program: RoomProgram,
    pub viewers: Audience,
    /// The number of people who are connected or on mic. Above 200 it is that of the last event that told it.
    pub persons: usize,
    /// The last chat messages, oldest first.
    pub chat: Vec<Message>,
}

/// A request as JSON ([`Request`]).
#[derive(Clone, Debug)]
pub struct RenderedRequest(pub(super) Arc<RawValue>);

impl Serialize for RenderedRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// What the driver adds to the machine's part of a room's state.
pub struct Added {
    pub requests: Vec<RenderedRequest>,
    pub program: RoomProgram,
    pub viewers: Audience,
    pub persons: usize,
    pub chat: Vec<Message>,
}

/// A ban from a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct BanState {
    pub person: String,
    /// When it is over.
    pub until: String,
    /// Why, as whoever banned the person has put it; may be empty.
    pub reason: String,
}

/// The settings of a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomSettings {
    /// Whether somebody who publishes without a granted seat gets the first free one.
    pub open_seats: bool,
    pub host_leaves: HostLeaves,
    /// How audio and video reach WebRTC viewers who do not choose for themselves.
    pub sync: AvSync,
    /// How far behind they play at least, in ms.
    pub playout_delay_ms: u16,
    pub timeouts: TimeoutsMs,
}

/// The host, who directs the room.
#[derive(Debug, Serialize, ToSchema)]
pub struct Host {
    /// The person; null if there is no host, or only an encoder.
    #[schema(required)]
    pub person: Option<String>,
    pub name: String,
    pub present: bool,
    /// Until when the room waits for a host who is away.
    #[schema(required)]
    pub away_until: Option<String>,
    pub muted_by: MutedWho,
}

/// A place on mic.
#[derive(Debug, Serialize, ToSchema)]
pub struct Seat {
    pub seat: u8,
    pub state: SeatState,
    pub locked: bool,
    #[schema(required)]
    pub person: Option<String>,
    pub name: String,
    #[schema(required)]
    pub participant: Option<String>,
    pub video: bool,
    pub audio: bool,
    pub muted_by: MutedWho,
    pub speaking: bool,
    /// When the state ends by itself.
    #[schema(required)]
    pub until: Option<String>,
}

/// Who muted video and audio; null for what is not muted.
#[derive(Debug, Serialize, ToSchema)]
pub struct MutedWho {
    #[schema(required)]
    pub video: Option<MutedBy>,
    #[schema(required)]
    pub audio: Option<MutedBy>,
}

/// The request of somebody who asks for the mic.
#[derive(Debug, Serialize, ToSchema)]
pub struct Request {
    pub person: String,
    pub name: String,
    /// The seat that was asked for; null for any seat.
    #[schema(required)]
    pub seat: Option<u8>,
    pub since: String,
    pub expires: String,
    pub state: RequestState,
    /// Why the last attempt to go on mic did not work.
    #[schema(required)]
    pub failed: Option<String>,
}

/// The invitation of somebody who is offered a seat.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invitation {
    pub person: String,
    pub name: String,
    pub seat: u8,
    pub expires: String,
}

/// The source that a participant publishes.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomSource {
    pub participant: String,
    pub up: bool,
    pub video: bool,
    pub audio: bool,
}

/// A PK with another room, or the proposal of one.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pk {
    pub state: PkState,
    pub room: String,
    /// The name of the other host.
    pub name: String,
    #[schema(required)]
    pub until: Option<String>,
}

/// The program, which the audience gets, and how it is composed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RoomProgram {
    pub state: ProgramState,
    pub layout: Layout,
    pub overlays: Vec<OverlayBody>,
    pub background: String,
    /// Whether a mix shows a name on each source.
    pub labels: bool,
    /// Whether a mix shows a border around the sources that speak.
    pub borders: bool,
    /// The settings of sources by participant, without those that have the defaults.
    pub source_settings: BTreeMap<String, SourceLook>,
}

/// What has changed of the program. What is not there is as it was.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgramChange {
    pub state: ProgramState,
    pub layout: Layout,
    /// All overlays, if one of them has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<OverlayBody>, required = false)]
    pub overlays: Option<Vec<OverlayBody>>,
    pub background: String,
    /// Whether a mix shows a name on each source.
    pub labels: bool,
    /// Whether a mix shows a border around the sources that speak.
    pub borders: bool,
    /// The settings of all sources, if one of them has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, SourceLook>, required = false)]
    pub source_settings: Option<BTreeMap<String, SourceLook>>,
}

/// The number of viewers, by protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Audience {
    pub whep: usize,
    /// The viewers of LL-HLS, as estimated from requests for playlists.
    pub hls: usize,
    pub flv: usize,
    pub rtmp: usize,
}

/// A chat message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Message {
    /// The person; null for a backend.
    #[schema(required)]
    pub person: Option<String>,
    pub name: String,
    pub text: String,
    pub at: String,
}

/// A person in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct Person {
    pub person: String,
    pub name: String,
    /// The role of the person's token.
    pub role: Role,
}

/// The state of a request, of which there is only one. Events tell what becomes of a request.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    Requested,
}

/// Makes JSON of the machine's views, and gives their moments the dates that they have when it is made.
#[derive(Clone, Copy)]
pub struct Wire {
    clock: NodeClock,
    dates: DateOffset,
}

impl Wire {
    /// States moments by the dates that `calendar` gives them now.
    pub fn new(calendar: &Calendar) -> Self {
        Self { clock: calendar.clock(), dates: calendar.offset() }
    }

    fn at(self, moment: Instant) -> String {
        self.dates.date(self.clock.wall(moment)).to_string()
    }

    fn until(self, moment: Option<Instant>) -> Option<String> {
        moment.map(|moment| self.at(moment))
    }

    pub fn ban(self, person: &PersonId, ban: &Ban) -> BanState {
        BanState { person: person.to_string(), until: self.at(ban.until), reason: ban.reason.clone() }
    }

    pub fn host(self, host: &HostView) -> Host {
        Host {
            person: host.person.as_ref().map(ToString::to_string),
            name: host.name.clone(),
            present: host.present,
            away_until: self.until(host.away_until),
            muted_by: muted(host.muted_by),
        }
    }

    pub fn seat(self, seat: &SeatView, speaking: bool) -> Seat {
        Seat {
            seat: seat.seat.get(),
            state: seat.state.into(),
            locked: seat.locked,
            person: seat.person.as_ref().map(ToString::to_string),
            name: seat.name.clone(),
            participant: seat.participant.as_ref().map(ToString::to_string),
            video: seat.video,
            audio: seat.audio,
            muted_by: muted(seat.muted_by),
            speaking,
            until: self.until(seat.until),
        }
    }

    pub fn request(self, request: &RequestView) -> Request {
        Request {
            person: request.person.to_string(),
            name: request.name.clone(),
            seat: request.seat.map(onmic_room::SeatNo::get),
            since: self.at(request.since),
            expires: self.at(request.expires),
            state: RequestState::Requested,
            failed: request.failed.clone(),
        }
    }

    pub fn invitation(self, invitation: &InvitationView) -> Invitation {
        Invitation {
            person: invitation.person.to_string(),
            name: invitation.name.clone(),
            seat: invitation.seat.get(),
            expires: self.at(invitation.expires),
        }
    }

    pub fn pk(self, pk: &PkView) -> Pk {
        Pk { state: pk.state.into(), room: pk.room.to_string(), name: pk.name.clone(), until: self.until(pk.until) }
    }

    /// Returns the state of a room: what the machine knows, and what the driver adds to it.
    pub fn room(
        self,
        view: &RoomView,
        is_speaking: impl Fn(&SeatView) -> bool,
        Added { requests, program, viewers, persons, chat }: Added,
    ) -> RoomState {
        RoomState {
            room: view.room.to_string(),
            title: view.settings.title.clone(),
            live: view.live,
            host: self.host(&view.host),
            locked: view.settings.locked,
            kept: view.kept,
            settings: room_settings(&view.settings),
            seats: view.seats.iter().map(|seat| self.seat(seat, is_speaking(seat))).collect(),
            requests,
            invitations: view.invitations.iter().map(|invitation| self.invitation(invitation)).collect(),
            sources: view.sources.iter().map(source).collect(),
            pk: view.pk.as_ref().map(|pk| self.pk(pk)),
            program,
            viewers,
            persons,
            chat,
        }
    }
}

pub fn person(view: &PersonView) -> Person {
    Person { person: view.person.to_string(), name: view.name.clone(), role: view.authority.into() }
}

pub fn source(source: &SourceView) -> RoomSource {
    let SourceView { up, video, audio, .. } = *source;
    RoomSource { participant: source.participant.to_string(), up, video, audio }
}

fn muted(by: MutedByView) -> MutedWho {
    MutedWho { video: by.video.map(Into::into), audio: by.audio.map(Into::into) }
}

pub fn room_settings(settings: &Settings) -> RoomSettings {
    RoomSettings {
        open_seats: settings.open_seats,
        host_leaves: settings.host_leaves.into(),
        sync: settings.sync.into(),
        playout_delay_ms: settings.playout_delay_ms,
        timeouts: TimeoutsMs(settings.timeouts),
    }
}
