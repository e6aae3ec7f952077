//! Describes the raw frames that an encoder will get, and converts any raw frame to the one form that encoders and all
//! viewers take: 8-bit 4:2:0 with even sides, square samples, and no more pixels than can be encoded.

use ffmpeg_next::format::Pixel;
use onmic_media::Parameters;
use onmic_media::codec::{Colour, SampleAspect};

use super::{RawVideo, Scaler, ffi};
use crate::error::Error;

/// The shortest side, in pixels. Encoders and browsers have limits of their own below it.
const SMALLEST_SIDE: u32 = 16;

/// The most pixels of a frame: those of H.264 level 5.2 (A.3.4). A larger frame takes longer to encode than it lasts, and
/// hundreds of megabytes of memory.
pub(crate) const MOST_PIXELS: u32 = 4096 * 2304;

/// Describes the size and colour of frames. Their samples are square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// The width in pixels, which is even.
    pub width: u32,
    /// The height in pixels, which is even.
    pub height: u32,
    /// How samples become colours.
    pub colour: Colour,
}

impl Picture {
    /// Returns the form in which this frame is encoded: without an odd last column or row, and smaller if it is too large.
    /// Samples that are not square become square, because WebRTC does not say which shape they have.
    pub fn of(frame: &RawVideo) -> Result<Self, Error> {
        let mut colour = ffi::colour(frame);
        colour.full_range |= frame.format() == Pixel::YUVJ420P;
        Self::fitted(frame.width(), frame.height(), sample_aspect(frame), colour)
    }

    /// Returns the form that the bitstream declares, for use before there is a frame.
    pub fn declared(parameters: &Parameters) -> Result<Self, Error> {
        let (width, height) = parameters.resolution().ok_or(Error::NoPictureYet)?;
        let colour = parameters.colour().unwrap_or(Colour::unspecified(false));
        Self::fitted(width, height, parameters.sample_aspect(), colour)
    }

    fn fitted(width: u32, height: u32, aspect: SampleAspect, colour: Colour) -> Result<Self, Error> {
        let shown = f64::from(width) * aspect.ratio();
        let shrink = (f64::from(MOST_PIXELS) / (shown * f64::from(height))).sqrt().min(1.0);
        // The products of floating point may be a little less than the whole numbers that they stand for.
        let even = |side: f64| (side * shrink + 1e-6) as u32 & !1;
        let picture = Self { width: even(shown), height: even(f64::from(height)), colour };
        if picture.width < SMALLEST_SIDE || picture.height < SMALLEST_SIDE {
            return Err(Error::PictureSize { width, height });
        }
        Ok(picture)
    }

    /// Returns the number of pixels.
    pub fn pixels(&self) -> u32 {
        self.width * self.height
    }
}

/// Returns the shape of the samples of a frame.
pub(crate) fn sample_aspect(frame: &RawVideo) -> SampleAspect {
    let aspect = frame.aspect_ratio();
    let side = |side: i32| u32::try_from(side).unwrap_or(0);
    SampleAspect::new(side(aspect.numerator()), side(aspect.denominator()))
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
        let (width, height) = (frame.width() & !1, frame.height() & !1);
        let mut frame = ffi::part(frame, 0, 0, width, height).map_err(Error::Convert)?;
        if frame.format() == Pixel::YUVJ420P {
            frame.set_format(Pixel::YUV420P); // The samples are the same, and `picture.colour` states their range.
        }
        if frame.format() == Pixel::YUV420P && (width, height) == (picture.width, picture.height) {
            return Ok(frame);
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
    fn odd_sides_are_cut_by_one_giant_frames_shrink_and_tiny_ones_are_refused() {
        let of = |width, height| Picture::of(&RawVideo::new(Pixel::YUV420P, width, height));
        let size = |picture: Picture| (picture.width, picture.height);
        assert_eq!(size(of(321, 241).unwrap()), (320, 240));
        assert_eq!(size(of(4096, 2304).unwrap()), (4096, 2304));
        let giant = of(8192, 4320).unwrap();
        assert!((9_000_000..=MOST_PIXELS).contains(&giant.pixels()), "{giant:?}");
        assert!((giant.width * 4320).abs_diff(giant.height * 8192) < 3 * 8192, "{giant:?} has the same shape");
        assert!(of(321, 15).is_err());
    }

    #[test]
    fn samples_become_square() {
        let mut converter = Converter::default();
        for (aspect, shown) in
            [((64, 45), (1024, 576)), ((10, 11), (654, 576)), ((0, 1), (720, 576)), ((1, 1), (720, 576))]
        {
            let aspect = SampleAspect::new(aspect.0, aspect.1);
            let picture = Picture::fitted(720, 576, aspect, Colour::unspecified(false)).unwrap();
            assert_eq!((picture.width, picture.height), shown, "{aspect:?}");
            let converted = converter.convert(&blank(720, 576), &picture).unwrap();
            assert_eq!((converted.width(), converted.height()), shown);
        }
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
