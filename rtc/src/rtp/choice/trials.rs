//! How long a level waits that the path did not carry before it is tried again.
//!
//! Each time that a level fails soon after it was taken, its wait doubles, from [`FIRST`] to [`MOST`]. One that has held is new again.
//! There are as many waits as levels.

use std::time::{Duration, Instant};

use onmic_media::TrackKey;

use super::Rung;

/// The wait after a level that had held: a path that changed may change back.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait: of a path that varies by minutes nothing better is known.
const MOST: Duration = Duration::from_secs(64);

#[derive(Clone, Copy, Debug)]
struct Trial {
    key: TrackKey,
    failures: u32,
    until: Instant,
    /// Whether the level could not be had, whatever the path carries.
    is_refused: bool,
}

/// The waits of one viewer.
#[derive(Debug, Default)]
pub(super) struct Trials(Vec<Trial>);

impl Trials {
    /// Forgets levels that are not there any more.
    pub(super) fn keep(&mut self, rungs: &[Rung]) {
        self.0.retain(|trial| rungs.iter().any(|rung| rung.key == trial.key));
    }

    /// Notes that the path does not carry a level, and whether it had just been taken.
    pub(super) fn note(&mut self, key: TrackKey, has_failed: bool, now: Instant) {
        let before = self.0.iter().find(|trial| trial.key == key).map_or(0, |trial| trial.failures);
        let failures = if has_failed { before.saturating_add(1) } else { 0 };
        let wait = FIRST.saturating_mul(1 << failures.min(16)).min(MOST);
        self.set(Trial { key, failures, until: now + wait, is_refused: false });
    }

    /// Notes that a level cannot be had until then.
    pub(super) fn bar(&mut self, key: TrackKey, until: Instant) {
        let failures = self.0.iter().find(|trial| trial.key == key).map_or(0, |trial| trial.failures);
        self.set(Trial { key, failures, until, is_refused: true });
    }

    /// Returns whether a level has to wait.
    pub(super) fn is_barred(&self, key: TrackKey, now: Instant) -> bool {
        self.0.iter().any(|trial| trial.key == key && now < trial.until)
    }

    /// Returns whether a level cannot be had now.
    pub(super) fn is_refused(&self, key: TrackKey, now: Instant) -> bool {
        self.0.iter().any(|trial| trial.key == key && trial.is_refused && now < trial.until)
    }

    fn set(&mut self, trial: Trial) {
        match self.0.iter_mut().find(|known| known.key == trial.key) {
            Some(known) => *known = trial,
            None => self.0.push(trial),
        }
    }
}
