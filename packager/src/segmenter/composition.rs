//! Where segments of video begin for the other renditions, and by which moment they are dated.
//!
//! The lengths of segments are made of decoding times, so both must advance as these do. The presentation time of the first frame of
//! a segment does not: with reordered frames, a frame that is not a keyframe may be shown much sooner or later after it is decoded
//! than a keyframe is. So they are the decoding time, and what a keyframe adds to it.

use onmic_media::{Frame, Ticks, WallTime};

use super::DUE_MICROS;

/// Is the time from the decoding of a keyframe to its presentation, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Composition(i64);

impl Composition {
    /// Learns from a frame. It `begins` a rendition or what follows a discontinuity, or else it must be a keyframe that is shown too
    /// much sooner or later than the one before it for reordering.
    pub(super) fn learn(&mut self, frame: &Frame, begins: bool) {
        if begins || frame.keyframe && self.earlier_micros(frame).abs() > DUE_MICROS {
            self.0 = frame.pts.0 - frame.dts.0;
        }
    }

    /// Returns where a segment begins that begins with `frame`, in µs, and the moment that dates it.
    pub(super) fn beginning(self, frame: &Frame) -> (i64, WallTime) {
        let earlier = self.earlier_micros(frame);
        (frame.pts_micros() - earlier, frame.wall.offset_micros(-earlier))
    }

    fn earlier_micros(self, frame: &Frame) -> i64 {
        Ticks(frame.pts.0 - frame.dts.0 - self.0).micros(frame.parameters.clock_rate())
    }
}
