//! WHEP (draft-ietf-wish-whep): `POST /whep/ROOM` with an offer starts to watch the program.
//!
//! `/whep/ROOM/PARTICIPANT` is one source alone. `/whep/ROOM/PARTICIPANT/return` is the return feed of that
//! participant.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::post;
use tokio::time::timeout;

use onmic_http::Problem;
use onmic_media::hub::SETTLE_PATIENCE;
use onmic_media::{Action, Feed, RoomName};

use crate::body::Offer;
use crate::{Signalling, session, source_name};

pub(crate) fn router() -> Router<Signalling> {
    Router::new()
        .route("/whep/{room}", post(watch_program))
        .route("/whep/{room}/{participant}", post(watch_source))
        .route("/whep/{room}/{participant}/return", post(watch_return))
}

impl Signalling {
    async fn watch(&self, feed: Option<Arc<Feed>>, what: &str, offer: &str) -> Result<Response, Problem> {
        let not_live = || Problem::not_found(format!("{what} is not live; try again once it is"));
        let feed = feed.ok_or_else(not_live)?;
        // The feed settles first, so that its first viewers get both video and audio.
        if timeout(SETTLE_PATIENCE, feed.settled()).await != Ok(true) {
            return Err(not_live());
        }
        let answer = self.rtc.watch(offer, feed).await.map_err(session::refused)?;
        Ok(session::created(answer, &self.ice_servers))
    }
}

async fn watch_program(
    State(signalling): State<Signalling>,
    Path(room): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let room: RoomName = room.parse()?;
    signalling.admit(Action::Play(&room), &headers, &uri)?;
    signalling.watch(signalling.hub.program(&room), room.as_str(), &offer).await
}

async fn watch_source(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let name = source_name(name)?;
    signalling.admit(Action::PlaySource(&name), &headers, &uri)?;
    let feed = signalling.hub.source(&name).map(|source| source.feed().clone());
    signalling.watch(feed, &name.to_string(), &offer).await
}

async fn watch_return(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let name = source_name(name)?;
    signalling.admit(Action::PlayReturn(&name), &headers, &uri)?;
    signalling.watch(signalling.returns.return_feed(&name), name.room.as_str(), &offer).await
}
