//! The address of a session's resource, and the answers that all that is under it share.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use onmic_http::Problem;
use onmic_rtc::Rtc;
use onmic_rtc::session::{PatchRefused, SessionId};

/// Reads the id of a session in an address.
pub fn parse(id: &str) -> Result<SessionId, Problem> {
    id.parse().map_err(|_| no_session())
}

/// Requires that there is such a session.
pub async fn must_be(rtc: &Rtc, id: SessionId) -> Result<(), Problem> {
    // A fragment without a line changes nothing.
    rtc.patch(id, Box::new(|_| true), "").await.map(|_| ()).map_err(|refused| patch_problem(&refused))
}

/// Answers a PATCH that was refused.
pub fn patch_problem(refused: &PatchRefused) -> Problem {
    let detail = refused.to_string();
    match refused {
        PatchRefused::NoSession => Problem::not_found(detail),
        PatchRefused::Outdated(_) => Problem::new(StatusCode::PRECONDITION_FAILED, detail),
        PatchRefused::Malformed(_) => Problem::bad_request(detail),
    }
}

/// Answers where there is no such session.
pub fn no_session() -> Problem {
    Problem::not_found(PatchRefused::NoSession.to_string())
}

/// Adds a header, whose value has nothing that a header cannot have.
pub fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
