//! A level: one quality of a feed's video, which a viewer may have in place of another.
//!
//! The levels of a feed are the renditions that its publisher makes. All show the same pictures at the same times. A viewer, a playlist
//! and a log name a level by the key of its track.

use std::cmp::Reverse;
use std::time::Instant;

use super::Feed;
use crate::key::{MediaKind, TrackKey};
use crate::track::Track;

/// One quality of a feed's video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The key of its track.
    pub key: TrackKey,
    /// The size as it is shown, in pixels: width and height. `None` where the codec's header does not state it.
    pub size: Option<(u32, u32)>,
    /// The frames per second.
    pub frame_rate: f64,
    /// The payload bits per second.
    pub bitrate_bps: u64,
}

impl Level {
    /// Returns the level of a track as it is now. `None` if it has no video, or no frame yet.
    fn of(track: &Track, now: Instant) -> Option<Self> {
        let measured = track.measured(now);
        let has_picture = track.kind() == MediaKind::Video && measured.frames > 0 && !track.is_ended();
        has_picture.then(|| Self {
            key: track.key(),
            size: track.parameters().shown_size(),
            frame_rate: measured.frame_rate,
            bitrate_bps: measured.bitrate_bps,
        })
    }

    fn pixels(&self) -> u64 {
        self.size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
    }
}

impl Feed {
    /// Returns the levels of its video that have frames, the best first: by their pixels, then by their bitrate.
    pub fn levels(&self, now: Instant) -> Vec<Level> {
        let mut levels: Vec<_> = self.originals().iter().filter_map(|track| Level::of(track, now)).collect();
        levels.sort_by_key(|level| (Reverse((level.pixels(), level.bitrate_bps)), level.key));
        levels
    }
}
