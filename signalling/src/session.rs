//! The resource of an RTC session: the part that WHIP (RFC 9725) and WHEP share once the offer was answered.
//!
//! `Location: /sessions/ID`. PATCH carries trickled candidates and ICE restarts. DELETE ends the session. A player that
//! gives WHEP up states why in `?reason=`, which is counted. A PATCH without `If-Match` is taken, though RFC 9725 4.3.1 would
//! refuse it with 428: many clients trickle without it, and nothing that they send can harm a later ICE session.

use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::patch;
use metrics::counter;

use onmic_http::Problem;
use onmic_http::etag::{Verdict, judge, preconditions};
use onmic_media::Denial;
use onmic_media::metric::{GivenUp, WHEP_GIVEN_UP};
use onmic_rtc::session::{Answer, PatchRefused, Patched, SessionId};
use onmic_rtc::{NoPlace, OfferRefused, Rtc};

use crate::IceServers;
use crate::body::{ACCEPT_PATCH, FRAGMENT, Fragment, SDP};

/// Makes the routes of the resource.
pub fn router(rtc: Rtc) -> Router {
    Router::new().route("/sessions/{id}", patch(change).delete(end).get(look)).with_state(rtc)
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
    let id: SessionId = id.parse().map_err(|_| no_session())?;
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
    let id: SessionId = id.parse().map_err(|_| no_session())?;
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
    let id: SessionId = id.parse().map_err(|_| no_session())?;
    must_be(&rtc, id).await.map(|()| StatusCode::NO_CONTENT)
}

/// Requires that there is such a session.
async fn must_be(rtc: &Rtc, id: SessionId) -> Result<(), Problem> {
    // A fragment without a line changes nothing.
    rtc.patch(id, Box::new(|_| true), "").await.map(|_| ()).map_err(|refused| patch_problem(&refused))
}

fn patch_problem(refused: &PatchRefused) -> Problem {
    let detail = refused.to_string();
    match refused {
        PatchRefused::NoSession => Problem::not_found(detail),
        PatchRefused::Outdated(_) => Problem::new(StatusCode::PRECONDITION_FAILED, detail),
        PatchRefused::Malformed(_) => Problem::bad_request(detail),
    }
}

fn no_session() -> Problem {
    Problem::not_found(PatchRefused::NoSession.to_string())
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
