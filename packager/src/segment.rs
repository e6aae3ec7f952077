//! What viewers fetch: initialisation sections, segments and their parts. Immutable.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onmic_media::{Parameters, WallTime};

use crate::chain::Chain;

/// An initialisation section (`EXT-X-MAP`).
#[derive(Debug)]
pub struct Init {
    /// Counts up within a rendition.
    pub number: u32,
    /// `ftyp` and `moov`.
    pub body: Bytes,
    /// The parameters that it was made from.
    pub parameters: Arc<Parameters>,
}

/// One CMAF chunk: `prft`, `moof`, `mdat`.
#[derive(Debug)]
pub struct Part {
    /// The duration of its samples, in decoding time.
    pub duration: Duration,
    /// Decoding can start at its first frame.
    pub independent: bool,
    /// Frames in it.
    pub samples: usize,
    /// Decoding time of its first sample.
    pub start: u64,
    /// The bytes of the file.
    pub body: Chain,
}

/// A segment: its parts, one after the other.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// The program clock at its first frame.
    pub program_date_time: WallTime,
    /// It does not continue the one before it.
    pub discontinuity: bool,
    /// There was nothing to put in it; it keeps the numbering of the renditions in step.
    pub gap: bool,
    /// Its frames come too slowly for parts: it is listed once it is complete, without parts.
    pub whole: bool,
    /// The initialisation segment that its samples need.
    pub init: Arc<Init>,
    /// Exactly the sum of its parts.
    pub duration: Duration,
    /// The number of its first part, or of the next part if it has none.
    pub first_part: u64,
    /// The pieces that it is made of. A playlist names those that [`Segment::listed`] gives.
    pub parts: Vec<Arc<Part>>,
}

impl Segment {
    /// The bytes of all parts.
    pub fn body(&self) -> Chain {
        let mut body = Chain::default();
        self.parts.iter().for_each(|part| body.append(&part.body));
        body
    }

    /// The parts that a playlist names.
    pub fn listed(&self) -> &[Arc<Part>] {
        if self.whole { &[] } else { &self.parts }
    }

    /// The listed part of this number.
    pub fn part(&self, number: u64) -> Option<&Arc<Part>> {
        self.listed().get(usize::try_from(number.checked_sub(self.first_part)?).ok()?)
    }

    /// How many they are.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.body.len()).sum()
    }

    /// Whether decoding can start at its first frame.
    pub fn independent(&self) -> bool {
        self.gap || self.parts.first().is_some_and(|part| part.independent)
    }
}
