//! Converts samples from any colour matrix and range to those of the canvas, BT.709 in the limited range.
//!
//! Grey is grey in every matrix, so the new chroma depends on the old chroma alone. Primaries and transfer stay as they
//! are.

use onmic_media::codec::Colour;

use super::plane::{self, Plane};
use crate::codec::RawVideo;

/// The height from which a frame that does not state its matrix is taken for BT.709. A lower one is taken for BT.601,
/// as in browsers.
const HD_HEIGHT: u32 = 720;

/// The number of fractional bits of fixed-point numbers.
const BITS: u32 = 14;

/// The code point of BT.709 (H.273), which the canvas has.
const BT709: u8 = 1;

/// Is a linear map of Y, Cb and Cr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    luma: [i32; 3],
    luma_offset: i32,
    chroma: [[i32; 2]; 2],
}

/// Returns the shares of red and blue in luma (H.273, table 4).
fn shares(matrix: u8, height: u32) -> (f64, f64) {
    match matrix {
        BT709 => (0.2126, 0.0722),
        4..=6 => (0.299, 0.114),
        7 => (0.212, 0.087),
        9 | 10 => (0.2627, 0.0593),
        _ if height >= HD_HEIGHT => (0.2126, 0.0722),
        _ => (0.299, 0.114),
    }
}

impl Map {
    /// Makes the map for frames of `height` rows that state `colour`. Returns `None` if they already have the canvas's
    /// matrix and range.
    pub(crate) fn of(colour: &Colour, height: u32) -> Option<Self> {
        let (from, to) = (shares(colour.matrix, height), shares(BT709, height));
        if from == to && !colour.full_range {
            return None;
        }
        // Converts Y, Cb and Cr in the frame's matrix to R, G and B.
        let rgb = |luma: f64, blue: f64, red: f64| {
            let (r, b) = (luma + 2.0 * (1.0 - from.0) * red, luma + 2.0 * (1.0 - from.1) * blue);
            (r, (luma - from.0 * r - from.1 * b) / (1.0 - from.0 - from.1), b)
        };
        let yuv = |(r, g, b): (f64, f64, f64)| {
            let luma = to.0 * r + (1.0 - to.0 - to.1) * g + to.1 * b;
            (luma, (b - luma) / (2.0 * (1.0 - to.1)), (r - luma) / (2.0 * (1.0 - to.0)))
        };
        let (luma_in, chroma_in, black) = if colour.full_range { (255.0, 255.0, 0.0) } else { (219.0, 224.0, 16.0) };
        let fixed = |value: f64| (value * f64::from(1 << BITS)).round() as i32;
        let (of_blue, of_red) = (yuv(rgb(0.0, 1.0, 0.0)), yuv(rgb(0.0, 0.0, 1.0)));
        let chroma = |share: f64| fixed(share * 224.0 / chroma_in);
        let luma = [219.0 / luma_in, of_blue.0 * 219.0 / chroma_in, of_red.0 * 219.0 / chroma_in];
        Some(Self {
            luma: luma.map(fixed),
            luma_offset: fixed(16.5 - black * luma[0]),
            chroma: [[chroma(of_blue.1), chroma(of_red.1)], [chroma(of_blue.2), chroma(of_red.2)]],
        })
    }

    /// Converts a frame in place.
    pub(crate) fn apply(&self, picture: &mut RawVideo) {
        let all = plane::size(picture).rect();
        let chroma = |index| -> Vec<u8> { Plane::of(picture, index, all).rows().flatten().copied().collect() };
        let (blues, reds) = (chroma(1), chroma(2));
        let width = all.width as usize / 2;
        let centred = |value: u8| i32::from(value) - 128;
        let sample = |value: i32| (value >> BITS).clamp(0, 255) as u8;
        for (y, row) in plane::rows_mut(picture, 0, all).enumerate() {
            let from = y / 2 * width;
            let beside = blues[from..from + width].iter().zip(&reds[from..from + width]);
            for (pair, (blue, red)) in row.as_chunks_mut::<2>().0.iter_mut().zip(beside) {
                let shift = self.luma[1] * centred(*blue) + self.luma[2] * centred(*red) + self.luma_offset;
                *pair = pair.map(|luma| sample(self.luma[0] * i32::from(luma) + shift));
            }
        }
        for (index, [of_blue, of_red]) in self.chroma.into_iter().enumerate() {
            let both = blues.iter().zip(&reds);
            let to = plane::rows_mut(picture, index + 1, all).flatten();
            to.zip(both).for_each(|(to, (blue, red))| {
                *to = sample(of_blue * centred(*blue) + of_red * centred(*red) + (128 << BITS) + (1 << (BITS - 1)));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plane::tests::{at, drawn};
    use super::*;
    use crate::scene::Size;

    fn mapped(colour: Colour, yuv: [u8; 3]) -> [u8; 3] {
        let mut picture = drawn(Size { width: 4, height: 4 }, |index, _, _| yuv[index]);
        Map::of(&colour, 480).expect("something to do").apply(&mut picture);
        [0, 1, 2].map(|index| at(&picture, index, 1, 1))
    }

    #[test]
    fn frames_in_bt_709_are_left_as_they_are() {
        let hd = Colour { matrix: 1, ..Colour::unspecified(false) };
        assert_eq!(Map::of(&hd, 480), None);
        assert_eq!(Map::of(&Colour::unspecified(false), 720), None);
        assert!(Map::of(&Colour::unspecified(false), 480).is_some());
    }

    #[test]
    fn colours_of_bt_601_and_of_the_full_range_keep_their_appearance() {
        let sd = Colour { matrix: 6, ..Colour::unspecified(false) };
        assert_eq!(mapped(sd, [81, 90, 240]), [62, 102, 240]); // red, rounded once more
        assert_eq!(mapped(sd, [145, 54, 34]), [173, 42, 26]); // green
        assert_eq!(mapped(sd, [235, 128, 128]), [235, 128, 128]);
        let full = Colour { matrix: 1, ..Colour::unspecified(true) };
        assert_eq!(mapped(full, [255, 128, 128]), [235, 128, 128]);
        assert_eq!(mapped(full, [0, 128, 128]), [16, 128, 128]);
        assert_eq!(mapped(full, [54, 99, 255]), [62, 103, 240]); // red
    }
}
