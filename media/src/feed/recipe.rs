//! Names the conversions that a deriver makes of a track.

use super::Accept;
use crate::codec::Codec;
use crate::key::{MediaKind, Rendition, TrackKey};

/// Names a conversion of a track. Its output is widely decoded, and its keyframes come as often as viewers need them: at least
/// every two seconds, or when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// H.264 without reordered frames, from any video.
    H264,
    /// VP8, from any video, for browsers without H.264: Firefox has it only once it has fetched OpenH264.
    Vp8,
    /// A rung of the ladder: H.264 without reordered frames, smaller than the main video, with keyframes wherever that has one.
    Rung(Rendition),
    /// Opus, from any audio.
    Opus,
    /// AAC, from any audio.
    Aac,
}

impl Recipe {
    /// Returns the codec that it yields.
    pub const fn codec(self) -> Codec {
        match self {
            Self::H264 | Self::Rung(_) => Codec::H264,
            Self::Vp8 => Codec::Vp8,
            Self::Opus => Codec::Opus,
            Self::Aac => Codec::Aac,
        }
    }

    /// Returns the conversions that a viewer of this key can take, the best first.
    pub(super) fn for_viewer(key: TrackKey, accept: Accept<'_>) -> impl Iterator<Item = Self> {
        let recipes = match key.kind {
            _ if key.is_rung() => [Some(Self::Rung(key.rendition)), None],
            MediaKind::Video => [Some(Self::H264), Some(Self::Vp8)],
            MediaKind::Audio => [Some(Self::Opus), Some(Self::Aac)],
            MediaKind::Data => [None, None],
        };
        recipes.into_iter().flatten().filter(move |recipe| accept.codecs.contains(&recipe.codec()))
    }
}
