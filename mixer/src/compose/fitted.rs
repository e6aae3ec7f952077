//! Brings the frames of one input to the form of its tile. It crops, scales and turns them, converts their colours to
//! those of the canvas, and applies the chroma key.

use onmic_media::codec::Colour;

use super::hue::Map;
use super::key::{Alphas, Key};
use super::plane::{self, PLANES, Plane};
use crate::codec::picture::sample_aspect;
use crate::codec::{self, Pixel, RawVideo, Scaler};
use crate::error::Error;
use crate::scene::{ChromaKey, Fit, Rect, Rotation, Size};

/// Aspect ratios that differ by less than this are taken for the same: viewers do not see a hundredth, so nothing is
/// cropped for it.
const SAME_SHAPE: f64 = 0.01;

/// States which part of a frame goes where in a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    /// The part of the frame that is shown.
    part: Rect,
    /// The size of the part in the tile, before it is turned.
    scaled: Size,
    /// Where the part lies, from the tile's corner.
    inner: Rect,
}

impl Geometry {
    /// Computes the geometry. `aspect` is the ratio of width to height of one sample.
    fn of(picture: Size, aspect: f64, tile: Size, fit: Fit, rotation: Rotation) -> Self {
        let turn = |size: Size| match rotation.turns_sides() {
            true => Size { width: size.height, height: size.width },
            false => size,
        };
        let whole = Rect { x: 0, y: 0, width: picture.width & !1, height: picture.height & !1 };
        let wanted = turn(tile);
        let shape = |size: Size| f64::from(size.width) / f64::from(size.height);
        let (is, wants) = (shape(whole.size()) * aspect, shape(wanted));
        let wider = is / wants;
        let all = Rect { x: 0, y: 0, width: tile.width, height: tile.height };
        if (wider - 1.0).abs() < SAME_SHAPE {
            return Self { part: whole, scaled: wanted, inner: all };
        }
        let less = |side: u32, by: f64| (f64::from(side) / by / 2.0).round() as u32 * 2;
        match fit {
            Fit::Crop => {
                let part = if wider > 1.0 {
                    whole.middle(less(whole.width, wider), whole.height)
                } else {
                    whole.middle(whole.width, less(whole.height, 1.0 / wider))
                };
                Self { part, scaled: wanted, inner: all }
            }
            Fit::Contain => {
                let (width, height) = if wider > 1.0 {
                    (wanted.width, less(wanted.height, wider))
                } else {
                    (less(wanted.width, 1.0 / wider), wanted.height)
                };
                let turned = turn(Size { width, height });
                let inner = all.middle(turned.width, turned.height);
                Self { part: whole, scaled: turn(inner.size()), inner }
            }
        }
    }
}

/// Keeps the last frame of one tile in its final form.
pub(crate) struct Fitted {
    tile: Size,
    fit: Fit,
    rotation: Rotation,
    key: Option<Key>,
    geometry: Option<Geometry>,
    scaler: Scaler,
    /// The part at half its size, at a quarter, and so on, if it is much larger than the tile.
    halves: Vec<RawVideo>,
    picture: RawVideo,
    alphas: Option<Alphas>,
}

impl Fitted {
    pub(crate) fn new(tile: Size, fit: Fit, rotation: Rotation, key: Option<&ChromaKey>) -> Self {
        let (scaler, picture, key) = (Scaler::default(), RawVideo::empty(), key.map(Key::new));
        Self {
            tile,
            fit,
            rotation,
            alphas: key.as_ref().map(|_| Alphas::default()),
            key,
            geometry: None,
            scaler,
            halves: Vec::new(),
            picture,
        }
    }

    /// Takes in a new frame.
    pub(crate) fn fit(&mut self, picture: &RawVideo) -> Result<(), Error> {
        let size = plane::size(picture);
        if size.width < 2 || size.height < 2 {
            return Err(Error::PictureSize { width: size.width, height: size.height });
        }
        let geometry = Geometry::of(size, sample_aspect(picture).ratio(), self.tile, self.fit, self.rotation);
        let (format, colour) = meaning(picture);
        let map = Map::of(&colour, size.height);
        let alone = map.is_none() && self.key.is_none() && self.rotation == Rotation::None;
        self.scale(picture, format, &geometry, alone)?;
        self.geometry = Some(geometry);
        if let Some(map) = map {
            map.apply(&mut self.picture);
        }
        if self.rotation != Rotation::None {
            self.picture = turned(&self.picture, self.rotation);
        }
        if let (Some(key), Some(alphas)) = (&self.key, &mut self.alphas) {
            key.apply(&mut self.picture, alphas);
        }
        Ok(())
    }

    /// Scales `from` to `self.picture`. If `alone`, nothing will write to the result, so it may share its samples with
    /// the decoder's frame.
    fn scale(&mut self, from: &RawVideo, format: Pixel, to: &Geometry, alone: bool) -> Result<(), Error> {
        let Rect { x, y, width, height } = to.part;
        let planar = format == Pixel::YUV420P;
        if planar && to.scaled == to.part.size() && alone {
            self.picture = codec::part(from, x, y, width, height).map_err(Error::Convert)?;
            return Ok(());
        }
        // A frame that shares its samples with the decoder's must not be drawn on.
        if plane::size(&self.picture) != to.scaled || codec::make_writable(&mut self.picture).is_err() {
            self.picture = plane::blank(to.scaled);
        }
        if planar && to.scaled == to.part.size() {
            plane::copy(from, to.part, &mut self.picture, to.scaled.rect());
            return Ok(());
        }
        if planar && (to.scaled.width * 2, to.scaled.height * 2) == (width, height) {
            plane::halve(from, to.part, &mut self.picture);
            return Ok(());
        }
        let mut part = codec::part(from, x, y, width, height).map_err(Error::Convert)?;
        part.set_format(format);
        // A part that is much too large is halved first: the mean of four samples costs a tenth of the scaler.
        let mut level = 0;
        while planar && worth_halving(plane::size(&part), to.scaled) {
            let whole = plane::size(&part);
            let half = Size { width: whole.width / 2, height: whole.height / 2 };
            if self.halves.get(level).map(plane::size) != Some(half) {
                self.halves.truncate(level);
                self.halves.push(plane::blank(half));
            }
            plane::halve(&part, whole.rect(), &mut self.halves[level]);
            part = codec::part(&self.halves[level], 0, 0, half.width, half.height).map_err(Error::Convert)?;
            level += 1;
        }
        if planar && plane::size(&part) == to.scaled {
            plane::copy(&part, to.scaled.rect(), &mut self.picture, to.scaled.rect());
            return Ok(());
        }
        self.scaler.scale(&part, to.scaled.width, to.scaled.height, &mut self.picture)
    }

    /// Draws the frame on the canvas, in the tile whose corner is at (x, y). Returns the area that it covers.
    pub(crate) fn draw(&self, canvas: &mut RawVideo, x: u32, y: u32) -> Option<Rect> {
        let inner = self.geometry?.inner;
        let place = Rect { x: x + inner.x, y: y + inner.y, ..inner };
        let all = inner.size().rect();
        match &self.alphas {
            None => plane::copy(&self.picture, all, canvas, place),
            Some(alphas) => {
                for index in 0..PLANES {
                    let (alphas, width) = match index {
                        0 => (&alphas.luma, inner.width as usize),
                        _ => (&alphas.chroma, inner.width as usize / 2),
                    };
                    let over = Plane::of(&self.picture, index, all).rows().zip(Plane::tight(alphas, width).rows());
                    let rows = plane::rows_mut(canvas, index, place).zip(over);
                    rows.for_each(|(row, (over, alpha))| plane::blend(row, over, alpha));
                }
            }
        }
        Some(place)
    }
}

/// Returns whether half of a frame is still large enough, and has whole chroma samples.
fn worth_halving(picture: Size, wanted: Size) -> bool {
    let large = picture.width >= 2 * wanted.width && picture.height >= 2 * wanted.height;
    large && picture.width.is_multiple_of(4) && picture.height.is_multiple_of(4)
}

/// Returns the pixel format without the range that older format names state, and the colour of the samples once they
/// are YUV.
fn meaning(picture: &RawVideo) -> (Pixel, Colour) {
    let mut colour = codec::colour(picture);
    let format = match picture.format() {
        Pixel::YUVJ420P => Pixel::YUV420P,
        Pixel::YUVJ422P => Pixel::YUV422P,
        Pixel::YUVJ444P => Pixel::YUV444P,
        // The scaler converts RGB to BT.601 in the limited range.
        Pixel::GBRP | Pixel::GBRP10LE | Pixel::GBRP12LE | Pixel::RGB24 | Pixel::RGBA => {
            return (picture.format(), Colour { matrix: 6, full_range: false, ..colour });
        }
        format => return (format, colour),
    };
    colour.full_range = true;
    (format, colour)
}

/// Turns a frame clockwise.
fn turned(picture: &RawVideo, rotation: Rotation) -> RawVideo {
    let size = plane::size(picture);
    let turned = if rotation.turns_sides() { Size { width: size.height, height: size.width } } else { size };
    let mut to = plane::blank(turned);
    for index in 0..PLANES {
        let from: Vec<&[u8]> = Plane::of(picture, index, size.rect()).rows().collect();
        let (columns, rows) = (from[0].len(), from.len());
        for (y, row) in plane::rows_mut(&mut to, index, turned.rect()).enumerate() {
            for (x, to) in row.iter_mut().enumerate() {
                *to = match rotation {
                    Rotation::None => from[y][x],
                    Rotation::Quarter => from[rows - 1 - x][y],
                    Rotation::Half => from[rows - 1 - y][columns - 1 - x],
                    Rotation::ThreeQuarters => from[x][columns - 1 - y],
                };
            }
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::plane::tests::{at, drawn};
    use super::*;
    use crate::codec::Space;

    fn geometry(picture: (u32, u32), tile: (u32, u32), fit: Fit, rotation: Rotation) -> (Rect, Size, Rect) {
        let size = |(width, height)| Size { width, height };
        let Geometry { part, scaled, inner } = Geometry::of(size(picture), 1.0, size(tile), fit, rotation);
        (part, scaled, inner)
    }

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect { x, y, width, height }
    }

    #[test]
    fn frames_are_cropped_or_contained_in_the_shape_of_their_tile() {
        use Rotation::{None, Quarter};
        let size = |width, height| Size { width, height };
        let cases = [
            ((1280, 720), (640, 360), Fit::Crop, None, rect(0, 0, 1280, 720), size(640, 360), rect(0, 0, 640, 360)),
            ((1281, 721), (640, 360), Fit::Crop, None, rect(0, 0, 1280, 720), size(640, 360), rect(0, 0, 640, 360)),
            ((1280, 720), (640, 720), Fit::Crop, None, rect(320, 0, 640, 720), size(640, 720), rect(0, 0, 640, 720)),
            ((1280, 720), (426, 240), Fit::Crop, None, rect(0, 0, 1280, 720), size(426, 240), rect(0, 0, 426, 240)),
            ((720, 1280), (640, 360), Fit::Crop, None, rect(0, 436, 720, 406), size(640, 360), rect(0, 0, 640, 360)),
            (
                (720, 1280),
                (640, 360),
                Fit::Contain,
                None,
                rect(0, 0, 720, 1280),
                size(202, 360),
                rect(218, 0, 202, 360),
            ),
            ((720, 1280), (640, 360), Fit::Crop, Quarter, rect(0, 0, 720, 1280), size(360, 640), rect(0, 0, 640, 360)),
            (
                (1280, 720),
                (640, 360),
                Fit::Contain,
                Quarter,
                rect(0, 0, 1280, 720),
                size(360, 202),
                rect(218, 0, 202, 360),
            ),
            ((3, 3), (2, 2), Fit::Crop, None, rect(0, 0, 2, 2), size(2, 2), rect(0, 0, 2, 2)),
        ];
        for (picture, tile, fit, rotation, part, scaled, inner) in cases {
            let seen = geometry(picture, tile, fit, rotation);
            assert_eq!(seen, (part, scaled, inner), "{picture:?} {tile:?} {fit:?} {rotation:?}");
        }
    }

    fn quadrants(width: u32, height: u32) -> RawVideo {
        drawn(Size { width, height }, |index, x, y| {
            let (width, height) = if index == 0 { (width, height) } else { (width / 2, height / 2) };
            let quadrant = u8::from(x >= width / 2) + 2 * u8::from(y >= height / 2);
            [40, 110, 120][index] + 30 * quadrant
        })
    }

    fn drawn_on_canvas(fitted: &Fitted, tile: Size) -> RawVideo {
        let mut canvas = drawn(Size { width: tile.width + 8, height: tile.height + 8 }, |_, _, _| 1);
        fitted.draw(&mut canvas, 4, 4);
        canvas
    }

    /// Returns the luma in the middle of each quadrant, row by row.
    fn lumas(canvas: &RawVideo, tile: Size) -> [u8; 4] {
        let (width, height) = (tile.width / 4, tile.height / 4);
        [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| at(canvas, 0, 4 + x * width, 4 + y * height))
    }

    #[test]
    fn every_way_of_scaling_puts_quadrants_where_they_belong() {
        let tile = Size { width: 64, height: 48 };
        // The cases are the same size, twice and four times the size, a smaller one, odd factors, and another shape.
        for (width, height) in [(64, 48), (128, 96), (256, 192), (32, 24), (210, 158), (300, 220), (128, 48)] {
            let mut fitted = Fitted::new(tile, Fit::Crop, Rotation::None, None);
            fitted.fit(&ffmpeg_hd(quadrants(width, height))).unwrap();
            let canvas = drawn_on_canvas(&fitted, tile);
            assert_eq!(lumas(&canvas, tile), [40, 70, 100, 130], "{width}x{height}");
            let around = [at(&canvas, 0, 3, 20), at(&canvas, 0, 68, 20), at(&canvas, 0, 20, 3), at(&canvas, 0, 20, 52)];
            assert_eq!(around, [1; 4]);
            assert_eq!(at(&canvas, 1, 2 + 24, 2 + 18), 200);
        }
    }

    #[test]
    fn turning_is_clockwise() {
        let tile = Size { width: 64, height: 48 };
        let cases = [
            (Rotation::Quarter, (48, 64), [100, 40, 130, 70]),
            (Rotation::Half, (64, 48), [130, 100, 70, 40]),
            (Rotation::ThreeQuarters, (96, 128), [70, 130, 40, 100]),
        ];
        for (rotation, (width, height), wanted) in cases {
            let mut fitted = Fitted::new(tile, Fit::Crop, rotation, None);
            fitted.fit(&ffmpeg_hd(quadrants(width, height))).unwrap();
            assert_eq!(lumas(&drawn_on_canvas(&fitted, tile), tile), wanted, "{rotation:?}");
        }
    }

    #[test]
    fn other_formats_and_odd_sizes_are_accepted() {
        let tile = Size { width: 64, height: 48 };
        for format in [Pixel::YUV422P10LE, Pixel::YUV444P, Pixel::YUVJ420P, Pixel::NV12, Pixel::GBRP, Pixel::YUVJ422P] {
            for (width, height) in [(129, 97), (65, 49), (3, 2)] {
                let mut fitted = Fitted::new(tile, Fit::Crop, Rotation::None, None);
                fitted.fit(&RawVideo::new(format, width, height)).unwrap();
                let mut canvas = plane::blank(tile);
                assert_eq!(fitted.draw(&mut canvas, 0, 0), Some(tile.rect()), "{format:?}");
            }
        }
        let mut fitted = Fitted::new(tile, Fit::Crop, Rotation::None, None);
        assert!(fitted.fit(&RawVideo::new(Pixel::YUV420P, 1, 9)).is_err());
    }

    /// Marks the frame as BT.709, so that its values stay as they are.
    fn ffmpeg_hd(mut picture: RawVideo) -> RawVideo {
        picture.set_color_space(Space::BT709);
        picture
    }

    #[test]
    fn a_frame_that_is_shared_is_never_drawn_on() {
        let tile = Size { width: 64, height: 48 };
        let mut fitted = Fitted::new(tile, Fit::Crop, Rotation::None, None);
        let first = ffmpeg_hd(quadrants(64, 48));
        fitted.fit(&first).unwrap();
        fitted.fit(&ffmpeg_hd(quadrants(128, 96))).unwrap();
        let mut odd = quadrants(64, 48);
        odd.set_color_space(Space::SMPTE170M);
        fitted.fit(&odd).unwrap();
        assert_eq!((at(&first, 0, 0, 0), at(&odd, 0, 0, 0), at(&odd, 1, 0, 0)), (40, 40, 110));
    }
}
