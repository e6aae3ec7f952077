//! The look and the sound of a room's program, as its host sets them. They are checked here, and the stage carries them
//! out.

mod pictures;
mod wire;

use std::collections::BTreeMap;

use bytes::Bytes;

use onmic_mixer::scene;
use onmic_names::MIXED_MAX;
use onmic_room::{ParticipantName, RoomName};

pub use pictures::{NotDecoded, Overlays, Paid, Sent, Shown, budget as picture_budget};
pub use wire::{ChromaKey, Colour, Fit, Layout, LookChange, OverlayBody, Place, SourceChange, SourceLook, present};

use pictures::fit;
use wire::image_address;

/// The reason why something cannot be shown. Its Display is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(String);

impl Impossible {
    /// Takes a sentence that says what is wrong and what would be right.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

fn unless(holds: bool, sentence: impl FnOnce() -> String) -> Result<(), Impossible> {
    if holds { Ok(()) } else { Err(Impossible(sentence())) }
}

/// Everything about the program that the host sets, rather than what follows from who is on mic.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub layout: Layout,
    /// The overlays by `z`, and within it in the order given.
    pub overlays: Vec<Overlay>,
    pub background: Colour,
    /// Whether a mix shows a name on each source.
    pub labels: bool,
    /// Whether a mix shows a border around the sources that speak.
    pub borders: bool,
    /// The settings of sources, without those that have the defaults.
    pub sources: BTreeMap<ParticipantName, SourceLook>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            overlays: Vec::new(),
            background: background(),
            labels: false,
            borders: false,
            sources: BTreeMap::new(),
        }
    }
}

/// Returns the default background of the mixer.
fn background() -> Colour {
    match scene::Background::default() {
        scene::Background::Colour { colour } => colour.into(),
        scene::Background::Image { .. } => Colour([0, 0, 0, 0xff]),
    }
}

/// An overlay, which lies over the sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay<I = Image> {
    pub id: String,
    pub place: Place,
    /// The order: a higher overlay is in front. 0 is in front of the sources of every layout but a custom one, whose
    /// places may be at 100 or above.
    pub z: i16,
    pub opacity: f32,
    pub what: OverlayKind<I>,
}

/// The content of an overlay.
#[derive(Clone, Debug, PartialEq)]
pub enum OverlayKind<I = Image> {
    Text { title: String, lines: Vec<String>, colour: Colour, background: Colour },
    Image(I),
}

/// A picture, encoded as it was sent and decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The media type: `image/png` or `image/jpeg`.
    pub media_type: &'static str,
    pub bytes: Bytes,
    pub picture: scene::Image,
    pub paid: Paid,
}

impl Look {
    pub fn set_layout(&mut self, layout: Layout) -> Result<(), Impossible> {
        layout.check()?;
        self.layout = layout;
        Ok(())
    }

    pub fn change(&mut self, change: &LookChange) {
        self.background = change.background.unwrap_or(self.background);
        self.labels = change.labels.unwrap_or(self.labels);
        self.borders = change.borders.unwrap_or(self.borders);
    }

    pub fn set_source(&mut self, participant: ParticipantName, change: SourceChange) -> Result<(), Impossible> {
        let before = self.sources.get(&participant).cloned().unwrap_or_default();
        let after = SourceLook {
            gain_db: change.gain_db.unwrap_or(before.gain_db),
            chroma_key: change.chroma_key.unwrap_or(before.chroma_key),
            denoise: change.denoise.unwrap_or(before.denoise),
            auto_gain: change.auto_gain.unwrap_or(before.auto_gain),
            fit: change.fit.unwrap_or(before.fit),
        };
        after.check()?;
        if after == SourceLook::default() {
            self.sources.remove(&participant);
            return Ok(());
        }
        let known = self.sources.contains_key(&participant) || self.sources.len() < 2 * MIXED_MAX;
        unless(known, || "Too many sources of this room have settings. Set some back to the defaults first.".into())?;
        self.sources.insert(participant, after);
        Ok(())
    }

    /// Sets all overlays at once. Pictures that are kept are looked up by the ids of their overlays.
    pub fn set_overlays(&mut self, overlays: Overlays<Shown>) -> Result<(), Impossible> {
        let mut after: Vec<Overlay> = Vec::with_capacity(overlays.0.len());
        for Overlay { id, place, z, opacity, what } in overlays.0 {
            let what = match what {
                OverlayKind::Text { title, lines, colour, background } => {
                    OverlayKind::Text { title, lines, colour, background }
                }
                OverlayKind::Image(Shown::Decoded(image)) => OverlayKind::Image(image),
                OverlayKind::Image(Shown::Kept) => {
                    let kept = self.image(&id).cloned();
                    let none = || Impossible(format!("There is no picture of overlay {id:?} to keep. Send it."));
                    OverlayKind::Image(kept.ok_or_else(none)?)
                }
            };
            after.push(Overlay { id, place, z, opacity, what });
        }
        let images = || after.iter().filter_map(Overlay::image);
        fit(images().map(|image| image.bytes.len()).sum(), images().map(|image| image.picture.pixel_bytes()).sum())?;
        after.sort_by_key(|overlay| overlay.z);
        self.overlays = after;
        Ok(())
    }

    /// Returns the picture of an overlay.
    pub fn image(&self, id: &str) -> Option<&Image> {
        self.overlays.iter().find(|overlay| overlay.id == id).and_then(Overlay::image)
    }

    /// Returns the overlays as clients are told of them.
    pub fn told_overlays(&self, room: &RoomName) -> Vec<OverlayBody> {
        self.overlays.iter().map(|overlay| overlay.told(room)).collect()
    }
}

impl Overlay {
    fn image(&self) -> Option<&Image> {
        match &self.what {
            OverlayKind::Image(image) => Some(image),
            OverlayKind::Text { .. } => None,
        }
    }

    fn told(&self, room: &RoomName) -> OverlayBody {
        let Self { id, place, z, opacity, what } = self.clone();
        match what {
            OverlayKind::Text { title, lines, colour, background } => {
                OverlayBody::Text { id, place, z, opacity, title, lines, colour, background }
            }
            OverlayKind::Image(_) => {
                let image = image_address(room, &id);
                OverlayBody::Image { id, place, z, opacity, image }
            }
        }
    }
}

impl From<&Overlay> for scene::Overlay {
    fn from(overlay: &Overlay) -> Self {
        let content = match &overlay.what {
            OverlayKind::Text { title, lines, colour, background } => scene::Content::Text(scene::Text {
                title: (!title.is_empty()).then(|| title.clone()),
                lines: lines.clone(),
                colour: (*colour).into(),
                background: (*background).into(),
            }),
            OverlayKind::Image(image) => scene::Content::Image { image: image.picture.clone() },
        };
        // Layouts put tiles at 0 and 1, and a custom one at the `z` that the host gives.
        let z = 100 + i32::from(overlay.z);
        Self { place: overlay.place.into(), z, opacity: overlay.opacity, content }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use onmic_media::Budget;
    use serde_json::{from_value, json};

    use super::pictures::{DECODED_MAX, IMAGE_MAX};
    use super::*;

    const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    fn room() -> RoomName {
        "demo".parse().unwrap()
    }

    fn set(look: &mut Look, bodies: Vec<OverlayBody>) -> Result<(), NotDecoded> {
        set_within(&pictures::budget(), look, bodies)
    }

    fn set_within(budget: &Arc<Budget>, look: &mut Look, bodies: Vec<OverlayBody>) -> Result<(), NotDecoded> {
        Ok(look.set_overlays(Overlays::check(&room(), bodies)?.decode(budget)?)?)
    }

    fn overlays(list: serde_json::Value) -> Vec<OverlayBody> {
        from_value(list).unwrap()
    }

    fn place() -> serde_json::Value {
        json!({"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2})
    }

    #[test]
    fn every_layout_of_the_contract_is_read_and_unknown_members_are_refused() {
        for kind in ["solo", "side-by-side", "grid", "picture-in-picture", "host-and-strip"] {
            let layout: Layout = from_value(json!({"kind": kind})).unwrap();
            assert_eq!(serde_json::to_value(&layout).unwrap(), json!({"kind": kind}));
            assert!(from_value::<Layout>(json!({"kind": kind, "colour": 1})).is_err(), "an unknown member");
        }
        let custom: Layout = from_value(json!({"kind": "custom", "places": [place()]})).unwrap();
        assert_eq!(Look::default().set_layout(custom), Ok(()));
    }

    #[test]
    fn a_place_outside_the_canvas_is_refused_with_a_sentence() {
        for (x, width) in [(-0.1, 0.5), (0.6, 0.5), (0.0, 0.0), (f32::NAN, 0.5), (0.0, f32::INFINITY)] {
            let places = vec![Place { x, y: 0.0, width, height: 1.0, z: 0 }];
            let refused = Look::default().set_layout(Layout::Custom { places }).unwrap_err();
            assert!(refused.to_string().ends_with("."), "{x} {width}: {refused}");
        }
        assert!(Look::default().set_layout(Layout::Custom { places: vec![] }).is_err());
    }

    #[test]
    fn a_picture_is_told_by_its_address_and_can_be_kept_by_it() {
        let mut look = Look::default();
        let sent = json!([{"id": "logo", "kind": "image", "place": place(), "z": 3, "image": PIXEL},
            {"id": "card", "kind": "text", "place": place(), "title": "Tea", "lines": ["12 €"]}]);
        set(&mut look, overlays(sent)).unwrap();
        let told = look.told_overlays(&room());
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(json[1]["image"], "/api/v1/rooms/demo/overlays/logo/image");
        assert_eq!(json[0]["background"], "#000000b0");
        let before = look.clone();
        set(&mut look, told).unwrap();
        assert_eq!(look, before);
        let mut behind_a_proxy = json;
        behind_a_proxy[1]["image"] = json!("/live/api/v1/rooms/demo/overlays/logo/image");
        set(&mut look, overlays(behind_a_proxy)).unwrap();
        assert_eq!(look, before);
        assert_eq!(look.image("logo").unwrap().media_type, "image/png");
    }

    #[test]
    fn invalid_overlays_are_refused_and_change_nothing() {
        let overlay = |members: serde_json::Value| {
            let mut overlay = json!({"id": "a", "kind": "image", "place": place(), "image": PIXEL});
            overlay.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            overlay
        };
        let large = format!("data:image/png;base64,{}", "A".repeat(IMAGE_MAX));
        let many: Vec<_> = (0..17).map(|index| overlay(json!({"id": index.to_string()}))).collect();
        for list in [
            json!(many),
            json!([overlay(json!({})), overlay(json!({}))]),
            json!([overlay(json!({"image": large}))]),
            json!([overlay(json!({"image": "data:image/gif;base64,AAAA"}))]),
            json!([overlay(json!({"image": "data:image/png;base64,*"}))]),
            json!([overlay(json!({"image": "/api/v1/rooms/demo/overlays/a/image"}))]),
            json!([overlay(json!({"id": "a/b"}))]),
            json!([overlay(json!({"opacity": 2}))]),
            json!([{"id": "t", "kind": "text", "place": place(), "lines": vec!["x"; 13]}]),
        ] {
            let mut look = Look::default();
            let refused = set(&mut look, overlays(list.clone())).unwrap_err().to_string();
            assert!(refused.ends_with('.'), "{refused}");
            assert_eq!(look, Look::default());
        }
    }

    /// Returns a picture of one colour, whose file is small whatever its size.
    fn plain(width: u32, height: u32) -> String {
        let mut file = std::io::Cursor::new(Vec::new());
        let pixels = image::RgbaImage::from_pixel(width, height, image::Rgba([200, 30, 30, 255]));
        pixels.write_to(&mut file, image::ImageFormat::Png).unwrap();
        format!("data:image/png;base64,{}", BASE64_STANDARD.encode(file.into_inner()))
    }

    #[test]
    fn the_pictures_that_a_room_keeps_are_bounded_by_their_pixels() {
        let image =
            |id: usize, image: &str| json!({"id": id.to_string(), "kind": "image", "place": place(), "image": image});
        let screen = plain(3840, 2160);
        let of = |count: usize| overlays((0..count).map(|id| image(id, &screen)).collect());
        let mut look = Look::default();
        set(&mut look, of(3)).unwrap();
        let kept: usize =
            look.overlays.iter().filter_map(Overlay::image).map(|image| image.picture.pixel_bytes()).sum();
        assert_eq!(kept, DECODED_MAX);
        assert!(kept < 32 * 1024 * 1024);

        let before = look.clone();
        assert!(set(&mut look, of(4)).unwrap_err().to_string().contains("three times the pixels"));
        let huge = overlays(json!([image(0, &plain(4096, 4096))]));
        assert!(set(&mut look, huge).unwrap_err().to_string().contains("at most 8294400 pixels"));
        let mut kept_and_new = look.told_overlays(&room());
        kept_and_new.extend(overlays(json!([image(3, &screen)])));
        assert!(set(&mut look, kept_and_new).is_err(), "pictures that are kept count as well");
        assert_eq!(look, before);
    }

    #[test]
    fn the_pictures_of_all_rooms_are_bounded_by_their_bytes_and_free_what_they_held() {
        let image = plain(100, 100);
        let file = BASE64_STANDARD.decode(image.rsplit_once(',').unwrap().1).unwrap();
        let of = |count: usize| {
            let image = |id: usize| json!({"id": id.to_string(), "kind": "image", "place": place(), "image": image});
            overlays((0..count).map(image).collect())
        };
        let budget = Budget::new(3 * (40_000 + file.len() as u64));
        let (mut first, mut second) = (Look::default(), Look::default());
        set_within(&budget, &mut first, of(2)).unwrap();
        let refused = set_within(&budget, &mut second, of(2)).unwrap_err().to_string();
        assert!(refused.contains("The pictures of all rooms take as much memory as they may"), "{refused}");
        set_within(&budget, &mut second, of(1)).unwrap();
        let kept = first.told_overlays(&room());
        set_within(&budget, &mut first, kept).unwrap();
        drop(second);
        let shared = first.clone();
        set_within(&budget, &mut first, Vec::new()).unwrap();
        assert!(set_within(&budget, &mut first, of(2)).is_err(), "a copy of the look still holds its pictures");
        drop(shared);
        set_within(&budget, &mut first, of(3)).unwrap();
    }

    #[test]
    fn a_change_of_a_source_keeps_its_other_settings() {
        let mut look = Look::default();
        let anna: ParticipantName = "anna".parse().unwrap();
        let change = |value| from_value::<SourceChange>(value).unwrap();
        look.set_source(anna.clone(), change(json!({"gain_db": -6, "chroma_key": {"colour": "#00ff00"}}))).unwrap();
        look.set_source(anna.clone(), change(json!({"denoise": true}))).unwrap();
        let set = look.sources[&anna].clone();
        assert!(set.denoise && set.chroma_key.is_some() && set.gain_db < 0.0);
        look.set_source(anna.clone(), change(json!({"chroma_key": null, "gain_db": 0, "denoise": false}))).unwrap();
        assert!(look.sources.is_empty());
        assert!(look.set_source(anna, change(json!({"gain_db": 13}))).is_err());
    }

    #[test]
    fn a_colour_is_written_as_it_was_read_and_other_texts_are_refused() {
        for text in ["#101014", "#000000b0"] {
            assert_eq!(String::from(Colour::try_from(text.to_owned()).unwrap()), text);
        }
        for text in ["", "#12345", "red", "#é12345", "#+12345"] {
            assert!(Colour::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
