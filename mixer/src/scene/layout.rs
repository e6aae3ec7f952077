//! Layouts: where each of several inputs goes, the host first.

use super::{Fit, InputId, Place, Tile};

/// The gap beside small pictures, in fractions of the canvas.
const MARGIN: f32 = 0.02;

/// Where a tile goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Where on the canvas.
    pub place: Place,
    /// Higher is nearer.
    pub z: i32,
    /// How a picture fits the place.
    pub fit: Fit,
}

/// A corner of the canvas.
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

/// How inputs share the canvas. Every one of them has a place in it, up to [`onmic_names::MIXED_MAX`] of them and more, but
/// in [`Layout::Solo`] and where a [`Layout::Custom`] names fewer places: what is not shown there is left out on purpose.
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
        /// The corner where they begin.
        corner: Corner,
    },
    /// The host large on the left, the others in a strip on the right.
    HostAndStrip,
    /// As given, in the order of the inputs.
    Custom {
        /// A slot for each input.
        slots: Vec<Slot>,
    },
}

impl Layout {
    /// Where each of `inputs` goes.
    pub fn slots(&self, inputs: usize) -> Vec<Slot> {
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
            Self::HostAndStrip => flat(host_and_strip(inputs - 1)),
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

/// Cells of the canvas's shape for the others, in as many columns as are needed, and the host in what is left.
fn host_and_strip(others: usize) -> impl Iterator<Item = Place> {
    // At 720p cells are 320x180, 213x120, 142x80: fewer rows would leave a host of 17 others less than half of the canvas.
    let rows = match others {
        ..=4 => 4,
        5..=12 => 6,
        _ => 9,
    };
    let columns = others.div_ceil(rows).max(1);
    let in_column = others.div_ceil(columns).max(1);
    let cell = 1.0 / rows.max(in_column) as f32;
    let left = 1.0 - columns as f32 * cell;
    let strip = (0..others).map(move |number| {
        let (column, row) = (number / in_column, number % in_column);
        let here = if column + 1 == columns { others - column * in_column } else { in_column };
        let top = (1.0 - here as f32 * cell) / 2.0;
        Place::of(left + column as f32 * cell, top + row as f32 * cell, cell, cell)
    });
    std::iter::once(Place::of(0.0, 0.0, left, 1.0)).chain(strip)
}

fn small(count: usize, corner: Corner) -> impl Iterator<Item = Place> {
    // With its margin, a column of them has the canvas's height at most, and 17 leave three quarters of the host's picture.
    let (side, in_column) = match count {
        ..=3 => (0.25, 3),
        4..=8 => (0.18, 4),
        _ => (0.12, 7),
    };
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
    use onmic_names::limits::MIXED_MAX;

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
                6,
                "0,0 1066x720 | 1066,60 214x120 | 1066,180 214x120 | 1066,300 214x120 | 1066,420 214x120 | 1066,540 214x120",
            ),
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
    fn everybody_up_to_the_most_is_seen_in_every_layout_on_every_canvas() {
        let pip = |corner| Layout::PictureInPicture { corner };
        let corners = [Corner::TopLeft, Corner::TopRight, Corner::BottomLeft, Corner::BottomRight].map(pip);
        let layouts = [Layout::SideBySide, Layout::Grid, Layout::HostAndStrip].into_iter().chain(corners);
        let sizes = [(1920, 1080), (1280, 720), (720, 1280), (640, 360), (480, 480), (64, 64), (64, 1920)];
        for (layout, (width, height)) in layouts.flat_map(|layout| sizes.map(|size| (layout.clone(), size))) {
            let canvas = Size { width, height };
            for inputs in 1..=MIXED_MAX {
                let slots = layout.slots(inputs);
                assert_eq!(slots.len(), inputs, "{layout:?}");
                let tiles: Vec<(Rect, i32)> = slots.iter().map(|slot| (slot.place.on(canvas), slot.z)).collect();
                for (number, (tile, z)) in tiles.iter().enumerate() {
                    let which = format!("{layout:?} on {width}x{height}, {number} of {inputs}: {tile:?}");
                    assert!(canvas.rect().covers(*tile), "{which}");
                    assert!([tile.x, tile.y, tile.width, tile.height].iter().all(|side| side % 2 == 0), "{which}");
                    // Of a canvas of 720p that is 128x72.
                    assert!(tile.width * 10 >= width - 19 && tile.height * 10 >= height - 19, "{which}");
                    let over = tiles.iter().enumerate().filter(|(other, (_, above))| *other != number && above >= z);
                    let hidden: u32 = over.map(|(_, (over, _))| overlap(*tile, *over)).sum();
                    // The host lies below the small pictures; nobody else below anything.
                    let most = if number == 0 { tile.width * tile.height * 3 / 10 } else { 0 };
                    assert!(hidden <= most, "{which} is hidden by {hidden} pixels");
                }
            }
        }
    }

    /// Pixels that two rectangles share.
    fn overlap(one: Rect, other: Rect) -> u32 {
        let width = one.right().min(other.right()).saturating_sub(one.x.max(other.x));
        width * one.bottom().min(other.bottom()).saturating_sub(one.y.max(other.y))
    }

    #[test]
    fn a_layout_that_leaves_somebody_out_was_chosen_to() {
        let slot = Slot::at(Place::of(0.5, 0.5, 0.5, 0.5));
        assert_eq!(Layout::Solo.slots(MIXED_MAX), [Slot::at(Place::ALL)]);
        assert_eq!(Layout::Custom { slots: vec![slot; 2] }.slots(MIXED_MAX), [slot; 2]);
        assert_eq!(Layout::Custom { slots: vec![slot; MIXED_MAX] }.slots(MIXED_MAX).len(), MIXED_MAX);
        assert_eq!(Layout::Grid.slots(0), []);
    }
}
