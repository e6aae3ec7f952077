//! Audio before it is encoded, for a reader that would decode a track's frames only to encode them anew. It comes
//! earlier, by the codec's delay, and is not encoded twice.
//!
//! It goes beside the track, by a plain call and without a queue. A reader that taps reads the track as well: frames
//! are always there, PCM only while a mixer makes them.

use std::time::Instant;

use crate::time::{Ticks, WallTime};

/// A block of stereo at 48 kHz.
#[derive(Clone, Copy, Debug)]
pub struct Pcm<'a> {
    /// The position of its first sample on the track's timeline, at 48 kHz
    /// ([`ClockRate::OPUS`](crate::ClockRate::OPUS)).
    pub pts: Ticks,
    /// The wall clock at its first sample.
    pub wall: WallTime,
    /// The arrival of the newest frame that contributed to this block.
    pub arrived: Instant,
    /// Left and right, of one length.
    pub channels: [&'a [f32]; 2],
}

/// Takes the samples that a track is made of.
pub trait PcmTap: Send + Sync {
    /// Takes a block on the mixer's thread. May take as long as encoding it.
    fn take(&self, pcm: Pcm<'_>);
}
