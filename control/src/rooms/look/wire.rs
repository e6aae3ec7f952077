//! The look and the sound of a program in the JSON of clients, translated to the mixer's types. Nothing is kept or
//! drawn here.
//!
//! Places are parts of the canvas, 0 to 1. Clients are told the address of a picture, not its bytes.

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use onmic_mixer::scene;
use onmic_names::MIXED_MAX;
use onmic_room::RoomName;

use super::{Impossible, unless};

/// The places of the sources, the host first and then by seat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layout {
    /// Shows the host alone. Everybody is heard.
    Solo {},
    SideBySide {},
    Grid {},
    PictureInPicture {},
    HostAndStrip {},
    /// Gives each source the place at its position in the list.
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
    pub(super) fn check(&self) -> Result<(), Impossible> {
        let Self::Custom { places } = self else { return Ok(()) };
        unless((1..=MIXED_MAX).contains(&places.len()), || format!("A custom layout has 1 to {MIXED_MAX} places."))?;
        places.iter().try_for_each(Place::check)
    }
}

impl From<&Layout> for scene::Layout {
    fn from(layout: &Layout) -> Self {
        match layout {
            Layout::Solo {} => Self::Solo,
            Layout::SideBySide {} => Self::SideBySide,
            Layout::Grid {} => Self::Grid,
            Layout::PictureInPicture {} => Self::PictureInPicture { corner: scene::Corner::default() },
            Layout::HostAndStrip {} => Self::HostAndStrip,
            Layout::Custom { places } => {
                let slot = |at: &Place| scene::Slot { place: (*at).into(), z: at.z.into(), fit: scene::Fit::Crop };
                Self::Custom { slots: places.iter().map(slot).collect() }
            }
        }
    }
}

/// A rectangle of the canvas, in parts of its width and height.
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
    /// The order: a higher place is in front.
    #[serde(default)]
    pub z: i16,
}

impl Place {
    pub(super) fn check(&self) -> Result<(), Impossible> {
        let sentence = || {
            "A place is part of the canvas: x, y, width and height are from 0 to 1, and it does not reach beyond."
                .into()
        };
        unless(scene::Place::new(self.x, self.y, self.width, self.height).is_ok(), sentence)
    }
}

impl From<Place> for scene::Place {
    /// Returns the whole canvas for a place that was not checked.
    fn from(place: Place) -> Self {
        Self::new(place.x, place.y, place.width, place.height).unwrap_or(Self::ALL)
    }
}

/// A colour, written as `#rrggbb` or `#rrggbbaa`.
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

impl From<Colour> for scene::Colour {
    fn from(Colour([red, green, blue, alpha]): Colour) -> Self {
        Self { red, green, blue, alpha }
    }
}

impl From<scene::Colour> for Colour {
    fn from(scene::Colour { red, green, blue, alpha }: scene::Colour) -> Self {
        Self([red, green, blue, alpha])
    }
}

/// Declares the kinds of overlays. The members that all kinds have stand here alone. They are not a struct that each
/// kind flattens, because serde does not support `flatten` together with `deny_unknown_fields`.
macro_rules! overlay_kinds {
    ($($kind:ident { $($own:tt)* })+) => {
        /// An overlay as it is sent and told.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
        pub enum OverlayBody {
            $($kind {
                id: String,
                place: Place,
                #[serde(default)]
                z: i16,
                #[serde(default = "opaque", serialize_with = "as_written")]
                opacity: f32,
                $($own)*
            },)+
        }
    };
}

overlay_kinds! {
    Text {
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
    }
    Image {
        /// A data URL of at most 512 KiB, or the address that the state gives, to keep the picture.
        image: String,
    }
}

/// Writes 0.1 as 0.1, not as the double that is nearest to the float.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_written<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*number) * 1e6).round() / 1e6)
}

fn opaque() -> f32 {
    1.0
}

fn white() -> Colour {
    scene::Text::default().colour.into()
}

fn shade() -> Colour {
    scene::Text::default().background.into()
}

/// The settings of one source in the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceLook {
    /// The gain in dB, from -60 to 12.
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
    pub(super) fn check(&self) -> Result<(), Impossible> {
        unless((-60.0..=12.0).contains(&self.gain_db), || "A gain is from -60 to 12 dB.".into())?;
        let ratios = |key: &ChromaKey| [key.similarity, key.blend].iter().all(|ratio| (0.0..=1.0).contains(ratio));
        unless(self.chroma_key.as_ref().is_none_or(ratios), || {
            "The similarity and the blend of a chroma key are from 0 to 1.".into()
        })
    }
}

/// A change of the settings of a source. Absent members stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceChange {
    pub gain_db: Option<f32>,
    /// The colour that becomes transparent; null turns the key off.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<ChromaKey>)]
    pub chroma_key: Option<Option<ChromaKey>>,
    pub denoise: Option<bool>,
    pub auto_gain: Option<bool>,
    pub fit: Option<Fit>,
}

/// Reads a member that is there, so that null is told from absent.
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

/// How video of another shape fills its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The video fills the place, and is cut off on two sides.
    Crop,
    /// All of the video is seen.
    Contain,
}

/// A change of the background, the labels or the borders. Absent members stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookChange {
    /// The colour, written as `#rrggbb`.
    #[schema(value_type = Option<String>)]
    pub background: Option<Colour>,
    pub labels: Option<bool>,
    pub borders: Option<bool>,
}

impl From<ChromaKey> for scene::ChromaKey {
    fn from(ChromaKey { colour, similarity, blend }: ChromaKey) -> Self {
        Self { colour: colour.into(), similarity, smoothness: blend, ..Self::default() }
    }
}

/// Returns the address of the picture of an overlay.
pub fn image_address(room: &RoomName, id: &str) -> String {
    format!("/api/v1/rooms/{room}/overlays/{id}/image")
}
