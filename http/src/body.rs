//! Small bodies: each is read whole, within a limit and a deadline, or refused as a problem.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use tokio::time::timeout;

use crate::problem::Problem;

/// The longest time for a body to arrive. A body fits a few packets, so a client that takes longer
/// holds a connection for nothing.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Reads the body of `request`. Refuses with 413 above the route's limit, and 408 if it does not
/// arrive in time.
pub async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, format!("The body did not arrive within {ARRIVAL:?}."));
    let arrived = timeout(ARRIVAL, Bytes::from_request(request, state)).await.map_err(late)?;
    arrived.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
        status => Problem::new(status, "The body did not arrive completely."),
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::DefaultBodyLimit;

    use super::*;

    async fn status(body: Body) -> Result<Bytes, StatusCode> {
        let mut request = Request::new(body);
        DefaultBodyLimit::max(4).apply(&mut request);
        read(request, &()).await.map_err(|problem| problem.status())
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_read_whole() {
        assert_eq!(status(Body::from("1234")).await, Ok(Bytes::from("1234")));
        assert_eq!(status(Body::from("12345")).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_refused_after_a_time() {
        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(status(silent).await, Err(StatusCode::REQUEST_TIMEOUT));
    }
}
