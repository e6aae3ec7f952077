//! What an encoder must know of the pictures it will get, and how any picture is brought into the one form it takes:
//! 8-bit 4:2:0 with even sides.

use ffmpeg_next::format::Pixel;
use onmic_media::Parameters;
use onmic_media::codec::Colour;

use super::{RawVideo, Scaler, ffi};
use crate::error::Error;

/// Below this, encoders and browsers have limits of their own.
const SMALLEST_SIDE: u32 = 16;

/// Above this one picture takes longer to encode than it lasts, and memory by the hundred megabytes.
pub(crate) const MOST_PIXELS: u32 = 4096 * 2304;

/// Size, shape and colours of pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Pixels; even.
    pub width: u32,
    /// Pixels; even.
    pub height: u32,
    /// Width to height of one sample; (0, 1) when unknown.
    pub aspect: (i32, i32),
    /// What the samples mean.
    pub colour: Colour,
}

impl Picture {
    /// The form of this picture, without an odd last column or row.
    pub fn of(frame: &RawVideo) -> Result<Self, Error> {
        let aspect = frame.aspect_ratio();
        let mut colour = ffi::colour(frame);
        colour.full_range |= frame.format() == Pixel::YUVJ420P;
        Self::even(frame.width(), frame.height(), (aspect.numerator(), aspect.denominator()), colour)
    }

    /// The form that the bitstream declares, for when there is no picture yet.
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

    /// How many pixels.
    pub fn pixels(&self) -> u32 {
        self.width * self.height
    }
}

/// An 8-bit 4:2:0 picture of undefined content.
pub fn blank(width: u32, height: u32) -> RawVideo {
    RawVideo::new(Pixel::YUV420P, width, height)
}

/// Brings pictures into the form that encoders take. Most are there already and cost nothing.
#[derive(Default)]
pub struct Converter {
    scaler: Scaler,
}

impl Converter {
    /// `frame` in the form of `picture`, which was made of it. Shares its samples where they are in that form already.
    pub fn convert(&mut self, frame: &RawVideo, picture: &Picture) -> Result<RawVideo, Error> {
        // An odd side is cut by one: the planes stay, the last column or row is just not looked at.
        let mut frame = ffi::part(frame, 0, 0, picture.width, picture.height).map_err(Error::Convert)?;
        match frame.format() {
            Pixel::YUV420P => return Ok(frame),
            Pixel::YUVJ420P => {
                frame.set_format(Pixel::YUV420P); // The same samples; the range is in the picture's colour.
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
    fn odd_sides_lose_one_and_tiny_or_giant_pictures_are_refused() {
        let frame = RawVideo::new(Pixel::YUV420P, 321, 241);
        let picture = Picture::of(&frame).unwrap();
        assert_eq!((picture.width, picture.height), (320, 240));
        assert!(Picture::of(&RawVideo::new(Pixel::YUV420P, 321, 15)).is_err());
        assert!(Picture::of(&RawVideo::new(Pixel::YUV420P, 8192, 4320)).is_err());
    }

    #[test]
    fn deep_and_dense_pictures_become_plain_ones() {
        let mut converter = Converter::default();
        for format in [Pixel::YUV422P10LE, Pixel::YUV444P, Pixel::YUVJ420P, Pixel::GBRP] {
            let frame = RawVideo::new(format, 65, 49);
            let picture = Picture::of(&frame).unwrap();
            let converted = converter.convert(&frame, &picture).unwrap();
            assert_eq!((converted.format(), converted.width(), converted.height()), (Pixel::YUV420P, 64, 48));
        }
    }
}
