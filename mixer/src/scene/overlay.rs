//! What lies over the pictures: a product card, a score board, a logo.

use super::{Colour, Image, Place};

/// The most overlays of a scene.
pub const OVERLAYS_MAX: usize = 16;

/// Something on the canvas that is not an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay {
    /// Where it lies.
    pub place: Place,
    /// Higher is nearer; tiles of most layouts are at 0 and 1.
    pub z: i32,
    /// 0 to 1.
    pub opacity: f32,
    /// What it shows.
    pub content: Content,
}

/// What an overlay shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Letters on a card.
    Text(Text),
    /// All of a picture, in the middle of the place.
    Image {
        /// The picture, scaled to fit.
        image: Image,
    },
}

/// A card with a title and lines, as large as the place allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The first line, in larger letters.
    pub title: Option<String>,
    /// The lines below it.
    pub lines: Vec<String>,
    /// The colour of the letters.
    pub colour: Colour,
    /// The colour of the card; its alpha counts.
    pub background: Colour,
}

impl Default for Text {
    /// White letters on a dark shade that is seen through.
    fn default() -> Self {
        let background = Colour::rgb(0, 0, 0).with_alpha(0xb0);
        Self { title: None, lines: Vec::new(), colour: Colour::WHITE, background }
    }
}
