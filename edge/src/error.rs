//! Refusals: a status and a sentence that tells what to do.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use onmic_media::gate::Refusal;
use onmic_media::{Action, Gate};
use thiserror::Error;

/// Why a viewer does not get what it asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EdgeError {
    /// Nobody publishes there.
    #[error("nobody publishes in this room now")]
    NoSuchRoom,
    /// Never was, or is over, or too long ago.
    #[error("there is no such file, or it is too old")]
    NoSuchFile,
    /// There is something, but nothing that this way out can carry.
    #[error("{0}")]
    Unavailable(String),
    /// The query breaks the rules.
    #[error("{0}")]
    BadQuery(&'static str),
    /// What was waited for did not come.
    #[error("the stream is paused; try again")]
    TimedOut,
    /// This process is about to stop.
    #[error("this server is about to stop; try again")]
    Stopping,
    /// Not with this token.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl EdgeError {
    /// The status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoom | Self::NoSuchFile => StatusCode::NOT_FOUND,
            Self::BadQuery(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) | Self::TimedOut | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(Refusal::NotAllowed(_)) => StatusCode::FORBIDDEN,
            Self::Refused(_) => StatusCode::UNAUTHORIZED,
        }
    }
}

impl IntoResponse for EdgeError {
    fn into_response(self) -> Response {
        let mut response = problem(self.status(), &self.to_string());
        let headers = response.headers_mut();
        match &self {
            Self::Refused(Refusal::TokenMissing | Refusal::TokenInvalid(_)) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            Self::Refused(_) => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            // What is not there may be there in a second; a cache shields us from those who ask too often.
            _ => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
            }
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Problem details (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({ "status": status.as_u16(), "title": status.canonical_reason(), "detail": detail });
    let mut response = (status, body.to_string()).into_response();
    let content_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// The token a request shows: the bearer's, else the one in the query.
pub(crate) fn token<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    bearer.or_else(|| query?.split('&').find_map(|pair| pair.strip_prefix("token=")))
}

/// Asks the gate.
pub(crate) fn admit(
    gate: &dyn Gate,
    action: Action<'_>,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<(), EdgeError> {
    Ok(gate.check(action, token(headers, query))?)
}

/// Pages from anywhere may play.
pub(crate) fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = HeaderValue::from_static("ETag, Content-Length, Content-Range, Date");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

/// The answer to a preflight request.
pub(crate) async fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow_origins(headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Range"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}
