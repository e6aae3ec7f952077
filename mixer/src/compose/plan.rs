//! A scene in which everything that can be drawn ahead is drawn: text, cards, logos, the background.
//!
//! The thread that sets a scene makes the plan, not the thread that composes: the composer only exchanges one plan for
//! the next. Items that did not change are taken over from the previous plan.

use std::sync::Arc;

use image::RgbaImage;
use image::imageops::{self, FilterType};
use onmic_names::MIXED_MAX;

use super::patch::Patch;
use super::plane;
use super::text;
use crate::codec::RawVideo;
use crate::error::Error;
use crate::scene::{
    Background, ChromaKey, Content, Fit, Image, InputId, OVERLAYS_MAX, Overlay, Rect, Rotation, Scene, Size, Tile,
};

/// Is a scene that is ready to be drawn.
pub struct Plan {
    pub(crate) canvas: Size,
    pub(crate) frame_rate_max: f64,
    pub(crate) lead: Option<InputId>,
    pub(crate) background: Ground,
    /// The items on the canvas, the farthest first.
    pub(crate) items: Vec<Item>,
}

/// Holds the drawn background, and its description.
#[derive(Clone)]
pub(crate) struct Ground {
    of: Background,
    pub(crate) picture: Arc<RawVideo>,
}

/// Is one item on the canvas.
pub(crate) struct Item {
    z: i32,
    pub(crate) rect: Rect,
    /// Whether it always hides everything behind it.
    pub(crate) opaque: bool,
    pub(crate) drawn: Drawn,
}

pub(crate) enum Drawn {
    Tile(TilePlan),
    Overlay { of: Overlay, patch: Arc<Patch> },
}

pub(crate) struct TilePlan {
    pub(crate) input: InputId,
    pub(crate) fit: Fit,
    pub(crate) rotation: Rotation,
    pub(crate) key: Option<ChromaKey>,
    /// The thickness in pixels and the colour.
    pub(crate) border: Option<(u32, [u8; 3])>,
    name: Option<String>,
    pub(crate) label: Option<Arc<Patch>>,
    pub(crate) placeholder: Arc<Patch>,
}

impl Plan {
    /// Draws a scene, which takes milliseconds if there is much to draw. `previous` is the plan that this one replaces.
    /// A scene with more than [`MIXED_MAX`] tiles or [`OVERLAYS_MAX`] overlays is refused, so that no item is left out
    /// without an error.
    pub fn new(scene: &Scene, previous: Option<&Self>) -> Result<Self, Error> {
        Error::unless_within("tiles", scene.tiles.len(), MIXED_MAX)?;
        Error::unless_within("overlays", scene.overlays.len(), OVERLAYS_MAX)?;
        let canvas = Size::canvas(scene.canvas.width, scene.canvas.height, Size::FULL_HD);
        let previous = previous.filter(|previous| previous.canvas == canvas);
        let background = match previous {
            Some(previous) if previous.background.of == scene.background => previous.background.clone(),
            _ => Ground { of: scene.background.clone(), picture: Arc::new(ground(&scene.background, canvas)) },
        };
        let tiles = scene.tiles.iter().map(|tile| tile_item(tile, canvas, previous));
        let overlays = scene.overlays.iter().map(|overlay| overlay_item(overlay, canvas, previous));
        let mut items: Vec<Item> = tiles.chain(overlays).collect();
        items.sort_by_key(|item| item.z); // The sort is stable, so of items with equal `z` the later one is nearer.
        let hidden = |at: usize| items[at + 1..].iter().any(|item| item.opaque && item.rect.covers(items[at].rect));
        let seen: Vec<bool> = (0..items.len()).map(|at| !hidden(at)).collect();
        let mut seen = seen.into_iter();
        items.retain(|_| seen.next().unwrap_or(true));
        let frame_rate_max =
            if scene.frame_rate_max.is_finite() { scene.frame_rate_max.clamp(1.0, 120.0) } else { 30.0 };
        Ok(Self { canvas, frame_rate_max, lead: scene.lead.clone(), background, items })
    }

    /// Returns the inputs that have to be decoded: those that are visible, and the lead.
    pub fn inputs(&self) -> impl Iterator<Item = &InputId> {
        let tiles = self.items.iter().filter_map(|item| match &item.drawn {
            Drawn::Tile(tile) => Some(&tile.input),
            Drawn::Overlay { .. } => None,
        });
        tiles.chain(&self.lead)
    }

    #[cfg(test)]
    pub(crate) fn tiles_for_test(&self) -> impl Iterator<Item = &TilePlan> {
        self.tiles().map(|(_, tile)| tile)
    }

    fn tiles(&self) -> impl Iterator<Item = (&Item, &TilePlan)> {
        self.items.iter().filter_map(|item| match &item.drawn {
            Drawn::Tile(tile) => Some((item, tile)),
            Drawn::Overlay { .. } => None,
        })
    }
}

fn tile_item(tile: &Tile, canvas: Size, previous: Option<&Plan>) -> Item {
    let rect = tile.place.on(canvas);
    let size = rect.size();
    let same = |(item, before): &(&Item, &TilePlan)| {
        item.rect.size() == size && before.name == tile.label && before.input == tile.input
    };
    let (label, placeholder) = match previous.and_then(|previous| previous.tiles().find(same)) {
        Some((_, before)) => (before.label.clone(), before.placeholder.clone()),
        None => {
            let name = tile.label.as_deref().unwrap_or(tile.input.as_str());
            let label = tile.label.as_deref().and_then(|label| text::label(label, size));
            let label = label.map(|label| Arc::new(Patch::of(&label, 1.0)));
            (label, Arc::new(Patch::of(&text::placeholder(name, size), 1.0)))
        }
    };
    let thickness = (canvas.height / 180).max(1) * 2;
    let drawn = TilePlan {
        input: tile.input.clone(),
        fit: tile.fit,
        rotation: tile.rotation,
        key: tile.chroma_key,
        border: tile.border.map(|colour| (thickness, colour.yuv())),
        name: tile.label.clone(),
        label,
        placeholder,
    };
    let opaque = tile.fit == Fit::Crop && tile.chroma_key.is_none();
    Item { z: tile.z, rect, opaque, drawn: Drawn::Tile(drawn) }
}

fn overlay_item(overlay: &Overlay, canvas: Size, previous: Option<&Plan>) -> Item {
    let rect = overlay.place.on(canvas);
    let same = |item: &Item| match &item.drawn {
        Drawn::Overlay { of, patch } if of == overlay => Some(patch.clone()),
        _ => None,
    };
    let before = previous.and_then(|previous| previous.items.iter().find_map(same));
    let patch = before.unwrap_or_else(|| {
        let picture = match &overlay.content {
            Content::Text(text) => text::card(text, rect.size()),
            Content::Image { image } => logo(image, rect.size()),
        };
        Arc::new(Patch::of(&picture, overlay.opacity))
    });
    Item { z: overlay.z, rect, opaque: false, drawn: Drawn::Overlay { of: overlay.clone(), patch } }
}

/// Scales the whole image into the middle of `size`. It is multiplied by its alpha first, so that the colour of
/// transparent pixels does not show at edges.
fn logo(image: &Image, size: Size) -> RgbaImage {
    let mut pixels = image.pixels().clone();
    for pixel in pixels.pixels_mut() {
        let [.., alpha] = pixel.0;
        pixel.0[..3].iter_mut().for_each(|part| *part = plane::scale_255(*part, alpha));
    }
    let (width, height) = (f64::from(pixels.width()), f64::from(pixels.height()));
    let scale = (f64::from(size.width) / width).min(f64::from(size.height) / height);
    let side = |side: f64, most: u32| ((side * scale).round() as u32).clamp(1, most);
    let (width, height) = (side(width, size.width), side(height, size.height));
    let scaled = imageops::resize(&pixels, width, height, FilterType::Triangle);
    let mut all = RgbaImage::new(size.width, size.height);
    imageops::replace(&mut all, &scaled, i64::from((size.width - width) / 2), i64::from((size.height - height) / 2));
    all
}

fn ground(background: &Background, canvas: Size) -> RawVideo {
    let mut picture = plane::blank(canvas);
    match background {
        Background::Colour { colour } => plane::fill(&mut picture, canvas.rect(), colour.yuv()),
        Background::Image { image } => {
            plane::fill(&mut picture, canvas.rect(), [16, 128, 128]);
            let pixels = image.pixels();
            let (width, height) = (f64::from(pixels.width()), f64::from(pixels.height()));
            let scale = (f64::from(canvas.width) / width).max(f64::from(canvas.height) / height);
            let part = |side: f64, wanted: u32| ((f64::from(wanted) / scale).round().clamp(1.0, side)) as u32;
            let (part_width, part_height) = (part(width, canvas.width), part(height, canvas.height));
            let (x, y) = ((pixels.width() - part_width) / 2, (pixels.height() - part_height) / 2);
            let part = imageops::crop_imm(pixels, x, y, part_width, part_height).to_image();
            let mut scaled = imageops::resize(&part, canvas.width, canvas.height, FilterType::Triangle);
            for pixel in scaled.pixels_mut() {
                let [.., alpha] = pixel.0;
                pixel.0[..3].iter_mut().for_each(|part| *part = plane::scale_255(*part, alpha));
            }
            Patch::of(&scaled, 1.0).blend(&mut picture, 0, 0);
        }
    }
    picture
}
