//! A still picture from outside: a PNG or JPEG file, decoded once, with limits before anything is allocated for it.

use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use image::{ImageFormat, ImageReader, Limits, RgbaImage};
use thiserror::Error;

use super::place::Size;

/// The largest file: a full-screen PNG of a designer.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The longest side in pixels.
const LONGEST_SIDE: u32 = 4096;

/// A decoded picture. Cheap to clone, and equal to another one of the same file.
#[derive(Clone)]
pub struct Image {
    file: Bytes,
    pixels: Arc<RgbaImage>,
}

/// Why bytes are not a picture that can be shown.
#[derive(Debug, Error)]
pub enum InvalidImage {
    /// Too many bytes.
    #[error("an image file has at most {MOST_BYTES} bytes, this one {0}")]
    Size(usize),
    /// Neither PNG nor JPEG.
    #[error("an image is a PNG or JPEG file")]
    Format,
    /// Broken, or too large.
    #[error("the image cannot be decoded (at most {LONGEST_SIDE} pixels a side): {0}")]
    Decode(#[source] image::ImageError),
}

impl Image {
    /// The width and height that a file states, from its header alone.
    pub fn measure(file: &Bytes) -> Result<(u32, u32), InvalidImage> {
        reader(file)?.into_dimensions().map_err(InvalidImage::Decode)
    }

    /// From the bytes of a file.
    pub fn decode(file: Bytes) -> Result<Self, InvalidImage> {
        let mut reader = reader(&file)?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(LONGEST_SIDE);
        limits.max_image_height = Some(LONGEST_SIDE);
        limits.max_alloc = Some(u64::from(LONGEST_SIDE) * u64::from(LONGEST_SIDE) * 8);
        reader.limits(limits);
        let pixels = reader.decode().map_err(InvalidImage::Decode)?.into_rgba8();
        Ok(Self { file, pixels: Arc::new(pixels) })
    }

    /// Scaled down to fit `size`, if it does not.
    pub fn fitted(self, size: Size) -> Self {
        let (width, height) = self.pixels.dimensions();
        let fitted = fitted((width, height), size);
        if fitted == (width, height) {
            return self;
        }
        let pixels = image::imageops::thumbnail(&*self.pixels, fitted.0, fitted.1);
        Self { pixels: Arc::new(pixels), ..self }
    }

    /// How many bytes its pixels take.
    pub fn pixel_bytes(&self) -> usize {
        self.pixels.as_raw().len()
    }

    pub(crate) fn pixels(&self) -> &RgbaImage {
        &self.pixels
    }

    #[cfg(test)]
    pub(crate) fn of(pixels: RgbaImage) -> Self {
        let mut file = Cursor::new(Vec::new());
        pixels.write_to(&mut file, ImageFormat::Png).unwrap();
        Self::decode(file.into_inner().into()).unwrap()
    }
}

/// The width and height of a picture that is scaled down to fit `size`, if it does not.
pub fn fitted((width, height): (u32, u32), size: Size) -> (u32, u32) {
    if width <= size.width && height <= size.height {
        return (width, height);
    }
    let scale = (f64::from(size.width) / f64::from(width)).min(f64::from(size.height) / f64::from(height));
    let side = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    (side(width, size.width), side(height, size.height))
}

fn reader(file: &Bytes) -> Result<ImageReader<Cursor<&Bytes>>, InvalidImage> {
    if file.len() > MOST_BYTES {
        return Err(InvalidImage::Size(file.len()));
    }
    match image::guess_format(file) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => Ok(ImageReader::with_format(Cursor::new(file), format)),
        _ => Err(InvalidImage::Format),
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pixels, &other.pixels) || self.file == other.file
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.pixels.width(), self.pixels.height())
    }
}

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::*;

    #[test]
    fn images_of_the_same_file_are_equal() {
        let image = |alpha| Image::of(RgbaImage::from_pixel(3, 5, Rgba([1, 2, 3, alpha])));
        assert_eq!(image(4).pixels().get_pixel(2, 4), &Rgba([1, 2, 3, 4]));
        assert_eq!(image(4), image(4));
        assert_ne!(image(4), image(5));
    }

    #[test]
    fn what_is_no_picture_or_too_large_a_one_is_refused_with_a_reason() {
        let refused = |file: &'static [u8]| Image::decode(Bytes::from_static(file)).unwrap_err().to_string();
        assert!(refused(b"GIF89a...").contains("PNG or JPEG"));
        assert!(refused(b"\x89PNG\r\n\x1a\n and then nothing").contains("cannot be decoded"));
        assert!(refused(b"").contains("PNG or JPEG"));
        let long = Image::decode(Bytes::from(vec![0; MOST_BYTES + 1])).unwrap_err();
        assert!(matches!(long, InvalidImage::Size(_)));
        let mut wide = Cursor::new(Vec::new());
        RgbaImage::new(LONGEST_SIDE + 1, 1).write_to(&mut wide, ImageFormat::Png).unwrap();
        assert!(matches!(Image::decode(wide.into_inner().into()), Err(InvalidImage::Decode(_))));
    }

    #[test]
    fn a_large_picture_is_measured_by_its_header_and_scaled_to_the_canvas() {
        let large = Image::of(RgbaImage::from_pixel(400, 100, Rgba([9, 8, 7, 255])));
        assert_eq!(Image::measure(&large.file).unwrap(), (400, 100));
        assert_eq!(large.pixel_bytes(), 400 * 100 * 4);
        let size = Size { width: 100, height: 100 };
        let small = large.fitted(size);
        assert_eq!(small.pixels().dimensions(), (100, 25));
        assert_eq!(small.pixels().get_pixel(50, 12), &Rgba([9, 8, 7, 255]));
        assert_eq!(fitted((10, 5000), size), (1, 100), "no side is empty");
        assert_eq!(fitted((30, 20), size), (30, 20), "never larger");
    }
}
