//! A simulcast layer as a further rendition of its section's video.

use std::time::Instant;

use onmic_media::Rendition;

/// A layer as a further rendition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub(super) rendition: Rendition,
    /// Whether a frame of it was published.
    pub(super) has_begun: bool,
    /// When it got its number.
    pub(super) since: Instant,
}
