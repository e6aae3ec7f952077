//! The names of a viewer's streams, which tell its player whether to keep audio and video in step.
//!
//! A receiver keeps streams of one canonical name in step (RFC 3550 6.5.1), so with [`AvSync::PictureFirst`] the audio has
//! another one. Chromium and its kin go by the name of the media stream instead. That is the same for all tracks in
//! both cases, because many players show the media stream of the first track that comes. What keeps these from delaying
//! the video is the playout delay of its packets ([`crate::rtp::Sender`]).

use onmic_media::{AvSync, MediaKind, Playout};

/// The names of one viewer's streams.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    playout: Playout,
    name: String,
    audio: String,
}

impl Streams {
    /// Makes names that no other viewer has.
    pub(crate) fn random(playout: Playout) -> Self {
        Self::named(&format!("{:016x}", rand::random::<u64>()), playout)
    }

    pub(crate) fn named(name: &str, playout: impl Into<Playout>) -> Self {
        let playout = playout.into();
        let audio = match playout.sync {
            AvSync::LipSync => name.to_owned(),
            AvSync::PictureFirst => format!("{name}-audio"),
        };
        Self { playout, name: name.to_owned(), audio }
    }

    pub(crate) fn playout(&self) -> Playout {
        self.playout
    }

    /// Returns the canonical name of the streams of a kind.
    pub(crate) fn cname(&self, kind: MediaKind) -> &str {
        match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video | MediaKind::Data => &self.name,
        }
    }

    /// Returns the name of the media stream that all tracks are in.
    pub(crate) fn media_stream(&self) -> &str {
        &self.name
    }
}
