//! Copies, halves, fills and blends planes of 8-bit 4:2:0 frames.
//!
//! All rectangles are even and lie within the frame, so the chroma planes have exactly half of each side.

use crate::codec::{RawVideo, picture};
use crate::scene::{Rect, Size};

/// The number of planes: luma and two of chroma.
pub(crate) const PLANES: usize = 3;

/// Returns a frame with undefined content.
pub(crate) fn blank(size: Size) -> RawVideo {
    picture::blank(size.width, size.height)
}

pub(crate) fn size(picture: &RawVideo) -> Size {
    Size { width: picture.width(), height: picture.height() }
}

/// Is a part of one plane, to read.
#[derive(Clone, Copy)]
pub(crate) struct Plane<'a> {
    samples: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl<'a> Plane<'a> {
    /// Returns the part of plane `index` that belongs to `part` of the frame.
    pub(crate) fn of(picture: &'a RawVideo, index: usize, part: Rect) -> Self {
        let (start, width, height) = locate(picture.stride(index), index, part);
        Self { samples: &picture.data(index)[start..], stride: picture.stride(index), width, height }
    }

    /// Makes a plane from `samples` that have rows of `width` samples without gaps.
    pub(crate) fn tight(samples: &'a [u8], width: usize) -> Self {
        Self { samples, stride: width, width, height: samples.len() / width.max(1) }
    }

    pub(crate) fn rows(self) -> impl Iterator<Item = &'a [u8]> {
        self.samples.chunks(self.stride.max(1)).take(self.height).map(move |row| &row[..self.width])
    }
}

/// Returns the rows of the part of plane `index` that belongs to `part` of the frame.
pub(crate) fn rows_mut(picture: &mut RawVideo, index: usize, part: Rect) -> impl Iterator<Item = &mut [u8]> {
    let stride = picture.stride(index);
    let (start, width, height) = locate(stride, index, part);
    picture.data_mut(index)[start..].chunks_mut(stride.max(1)).take(height).map(move |row| &mut row[..width])
}

fn locate(stride: usize, index: usize, part: Rect) -> (usize, usize, usize) {
    let Rect { x, y, width, height } = part;
    let [x, y, width, height] = [x, y, width, height].map(|side| side as usize / if index == 0 { 1 } else { 2 });
    (y * stride + x, width, height)
}

/// Copies `part` of `from` to `to_part`, which has the same size.
pub(crate) fn copy(from: &RawVideo, part: Rect, to: &mut RawVideo, to_part: Rect) {
    for index in 0..PLANES {
        let rows = rows_mut(to, index, to_part).zip(Plane::of(from, index, part).rows());
        rows.for_each(|(to, from)| to.copy_from_slice(from));
    }
}

/// Scales `part` of `from` to half its size. Each sample is the mean of four.
pub(crate) fn halve(from: &RawVideo, part: Rect, to: &mut RawVideo) {
    let all = size(to).rect();
    for index in 0..PLANES {
        let mut rows = Plane::of(from, index, part).rows();
        for to in rows_mut(to, index, all) {
            let (Some(upper), Some(lower)) = (rows.next(), rows.next()) else { break };
            halve_rows(upper, lower, to);
        }
    }
}

/// Halves two rows. It is a function of its own because the compiler knows only of arguments that they do not overlap.
/// That makes it six times as fast as inline code.
#[inline(never)]
fn halve_rows(upper: &[u8], lower: &[u8], to: &mut [u8]) {
    let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
    for (to, (upper, lower)) in to.iter_mut().zip(pairs) {
        // Pairs are read as 16-bit words, because the compiler vectorises that form.
        let (upper, lower) = (u16::from_le_bytes(*upper), u16::from_le_bytes(*lower));
        *to = (((upper & 0xff) + (upper >> 8) + (lower & 0xff) + (lower >> 8) + 2) >> 2) as u8;
    }
}

/// Fills `part` with one colour.
pub(crate) fn fill(picture: &mut RawVideo, part: Rect, yuv: [u8; PLANES]) {
    for (index, value) in yuv.into_iter().enumerate() {
        rows_mut(picture, index, part).for_each(|row| row.fill(value));
    }
}

/// Draws the edge of `part` in one colour, `thickness` pixels inwards.
pub(crate) fn frame_of(picture: &mut RawVideo, part: Rect, thickness: u32, yuv: [u8; PLANES]) {
    let thickness = thickness.min(part.width / 2).min(part.height / 2) & !1;
    let Rect { x, y, width, height } = part;
    fill(picture, Rect { x, y, width, height: thickness }, yuv);
    fill(picture, Rect { x, y: part.bottom() - thickness, width, height: thickness }, yuv);
    fill(picture, Rect { x, y, width: thickness, height }, yuv);
    fill(picture, Rect { x: part.right() - thickness, y, width: thickness, height }, yuv);
}

/// Blends `over`, which is already multiplied by its `alpha`, on a row.
#[inline(never)] // For the reason of `halve_rows`.
pub(crate) fn blend(row: &mut [u8], over: &[u8], alpha: &[u8]) {
    for ((to, over), alpha) in row.iter_mut().zip(over).zip(alpha) {
        *to = over.saturating_add(scale_255(*to, 255 - *alpha));
    }
}

/// Returns `value * by / 255`, rounded.
pub(crate) fn scale_255(value: u8, by: u8) -> u8 {
    let product = u16::from(value) * u16::from(by) + 128;
    ((product + (product >> 8)) >> 8) as u8
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes a frame whose luma and chroma are functions of the position.
    pub(crate) fn drawn(size: Size, sample: impl Fn(usize, u32, u32) -> u8) -> RawVideo {
        let mut picture = blank(size);
        let all = size.rect();
        for index in 0..PLANES {
            for (y, row) in rows_mut(&mut picture, index, all).enumerate() {
                row.iter_mut().enumerate().for_each(|(x, to)| *to = sample(index, x as u32, y as u32));
            }
        }
        picture
    }

    /// Returns one sample.
    pub(crate) fn at(picture: &RawVideo, index: usize, x: u32, y: u32) -> u8 {
        picture.data(index)[y as usize * picture.stride(index) + x as usize]
    }

    #[test]
    fn only_the_part_is_copied_to_its_place() {
        let from = drawn(Size { width: 16, height: 8 }, |index, x, y| (100 * index as u32 + 10 * y + x) as u8);
        let mut to = drawn(Size { width: 8, height: 8 }, |_, _, _| 0);
        let (part, place) = (Rect { x: 4, y: 2, width: 4, height: 4 }, Rect { x: 2, y: 4, width: 4, height: 4 });
        copy(&from, part, &mut to, place);
        let luma: Vec<u8> = (0..8).map(|x| at(&to, 0, x, 4)).collect();
        assert_eq!(luma, [0, 0, 24, 25, 26, 27, 0, 0]);
        let chroma: Vec<u8> = (0..4).map(|x| at(&to, 2, x, 2)).collect();
        assert_eq!(chroma, [0, 212, 213, 0]);
        assert_eq!((at(&to, 0, 2, 3), at(&to, 1, 1, 1)), (0, 0));
    }

    #[test]
    fn halving_takes_the_mean_of_four_samples() {
        let from = drawn(Size { width: 8, height: 8 }, |_, x, y| (x * 10 + y) as u8);
        let mut to = blank(Size { width: 2, height: 4 });
        halve(&from, Rect { x: 4, y: 0, width: 4, height: 8 }, &mut to);
        assert_eq!((at(&to, 0, 0, 0), at(&to, 0, 1, 3)), (46, 72)); // 45.5 and 71.5
        assert_eq!(at(&to, 1, 0, 1), 28); // 27.5
    }

    #[test]
    fn blending_is_exact_for_opaque_and_transparent_samples() {
        let mut row = [0, 16, 200, 255];
        blend(&mut row, &[0, 0, 90, 255], &[0, 0, 255, 255]);
        assert_eq!(row, [0, 16, 90, 255]);
        let mut row = [200, 255];
        blend(&mut row, &[50, 128], &[128, 128]);
        assert_eq!(row, [150, 255]);
    }
}
