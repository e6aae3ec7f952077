//! The seam between a room and its program: it makes a direction for the stage of what the machine and the host decide.

use onmic_media::SourceName;
use onmic_mixer::scene;
use onmic_room::{Mix, RoomName};
use onmic_stage::{Directed, Direction};

use super::look::{Fit, Look};

/// Makes programs. It is called in the order of decisions and under the lock of the room. It notes what is wanted and
/// returns at once: it neither blocks nor calls [`super::Rooms`], which reads its [`onmic_stage::Reports`].
pub trait Stage: Send + Sync {
    /// Makes the program of `room` of `mix`, with the look of `look`, from now on.
    fn direct(&self, room: &RoomName, mix: &Mix, look: &Look);

    /// Forgets a room that has ended.
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

/// Returns what the machine and the host decided as one value for the stage.
fn direction(room: &RoomName, mix: &Mix, look: &Look) -> Direction {
    let sources = mix.sources.iter().map(|source| {
        let name = SourceName::new(&source.room, &source.participant);
        // Settings apply to this room's own participants. The partner of a PK sets its own.
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
        expects: mix.expects,
    }
}

#[cfg(test)]
mod tests {
    use onmic_room::{MixSource, ParticipantName};

    use super::*;

    #[test]
    fn a_source_without_audio_passes_through_and_a_silenced_one_is_mixed() {
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
        let passes = |source, expects| {
            let mix = Mix { sources: vec![source], expects };
            direction(&room, &mix, &Look::default()).passed_through().is_some()
        };
        assert!(passes(host(true, false), false));
        assert!(passes(host(false, false), false));
        assert!(!passes(host(false, true), false));
        assert!(!passes(host(true, false), true), "the mixer starts for somebody who is on the way");
    }
}
