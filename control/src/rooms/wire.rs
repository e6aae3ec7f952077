//! Rooms as JSON: the machine's views and events under the names of the API.
//!
//! Moments of the machine become wall time here, and nowhere else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use onmic_media::NodeClock;
use onmic_room::{
    Authority, Event, HostView, InvitationView, MutedBy, MutedByView, PersonView, PkView, RequestView, RoomView,
    SeatView, Settings, SourceView, Timeouts,
};

use super::look::{Layout, OverlayBody, SourceLook};

/// All there is to know of a room.
#[derive(Serialize, ToSchema)]
pub struct RoomState {
    pub room: String,
    pub title: String,
    /// Whether anybody publishes.
    pub live: bool,
    pub host: Host,
    /// Takes no requests.
    pub locked: bool,
    /// Lives until it is ended.
    pub kept: bool,
    pub settings: RoomSettings,
    pub seats: Vec<Seat>,
    /// In the order they will be served.
    pub requests: Vec<Request>,
    pub invitations: Vec<Invitation>,
    /// Those that are up.
    pub sources: Vec<RoomSource>,
    pub pk: Option<Pk>,
    pub program: RoomProgram,
    pub viewers: Audience,
    /// How many are connected or on mic.
    pub persons: usize,
    /// The last messages, oldest first.
    pub chat: Vec<Message>,
}

/// What becomes of a room without its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostLeaves {
    /// Everybody leaves the mic; the room waits for a host.
    EmptySeats,
    /// The room ends.
    End,
    /// Participants on mic stay there; the room waits for a host.
    Keep,
}

impl From<HostLeaves> for onmic_room::HostLeaves {
    fn from(leaves: HostLeaves) -> Self {
        match leaves {
            HostLeaves::EmptySeats => Self::EmptySeats,
            HostLeaves::End => Self::End,
            HostLeaves::Keep => Self::Keep,
        }
    }
}

/// How a room is set up.
#[derive(Serialize, ToSchema)]
pub struct RoomSettings {
    /// Who publishes without a grant is given a free seat.
    pub open_seats: bool,
    /// `empty-seats`, `end` or `keep`.
    pub host_leaves: &'static str,
    pub timeouts: TimeoutsMs,
}

/// How long each waiting state waits, in milliseconds.
#[derive(Serialize, ToSchema)]
pub struct TimeoutsMs {
    pub request_ms: u64,
    pub grant_ms: u64,
    pub connect_ms: u64,
    pub invitation_ms: u64,
    pub away_ms: u64,
    pub presence_ms: u64,
    pub host_away_ms: u64,
    pub pk_proposal_ms: u64,
    pub pk_away_ms: u64,
    pub cool_down_ms: u64,
    pub empty_ms: u64,
}

/// Who directs the room.
#[derive(Serialize, ToSchema)]
pub struct Host {
    /// Null if there is none, or only an encoder.
    pub person: Option<String>,
    pub name: String,
    pub present: bool,
    /// Until when the host is waited for.
    pub away_until: Option<String>,
    pub muted_by: MutedWho,
}

/// A place on mic.
#[derive(Serialize, ToSchema)]
pub struct Seat {
    pub seat: u8,
    /// `empty`, `reserved`, `connecting`, `on-mic` or `away`.
    pub state: &'static str,
    pub locked: bool,
    pub person: Option<String>,
    pub name: String,
    pub participant: Option<String>,
    pub video: bool,
    pub audio: bool,
    pub muted_by: MutedWho,
    pub speaking: bool,
    /// When the state runs out by itself.
    pub until: Option<String>,
}

/// `host`, `self` or null.
#[derive(Serialize, ToSchema)]
pub struct MutedWho {
    pub video: Option<&'static str>,
    pub audio: Option<&'static str>,
}

/// Somebody who asks for the mic.
#[derive(Serialize, ToSchema)]
pub struct Request {
    pub person: String,
    pub name: String,
    /// The seat asked for.
    pub seat: Option<u8>,
    pub since: String,
    pub expires: String,
    /// Always `requested`.
    pub state: &'static str,
    /// Why the last attempt to go on mic did not work.
    pub failed: Option<String>,
}

/// Somebody who is offered a seat.
#[derive(Serialize, ToSchema)]
pub struct Invitation {
    pub person: String,
    pub name: String,
    pub seat: u8,
    pub expires: String,
}

/// What a participant publishes.
#[derive(Serialize, ToSchema)]
pub struct RoomSource {
    pub participant: String,
    pub up: bool,
    pub video: bool,
    pub audio: bool,
}

/// A PK with another room, or the proposal of one.
#[derive(Serialize, ToSchema)]
pub struct Pk {
    /// `proposed` by this room, `offered` by the other, or `on`.
    pub state: &'static str,
    pub room: String,
    /// The other host.
    pub name: String,
    pub until: Option<String>,
}

/// What the audience gets, and how it is composed.
#[derive(Serialize, ToSchema)]
pub struct RoomProgram {
    /// `off`, `pass-through` or `mixed`.
    pub state: &'static str,
    pub layout: Layout,
    pub overlays: Vec<OverlayBody>,
    pub background: String,
    /// Names on the pictures.
    pub labels: bool,
    /// A border for who speaks.
    pub borders: bool,
    /// By participant; those that are not as usual.
    pub source_settings: BTreeMap<String, SourceLook>,
}

/// Who watches, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Audience {
    pub whep: usize,
    /// Estimated from playlist requests.
    pub hls: usize,
    pub flv: usize,
    pub rtmp: usize,
}

/// What somebody said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Message {
    /// Null for a backend.
    pub person: Option<String>,
    pub name: String,
    pub text: String,
    pub at: String,
}

/// Somebody in a room.
#[derive(Serialize, ToSchema)]
pub struct Person {
    pub person: String,
    pub name: String,
    /// `host`, `co-host`, `viewer` or `admin`: what the token says.
    pub role: &'static str,
}

/// The word for what a token allows.
pub fn role(authority: Authority) -> &'static str {
    match authority {
        Authority::Host => "host",
        Authority::CoHost => "co-host",
        Authority::Viewer => "viewer",
        Authority::Admin => "admin",
    }
}

/// Turns the machine's moments into wall time.
#[derive(Clone, Copy)]
pub struct Wire(pub NodeClock);

impl Wire {
    fn at(self, moment: Instant) -> String {
        self.0.wall(moment).to_string()
    }

    fn until(self, moment: Option<Instant>) -> Option<String> {
        moment.map(|moment| self.at(moment))
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
            state: seat.state.as_str(),
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
            state: "requested",
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
        Pk { state: pk.state.as_str(), room: pk.room.to_string(), name: pk.name.clone(), until: self.until(pk.until) }
    }

    /// An event of the machine. `is_speaking` is the driver's knowledge of participants, `persons` how many there are.
    pub fn event(self, event: &Event, is_speaking: impl Fn(&SeatView) -> bool, persons: usize) -> Value {
        let kind = event.kind();
        let seat = |seat: &SeatView| self.seat(seat, is_speaking(seat));
        let all = |seats: &[SeatView]| seats.iter().map(seat).collect::<Vec<_>>();
        match event {
            Event::RoomOpened { settings, kept, seats } | Event::RoomConfigured { settings, kept, seats } => json!({
                "kind": kind, "title": settings.title, "locked": settings.locked, "kept": kept,
                "settings": room_settings(settings), "seats": all(seats),
            }),
            Event::RoomEnded { reason } => json!({"kind": kind, "reason": reason.as_str()}),
            Event::PersonJoined { person: view } | Event::PersonLeft { person: view } => {
                let Person { person, name, role } = person(view);
                json!({"kind": kind, "person": person, "name": name, "role": role, "persons": persons})
            }
            Event::HostChanged { host } | Event::HostAway { host } | Event::HostBack { host } => {
                json!({"kind": kind, "host": self.host(host)})
            }
            Event::MicRequested { request }
            | Event::MicWithdrawn { request }
            | Event::MicRefused { request }
            | Event::MicExpired { request } => json!({"kind": kind, "request": self.request(request)}),
            Event::MicGranted { seat: view }
            | Event::MicConnecting { seat: view }
            | Event::MicOn { seat: view }
            | Event::MicAway { seat: view }
            | Event::SeatChanged { seat: view } => json!({"kind": kind, "seat": seat(view)}),
            Event::MicFailed { seat: view, person, name, request, reason } => json!({
                "kind": kind, "seat": seat(view), "person": person.as_str(), "name": name,
                "request": request.as_ref().map(|request| self.request(request)), "reason": reason,
            }),
            Event::MicLeft { seat: view, person, name, reason } => json!({
                "kind": kind, "seat": seat(view), "person": person.as_str(), "name": name, "reason": reason.as_str(),
            }),
            Event::Invited { invitation, seat: view }
            | Event::InvitationDeclined { invitation, seat: view }
            | Event::InvitationExpired { invitation, seat: view } => {
                json!({"kind": kind, "invitation": self.invitation(invitation), "seat": seat(view)})
            }
            Event::SourceUp { source: view } | Event::SourceDown { source: view } => {
                json!({"kind": kind, "source": source(view)})
            }
            Event::PkProposed { pk } | Event::PkOn { pk } | Event::PkRefused { pk } => {
                json!({"kind": kind, "pk": self.pk(pk)})
            }
            Event::PkEnded { pk, reason } => json!({"kind": kind, "pk": self.pk(pk), "reason": reason.as_str()}),
        }
    }

    /// A room, but for what the driver adds to it.
    pub fn room(
        self,
        view: &RoomView,
        is_speaking: impl Fn(&SeatView) -> bool,
        program: RoomProgram,
        viewers: Audience,
        chat: Vec<Message>,
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
            requests: view.requests.iter().map(|request| self.request(request)).collect(),
            invitations: view.invitations.iter().map(|invitation| self.invitation(invitation)).collect(),
            sources: view.sources.iter().map(source).collect(),
            pk: view.pk.as_ref().map(|pk| self.pk(pk)),
            program,
            viewers,
            persons: view.persons.len(),
            chat,
        }
    }
}

pub fn person(view: &PersonView) -> Person {
    Person { person: view.person.to_string(), name: view.name.clone(), role: role(view.authority) }
}

fn source(source: &SourceView) -> RoomSource {
    let SourceView { up, video, audio, .. } = *source;
    RoomSource { participant: source.participant.to_string(), up, video, audio }
}

fn muted(by: MutedByView) -> MutedWho {
    MutedWho { video: by.video.map(MutedBy::as_str), audio: by.audio.map(MutedBy::as_str) }
}

fn room_settings(settings: &Settings) -> RoomSettings {
    RoomSettings {
        open_seats: settings.open_seats,
        host_leaves: match settings.host_leaves {
            onmic_room::HostLeaves::EmptySeats => "empty-seats",
            onmic_room::HostLeaves::End => "end",
            onmic_room::HostLeaves::Keep => "keep",
        },
        timeouts: timeouts(&settings.timeouts),
    }
}

fn timeouts(timeouts: &Timeouts) -> TimeoutsMs {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    TimeoutsMs {
        request_ms: ms(timeouts.request),
        grant_ms: ms(timeouts.grant),
        connect_ms: ms(timeouts.connect),
        invitation_ms: ms(timeouts.invitation),
        away_ms: ms(timeouts.away),
        presence_ms: ms(timeouts.presence),
        host_away_ms: ms(timeouts.host_away),
        pk_proposal_ms: ms(timeouts.pk_proposal),
        pk_away_ms: ms(timeouts.pk_away),
        cool_down_ms: ms(timeouts.cool_down),
        empty_ms: ms(timeouts.empty),
    }
}
