//! A small image with transparency, in the form of the canvas. It is drawn once and blended on every frame that needs
//! it.

use image::RgbaImage;

use super::plane::{self, PLANES, Plane};
use crate::codec::RawVideo;
use crate::scene::Rect;

/// Holds Y, Cb and Cr multiplied by alpha, and the alphas of the luma and chroma samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    width: u32,
    samples: [Vec<u8>; PLANES],
    alphas: [Vec<u8>; 2],
}

impl Patch {
    /// Makes a patch from RGB multiplied by alpha. Its sides are even: an odd last row or column is left out.
    pub(crate) fn of(image: &RgbaImage, opacity: f32) -> Self {
        let (width, height) = (image.width() & !1, image.height() & !1);
        let opacity = if opacity.is_finite() { opacity.clamp(0.0, 1.0) } else { 1.0 };
        let luma_samples = (width * height) as usize;
        let mut patch = Self {
            width,
            samples: [luma_samples, luma_samples / 4, luma_samples / 4].map(Vec::with_capacity),
            alphas: [luma_samples, luma_samples / 4].map(Vec::with_capacity),
        };
        let parts = |x: u32, y: u32| image.get_pixel(x, y).0.map(|part| f32::from(part) * opacity);
        for y in 0..height {
            for x in 0..width {
                let [luma, .., alpha] = yuva(parts(x, y));
                patch.samples[0].push(luma);
                patch.alphas[0].push(alpha);
            }
        }
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let four = [parts(x, y), parts(x + 1, y), parts(x, y + 1), parts(x + 1, y + 1)];
                let mean = [0, 1, 2, 3].map(|part| four.iter().map(|parts| parts[part]).sum::<f32>() / 4.0);
                let [_, blue, red, alpha] = yuva(mean);
                patch.samples[1].push(blue);
                patch.samples[2].push(red);
                patch.alphas[1].push(alpha);
            }
        }
        patch
    }

    pub(crate) fn width(&self) -> u32 {
        self.width
    }

    pub(crate) fn height(&self) -> u32 {
        self.samples[0].len() as u32 / self.width.max(1)
    }

    /// Blends the patch on the canvas with its upper left corner at (x, y), which must be even. The patch must lie
    /// within the canvas.
    pub(crate) fn blend(&self, canvas: &mut RawVideo, x: u32, y: u32) {
        let part = Rect { x, y, width: self.width, height: self.height() };
        if !plane::size(canvas).rect().covers(part) {
            return; // A plan never places a patch outside the canvas.
        }
        for index in 0..PLANES {
            let width = self.width as usize / if index == 0 { 1 } else { 2 };
            let over = Plane::tight(&self.samples[index], width).rows();
            let alphas = Plane::tight(&self.alphas[index.min(1)], width).rows();
            let rows = plane::rows_mut(canvas, index, part).zip(over).zip(alphas);
            rows.for_each(|((row, over), alpha)| plane::blend(row, over, alpha));
        }
    }
}

/// Converts RGB that is multiplied by alpha to BT.709 in the limited range. The offsets are multiplied by alpha too.
fn yuva([red, green, blue, alpha]: [f32; 4]) -> [u8; 4] {
    let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let opaque = alpha / 255.0;
    let y = 16.0 * opaque + 219.0 / 255.0 * luma;
    let cb = 128.0 * opaque + 224.0 / 255.0 * (blue - luma) / 1.8556;
    let cr = 128.0 * opaque + 224.0 / 255.0 * (red - luma) / 1.5748;
    [y, cb, cr, alpha].map(|part| part.round().clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::plane::tests::{at, drawn};
    use super::*;
    use crate::scene::{Colour, Size};

    #[test]
    fn an_opaque_patch_replaces_the_canvas_and_a_transparent_one_changes_nothing() {
        let yuv = Colour::rgb(200, 30, 90).yuv();
        let mut canvas = drawn(Size { width: 16, height: 8 }, |_, _, _| 77);
        let opaque = Patch::of(&RgbaImage::from_pixel(5, 4, Rgba([200, 30, 90, 255])), 1.0);
        assert_eq!((opaque.width(), opaque.height()), (4, 4));
        opaque.blend(&mut canvas, 2, 2);
        Patch::of(&RgbaImage::from_pixel(4, 4, Rgba([0, 0, 0, 0])), 1.0).blend(&mut canvas, 10, 2);
        Patch::of(&RgbaImage::from_pixel(4, 4, Rgba([9, 9, 9, 255])), 0.0).blend(&mut canvas, 10, 4);
        assert_eq!([at(&canvas, 0, 2, 2), at(&canvas, 1, 1, 1), at(&canvas, 2, 2, 2)], yuv);
        assert_eq!([at(&canvas, 0, 1, 2), at(&canvas, 0, 10, 4), at(&canvas, 1, 6, 2)], [77; 3]);
    }

    #[test]
    fn a_white_patch_of_half_opacity_is_half_way_to_white() {
        let mut canvas = drawn(Size { width: 4, height: 4 }, |index, _, _| [35, 128, 128][index]);
        Patch::of(&RgbaImage::from_pixel(4, 4, Rgba([255; 4])), 0.5).blend(&mut canvas, 0, 0);
        let seen = [0, 1, 2].map(|index| at(&canvas, index, 1, 1));
        assert!(seen[0].abs_diff(135) <= 1 && seen[1].abs_diff(128) <= 1 && seen[2].abs_diff(128) <= 1, "{seen:?}");
    }

    #[test]
    fn a_patch_that_does_not_fit_is_left_out() {
        let mut canvas = drawn(Size { width: 4, height: 4 }, |_, _, _| 1);
        Patch::of(&RgbaImage::from_pixel(4, 4, Rgba([255; 4])), 1.0).blend(&mut canvas, 2, 0);
        assert_eq!(at(&canvas, 0, 3, 0), 1);
    }
}
