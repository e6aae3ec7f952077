//! Describes what the program's video shows: a canvas, inputs on tiles, and overlays. It holds only values: nothing
//! here draws or waits.
//!
//! Places are given as fractions of the canvas and drawn at even pixels, so that chroma lies on whole samples. A scene
//! has no form on the wire: an API that offers one converts it.

mod colour;
mod image;
mod layout;
mod overlay;
mod place;

use std::fmt;
use std::sync::Arc;

use onmic_names::SourceName;

pub use colour::Colour;
pub use image::{Image, InvalidImage, fitted};
pub use layout::{Corner, Layout, Slot};
pub use overlay::{Content, OVERLAYS_MAX, Overlay, Text};
pub use place::{InvalidPlace, Place, Rect, Size};

/// Names one input of the mixer by the source that it comes from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputId(Arc<str>);

impl InputId {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&SourceName> for InputId {
    fn from(name: &SourceName) -> Self {
        Self(name.to_string().into())
    }
}

impl fmt::Display for InputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Describes everything that the program shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The size of the program's video.
    pub canvas: Size,
    /// The most frames per second. Without a lead it is the frame rate.
    pub frame_rate_max: f64,
    /// The input whose frames set the frame rate and the timeline: the host.
    pub lead: Option<InputId>,
    /// The background behind all items.
    pub background: Background,
    /// The inputs that are shown.
    pub tiles: Vec<Tile>,
    /// The overlays in front of or between the tiles.
    pub overlays: Vec<Overlay>,
}

impl Scene {
    /// Makes a scene of inputs in a layout. The first input leads. The tiles have no labels.
    pub fn new(canvas: Size, layout: &Layout, inputs: &[InputId]) -> Self {
        Self {
            canvas,
            frame_rate_max: 30.0,
            lead: inputs.first().cloned(),
            background: Background::default(),
            tiles: layout.tiles(inputs),
            overlays: Vec::new(),
        }
    }
}

/// States what is shown where no item is.
#[derive(Clone, Debug, PartialEq)]
pub enum Background {
    /// Shows one colour, without its alpha.
    Colour {
        /// The colour.
        colour: Colour,
    },
    /// Shows an image that covers the canvas. If the shapes differ, its middle is shown.
    Image {
        /// The image.
        image: Image,
    },
}

impl Default for Background {
    fn default() -> Self {
        Self::Colour { colour: Colour::rgb(0x10, 0x10, 0x14) }
    }
}

/// States how video fits a place of another shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// The video fills the place. It is cropped on two opposite sides.
    #[default]
    Crop,
    /// All of the video is shown, with the background beside it.
    Contain,
}

/// States how video is turned clockwise, before it is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// The video is not turned.
    #[default]
    None,
    /// The video is turned by 90°.
    Quarter,
    /// The video is turned by 180°.
    Half,
    /// The video is turned by 270°.
    ThreeQuarters,
}

impl Rotation {
    /// Returns whether the width becomes the height.
    pub fn turns_sides(self) -> bool {
        matches!(self, Self::Quarter | Self::ThreeQuarters)
    }
}

/// Makes the colour of a screen transparent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChromaKey {
    /// The colour of the screen behind a person.
    pub colour: Colour,
    /// The distance from the colour within which a colour is transparent, from 0 to 1.
    pub similarity: f32,
    /// The further distance over which it becomes opaque, from 0 to 1.
    pub smoothness: f32,
    /// How much of the screen's spill is removed from opaque colours, from 0 to 1.
    pub spill: f32,
}

impl Default for ChromaKey {
    /// Returns the values for a green screen in usual light.
    fn default() -> Self {
        Self { colour: Colour::rgb(0, 0xd0, 0x20), similarity: 0.16, smoothness: 0.08, spill: 0.6 }
    }
}

/// Describes one input on the canvas.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// The input that is shown.
    pub input: InputId,
    /// The tile's place on the canvas.
    pub place: Place,
    /// The order of items. A higher one is nearer. Of equals the later one is nearer, and an overlay is nearer than a
    /// tile.
    pub z: i32,
    /// How its video fits the place.
    pub fit: Fit,
    /// How its video is turned before that.
    pub rotation: Rotation,
    /// The name on the video, and on its placeholder.
    pub label: Option<String>,
    /// The colour of the border around the video, for an input that speaks.
    pub border: Option<Colour>,
    /// The chroma key that is applied to the video.
    pub chroma_key: Option<ChromaKey>,
}

impl Tile {
    /// Makes a tile without label, border, chroma key or rotation.
    pub fn new(input: InputId, place: Place) -> Self {
        let (fit, rotation) = (Fit::default(), Rotation::default());
        Self { input, place, z: 0, fit, rotation, label: None, border: None, chroma_key: None }
    }
}
