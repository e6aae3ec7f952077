//! Draws the canvas: the items that changed since the last frame, and the items that those show through or are hidden
//! by.

use std::sync::Arc;

use super::fitted::Fitted;
use super::plan::{Drawn, Item, Plan, TilePlan};
use super::plane;
use crate::codec::{self, RawVideo};
use crate::error::Error;
use crate::scene::{InputId, Rect};
use onmic_media::DropReason;

/// States what an input shows now.
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    /// The input has no current video. Its tile shows its name.
    Placeholder,
    /// The input shows a frame. The number is unique among the frames of this input.
    Picture(&'a RawVideo, u64),
}

/// Draws one frame after the other on the same canvas. Nothing else may write to the canvas.
pub struct Compositor {
    plan: Arc<Plan>,
    canvas: RawVideo,
    tiles: Vec<TileState>,
    /// For each item, whether this frame has to draw it.
    dirty: Vec<bool>,
    everything: bool,
}

/// Describes what a tile shows on the canvas.
struct TileState {
    fitted: Fitted,
    seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Placeholder,
    Picture(u64),
}

impl Compositor {
    /// Makes a compositor that has not drawn anything.
    pub fn new(plan: Arc<Plan>) -> Self {
        let mut compositor = Self {
            canvas: plane::blank(plan.canvas),
            plan: plan.clone(),
            tiles: Vec::new(),
            dirty: Vec::new(),
            everything: true,
        };
        compositor.set_plan(plan);
        compositor
    }

    /// Draws `plan` from the next frame on.
    pub fn set_plan(&mut self, plan: Arc<Plan>) {
        if plane::size(&self.canvas) != plan.canvas {
            self.canvas = plane::blank(plan.canvas);
        }
        let state = |item: &Item| match &item.drawn {
            Drawn::Tile(TilePlan { fit, rotation, key, .. }) => {
                Some(Fitted::new(item.rect.size(), *fit, *rotation, key.as_ref()))
            }
            Drawn::Overlay { .. } => None,
        };
        self.tiles =
            plan.items.iter().filter_map(state).map(|fitted| TileState { fitted, seen: Seen::Nothing }).collect();
        self.plan = plan;
        self.everything = true;
    }

    /// Returns the plan that is drawn.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Returns the canvas as it was drawn last.
    pub fn canvas(&mut self) -> &mut RawVideo {
        &mut self.canvas
    }

    /// Draws one frame.
    pub fn draw<'a>(&mut self, show: impl Fn(&InputId) -> Shown<'a>) -> Result<&mut RawVideo, Error> {
        codec::make_writable(&mut self.canvas).map_err(Error::Convert)?;
        self.take_in(show);
        let plan = self.plan.clone();
        if self.everything {
            plane::copy(&plan.background.picture, plan.canvas.rect(), &mut self.canvas, plan.canvas.rect());
        } else {
            let bounds: Vec<(Rect, bool)> = plan.items.iter().map(|item| (item.rect, item.opaque)).collect();
            spread(&mut self.dirty, &bounds);
            for at in (0..bounds.len()).filter(|at| self.dirty[*at]) {
                let (rect, opaque) = bounds[at];
                // The background need not be drawn where an opaque item below is drawn again.
                let hidden =
                    || (0..at).any(|below| self.dirty[below] && bounds[below].1 && bounds[below].0.covers(rect));
                if !opaque && !hidden() {
                    plane::copy(&plan.background.picture, rect, &mut self.canvas, rect);
                }
            }
        }
        let mut tiles = self.tiles.iter();
        for (item, dirty) in plan.items.iter().zip(&self.dirty) {
            let state = match &item.drawn {
                Drawn::Tile(_) => tiles.next(),
                Drawn::Overlay { .. } => None,
            };
            match (&item.drawn, state) {
                _ if !dirty => {}
                (Drawn::Overlay { patch, .. }, _) => patch.blend(&mut self.canvas, item.rect.x, item.rect.y),
                (Drawn::Tile(tile), Some(state)) => draw_tile(&mut self.canvas, item.rect, tile, state),
                (Drawn::Tile(_), None) => {}
            }
        }
        self.everything = false;
        Ok(&mut self.canvas)
    }

    /// Fits new frames to their tiles, and notes which tiles differ from the canvas.
    fn take_in<'a>(&mut self, show: impl Fn(&InputId) -> Shown<'a>) {
        let mut tiles = self.tiles.iter_mut();
        self.dirty.clear();
        for item in &self.plan.items {
            let mut changed = self.everything;
            if let Drawn::Tile(tile) = &item.drawn
                && let Some(state) = tiles.next()
            {
                let seen = match show(&tile.input) {
                    Shown::Picture(_, number) if state.seen == Seen::Picture(number) => state.seen,
                    Shown::Picture(picture, number) => match state.fitted.fit(picture) {
                        Ok(()) => Seen::Picture(number),
                        Err(error) => {
                            tracing::debug!(
                                input = %tile.input,
                                error = &error as &dyn std::error::Error,
                                "a frame could not be fitted to its tile"
                            );
                            DropReason::MixUnusable.count(1);
                            if state.seen == Seen::Nothing { Seen::Placeholder } else { state.seen }
                        }
                    },
                    Shown::Placeholder => Seen::Placeholder,
                };
                changed |= seen != state.seen;
                state.seen = seen;
            }
            self.dirty.push(changed);
        }
    }
}

fn draw_tile(canvas: &mut RawVideo, rect: Rect, tile: &TilePlan, state: &TileState) {
    let place = match state.seen {
        Seen::Picture(_) => state.fitted.draw(canvas, rect.x, rect.y),
        Seen::Placeholder | Seen::Nothing => None,
    };
    let place = place.unwrap_or_else(|| {
        tile.placeholder.blend(canvas, rect.x, rect.y);
        rect
    });
    if let Some((thickness, colour)) = tile.border {
        plane::frame_of(canvas, place, thickness, colour);
    }
    if let (Some(label), Seen::Picture(_)) = (&tile.label, state.seen) {
        let (bottom, inset) = (rect.bottom() - label.height(), tile.border.map_or(0, |(thickness, _)| thickness));
        let fits = label.width() + inset <= rect.width && label.height() + inset <= rect.height;
        let inset = if fits { inset } else { 0 };
        label.blend(canvas, rect.x + inset, bottom - inset);
    }
}

/// Marks the items that have to be drawn again because they meet a changed item: those in front of it, and those behind
/// it if it is not opaque.
fn spread(dirty: &mut [bool], items: &[(Rect, bool)]) {
    loop {
        let mut more = false;
        for changed in 0..items.len() {
            let (rect, opaque) = items[changed];
            for other in 0..items.len() {
                let matters = other > changed || !opaque;
                if dirty[changed] && !dirty[other] && matters && rect.meets(items[other].0) {
                    dirty[other] = true;
                    more = true;
                }
            }
        }
        if !more {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::plane::tests::{at, drawn};
    use super::*;
    use crate::codec::Space;
    use crate::scene::{
        Background, ChromaKey, Colour, Content, Corner, Fit, Image, Layout, Overlay, Place, Scene, Size, Text, Tile,
    };

    const CANVAS: Size = Size { width: 320, height: 180 };
    const GREEN: Colour = Colour::rgb(0, 0xd0, 0x20);

    fn ids(count: usize) -> Vec<InputId> {
        (0..count).map(|number| InputId::from(&format!("room/{number}").parse().unwrap())).collect()
    }

    fn scene(layout: Layout, count: usize) -> Scene {
        Scene::new(CANVAS, &layout, &ids(count))
    }

    fn plain(colour: Colour) -> RawVideo {
        let yuv = colour.yuv();
        let mut picture = drawn(Size { width: 320, height: 180 }, |index, _, _| yuv[index]);
        picture.set_color_space(Space::BT709);
        picture
    }

    fn colour_of(number: usize) -> Colour {
        [Colour::rgb(200, 0, 0), Colour::rgb(0, 0, 200), Colour::rgb(200, 200, 0), Colour::WHITE][number % 4]
    }

    fn seen(canvas: &RawVideo, x: u32, y: u32) -> [u8; 3] {
        [at(canvas, 0, x, y), at(canvas, 1, x / 2, y / 2), at(canvas, 2, x / 2, y / 2)]
    }

    /// Returns the number at the end of an input's name.
    fn number(id: &InputId) -> usize {
        id.as_str().rsplit('/').next().unwrap().parse().unwrap()
    }

    /// Returns all samples of the canvas, for comparison.
    fn samples(canvas: &RawVideo) -> Vec<u8> {
        let all = plane::size(canvas).rect();
        (0..3)
            .flat_map(|index| plane::Plane::of(canvas, index, all).rows().flatten().copied().collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn every_tile_shows_its_input_and_the_rest_the_background() {
        let pictures: Vec<_> = (0..3).map(|number| plain(colour_of(number))).collect();
        let scene = scene(Layout::Grid, 3);
        let Background::Colour { colour: background } = scene.background else { panic!("a colour") };
        let mut compositor = Compositor::new(Arc::new(Plan::new(&scene, None).unwrap()));
        let canvas = compositor.draw(|id| Shown::Picture(&pictures[number(id)], 1)).unwrap();
        for (x, y, number) in [(80, 45, 0), (240, 45, 1), (160, 135, 2), (159, 89, 0), (160, 89, 1)] {
            assert_eq!(seen(canvas, x, y), colour_of(number).yuv(), "{x},{y}");
        }
        assert_eq!(seen(canvas, 40, 135), background.yuv());
    }

    #[test]
    fn an_input_without_video_shows_its_name() {
        let scene = scene(Layout::SideBySide, 2);
        let mut compositor = Compositor::new(Arc::new(Plan::new(&scene, None).unwrap()));
        let picture = plain(colour_of(0));
        let show = |id: &InputId| if number(id) == 0 { Shown::Picture(&picture, 1) } else { Shown::Placeholder };
        let canvas = compositor.draw(show).unwrap();
        let dark = seen(canvas, 170, 10);
        assert_eq!(dark, Colour::rgb(0x20, 0x24, 0x2c).yuv());
        let letters = (160..320).flat_map(|x| (70..110).map(move |y| (x, y)));
        let bright = letters.filter(|(x, y)| at(canvas, 0, *x, *y) > 120).count();
        assert!(bright > 30, "{bright} pixels of letters");
    }

    /// The scene has every feature. A canvas drawn piece by piece must equal one drawn at once.
    #[test]
    fn drawing_only_what_changed_gives_the_same_canvas() {
        let mut scene = scene(Layout::PictureInPicture { corner: Corner::BottomRight }, 4);
        scene.tiles[1].label = Some("Anna".to_owned());
        scene.tiles[2].border = Some(Colour::WHITE);
        scene.tiles[3].chroma_key = Some(ChromaKey::default());
        scene.tiles[0].fit = Fit::Contain;
        let image = Image::of(RgbaImage::from_fn(8, 8, |x, _| Rgba([255, 0, 0, 30 * x as u8])));
        let place = |x, y, width, height| Place::new(x, y, width, height).unwrap();
        let text = Text { title: Some("Tea".to_owned()), ..Text::default() };
        let card = Overlay { place: place(0.5, 0.5, 0.4, 0.4), z: 0, opacity: 0.7, content: Content::Text(text) };
        scene.overlays = vec![
            card,
            Overlay { place: place(0.1, 0.1, 0.8, 0.3), z: 5, opacity: 1.0, content: Content::Image { image } },
        ];
        let plan = Arc::new(Plan::new(&scene, None).unwrap());
        let mut compositor = Compositor::new(plan.clone());
        let mut state = [0_u64; 4];
        let picture = |number: usize, version: u64| {
            let size =
                if version % 5 == 3 { Size { width: 160, height: 160 } } else { Size { width: 320, height: 180 } };
            drawn(size, |index, x, _| match number {
                3 if x < size.width / 4 => GREEN.yuv()[index],
                _ => (40 * number as u64 + 7 * version + u64::from(x) / 4) as u8,
            })
        };
        let mut seed = 1_u32;
        for step in 0..40 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let changed = (seed >> 20) as usize % 5;
            if let Some(version) = state.get_mut(changed) {
                *version += 1;
            }
            let pictures: Vec<_> = (0..4).map(|number| picture(number, state[number])).collect();
            let show = |id: &InputId| match state[number(id)] {
                0 => Shown::Placeholder,
                version if version % 7 == 6 => Shown::Placeholder,
                version => Shown::Picture(&pictures[number(id)], version),
            };
            let piece_by_piece = samples(compositor.draw(show).unwrap());
            let mut afresh = Compositor::new(plan.clone());
            assert!(piece_by_piece == samples(afresh.draw(show).unwrap()), "step {step}");
        }
    }

    #[test]
    fn a_new_plan_applies_to_the_next_frame_and_keeps_unchanged_labels() {
        let picture = plain(colour_of(2));
        let mut first = scene(Layout::SideBySide, 2);
        first.tiles[0].label = Some("Anna".to_owned());
        let before = Arc::new(Plan::new(&first, None).unwrap());
        let mut compositor = Compositor::new(before.clone());
        compositor.draw(|_| Shown::Picture(&picture, 1)).unwrap();
        let mut second = first.clone();
        second.tiles[1].border = Some(Colour::rgb(0, 0, 200));
        let after = Arc::new(Plan::new(&second, Some(&before)).unwrap());
        let label = |plan: &Plan| plan.tiles_for_test().next().unwrap().label.clone().unwrap();
        assert!(Arc::ptr_eq(&label(&before), &label(&after)));
        assert!(Arc::ptr_eq(&before.background.picture, &after.background.picture));
        compositor.set_plan(after);
        let canvas = compositor.draw(|_| Shown::Picture(&picture, 1)).unwrap();
        assert_eq!(seen(canvas, 160, 90), Colour::rgb(0, 0, 200).yuv());
        assert_eq!(seen(canvas, 166, 90), colour_of(2).yuv());
    }

    #[test]
    fn an_input_whose_tile_is_covered_is_not_decoded_unless_it_leads() {
        let mut scene = scene(Layout::SideBySide, 2);
        scene.tiles.push(Tile { z: 3, ..Tile::new(ids(3)[2].clone(), Place::ALL) });
        let plan = Plan::new(&scene, None).unwrap();
        let inputs: Vec<&str> = plan.inputs().map(InputId::as_str).collect();
        assert_eq!(inputs, ["room/2", "room/0"], "the input in front, and the input that leads");
        scene.tiles[2].fit = Fit::Contain;
        assert_eq!(Plan::new(&scene, None).unwrap().inputs().count(), 4);
    }

    #[test]
    fn the_keyed_screen_shows_the_background() {
        let mut scene = scene(Layout::Solo, 1);
        scene.background = Background::Image { image: Image::of(RgbaImage::from_pixel(4, 9, Rgba([0, 0, 255, 255]))) };
        scene.tiles[0].chroma_key = Some(ChromaKey::default());
        let (green, skin) = (GREEN.yuv(), Colour::rgb(224, 172, 140).yuv());
        let mut picture = drawn(CANVAS, |index, x, _| if x < 160 >> index.min(1) { green[index] } else { skin[index] });
        picture.set_color_space(Space::BT709);
        let mut compositor = Compositor::new(Arc::new(Plan::new(&scene, None).unwrap()));
        let canvas = compositor.draw(|_| Shown::Picture(&picture, 1)).unwrap();
        assert_eq!(seen(canvas, 80, 90), Colour::rgb(0, 0, 255).yuv());
        assert_eq!(seen(canvas, 240, 90), skin);
    }
}
