//! The lateness of a track: how long after the moment of its presentation a frame can be sent. Audio and video need
//! each other's lateness to be played in sync.
//!
//! An encoder holds a packet until it is full, a muxer until there is a frame of the other kind, and a transcoder in
//! between until a block is full. Therefore audio comes in bursts, and a receiver plays it as late as the latest packet
//! of a burst. So the greatest lateness counts, but not that of a hiccup: the result is the least of the greatest
//! values of the last few windows.

use std::time::{Duration, Instant};

/// The length of a window: long enough for every phase of audio against video, 21.3 ms of AAC against 33.3 ms.
const WINDOW: Duration = Duration::from_millis(400);
/// The number of windows. A hiccup has to last through all of them to count.
const WINDOWS: usize = 4;
/// The least number of windows for a result, because the first may hold frames that waited for the track to start.
const WINDOWS_LEAST: usize = 2;

/// Measures the lateness of one track, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lateness {
    began: Option<Instant>,
    greatest: i64,
    /// The greatest values of complete windows, newest first.
    windows: [i64; WINDOWS],
    complete: usize,
}

impl Lateness {
    /// Notes a frame that came at `now`, `micros` after the moment of its presentation.
    pub fn note(&mut self, micros: i64, now: Instant) {
        match self.began {
            Some(began) if now.saturating_duration_since(began) < WINDOW => self.greatest = self.greatest.max(micros),
            before => {
                if before.is_some() {
                    self.windows.rotate_right(1);
                    self.windows[0] = self.greatest;
                    self.complete = (self.complete + 1).min(WINDOWS);
                }
                self.began = Some(now);
                self.greatest = micros;
            }
        }
    }

    /// Returns the lateness of recent frames. `None` before it is known.
    pub fn micros(&self) -> Option<i64> {
        let known = self.windows.get(..self.complete).filter(|windows| windows.len() >= WINDOWS_LEAST)?;
        known.iter().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Notes the 20 ms packets of the milliseconds in `range`. They are made of AAC frames that leave with video
    /// frames.
    fn bursts(lateness: &mut Lateness, began: Instant, range: std::ops::Range<u32>) {
        for start in range.step_by(20) {
            let last_aac = (start + 19) * 3 / 64 * 64 / 3;
            let leaves = (last_aac + 33) / 33 * 33;
            lateness.note(i64::from(leaves - start) * 1000, began + MILLI * leaves);
        }
    }

    #[test]
    fn the_latest_packets_of_a_burst_count() {
        let mut lateness = Lateness::default();
        bursts(&mut lateness, Instant::now(), 0..2000);
        assert!((44_000..=53_000).contains(&lateness.micros().unwrap()), "{lateness:?}");
    }

    #[test]
    fn a_start_with_old_audio_and_a_hiccup_do_not_count() {
        let (mut lateness, began) = (Lateness::default(), Instant::now());
        lateness.note(200_000, began);
        assert_eq!(lateness.micros(), None);
        bursts(&mut lateness, began, 20..1400);
        assert!(lateness.micros().unwrap() < 54_000, "{lateness:?}");
        lateness.note(400_000, began + MILLI * 1430);
        bursts(&mut lateness, began, 1440..2400);
        assert!(lateness.micros().unwrap() < 54_000, "{lateness:?}");
    }
}
