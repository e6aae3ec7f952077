//! The parts of a call of the REST routes: the caller, the part of the room that the address names, and the body.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use onmic_http::{Problem, Sender};
use onmic_media::gate::Refusal;
use onmic_media::name::Principal;
use onmic_media::{Ending, Permit};
use onmic_room::{Actor, RoomName};

use super::commands::{WireCommand, malformed};
use super::{Api, doing, json};
use crate::claims::Claims;
use crate::rooms::event::Changed;
use crate::rooms::order::{Done, Order};
use crate::rooms::rate::Doing;

/// The caller, and the room that they call.
pub struct Caller {
    pub room: RoomName,
    by: Actor,
    /// Who answers for the call, if anybody has to.
    who: Option<Principal>,
    /// The right to call. It may be lost while the body comes, which may take minutes, and while pictures wait to be decoded.
    permit: Permit,
}

/// Whoever may watch a room, and asks for something of it: a guest, too.
pub struct Watcher {
    pub room: RoomName,
}

/// Returns the room that an address names, what is shown for it, who answers for the call, and the right to it.
async fn shown(parts: &mut Parts, api: &Api) -> Result<(RoomName, Option<Claims>, Option<Principal>, Permit), Problem> {
    let params = RawPathParams::from_request_parts(parts, api).await;
    let room = params
        .ok()
        .and_then(|params| params.iter().find(|(name, _)| *name == "room").map(|(_, room)| room.parse::<RoomName>()));
    let room = room.ok_or_else(|| Problem::bad_request("the address names no room"))??;
    let Ok(sender) = Sender::from_request_parts(parts, api).await;
    let (claims, permit) = api.gate.enter(&room, sender.shown())?;
    let who = claims.as_ref().and_then(|claims| claims.answers(&room, sender.counted()));
    if let Some(who) = &who {
        sender.pay(sender.payer(Some(who)), 1.0)?; // Pictures of overlays are large, and cost by their bytes.
    }
    Ok((room, claims, who, permit))
}

impl FromRequestParts<Api> for Watcher {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let (room, _, who, _) = shown(parts, api).await?;
        api.keep_rate(who.as_ref(), Doing::Request)?;
        Ok(Self { room })
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let (room, claims, who, permit) = shown(parts, api).await?;
        let by = claims.map_or(Ok(Actor::admin()), |claims| claims.actor())?;
        api.keep_rate(who.as_ref(), Doing::Request)?;
        parts.extensions.insert(Answering(who.clone()));
        Ok(Self { room, by, who, permit })
    }
}

/// The part of a room that an address names, such as a seat or a person.
pub struct Of<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Of<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Path((_, named)) = Path::<(String, T)>::from_request_parts(parts, api).await.map_err(|rejection| {
            Problem::not_found(format!("This address names no part of a room: {}.", rejection.body_text()))
        })?;
        Ok(Self(named))
    }
}

/// Who answers for a request that a [`Caller`] was made of, if anybody has to.
#[derive(Clone)]
struct Answering(Option<Principal>);

/// A JSON body. An absent one counts as an empty object. To read a large one costs more than to obey it, so it pays by its bytes, as a
/// message over the WebSocket does.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let who = request.extensions().get().and_then(|Answering(who)| who.clone());
        let bytes = onmic_http::body::read(request, api).await?;
        let length = bytes.len();
        api.keep_rate(who.as_ref(), Doing::Body(length))?;
        let read = move || serde_json::from_slice(if bytes.is_empty() { b"{}" } else { &bytes });
        json::read(length, read).await?.map(Self).map_err(|error| malformed(&error))
    }
}

impl Caller {
    /// Returns who calls, unless they have lost the right to since they began.
    pub(super) fn by(&self) -> Result<&Actor, Problem> {
        self.permit.ended().map_or(Ok(&self.by), |why| Err(refusal(why).into()))
    }

    /// Carries out an order of the caller.
    pub(super) async fn order(&self, api: &Api, order: Order) -> Result<Done, Problem> {
        let (by, does) = (self.by()?, doing(&order));
        tokio::select! {
            biased;
            done = api.carry_out(self.who.as_ref(), does, api.rooms.order(&self.room, by, order)) => Ok(done?),
            why = self.permit.end() => Err(refusal(why).into()),
        }
    }

    /// Carries out a command of the caller, as over the WebSocket.
    pub(super) async fn command(&self, api: &Api, command: WireCommand) -> Result<Done, Problem> {
        self.order(api, command.order(&self.by)?).await
    }

    /// Carries out a command. Answers 200 with what has changed.
    pub(super) async fn changed(&self, api: &Api, command: WireCommand) -> Result<Json<Changed>, Problem> {
        Ok(Json(self.command(api, command).await?.changed))
    }

    /// Carries out a command. Answers 204.
    pub(super) async fn done(&self, api: &Api, command: WireCommand) -> Result<StatusCode, Problem> {
        self.command(api, command).await.map(|_| StatusCode::NO_CONTENT)
    }

    /// Returns the address of a part of the caller's room.
    pub(super) fn address(&self, rest: &str) -> String {
        format!("/api/v1/rooms/{}{rest}", self.room)
    }
}

/// Returns why somebody is refused who has lost the right to call.
fn refusal(why: Ending) -> Refusal {
    let sentence = why.to_string();
    match why {
        Ending::Expired => Refusal::TokenInvalid(sentence),
        Ending::PlaceLost | Ending::Removed => Refusal::NotAllowed(sentence),
        Ending::Banned => Refusal::Banned(sentence),
    }
}
