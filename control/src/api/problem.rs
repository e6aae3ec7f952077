//! Refusals as HTTP problems: a status, a code for programs, and the sentence.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};

use onmic_http::Problem;
use onmic_media::{Denial, NoShare};
use onmic_room::{Refused, RefusedKind};

use crate::rooms::refusal::{Denied, seconds};

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let status = match &denied {
            Denied::Refused(refused) => status(refused),
            Denied::Impossible(_) | Denied::Text | Denied::Ban => StatusCode::UNPROCESSABLE_ENTITY,
            Denied::Banned(_) => StatusCode::FORBIDDEN,
            Denied::Yourself => StatusCode::CONFLICT,
            Denied::TooFast(_)
            | Denied::ConnectionsFull
            | Denied::BansFull(_)
            | Denied::Share(_)
            | Denied::NoShare(NoShare::Principal(..)) => StatusCode::TOO_MANY_REQUESTS,
            Denied::Stopping | Denied::Busy(_) | Denied::NoShare(NoShare::Full(..)) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, denied.to_string());
        let problem = match denial(&denied) {
            Some(denial) => problem.with_denial(denial),
            None => problem,
        };
        match denied {
            Denied::Refused(Refused::PkTooMany(wait)) => {
                problem.with_code(Refused::PkTooMany(wait).code()).with_header(header::RETRY_AFTER, after(wait))
            }
            Denied::Refused(refused) => problem.with_code(refused.code()),
            Denied::TooFast(wait) => problem.with_code("too-fast").with_header(header::RETRY_AFTER, after(wait)),
            Denied::ConnectionsFull => problem.with_code("connections-full"),
            Denied::NoShare(_) | Denied::Share(_) => {
                problem.with_code("too-many").with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
            }
            Denied::Busy(_) => {
                problem.with_code("busy").with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
            }
            Denied::Banned(_) => problem.with_code("banned"),
            Denied::Ban => problem.with_code("ban"),
            Denied::BansFull(_) => problem.with_code("bans-full"),
            Denied::Yourself => problem.with_code("yourself"),
            Denied::Impossible(_) | Denied::Text | Denied::Stopping => problem,
        }
    }
}

/// Returns the value of `Retry-After`.
fn after(wait: Duration) -> HeaderValue {
    HeaderValue::from_str(&seconds(wait).to_string()).unwrap_or(HeaderValue::from_static("1"))
}

/// Returns what a refusal denies, where its status alone says it less exactly.
fn denial(denied: &Denied) -> Option<Denial> {
    match denied {
        Denied::TooFast(_) => Some(Denial::TooFast),
        Denied::Banned(_) => Some(Denial::Banned),
        Denied::BansFull(_) | Denied::Busy(_) => Some(Denial::Full),
        Denied::NoShare(why) | Denied::Share(why) => Some(why.into()),
        Denied::Refused(refused) => (refused.kind() == RefusedKind::Full).then_some(Denial::Full),
        Denied::ConnectionsFull
        | Denied::Stopping
        | Denied::Yourself
        | Denied::Impossible(_)
        | Denied::Text
        | Denied::Ban => None,
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused.kind() {
        RefusedKind::NotFound => StatusCode::NOT_FOUND,
        RefusedKind::NotAllowed => StatusCode::FORBIDDEN,
        RefusedKind::Conflict => StatusCode::CONFLICT,
        RefusedKind::Full => StatusCode::TOO_MANY_REQUESTS,
        RefusedKind::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// Returns the problem of a value that is never valid (422).
pub fn unprocessable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn what_the_node_may_do_later_is_a_denial_that_says_when_to_come_back() {
        let problem = Problem::from(Denied::Busy("Many others wait.".to_owned()));
        assert_eq!(problem.denial(), Some(Denial::Full));
        let answer = problem.into_response();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::RETRY_AFTER]),
            (503, &HeaderValue::from_static("5"))
        );
    }
}
