//! Describes the raw frames that an encoder will get, and converts any raw frame to the one form that encoders take:
//! 8-bit 4:2:0 with even sides.

use ffmpeg_next::format::Pixel;
use onmic_media::Parameters;
use onmic_media::codec::Colour;

use super::{RawVideo, Scaler, ffi};
use crate::error::Error;

/// The shortest side, in pixels. Encoders and browsers have limits of their own below it.
const SMALLEST_SIDE: u32 = 16;

/// The most pixels of a frame. A larger frame takes longer to encode than it lasts, and hundreds of megabytes of
/// memory.
pub(crate) const MOST_PIXELS: u32 = 4096 * 2304;

/// Describes the size, sample aspect ratio and colour of frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// The width in pixels, which is even.
    pub width: u32,
    /// The height in pixels, which is even.
    pub height: u32,
    /// The ratio of width to height of one sample, or (0, 1) if it is unknown.
    pub aspect: (i32, i32),
    /// How samples become colours.
    pub colour: Colour,
}

impl Picture {
    /// Returns the form of this frame, without an odd last column or row.
    pub fn of(frame: &RawVideo) -> Result<Self, Error> {
        let aspect = frame.aspect_ratio();
        let mut colour = ffi::colour(frame);
        colour.full_range |= frame.format() == Pixel::YUVJ420P;
        Self::even(frame.width(), frame.height(), (aspect.numerator(), aspect.denominator()), colour)
    }

    /// Returns the form that the bitstream declares, for use before there is a frame.
    pub fn declared(parameters: &Parameters) -> Result<Self, Error> {
        let (width, height) = parameters.resolution().ok_or(Error::NoPictureYet)?;
        let colour = match parameters {
            Parameters::H264(h264) => h264.colour,
            Parameters::H265(h265) => h265.colour,
            Parameters::Vp9(vp9) => Some(vp9.colour),
            _ => None,
        };
        Self::even(width, height, (0, 1), colour.unwrap_or(Colour::unspecified(false)))
    }

    fn even(width: u32, height: u32, aspect: (i32, i32), colour: Colour) -> Result<Self, Error> {
        if width < SMALLEST_SIDE || height < SMALLEST_SIDE || width.saturating_mul(height) > MOST_PIXELS {
            return Err(Error::PictureSize { width, height });
        }
        Ok(Self { width: width & !1, height: height & !1, aspect, colour })
    }

    /// Returns the number of pixels.
    pub fn pixels(&self) -> u32 {
        self.width * self.height
    }
}

/// Returns an 8-bit 4:2:0 frame with undefined content.
pub fn blank(width: u32, height: u32) -> RawVideo {
    RawVideo::new(Pixel::YUV420P, width, height)
}

/// Converts frames to the form that encoders take. Most frames have it already and cost nothing.
#[derive(Default)]
pub struct Converter {
    scaler: Scaler,
}

impl Converter {
    /// Returns `frame` in the form of `picture`, which was made from it. The result shares its samples if they already
    /// have that form.
    pub fn convert(&mut self, frame: &RawVideo, picture: &Picture) -> Result<RawVideo, Error> {
        // An odd side is cut by one. The planes stay as they are, and the last column or row is ignored.
        let mut frame = ffi::part(frame, 0, 0, picture.width, picture.height).map_err(Error::Convert)?;
        match frame.format() {
            Pixel::YUV420P => return Ok(frame),
            Pixel::YUVJ420P => {
                frame.set_format(Pixel::YUV420P); // The samples are the same, and `picture.colour` states their range.
                return Ok(frame);
            }
            _ => {}
        }
        let mut converted = RawVideo::empty();
        self.scaler.scale(&frame, picture.width, picture.height, &mut converted)?;
        Ok(converted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sides_are_cut_by_one_and_tiny_or_giant_frames_are_refused() {
        let frame = RawVideo::new(Pixel::YUV420P, 321, 241);
        let picture = Picture::of(&frame).unwrap();
        assert_eq!((picture.width, picture.height), (320, 240));
        assert!(Picture::of(&RawVideo::new(Pixel::YUV420P, 321, 15)).is_err());
        assert!(Picture::of(&RawVideo::new(Pixel::YUV420P, 8192, 4320)).is_err());
    }

    #[test]
    fn other_bit_depths_and_chroma_formats_become_8_bit_4_2_0() {
        let mut converter = Converter::default();
        for format in [Pixel::YUV422P10LE, Pixel::YUV444P, Pixel::YUVJ420P, Pixel::GBRP] {
            let frame = RawVideo::new(format, 65, 49);
            let picture = Picture::of(&frame).unwrap();
            let converted = converter.convert(&frame, &picture).unwrap();
            assert_eq!((converted.format(), converted.width(), converted.height()), (Pixel::YUV420P, 64, 48));
        }
    }
}
