//! Holds the settings of the program's video.

use std::time::Duration;

use crate::codec::encode::{Backend, VideoSettings};

/// Holds the settings of the program's video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The encoder that [`Backend::choose`] found.
    pub backend: Backend,
    /// The encoder's settings.
    pub encoder: VideoSettings,
    /// The bitrate in bits per second. If it is `None`, the size and frame rate decide.
    pub bitrate_bps: Option<u64>,
    /// The longest time between keyframes.
    pub keyframe_interval: Duration,
    /// The time without a new frame after which an input is shown as a placeholder.
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
