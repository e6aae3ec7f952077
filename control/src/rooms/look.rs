//! How a room's program looks and sounds, as its host sets it: checked here, carried out by the stage.
//!
//! Places are parts of the canvas, 0 to 1. What clients are told of a picture is where to get it, not its bytes.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use onmic_mixer::scene::{self, Size};
use onmic_room::{ParticipantName, RoomName};

/// At once.
pub const OVERLAYS_MAX: usize = 16;
/// Longest data URL of one picture, in bytes.
pub const IMAGE_MAX: usize = 512 * 1024;
/// Most bytes of all pictures of a room, as files.
const FILES_MAX: usize = 2 * 1024 * 1024;
/// Most pixels of one picture before it is fitted to the canvas: those of a 4K screen, 33 MB while it is decoded.
const PIXELS_MAX: u64 = 3840 * 2160;
/// Most bytes of all pictures of a room, decoded and fitted to the canvas: three that fill it, 25 MB.
const DECODED_MAX: usize = 3 * 1920 * 1080 * 4;
/// Most places of a custom layout: one for every source that a program can have.
const PLACES_MAX: usize = onmic_names::MIXED_MAX;
const LINES_MAX: usize = 12;
const LINE_MAX: usize = 200; // Characters.

/// Why something cannot be shown. Display is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(String);

impl Impossible {
    /// `sentence` says what is wrong and what would be right.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

fn unless(holds: bool, sentence: impl FnOnce() -> String) -> Result<(), Impossible> {
    if holds { Ok(()) } else { Err(Impossible(sentence())) }
}

/// Everything of the program that is set rather than follows from who is on mic.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub layout: Layout,
    /// By `z`, then in the order given.
    pub overlays: Vec<Overlay>,
    pub background: Colour,
    /// Names on the pictures.
    pub labels: bool,
    /// A border for who speaks.
    pub borders: bool,
    /// Those that are not as usual.
    pub sources: BTreeMap<ParticipantName, SourceLook>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            overlays: Vec::new(),
            background: Colour([0x10, 0x10, 0x14, 0xff]),
            labels: false,
            borders: false,
            sources: BTreeMap::new(),
        }
    }
}

/// Where the pictures go: the host first, then by seat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layout {
    /// The host alone; everybody is heard.
    Solo {},
    SideBySide {},
    Grid {},
    PictureInPicture {},
    HostAndStrip {},
    /// One place for each, in this order.
    Custom {
        places: Vec<Place>,
    },
}

impl Default for Layout {
    fn default() -> Self {
        Self::Grid {}
    }
}

impl Layout {
    fn check(&self) -> Result<(), Impossible> {
        let Self::Custom { places } = self else { return Ok(()) };
        unless((1..=PLACES_MAX).contains(&places.len()), || format!("A custom layout has 1 to {PLACES_MAX} places."))?;
        places.iter().try_for_each(Place::check)
    }
}

/// A rectangle, in parts of the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    #[serde(serialize_with = "as_written")]
    pub x: f32,
    #[serde(serialize_with = "as_written")]
    pub y: f32,
    #[serde(serialize_with = "as_written")]
    pub width: f32,
    #[serde(serialize_with = "as_written")]
    pub height: f32,
    /// Higher is in front.
    #[serde(default)]
    pub z: i16,
}

impl Place {
    fn check(&self) -> Result<(), Impossible> {
        let Self { x, y, width, height, .. } = *self;
        // A thousandth more than 1 for sums of decimal fractions.
        let inside = |from: f32, length: f32| from >= 0.0 && length > 0.0 && from + length <= 1.001;
        unless(inside(x, width) && inside(y, height), || {
            "A place is part of the canvas: x, y, width and height are from 0 to 1, and it does not reach beyond."
                .into()
        })
    }
}

/// `#rrggbb` or `#rrggbbaa`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour(pub [u8; 4]);

impl TryFrom<String> for Colour {
    type Error = Impossible;

    fn try_from(text: String) -> Result<Self, Impossible> {
        let digits = text.strip_prefix('#').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let rgba = digits.and_then(|digits| match digits.len() {
            6 => u32::from_str_radix(digits, 16).ok().map(|rgb| rgb << 8 | 0xff),
            8 => u32::from_str_radix(digits, 16).ok(),
            _ => None,
        });
        let refused = || Impossible(format!("{text:?} is not a colour. Write it as #rrggbb or #rrggbbaa."));
        rgba.map(|rgba| Self(rgba.to_be_bytes())).ok_or_else(refused)
    }
}

impl From<Colour> for String {
    fn from(Colour([r, g, b, a]): Colour) -> Self {
        if a == 0xff { format!("#{r:02x}{g:02x}{b:02x}") } else { format!("#{r:02x}{g:02x}{b:02x}{a:02x}") }
    }
}

/// Something over the pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay<I = Image> {
    pub id: String,
    pub place: Place,
    /// Higher is in front; pictures of sources are at their place's `z`, 0 if the layout has none.
    pub z: i16,
    pub opacity: f32,
    pub what: OverlayKind<I>,
}

/// What it shows.
#[derive(Clone, Debug, PartialEq)]
pub enum OverlayKind<I = Image> {
    Text { title: String, lines: Vec<String>, colour: Colour, background: Colour },
    Image(I),
}

/// An encoded picture, and what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// `image/png` or `image/jpeg`.
    pub media_type: &'static str,
    pub bytes: Bytes,
    pub picture: scene::Image,
}

/// An overlay as it is sent and told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OverlayBody {
    Text {
        id: String,
        place: Place,
        #[serde(default)]
        z: i16,
        #[serde(default = "opaque", serialize_with = "as_written")]
        opacity: f32,
        #[serde(default)]
        title: String,
        #[serde(default)]
        lines: Vec<String>,
        #[serde(default = "white")]
        #[schema(value_type = String)]
        colour: Colour,
        #[serde(default = "shade")]
        #[schema(value_type = String)]
        background: Colour,
    },
    Image {
        id: String,
        place: Place,
        #[serde(default)]
        z: i16,
        #[serde(default = "opaque", serialize_with = "as_written")]
        opacity: f32,
        /// A data URL of at most 512 KiB; or the address that the state gives, to keep the picture it has.
        image: String,
    },
}

/// 0.1 as 0.1, not as the double that is nearest to the float.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_written<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*number) * 1e6).round() / 1e6)
}

fn opaque() -> f32 {
    1.0
}

fn white() -> Colour {
    Colour([0xff; 4])
}

fn shade() -> Colour {
    Colour([0, 0, 0, 0xb0])
}

/// How one source is taken into the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceLook {
    /// -60 to 12.
    #[serde(serialize_with = "as_written")]
    pub gain_db: f32,
    pub chroma_key: Option<ChromaKey>,
    pub denoise: bool,
    pub auto_gain: bool,
    pub fit: Fit,
}

impl Default for SourceLook {
    fn default() -> Self {
        Self { gain_db: 0.0, chroma_key: None, denoise: false, auto_gain: false, fit: Fit::Crop }
    }
}

impl SourceLook {
    fn check(&self) -> Result<(), Impossible> {
        unless((-60.0..=12.0).contains(&self.gain_db), || "A gain is from -60 to 12 dB.".into())?;
        let ratios = |key: &ChromaKey| [key.similarity, key.blend].iter().all(|ratio| (0.0..=1.0).contains(ratio));
        unless(self.chroma_key.as_ref().is_none_or(ratios), || {
            "The similarity and the blend of a chroma key are from 0 to 1.".into()
        })
    }
}

/// What changes of a source; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceChange {
    pub gain_db: Option<f32>,
    /// Null turns it off.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<ChromaKey>)]
    pub chroma_key: Option<Option<ChromaKey>>,
    pub denoise: Option<bool>,
    pub auto_gain: Option<bool>,
    pub fit: Option<Fit>,
}

/// Tells null from absent.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A colour that becomes transparent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChromaKey {
    #[schema(value_type = String)]
    pub colour: Colour,
    #[serde(default = "similarity", serialize_with = "as_written")]
    pub similarity: f32,
    #[serde(default = "blend", serialize_with = "as_written")]
    pub blend: f32,
}

fn similarity() -> f32 {
    0.3
}

fn blend() -> f32 {
    0.1
}

/// How a picture of another shape fills its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Fills it; what is too much is cut off.
    Crop,
    /// All of it is seen.
    Contain,
}

/// A change of the background, the labels or the borders; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookChange {
    /// `#rrggbb`.
    #[schema(value_type = Option<String>)]
    pub background: Option<Colour>,
    pub labels: Option<bool>,
    pub borders: Option<bool>,
}

/// Where the picture of an overlay is.
pub fn image_address(room: &RoomName, id: &str) -> String {
    format!("/api/v1/rooms/{room}/overlays/{id}/image")
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
        let known = self.sources.contains_key(&participant) || self.sources.len() < 2 * PLACES_MAX;
        unless(known, || "Too many sources of this room have settings. Set some back to the defaults first.".into())?;
        self.sources.insert(participant, after);
        Ok(())
    }

    /// All overlays at once. Pictures that are kept are looked up by the ids of their overlays.
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

    /// The picture of an overlay.
    pub fn image(&self, id: &str) -> Option<&Image> {
        self.overlays.iter().find(|overlay| overlay.id == id).and_then(Overlay::image)
    }

    /// The overlays as clients are told.
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

/// All overlays of a room, whose pictures are of type `I`.
#[derive(Debug)]
pub struct Overlays<I>(Vec<Overlay<I>>);

/// A picture as it was sent.
#[derive(Debug)]
pub enum Sent {
    /// The one that the overlay has.
    Kept,
    /// A data URL.
    DataUrl(String),
}

/// A picture as it will be shown.
#[derive(Debug)]
pub enum Shown {
    /// The one that the overlay has.
    Kept,
    Decoded(Image),
}

impl Overlays<Sent> {
    /// Checks everything that can be checked without looking into a picture; `room` tells which address a picture has
    /// already.
    pub fn check(room: &RoomName, bodies: Vec<OverlayBody>) -> Result<Self, Impossible> {
        unless(bodies.len() <= OVERLAYS_MAX, || format!("A room has at most {OVERLAYS_MAX} overlays."))?;
        let mut overlays: Vec<Overlay<Sent>> = Vec::with_capacity(bodies.len());
        for body in bodies {
            let overlay = Overlay::check(room, body)?;
            unless(overlays.iter().all(|other| other.id != overlay.id), || {
                format!("Two overlays have the id {:?}. Give each its own.", overlay.id)
            })?;
            overlays.push(overlay);
        }
        Ok(Self(overlays))
    }

    /// Decodes the pictures that were sent. Blocks. All of them are measured before the first is decoded.
    pub fn decode(self) -> Result<Overlays<Shown>, Impossible> {
        let mut measured = Vec::with_capacity(self.0.len());
        let (mut bytes, mut pixels) = (0, 0);
        for Overlay { id, place, z, opacity, what } in self.0 {
            let file = match what {
                OverlayKind::Image(Sent::DataUrl(url)) => {
                    let file = File::of_data_url(&url)?;
                    (bytes, pixels) = (bytes + file.bytes.len(), pixels + file.pixel_bytes()?);
                    fit(bytes, pixels)?;
                    OverlayKind::Image(Some(file))
                }
                OverlayKind::Image(Sent::Kept) => OverlayKind::Image(None),
                OverlayKind::Text { title, lines, colour, background } => {
                    OverlayKind::Text { title, lines, colour, background }
                }
            };
            measured.push(Overlay { id, place, z, opacity, what: file });
        }
        let decoded = measured.into_iter().map(|Overlay { id, place, z, opacity, what }| {
            let what = match what {
                OverlayKind::Image(None) => OverlayKind::Image(Shown::Kept),
                OverlayKind::Image(Some(file)) => OverlayKind::Image(Shown::Decoded(file.decode()?)),
                OverlayKind::Text { title, lines, colour, background } => {
                    OverlayKind::Text { title, lines, colour, background }
                }
            };
            Ok(Overlay { id, place, z, opacity, what })
        });
        decoded.collect::<Result<_, _>>().map(Overlays)
    }
}

impl Overlay<Sent> {
    fn check(room: &RoomName, body: OverlayBody) -> Result<Self, Impossible> {
        let (id, place, z, opacity, what) = match body {
            OverlayBody::Text { id, place, z, opacity, title, lines, colour, background } => {
                let fits = |line: &str| line.chars().count() <= LINE_MAX && !line.chars().any(char::is_control);
                let all_fit = fits(&title) && lines.len() <= LINES_MAX && lines.iter().all(|line| fits(line));
                unless(all_fit, || {
                    format!("A text overlay has a title and at most {LINES_MAX} lines of {LINE_MAX} characters each.")
                })?;
                (id, place, z, opacity, OverlayKind::Text { title, lines, colour, background })
            }
            OverlayBody::Image { id, place, z, opacity, image } => {
                unless(image.len() <= IMAGE_MAX, || {
                    format!("The data URL of a picture has at most {IMAGE_MAX} bytes.")
                })?;
                let kept = image == image_address(room, &id);
                let sent = if kept { Sent::Kept } else { Sent::DataUrl(image) };
                (id, place, z, opacity, OverlayKind::Image(sent))
            }
        };
        // The id is part of an address.
        unless(id.parse::<onmic_room::PersonId>().is_ok(), || {
            "An overlay's id has 1 to 64 letters, digits, '-', '_' and '.', and does not start with '.'.".into()
        })?;
        place.check()?;
        unless((0.0..=1.0).contains(&opacity), || "An opacity is from 0 to 1.".into())?;
        Ok(Self { id, place, z, opacity, what })
    }
}

/// A picture that was sent, not yet decoded.
struct File {
    media_type: &'static str,
    bytes: Bytes,
}

impl File {
    fn of_data_url(url: &str) -> Result<Self, Impossible> {
        let refused = || Impossible("A picture is a data URL in base64, of image/png or image/jpeg.".into());
        let (media_type, data) =
            url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")).ok_or_else(refused)?;
        let known = ["image/png", "image/jpeg"].into_iter().find(|known| *known == media_type).ok_or_else(refused)?;
        Ok(Self { media_type: known, bytes: BASE64_STANDARD.decode(data).map_err(|_| refused())?.into() })
    }

    /// What its pixels will take once they are decoded and fitted to the canvas.
    fn pixel_bytes(&self) -> Result<usize, Impossible> {
        let (width, height) = scene::Image::measure(&self.bytes).map_err(|error| not_shown(&error))?;
        let pixels = u64::from(width) * u64::from(height);
        unless(pixels <= PIXELS_MAX, || format!("A picture has at most {PIXELS_MAX} pixels, as one of 3840x2160."))?;
        let (width, height) = scene::fitted((width, height), Size::FULL_HD);
        Ok(4 * width as usize * height as usize)
    }

    fn decode(self) -> Result<Image, Impossible> {
        let picture = scene::Image::decode(self.bytes.clone()).map_err(|error| not_shown(&error))?;
        Ok(Image { media_type: self.media_type, bytes: self.bytes, picture: picture.fitted(Size::FULL_HD) })
    }
}

fn not_shown(error: &scene::InvalidImage) -> Impossible {
    Impossible(format!("The picture cannot be shown: {error}."))
}

/// Whether pictures of so many bytes, as files and decoded, are what one room may keep.
fn fit(files: usize, decoded: usize) -> Result<(), Impossible> {
    unless(files <= FILES_MAX, || {
        format!("The pictures of a room have at most {FILES_MAX} bytes together, as files.")
    })?;
    unless(decoded <= DECODED_MAX, || {
        "The pictures of a room have together at most three times the pixels of 1920x1080. Send smaller ones.".into()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    fn room() -> RoomName {
        "demo".parse().unwrap()
    }

    fn set(look: &mut Look, bodies: Vec<OverlayBody>) -> Result<(), Impossible> {
        look.set_overlays(Overlays::check(&room(), bodies)?.decode()?)
    }

    fn overlays(list: serde_json::Value) -> Vec<OverlayBody> {
        from_value(list).unwrap()
    }

    fn place() -> serde_json::Value {
        json!({"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2})
    }

    #[test]
    fn the_layouts_of_the_contract_are_read() {
        for kind in ["solo", "side-by-side", "grid", "picture-in-picture", "host-and-strip"] {
            let layout: Layout = from_value(json!({"kind": kind})).unwrap();
            assert_eq!(serde_json::to_value(&layout).unwrap(), json!({"kind": kind}));
            assert!(from_value::<Layout>(json!({"kind": kind, "colour": 1})).is_err(), "an unknown member");
        }
        let custom: Layout = from_value(json!({"kind": "custom", "places": [place()]})).unwrap();
        assert_eq!(Look::default().set_layout(custom), Ok(()));
    }

    #[test]
    fn what_does_not_fit_the_canvas_is_refused_with_a_sentence() {
        for (x, width) in [(-0.1, 0.5), (0.6, 0.5), (0.0, 0.0), (f32::NAN, 0.5), (0.0, f32::INFINITY)] {
            let places = vec![Place { x, y: 0.0, width, height: 1.0, z: 0 }];
            let refused = Look::default().set_layout(Layout::Custom { places }).unwrap_err();
            assert!(refused.to_string().ends_with("."), "{x} {width}: {refused}");
        }
        assert!(Look::default().set_layout(Layout::Custom { places: vec![] }).is_err());
    }

    #[test]
    fn a_picture_is_told_by_its_address_and_kept_by_it() {
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
        assert_eq!(look.image("logo").unwrap().media_type, "image/png");
    }

    #[test]
    fn impossible_overlays_change_nothing() {
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

    /// A picture of one colour, which is small as a file whatever its size.
    fn plain(width: u32, height: u32) -> String {
        let mut file = std::io::Cursor::new(Vec::new());
        let pixels = image::RgbaImage::from_pixel(width, height, image::Rgba([200, 30, 30, 255]));
        pixels.write_to(&mut file, image::ImageFormat::Png).unwrap();
        format!("data:image/png;base64,{}", BASE64_STANDARD.encode(file.into_inner()))
    }

    #[test]
    fn what_a_room_keeps_of_pictures_is_bounded_by_their_pixels() {
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
    fn settings_of_a_source_change_one_by_one() {
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
    fn colours_are_written_as_they_are_read() {
        for text in ["#101014", "#000000b0"] {
            assert_eq!(String::from(Colour::try_from(text.to_owned()).unwrap()), text);
        }
        for text in ["", "#12345", "red", "#é12345", "#+12345"] {
            assert!(Colour::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
