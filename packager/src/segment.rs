//! The files that viewers fetch: initialisation sections, segments and their parts. All are immutable.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onmic_media::{Date, Parameters};

use crate::chain::Chain;

/// Is an initialisation section (`EXT-X-MAP`).
#[derive(Debug)]
pub struct Init {
    /// The number within its rendition.
    pub number: u32,
    /// The bytes: `ftyp` and `moov`.
    pub body: Bytes,
    /// The parameters that it was made from.
    pub parameters: Arc<Parameters>,
}

/// Is one CMAF chunk: `prft`, `moof`, `mdat`.
#[derive(Debug)]
pub struct Part {
    /// The duration of its samples, in decoding time.
    pub duration: Duration,
    /// Decoding can start at its first frame.
    pub independent: bool,
    /// The number of frames.
    pub samples: usize,
    /// The decoding time of its first sample, on the timeline of the program.
    pub start: u64,
    /// The bytes of the file.
    pub body: Chain,
}

/// Is a segment, which consists of its parts.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The media sequence number.
    pub msn: u64,
    /// The date of its first frame.
    pub program_date_time: Date,
    /// Whether it does not continue the one before it.
    pub discontinuity: bool,
    /// Whether it is empty, and only keeps the numbers of the renditions equal.
    pub gap: bool,
    /// Its frames come too slowly for parts: it is listed once it is complete, without parts.
    pub whole: bool,
    /// The initialisation segment that its samples need.
    pub init: Arc<Init>,
    /// The exact sum of its parts' durations.
    pub duration: Duration,
    /// The number of its first part, or of the next part if it has none.
    pub first_part: u64,
    /// The pieces that it is made of. A playlist names those that [`Segment::listed`] gives.
    pub parts: Vec<Arc<Part>>,
}

impl Segment {
    /// Returns the bytes of all parts.
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

    /// Returns the number of bytes of all parts.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.body.len()).sum()
    }

    /// Returns what keeping it costs, in bytes.
    pub fn cost(&self) -> usize {
        self.parts.iter().map(|part| part.body.cost()).sum()
    }

    /// Returns whether decoding can start at its first frame.
    pub fn independent(&self) -> bool {
        self.gap || self.parts.first().is_some_and(|part| part.independent)
    }
}
