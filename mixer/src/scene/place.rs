//! Places on the canvas: fractions of the canvas go in, even pixels come out.

use thiserror::Error;

/// Is the size of a canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// The width in pixels, which is even.
    pub width: u32,
    /// The height in pixels, which is even.
    pub height: u32,
}

impl Size {
    /// Is the canvas of most programs.
    pub const HD: Self = Self { width: 1280, height: 720 };
    /// Is the largest canvas.
    pub const FULL_HD: Self = Self { width: 1920, height: 1080 };
    const SMALLEST_SIDE: u32 = 64;

    /// Returns a canvas of the wanted size within bounds: its sides are even, have at least 64 pixels, and at most
    /// those of `most` in landscape or portrait.
    pub fn canvas(width: u32, height: u32, most: Self) -> Self {
        let (long, short) = (most.width.max(most.height), most.width.min(most.height));
        let (most_width, most_height) = if width >= height { (long, short) } else { (short, long) };
        let even = |side: u32, most: u32| side.clamp(Self::SMALLEST_SIDE, most.max(Self::SMALLEST_SIDE)) & !1;
        Self { width: even(width, most_width), height: even(height, most_height) }
    }

    /// Returns the rectangle of the whole canvas.
    pub fn rect(self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }
}

/// Is a rectangle of pixels. All its numbers are even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// The distance from the left edge.
    pub x: u32,
    /// The distance from the top edge.
    pub y: u32,
    /// The width.
    pub width: u32,
    /// The height.
    pub height: u32,
}

impl Rect {
    /// Returns the first column to the right of the rectangle.
    pub fn right(self) -> u32 {
        self.x + self.width
    }

    /// Returns the first row below the rectangle.
    pub fn bottom(self) -> u32 {
        self.y + self.height
    }

    /// Returns whether the rectangles share a pixel.
    pub fn meets(self, other: Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// Returns whether all of `other` lies in this rectangle.
    pub fn covers(self, other: Self) -> bool {
        self.x <= other.x && self.y <= other.y && self.right() >= other.right() && self.bottom() >= other.bottom()
    }

    /// Returns a rectangle of `width` by `height` in the middle of this one. Both are rounded down to even numbers, and
    /// limited to this rectangle.
    pub fn middle(self, width: u32, height: u32) -> Self {
        let (width, height) = (width.clamp(2, self.width) & !1, height.clamp(2, self.height) & !1);
        let (left, top) = ((self.width - width) / 2, (self.height - height) / 2);
        Self { x: self.x + (left & !1), y: self.y + (top & !1), width, height }
    }

    pub(crate) fn size(self) -> Size {
        Size { width: self.width, height: self.height }
    }
}

/// Is a rectangle in fractions of the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

/// Is the error for numbers that are not a place on the canvas.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a place must be given in fractions of the canvas, from 0 to 1, and lie within the canvas")]
pub struct InvalidPlace;

impl Place {
    /// Is the whole canvas.
    pub const ALL: Self = Self { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };
    /// How far a place may exceed the canvas because a client rounded its numbers.
    const SLACK: f32 = 1e-3;

    /// Makes a place. Fails unless it lies within the canvas.
    pub fn new(x: f32, y: f32, width: f32, height: f32) -> Result<Self, InvalidPlace> {
        let within = |from: f32, length: f32| from >= 0.0 && length > 0.0 && from + length <= 1.0 + Self::SLACK;
        if within(x, width) && within(y, height) { Ok(Self { x, y, width, height }) } else { Err(InvalidPlace) }
    }

    /// Makes a place without a check, for layouts.
    pub(super) const fn of(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self { x, y, width, height }
    }

    /// Returns the pixels of the place. Places that touch in fractions touch in pixels.
    pub fn on(self, canvas: Size) -> Rect {
        let edges = |from: f32, length: f32, side: u32| {
            let even = |at: f32| ((at * side as f32 / 2.0).round().max(0.0) as u32 * 2).min(side);
            let from_pixel = even(from).min(side.saturating_sub(2));
            (from_pixel, (even(from + length).max(from_pixel + 2)) - from_pixel)
        };
        let ((x, width), (y, height)) =
            (edges(self.x, self.width, canvas.width), edges(self.y, self.height, canvas.height));
        Rect { x, y, width, height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_outside_the_canvas_and_nan_are_refused() {
        assert!(Place::new(0.5, 0.0, 0.5, 1.0).is_ok());
        let nan = f32::NAN;
        for (x, y, width, height) in [
            (0.6, 0.0, 0.5, 1.0),
            (-0.1, 0.0, 0.5, 1.0),
            (0.0, 0.0, 0.0, 1.0),
            (nan, 0.0, 1.0, 1.0),
            (0.0, 0.0, nan, 1.0),
        ] {
            assert_eq!(Place::new(x, y, width, height), Err(InvalidPlace));
        }
    }

    #[test]
    fn pixels_are_even_and_neighbours_touch() {
        let canvas = Size { width: 854, height: 480 };
        let thirds = [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|x| Place::of(x, 0.0, 1.0 / 3.0, 1.0).on(canvas));
        assert_eq!(thirds.map(|rect| (rect.x, rect.width)), [(0, 284), (284, 286), (570, 284)]);
        assert_eq!(Place::of(0.999, 0.999, 0.001, 0.001).on(canvas), Rect { x: 852, y: 478, width: 2, height: 2 });
    }

    #[test]
    fn a_canvas_is_limited_to_even_sides_within_bounds() {
        let canvas = |width, height| Size::canvas(width, height, Size::FULL_HD);
        assert_eq!(canvas(1281, 721), Size { width: 1280, height: 720 });
        assert_eq!(canvas(2160, 3840), Size { width: 1080, height: 1920 });
        assert_eq!(canvas(0, u32::MAX), Size { width: 64, height: 1920 });
    }
}
