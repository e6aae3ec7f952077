//! Decides which decoded frames are encoded while a deriver is too slow for all of them.
//!
//! Frames are left out one by one, so that viewers see a lower frame rate and not a video that stands still. How far a
//! frame is behind is the measure: it says what the machine has left for this track, whatever decoding and encoding cost.

use std::time::Duration;

use onmic_media::time::{ClockRate, Ticks};

/// However far it is behind, a frame is encoded after this time: four frames per second still look like motion.
const APART_MAX: Duration = Duration::from_millis(250);

/// Chooses the frames of one track.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Up to this lag every frame is encoded.
    behind_max: Duration,
    /// How far in the past the track begins. Zero once it has reached the present.
    history: Duration,
    first: Option<Ticks>,
    last: Option<Ticks>,
    left_out: u64,
}

impl Pace {
    /// Makes a pace that leaves out frames while they are behind by more than `behind_max`.
    pub(crate) fn new(behind_max: Duration) -> Self {
        Self { behind_max, history: Duration::ZERO, first: None, last: None, left_out: 0 }
    }

    /// Encodes every frame of a track that begins this far in the past, until it has reached the present. Where this is not so after
    /// twice as much media, the machine is too slow, and frames are left out.
    pub(crate) fn with_history(self, history: Duration) -> Self {
        Self { history, ..self }
    }

    /// Returns whether to encode the frame of this presentation time, which is behind by `lag`.
    pub(crate) fn takes(&mut self, pts: Ticks, lag: Duration) -> bool {
        let since = self.last.map(|last| (pts - last).duration(ClockRate::VIDEO));
        let begun = (pts - *self.first.get_or_insert(pts)).duration(ClockRate::VIDEO);
        if lag <= self.behind_max || begun > self.history * 2 {
            self.history = Duration::ZERO;
        }
        let behind_max = self.behind_max + self.history;
        let takes = lag <= behind_max || since.is_none_or(|since| since >= APART_MAX);
        if takes {
            self.last = Some(pts);
        } else {
            self.left_out += 1;
        }
        takes
    }

    /// Returns how many frames were left out since the last call.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many of the frames of 3 s at 30 fps are taken, by the second, if encoding a frame takes this many ms. The first is
    /// 1.1 s behind.
    fn taken(encoding: u64, pace: Pace) -> [usize; 3] {
        let (mut pace, mut now, mut taken) = (pace, 1100, [0; 3]);
        for number in 0..90_u64 {
            let comes = number * 100 / 3;
            now = now.max(comes);
            if pace.takes(Ticks(comes as i64 * 90), Duration::from_millis(now - comes)) {
                now += encoding;
                taken[comes as usize / 1000] += 1;
            }
        }
        taken
    }

    #[test]
    fn frames_of_a_history_are_left_out_only_if_the_machine_does_not_reach_the_present() {
        let pace = || Pace::new(Duration::from_millis(100));
        let history = || pace().with_history(Duration::from_millis(1100));
        assert_eq!(taken(5, history()), [30, 30, 30]);
        assert_eq!(taken(15, history()), [30, 30, 30]);
        let [first, second, third] = taken(30, history());
        assert!(first == 30 && second == 30 && third < 20, "it is 0.9 s behind after 2.2 s: {third}");
        assert!(taken(5, pace())[0] < 10, "without a history the present comes first");
    }
}
