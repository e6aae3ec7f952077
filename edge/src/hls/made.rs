//! Something that is made of a text at most once, whoever asks for it and leaves.

use std::sync::OnceLock;

use onmic_media::life::guarded;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

/// The most threads that make something at once. What else may block, such as the opening of codecs, waits for none of it.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// A value that is made for the first who asks, and shared by all.
#[derive(Debug)]
pub(crate) struct Made<T>(OnceLock<watch::Receiver<Option<T>>>);

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T: Clone + Send + Sync + 'static> Made<T> {
    /// Returns it. `make` is called by the first who asks. If it takes `long`, a thread that may block calls it, and goes on when
    /// those leave who wait.
    pub(crate) async fn get(&self, long: bool, make: impl FnOnce() -> T + Clone + Send + 'static) -> T {
        let begin = || {
            let (made, receiver) = watch::channel(None);
            let make = make.clone();
            let work = move || drop(made.send_replace(Some(make())));
            if long {
                // It ends with the value, for which its readers wait.
                tokio::spawn(async move {
                    let _place = AT_ONCE.acquire().await;
                    let _ = spawn_blocking(|| guarded("playlist", work)).await;
                });
            } else {
                work();
            }
            receiver
        };
        let mut made = self.0.get_or_init(begin).clone();
        let made = made.wait_for(Option::is_some).await.ok().and_then(|made| made.clone());
        made.unwrap_or_else(make) // The runtime is being shut down.
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;

    #[test]
    fn what_takes_long_is_made_once_on_a_thread_that_may_block_although_those_who_ask_leave() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (free, held) = std::sync::mpsc::channel::<()>();
            let holds = spawn_blocking(move || held.recv());
            let (made, times) = (Arc::new(Made::default()), Arc::new(AtomicUsize::new(0)));
            let make = {
                let times = times.clone();
                move || times.fetch_add(1, Ordering::Relaxed) + 1
            };
            for _ in 0..100 {
                let mut asked = pin!(made.get(true, make.clone()));
                assert!(
                    poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_pending())).await,
                    "it waits for the thread"
                );
                tokio::task::yield_now().await; // Whoever asked leaves.
            }
            let stays = tokio::spawn({
                let (made, make) = (made.clone(), make.clone());
                async move { made.get(true, make).await }
            });
            drop(free);
            assert!(holds.await.unwrap().is_err());
            assert_eq!(stays.await.unwrap(), 1);
            assert_eq!(made.get(true, make).await, 1);
            assert_eq!(times.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn what_is_short_is_made_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let made = Made::default();
        let value = runtime.block_on(async {
            let mut asked = pin!(made.get(false, || 7));
            poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await
        });
        assert_eq!(value, Poll::Ready(7));
        assert_eq!(runtime.block_on(made.get(false, || 8)), 7, "and once");
    }
}
