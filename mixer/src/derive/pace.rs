//! Decides which decoded frames are encoded while a deriver is too slow for all of them.
//!
//! Frames are left out one by one, so that viewers see a lower frame rate and not a video that stands still. How far a
//! frame is behind is the measure: it says what the machine has left for this track, whatever decoding and encoding cost.

use std::time::Duration;

use onmic_media::time::{ClockRate, Ticks};

/// However far it is behind, a frame is encoded after this time: four frames per second still look like motion.
const APART_MAX: Duration = Duration::from_millis(250);

/// Chooses the frames of one track.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Up to this lag every frame is encoded.
    behind_max: Duration,
    last: Option<Ticks>,
    left_out: u64,
}

impl Pace {
    /// Makes a pace that leaves out frames while they are behind by more than `behind_max`.
    pub(crate) fn new(behind_max: Duration) -> Self {
        Self { behind_max, last: None, left_out: 0 }
    }

    /// Returns whether to encode the frame of this presentation time, which is behind by `lag`.
    pub(crate) fn takes(&mut self, pts: Ticks, lag: Duration) -> bool {
        let since = self.last.map(|last| (pts - last).duration(ClockRate::VIDEO));
        let takes = lag <= self.behind_max || since.is_none_or(|since| since >= APART_MAX);
        if takes {
            self.last = Some(pts);
        } else {
            self.left_out += 1;
        }
        takes
    }

    /// Returns how many frames were left out since the last call.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}
