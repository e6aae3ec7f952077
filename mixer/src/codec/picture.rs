//! What an encoder must know of the pictures it will get, and how any picture is brought into the one form it takes:
//! 8-bit 4:2:0 with even sides.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Error as Cause, frame};
use onmic_media::Parameters;
use onmic_media::codec::Colour;

use super::ffi::{self, Scaler};
use crate::error::Error;

/// Below this, encoders and browsers have limits of their own.
const SMALLEST_SIDE: u32 = 16;

/// Above this one picture takes longer to encode than it lasts, and memory by the hundred megabytes.
pub(crate) const MOST_PIXELS: u32 = 4096 * 2304;

/// Size, shape and colours of pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Even.
    pub width: u32,
    /// Even.
    pub height: u32,
    /// Width to height of one sample; (0, 1) when unknown.
    pub aspect: (i32, i32),
    /// What the samples mean.
    pub colour: Colour,
}

impl Picture {
    /// Of this picture, without an odd last column or row.
    pub fn of(frame: &frame::Video) -> Result<Self, Error> {
        let aspect = frame.aspect_ratio();
        let mut colour = ffi::colour(frame);
        colour.full_range |= frame.format() == Pixel::YUVJ420P;
        Self::even(frame.width(), frame.height(), (aspect.numerator(), aspect.denominator()), colour)
    }

    /// What the bitstream declares, for when there is no picture yet.
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

/// Brings pictures into the form that encoders take. Most are there already and cost nothing.
#[derive(Default)]
pub struct Converter {
    scaler: Option<Scaler>,
}

impl Converter {
    /// `frame` in the form of `picture`, which was made of it.
    pub fn convert(&mut self, mut frame: frame::Video, picture: &Picture) -> Result<frame::Video, Error> {
        // An odd side is cut by one: the planes stay, the last column or row is just not looked at.
        frame.set_width(picture.width);
        frame.set_height(picture.height);
        match frame.format() {
            Pixel::YUV420P => return Ok(frame),
            Pixel::YUVJ420P => {
                frame.set_format(Pixel::YUV420P); // The same samples; the range is in the picture's colour.
                return Ok(frame);
            }
            _ => {}
        }
        let (width, height) = (picture.width, picture.height);
        let wanted = scaling::context::Definition { format: frame.format(), width, height };
        if self.scaler.as_ref().is_none_or(|scaler| *scaler.0.input() != wanted) {
            let flags = scaling::Flags::BILINEAR;
            let made = scaling::Context::get(frame.format(), width, height, Pixel::YUV420P, width, height, flags);
            self.scaler = Some(Scaler(made.map_err(Error::Convert)?));
        }
        let scaler = self.scaler.as_mut().ok_or(Error::Convert(Cause::Bug))?;
        let mut converted = frame::Video::empty();
        scaler.0.run(&frame, &mut converted).map_err(Error::Convert)?;
        Ok(converted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sides_lose_one_and_tiny_or_giant_pictures_are_refused() {
        let frame = frame::Video::new(Pixel::YUV420P, 321, 241);
        let picture = Picture::of(&frame).unwrap();
        assert_eq!((picture.width, picture.height), (320, 240));
        assert!(Picture::of(&frame::Video::new(Pixel::YUV420P, 321, 15)).is_err());
        assert!(Picture::of(&frame::Video::new(Pixel::YUV420P, 8192, 4320)).is_err());
    }

    #[test]
    fn deep_and_dense_pictures_become_plain_ones() {
        let mut converter = Converter::default();
        for format in [Pixel::YUV422P10LE, Pixel::YUV444P, Pixel::YUVJ420P, Pixel::GBRP] {
            let frame = frame::Video::new(format, 65, 49);
            let picture = Picture::of(&frame).unwrap();
            let converted = converter.convert(frame, &picture).unwrap();
            assert_eq!((converted.format(), converted.width(), converted.height()), (Pixel::YUV420P, 64, 48));
        }
    }
}
