//! Wakes a shard when rings get frames: each track that the shard reads has a bell, and the shard learns which bells
//! rang.
//!
//! A bell that rings twice before the shard looks is listed once, so the list is never longer than the number of tracks
//! that the shard reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use onmic_media::TrackId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The bells that rang and were not heard yet. A shard has one belfry.
#[derive(Debug, Default)]
pub(super) struct Belfry {
    rung: Mutex<Vec<Arc<Bell>>>,
    notify: Notify,
}

/// The bell of one track that the shard reads.
#[derive(Debug)]
pub(super) struct Bell {
    track: TrackId,
    waiting: AtomicBool,
    belfry: Arc<Belfry>,
}

impl Belfry {
    /// Makes a bell for `track`. The track's reader is polled with it as the waker.
    pub(super) fn bell(self: &Arc<Self>, track: TrackId) -> Waker {
        Waker::from(Arc::new(Bell { track, waiting: AtomicBool::new(false), belfry: self.clone() }))
    }

    /// Waits until a bell has rung.
    pub(super) async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Appends to `tracks` those whose bells rang since the last call.
    pub(super) fn take(&self, tracks: &mut Vec<TrackId>) {
        for bell in self.rung.lock().drain(..) {
            bell.waiting.store(false, Ordering::Release);
            tracks.push(bell.track);
        }
    }
}

impl Wake for Bell {
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
        let track =
            onmic_media::Track::new(Arc::new(onmic_media::Parameters::Vp8(onmic_media::codec::vp8::Parameters {
                width: 0,
                height: 0,
                version: 0,
            })));
        let bell = belfry.bell(track.id());
        bell.wake_by_ref();
        bell.wake_by_ref();
        let mut tracks = Vec::new();
        belfry.take(&mut tracks);
        assert_eq!(tracks, [track.id()]);
        bell.wake();
        belfry.take(&mut tracks);
        assert_eq!(tracks.len(), 2);
    }
}
