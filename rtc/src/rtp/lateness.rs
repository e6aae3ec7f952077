//! How late the frames of a track can be sent, after the moment they show: what sound and picture need to know of each
//! other to be played in step.
//!
//! An encoder holds a packet until it is full, a muxer until there is something of the other kind, a decoder and encoder
//! in between until a block is full. So sound comes in bursts, and a receiver plays it as late as the latest of them.
//! What counts is therefore the greatest lateness, but not that of a hiccup: of the greatest of each of the last few
//! windows, the least.

use std::time::{Duration, Instant};

/// Long enough to hold every phase of sound against picture: 21.3 ms of AAC against 33.3 ms.
const WINDOW: Duration = Duration::from_millis(400);
/// A hiccup has to last through all of them to count.
const WINDOWS: usize = 4;
/// The first may hold what had to wait for the track to start.
const WINDOWS_LEAST: usize = 2;

/// See the module. In microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lateness {
    began: Option<Instant>,
    greatest: i64,
    /// Of complete windows, newest first.
    windows: [i64; WINDOWS],
    complete: usize,
}

impl Lateness {
    /// A frame is here at `now`, so late after the moment it shows.
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

    /// Of its latest frames; `None` before it is known.
    pub fn micros(&self) -> Option<i64> {
        let known = self.windows.get(..self.complete).filter(|windows| windows.len() >= WINDOWS_LEAST)?;
        known.iter().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Packets of 20 ms made of AAC frames that leave with pictures, for so many milliseconds.
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
    fn a_start_with_old_sound_and_a_hiccup_do_not_count() {
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
