//! Layouts decide where each of several inputs goes. The host is the first input.

use super::{Fit, InputId, Place, Tile};

/// The gap beside small tiles, as a fraction of the canvas.
const MARGIN: f32 = 0.02;

/// States where a tile goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// The tile's place on the canvas.
    pub place: Place,
    /// The order of tiles. A higher one is nearer.
    pub z: i32,
    /// How the video fits the place.
    pub fit: Fit,
}

/// Selects a corner of the canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corner {
    /// The top left corner.
    TopLeft,
    /// The top right corner.
    TopRight,
    /// The bottom left corner.
    BottomLeft,
    /// The bottom right corner.
    #[default]
    BottomRight,
}

/// States how inputs share the canvas. Every layout has a place for each input, for [`onmic_names::MIXED_MAX`] inputs
/// and more. The exceptions are [`Layout::Solo`], and a [`Layout::Custom`] with fewer slots than inputs: they leave
/// inputs out on purpose.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Layout {
    /// Shows the host alone.
    Solo,
    /// Shows up to four inputs in columns of the canvas's height. More inputs make a grid.
    SideBySide,
    /// Shows inputs in cells of the canvas's shape, with the last row centred.
    #[default]
    Grid,
    /// Shows the host on the whole canvas. The others are small, in columns that begin at a corner.
    PictureInPicture {
        /// The corner where the columns begin.
        corner: Corner,
    },
    /// Shows the host large on the left, and the others in a strip on the right.
    HostAndStrip,
    /// Shows the inputs in the given slots, in their order.
    Custom {
        /// The slot of each input.
        slots: Vec<Slot>,
    },
}

impl Layout {
    /// Returns where each of `inputs` goes.
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

    /// Returns the tiles of `inputs`, the host's first.
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
    let cell = 1.0 / columns as f32; // A cell has the canvas's shape, so its width and height are the same fraction.
    let top = (1.0 - rows as f32 * cell) / 2.0;
    (0..inputs).map(move |number| {
        let (row, column) = (number / columns, number % columns);
        let in_row = if row + 1 == rows { inputs - row * columns } else { columns };
        let left = (1.0 - in_row as f32 * cell) / 2.0;
        Place::of(left + column as f32 * cell, top + row as f32 * cell, cell, cell)
    })
}

/// Places the others in cells of the canvas's shape, in as many columns as they need. The host gets the rest.
fn host_and_strip(others: usize) -> impl Iterator<Item = Place> {
    // At 720p cells are 320x180, 213x120 or 142x80. With fewer rows a host with 17 others would get less than half of
    // the canvas.
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
    // With margins, a column has at most the canvas's height, and 17 others leave three quarters of the host visible.
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

    /// Describes each tile as `x,y widthxheight`, with `+z` if z is not 0.
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
    fn every_layout_shows_all_inputs_up_to_the_maximum_on_every_canvas() {
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
                    // A tenth of a canvas of 720p is 128x72.
                    assert!(tile.width * 10 >= width - 19 && tile.height * 10 >= height - 19, "{which}");
                    let over = tiles.iter().enumerate().filter(|(other, (_, above))| *other != number && above >= z);
                    let hidden: u32 = over.map(|(_, (over, _))| overlap(*tile, *over)).sum();
                    // The host may lie behind small tiles. No other tile may lie behind one.
                    let most = if number == 0 { tile.width * tile.height * 3 / 10 } else { 0 };
                    assert!(hidden <= most, "{which} is hidden by {hidden} pixels");
                }
            }
        }
    }

    /// Returns the number of pixels that two rectangles share.
    fn overlap(one: Rect, other: Rect) -> u32 {
        let width = one.right().min(other.right()).saturating_sub(one.x.max(other.x));
        width * one.bottom().min(other.bottom()).saturating_sub(one.y.max(other.y))
    }

    #[test]
    fn only_solo_and_custom_layouts_leave_inputs_out() {
        let slot = Slot::at(Place::of(0.5, 0.5, 0.5, 0.5));
        assert_eq!(Layout::Solo.slots(MIXED_MAX), [Slot::at(Place::ALL)]);
        assert_eq!(Layout::Custom { slots: vec![slot; 2] }.slots(MIXED_MAX), [slot; 2]);
        assert_eq!(Layout::Custom { slots: vec![slot; MIXED_MAX] }.slots(MIXED_MAX).len(), MIXED_MAX);
        assert_eq!(Layout::Grid.slots(0), []);
    }
}
