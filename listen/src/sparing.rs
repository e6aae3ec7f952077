//! A log line that comes at most once a minute, however often its cause comes.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a line that was written silences those that follow.
const SILENCE: Duration = Duration::from_secs(60);

/// Decides when to write a line.
#[derive(Debug, Default)]
pub struct Sparing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    written: Option<Instant>,
    silenced: u64,
}

impl Sparing {
    /// Returns whether a line is due `now`, and if so, how many were left out before it.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.written.is_some_and(|written| now.saturating_duration_since(written) < SILENCE) {
            state.silenced += 1;
            return None;
        }
        state.written = Some(now);
        Some(std::mem::take(&mut state.silenced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_a_minute_and_says_how_many_it_stands_for() {
        let (sparing, start) = (Sparing::default(), Instant::now());
        let at = |seconds| sparing.due(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61), at(125)], [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
