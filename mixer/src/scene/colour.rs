//! A colour in sRGB, and its form on the canvas.

/// Is a colour in sRGB with straight alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour {
    /// The red part, from 0 to 255.
    pub red: u8,
    /// The green part, from 0 to 255.
    pub green: u8,
    /// The blue part, from 0 to 255.
    pub blue: u8,
    /// The opacity, from 0 to 255. 255 hides everything behind.
    pub alpha: u8,
}

impl Colour {
    /// Is opaque white.
    pub const WHITE: Self = Self::rgb(255, 255, 255);

    /// Makes an opaque colour.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue, alpha: 255 }
    }

    /// Returns the colour with another alpha.
    pub const fn with_alpha(self, alpha: u8) -> Self {
        Self { alpha, ..self }
    }

    /// Returns Y, Cb and Cr of BT.709 in the limited range. Ignores alpha.
    pub fn yuv(self) -> [u8; 3] {
        let [red, green, blue] = [self.red, self.green, self.blue].map(|part| f32::from(part) / 255.0);
        let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        let parts =
            [16.0 + 219.0 * luma, 128.0 + 224.0 * (blue - luma) / 1.8556, 128.0 + 224.0 * (red - luma) / 1.5748];
        parts.map(|part| part.round().clamp(0.0, 255.0) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_white_and_the_primaries_have_the_values_of_bt_709() {
        assert_eq!(Colour::rgb(0, 0, 0).yuv(), [16, 128, 128]);
        assert_eq!(Colour::WHITE.yuv(), [235, 128, 128]);
        assert_eq!(Colour::rgb(255, 0, 0).yuv(), [63, 102, 240]);
        assert_eq!(Colour::rgb(0, 255, 0).yuv(), [173, 42, 26]);
        assert_eq!(Colour::rgb(0, 0, 255).yuv(), [32, 240, 118]);
    }
}
