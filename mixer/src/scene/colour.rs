//! A colour as people write it, `#rrggbb` or `#rrggbbaa`, and as the canvas has it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// sRGB with straight alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour {
    /// 0 to 255.
    pub red: u8,
    /// 0 to 255.
    pub green: u8,
    /// 0 to 255.
    pub blue: u8,
    /// 255 hides what is behind.
    pub alpha: u8,
}

/// Why a text is not a colour.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a colour is written #rrggbb or #rrggbbaa")]
pub struct InvalidColour;

impl Colour {
    /// White.
    pub const WHITE: Self = Self::rgb(255, 255, 255);

    /// Without transparency.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue, alpha: 255 }
    }

    /// With another alpha.
    pub const fn with_alpha(self, alpha: u8) -> Self {
        Self { alpha, ..self }
    }

    /// Y, Cb and Cr of BT.709 in the limited range; alpha plays no part.
    pub fn yuv(self) -> [u8; 3] {
        let [red, green, blue] = [self.red, self.green, self.blue].map(|part| f32::from(part) / 255.0);
        let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        let parts =
            [16.0 + 219.0 * luma, 128.0 + 224.0 * (blue - luma) / 1.8556, 128.0 + 224.0 * (red - luma) / 1.5748];
        parts.map(|part| part.round().clamp(0.0, 255.0) as u8)
    }
}

impl FromStr for Colour {
    type Err = InvalidColour;

    fn from_str(text: &str) -> Result<Self, InvalidColour> {
        let digits = text.strip_prefix('#').ok_or(InvalidColour)?;
        if !matches!(digits.len(), 6 | 8) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidColour);
        }
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| InvalidColour);
        let alpha = if digits.len() == 8 { part(6)? } else { 255 };
        Ok(Self { red: part(0)?, green: part(2)?, blue: part(4)?, alpha })
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)?;
        if self.alpha == 255 { Ok(()) } else { write!(f, "{:02x}", self.alpha) }
    }
}

impl TryFrom<String> for Colour {
    type Error = InvalidColour;

    fn try_from(text: String) -> Result<Self, InvalidColour> {
        text.parse()
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        colour.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_colour_and_text_again() {
        for text in ["#00ff7f", "#01020304"] {
            assert_eq!(text.parse::<Colour>().unwrap().to_string(), text);
        }
        for text in ["", "00ff7f", "#00ff7", "#00ff7g", "#ü0ff7", "#+1+2+3"] {
            assert_eq!(text.parse::<Colour>(), Err(InvalidColour), "{text}");
        }
    }

    #[test]
    fn the_corners_of_the_cube_are_those_of_bt_709() {
        assert_eq!(Colour::rgb(0, 0, 0).yuv(), [16, 128, 128]);
        assert_eq!(Colour::WHITE.yuv(), [235, 128, 128]);
        assert_eq!(Colour::rgb(255, 0, 0).yuv(), [63, 102, 240]);
        assert_eq!(Colour::rgb(0, 255, 0).yuv(), [173, 42, 26]);
        assert_eq!(Colour::rgb(0, 0, 255).yuv(), [32, 240, 118]);
    }
}
