//! Decides when a re-encoded stream has a keyframe: where its input has one, when a viewer needs one, and at a maximum
//! interval.

use std::time::Duration;

use onmic_media::time::{ClockRate, Ticks};

/// Decides where one encoder places its keyframes. All times are presentation times on the video clock.
#[derive(Clone, Debug)]
pub(crate) struct Cadence {
    interval: Ticks,
    spacing: Ticks,
    last: Option<Ticks>,
    wanted: bool,
}

impl Cadence {
    /// Places a keyframe at least every `interval`. Keyframes that viewers ask for are at least `spacing` apart.
    pub(crate) fn new(interval: Duration, spacing: Duration) -> Self {
        let ticks = |duration| ClockRate::VIDEO.ticks(duration);
        Self { interval: ticks(interval), spacing: ticks(spacing), last: None, wanted: false }
    }

    /// Notes that a viewer needs a keyframe. The note holds until a keyframe is made.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Returns whether the frame at `pts` should be a keyframe: in its rhythm, or because a viewer needs one.
    pub(crate) fn is_due(&self, pts: Ticks, input_keyframe: bool, input_interval: Option<Duration>) -> bool {
        let is_wanted = self.wanted && self.last.is_none_or(|last| pts - last >= self.spacing);
        is_wanted || self.is_in_rhythm(pts, input_keyframe, input_interval)
    }

    /// Returns whether the frame at `pts` should be a keyframe whatever viewers need. `input_interval` is the measured keyframe
    /// interval of the input. If it is up to one and a half times ours it takes the place of ours, because the input's keyframes
    /// come anyway.
    pub(crate) fn is_in_rhythm(&self, pts: Ticks, input_keyframe: bool, input_interval: Option<Duration>) -> bool {
        let Some(last) = self.last else { return true };
        let input = input_interval.map_or(Ticks(0), |interval| ClockRate::VIDEO.ticks(interval));
        let rhythm = if input > self.interval && input.0 <= self.interval.0 * 3 / 2 { input } else { self.interval };
        input_keyframe || pts - last > rhythm
    }

    /// Notes a keyframe at `pts`.
    pub(crate) fn made(&mut self, pts: Ticks) {
        self.last = Some(pts);
        self.wanted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Ticks {
        Ticks(millis * 90)
    }

    fn cadence() -> Cadence {
        let mut cadence = Cadence::new(Duration::from_secs(2), Duration::from_millis(500));
        assert!(cadence.is_due(at(0), false, None));
        cadence.made(at(0));
        cadence
    }

    #[test]
    fn keyframe_requests_are_coalesced_and_delayed_but_not_lost() {
        let mut cadence = cadence();
        cadence.want();
        assert!(!cadence.is_due(at(499), false, None));
        assert!(cadence.is_due(at(500), false, None));
        cadence.made(at(500));
        assert!(!cadence.is_due(at(1400), false, None));
    }

    #[test]
    fn keyframes_of_the_input_are_kept_and_missing_ones_are_added() {
        let cadence = cadence();
        assert!(cadence.is_due(at(33), true, None));
        assert!(!cadence.is_due(at(2000), false, None));
        assert!(cadence.is_due(at(2033), false, None));
        let slow = Some(Duration::from_secs(10));
        assert!(cadence.is_due(at(2033), false, slow));
    }

    #[test]
    fn an_input_with_a_slightly_longer_keyframe_interval_sets_the_interval() {
        let cadence = cadence();
        let input = Some(Duration::from_millis(2500));
        assert!(!cadence.is_due(at(2400), false, input));
        assert!(cadence.is_due(at(2533), false, input));
    }
}
