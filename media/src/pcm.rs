//! Sound as it was before it was encoded, for whoever would decode a track's frames at once to encode them anew: earlier by
//! what the codec holds back, and not encoded twice.
//!
//! It goes beside the track, by a plain call and without a queue. Who taps reads the track as well: frames are what there
//! always is, and PCM is there while a mixer makes them.

use std::time::Instant;

use crate::time::{Ticks, WallTime};

/// A block of stereo at 48 kHz.
#[derive(Clone, Copy, Debug)]
pub struct Pcm<'a> {
    /// Of its first sample, on the track's timeline, at 48 kHz ([`ClockRate::OPUS`](crate::ClockRate::OPUS)).
    pub pts: Ticks,
    /// When that happened.
    pub wall: WallTime,
    /// When the newest frame came of which there is something in it.
    pub arrived: Instant,
    /// Left and right, of one length.
    pub channels: [&'a [f32]; 2],
}

/// Takes what a track is made of.
pub trait PcmTap: Send + Sync {
    /// On the mixer's thread; may take as long as encoding it.
    fn take(&self, pcm: Pcm<'_>);
}
