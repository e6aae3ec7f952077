//! Draws text: names on tiles, and cards. Text is drawn when a scene changes, never per frame.
//!
//! The fonts are the system's, which are searched once per process. If there are none, no text is drawn, and one
//! warning says so.

use std::sync::OnceLock;

use cosmic_text::{
    Align, Attrs, Buffer, Color, Ellipsize, EllipsizeHeightLimit, Family, FontSystem, Metrics, Shaping, SwashCache,
    Weight, Wrap,
};
use image::{Rgba, RgbaImage};
use parking_lot::Mutex;

use super::plane::scale_255;
use crate::scene::{Colour, Size, Text};

/// The distance from one baseline to the next, in font heights.
const LINE: f32 = 1.25;
/// The ratio of the height of a card's title to that of its lines.
const TITLE: f32 = 1.4;
/// The smallest font height in pixels. Viewers cannot read smaller text.
const SMALLEST: f32 = 8.0;
/// The colour behind a name.
const SHADE: Colour = Colour::rgb(0, 0, 0).with_alpha(0x90);
/// The colour of a tile whose input has no video.
const DARK: Colour = Colour::rgb(0x20, 0x24, 0x2c);

struct Letters {
    fonts: FontSystem,
    glyphs: SwashCache,
}

fn letters() -> &'static Mutex<Letters> {
    static LETTERS: OnceLock<Mutex<Letters>> = OnceLock::new();
    LETTERS.get_or_init(|| {
        let fonts = FontSystem::new();
        if fonts.db().is_empty() {
            tracing::warn!("no fonts found, so video has no text (install fonts-dejavu-core, fonts-noto-cjk)");
        }
        Mutex::new(Letters { fonts, glyphs: SwashCache::new() })
    })
}

/// Is one line of text with its font.
struct Line<'a> {
    text: &'a str,
    height: f32,
    bold: bool,
}

impl Letters {
    fn set(&mut self, line: &Line<'_>, room: Option<f32>, align: Align) -> Buffer {
        let mut buffer = Buffer::new(&mut self.fonts, Metrics::new(line.height, line.height * LINE));
        let weight = if line.bold { Weight::BOLD } else { Weight::NORMAL };
        buffer.set_wrap(Wrap::None);
        buffer.set_ellipsize(Ellipsize::End(EllipsizeHeightLimit::Lines(1)));
        buffer.set_size(room, None);
        let one_line: String = line.text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let attributes = Attrs::new().family(Family::SansSerif).weight(weight);
        buffer.set_text(&one_line, &attributes, Shaping::Advanced, Some(align));
        buffer.shape_until_scroll(&mut self.fonts, false);
        buffer
    }

    fn width(&mut self, line: &Line<'_>) -> f32 {
        self.set(line, None, Align::Left).layout_runs().map(|run| run.line_w).fold(0.0, f32::max)
    }

    /// Draws into `image` at (x, y), at most `room` pixels wide.
    fn draw(
        &mut self,
        image: &mut RgbaImage,
        line: &Line<'_>,
        (x, y): (f32, f32),
        room: f32,
        align: Align,
        colour: Colour,
    ) {
        let mut buffer = self.set(line, Some(room), align);
        let (x, y) = (x as i32, y as i32);
        let own = Color::rgba(colour.red, colour.green, colour.blue, colour.alpha);
        buffer.draw(&mut self.fonts, &mut self.glyphs, own, |left, top, width, height, colour| {
            for row in 0..height as i32 {
                for column in 0..width as i32 {
                    over(image, x + left + column, y + top + row, colour.as_rgba());
                }
            }
        });
    }
}

/// Blends a colour with straight alpha on a pixel that is multiplied by its alpha. Does nothing outside the image.
fn over(image: &mut RgbaImage, x: i32, y: i32, [red, green, blue, alpha]: [u8; 4]) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    let Some(pixel) = image.get_pixel_mut_checked(x, y) else { return };
    let parts = [red, green, blue, 255].into_iter();
    pixel.0.iter_mut().zip(parts).for_each(|(to, part)| {
        *to = scale_255(part, alpha).saturating_add(scale_255(*to, 255 - alpha));
    });
}

fn filled(size: Size, colour: Colour) -> RgbaImage {
    let parts = [colour.red, colour.green, colour.blue, 255].map(|part| scale_255(part, colour.alpha));
    RgbaImage::from_pixel(size.width.max(2), size.height.max(2), Rgba(parts))
}

/// Draws a name on a dark background, as wide as the name and at most as wide as the tile.
pub(crate) fn label(name: &str, tile: Size) -> Option<RgbaImage> {
    let height = (tile.height as f32 * 0.06).clamp(12.0, 32.0);
    let padding = (height * 0.5).round();
    let mut letters = letters().lock();
    let line = Line { text: name, height, bold: false };
    let wide = letters.width(&line).ceil();
    let room = wide.min(tile.width as f32 - 2.0 * padding);
    if wide == 0.0 || room < height {
        return None;
    }
    let size = Size {
        width: ((room + 2.0 * padding) as u32).next_multiple_of(2).min(tile.width),
        height: ((height * 1.5) as u32).next_multiple_of(2).min(tile.height),
    };
    let mut image = filled(size, SHADE);
    letters.draw(&mut image, &line, (padding, height * 0.12), room + 1.0, Align::Left, Colour::WHITE);
    Some(image)
}

/// Draws a dark tile with a name in its middle.
pub(crate) fn placeholder(name: &str, tile: Size) -> RgbaImage {
    let mut image = filled(tile, DARK);
    let height = (tile.height as f32 * 0.1).clamp(12.0, 48.0);
    let line = Line { text: name, height, bold: false };
    let y = (tile.height as f32 - height * LINE) / 2.0;
    let (margin, grey) = (tile.width as f32 * 0.05, Colour::rgb(0xc8, 0xcc, 0xd4));
    letters().lock().draw(&mut image, &line, (margin, y), tile.width as f32 - 2.0 * margin, Align::Center, grey);
    image
}

/// Draws a title and lines in the largest font that fits.
pub(crate) fn card(text: &Text, size: Size) -> RgbaImage {
    let mut image = filled(size, text.background);
    let units = if text.title.is_some() { TITLE } else { 0.0 } + text.lines.len() as f32;
    if units == 0.0 {
        return image;
    }
    let margin = (size.width.min(size.height) as f32 * 0.08).round();
    let (wide, high) = (size.width as f32 - 2.0 * margin, size.height as f32 - 2.0 * margin);
    let mut letters = letters().lock();
    let title = text.title.iter().map(|title| (title.as_str(), TITLE, true));
    let lines: Vec<_> = title.chain(text.lines.iter().map(|line| (line.as_str(), 1.0, false))).collect();
    let tallest = high / (units * LINE);
    let widest =
        lines.iter().map(|(text, scale, bold)| letters.width(&Line { text, height: tallest * scale, bold: *bold }));
    let widest = widest.fold(1.0, f32::max);
    let height = (tallest * (wide / widest).min(1.0)).max(SMALLEST).min(tallest);
    let mut y = (size.height as f32 - units * height * LINE) / 2.0;
    for (content, scale, bold) in lines {
        let line = Line { text: content, height: height * scale, bold };
        letters.draw(&mut image, &line, (margin, y), wide + 1.0, Align::Left, text.colour);
        y += line.height * LINE;
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILE: Size = Size { width: 320, height: 180 };

    /// Returns how many pixels are brighter than the background. The tests need the fonts that `make setup` installs.
    fn bright(image: &RgbaImage) -> usize {
        image.pixels().filter(|pixel| pixel.0[0] > 0x80).count()
    }

    #[test]
    fn names_are_drawn_in_any_script() {
        for name in ["Anna", "李小龙", "Ωμέγα"] {
            let label = label(name, TILE).expect("a label");
            assert!(
                label.width().is_multiple_of(2) && label.height().is_multiple_of(2) && label.width() < 120,
                "{name}"
            );
            assert!(bright(&label) > 30, "{name}: {}", bright(&label));
            assert!(bright(&placeholder(name, TILE)) > 50, "{name}");
        }
        assert_eq!(label("", TILE), None);
        // The box for a missing glyph would look the same for both.
        assert_ne!(placeholder("李", TILE), placeholder("龙", TILE));
    }

    #[test]
    fn text_stays_within_the_tile_for_long_names_and_tiny_tiles() {
        let long = "a name that is much longer than the tile is wide ".repeat(4);
        assert!(label(&long, TILE).expect("a label").width() <= TILE.width);
        let tiny = Size { width: 2, height: 2 };
        assert_eq!(label(&long, tiny), None);
        assert_eq!(placeholder(&long, tiny).dimensions(), (2, 2));
        assert_eq!(card(&Text { title: Some(long), ..Text::default() }, tiny).dimensions(), (2, 2));
    }

    #[test]
    fn a_card_has_its_background_and_its_text() {
        let text = Text { title: Some("Tea".to_owned()), lines: vec!["¥ 99".to_owned()], ..Text::default() };
        let card = card(&text, TILE);
        assert_eq!(card.get_pixel(0, 0).0, [0, 0, 0, 0xb0]);
        assert!(bright(&card) > 300, "{}", bright(&card));
        let empty = super::card(&Text::default(), TILE);
        assert_eq!(bright(&empty), 0);
    }
}
