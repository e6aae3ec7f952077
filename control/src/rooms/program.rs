//! The seam between a room and its program: what the machine and the host decide, as the stage understands it.

use onmic_media::SourceName;
use onmic_mixer::scene;
use onmic_room::{Mix, RoomName};
use onmic_stage::{Directed, Direction};

use super::look::{ChromaKey, Colour, Fit, Layout, Look, Overlay, OverlayKind, Place};

/// Makes programs. Called in the order of decisions, under the lock of all rooms: it notes what is wanted and returns at
/// once, neither blocks nor calls [`super::Rooms`]. What it has to say it says later, from a thread of its own, by
/// [`super::Rooms::hear`].
pub trait Stage: Send + Sync {
    /// The program of `room` is made of `mix` and looks like `look` from now on.
    fn direct(&self, room: &RoomName, mix: &Mix, look: &Look);

    /// The room is gone.
    fn ended(&self, room: &RoomName);
}

impl Stage for onmic_stage::Stage {
    fn direct(&self, room: &RoomName, mix: &Mix, look: &Look) {
        self.direct(room, direction(room, mix, look));
    }

    fn ended(&self, room: &RoomName) {
        self.forget(room);
    }
}

/// The same in the mixer's words.
fn direction(room: &RoomName, mix: &Mix, look: &Look) -> Direction {
    let sources = mix.sources.iter().map(|source| {
        let name = SourceName::new(&source.room, &source.participant);
        // Settings are of this room's own participants; the partner of a PK sees to its own.
        let set = look.sources.get(&source.participant).filter(|_| source.room == *room).cloned().unwrap_or_default();
        let label = if source.name.is_empty() { name.participant.to_string() } else { source.name.clone() };
        Directed {
            show: source.show,
            hear: !source.silenced,
            gain_db: set.gain_db,
            denoise: set.denoise,
            auto_gain: set.auto_gain,
            chroma_key: set.chroma_key.map(chroma_key),
            fit: (set.fit == Fit::Contain).then_some(scene::Fit::Contain),
            ..Directed::new(name, label)
        }
    });
    Direction {
        sources: sources.collect(),
        layout: layout(&look.layout),
        overlays: look.overlays.iter().filter_map(overlay).collect(),
        background: scene::Background::Colour { colour: colour(look.background) },
        labels: look.labels,
        borders: look.borders,
    }
}

fn colour(Colour([red, green, blue, alpha]): Colour) -> scene::Colour {
    scene::Colour { red, green, blue, alpha }
}

fn chroma_key(key: ChromaKey) -> scene::ChromaKey {
    let ChromaKey { colour: screen, similarity, blend } = key;
    scene::ChromaKey { colour: colour(screen), similarity, smoothness: blend, ..scene::ChromaKey::default() }
}

/// It was checked when it was set.
fn place(place: &Place) -> scene::Place {
    scene::Place::new(place.x, place.y, place.width, place.height).unwrap_or(scene::Place::ALL)
}

fn layout(layout: &Layout) -> scene::Layout {
    match layout {
        Layout::Solo {} => scene::Layout::Solo,
        Layout::SideBySide {} => scene::Layout::SideBySide,
        Layout::Grid {} => scene::Layout::Grid,
        Layout::PictureInPicture {} => scene::Layout::PictureInPicture { corner: scene::Corner::default() },
        Layout::HostAndStrip {} => scene::Layout::HostAndStrip,
        Layout::Custom { places } => {
            let slot = |at: &Place| scene::Slot { place: place(at), z: at.z.into(), fit: scene::Fit::Crop };
            scene::Layout::Custom { slots: places.iter().map(slot).collect() }
        }
    }
}

/// `None` for a picture that cannot be decoded.
fn overlay(overlay: &Overlay) -> Option<scene::Overlay> {
    let content = match &overlay.what {
        OverlayKind::Text { title, lines, colour: letters, background } => scene::Content::Text(scene::Text {
            title: (!title.is_empty()).then(|| title.clone()),
            lines: lines.clone(),
            colour: colour(*letters),
            background: colour(*background),
        }),
        OverlayKind::Image(image) => scene::Content::Image { image: image.picture.clone() },
    };
    // Tiles are at 0 and 1 and above in most layouts; what lies over pictures is nearer than all of them.
    Some(scene::Overlay {
        place: place(&overlay.place),
        z: 100 + i32::from(overlay.z),
        opacity: overlay.opacity,
        content,
    })
}

#[cfg(test)]
mod tests {
    use onmic_room::{MixSource, ParticipantName};

    use super::*;

    #[test]
    fn a_source_without_sound_is_nothing_to_be_mixed_and_one_that_is_silenced_is() {
        let room: RoomName = "demo".parse().unwrap();
        let host = |hear: bool, silenced: bool| MixSource {
            room: room.clone(),
            participant: ParticipantName::host(),
            person: None,
            name: String::new(),
            seat: None,
            show: true,
            hear,
            silenced,
        };
        let passes =
            |source| direction(&room, &Mix { sources: vec![source] }, &Look::default()).passed_through().is_some();
        assert!(passes(host(true, false)));
        assert!(passes(host(false, false)));
        assert!(!passes(host(false, true)));
    }
}
