//! What the program's picture shows: a canvas, inputs on tiles, overlays. Values only: nothing here draws or waits.
//!
//! Places are fractions of the canvas where people write them and even pixels where they are drawn, so that chroma lies on
//! whole samples. A scene has no form on the wire: whoever offers one converts it.

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

/// Names one input of the mixer: the source it comes from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputId(Arc<str>);

impl InputId {
    /// The name as text.
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

/// Everything that the program shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The size of the program's video.
    pub canvas: Size,
    /// Most frames per second; without a lead it is this rate.
    pub frame_rate_max: f64,
    /// The input whose pictures set the rhythm and the timeline: the host.
    pub lead: Option<InputId>,
    /// What is behind everything.
    pub background: Background,
    /// The inputs that are shown.
    pub tiles: Vec<Tile>,
    /// What lies over them.
    pub overlays: Vec<Overlay>,
}

impl Scene {
    /// Inputs in a layout, the first of them leading, labelled by nothing.
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

/// What is seen where nothing else is.
#[derive(Clone, Debug, PartialEq)]
pub enum Background {
    /// One colour; its alpha means nothing.
    Colour {
        /// The colour.
        colour: Colour,
    },
    /// Covers the canvas, its middle if the shapes differ.
    Image {
        /// The picture.
        image: Image,
    },
}

impl Default for Background {
    fn default() -> Self {
        Self::Colour { colour: Colour::rgb(0x10, 0x10, 0x14) }
    }
}

/// How a picture fits a place of another shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Fills it; what is over is cut off on both sides.
    #[default]
    Crop,
    /// All of it is seen; the background is seen beside it.
    Contain,
}

/// Clockwise, before it is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As it comes.
    #[default]
    None,
    /// A quarter.
    Quarter,
    /// Upside down.
    Half,
    /// A quarter to the left.
    ThreeQuarters,
}

impl Rotation {
    /// Whether width becomes height.
    pub fn turns_sides(self) -> bool {
        matches!(self, Self::Quarter | Self::ThreeQuarters)
    }
}

/// A colour that is seen through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChromaKey {
    /// The colour of the screen behind the person.
    pub colour: Colour,
    /// 0 to 1: how far from the colour is still screen.
    pub similarity: f32,
    /// 0 to 1: over what distance beyond that it fades in.
    pub smoothness: f32,
    /// 0 to 1: how much of the colour's shine is taken off what is left.
    pub spill: f32,
}

impl Default for ChromaKey {
    /// A green screen in usual light.
    fn default() -> Self {
        Self { colour: Colour::rgb(0, 0xd0, 0x20), similarity: 0.16, smoothness: 0.08, spill: 0.6 }
    }
}

/// One input on the canvas.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// The input that is shown.
    pub input: InputId,
    /// Where it lies.
    pub place: Place,
    /// Higher is nearer. Of equals the later one, and an overlay before a tile.
    pub z: i32,
    /// How its picture fits the place.
    pub fit: Fit,
    /// How its picture is turned before that.
    pub rotation: Rotation,
    /// A name on the picture, and on its placeholder.
    pub label: Option<String>,
    /// The colour of a frame around the picture, for an input that speaks.
    pub border: Option<Colour>,
    /// The colour of it that is seen through.
    pub chroma_key: Option<ChromaKey>,
}

impl Tile {
    /// A tile with nothing done to it.
    pub fn new(input: InputId, place: Place) -> Self {
        let (fit, rotation) = (Fit::default(), Rotation::default());
        Self { input, place, z: 0, fit, rotation, label: None, border: None, chroma_key: None }
    }
}
