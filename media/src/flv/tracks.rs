//! Which of several tracks of a kind is taken.
//!
//! It is the first one that comes. A lower one takes its place with its sequence header, because encoders number the main track 0. Where
//! the taken track ends or falls silent, another one that goes on takes its place: with the header that it began with, which is kept.

use super::*;
use bytes::Bytes;

/// A track has fallen silent when this many frames of another came since its last: 5 s of 30 fps, 3 s of AAC.
const SILENT_FRAMES: u32 = 150;

/// The most other tracks that are known.
const OTHERS_MAX: usize = 16;

/// The longest header of another track that is kept. Real ones have under 300 bytes.
const HEADER_MAX: usize = 4096;

/// What becomes of a packet of a track that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It is left out.
    Out,
    /// Its track is taken from here on, and the packet with it.
    Taken,
    /// Its track is taken from here on. It begins with this header, in place of the packet.
    Begins(Codec, Bytes),
}

/// The tracks of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracks {
    taken: Option<u8>,
    has_ended: bool,
    others: Vec<Other>,
}

#[derive(Clone, Debug)]
struct Other {
    id: u8,
    header: Option<(Codec, Bytes)>,
    /// Its frames since the last frame of the track that is taken.
    frames: u32,
}

impl Tracks {
    /// Returns the number of the track that is taken.
    pub fn taken(&self) -> Option<u8> {
        self.taken
    }

    /// Returns whether a packet of track `id` is for the track that is taken, or begins one that takes its place.
    pub fn takes(&self, kind: u8, id: u8) -> bool {
        self.taken.is_none_or(|taken| taken == id || id < taken && kind == SEQUENCE_START)
    }

    /// Notes that a packet of track `id` is taken. Metadata and the end of a sequence bring no track.
    pub fn take(&mut self, kind: u8, id: u8) {
        if is_frame(kind) || kind == SEQUENCE_START {
            self.taken = Some(id);
            self.has_ended = false;
        }
        if is_frame(kind) {
            self.others.iter_mut().for_each(|other| other.frames = 0);
        }
        self.has_ended |= kind == SEQUENCE_END;
    }

    /// Notes a packet of a track that is not taken.
    pub fn leave(&mut self, kind: u8, id: u8, codec: Codec, body: &Bytes) -> Left {
        let known = self.others.iter().position(|other| other.id == id);
        if known.is_none() && self.others.len() < OTHERS_MAX {
            self.others.push(Other { id, header: None, frames: 0 });
        }
        let Some(other) = self.others.iter_mut().find(|other| other.id == id) else { return Left::Out };
        if kind == SEQUENCE_START {
            // A copy: the message that it came in may be large.
            other.header = (body.len() <= HEADER_MAX).then(|| (codec, Bytes::copy_from_slice(body)));
        }
        other.frames += u32::from(is_frame(kind));
        if !is_frame(kind) || other.frames < SILENT_FRAMES && !self.has_ended {
            return Left::Out;
        }
        let header = other.header.clone();
        self.others.retain(|other| other.id != id);
        (self.taken, self.has_ended) = (Some(id), false);
        header.map_or(Left::Taken, |(codec, header)| Left::Begins(codec, header))
    }
}

fn is_frame(kind: u8) -> bool {
    matches!(kind, CODED_FRAMES | VIDEO_CODED_FRAMES_X)
}
