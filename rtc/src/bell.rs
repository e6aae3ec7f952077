//! Wakes a shard when there is something to read: each track that the shard reads, and each TCP connection, has a bell. The shard learns
//! which bells rang.
//!
//! A bell that rings twice before the shard looks is listed once, so the list is never longer than the number of bells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The bells that rang and were not heard yet. A shard has one belfry for tracks, and one for connections.
#[derive(Debug)]
pub(crate) struct Belfry<K> {
    rung: Mutex<Vec<Arc<Bell<K>>>>,
    notify: Notify,
}

/// The bell of one track or connection.
#[derive(Debug)]
struct Bell<K> {
    key: K,
    waiting: AtomicBool,
    belfry: Arc<Belfry<K>>,
}

impl<K> Default for Belfry<K> {
    fn default() -> Self {
        Self { rung: Mutex::default(), notify: Notify::new() }
    }
}

impl<K: Copy + Send + Sync + 'static> Belfry<K> {
    /// Makes a bell for `key`. Whatever is read is polled with it as the waker.
    pub(crate) fn bell(self: &Arc<Self>, key: K) -> Waker {
        Waker::from(Arc::new(Bell { key, waiting: AtomicBool::new(false), belfry: self.clone() }))
    }

    /// Waits until a bell has rung.
    pub(crate) async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Appends to `keys` those whose bells rang since the last call.
    pub(crate) fn take(&self, keys: &mut Vec<K>) {
        for bell in self.rung.lock().drain(..) {
            bell.waiting.store(false, Ordering::Release);
            keys.push(bell.key);
        }
    }
}

impl<K: Send + Sync + 'static> Wake for Bell<K> {
    fn wake(self: Arc<Self>) {
        if self.waiting.swap(true, Ordering::AcqRel) {
            return;
        }
        let belfry = self.belfry.clone();
        belfry.rung.lock().push(self);
        belfry.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_that_rings_twice_is_heard_once() {
        let belfry = Arc::new(Belfry::default());
        let bell = belfry.bell(7);
        bell.wake_by_ref();
        bell.wake_by_ref();
        let mut rung = Vec::new();
        belfry.take(&mut rung);
        assert_eq!(rung, [7]);
        bell.wake();
        belfry.take(&mut rung);
        assert_eq!(rung, [7, 7]);
    }
}
