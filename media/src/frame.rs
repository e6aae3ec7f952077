//! The frame: what all protocols exchange.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::codec::Parameters;
use crate::key::MediaKind;
use crate::time::{Ticks, WallTime};

/// Is one encoded access unit or audio packet. It is immutable, and readers share it behind an `Arc`.
///
/// The canonical payloads: H.264 and H.265 are NAL units with 4-byte lengths and without parameter sets; AV1 is the
/// temporal unit as OBUs with sizes and without temporal delimiter; VP8, VP9 and Opus are as in RTP after reassembly;
/// AAC is the raw access unit without ADTS; metadata is one message in the form of its scheme.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The decoding time on the track's clock. It never decreases within a track.
    pub dts: Ticks,
    /// The presentation time on the track's clock. It differs from `dts` only if frames are reordered.
    pub pts: Ticks,
    /// The program clock at `pts`. PROGRAM-DATE-TIME, sender reports and abs-capture-time state it.
    pub wall: WallTime,
    /// The moment at which its last byte reached this process, or at which the session released it, if it held it back. A derived frame
    /// has that of the frames it was made from.
    pub arrived: Instant,
    /// Whether decoding can start here. It is always true for audio and data.
    pub keyframe: bool,
    /// The parameters that a decoder needs for this frame. The same `Arc` as the frame before it unless something
    /// changed.
    pub parameters: Arc<Parameters>,
    /// The encoded bytes in canonical form.
    pub payload: Bytes,
}

/// The sizes of what a kept frame takes besides its payload: the frame and the two counts beside it, its place in a ring and that
/// of its group, twice each because they grow by doubling, what `Bytes` keeps of a payload that others share, and 16 bytes of
/// the allocator for each of the three allocations.
const BESIDE_PAYLOAD: usize = size_of::<Frame>()
    + 2 * size_of::<usize>()
    + 2 * (size_of::<Arc<Frame>>() + size_of::<u64>())
    + 5 * size_of::<usize>()
    + 3 * 16;
const _: () = assert!(BESIDE_PAYLOAD <= Frame::OVERHEAD && Frame::OVERHEAD <= 2 * BESIDE_PAYLOAD);

impl Frame {
    /// The bytes that a frame is counted with besides its payload, wherever frames are bounded by bytes: a frame of one byte
    /// takes memory and time too.
    pub const OVERHEAD: usize = 256;

    /// Returns what keeping it costs, in bytes.
    pub fn cost(&self) -> usize {
        self.payload.len() + Self::OVERHEAD
    }

    /// Returns the kind of media that it carries.
    pub fn kind(&self) -> MediaKind {
        self.parameters.kind()
    }

    /// Returns the number of frames until the picture is right, if this is a recovery point. A keyframe is not one.
    pub fn recovery_frames(&self) -> Option<u32> {
        if self.keyframe { None } else { self.parameters.codec().recovery_frames(&self.payload) }
    }

    /// Returns its presentation time in µs of its track's timeline.
    pub fn pts_micros(&self) -> i64 {
        self.pts.micros(self.parameters.clock_rate())
    }
}
