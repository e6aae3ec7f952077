//! The durations of parts, segments and playlists.

use std::time::Duration;

/// PART-HOLD-BACK in part targets. It is the least that rfc8216bis allows.
pub(crate) const PART_HOLD_BACK: u32 = 3;

/// Holds the durations of a stream's packaging. They are fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The target duration of parts. A playlist declares the nearest whole number of frames.
    pub part: Duration,
    /// The shortest segment, cut at the first keyframe from here on.
    pub segment: Duration,
    /// EXT-X-TARGETDURATION: the longest segment. It may never change (rfc8216bis 6.2.1) once a playlist has stated it.
    /// Until the first segment has shown the publisher's keyframe interval, it has headroom. A longer group of frames
    /// is cut in the middle.
    pub target: Duration,
    /// How much of the past a playlist lists.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(Duration::from_millis(333), Duration::from_secs(2), Duration::from_secs(36))
    }
}

impl Settings {
    /// Makes settings whose target duration is twice the segment: with two-second segments, keyframe intervals up to
    /// four seconds fit. `window` is raised to what delta updates need.
    pub fn new(part: Duration, segment: Duration, window: Duration) -> Self {
        let segment = segment.max(Duration::from_millis(500));
        let part = part.clamp(Duration::from_millis(50), segment);
        let target = Duration::from_secs((segment * 2).as_millis().div_ceil(1000) as u64);
        Self { part, segment, target, window: window.max(target * 7) }
    }

    /// The same with the target duration that a first segment of `first` suggests. HOLD-BACK is three times that, and
    /// players without low latency keep this distance.
    pub(crate) fn narrowed_to(self, first: Duration) -> Self {
        // Rounding allows 0.5 s more than the target; half of that is left for keyframes that come late.
        let whole =
            |duration: Duration| Duration::from_secs((duration.as_millis() as u64).saturating_sub(250).div_ceil(1000));
        Self { target: whole(first).max(whole(self.segment)).clamp(Duration::from_secs(1), self.target), ..self }
    }

    /// Returns how long the first segment of a stream is that begins short: PART-HOLD-BACK, which players keep from the live edge.
    pub fn short(&self) -> Duration {
        (self.part * PART_HOLD_BACK).min(self.segment)
    }

    /// Returns EXT-X-TARGETDURATION in seconds.
    pub fn target_secs(&self) -> u64 {
        self.target.as_secs()
    }

    /// Returns the duration of the longest segment. Rounded to seconds, it may not exceed the target.
    pub(crate) fn longest(&self) -> Duration {
        self.target + Duration::from_millis(400)
    }

    /// Returns CAN-SKIP-UNTIL: six target durations, the least that is allowed.
    pub fn skip_until(&self) -> Duration {
        self.target * 6
    }
}
