//! Reads the JSON of clients. What is large takes milliseconds to read, so it is read on a thread that may block, one text after the
//! other: it keeps no other connection waiting, and all of it together takes one core at most.

use axum::http::{HeaderValue, StatusCode, header};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use onmic_http::Problem;

/// The most bytes that are read at once: half a millisecond of the densest JSON.
const LARGE: usize = 16 * 1024;

/// The turn to read what is large. The pictures of 16 hosts may wait for theirs (`rooms/decoder.rs`).
static TURN: Semaphore = Semaphore::const_new(1);

/// The most large texts at once, that which is read included: 200 MB of 3 MiB each.
static WAITING: Semaphore = Semaphore::const_new(64);

/// Returns what `read` returns, which reads a text of this many bytes.
pub(super) async fn read<T: Send + 'static>(
    bytes: usize,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if bytes <= LARGE {
        return Ok(read());
    }
    let waiting = WAITING.try_acquire().map_err(|_| {
        let busy = "This server reads the long messages of many others. Try again in a second.";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, busy)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    })?;
    // A task of its own waits for the turn. A connection that takes nothing does not look at what it waits for, and would keep a
    // turn that it was given from all others.
    let work = async move {
        let turn = TURN.acquire().await.expect("it is never closed");
        // The turn ends with the work, even if nobody waits for the result any more.
        let work = move || {
            let _held = (turn, waiting);
            read()
        };
        spawn_blocking(work).await
    };
    AbortOnDropHandle::new(tokio::spawn(work)).await.flatten().map_err(|error| {
        tracing::error!(%error, "the JSON of a client could not be read");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The JSON could not be read. The log says why.")
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn what_is_large_is_read_by_a_thread_that_may_block_and_what_is_not_at_once() {
        let here = thread::current().id();
        let by = |bytes| read(bytes, || thread::current().id());
        assert_eq!(by(LARGE).await.unwrap(), here);
        assert_ne!(by(LARGE + 1).await.unwrap(), here);
        let failed: Result<(), Problem> = read(LARGE + 1, || panic!("a fault of the reader")).await;
        assert_eq!(failed.unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(by(LARGE + 1).await.is_ok(), "its turn is over");
    }
}
