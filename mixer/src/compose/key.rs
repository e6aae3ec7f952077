//! Chroma key: computes the alpha of each colour, and the colour without the screen's spill.
//!
//! Both depend on the pair of chroma values alone, so one table holds all results.

use super::plane::{self, Plane, scale_255};
use crate::codec::RawVideo;
use crate::scene::ChromaKey;

/// Holds alpha and the new Cb and Cr for each pair of Cb and Cr.
pub(crate) struct Key(Box<[[u8; 3]]>);

/// Holds the alphas of a frame, for its luma and for its chroma samples.
#[derive(Default)]
pub(crate) struct Alphas {
    pub(crate) luma: Vec<u8>,
    pub(crate) chroma: Vec<u8>,
}

impl Key {
    pub(crate) fn new(key: &ChromaKey) -> Self {
        let fraction = |value: f32| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
        let [similarity, smoothness, spill] = [key.similarity, key.smoothness, key.spill].map(fraction);
        let [_, key_blue, key_red] = key.colour.yuv().map(|part| f32::from(part) - 128.0);
        let length = key_blue.hypot(key_red).max(1.0);
        let table = (0..1_u32 << 16).map(|chroma| {
            let (blue, red) = ((chroma >> 8) as f32 - 128.0, (chroma & 0xff) as f32 - 128.0);
            let distance = (blue - key_blue).hypot(red - key_red) / (255.0 * std::f32::consts::SQRT_2);
            let seen = ((distance - similarity) / smoothness.max(1e-4)).clamp(0.0, 1.0);
            // The spill is the part of the colour that points in the direction of the screen's colour.
            let shine = ((blue * key_blue + red * key_red) / length).max(0.0) * spill / length;
            let sample = |value: f32| (value + 128.0).round().clamp(0.0, 255.0) as u8;
            [(seen * 255.0).round() as u8, sample(blue - shine * key_blue), sample(red - shine * key_red)]
        });
        Self(table.collect())
    }

    /// Applies the key to a frame. Afterwards the frame is multiplied by its alpha.
    pub(crate) fn apply(&self, picture: &mut RawVideo, alphas: &mut Alphas) {
        let all = plane::size(picture).rect();
        let width = all.width as usize;
        self.look_up(picture, width / 2, &mut alphas.chroma);
        alphas.luma.clear();
        let half: Vec<&[u8]> = Plane::tight(&alphas.chroma, width / 2).rows().collect();
        for (y, row) in plane::rows_mut(picture, 0, all).enumerate() {
            // Alpha is interpolated between chroma rows and columns: three quarters of the nearer and one quarter of
            // the farther.
            let near = half[y / 2];
            let far = half[if y % 2 == 0 { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(half.len() - 1) }];
            let column = |x: usize| 3 * u16::from(near[x]) + u16::from(far[x]);
            for (x, sample) in row.iter_mut().enumerate() {
                let beside = if x % 2 == 0 { (x / 2).saturating_sub(1) } else { (x / 2 + 1).min(near.len() - 1) };
                let alpha = ((3 * column(x / 2) + column(beside) + 8) >> 4) as u8;
                *sample = scale_255(*sample, alpha);
                alphas.luma.push(alpha);
            }
        }
    }

    fn look_up(&self, picture: &mut RawVideo, width: usize, alphas: &mut Vec<u8>) {
        alphas.clear();
        let height = picture.height() as usize / 2;
        let (blue_stride, red_stride) = (picture.stride(1), picture.stride(2));
        for y in 0..height {
            let row = alphas.len();
            let (blue, red) = (y * blue_stride, y * red_stride);
            for x in 0..width {
                let index = usize::from(picture.data(1)[blue + x]) << 8 | usize::from(picture.data(2)[red + x]);
                alphas.push(self.0[index][0]);
                let [alpha, new_blue, new_red] = self.0[index];
                picture.data_mut(1)[blue + x] = scale_255(new_blue, alpha);
                picture.data_mut(2)[red + x] = scale_255(new_red, alpha);
            }
            debug_assert_eq!(alphas.len(), row + width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plane::tests::{at, drawn};
    use super::*;
    use crate::scene::{Colour, Size};

    fn keyed(colour: Colour) -> (RawVideo, Alphas) {
        let yuv = colour.yuv();
        let mut picture = drawn(Size { width: 8, height: 8 }, |index, _, _| yuv[index]);
        let mut alphas = Alphas::default();
        Key::new(&ChromaKey::default()).apply(&mut picture, &mut alphas);
        assert_eq!((alphas.luma.len(), alphas.chroma.len()), (64, 16));
        (picture, alphas)
    }

    #[test]
    fn the_screen_is_transparent_in_light_and_shade_and_people_are_opaque() {
        for screen in [Colour::rgb(0, 0xd0, 0x20), Colour::rgb(20, 190, 50), Colour::rgb(0, 150, 20)] {
            let (picture, alphas) = keyed(screen);
            assert_eq!((alphas.luma[9], at(&picture, 0, 3, 3), at(&picture, 1, 1, 1)), (0, 0, 0), "{screen:?}");
        }
        for seen in [Colour::WHITE, Colour::rgb(20, 20, 20), Colour::rgb(224, 172, 140), Colour::rgb(20, 40, 160)] {
            let (picture, alphas) = keyed(seen);
            assert_eq!((alphas.luma[9], at(&picture, 0, 3, 3)), (255, seen.yuv()[0]), "{seen:?}");
        }
    }

    #[test]
    fn edges_are_soft_and_spill_is_removed() {
        let pale = Colour::rgb(205, 225, 208);
        let (picture, alphas) = keyed(pale);
        assert_eq!(alphas.luma[0], 255);
        let (before, after) = (pale.yuv(), [0, 1, 2].map(|index| at(&picture, index, 0, 0)));
        assert!(after[1] > before[1] && after[2] > before[2], "less green: {before:?} {after:?}");
        let yuv = [Colour::rgb(0, 0xd0, 0x20).yuv(), Colour::WHITE.yuv()];
        let mut picture = drawn(Size { width: 8, height: 4 }, |index, x, _| {
            yuv[usize::from(x >= if index == 0 { 4 } else { 2 })][index]
        });
        let mut alphas = Alphas::default();
        Key::new(&ChromaKey::default()).apply(&mut picture, &mut alphas);
        assert_eq!(&alphas.luma[..8], [0, 0, 0, 64, 191, 255, 255, 255]);
    }
}
