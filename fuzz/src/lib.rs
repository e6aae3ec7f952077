//! What targets of conversations share: their input taken apart, and the track that frames end on.

pub mod pair;

use std::time::{Duration, Instant, UNIX_EPOCH};

use onmic_media::codec::nal;
use onmic_media::{Arrival, Codec, Hub, NodeClock, Protocol, Publication};

/// The input of a target, taken from its front. Whatever it is, it means something.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// The next two bytes.
    pub fn number(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    /// Bytes after 16 bits of length, or as many as there are.
    pub fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.number()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

/// A publisher's place in a hub of its own.
pub struct Sink {
    publication: Publication,
    _hub: std::sync::Arc<Hub>,
}

impl Sink {
    /// For a publisher that began at `now`.
    pub fn new(now: Instant) -> Self {
        let clock = NodeClock::new(now, UNIX_EPOCH + Duration::from_secs(1_795_000_000));
        let hub = Hub::new(clock, Default::default(), None);
        let name = "room".parse().expect("a name");
        let publication = hub.publish(&name, Protocol::Rtmp, now).expect("the first publisher");
        Self { publication, _hub: hub }
    }

    /// What is promised of every frame, and the frame on its track.
    pub fn push(&mut self, arrival: Arrival, now: Instant) {
        assert!(!arrival.payload.is_empty());
        if matches!(arrival.parameters.codec(), Codec::H264 | Codec::H265) {
            assert_eq!(nal::check(&arrival.payload, 4), Ok(()));
        }
        self.publication.push(arrival, now).expect("the only publisher");
    }
}
