//! Refusals: each is a status and a sentence that says what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use onmic_http::{Problem, Sender};
use onmic_media::feed::{OVERLOADED_FOR, Unavailable};
use onmic_media::gate::Refusal;
use onmic_media::{Action, Denial, Feed, Gate, NoShare, Spent};
use thiserror::Error;

/// Why a viewer does not get what it asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EdgeError {
    /// No source is published in the room.
    #[error("nobody publishes in this room now")]
    NoSuchRoom,
    /// The file never existed, or was evicted.
    #[error("there is no such file, or it is too old")]
    NoSuchFile,
    /// The program has no track that this way out can carry.
    #[error("{0}")]
    Unavailable(String),
    /// The node converts or keeps as much video as it may.
    #[error(transparent)]
    Overloaded(#[from] Spent),
    /// The query breaks the rules of delivery directives.
    #[error("{0}")]
    BadQuery(&'static str),
    /// The awaited part or program did not come in time.
    #[error("the stream is paused; try again")]
    TimedOut,
    /// This process is about to stop.
    #[error("this server is about to stop; try again")]
    Stopping,
    /// The principal has as many of these as one may have.
    #[error(transparent)]
    NoShare(#[from] NoShare),
    /// The gate refuses this viewer.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl EdgeError {
    /// Returns the refusal of a viewer who has waited in vain. Where no frame has ever come, nobody publishes.
    pub(crate) fn late(feed: Option<&Feed>) -> Self {
        if feed.is_some_and(Feed::has_tracks) { Self::TimedOut } else { Self::NoSuchRoom }
    }

    /// Returns the HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoom | Self::NoSuchFile => StatusCode::NOT_FOUND,
            Self::BadQuery(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) | Self::Overloaded(_) | Self::TimedOut | Self::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NoShare(NoShare::Principal(..)) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoShare(NoShare::Full(..)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(Refusal::NotAllowed(_) | Refusal::Banned(_)) => StatusCode::FORBIDDEN,
            Self::Refused(Refusal::TokenMissing | Refusal::TokenInvalid(_)) => StatusCode::UNAUTHORIZED,
        }
    }
}

impl From<EdgeError> for Problem {
    fn from(error: EdgeError) -> Self {
        let status = error.status();
        let problem = match &error {
            EdgeError::Refused(refusal) => return Self::from(refusal.clone()),
            EdgeError::NoShare(why) => {
                return Self::new(status, why.to_string())
                    .with_denial(why)
                    .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            EdgeError::Overloaded(_) => Self::new(status, error.to_string()).with_denial(Denial::Full),
            EdgeError::Unavailable(_) => Self::new(status, error.to_string()).without_denial(),
            _ => Self::new(status, error.to_string()),
        };
        // A missing file may exist a second later. The cache shields this server from clients that ask too often.
        let problem = problem.with_header(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
        match error {
            EdgeError::Overloaded(_) => problem.with_header(header::RETRY_AFTER, OVERLOADED_FOR.as_secs().into()),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                problem.with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => problem,
        }
    }
}

impl From<Unavailable> for EdgeError {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Overloaded(spent) => Self::Overloaded(spent),
            refused => Self::Unavailable(refused.to_string()),
        }
    }
}

impl IntoResponse for EdgeError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// Asks the gate whether the sender of this request may do it.
pub(crate) fn admit(gate: &dyn Gate, action: Action<'_>, sender: &Sender) -> Result<(), EdgeError> {
    gate.check(action, sender.shown())?;
    Ok(())
}
