//! How long parts, segments and playlists are.

use std::time::Duration;

/// PART-HOLD-BACK in part targets: the least that rfc8216bis allows.
pub(crate) const PART_HOLD_BACK: u32 = 3;

/// Durations of a stream's packaging; fixed for its life.
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
    /// Twice the segment as target duration: with two-second segments, keyframe intervals up to four seconds fit.
    /// `window` is raised to what delta updates need.
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

    /// EXT-X-TARGETDURATION in seconds.
    pub fn target_secs(&self) -> u64 {
        self.target.as_secs()
    }

    /// The longest segment: its duration, rounded to seconds, may not exceed the target.
    pub(crate) fn longest(&self) -> Duration {
        self.target + Duration::from_millis(400)
    }

    /// The longest time between keyframes with which players still start well: two segments, and what rounding allows.
    pub(crate) fn group_max(&self) -> Duration {
        self.segment * 2 + Duration::from_millis(400)
    }

    /// CAN-SKIP-UNTIL: six target durations, the least allowed.
    pub fn skip_until(&self) -> Duration {
        self.target * 6
    }
}
