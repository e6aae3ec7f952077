//! Codecs: the parameters that a decoder of a stream must know first, and the few header fields that other code needs.
//!
//! Nothing here decodes video or audio, and nothing here knows a transport. Every parser takes bytes from outside. No
//! parser panics or allocates more than a small multiple of its input. Caps: 31 SPS (H.265: 32, and 32 VPS), 255 PPS,
//! each at most 65 535 bytes (the length fields of `avcC` and `hvcC`), pictures up to 16384 × 16384.
//!
//! The canonical payload of a frame: H.264 and H.265 four-byte length-prefixed NAL units, AV1 open bitstream units with
//! sizes and without temporal delimiters, VP8 and VP9 and Opus the bare frame, AAC the raw data block without ADTS.

pub mod aac;
pub mod av1;
mod bits;
pub mod h264;
pub mod h265;
pub mod in_band;
pub mod metadata;
pub mod nal;
pub mod opus;
mod sei;
pub mod vp8;
pub mod vp9;

pub use crate::key::MediaKind;
use crate::time::ClockRate;
pub use in_band::InBand;

/// The longest side of a picture that is accepted, in pixels.
pub const LARGEST_SIDE: u32 = 16_384;

/// The most NAL units or OBUs of one access unit. A picture of 8 MiB in slices of 1200 bytes has 6991. Each unit costs time and memory
/// wherever it goes, and by AV1 a third of a packet to each viewer by WebRTC, however few bytes it has.
pub const UNITS_MAX: usize = 8192;

/// States how a track is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Codec {
    H264,
    H265,
    Vp8,
    Vp9,
    Av1,
    Aac,
    Opus,
    Metadata,
}

impl Codec {
    /// Returns the name in the API, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Metadata => "metadata",
        }
    }

    /// Returns the kind of media that it codes.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 | Self::Av1 => MediaKind::Video,
            Self::Aac | Self::Opus => MediaKind::Audio,
            Self::Metadata => MediaKind::Data,
        }
    }

    /// Returns whether decoding can start at this payload, as the bitstream states. It is true for audio and data.
    /// Allocates nothing.
    pub fn is_keyframe(self, payload: &[u8]) -> bool {
        match self {
            Self::H264 => h264::access_unit_is_keyframe(payload),
            Self::H265 => h265::access_unit_is_keyframe(payload),
            Self::Av1 => av1::access_unit_is_keyframe(payload),
            Self::Vp8 => vp8::is_keyframe(payload),
            Self::Vp9 => vp9::is_keyframe(payload),
            Self::Aac | Self::Opus | Self::Metadata => true,
        }
    }

    /// Returns the number of NAL units or OBUs of this payload, empty ones included. It stops one above [`UNITS_MAX`]. A payload
    /// of another codec is one.
    pub fn units(self, payload: &[u8]) -> usize {
        match self {
            Self::H264 | Self::H265 => nal::all_lengths(payload).take(UNITS_MAX + 1).count(),
            Self::Av1 => av1::obus(payload).take(UNITS_MAX + 1).count(),
            Self::Vp8 | Self::Vp9 | Self::Aac | Self::Opus | Self::Metadata => 1,
        }
    }

    /// Returns the number of frames until the picture is right, if this payload is a recovery point: the head of an open
    /// group, or the start of an intra refresh. Decoding may start there. It reads no further than the first slice.
    pub fn recovery_frames(self, payload: &[u8]) -> Option<u32> {
        match self {
            Self::H264 => h264::recovery_frames(payload),
            Self::H265 => h265::recovery_frames(payload),
            Self::Vp8 | Self::Vp9 | Self::Av1 | Self::Aac | Self::Opus | Self::Metadata => None,
        }
    }

    /// Returns whether this payload begins with a further piece of a picture, and not with the first one. It reads no further
    /// than the first slice.
    pub fn continues_picture(self, payload: &[u8]) -> bool {
        match self {
            Self::H264 => h264::continues_picture(payload),
            Self::H265 => h265::continues_picture(payload),
            Self::Av1 => av1::continues_frame(payload),
            Self::Vp8 | Self::Vp9 | Self::Aac | Self::Opus | Self::Metadata => false,
        }
    }

    /// Returns whether this payload has closed captions. `None` if they are not looked for in this codec.
    pub fn has_captions(self, payload: &[u8]) -> Option<bool> {
        match self {
            Self::H264 => Some(h264::has_captions(payload)),
            Self::H265 => Some(h265::has_captions(payload)),
            Self::Vp8 | Self::Vp9 | Self::Av1 | Self::Aac | Self::Opus | Self::Metadata => None,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// States how sample values become colours, by code points of ITU-T H.273. 2 means unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// The value of `colour_primaries`.
    pub primaries: u8,
    /// The value of `transfer_characteristics`.
    pub transfer: u8,
    /// The value of `matrix_coeffs`.
    pub matrix: u8,
    /// Whether samples use 0–255 instead of 16–235.
    pub full_range: bool,
}

impl Colour {
    /// Makes a colour that specifies only the range.
    pub fn unspecified(full_range: bool) -> Self {
        Self { primaries: 2, transfer: 2, matrix: 2, full_range }
    }
}

/// States the shape of a sample: the ratio of its width to its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleAspect {
    width: u32,
    height: u32,
}

impl SampleAspect {
    /// Is the shape of a sample as wide as it is high.
    pub const SQUARE: Self = Self { width: 1, height: 1 };

    /// A ratio that differs from 1 by no more than one part in this is a rounding: scaled to 854 by 480, 16:9 has samples of
    /// 1280:1281.
    const ROUNDED: u32 = 50;

    /// The most that the sides of a sample differ, as a ratio. Any larger one is a mistake of an encoder.
    const MOST: f64 = 4.0;

    /// Makes the shape of this ratio. A ratio with a zero is unknown, and what is unknown is a square.
    pub fn new(width: u32, height: u32) -> Self {
        if width == 0 || height == 0 { Self::SQUARE } else { Self { width, height } }
    }

    /// Returns whether a sample is as wide as it is high, but for rounding.
    pub fn is_square(self) -> bool {
        self.width.abs_diff(self.height) <= self.width.max(self.height) / Self::ROUNDED
    }

    /// Returns the two terms of the ratio.
    pub fn terms(self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Returns the width of a sample in its heights, from 1/4 to 4.
    pub fn ratio(self) -> f64 {
        let ratio = f64::from(self.width) / f64::from(self.height);
        if self.is_square() { 1.0 } else { ratio.clamp(1.0 / Self::MOST, Self::MOST) }
    }
}

/// Holds the parameters that a decoder must know before the first frame. Every frame carries an `Arc` of those in
/// force.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Parameters {
    H264(h264::Parameters),
    H265(h265::Parameters),
    Vp8(vp8::Parameters),
    Vp9(vp9::Parameters),
    Av1(av1::Parameters),
    Aac(aac::Parameters),
    Opus(opus::Parameters),
    Metadata(metadata::Parameters),
}

impl Parameters {
    /// Returns the codec of these parameters.
    pub fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::H265(_) => Codec::H265,
            Self::Vp8(_) => Codec::Vp8,
            Self::Vp9(_) => Codec::Vp9,
            Self::Av1(_) => Codec::Av1,
            Self::Aac(_) => Codec::Aac,
            Self::Opus(_) => Codec::Opus,
            Self::Metadata(_) => Codec::Metadata,
        }
    }

    /// Returns the kind of media that a track of these carries.
    pub fn kind(&self) -> MediaKind {
        self.codec().kind()
    }

    /// Returns the clock rate of timestamps: 90 kHz for video and data, the sample rate for AAC, 48 kHz for Opus.
    pub fn clock_rate(&self) -> ClockRate {
        match self {
            Self::Aac(aac) => ClockRate::new(aac.sample_rate).unwrap_or(ClockRate::OPUS),
            Self::Opus(_) => ClockRate::OPUS,
            _ => ClockRate::VIDEO,
        }
    }

    /// Returns the shown width and height in pixels, if the parameters state them. VP9 from a configuration record
    /// alone does not.
    pub fn resolution(&self) -> Option<(u32, u32)> {
        let (width, height) = match self {
            Self::H264(h264) => (h264.width, h264.height),
            Self::H265(h265) => (h265.width, h265.height),
            Self::Vp8(vp8) => (vp8.width, vp8.height),
            Self::Vp9(vp9) => (vp9.width, vp9.height),
            Self::Av1(av1) => (av1.width, av1.height),
            Self::Aac(_) | Self::Opus(_) | Self::Metadata(_) => return None,
        };
        (width > 0 && height > 0).then_some((width, height))
    }

    /// Returns the bytes of the parameter sets, which stand before each keyframe for viewers by WebRTC. Those of other codecs are
    /// part of the frames, or have 1 KiB at most.
    pub(crate) fn in_band_bytes(&self) -> usize {
        let bytes = |sets: &[bytes::Bytes]| sets.iter().map(bytes::Bytes::len).sum::<usize>();
        match self {
            Self::H264(h264) => bytes(&h264.sps) + bytes(&h264.pps),
            Self::H265(h265) => bytes(&h265.vps) + bytes(&h265.sps) + bytes(&h265.pps),
            _ => 0,
        }
    }

    /// Returns the frames per second, if the bitstream declares them.
    pub fn frame_rate(&self) -> Option<f64> {
        match self {
            Self::H264(h264) => h264.frame_rate,
            Self::H265(h265) => h265.frame_rate,
            Self::Av1(av1) => av1.frame_rate,
            _ => None,
        }
    }

    /// Returns whether frames may be shown in another order than they are decoded in (B-frames), or `None` if that is
    /// unknown. VP8, VP9 and AV1 hide their reordering inside the bitstream, so it is always `Some(false)` there.
    pub fn reorders(&self) -> Option<bool> {
        match self {
            Self::H264(h264) => h264.max_reorder.map(|frames| frames > 0),
            Self::H265(h265) => Some(h265.max_reorder > 0),
            _ => Some(false),
        }
    }

    /// Returns whether the decoders of browsers and phones take it, and not only libraries. They take 4:2:0 with 8 bits per
    /// sample (H.265, VP9 and AV1 also with 10), AAC-LC or HE-AAC in a channel layout that has a number, and Opus in one stream.
    pub fn is_widely_decoded(&self) -> bool {
        match self {
            Self::H264(h264) => h264.is_widely_decoded(),
            Self::H265(h265) => h265.chroma_format_idc == 1 && h265.bit_depth_luma.max(h265.bit_depth_chroma) <= 10,
            Self::Vp9(vp9) => matches!(vp9.profile, 0 | 2) && vp9.bit_depth <= 10,
            Self::Av1(av1) => av1.profile == 0,
            Self::Aac(aac) => aac.is_widely_decoded(),
            Self::Opus(opus) => opus.is_widely_decoded(),
            Self::Vp8(_) | Self::Metadata(_) => true,
        }
    }

    /// Returns whether pictures may be fields, each with every other line.
    pub fn is_interlaced(&self) -> bool {
        match self {
            Self::H264(h264) => h264.interlaced,
            Self::H265(h265) => h265.field_sequence,
            _ => false,
        }
    }

    /// Returns whether this payload is one field of a frame without the other one. It allocates nothing.
    pub fn is_lone_field(&self, payload: &[u8]) -> bool {
        match self {
            Self::H264(h264) => h264.is_lone_field(payload),
            Self::H265(h265) => h265.is_lone_field(payload),
            _ => false,
        }
    }

    /// Returns the shape of its samples.
    pub fn sample_aspect(&self) -> SampleAspect {
        match self {
            Self::H264(h264) => h264.sample_aspect,
            Self::H265(h265) => h265.sample_aspect,
            _ => SampleAspect::SQUARE,
        }
    }

    /// Returns whether its samples are as wide as they are high. WebRTC does not say which shape they have, and its viewers
    /// show them as squares.
    pub fn has_square_samples(&self) -> bool {
        self.sample_aspect().is_square()
    }

    /// Returns how sample values become colours, if the parameters describe it.
    pub fn colour(&self) -> Option<Colour> {
        match self {
            Self::H264(h264) => h264.colour,
            Self::H265(h265) => h265.colour,
            Self::Vp9(vp9) => Some(vp9.colour),
            Self::Av1(av1) => av1.colour,
            Self::Vp8(_) | Self::Aac(_) | Self::Opus(_) | Self::Metadata(_) => None,
        }
    }

    /// Returns the width and height at which players show it, in square pixels.
    pub fn shown_size(&self) -> Option<(u32, u32)> {
        let (width, height) = self.resolution()?;
        let shown = f64::from(width) * self.sample_aspect().ratio();
        Some((shown.round() as u32, height))
    }

    /// Returns the usual name of the profile, such as `High`, `Main 10` or `LC`.
    pub fn profile_name(&self) -> Option<String> {
        match self {
            Self::H264(h264) => h264.profile_name().map(str::to_owned),
            Self::H265(h265) => h265.profile_name().map(str::to_owned),
            Self::Vp8(_) => None,
            Self::Vp9(vp9) => Some(format!("Profile {}", vp9.profile)),
            Self::Av1(av1) => av1.profile_name().map(str::to_owned),
            Self::Aac(aac) => aac.profile_name().map(str::to_owned),
            Self::Opus(_) | Self::Metadata(_) => None,
        }
    }

    /// Returns the `codecs` parameter of RFC 6381: `avc1.64001f`, `hvc1.1.6.L93.B0`, `av01.0.04M.08`, `mp4a.40.2`,
    /// `opus`.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::H264(h264) => h264.rfc6381(),
            Self::H265(h265) => h265.rfc6381(),
            Self::Vp8(_) => "vp8".to_owned(),
            Self::Vp9(vp9) => vp9.rfc6381(),
            Self::Av1(av1) => av1.rfc6381(),
            Self::Aac(aac) => format!("mp4a.40.{}", aac.object_type),
            Self::Opus(_) => "opus".to_owned(),
            Self::Metadata(_) => "emsg".to_owned(), // Not registered, and never listed: it travels with another track.
        }
    }

    /// Returns the samples per second that the decoder puts out.
    pub fn sample_rate(&self) -> Option<u32> {
        match self {
            Self::Aac(aac) => Some(aac.sample_rate),
            Self::Opus(_) => Some(opus::SAMPLE_RATE),
            _ => None,
        }
    }

    /// Returns the number of audio channels.
    pub fn channels(&self) -> Option<u8> {
        match self {
            Self::Aac(aac) => Some(aac.channels),
            Self::Opus(opus) => Some(opus.channels),
            _ => None,
        }
    }
}

/// States the fault in bytes from outside. The peer always causes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside of a field.
    #[error("{what} ends early")]
    Truncated {
        /// The structure that ended early.
        what: &'static str,
    },
    /// A field holds a value that the specification, or a cap of this parser, does not allow.
    #[error("{what}: {field} is {value}, which is out of range")]
    OutOfRange {
        /// The structure that has the field.
        what: &'static str,
        /// The name of the field.
        field: &'static str,
        /// The value that it held.
        value: u64,
    },
    /// A field holds a valid value that this program cannot carry.
    #[error("{what}: {field} {value} is not supported")]
    Unsupported {
        /// The structure that has the field.
        what: &'static str,
        /// The name of the field.
        field: &'static str,
        /// The value that it held.
        value: u64,
    },
    /// Something that must be there is not.
    #[error("{what} has no {field}")]
    Missing {
        /// The structure that is incomplete.
        what: &'static str,
        /// The part that it lacks.
        field: &'static str,
    },
}

/// Returns a picture side within the cap, or an error.
fn picture_side(what: &'static str, field: &'static str, pixels: u64) -> Result<u32, Malformed> {
    match u32::try_from(pixels) {
        Ok(side) if (1..=LARGEST_SIDE).contains(&side) => Ok(side),
        _ => Err(Malformed::OutOfRange { what, field, value: pixels }),
    }
}

/// Returns `ticks_per_second / ticks_per_frame` if video can have that rate.
fn frame_rate(ticks_per_second: u32, ticks_per_frame: u64) -> Option<f64> {
    if ticks_per_frame == 0 {
        return None;
    }
    let rate = f64::from(ticks_per_second) / ticks_per_frame as f64;
    // Muxers write a time base of 1 ms or 90 kHz into the fields of the frame rate. No camera runs at those rates.
    (0.1..=500.0).contains(&rate).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::{Codec, SampleAspect};

    #[test]
    fn the_first_piece_of_a_picture_is_told_from_the_others() {
        for (codec, payload, continues) in [
            (Codec::H264, &[0, 0, 0, 2, 0x65, 0x88][..], false),
            (Codec::H264, &[0, 0, 0, 2, 0x65, 0x42], true),
            (Codec::H264, &[0, 0, 0, 2, 0x06, 0x01, 0, 0, 0, 2, 0x41, 0x9a, 0, 0, 0, 2, 0x41, 0x20], false),
            (Codec::H264, &[0, 0, 0, 2, 0x06, 0x01, 0, 0, 0, 2, 0x41, 0x20], true),
            (Codec::H264, &[0, 0, 0, 2, 0x42, 0x9a], false), // Partition A.
            (Codec::H264, &[0, 0, 0, 2, 0x43, 0x9a], true),  // Partition B.
            (Codec::H264, &[0, 0, 0, 2, 0x06, 0x01], false), // SEI alone.
            (Codec::H265, &[0, 0, 0, 3, 0x26, 1, 0xaf], false),
            (Codec::H265, &[0, 0, 0, 3, 0x02, 1, 0x40], true),
            (Codec::Av1, &[0x2a, 1, 4, 0x32, 1, 0x30], false), // Metadata and a frame.
            (Codec::Av1, &[0x1a, 1, 0x30, 0x22, 1, 0], false), // A frame header and its tile group.
            (Codec::Av1, &[0x22, 1, 0], true),
            (Codec::Vp8, &[0, 0, 0], false),
            (Codec::H264, &[], false),
            (Codec::H265, &[0, 0, 0, 1, 0x02], false),
        ] {
            assert_eq!(codec.continues_picture(payload), continues, "{codec} {payload:x?}");
        }
    }

    #[test]
    fn samples_are_square_unless_a_ratio_says_clearly_that_they_are_not() {
        for (width, height) in [(1, 1), (0, 1), (3, 0), (1280, 1281), (u32::MAX, u32::MAX), (51, 50)] {
            let aspect = SampleAspect::new(width, height);
            assert!(aspect.is_square() && aspect.ratio() == 1.0, "{aspect:?}");
        }
        for ((width, height), ratio) in
            [((64, 45), 64.0 / 45.0), ((10, 11), 10.0 / 11.0), ((1, 65_535), 0.25), ((u32::MAX, 1), 4.0)]
        {
            let aspect = SampleAspect::new(width, height);
            assert!(!aspect.is_square() && aspect.ratio() == ratio, "{aspect:?}");
        }
    }
}
