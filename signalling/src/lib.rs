//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one protocol in two directions.
//!
//! Both take an offer and answer with the resource of a session, which is trickled to, restarted and ended in one way.
//! This crate has the signalling alone. The sessions live on the shards of `onmic_rtc`. It knows nothing of playlists
//! or the API.

mod body;
mod events;
mod ice_servers;
mod layer;
mod offers;
mod resource;
mod session;
mod whep;
mod whip;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use onmic_http::{Problem, Sender};
use onmic_media::name::Principal;
use onmic_media::{
    Action, Admission, Gate, Holder, Hub, ParticipantName, Playout, Returns, RoomName, Shares, SourceName,
};
use onmic_rtc::Rtc;

use body::ACCEPT_POST;
pub use ice_servers::{IceServers, Turn};
pub use offers::Offers;

/// The routes of WHIP and WHEP, with everything that they need.
#[derive(Clone)]
pub struct Signalling {
    /// The hub, in which sources are published, and programs and sources are found.
    pub hub: Arc<Hub>,
    /// Makes return feeds.
    pub returns: Arc<dyn Returns>,
    /// Decides which clients may publish and watch.
    pub gate: Arc<dyn Gate>,
    /// How fast each principal may send offers.
    pub offers: Arc<Offers>,
    /// The WebRTC server, which runs the sessions.
    pub rtc: Rtc,
    /// Returns how the viewers of a room play who do not choose for themselves.
    pub playout: Arc<dyn Fn(&RoomName) -> Playout + Send + Sync>,
    /// Returns whether somebody has this place on mic, so that there may be a return feed for it.
    pub has_place: Arc<dyn Fn(&SourceName) -> bool + Send + Sync>,
    /// The ICE servers that clients get in `Link` headers.
    pub ice_servers: IceServers,
    /// How many streams of events one principal may have open.
    pub event_streams: Arc<Shares>,
}

impl Signalling {
    /// Makes the routes.
    pub fn router(self) -> Router {
        let (rtc, shares) = (self.rtc.clone(), self.event_streams.clone());
        let events = events::Events { rtc: rtc.clone(), shares };
        whip::router().merge(whep::router()).with_state(self).merge(session::router(rtc, events))
    }

    /// Lets the sender of a probe in.
    fn admit(&self, action: Action<'_>, sender: &Sender) -> Result<(), Problem> {
        let admission = self.gate.check(action, sender.shown())?;
        sender.pay(sender.payer(admission.owner.as_ref()), 1.0)?;
        Ok(())
    }

    /// Lets the sender of an offer in. The session ends with the permit of the holder.
    fn open(&self, action: Action<'_>, sender: Sender) -> Result<(Admission, Comer), Problem> {
        let (admission, permit) = self.gate.open(action, sender.shown())?;
        let counted = sender.payer(admission.owner.as_ref());
        sender.pay(counted.clone(), 1.0)?;
        let who = admission.principal(sender.network);
        Ok((admission, Comer { holder: Holder { who, permit }, counted }))
    }
}

/// The sender of an offer, who was let in.
struct Comer {
    holder: Holder,
    /// Who answers for the rate of offers. `None` if everybody may be behind the address.
    counted: Option<Principal>,
}

/// Names the media type of offers in answers to `OPTIONS` of an endpoint (RFC 9725 4.2), which a layer for cross-origin
/// access gives before a route sees the request. So this has to stand before that layer.
pub async fn name_offers(request: Request, next: Next) -> Response {
    let is_endpoint = ["/whip/", "/whep/"].iter().any(|endpoints| request.uri().path().starts_with(endpoints));
    let is_asked = is_endpoint && request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if is_asked {
        response.headers_mut().insert(ACCEPT_POST, HeaderValue::from_static(body::SDP));
    }
    response
}

/// Answers a `HEAD` of an endpoint, of a sender that may use it: it takes offers, and these are the ICE servers to gather candidates by.
fn accepts_offers(ice_servers: &IceServers) -> Response {
    let mut response = (StatusCode::OK, about_offers()).into_response();
    ice_servers.state(response.headers_mut(), Instant::now());
    response
}

/// Answers a `GET` of an endpoint, which has no representation (RFC 9725 4.1).
async fn no_representation() -> Response {
    (StatusCode::NO_CONTENT, about_offers()).into_response()
}

fn about_offers() -> [(HeaderName, HeaderValue); 2] {
    let no_store = HeaderValue::from_static("no-store");
    [(ACCEPT_POST, HeaderValue::from_static(body::SDP)), (header::CACHE_CONTROL, no_store)]
}

fn source_name((room, participant): (String, String)) -> Result<SourceName, Problem> {
    Ok(SourceName { room: room.parse::<RoomName>()?, participant: participant.parse::<ParticipantName>()? })
}
