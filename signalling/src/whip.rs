//! WHIP (RFC 9725): `POST /whip/ROOM` or `/whip/ROOM/PARTICIPANT` with an offer starts to publish. `HEAD` tells whether an
//! offer would be read, and changes nothing.

use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use axum::routing::post;

use onmic_http::{Problem, Sender};
use onmic_media::{Action, Protocol, SourceName};

use crate::body::Offer;
use crate::{Comer, Signalling, accepts_offers, no_representation, session, source_name};

pub(crate) fn router() -> Router<Signalling> {
    Router::new()
        .route("/whip/{room}", post(publish_host).head(probe_host).get(no_representation))
        .route("/whip/{room}/{participant}", post(publish_participant).head(probe_participant).get(no_representation))
}

impl Signalling {
    async fn publish(&self, name: &SourceName, sender: Sender, request: Request) -> Result<Response, Problem> {
        let (admission, Comer { holder, counted }) = self.open(Action::Publish(name), sender)?;
        self.offers.publish(counted.as_ref(), Instant::now())?;
        let Offer(offer) = &Offer::from_request(request, &()).await?;
        // Whatever may refuse the offer is asked before the name is taken, so that one that is refused leaves nothing behind.
        let plan = self.rtc.plan_publish(offer).map_err(session::refused)?;
        self.hub.may_publish(name, Protocol::Whip, Instant::now())?;
        let place = self.rtc.reserve_for_publisher(holder).await.map_err(session::refused)?;
        let publication = self.hub.publish(name, admission.by(Protocol::Whip), Instant::now())?;
        let answer = self.rtc.publish_in(place, plan, publication).await.map_err(session::refused)?;
        Ok(session::created(answer, &self.ice_servers))
    }
}

async fn publish_host(
    State(signalling): State<Signalling>,
    Path(room): Path<String>,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let name = SourceName::host(room.parse()?);
    signalling.publish(&name, sender, request).await
}

async fn publish_participant(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    signalling.publish(&source_name(name)?, sender, request).await
}

async fn probe_host(
    State(signalling): State<Signalling>,
    Path(room): Path<String>,
    sender: Sender,
) -> Result<Response, Problem> {
    signalling.admit(Action::Publish(&SourceName::host(room.parse()?)), &sender)?;
    Ok(accepts_offers(&signalling.ice_servers))
}

async fn probe_participant(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    sender: Sender,
) -> Result<Response, Problem> {
    signalling.admit(Action::Publish(&source_name(name)?), &sender)?;
    Ok(accepts_offers(&signalling.ice_servers))
}
