//! WHEP (draft-ietf-wish-whep): `POST /whep/ROOM` with an offer starts to watch the program.
//!
//! `/whep/ROOM/PARTICIPANT` is one source alone, `/whep/ROOM/PARTICIPANT/return` what that participant hears and sees. Only signalling is here; the session lives on a shard of `rtc`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::post;
use tokio::time::timeout;

use onmic_http::{Offer, Problem, session, token};
use onmic_media::{Action, Feed, Gate, Hub, ParticipantName, Returns, RoomName, SourceName, Stage};
use onmic_rtc::Rtc;

/// A source that has just begun is waited for this long, so that its first viewers get picture and sound.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the routes need.
#[derive(Clone)]
pub struct Whep {
    /// Where programs and sources are found.
    pub hub: Arc<Hub>,
    /// Who makes return feeds.
    pub returns: Arc<dyn Returns>,
    /// Who may watch.
    pub gate: Arc<dyn Gate>,
    /// Where sessions live.
    pub rtc: Rtc,
    /// Told to clients in `Link` headers.
    pub ice_servers: Arc<[String]>,
}

impl Whep {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/whep/{room}", post(watch_program))
            .route("/whep/{room}/{participant}", post(watch_source))
            .route("/whep/{room}/{participant}/return", post(watch_return))
            .with_state(self)
    }

    async fn watch(&self, feed: Option<Arc<Feed>>, what: &str, offer: &str) -> Result<Response, Problem> {
        let not_live = || Problem::not_found(format!("{what} is not live; try again once it is"));
        let feed = feed.ok_or_else(not_live)?;
        let mut stages = feed.stages();
        let settled = stages.wait_for(|stage| *stage >= Stage::Settled);
        let stage = timeout(SETTLE_TIMEOUT, settled).await.ok().and_then(Result::ok).map(|stage| *stage);
        if stage != Some(Stage::Settled) {
            return Err(not_live());
        }
        let answer = self.rtc.watch(offer, feed).await.map_err(session::refused)?;
        Ok(session::created(answer, &self.ice_servers))
    }
}

async fn watch_program(
    State(whep): State<Whep>,
    Path(room): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let room: RoomName = room.parse()?;
    whep.gate.check(Action::Play(&room), token(&headers, &uri))?;
    whep.watch(whep.hub.program(&room), room.as_str(), &offer).await
}

async fn watch_source(
    State(whep): State<Whep>,
    Path((room, participant)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let name = source_name(&room, &participant)?;
    whep.gate.check(Action::PlaySource(&name), token(&headers, &uri))?;
    let feed = whep.hub.source(&name).map(|source| source.feed().clone());
    whep.watch(feed, &name.to_string(), &offer).await
}

async fn watch_return(
    State(whep): State<Whep>,
    Path((room, participant)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let name = source_name(&room, &participant)?;
    whep.gate.check(Action::PlayReturn(&name), token(&headers, &uri))?;
    let returns = whep.returns.clone();
    whep.watch(returns.return_feed(&name), room.as_str(), &offer).await
}

fn source_name(room: &str, participant: &str) -> Result<SourceName, Problem> {
    Ok(SourceName { room: room.parse::<RoomName>()?, participant: participant.parse::<ParticipantName>()? })
}
