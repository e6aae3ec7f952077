//! The resource of an RTC session: the part that WHIP (RFC 9725) and WHEP share once the offer was answered.
//!
//! `Location: /sessions/ID`. PATCH carries trickled candidates and ICE restarts. DELETE ends the session. A player that
//! gives WHEP up states why in `?reason=`, which is counted. The extensions of WHEP are under it (`layer`, `events`). A PATCH without `If-Match` is taken, though RFC 9725 4.3.1 would
//! refuse it with 428: many clients trickle without it, and nothing that they send can harm a later ICE session.

use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use metrics::counter;

use onmic_http::Problem;
use onmic_http::etag::{Verdict, judge, preconditions};
use onmic_media::Denial;
use onmic_media::metric::{GivenUp, WHEP_GIVEN_UP};
use onmic_rtc::session::{Answer, Patched};
use onmic_rtc::{NoPlace, OfferRefused, Rtc};

use crate::body::{ACCEPT_PATCH, FRAGMENT, Fragment, SDP};
use crate::events::{self, Events};
use crate::resource::{insert, must_be, no_session, parse, patch_problem};
use crate::{IceServers, layer};

/// Makes the routes of the resource, and of what is under it.
pub fn router(rtc: Rtc, events: Events) -> Router {
    let of_events = Router::new()
        .route("/sessions/{id}/sse", post(events::subscribe))
        .route("/sessions/{id}/sse/{events}", get(events::listen))
        .with_state(events);
    Router::new()
        .route("/sessions/{id}", patch(change).delete(end).get(look))
        .route("/sessions/{id}/layer", post(layer::choose))
        .with_state(rtc)
        .merge(of_events)
}

/// Answers 201 with the SDP answer, its resource, and the ICE servers to use.
pub fn created(answer: Answer, ice_servers: &IceServers) -> Response {
    let mut response = (StatusCode::CREATED, answer.sdp).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    insert(headers, header::LOCATION, &format!("/sessions/{}", answer.session));
    insert(headers, header::ETAG, &quoted(&answer.etag));
    ice_servers.state(headers, Instant::now());
    response
}

/// Answers a viewer in the same way, with the extensions that its session has.
pub fn watched(answer: Answer, ice_servers: &IceServers) -> Response {
    let session = answer.session;
    let mut response = created(answer, ice_servers);
    let events = events::names();
    let links = [
        format!("</sessions/{session}/layer>; rel=\"{}\"", layer::REL),
        format!("</sessions/{session}/sse>; rel=\"{}\"; events=\"{events}\"", events::REL),
    ];
    let links = links.iter().filter_map(|link| HeaderValue::from_str(link).ok());
    response.headers_mut().extend(links.map(|link| (header::LINK, link)));
    response
}

/// Counts a player that has to do without WHEP.
pub fn given_up(reason: GivenUp) {
    counter!(WHEP_GIVEN_UP, "reason" => reason.name()).increment(1);
}

/// Answers an offer that was refused.
pub fn refused(refused: OfferRefused) -> Problem {
    let detail = refused.to_string();
    match refused {
        OfferRefused::Malformed(_) => Problem::bad_request(detail),
        OfferRefused::NothingInCommon { have, .. } => Problem::new(StatusCode::NOT_ACCEPTABLE, detail).with_have(have),
        OfferRefused::NoPlace(why) => {
            let (status, denial) = match why {
                NoPlace::Full => (StatusCode::SERVICE_UNAVAILABLE, Denial::Full),
                NoPlace::Share(_) => (StatusCode::TOO_MANY_REQUESTS, Denial::Share),
            };
            Problem::new(status, detail)
                .with_denial(denial)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
        }
        OfferRefused::Unavailable(unavailable) => unavailable.into(),
        OfferRefused::Stopping => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail),
    }
}

async fn change(
    State(rtc): State<Rtc>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let id = parse(&id)?;
    must_be(&rtc, id).await?; // The id is what admits the sender, so it is checked before the body.
    let Fragment(fragment) = Fragment::from_request(request, &()).await?;
    let preconditions = preconditions(&headers);
    let is_met = move |etag: &str| {
        HeaderValue::from_str(&quoted(etag)).is_ok_and(|etag| judge(&preconditions, &etag) == Verdict::Met)
    };
    match rtc.patch(id, Box::new(is_met), &fragment).await {
        Ok(Patched::Noted) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Patched::Restarted { fragment, etag }) => {
            let mut response = (StatusCode::OK, fragment).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            insert(response.headers_mut(), header::ETAG, &quoted(&etag));
            Ok(response)
        }
        Err(refused) => Err(patch_problem(&refused)),
    }
}

async fn end(State(rtc): State<Rtc>, Path(id): Path<String>, uri: Uri) -> Result<StatusCode, Problem> {
    let id = parse(&id)?;
    if !rtc.close(id).await {
        return Err(no_session());
    }
    let mut members = uri.query().unwrap_or_default().split('&');
    if let Some(reason) = members.find_map(|member| member.strip_prefix("reason=")) {
        given_up(GivenUp::named(reason));
    }
    Ok(StatusCode::OK)
}

/// Answers a `GET`: a session has no representation (RFC 9725 4.1).
async fn look(State(rtc): State<Rtc>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = parse(&id)?;
    must_be(&rtc, id).await.map(|()| StatusCode::NO_CONTENT)
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}
