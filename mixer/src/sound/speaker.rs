//! Detects which inputs speak, by level with hysteresis, and chooses one of them as the primary speaker that a layout
//! may follow.

use super::id::InputId;

/// The level of 10 ms, in dBFS, above which an input begins to speak.
const BEGIN_DB: f32 = -40.0;
/// The level above which an input that speaks goes on.
const GO_ON_DB: f32 = -46.0;
/// The number of loud blocks in the last 250 ms that make a voice. A knock on the table has fewer.
const BEGIN_BLOCKS: u32 = 10;
const BEGIN_WINDOW: u32 = 25;
/// The number of quiet blocks that end speech: 800 ms. A breath is shorter.
const END_BLOCKS: u32 = 80;
/// The number of blocks for which an input must be louder than a primary that speaks to replace it: 1 s.
const TAKE_OVER_BLOCKS: u32 = 100;
/// How much louder it must be in those blocks.
const TAKE_OVER_DB: f32 = 6.0;

/// Detects whether one input speaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voice {
    /// One bit for each of the last blocks. The lowest bit is the newest block.
    loud: u32,
    quiet: u32,
    speaking: bool,
    /// The smoothed level above [`GO_ON_DB`].
    strength: f32,
    over: u32,
}

impl Voice {
    /// Takes in the level of the next 10 ms.
    pub(crate) fn observe(&mut self, db: f32) {
        let threshold = if self.speaking { GO_ON_DB } else { BEGIN_DB };
        let loud = db > threshold;
        self.loud = (self.loud << 1 | u32::from(loud)) & ((1 << BEGIN_WINDOW) - 1);
        self.quiet = if loud { 0 } else { self.quiet.saturating_add(1) };
        self.strength += ((db - GO_ON_DB).max(0.0) - self.strength) / 30.0;
        self.speaking = if self.speaking { self.quiet < END_BLOCKS } else { self.loud.count_ones() >= BEGIN_BLOCKS };
    }

    pub(crate) fn is_speaking(&self) -> bool {
        self.speaking
    }
}

/// Chooses one of the speaking inputs as the primary, and keeps it as long as possible.
#[derive(Clone, Debug, Default)]
pub(crate) struct Primary(Option<InputId>);

impl Primary {
    pub(crate) fn id(&self) -> Option<InputId> {
        self.0
    }

    /// Chooses the primary, once per block. A removed input is not the primary any more. A silent one stays the primary
    /// until another input speaks.
    pub(crate) fn choose<'a>(&mut self, voices: impl Iterator<Item = (InputId, &'a mut Voice)>) {
        let mut voices: Vec<_> = voices.collect();
        let current =
            voices.iter().find(|(id, _)| Some(*id) == self.0).map(|(_, voice)| (voice.speaking, voice.strength));
        if current.is_none() {
            self.0 = None;
        }
        for (id, voice) in &mut voices {
            let louder = Some(*id) != self.0
                && voice.speaking
                && current.is_some_and(|(_, strength)| voice.strength > strength + TAKE_OVER_DB);
            voice.over = if louder { voice.over + 1 } else { 0 };
        }
        let free = current.is_none_or(|(speaking, _)| !speaking);
        let candidates = voices
            .iter()
            .filter(|(id, voice)| Some(*id) != self.0 && voice.speaking && (free || voice.over >= TAKE_OVER_BLOCKS));
        if let Some((id, _)) = candidates.max_by(|one, other| one.1.strength.total_cmp(&other.1.strength)) {
            self.0 = Some(*id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Room {
        voices: Vec<Voice>,
        primary: Primary,
    }

    impl Room {
        /// Runs this many blocks with these levels. Returns for each block which inputs speak, and the primary.
        fn run(&mut self, blocks: usize, levels: &[f32]) -> Vec<(Vec<bool>, Option<u64>)> {
            self.voices.resize_with(levels.len(), Voice::default);
            let mut seen = Vec::new();
            for _ in 0..blocks {
                self.voices.iter_mut().zip(levels).for_each(|(voice, db)| voice.observe(*db));
                self.primary.choose(self.voices.iter_mut().enumerate().map(|(n, voice)| (InputId(n as u64), voice)));
                let speaking = self.voices.iter().map(Voice::is_speaking).collect();
                seen.push((speaking, self.primary.id().map(|id| id.0)));
            }
            seen
        }
    }

    #[test]
    fn speech_is_detected_within_200_ms_and_ends_after_800() {
        let mut room = Room::default();
        let seen = room.run(30, &[-25.0, -70.0]);
        let on = seen.iter().position(|(speaking, _)| speaking[0]).unwrap();
        assert!(on < 20, "{on} blocks");
        assert_eq!(seen[29], (vec![true, false], Some(0)));
        let seen = room.run(100, &[-70.0, -70.0]);
        let off = seen.iter().position(|(speaking, _)| !speaking[0]).unwrap();
        assert!((75..=85).contains(&off), "{off} blocks");
        assert_eq!(seen[99].1, Some(0), "the last speaker stays the primary");
    }

    #[test]
    fn a_knock_does_not_begin_speech_and_a_breath_does_not_end_it() {
        let mut room = Room::default();
        assert!(room.run(8, &[-10.0]).iter().all(|(speaking, _)| !speaking[0]));
        assert!(room.run(100, &[-80.0]).iter().all(|(speaking, _)| !speaking[0]));
        room.run(20, &[-20.0]);
        assert!(room.run(60, &[-80.0]).iter().all(|(speaking, _)| speaking[0]));
    }

    #[test]
    fn the_primary_stays_while_both_speak_and_changes_when_the_other_is_louder_for_a_second() {
        let mut room = Room::default();
        room.run(50, &[-25.0, -80.0]);
        assert!(room.run(300, &[-25.0, -24.0]).iter().all(|(_, primary)| *primary == Some(0)));
        let seen = room.run(300, &[-38.0, -24.0]);
        let taken = seen.iter().position(|(_, primary)| *primary == Some(1)).unwrap();
        assert!((100..200).contains(&taken), "{taken} blocks");
        let seen = room.run(200, &[-25.0, -80.0]);
        let back = seen.iter().position(|(_, primary)| *primary == Some(0)).unwrap();
        assert!(back < 100, "{back} blocks");
    }
}
