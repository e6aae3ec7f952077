//! WHIP (RFC 9725): `POST /whip/ROOM` or `/whip/ROOM/PARTICIPANT` with an offer starts to publish.
//!
//! Only signalling is here; the session itself lives on a shard of `rtc`.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::post;

use onmic_http::{Offer, Problem, session, token};
use onmic_media::{Action, Gate, Hub, ParticipantName, Protocol, RoomName, SourceName};
use onmic_rtc::Rtc;

/// What the routes need.
#[derive(Clone)]
pub struct Whip {
    /// Where sources are published.
    pub hub: Arc<Hub>,
    /// Who may.
    pub gate: Arc<dyn Gate>,
    /// Where sessions live.
    pub rtc: Rtc,
    /// Told to clients in `Link` headers.
    pub ice_servers: Arc<[String]>,
}

impl Whip {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/whip/{room}", post(publish_host))
            .route("/whip/{room}/{participant}", post(publish_participant))
            .with_state(self)
    }

    async fn publish(
        &self,
        name: &SourceName,
        headers: &HeaderMap,
        uri: &Uri,
        offer: &str,
    ) -> Result<Response, Problem> {
        self.gate.check(Action::Publish(name), token(headers, uri))?;
        // The offer is judged before the name is taken: a bad one must not leave a source behind.
        let plan = self.rtc.plan_publish(offer).map_err(session::refused)?;
        let publication = self.hub.publish(name, Protocol::Whip, Instant::now())?;
        let answer = self.rtc.publish(plan, publication).await.map_err(session::refused)?;
        Ok(session::created(answer, &self.ice_servers))
    }
}

async fn publish_host(
    State(whip): State<Whip>,
    Path(room): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let name = SourceName::host(room.parse::<RoomName>()?);
    whip.publish(&name, &headers, &uri, &offer).await
}

async fn publish_participant(
    State(whip): State<Whip>,
    Path((room, participant)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    Offer(offer): Offer,
) -> Result<Response, Problem> {
    let participant = participant.parse::<ParticipantName>()?;
    let name = SourceName { room: room.parse::<RoomName>()?, participant };
    whip.publish(&name, &headers, &uri, &offer).await
}
