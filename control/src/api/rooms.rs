//! `GET /api/v1/rooms` and `/api/v1/rooms/ROOM`: the sources of rooms as they are measured, and advice to publishers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use onmic_http::{Problem, Sender};
use onmic_media::{Feed, Hub, MediaKind, Presence, RoomName, Source, WallTime};

use super::Api;
use super::advice::{self, Advice};
use crate::claims::Claims;
use crate::rooms::audience;
use crate::rooms::wire::{Audience, RoomState};
use crate::rooms::words::Protocol;

/// A list of rooms, live or not.
#[derive(Serialize, ToSchema)]
pub struct Rooms {
    rooms: Vec<Room>,
}

/// One room.
#[derive(Serialize, ToSchema)]
pub struct Room {
    /// The name of the room, as in URLs.
    name: String,
    /// Whether somebody sends audio or video now.
    live: bool,
    /// When the oldest source began, or the room if it has no source (RFC 3339).
    started_at: String,
    viewers: Audience,
    participants: Vec<Participant>,
    /// The host, the requests and the seats. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    #[schema(value_type = RoomState, required = false)]
    state: Option<Arc<RawValue>>,
}

fn raw<S: Serializer>(state: &Option<Arc<RawValue>>, serializer: S) -> Result<S::Ok, S::Error> {
    state.as_deref().serialize(serializer)
}

/// One source of a room.
#[derive(Serialize, ToSchema)]
pub struct Participant {
    name: String,
    protocol: Protocol,
    state: Liveness,
    started_at: String,
    #[schema(required)]
    video: Option<Video>,
    #[schema(required)]
    audio: Option<Audio>,
    /// What the publisher should change, the most important first.
    advice: Vec<Advice>,
}

/// Whether the publisher of a source is there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Liveness {
    /// The publisher has the name, and nothing has come yet.
    Connecting,
    Live,
    /// The publisher is gone, and may come back within the grace period.
    Interrupted,
}

impl From<Presence> for Liveness {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Connecting => Self::Connecting,
            Presence::Live => Self::Live,
            Presence::Interrupted => Self::Interrupted,
        }
    }
}

/// A video track as measured over the last seconds.
#[derive(Serialize, ToSchema)]
pub struct Video {
    /// The codec: `h264`, `h265`, `vp8`, `vp9` or `av1`.
    codec: &'static str,
    #[schema(required)]
    profile: Option<String>,
    width: u32,
    height: u32,
    fps: f64,
    bitrate_bps: u64,
    #[schema(required)]
    keyframe_interval_ms: Option<u64>,
    b_frames: bool,
    /// Whether it is re-encoded now for viewers who cannot play it as it is.
    transcoding: bool,
}

/// An audio track as measured over the last seconds.
#[derive(Serialize, ToSchema)]
pub struct Audio {
    /// The codec: `aac` or `opus`.
    codec: &'static str,
    sample_rate: u32,
    channels: u8,
    bitrate_bps: u64,
}

/// Lists all rooms. Where the server asks for tokens, it lists those that the token is for.
#[utoipa::path(get, path = "/api/v1/rooms", tag = "rooms", responses((status = 200, body = Rooms), (status = 401), (status = 403), (status = 429)))]
pub async fn list(State(api): State<Api>, sender: Sender) -> Result<Response, Problem> {
    let claims = api.gate.claims(sender.shown())?;
    let owner = claims.as_ref().and_then(Claims::owner);
    sender.pay(sender.payer(owner.as_ref()), 1.0)?;
    if let Some(claims) = claims.filter(|claims| !claims.covers_all()) {
        let listed = |room: RoomName| Room::listed(&api.hub, &room, api.rooms.opened(&room), api.rooms.now());
        let rooms = claims.only_room().and_then(listed).into_iter().collect();
        return Ok(Json(Rooms { rooms }).into_response());
    }
    let rendered = api.list.clone();
    let all = rendered.get(move || serde_json::to_vec(&Rooms::all(&api)).unwrap_or_default().into()).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], all).into_response())
}

impl Rooms {
    fn all(api: &Api) -> Self {
        let now = api.rooms.now();
        let opened = api.rooms.names().into_iter().map(|(room, opened)| (room, Some(opened)));
        let mut rooms: BTreeMap<RoomName, Option<WallTime>> =
            api.hub.rooms().into_iter().map(|room| (room, None)).collect();
        rooms.extend(opened);
        Self { rooms: rooms.iter().filter_map(|(room, opened)| Room::listed(&api.hub, room, *opened, now)).collect() }
    }
}

/// Shows one room.
#[utoipa::path(get, path = "/api/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path)),
    responses((status = 200, body = Room), (status = 401), (status = 403), (status = 404)))]
pub async fn one(State(api): State<Api>, Path(room): Path<String>, sender: Sender) -> Result<Json<Room>, Problem> {
    use onmic_media::gate::{Action, Gate};
    let room: RoomName = room.parse()?;
    let admission = api.gate.check(Action::Play(&room), sender.shown())?;
    sender.pay(sender.payer(admission.owner.as_ref()), 1.0)?;
    let sources = api.hub.sources_of(&room);
    let (state, opened) = api.rooms.room(&room).unzip();
    if sources.is_empty() && state.is_none() {
        return Err(Problem::not_found(format!(
            "There is no room {room}: nobody is live in it, and nobody created it."
        )));
    }
    Ok(Json(Room { state, ..Room::new(&api.hub, &room, &sources, opened, api.rooms.now()) }))
}

impl Room {
    /// Returns the entry of a room in the list. A room of the hub may have ended since its name was listed.
    fn listed(hub: &Hub, room: &RoomName, opened: Option<WallTime>, now: Instant) -> Option<Self> {
        let sources = hub.sources_of(room);
        let is_there = opened.is_some() || !sources.is_empty();
        is_there.then(|| Self::new(hub, room, &sources, opened, now))
    }

    fn new(hub: &Hub, name: &RoomName, sources: &[Arc<Source>], opened: Option<WallTime>, now: Instant) -> Self {
        let started = sources.iter().map(|source| source.epoch()).min().or(opened).unwrap_or_default();
        let program = hub.program(name);
        Self {
            name: name.to_string(),
            live: sources.iter().any(|source| source.presence() == Presence::Live),
            started_at: hub.calendar().date(started).to_string(),
            viewers: audience::count(hub, name),
            participants: sources.iter().map(|source| Participant::new(hub, source, program.as_deref(), now)).collect(),
            state: None,
        }
    }
}

impl Participant {
    fn new(hub: &Hub, source: &Source, program: Option<&Feed>, now: Instant) -> Self {
        let video = Video::of(source, program, now);
        let audio = Audio::of(source, now);
        Self {
            name: source.name().participant.to_string(),
            protocol: source.protocol().into(),
            state: source.presence().into(),
            started_at: hub.calendar().date(source.epoch()).to_string(),
            advice: advice::of(source, now),
            video,
            audio,
        }
    }
}

impl Video {
    fn of(source: &Source, program: Option<&Feed>, now: Instant) -> Option<Self> {
        let track = source.feed().original(MediaKind::Video)?;
        let is_derived = |feed: &Feed| !feed.derived(MediaKind::Video).is_empty();
        let parameters = track.parameters();
        let measured = track.measured(now);
        let (width, height) = parameters.resolution().unwrap_or_default();
        Some(Self {
            codec: parameters.codec().name(),
            profile: parameters.profile_name(),
            width,
            height,
            fps: (measured.frame_rate * 100.0).round() / 100.0,
            bitrate_bps: measured.bitrate_bps,
            keyframe_interval_ms: measured.keyframe_interval.map(millis),
            b_frames: track.reorders(),
            transcoding: is_derived(source.feed()) || (source.is_passed_through() && program.is_some_and(is_derived)),
        })
    }
}

impl Audio {
    fn of(source: &Source, now: Instant) -> Option<Self> {
        let track = source.feed().original(MediaKind::Audio)?;
        let parameters = track.parameters();
        Some(Self {
            codec: parameters.codec().name(),
            sample_rate: parameters.sample_rate().unwrap_or_default(),
            channels: parameters.channels().unwrap_or_default(),
            bitrate_bps: track.measured(now).bitrate_bps,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
