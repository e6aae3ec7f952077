//! What lies over the pictures: a product card, a score board, a logo.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Colour, Image, Place};

/// The longest line, in characters.
const LINE_MAX: usize = 200;
/// The most lines below the title.
const LINES_MAX: usize = 12;

/// Something on the canvas that is no input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// Where.
    pub place: Place,
    /// Higher is nearer; tiles of most layouts are at 0 and 1.
    #[serde(default = "near")]
    pub z: i32,
    /// 0 to 1.
    #[serde(default = "opaque")]
    pub opacity: f32,
    /// What is seen.
    pub content: Content,
}

fn near() -> i32 {
    10
}

fn opaque() -> f32 {
    1.0
}

/// What an overlay shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Content {
    /// Letters on a card.
    Text(Text),
    /// All of a picture, in the middle of the place.
    Image {
        /// Base64 of a PNG or JPEG file.
        image: Image,
    },
}

/// A card with a title and lines, as large as the place allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Text {
    /// Larger, and first.
    pub title: Option<String>,
    /// Below it.
    pub lines: Vec<String>,
    /// Of the letters.
    pub colour: Colour,
    /// Of the card; its alpha counts.
    pub background: Colour,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            title: None,
            lines: Vec::new(),
            colour: Colour::WHITE,
            background: Colour::rgb(0x10, 0x12, 0x18).with_alpha(0xc0),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: Option<String>,
    #[serde(default)]
    lines: Vec<String>,
    colour: Option<Colour>,
    background: Option<Colour>,
}

/// Why there are too many letters.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a text has at most {LINES_MAX} lines of {LINE_MAX} characters")]
pub struct InvalidText;

impl TryFrom<Written> for Text {
    type Error = InvalidText;

    fn try_from(written: Written) -> Result<Self, InvalidText> {
        let mut lines = written.lines.iter().chain(&written.title);
        if written.lines.len() > LINES_MAX || lines.any(|line| line.chars().count() > LINE_MAX) {
            return Err(InvalidText);
        }
        let usual = Self::default();
        Ok(Self {
            title: written.title,
            lines: written.lines,
            colour: written.colour.unwrap_or(usual.colour),
            background: written.background.unwrap_or(usual.background),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_needs_no_more_than_a_place_and_a_line() {
        let json = r##"{"place":{"x":0.1,"y":0.7,"width":0.3,"height":0.2},
            "content":{"kind":"text","title":"Tea","lines":["¥ 99"],"colour":"#ffee00"}}"##;
        let overlay: Overlay = serde_json::from_str(json).unwrap();
        assert_eq!((overlay.z, overlay.opacity), (10, 1.0));
        let Content::Text(text) = &overlay.content else { panic!("no text") };
        assert_eq!((text.title.as_deref(), text.colour), (Some("Tea"), Colour::rgb(255, 0xee, 0)));
        let again: Overlay = serde_json::from_str(&serde_json::to_string(&overlay).unwrap()).unwrap();
        assert_eq!(again, overlay);
    }

    #[test]
    fn a_novel_is_refused() {
        let json = |lines: usize, length: usize| {
            let lines = vec!["x".repeat(length); lines];
            serde_json::json!({ "lines": lines }).to_string()
        };
        assert!(serde_json::from_str::<Text>(&json(12, 200)).is_ok());
        assert!(serde_json::from_str::<Text>(&json(13, 1)).is_err());
        assert!(serde_json::from_str::<Text>(&json(1, 201)).is_err());
    }
}
