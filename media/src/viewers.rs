//! Counts the viewers of a feed, by protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Names the protocol by which a viewer watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerKind {
    /// A WebRTC viewer.
    Whep,
    /// An LL-HLS viewer. The count is an estimate, because a CDN may stand between.
    Hls,
    /// An HTTP-FLV viewer.
    Flv,
    /// An RTMP player.
    Rtmp,
}

impl ViewerKind {
    /// Lists all kinds, in the order of the API.
    pub const ALL: [Self; 4] = [Self::Whep, Self::Hls, Self::Flv, Self::Rtmp];

    /// Returns the word for the API and the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whep => "whep",
            Self::Hls => "hls",
            Self::Flv => "flv",
            Self::Rtmp => "rtmp",
        }
    }
}

/// Holds the counters of one feed.
#[derive(Debug, Default)]
pub struct Viewers {
    counts: [AtomicUsize; ViewerKind::ALL.len()],
}

impl Viewers {
    /// Counts one more until the guard is dropped.
    pub fn join(self: &Arc<Self>, kind: ViewerKind) -> Viewing {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        Viewing { viewers: self.clone(), kind }
    }

    /// States the number of a kind that is estimated rather than counted.
    pub fn estimate(&self, kind: ViewerKind, count: usize) {
        self.counts[kind as usize].store(count, Ordering::Relaxed);
    }

    /// Returns how many viewers watch by this protocol.
    pub fn count(&self, kind: ViewerKind) -> usize {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }
}

/// Counts as one viewer while it lives.
#[derive(Debug)]
pub struct Viewing {
    viewers: Arc<Viewers>,
    kind: ViewerKind,
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.viewers.counts[self.kind as usize].fetch_sub(1, Ordering::Relaxed);
    }
}
