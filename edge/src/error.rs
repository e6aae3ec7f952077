//! Refusals: each is a status and a sentence that says what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use onmic_http::{Problem, Sender};
use onmic_media::feed::Unavailable;
use onmic_media::gate::Refusal;
use onmic_media::{Action, Admission, Feed, Gate, NoShare, RoomName, Spent, TooFast};
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
    /// The program has no track that this way out can carry, or the node converts or keeps as much video as it may.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The frames of the program cannot be packaged, as this sentence says.
    #[error("{0}")]
    NotPackaged(String),
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
    /// The principal asks faster than one may.
    #[error(transparent)]
    TooFast(#[from] TooFast),
    /// The gate refuses this viewer.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl EdgeError {
    /// Returns the refusal of a viewer who has waited in vain. Where no frame has ever come, nobody publishes.
    pub(crate) fn late(feed: Option<&Feed>) -> Self {
        if feed.is_some_and(Feed::has_tracks) { Self::TimedOut } else { Self::NoSuchRoom }
    }
}

impl From<EdgeError> for Problem {
    fn from(error: EdgeError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            EdgeError::Refused(refusal) => return Self::from(refusal),
            EdgeError::TooFast(why) => return Self::from(why),
            EdgeError::NoShare(why) => {
                let status = match why {
                    NoShare::Principal(..) => StatusCode::TOO_MANY_REQUESTS,
                    NoShare::Full(..) => StatusCode::SERVICE_UNAVAILABLE,
                };
                return Self::new(status, detail)
                    .with_denial(&why)
                    .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            EdgeError::NoSuchRoom | EdgeError::NoSuchFile => Self::not_found(detail),
            EdgeError::BadQuery(_) => Self::bad_request(detail),
            EdgeError::Unavailable(why) => Self::from(why),
            EdgeError::NotPackaged(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
            EdgeError::TimedOut | EdgeError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
        };
        // A missing file may exist a second later. The cache shields this server from clients that ask too often.
        problem.with_header(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"))
    }
}

impl From<Spent> for EdgeError {
    fn from(spent: Spent) -> Self {
        Unavailable::Overloaded(spent).into()
    }
}

impl IntoResponse for EdgeError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// Asks the gate whether the sender of this request may begin to watch a room, and lets whoever answers for it pay.
pub(crate) fn admit_to(gate: &dyn Gate, room: &RoomName, sender: &Sender) -> Result<(), EdgeError> {
    pay(&gate.begin(room, sender.shown())?, sender)
}

/// Asks the gate whether the sender of this request may do it, and lets whoever answers for it pay.
pub(crate) fn admit(gate: &dyn Gate, action: Action<'_>, sender: &Sender) -> Result<(), EdgeError> {
    pay(&gate.check(action, sender.shown())?, sender)
}

fn pay(admission: &Admission, sender: &Sender) -> Result<(), EdgeError> {
    sender.pay(sender.payer(admission.owner.as_ref()), 1.0)?;
    Ok(())
}
