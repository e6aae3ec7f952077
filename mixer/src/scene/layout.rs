//! Layouts: where each of several inputs goes, the host first.

use super::{Fit, InputId, Place, Tile};

/// The most inputs that are seen at once.
pub const TILES_MAX: usize = 9;

/// Beside small pictures, in fractions of the canvas.
const MARGIN: f32 = 0.02;

/// Where a tile goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// On the canvas.
    pub place: Place,
    /// Higher is nearer.
    pub z: i32,
    /// Into the place.
    pub fit: Fit,
}

/// Of the canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corner {
    /// Top left.
    TopLeft,
    /// Top right.
    TopRight,
    /// Bottom left.
    BottomLeft,
    /// Bottom right.
    #[default]
    BottomRight,
}

/// How inputs share the canvas. Those that have no place in it are not seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Layout {
    /// The host alone.
    Solo,
    /// Columns of the canvas's height, four at most; more make a grid.
    SideBySide,
    /// Cells of the canvas's shape, the last row in the middle.
    #[default]
    Grid,
    /// The host everywhere, the others small from a corner upwards (from an upper one downwards).
    PictureInPicture {
        /// Where they begin.
        corner: Corner,
    },
    /// The host large on the left, the others in a strip on the right.
    HostAndStrip,
    /// As given, in the order of the inputs.
    Custom {
        /// One for each input.
        slots: Vec<Slot>,
    },
}

impl Layout {
    /// Where each of `inputs` goes, [`TILES_MAX`] at most.
    pub fn slots(&self, inputs: usize) -> Vec<Slot> {
        let inputs = inputs.min(TILES_MAX);
        match self {
            _ if inputs == 0 => Vec::new(),
            Self::Custom { slots } => slots.iter().copied().take(inputs).collect(),
            _ if inputs == 1 => flat([Place::ALL]),
            Self::Solo => flat([Place::ALL]),
            Self::SideBySide if inputs <= 4 => {
                let width = 1.0 / inputs as f32;
                flat((0..inputs).map(|column| Place::of(column as f32 * width, 0.0, width, 1.0)))
            }
            Self::SideBySide | Self::Grid => flat(grid(inputs)),
            Self::PictureInPicture { corner } => {
                let small = small(inputs - 1, *corner).map(|place| Slot { z: 1, ..Slot::at(place) });
                std::iter::once(Slot::at(Place::ALL)).chain(small).collect()
            }
            Self::HostAndStrip => {
                let others = inputs - 1;
                let height = 1.0 / others.max(4) as f32;
                let top = (1.0 - height * others as f32) / 2.0;
                let strip = (0..others).map(|row| Place::of(0.75, top + row as f32 * height, 0.25, height));
                flat(std::iter::once(Place::of(0.0, 0.0, 0.75, 1.0)).chain(strip))
            }
        }
    }

    /// The tiles of `inputs`, the host's first.
    pub fn tiles(&self, inputs: &[InputId]) -> Vec<Tile> {
        let tile =
            |(slot, input): (Slot, &InputId)| Tile { z: slot.z, fit: slot.fit, ..Tile::new(input.clone(), slot.place) };
        self.slots(inputs.len()).into_iter().zip(inputs).map(tile).collect()
    }
}

impl Slot {
    fn at(place: Place) -> Self {
        Self { place, z: 0, fit: Fit::Crop }
    }
}

fn flat(places: impl IntoIterator<Item = Place>) -> Vec<Slot> {
    places.into_iter().map(Slot::at).collect()
}

fn grid(inputs: usize) -> impl Iterator<Item = Place> {
    let columns = (1..).find(|columns| columns * columns >= inputs).unwrap_or(1);
    let rows = inputs.div_ceil(columns);
    let cell = 1.0 / columns as f32; // Of the canvas's shape: the same fraction both ways.
    let top = (1.0 - rows as f32 * cell) / 2.0;
    (0..inputs).map(move |number| {
        let (row, column) = (number / columns, number % columns);
        let in_row = if row + 1 == rows { inputs - row * columns } else { columns };
        let left = (1.0 - in_row as f32 * cell) / 2.0;
        Place::of(left + column as f32 * cell, top + row as f32 * cell, cell, cell)
    })
}

fn small(count: usize, corner: Corner) -> impl Iterator<Item = Place> {
    let (side, in_column) = if count <= 3 { (0.25, 3) } else { (0.18, 4) };
    let (right, bottom) = match corner {
        Corner::TopLeft => (false, false),
        Corner::TopRight => (true, false),
        Corner::BottomLeft => (false, true),
        Corner::BottomRight => (true, true),
    };
    let from_edge = move |steps: usize, far: bool| {
        let near = MARGIN + steps as f32 * (side + MARGIN);
        if far { 1.0 - near - side } else { near }
    };
    (0..count).map(move |number| {
        Place::of(from_edge(number / in_column, right), from_edge(number % in_column, bottom), side, side)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Rect, Size};
    use super::*;

    /// One line per tile: `x,y widthxheight`, with `+z` where it is not 0.
    fn table(layout: &Layout, inputs: usize, canvas: Size) -> String {
        let line = |slot: &Slot| {
            let Rect { x, y, width, height } = slot.place.on(canvas);
            let z = if slot.z == 0 { String::new() } else { format!(" +{}", slot.z) };
            format!("{x},{y} {width}x{height}{z}")
        };
        layout.slots(inputs).iter().map(line).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn layouts_put_inputs_on_exact_pixels() {
        let pip = Layout::PictureInPicture { corner: Corner::BottomRight };
        let top_left = Layout::PictureInPicture { corner: Corner::TopLeft };
        let cases = [
            (&Layout::Solo, 3, "0,0 1280x720"),
            (&Layout::Grid, 1, "0,0 1280x720"),
            (&Layout::SideBySide, 2, "0,0 640x720 | 640,0 640x720"),
            (&Layout::SideBySide, 3, "0,0 426x720 | 426,0 428x720 | 854,0 426x720"),
            (&Layout::Grid, 2, "0,180 640x360 | 640,180 640x360"),
            (&Layout::Grid, 3, "0,0 640x360 | 640,0 640x360 | 320,360 640x360"),
            (&Layout::Grid, 4, "0,0 640x360 | 640,0 640x360 | 0,360 640x360 | 640,360 640x360"),
            (&Layout::Grid, 5, "0,120 426x240 | 426,120 428x240 | 854,120 426x240 | 214,360 426x240 | 640,360 426x240"),
            (
                &Layout::Grid,
                9,
                "0,0 426x240 | 426,0 428x240 | 854,0 426x240 | 0,240 426x240 | 426,240 428x240 | 854,240 426x240 | \
                 0,480 426x240 | 426,480 428x240 | 854,480 426x240",
            ),
            (&pip, 2, "0,0 1280x720 | 934,526 320x180 +1"),
            (&pip, 3, "0,0 1280x720 | 934,526 320x180 +1 | 934,332 320x180 +1"),
            (&top_left, 2, "0,0 1280x720 | 26,14 320x180 +1"),
            (&Layout::HostAndStrip, 2, "0,0 960x720 | 960,270 320x180"),
            (
                &Layout::HostAndStrip,
                5,
                "0,0 960x720 | 960,0 320x180 | 960,180 320x180 | 960,360 320x180 | 960,540 320x180",
            ),
        ];
        for (layout, inputs, wanted) in cases {
            assert_eq!(table(layout, inputs, Size::HD), wanted, "{layout:?} {inputs}");
        }
    }

    #[test]
    fn every_layout_of_any_count_lies_within_any_canvas() {
        let custom = Layout::Custom { slots: vec![Slot::at(Place::ALL)] };
        let pip = Layout::PictureInPicture { corner: Corner::TopRight };
        for layout in [Layout::Solo, Layout::SideBySide, Layout::Grid, pip, Layout::HostAndStrip, custom] {
            for canvas in [Size::HD, Size { width: 720, height: 1280 }, Size { width: 64, height: 64 }] {
                for inputs in 0..=12 {
                    for slot in layout.slots(inputs) {
                        let rect = slot.place.on(canvas);
                        assert!(canvas.rect().covers(rect), "{layout:?} {inputs} {canvas:?}: {rect:?}");
                        assert!([rect.x, rect.y, rect.width, rect.height].iter().all(|side| side % 2 == 0));
                    }
                }
            }
        }
    }
}
