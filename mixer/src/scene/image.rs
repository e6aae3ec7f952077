//! A still image from outside: a PNG or JPEG file. It is decoded once. Limits are checked before memory is allocated
//! for it. Of a PNG file only the chunks that make pixels are read ([`of_pixels`]), because others unpack to any size: a colour
//! profile of 377 kB was 370 MB.

use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use image::{ImageFormat, ImageReader, Limits, RgbaImage};
use thiserror::Error;

use super::place::Size;

/// The largest file in bytes: enough for a designer's full-screen PNG.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The longest side of an image, in pixels.
const LONGEST_SIDE: u32 = 4096;

/// Is a decoded image. It is cheap to clone, and equal to another image of the same file.
#[derive(Clone)]
pub struct Image {
    file: Bytes,
    pixels: Arc<RgbaImage>,
}

/// States why a file is not an image that can be shown.
#[derive(Debug, Error)]
pub enum InvalidImage {
    /// The file has too many bytes.
    #[error("an image file may have at most {MOST_BYTES} bytes, but this one has {0}")]
    Size(usize),
    /// The file is neither PNG nor JPEG.
    #[error("an image must be a PNG or JPEG file")]
    Format,
    /// The file is broken, or the image is too large.
    #[error("the image cannot be decoded (a side may have at most {LONGEST_SIDE} pixels): {0}")]
    Decode(#[source] image::ImageError),
}

impl Image {
    /// Returns the width and height that the header of a file states.
    pub fn measure(file: &Bytes) -> Result<(u32, u32), InvalidImage> {
        reader(of_pixels(file))?.into_dimensions().map_err(InvalidImage::Decode)
    }

    /// Decodes a file.
    pub fn decode(file: Bytes) -> Result<Self, InvalidImage> {
        let mut reader = reader(of_pixels(&file))?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(LONGEST_SIDE);
        limits.max_image_height = Some(LONGEST_SIDE);
        limits.max_alloc = Some(u64::from(LONGEST_SIDE) * u64::from(LONGEST_SIDE) * 8);
        reader.limits(limits);
        let pixels = reader.decode().map_err(InvalidImage::Decode)?.into_rgba8();
        Ok(Self { file, pixels: Arc::new(pixels) })
    }

    /// Scales the image down if it does not fit `size`.
    pub fn fitted(self, size: Size) -> Self {
        let (width, height) = self.pixels.dimensions();
        let fitted = fitted((width, height), size);
        if fitted == (width, height) {
            return self;
        }
        let pixels = image::imageops::thumbnail(&*self.pixels, fitted.0, fitted.1);
        Self { pixels: Arc::new(pixels), ..self }
    }

    /// Returns how many bytes the pixels take.
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

/// Returns the width and height of an image after it is scaled down to fit `size`. An image that fits keeps its size.
pub fn fitted((width, height): (u32, u32), size: Size) -> (u32, u32) {
    if width <= size.width && height <= size.height {
        return (width, height);
    }
    let scale = (f64::from(size.width) / f64::from(width)).min(f64::from(size.height) / f64::from(height));
    let side = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    (side(width, size.width), side(height, size.height))
}

/// Returns a PNG file with its critical chunks and its transparency alone (PNG specification, 11.2 and 11.3.1). Whatever is no
/// PNG file is returned as it is.
fn of_pixels(file: &Bytes) -> Bytes {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    const AROUND: usize = 12; // The length, the type and the checksum of a chunk.
    let Some(mut rest) = file.strip_prefix(SIGNATURE).filter(|_| file.len() <= MOST_BYTES) else { return file.clone() };
    let mut kept = SIGNATURE.to_vec();
    while let [a, b, c, d, kind, ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let whole = length.saturating_add(AROUND).min(rest.len());
        let (chunk, behind) = rest.split_at(whole);
        if kind.is_ascii_uppercase() || chunk[4..].starts_with(b"tRNS") {
            kept.extend_from_slice(chunk);
        }
        rest = behind;
    }
    kept.into()
}

fn reader(file: Bytes) -> Result<ImageReader<Cursor<Bytes>>, InvalidImage> {
    if file.len() > MOST_BYTES {
        return Err(InvalidImage::Size(file.len()));
    }
    match image::guess_format(&file) {
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
    fn a_file_that_is_not_an_image_or_is_too_large_is_refused_with_a_reason() {
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
    fn what_a_png_says_beside_its_pixels_is_not_unpacked() {
        let plain = Image::of(RgbaImage::from_pixel(3, 2, Rgba([1, 2, 3, 200])));
        let chunk =
            |kind: &[u8; 4], length: u32, data: &[u8]| [&length.to_be_bytes()[..], kind, data, b"sum?"].concat();
        let (header, pixels) = plain.file.split_at(8 + 25); // The signature and IHDR.
        for odd in [chunk(b"iCCP", 5, b"p\0\0zz"), chunk(b"zTXt", 3, b"k\0\0"), chunk(b"abCd", 0, b"")] {
            let file: Bytes = [header, &odd, pixels].concat().into();
            assert_eq!(of_pixels(&file), plain.file);
            assert_eq!(Image::measure(&file).unwrap(), (3, 2));
            assert_eq!(Image::decode(file).unwrap().pixels(), plain.pixels());
        }
        let cut: Bytes = [header, &chunk(b"iCCP", u32::MAX, b"p\0\0zz"), pixels].concat().into();
        assert!(matches!(Image::decode(cut), Err(InvalidImage::Decode(_))), "the chunk is longer than the file");
        let transparent: Bytes = [header, &chunk(b"tRNS", 2, &[0, 1]), pixels].concat().into();
        assert_eq!(of_pixels(&transparent), transparent);
        assert_eq!(of_pixels(&plain.file.slice(..20)), plain.file.slice(..20));
    }

    #[test]
    fn a_large_image_is_measured_by_its_header_and_scaled_to_the_canvas() {
        let large = Image::of(RgbaImage::from_pixel(400, 100, Rgba([9, 8, 7, 255])));
        assert_eq!(Image::measure(&large.file).unwrap(), (400, 100));
        assert_eq!(large.pixel_bytes(), 400 * 100 * 4);
        let size = Size { width: 100, height: 100 };
        let small = large.fitted(size);
        assert_eq!(small.pixels().dimensions(), (100, 25));
        assert_eq!(small.pixels().get_pixel(50, 12), &Rgba([9, 8, 7, 255]));
        assert_eq!(fitted((10, 5000), size), (1, 100), "a side has at least one pixel");
        assert_eq!(fitted((30, 20), size), (30, 20), "an image is never scaled up");
    }
}
