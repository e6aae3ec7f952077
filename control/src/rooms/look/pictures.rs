//! The pictures of overlays, which are checked, measured and decoded on their way from data URLs to what a room keeps.
//!
//! [`Overlays::check`] refuses what it can without looking into a picture. [`Overlays::decode`] blocks, and belongs on
//! a thread that may.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use onmic_media::{Budget, Held, Spent, Work};
use onmic_mixer::scene::{self, OVERLAYS_MAX, Size};
use onmic_names::is_line;
use onmic_room::RoomName;

use super::wire::{OverlayBody, image_address};
use super::{Image, Impossible, Overlay, OverlayKind, unless};

/// The longest data URL of one picture, in bytes.
pub(super) const IMAGE_MAX: usize = 512 * 1024;
/// The most bytes of all pictures of a room, as files.
const FILES_MAX: usize = 2 * 1024 * 1024;
/// The most pixels of one picture before it is fitted to the canvas: those of a 4K screen, which take 33 MB decoded.
const PIXELS_MAX: u64 = 3840 * 2160;
/// The most bytes of all pictures of a room, decoded and fitted to the canvas: three that fill it, 25 MB.
pub(super) const DECODED_MAX: usize = 3 * 1920 * 1080 * 4;
/// The most bytes of the pictures of all rooms of a node, as files and decoded: 1 GiB, of 39 rooms with the most. A picture of one
/// pixel may have a file as long as any.
const BYTES_MAX_OF_NODE: u64 = 1 << 30;
/// The most lines of a text overlay below its title.
const LINES_MAX: usize = 12;
/// The longest line of a text overlay, in characters.
const LINE_MAX: usize = 200;

/// Returns the budget of the pictures of all rooms.
pub fn budget() -> Arc<Budget> {
    Budget::new(BYTES_MAX_OF_NODE)
}

/// What a picture holds of the budget. It is no property by which pictures differ.
#[derive(Clone, Debug)]
pub struct Paid {
    _held: Arc<Held>,
}

impl PartialEq for Paid {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The reason why pictures are not decoded. Its Display is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDecoded {
    /// They never can be.
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// The node has too much to do, or too little room for them. It may take the same pictures later.
    #[error("{0}")]
    Busy(String),
}

/// All overlays of a room, whose pictures are of type `I`.
#[derive(Debug)]
pub struct Overlays<I>(pub(super) Vec<Overlay<I>>);

/// A picture as a client sends it.
#[derive(Debug)]
pub enum Sent {
    /// The picture that the overlay has already.
    Kept,
    /// A picture in a data URL.
    DataUrl(String),
}

/// A picture as it will be shown.
#[derive(Debug)]
pub enum Shown {
    /// The picture that the overlay has already.
    Kept,
    Decoded(Image),
}

impl Overlays<Sent> {
    /// Checks everything that can be checked without looking into a picture. `room` is part of the address by which a
    /// client keeps a picture.
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

    /// Decodes the pictures that were sent. Blocks. All of them are measured, and paid for out of `budget`, before the first
    /// one is decoded.
    pub fn decode(self, budget: &Arc<Budget>) -> Result<Overlays<Shown>, NotDecoded> {
        let mut measured = Vec::with_capacity(self.0.len());
        let (mut bytes, mut pixels) = (0, 0);
        for Overlay { id, place, z, opacity, what } in self.0 {
            let file = match what {
                OverlayKind::Image(Sent::DataUrl(url)) => {
                    let file = File::of_data_url(&url)?;
                    let own = file.pixel_bytes()?;
                    (bytes, pixels) = (bytes + file.bytes.len(), pixels + own);
                    fit(bytes, pixels)?;
                    let cost = (own + file.bytes.len()) as u64;
                    let spent = |spent: Spent| NotDecoded::Busy(spent.to_string());
                    let held = budget.take(Work::Picture, cost).map_err(spent)?;
                    OverlayKind::Image(Some((file, Paid { _held: Arc::new(held) })))
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
                OverlayKind::Image(Some((file, paid))) => OverlayKind::Image(Shown::Decoded(file.decode(paid)?)),
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
                let fits = |line: &str| line.chars().count() <= LINE_MAX && is_line(line);
                let all_fit = fits(&title) && lines.len() <= LINES_MAX && lines.iter().all(|line| fits(line));
                unless(all_fit, || {
                    format!(
                        "A text overlay has a title and at most {LINES_MAX} lines of {LINE_MAX} characters each, and none that turns the direction of text."
                    )
                })?;
                (id, place, z, opacity, OverlayKind::Text { title, lines, colour, background })
            }
            OverlayBody::Image { id, place, z, opacity, image } => {
                unless(image.len() <= IMAGE_MAX, || {
                    format!("The data URL of a picture has at most {IMAGE_MAX} bytes.")
                })?;
                // A proxy may show the server under a path, which then stands before the address.
                let kept = image.starts_with('/') && image.ends_with(&image_address(room, &id));
                let sent = if kept { Sent::Kept } else { Sent::DataUrl(image) };
                (id, place, z, opacity, OverlayKind::Image(sent))
            }
        };
        // The id has the alphabet of names, because it is part of an address.
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

    /// Returns the bytes that its pixels take once they are decoded and fitted to the canvas.
    fn pixel_bytes(&self) -> Result<usize, Impossible> {
        let (width, height) = scene::Image::measure(&self.bytes).map_err(|error| not_shown(&error))?;
        let pixels = u64::from(width) * u64::from(height);
        unless(pixels <= PIXELS_MAX, || format!("A picture has at most {PIXELS_MAX} pixels, as one of 3840x2160."))?;
        let (width, height) = scene::fitted((width, height), Size::FULL_HD);
        Ok(4 * width as usize * height as usize)
    }

    fn decode(self, paid: Paid) -> Result<Image, Impossible> {
        let picture = scene::Image::decode(self.bytes.clone()).map_err(|error| not_shown(&error))?;
        Ok(Image { media_type: self.media_type, bytes: self.bytes, picture: picture.fitted(Size::FULL_HD), paid })
    }
}

fn not_shown(error: &scene::InvalidImage) -> Impossible {
    Impossible(format!("The picture cannot be shown: {error}."))
}

/// Checks that a room may keep pictures of this many bytes, as files and decoded.
pub(super) fn fit(files: usize, decoded: usize) -> Result<(), Impossible> {
    unless(files <= FILES_MAX, || {
        format!("The pictures of a room have at most {FILES_MAX} bytes together, as files.")
    })?;
    unless(decoded <= DECODED_MAX, || {
        "The pictures of a room have together at most three times the pixels of 1920x1080. Send smaller ones.".into()
    })
}
