//! PCM: audio before it is encoded, for a reader that would decode a track's frames only to encode them anew. It comes
//! earlier by the codec's delay, and is not encoded twice.
//!
//! PCM is handed on beside the track, by a plain call and without a queue. A reader that taps it also reads the track:
//! frames are always there, PCM only while a mixer makes them.

use std::time::Instant;

use crate::time::{Ticks, WallTime};

/// Holds a block of stereo at 48 kHz.
#[derive(Clone, Copy, Debug)]
pub struct Pcm<'a> {
    /// The position of its first sample on the track's timeline, at 48 kHz
    /// ([`ClockRate::OPUS`](crate::ClockRate::OPUS)).
    pub pts: Ticks,
    /// The wall clock at its first sample.
    pub wall: WallTime,
    /// The arrival of the newest frame that contributed to this block.
    pub arrived: Instant,
    /// The left and the right channel, which have the same length.
    pub channels: [&'a [f32]; 2],
}

/// Takes the samples from which a track is encoded.
pub trait PcmTap: Send + Sync {
    /// Takes a block, on the mixer's thread. It may take as long as encoding the block.
    fn take(&self, pcm: Pcm<'_>);
}
