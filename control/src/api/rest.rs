//! Rooms by REST: the commands of the WebSocket under addresses, and those that only a backend gives.
//!
//! Each route makes a [`WireCommand`] of its address and body where there is one, so REST and the WebSocket cannot
//! differ. Without tokens a call counts as an admin's, because only this machine can make it.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use onmic_http::{Problem, Sender};
use onmic_room::{Authority, Command, Input, Settings, Who};

use super::caller::{Body, Caller, Of, Watcher};
use super::commands::{WireCommand, malformed, room_name, seat_no};
use super::page::{Page, PageQuery};
use super::problem::unprocessable;
use super::{Api, events};
use crate::rooms::event::Changed;
use crate::rooms::look::{Layout, LookChange, OverlayBody, SourceChange};
use crate::rooms::order::Order;
use crate::rooms::timeouts::TimeoutsChange;
use crate::rooms::wire::{self, RoomState};
use crate::rooms::words::{AvSync, HostLeaves};

/// The largest body of a command, in bytes. Most fit into one packet or two.
const BODY_MAX: usize = 64 * 1024;
/// The largest body with overlays, in bytes: all pictures of a room, in base64.
const OVERLAYS_BODY_MAX: usize = 3 * 1024 * 1024;

/// Returns the routes below `/api/v1/rooms/{room}`.
pub fn router() -> Router<Api> {
    let room = Router::new()
        .route("/events", get(events::events))
        .route("/persons", get(persons))
        .route("/persons/{person}", delete(kick))
        .route("/bans", get(bans).post(ban))
        .route("/bans/{person}", delete(lift_ban))
        .route("/requests", post(request_mic))
        .route("/requests/{person}", delete(withdraw))
        .route("/requests/{person}/grant", post(grant))
        .route("/requests/{person}/refuse", post(refuse))
        .route("/invitations", post(invite))
        .route("/invitations/{person}/accept", post(accept))
        .route("/invitations/{person}/decline", post(decline))
        .route("/seats/{seat}", patch(change_seat))
        .route("/seats/{seat}/participant", delete(clear_seat))
        .route("/seats/{seat}/failed", post(connect_failed))
        .route("/seats/{seat}/ticket", post(renew_ticket))
        .route("/host", put(hand_over).patch(mute_host))
        .route("/pk", put(propose_pk).delete(end_pk))
        .route("/pk/accept", post(accept_pk))
        .route("/pk/refuse", post(refuse_pk))
        .route("/layout", put(set_layout))
        .route("/overlays", put(set_overlays).layer(DefaultBodyLimit::max(OVERLAYS_BODY_MAX)))
        .route("/overlays/{id}/image", get(overlay_image))
        .route("/look", patch(set_look))
        .route("/sources/{participant}", patch(set_source))
        .route("/chat", post(chat));
    Router::new().nest("/api/v1/rooms/{room}", room).layer(DefaultBodyLimit::max(BODY_MAX))
}

/// Answers 201 with its address if something was created, or else 200.
fn created(created: bool, location: &str, body: impl Serialize) -> Response {
    if !created {
        return Json(body).into_response();
    }
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The settings of a room. Absent members stay as they are; in a new room they are as configured.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomChange {
    title: Option<String>,
    /// The number of seats beside the host's place, at most 16.
    seats: Option<u8>,
    /// Whether the room takes no new requests.
    locked: Option<bool>,
    open_seats: Option<bool>,
    host_leaves: Option<HostLeaves>,
    /// How audio and video reach WebRTC viewers who begin to watch from now on and do not choose for themselves.
    sync: Option<AvSync>,
    /// How far behind these play at least, in ms, at most 2000.
    playout_delay_ms: Option<u16>,
    timeouts: Option<TimeoutsChange>,
}

impl RoomChange {
    /// Returns `before` with the change.
    pub fn of(self, mut before: Settings) -> Settings {
        let settings = &mut before;
        set(&mut settings.title, self.title);
        set(&mut settings.seats, self.seats);
        set(&mut settings.locked, self.locked);
        set(&mut settings.open_seats, self.open_seats);
        set(&mut settings.host_leaves, self.host_leaves.map(Into::into));
        set(&mut settings.sync, self.sync.map(Into::into));
        set(&mut settings.playout_delay_ms, self.playout_delay_ms);
        self.timeouts.unwrap_or_default().apply(&mut settings.timeouts);
        before
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// A room to create, and its settings.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewRoom {
    room: String,
    /// The settings, which are read in a second step, so that unknown members are refused.
    #[serde(flatten)]
    #[schema(value_type = RoomChange)]
    settings: serde_json::Map<String, Value>,
}

/// Creates a room that lives until it is ended. The same call again finds the room.
#[utoipa::path(post, path = "/api/v1/rooms", tag = "rooms", request_body = NewRoom,
    responses((status = 201, body = RoomState, description = "Created."), (status = 200, body = RoomState, description = "The room was there, with these settings."),
        (status = 400), (status = 401), (status = 403), (status = 409), (status = 422), (status = 429)))]
pub async fn create(State(api): State<Api>, sender: Sender, request: Request) -> Result<Response, Problem> {
    // The token comes before the body, so that a stranger is not waited for.
    let claims = api.gate.claims(sender.shown())?;
    if claims.as_ref().is_some_and(|claims| claims.authority() != Authority::Admin) {
        let detail = "Only an admin creates rooms. A host's room begins when the host publishes or joins.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let Body(new) = Body::<NewRoom>::from_request(request, &api).await?;
    // It is asked again, because the body may have taken long.
    let claims = api.gate.claims(sender.shown())?;
    let change: RoomChange = serde_json::from_value(Value::Object(new.settings)).map_err(|error| malformed(&error))?;
    let room = room_name(&new.room)?;
    if let Some(claims) = claims {
        claims.must_cover(&room)?;
    }
    let is_new = api.rooms.open(&room, change.of(api.rooms.defaults().clone()))?;
    let state = api.rooms.room(&room).map(|(state, _)| state);
    Ok(created(is_new, &format!("/api/v1/rooms/{room}"), state.as_deref()))
}

/// Changes the settings of a room. Absent members stay as they are.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path)), request_body = RoomChange,
    responses((status = 200, body = RoomState), (status = 400), (status = 401), (status = 403), (status = 404),
        (status = 409, description = "Somebody is on a seat that would go."), (status = 422)))]
pub async fn configure(
    State(api): State<Api>,
    caller: Caller,
    Body(change): Body<RoomChange>,
) -> Result<Response, Problem> {
    api.rooms.configure(&caller.room, caller.by()?, |before| change.of(before))?;
    let state = api.rooms.room(&caller.room).map(|(state, _)| state);
    Ok(Json(state.as_deref()).into_response())
}

/// Ends a room. Everybody on mic is sent away, and everybody connected is told.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
pub async fn end(State(api): State<Api>, caller: Caller) -> Result<StatusCode, Problem> {
    let by = caller.by()?.clone();
    api.rooms.apply(Input::End { room: caller.room, by })?;
    Ok(StatusCode::NO_CONTENT)
}

/// The people of a room, or as many of them as one answer has.
#[derive(Serialize, ToSchema)]
pub struct Persons {
    persons: Vec<wire::Person>,
    /// The `after` of the request for those who follow; absent if nobody follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    next: Option<String>,
}

/// Lists the people in the room by id, for its host and admins. Whoever wants all asks again with `next` as `after`.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/persons", tag = "rooms", params(("room" = String, Path), PageQuery),
    responses((status = 200, body = Persons), (status = 401), (status = 403), (status = 404), (status = 422), (status = 429)))]
pub async fn persons(State(api): State<Api>, caller: Caller, page: Page) -> Result<Json<Persons>, Problem> {
    let mut persons = api.rooms.persons(&caller.room, caller.by()?, page.part())?;
    let next = page.cut(&mut persons, |person| person.person.as_str());
    Ok(Json(Persons { persons: persons.iter().map(wire::person).collect(), next }))
}

/// Sends somebody out of the room: their connections end, and what they publish and watch in it. They may come back.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/persons/{person}", tag = "rooms", params(("room" = String, Path), ("person" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 422), (status = 429)))]
pub async fn kick(State(api): State<Api>, caller: Caller, Of(person): Of<String>) -> Result<StatusCode, Problem> {
    caller.done(&api, WireCommand::Kick { person }).await
}

/// Those who are banned from a room, or as many of them as one answer has.
#[derive(Serialize, ToSchema)]
pub struct Bans {
    bans: Vec<wire::BanState>,
    /// The `after` of the request for those who follow; absent if nobody follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    next: Option<String>,
}

/// Lists the bans of the room by the id of the person, for its host and admins. Whoever wants all asks again with `next` as
/// `after`.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/bans", tag = "rooms", params(("room" = String, Path), PageQuery),
    responses((status = 200, body = Bans), (status = 401), (status = 403), (status = 404), (status = 422), (status = 429)))]
pub async fn bans(State(api): State<Api>, caller: Caller, page: Page) -> Result<Json<Bans>, Problem> {
    let mut bans = api.rooms.bans(&caller.room, caller.by()?, page.part())?;
    let next = page.cut(&mut bans, |ban| &ban.person);
    Ok(Json(Bans { bans, next }))
}

/// A person to ban, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBan {
    person: String,
    /// How long, in seconds, at most ten years.
    seconds: u64,
    /// Why, for the list of bans, in at most 200 characters.
    reason: Option<String>,
}

/// Bans somebody from the room: they are sent out of it, and every claim of theirs is refused until the ban is over. A ban
/// outlives the room. Another ban of the same person takes the place of the first.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/bans", tag = "rooms", params(("room" = String, Path)), request_body = NewBan,
    responses((status = 201, body = Changed), (status = 200, body = Changed, description = "The person was banned already, and now has this ban."),
        (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429)))]
pub async fn ban(State(api): State<Api>, caller: Caller, Body(new): Body<NewBan>) -> Result<Response, Problem> {
    let NewBan { person, seconds, reason } = new;
    let location = caller.address(&format!("/bans/{person}"));
    let done = caller.command(&api, WireCommand::Ban { person, seconds, reason }).await?;
    Ok(created(done.created, &location, done.changed))
}

/// Lifts a ban.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/bans/{person}", tag = "rooms", params(("room" = String, Path), ("person" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 422), (status = 429)))]
pub async fn lift_ban(State(api): State<Api>, caller: Caller, Of(person): Of<String>) -> Result<StatusCode, Problem> {
    caller.done(&api, WireCommand::LiftBan { person }).await
}

/// A request for the mic.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeatWish {
    /// The person who wants the mic; the caller if absent.
    person: Option<String>,
    /// The seat; any seat if absent.
    seat: Option<u8>,
}

/// Asks for the mic.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/requests", tag = "rooms", params(("room" = String, Path)), request_body = SeatWish,
    responses((status = 201, body = Changed), (status = 200, body = Changed, description = "The request was there, or the person has a seat."),
        (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429)))]
pub async fn request_mic(
    State(api): State<Api>,
    caller: Caller,
    Body(SeatWish { person, seat }): Body<SeatWish>,
) -> Result<Response, Problem> {
    let done = caller.command(&api, WireCommand::RequestMic { person, seat }).await?;
    let person = done.changed.request.as_ref().map(|request| request.person.clone()).unwrap_or_default();
    Ok(created(done.created, &caller.address(&format!("/requests/{person}")), done.changed))
}

/// Takes a request back.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/requests/{person}", tag = "rooms", params(("room" = String, Path), ("person" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
pub async fn withdraw(State(api): State<Api>, caller: Caller, Of(person): Of<String>) -> Result<StatusCode, Problem> {
    caller.done(&api, WireCommand::Withdraw { person: Some(person) }).await
}

/// The seat to grant.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnySeat {
    /// The seat; if absent, the one that was asked for, or else the first free one.
    seat: Option<u8>,
}

/// Grants a request for the mic.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/requests/{person}/grant", tag = "rooms", params(("room" = String, Path), ("person" = String, Path)),
    request_body = AnySeat, responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub async fn grant(
    State(api): State<Api>,
    caller: Caller,
    Of(person): Of<String>,
    Body(AnySeat { seat }): Body<AnySeat>,
) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::Grant { person, seat }).await
}

/// Refuses somebody's request for the mic.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/requests/{person}/refuse", tag = "rooms", params(("room" = String, Path), ("person" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
pub async fn refuse(State(api): State<Api>, caller: Caller, Of(person): Of<String>) -> Result<StatusCode, Problem> {
    caller.done(&api, WireCommand::Refuse { person }).await
}

/// The person to invite, and the seat to offer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    person: String,
    /// The seat; the first free one if absent.
    seat: Option<u8>,
}

/// Offers somebody a seat.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/invitations", tag = "rooms", params(("room" = String, Path)), request_body = NewInvitation,
    responses((status = 201, body = Changed), (status = 200, body = Changed, description = "The invitation was there, or the person had asked and is granted the seat."),
        (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub async fn invite(
    State(api): State<Api>,
    caller: Caller,
    Body(NewInvitation { person, seat }): Body<NewInvitation>,
) -> Result<Response, Problem> {
    let location = caller.address(&format!("/invitations/{person}"));
    let done = caller.command(&api, WireCommand::Invite { person, seat }).await?;
    Ok(created(done.created, &location, done.changed))
}

/// Accepts the seat that was offered.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/invitations/{person}/accept", tag = "rooms", params(("room" = String, Path), ("person" = String, Path)),
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub async fn accept(State(api): State<Api>, caller: Caller, Of(person): Of<String>) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::Accept { person: Some(person) }).await
}

/// Declines the seat that was offered.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/invitations/{person}/decline", tag = "rooms", params(("room" = String, Path), ("person" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
pub async fn decline(State(api): State<Api>, caller: Caller, Of(person): Of<String>) -> Result<StatusCode, Problem> {
    caller.done(&api, WireCommand::Decline { person: Some(person) }).await
}

/// One change of a seat: its lock, what is muted of the person on it, or another seat for them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeatChange {
    locked: Option<bool>,
    audio: Option<Muting>,
    video: Option<Muting>,
    /// The seat to move to, which must be free and not locked.
    move_to: Option<u8>,
}

/// Whether audio or video is kept out of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Muting {
    Muted,
    Unmuted,
}

fn is_muted(muting: Muting) -> bool {
    muting == Muting::Muted
}

/// Locks or unlocks a seat, or mutes, unmutes or moves the person on it. A call does one of the three.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/seats/{seat}", tag = "rooms", params(("room" = String, Path), ("seat" = u8, Path)),
    request_body = SeatChange, responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub async fn change_seat(
    State(api): State<Api>,
    caller: Caller,
    Of(seat): Of<u8>,
    Body(change): Body<SeatChange>,
) -> Result<Json<Changed>, Problem> {
    let seat = seat_no(seat)?;
    let command = match change {
        SeatChange { locked: Some(locked), audio: None, video: None, move_to: None } => {
            Command::LockSeat { seat, locked }
        }
        SeatChange { locked: None, audio: None, video: None, move_to: Some(to) } => {
            Command::Move { who: Who::Seat(seat), seat: seat_no(to)? }
        }
        SeatChange { locked: None, audio, video, move_to: None } if audio.is_some() || video.is_some() => {
            Command::Mute { who: Who::Seat(seat), audio: audio.map(is_muted), video: video.map(is_muted) }
        }
        _ => return Err(unprocessable("Change one thing at a time: locked, or audio and video, or move_to.")),
    };
    Ok(Json(caller.order(&api, Order::Machine(command)).await?.changed))
}

/// Clears a seat: the person on it leaves it, or the host takes them off it.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/seats/{seat}/participant", tag = "rooms", params(("room" = String, Path), ("seat" = u8, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
pub async fn clear_seat(State(api): State<Api>, caller: Caller, Of(seat): Of<u8>) -> Result<StatusCode, Problem> {
    let command = Command::ClearSeat { seat: seat_no(seat)? };
    caller.order(&api, Order::Machine(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The reason why publishing did not work.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The reason, of which at most 200 characters are kept.
    reason: String,
}

/// Says that publishing from the granted seat did not work. The person goes back to the queue.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/seats/{seat}/failed", tag = "rooms", params(("room" = String, Path), ("seat" = u8, Path)),
    request_body = Failure, responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub async fn connect_failed(
    State(api): State<Api>,
    caller: Caller,
    Of(seat): Of<u8>,
    Body(Failure { reason }): Body<Failure>,
) -> Result<StatusCode, Problem> {
    let command = Command::ConnectFailed { who: Who::Seat(seat_no(seat)?), reason };
    caller.order(&api, Order::Machine(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Issues a fresh ticket to the person who has the seat.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/seats/{seat}/ticket", tag = "rooms", params(("room" = String, Path), ("seat" = u8, Path)),
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub async fn renew_ticket(State(api): State<Api>, caller: Caller, Of(seat): Of<u8>) -> Result<Json<Changed>, Problem> {
    Ok(Json(caller.order(&api, Order::Ticket(Who::Seat(seat_no(seat)?))).await?.changed))
}

/// A person, by id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnePerson {
    person: String,
}

/// Makes somebody else the host.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/host", tag = "rooms", params(("room" = String, Path)), request_body = OnePerson,
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub async fn hand_over(
    State(api): State<Api>,
    caller: Caller,
    Body(OnePerson { person }): Body<OnePerson>,
) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::HandOver { person }).await
}

/// A change of what is muted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteChange {
    audio: Option<Muting>,
    video: Option<Muting>,
}

/// Mutes or unmutes the host.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/host", tag = "rooms", params(("room" = String, Path)), request_body = MuteChange,
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub async fn mute_host(
    State(api): State<Api>,
    caller: Caller,
    Body(MuteChange { audio, video }): Body<MuteChange>,
) -> Result<Json<Changed>, Problem> {
    let command = Command::Mute { who: Who::Host, audio: audio.map(is_muted), video: video.map(is_muted) };
    Ok(Json(caller.order(&api, Order::Machine(command)).await?.changed))
}

/// The other room of a PK.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherRoom {
    room: String,
}

/// Proposes a PK to another room, or accepts that room's proposal.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/pk", tag = "rooms", params(("room" = String, Path)), request_body = OtherRoom,
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub async fn propose_pk(
    State(api): State<Api>,
    caller: Caller,
    Body(OtherRoom { room }): Body<OtherRoom>,
) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::ProposePk { room }).await
}

/// Accepts the proposal of another room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/pk/accept", tag = "rooms", params(("room" = String, Path)),
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404)))]
pub async fn accept_pk(State(api): State<Api>, caller: Caller) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::AcceptPk {}).await
}

/// Refuses the proposal of another room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/pk/refuse", tag = "rooms", params(("room" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
pub async fn refuse_pk(State(api): State<Api>, caller: Caller) -> Result<StatusCode, Problem> {
    caller.done(&api, WireCommand::RefusePk {}).await
}

/// Ends the PK, or takes the proposal back.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/pk", tag = "rooms", params(("room" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
pub async fn end_pk(State(api): State<Api>, caller: Caller) -> Result<StatusCode, Problem> {
    caller.done(&api, WireCommand::EndPk {}).await
}

/// Sets the places of the sources.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/layout", tag = "rooms", params(("room" = String, Path)), request_body = Layout,
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 422)))]
pub async fn set_layout(
    State(api): State<Api>,
    caller: Caller,
    Body(layout): Body<Layout>,
) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::SetLayout { layout }).await
}

/// All overlays of a program.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Overlays {
    overlays: Vec<OverlayBody>,
}

/// Sets all overlays at once.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/overlays", tag = "rooms", params(("room" = String, Path)), request_body = Overlays,
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 413), (status = 422),
        (status = 503, description = "The pictures of many other rooms are being decoded, or those of all rooms take as much memory as they may. `Retry-After` says when to try again.")))]
pub async fn set_overlays(State(api): State<Api>, caller: Caller, request: Request) -> Result<Json<Changed>, Problem> {
    // Megabytes are waited for and read only for somebody who may show them.
    api.rooms.must_direct(&caller.room, caller.by()?)?;
    let Body(Overlays { overlays }) = Body::from_request(request, &api).await?;
    caller.changed(&api, WireCommand::SetOverlays { overlays }).await
}

/// Returns the picture of an overlay as it was sent.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/overlays/{id}/image", tag = "rooms", params(("room" = String, Path), ("id" = String, Path)),
    responses((status = 200, content_type = "image/*"), (status = 401), (status = 403), (status = 404), (status = 429)))]
pub async fn overlay_image(State(api): State<Api>, watcher: Watcher, Of(id): Of<String>) -> Result<Response, Problem> {
    let image = api.rooms.image(&watcher.room, &id);
    let image = image.ok_or_else(|| Problem::not_found(format!("There is no overlay {id:?} with a picture.")))?;
    let mut response = Bytes::clone(&image.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(image.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Sets the background, the labels and the borders.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/look", tag = "rooms", params(("room" = String, Path)), request_body = LookChange,
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 422)))]
pub async fn set_look(
    State(api): State<Api>,
    caller: Caller,
    Body(change): Body<LookChange>,
) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::SetLook(change)).await
}

/// Sets how one source is shown and heard in the program.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/sources/{participant}", tag = "rooms", params(("room" = String, Path), ("participant" = String, Path)),
    request_body = SourceChange, responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 422)))]
pub async fn set_source(
    State(api): State<Api>,
    caller: Caller,
    Of(participant): Of<String>,
    Body(change): Body<SourceChange>,
) -> Result<Json<Changed>, Problem> {
    let SourceChange { gain_db, chroma_key, denoise, auto_gain, fit } = change;
    caller.changed(&api, WireCommand::SetSource { participant, gain_db, chroma_key, denoise, auto_gain, fit }).await
}

/// A message for the chat.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatBody {
    /// The text, of at most 500 characters.
    text: String,
}

/// Sends a message to everybody in the room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/chat", tag = "rooms", params(("room" = String, Path)), request_body = ChatBody,
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 422), (status = 429)))]
pub async fn chat(
    State(api): State<Api>,
    caller: Caller,
    Body(ChatBody { text }): Body<ChatBody>,
) -> Result<Json<Changed>, Problem> {
    caller.changed(&api, WireCommand::Chat { text }).await
}
