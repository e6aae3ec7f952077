//! Answers that take long to render. One is rendered at a time, on a thread that may take long, and shared by all who asked
//! before it began. So the cost of such a route is that of one thread, however many ask, and however many of them leave before they
//! are answered: the lock goes with the rendering, not with the one who asked for it.

use std::sync::Arc;
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
    newest: Arc<Mutex<Option<Rendered>>>,
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
        let mut newest = self.newest.clone().lock_owned().await;
        if let Some(rendered) = newest.as_ref().filter(|rendered| rendered.begun >= asked) {
            return Ok(rendered.bytes.clone());
        }
        let begun = Instant::now();
        let rendering = move || {
            let bytes = render();
            *newest = Some(Rendered { begun, bytes: bytes.clone() });
            bytes
        };
        spawn_blocking(rendering).await.map_err(|error| {
            tracing::error!(%error, "an answer cannot be rendered");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be rendered; the log says why")
        })
    }
}

#[cfg(test)]
mod tests {
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
    async fn a_rendering_whose_caller_has_left_is_the_only_one_until_it_ends() {
        let shared = OneAtATime::default();
        let (begin, begun) = sync_channel::<()>(0);
        let (open, gate) = sync_channel::<()>(0);
        {
            let mut left = std::pin::pin!(shared.get(move || {
                begin.send(()).unwrap();
                gate.recv().unwrap();
                Bytes::from_static(b"unheard")
            }));
            assert!(futures::poll!(&mut left).is_pending());
        }
        begun.recv().unwrap();
        let mut next = std::pin::pin!(shared.get(|| Bytes::from_static(b"heard")));
        assert!(futures::poll!(&mut next).is_pending());
        assert!(shared.newest.try_lock().is_err(), "the first one still goes on");
        open.send(()).unwrap();
        assert_eq!(next.await.unwrap(), "heard", "it began after they asked");
    }

    #[tokio::test]
    async fn a_rendering_that_fails_costs_its_own_answer() {
        let shared = OneAtATime::default();
        let failed = shared.get(|| panic!("a test of what a panic does")).await;
        assert_eq!(failed.unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(shared.get(|| Bytes::from_static(b"text")).await.unwrap(), "text");
    }
}
