//! Answers that take long to render. One is rendered at a time, on a thread that may take long, and shared by all who asked
//! before it began. So the cost of such a route is that of one thread, however many ask.

use std::time::Instant;

use axum::body::Bytes;
use axum::http::StatusCode;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::Problem;

/// The newest rendering of one answer.
#[derive(Debug, Default)]
pub struct OneAtATime {
    // The lock is the queue of those who wait for a rendering, so it is held while one is made.
    newest: Mutex<Option<Rendered>>,
}

#[derive(Debug)]
struct Rendered {
    begun: Instant,
    bytes: Bytes,
}

impl OneAtATime {
    /// Returns what `render` returned after the moment of this call, to this caller or another one.
    pub async fn get(&self, render: impl FnOnce() -> Bytes + Send + 'static) -> Result<Bytes, Problem> {
        let asked = Instant::now();
        let mut newest = self.newest.lock().await;
        if let Some(rendered) = newest.as_ref().filter(|rendered| rendered.begun >= asked) {
            return Ok(rendered.bytes.clone());
        }
        let begun = Instant::now();
        let bytes = spawn_blocking(render).await.map_err(|error| {
            tracing::error!(%error, "an answer cannot be rendered");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be rendered; the log says why")
        })?;
        *newest = Some(Rendered { begun, bytes: bytes.clone() });
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[tokio::test]
    async fn all_who_ask_during_a_rendering_share_the_next_one() {
        let (shared, renderings) = (Arc::new(OneAtATime::default()), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = sync_channel::<()>(0);
        let count = renderings.clone();
        let first = shared.get(move || {
            let _ = gate.recv();
            Bytes::from(count.fetch_add(1, Ordering::Relaxed).to_string())
        });
        let others = futures::future::join_all((0..50).map(|_| {
            let count = renderings.clone();
            shared.get(move || Bytes::from(count.fetch_add(1, Ordering::Relaxed).to_string()))
        }));
        let opened = async { drop(open) };
        let (first, others, ()) = tokio::join!(first, others, opened);
        assert_eq!(first.unwrap(), "0");
        assert!(others.into_iter().all(|other| other.unwrap() == "1"), "they asked after the first one began");
        let count = renderings.clone();
        let later = shared.get(move || Bytes::from(count.fetch_add(1, Ordering::Relaxed).to_string()));
        assert_eq!(later.await.unwrap(), "2", "an old rendering answers nobody");
    }

    #[tokio::test]
    async fn a_rendering_that_fails_costs_its_own_answer() {
        let shared = OneAtATime::default();
        let failed = shared.get(|| panic!("a test of what a panic does")).await;
        assert_eq!(failed.unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(shared.get(|| Bytes::from_static(b"text")).await.unwrap(), "text");
    }
}
