//! The seam between a room and its program: what the machine and the host decide, as the stage understands it.

use onmic_media::SourceName;
use onmic_mixer::scene;
use onmic_room::{Mix, RoomName};
use onmic_stage::{Directed, Direction};

use super::look::{Fit, Look};

/// Makes programs. Called in the order of decisions, under the lock of the room: it notes what is wanted and returns at
/// once, neither blocks nor calls [`super::Rooms`]. What it has to say is read from its [`onmic_stage::Reports`].
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

/// What the machine and the host decided, as one value for the stage.
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
            chroma_key: set.chroma_key.map(Into::into),
            fit: (set.fit == Fit::Contain).then_some(scene::Fit::Contain),
            ..Directed::new(name, label)
        }
    });
    Direction {
        sources: sources.collect(),
        layout: (&look.layout).into(),
        overlays: look.overlays.iter().map(Into::into).collect(),
        background: scene::Background::Colour { colour: look.background.into() },
        labels: look.labels,
        borders: look.borders,
    }
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
