//! How the program's video is encoded.

use std::time::Duration;

use crate::codec::encode::{Backend, VideoSettings};

/// How the program's video is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What encodes, as [`Backend::choose`] found it.
    pub backend: Backend,
    /// The encoder's settings.
    pub encoder: VideoSettings,
    /// Bits per second; without it the size and frame rate decide.
    pub bitrate_bps: Option<u64>,
    /// A keyframe at least this often.
    pub keyframe_interval: Duration,
    /// An input whose picture has not changed for this long is shown as a placeholder.
    pub stale_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backend: Backend::X264,
            encoder: VideoSettings::default(),
            bitrate_bps: None,
            keyframe_interval: Duration::from_secs(2),
            stale_after: Duration::from_secs(3),
        }
    }
}
