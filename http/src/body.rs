//! Small bodies: each is read whole, within a limit and a deadline, or refused as a problem.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;

/// The time that any body may take to arrive. Most fit a few packets, so a client that takes longer holds a connection for nothing.
const ARRIVAL: Duration = Duration::from_secs(10);

/// A body may take one second more for each of these bytes that have come. 32 KiB/s is a quarter of a megabit per second, and by HTTP/2 a
/// round trip of 4 s. The largest body, 3 MiB of overlays, then has 106 s in all.
const BYTES_PER_SECOND: u64 = 32 << 10;

/// Reads the body of `request`. Refuses with 415 if it is compressed, 413 above the route's limit, and 408 if it comes too slowly.
pub async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    must_be_plain(request.headers())?;
    let (began, arrived) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let counted = request.map(|body| Body::new(Counted { body, arrived: arrived.clone() }));
    let mut reading = pin!(Bytes::from_request(counted, state));
    let read = loop {
        let deadline = began + allowed(arrived.load(Ordering::Relaxed));
        match timeout_at(deadline, reading.as_mut()).await {
            Ok(read) => break read,
            Err(_) if allowed(arrived.load(Ordering::Relaxed)) > began.elapsed() => {}
            Err(_) => {
                let detail = format!(
                    "The body comes too slowly. It may take {ARRIVAL:?}, and a second more for each {BYTES_PER_SECOND} bytes of it."
                );
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
            }
        }
    };
    read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
        status => Problem::new(status, "The body did not arrive completely."),
    })
}

/// Refuses a body that is compressed (RFC 9110 8.4, 15.5.16). Those that are read here are small, and limits count what they hold.
fn must_be_plain(headers: &HeaderMap) -> Result<(), Problem> {
    const IDENTITY: &str = "identity";
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(IDENTITY.as_bytes())) {
        return Ok(());
    }
    let detail = "the body is compressed, which is not read here; send it as it is, without Content-Encoding";
    let refused = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    Err(refused.with_header(header::ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY)))
}

/// Returns how long a body may take of which this many bytes have come.
fn allowed(arrived: u64) -> Duration {
    ARRIVAL + Duration::from_millis(arrived * 1000 / BYTES_PER_SECOND)
}

/// A body whose bytes are counted as they come.
struct Counted {
    body: Body,
    arrived: Arc<AtomicU64>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.arrived.fetch_add(data.map_or(0, |data| data.len() as u64), Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::extract::DefaultBodyLimit;
    use axum::response::IntoResponse;
    use futures::{StreamExt, stream};
    use tokio::time::sleep;

    use super::*;

    async fn status(body: Body, limit: usize) -> Result<Bytes, StatusCode> {
        let mut request = Request::new(body);
        DefaultBodyLimit::max(limit).apply(&mut request);
        read(request, &()).await.map_err(|problem| problem.status())
    }

    /// Returns a body of pieces of this size, one each second.
    fn coming(pieces: usize, size: usize) -> Body {
        let piece = move |_| async move {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; size]))
        };
        Body::from_stream(stream::iter(0..pieces).then(piece))
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_read_whole() {
        assert_eq!(status(Body::from("1234"), 4).await, Ok(Bytes::from("1234")));
        assert_eq!(status(Body::from("12345"), 4).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused_with_what_is_taken() {
        for (coding, taken) in [("gzip", false), ("identity, br", false), ("Identity", true), ("", true)] {
            let request = Request::post("/").header(header::CONTENT_ENCODING, coding).body(Body::from("12")).unwrap();
            let refused = match read(request, &()).await {
                Ok(body) => {
                    assert!(taken && body == "12", "{coding}");
                    continue;
                }
                Err(refused) => refused.into_response(),
            };
            assert!(!taken, "{coding}");
            assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding}");
            assert_eq!(refused.headers()[header::ACCEPT_ENCODING], "identity");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_refused_after_a_time() {
        let began = Instant::now();
        let silent = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
        assert_eq!(status(silent, 4).await, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(began.elapsed().as_secs(), ARRIVAL.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_has_the_time_that_its_bytes_take_and_one_that_trickles_has_not() {
        let (limit, began) = (3 << 20, Instant::now());
        // A window of HTTP/2 for each round trip of 3 s.
        assert_eq!(status(coming(72, 43_690), limit).await.map(|body| body.len()), Ok(72 * 43_690));
        assert_eq!(began.elapsed().as_secs(), 72);
        let began = Instant::now();
        assert_eq!(status(coming(1_000, 1), limit).await, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(began.elapsed().as_secs(), ARRIVAL.as_secs());
    }
}
