//! Segments that left their playlists, of all streams of the node, until they are too old or too many.
//!
//! A client may ask for a segment after it was listed, for as long as the playlist is (rfc8216bis 6.2.2).

use std::sync::Arc;
use std::time::Duration;

use onmic_media::TrackKey;
use onmic_packager::Segment;

type Key = (Arc<str>, TrackKey, u64);

/// The segments that have left their playlist, shared by all streams of the node.
#[derive(Clone)]
pub(crate) struct Cache {
    segments: moka::sync::Cache<Key, Arc<Segment>>,
}

impl Cache {
    pub(crate) fn new(bytes: u64, age: Duration) -> Self {
        let segments = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &Key, segment: &Arc<Segment>| u32::try_from(segment.cost()).unwrap_or(u32::MAX))
            .time_to_live(age)
            .build();
        Self { segments }
    }

    pub(crate) fn insert(&self, stream: &str, key: TrackKey, segment: Arc<Segment>) {
        self.segments.insert((stream.into(), key, segment.msn), segment);
    }

    pub(crate) fn get(&self, stream: &str, key: TrackKey, msn: u64) -> Option<Arc<Segment>> {
        self.segments.get(&(stream.into(), key, msn))
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("segments", &self.segments.entry_count()).finish()
    }
}
