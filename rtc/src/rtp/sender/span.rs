//! A run of packets that one viewer was sent without a gap, and how its numbers and timestamps follow from the track's.

use std::time::Duration;

use onmic_media::Ticks;

use super::CATCH_UP_SPEED;
use crate::rtp::outgoing::Packets;
use crate::rtp::red::Redundancy;

/// Timestamps of the backlog stay this far behind the newest frame's, so that a live frame that comes a little early
/// does not get a smaller timestamp than the frame before it.
pub(super) const LEVEL: Duration = Duration::from_millis(20);

/// A run of packets sent without a gap. The packet `viewer + n` on the wire is the packet `shared + n` of the track.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) viewer: u64,
    pub(super) shared: u64,
    pub(super) catch_up: CatchUp,
    /// The offset that [`Sender::resume`](super::Sender) adds to every timestamp.
    pub(super) rebase: u32,
    /// Which earlier packets an audio packet repeats. A change begins a span, because a packet that is sent again has the bytes
    /// of the first time.
    pub(super) redundancy: Redundancy,
    /// Which of the tracks that the viewer has watched its packets are of.
    pub(super) generation: u8,
}

impl Span {
    /// Returns the number on the wire of a packet of the track.
    pub(super) fn on_wire(&self, shared: u64) -> u64 {
        self.viewer + (shared - self.shared)
    }

    /// Returns the timestamp of a frame, without the viewer's offset.
    pub(super) fn timestamp(&self, frame: &Packets) -> u32 {
        frame.timestamp.wrapping_add(self.rebase).wrapping_add(self.catch_up.ahead(frame.pts))
    }
}

/// The timestamps of frames that are sent faster than real time: each gets the time of the moment it is sent.
///
/// A receiver learns from timestamps and arrivals how fast the sender's clock runs. With the original timestamps,
/// Chromium would see a clock that runs five times too fast. For some ten seconds it would take every frame for late
/// and show it at once, and could not delay it to match the audio. So the first frame gets the time of the newest one,
/// less [`LEVEL`]. Timestamps then rise with the time of sending, until the viewer is level with the track and frames
/// have their own time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CatchUp {
    pub(super) origin: Ticks,
    /// The distance from `origin` to the first timestamp.
    pub(super) backlog: Ticks,
}

impl CatchUp {
    /// Returns the amount to add to the timestamp of a frame at `pts`.
    pub(super) fn ahead(&self, pts: Ticks) -> u32 {
        let speed = i64::from(CATCH_UP_SPEED);
        let caught_up = (pts - self.origin).0.max(0) * (speed - 1) / speed;
        u32::try_from(self.backlog.0 - caught_up).unwrap_or(0)
    }
}
