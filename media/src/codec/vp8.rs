//! VP8: the frame tag and the key frame header (RFC 6386, 9.1).

use super::{Malformed, picture_side};

const WHAT: &str = "VP8 frame";

/// Holds the parameters of a keyframe, for the frames that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The width in pixels, or 0 before the first keyframe.
    pub width: u32,
    /// The height in pixels, or 0 before the first keyframe.
    pub height: u32,
    /// The bitstream version, 0 to 3, which selects the filters.
    pub version: u8,
}

impl Parameters {
    /// Parses a keyframe. Fails with `Missing` for any other frame.
    pub fn from_keyframe(frame: &[u8]) -> Result<Self, Malformed> {
        let truncated = Malformed::Truncated { what: WHAT };
        let header: &[u8; 10] = frame.first_chunk().ok_or(truncated)?;
        if header[0] & 1 != 0 {
            return Err(Malformed::Missing { what: WHAT, field: "key frame header" });
        }
        if header[3..6] != [0x9d, 0x01, 0x2a] {
            return Err(Malformed::Missing { what: WHAT, field: "start code" });
        }
        // The two highest bits ask for upscaling, which no decoder does.
        let side = |low: u8, high: u8| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
        Ok(Self {
            width: picture_side(WHAT, "width", side(header[6], header[7]))?,
            height: picture_side(WHAT, "height", side(header[8], header[9]))?,
            version: header[0] >> 1 & 7,
        })
    }
}

/// Returns whether decoding can start at this frame.
pub fn is_keyframe(frame: &[u8]) -> bool {
    frame.len() >= 10 && frame[0] & 1 == 0 && frame[3..6] == [0x9d, 0x01, 0x2a]
}
