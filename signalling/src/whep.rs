//! WHEP (draft-ietf-wish-whep): `POST /whep/ROOM` with an offer starts to watch the program.
//!
//! `/whep/ROOM/PARTICIPANT` is one source alone. `/whep/ROOM/PARTICIPANT/return` is the return feed of that
//! participant.
//!
//! `?sync=lip-sync` or `?sync=picture-first` chooses how audio and video are timed for this viewer. Without it the room's
//! setting counts. `?playout_delay=400` asks the viewer's player to play 400 ms behind at least, in the same way. The answer states
//! the delay in `Onmic-Playout-Delay`.
//!
//! The session has two extensions, which `Link` headers of the answer name: `layer` chooses the level of the video, and `sse` tells
//! what changes (draft-murillo-whep-02).
//!
//! Where nobody publishes, the answer is 409 with `Retry-After`: the endpoint exists for every name, and what it needs
//! is not there yet. `HEAD` asks for the same without an offer, and changes nothing.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::post;
use tokio::time::timeout;

use onmic_http::{Problem, Sender};
use onmic_media::feed::Unavailable;
use onmic_media::hub::SETTLE_PATIENCE;
use onmic_media::metric::GivenUp;
use onmic_media::name::{InvalidAvSync, InvalidPlayoutDelay};
use onmic_media::{Action, Feed, Playout, RoomName};
use onmic_rtc::OfferRefused;

use crate::body::Offer;
use crate::{Comer, IceServers, Signalling, accepts_offers, no_representation, session, source_name};

pub(crate) fn router() -> Router<Signalling> {
    Router::new()
        .route("/whep/{room}", post(watch_program).head(probe_program).get(no_representation))
        .route("/whep/{room}/{participant}", post(watch_source).head(probe_source).get(no_representation))
        .route("/whep/{room}/{participant}/return", post(watch_return).head(probe_return).get(no_representation))
}

/// The time after which a client should ask again for what nobody publishes, in seconds: publishers take a few to begin.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Answers a probe: an offer is taken once a frame of the feed has come. An offer itself may wait for the first frame.
fn probed(feed: Option<Arc<Feed>>, what: &str, ice_servers: &IceServers) -> Result<Response, Problem> {
    feed.filter(|feed| feed.has_tracks()).map(|_| accepts_offers(ice_servers)).ok_or_else(|| not_live(what))
}

/// Answers 409: nobody publishes what was asked for. A player asks again and again, and is denied nothing by that.
fn not_live(what: &str) -> Problem {
    let detail = format!("{what} is not live; try again once it is");
    Problem::new(StatusCode::CONFLICT, detail).without_denial().with_header(header::RETRY_AFTER, RETRY_AFTER)
}

/// States the delay of playout, in ms. The packets of video state it to the receiver as well, but those of audio have no place for
/// it. A player that delays audio by itself has both in step from the start; without that a browser takes some 15 s.
const PLAYOUT_DELAY: HeaderName = HeaderName::from_static("onmic-playout-delay");

fn with_delay(mut response: Response, delay_ms: u16) -> Response {
    if delay_ms > 0 {
        response.headers_mut().insert(PLAYOUT_DELAY, delay_ms.into());
    }
    response
}

impl Signalling {
    async fn watch(
        &self,
        feed: Option<Arc<Feed>>,
        what: &str,
        (playout, Comer { holder, counted }): (Playout, Comer),
        offer: &str,
    ) -> Result<Response, Problem> {
        let feed = feed.ok_or_else(|| not_live(what))?;
        // The feed settles first, so that its first viewers get both video and audio.
        if timeout(SETTLE_PATIENCE, feed.settled()).await != Ok(true) {
            return Err(not_live(what));
        }
        // A player that waits for a publisher asks again and again. That costs little until there is something to watch.
        self.offers.watch(counted.as_ref(), Instant::now())?;
        match self.rtc.watch(offer, feed, playout, holder).await {
            Ok(answer) => Ok(with_delay(session::watched(answer, &self.ice_servers), playout.delay_ms)),
            Err(OfferRefused::Unavailable(Unavailable::NoTrack(_))) => Err(not_live(what)), // It has just ended.
            Err(refused) => {
                if matches!(refused, OfferRefused::NothingInCommon { .. }) {
                    session::given_up(GivenUp::NoCodec);
                }
                Err(session::refused(refused))
            }
        }
    }

    /// Returns how a viewer of `room` plays: as it asks in its address, or else as the room is set.
    fn playout_of(&self, room: &RoomName, uri: &Uri) -> Result<Playout, Problem> {
        asked_playout((self.playout)(room), uri)
    }

    /// Returns the same for a return feed. Whoever is on mic talks with others, so the delay of the room is not for them.
    fn playout_of_return(&self, room: &RoomName, uri: &Uri) -> Result<Playout, Problem> {
        asked_playout((self.playout)(room).sync.into(), uri)
    }
}

/// Returns `playout` with what the address of a viewer asks for.
fn asked_playout(mut playout: Playout, uri: &Uri) -> Result<Playout, Problem> {
    let asked = |name: &str| uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if let Some(sync) = asked("sync") {
        playout.sync = sync.parse().map_err(|invalid: InvalidAvSync| Problem::bad_request(invalid.to_string()))?;
    }
    if let Some(delay) = asked("playout_delay") {
        let invalid = |invalid: InvalidPlayoutDelay| Problem::bad_request(invalid.to_string());
        playout.delay_ms = Playout::parse_delay(delay).map_err(invalid)?;
    }
    Ok(playout)
}

async fn watch_program(
    State(signalling): State<Signalling>,
    Path(room): Path<String>,
    uri: Uri,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let room: RoomName = room.parse()?;
    let (_, comer) = signalling.open(Action::Play(&room), sender)?;
    let Offer(offer) = Offer::from_request(request, &()).await?;
    let playout = signalling.playout_of(&room, &uri)?;
    signalling.watch(signalling.hub.program(&room), room.as_str(), (playout, comer), &offer).await
}

async fn watch_source(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    uri: Uri,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let name = source_name(name)?;
    let (_, comer) = signalling.open(Action::PlaySource(&name), sender)?;
    let Offer(offer) = Offer::from_request(request, &()).await?;
    let playout = signalling.playout_of(&name.room, &uri)?;
    let feed = signalling.hub.source(&name).map(|source| source.feed().clone());
    signalling.watch(feed, &name.to_string(), (playout, comer), &offer).await
}

async fn watch_return(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    uri: Uri,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let name = source_name(name)?;
    let (_, comer) = signalling.open(Action::PlayReturn(&name), sender)?;
    let Offer(offer) = Offer::from_request(request, &()).await?;
    let playout = signalling.playout_of_return(&name.room, &uri)?;
    // Nothing is made for an offer that cannot be read, nor for somebody who is not on mic.
    signalling.rtc.check_offer(&offer).map_err(session::refused)?;
    if !(signalling.has_place)(&name) {
        return Err(not_live(&name.to_string()));
    }
    signalling.watch(signalling.returns.return_feed(&name), name.room.as_str(), (playout, comer), &offer).await
}

async fn probe_program(
    State(signalling): State<Signalling>,
    Path(room): Path<String>,
    sender: Sender,
) -> Result<Response, Problem> {
    let room: RoomName = room.parse()?;
    signalling.admit(Action::Play(&room), &sender)?;
    probed(signalling.hub.program(&room), room.as_str(), &signalling.ice_servers)
}

async fn probe_source(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    sender: Sender,
) -> Result<Response, Problem> {
    let name = source_name(name)?;
    signalling.admit(Action::PlaySource(&name), &sender)?;
    let feed = signalling.hub.source(&name).map(|source| source.feed().clone());
    probed(feed, &name.to_string(), &signalling.ice_servers)
}

async fn probe_return(
    State(signalling): State<Signalling>,
    Path(name): Path<(String, String)>,
    sender: Sender,
) -> Result<Response, Problem> {
    let name = source_name(name)?;
    signalling.admit(Action::PlayReturn(&name), &sender)?;
    // The feed itself is made for viewers alone.
    let source = signalling.hub.source(&name);
    source.map(|_| accepts_offers(&signalling.ice_servers)).ok_or_else(|| not_live(&name.to_string()))
}
