//! What is refused, as problems.

use axum::http::{HeaderValue, StatusCode, header};

use onmic_http::Problem;
use onmic_room::{Refused, RefusedKind};

use super::look::Impossible;

/// 422: a value that can never be.
pub fn unprocessable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// 429, with how long to wait.
pub fn too_fast(wait: std::time::Duration) -> Problem {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let detail = format!("You are faster than the room can follow. Wait {seconds} s, then go on.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).with_code("too-fast").with_header(
        header::RETRY_AFTER,
        HeaderValue::from_str(&seconds.to_string()).unwrap_or(HeaderValue::from_static("1")),
    )
}

/// A refusal of the machine, as a problem.
pub fn refused(refused: &Refused) -> Problem {
    let status = match refused.kind() {
        RefusedKind::NotFound => StatusCode::NOT_FOUND,
        RefusedKind::NotAllowed => StatusCode::FORBIDDEN,
        RefusedKind::Conflict => StatusCode::CONFLICT,
        RefusedKind::Full => StatusCode::TOO_MANY_REQUESTS,
        RefusedKind::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, refused.to_string()).with_code(refused.code())
}

/// A look that cannot be, as a problem.
pub fn impossible(impossible: &Impossible) -> Problem {
    unprocessable(impossible.to_string())
}
