//! Codecs and their parameters.

use crate::time::ClockRate;

/// Video or audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

impl MediaKind {
    /// "video" or "audio".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// What a payload is coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Codec {
    H264,
    H265,
    Vp8,
    Vp9,
    Av1,
    Aac,
    Opus,
}

impl Codec {
    /// The word of the API: "h264" …
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Aac => "aac",
            Self::Opus => "opus",
        }
    }

    /// Video or audio.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Aac | Self::Opus => MediaKind::Audio,
            _ => MediaKind::Video,
        }
    }
}

/// What a decoder must know before the first frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameters {
    /// Opus.
    Opus,
}

impl Parameters {
    /// The codec.
    pub fn codec(&self) -> Codec {
        Codec::Opus
    }
    /// Video or audio.
    pub fn kind(&self) -> MediaKind {
        self.codec().kind()
    }
    /// Ticks per second.
    pub fn clock_rate(&self) -> ClockRate {
        ClockRate::OPUS
    }
    /// Whether frames are reordered, if declared.
    pub fn reorders(&self) -> Option<bool> {
        None
    }
}
