//! Who watches a feed, counted by how.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The protocol by which somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerKind {
    /// A WebRTC viewer.
    Whep,
    /// LL-HLS; an estimate, because a CDN may stand between.
    Hls,
    /// An HTTP-FLV viewer.
    Flv,
    /// An RTMP player.
    Rtmp,
}

impl ViewerKind {
    /// All kinds, in the order of the API.
    pub const ALL: [Self; 4] = [Self::Whep, Self::Hls, Self::Flv, Self::Rtmp];

    /// The word of the API and the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whep => "whep",
            Self::Hls => "hls",
            Self::Flv => "flv",
            Self::Rtmp => "rtmp",
        }
    }
}

/// Counters of one feed.
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

    /// How many watch in this way.
    pub fn count(&self, kind: ViewerKind) -> usize {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }
}

/// One viewer, while it lives.
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
