//! Overlays lie over the tiles: a product card, a score board, a logo.

use super::{Colour, Image, Place};

/// The most overlays that a scene may have.
pub const OVERLAYS_MAX: usize = 16;

/// Describes an item on the canvas that is not an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay {
    /// The overlay's place on the canvas.
    pub place: Place,
    /// The order of items. A higher one is nearer. The tiles of most layouts are at 0 and 1.
    pub z: i32,
    /// The opacity, from 0 to 1.
    pub opacity: f32,
    /// The content of the overlay.
    pub content: Content,
}

/// States what an overlay shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Shows text on a card.
    Text(Text),
    /// Shows the whole image in the middle of the place.
    Image {
        /// The image, which is scaled to fit.
        image: Image,
    },
}

/// Describes a card with a title and lines. The text is as large as the place allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The first line, in a larger font.
    pub title: Option<String>,
    /// The lines below it.
    pub lines: Vec<String>,
    /// The colour of the text.
    pub colour: Colour,
    /// The colour of the card, with its alpha.
    pub background: Colour,
}

impl Default for Text {
    /// Returns a card with white text on a dark, translucent background.
    fn default() -> Self {
        let background = Colour::rgb(0, 0, 0).with_alpha(0xb0);
        Self { title: None, lines: Vec::new(), colour: Colour::WHITE, background }
    }
}
