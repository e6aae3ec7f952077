//! Where a viewer can start, and with how much of the past.

use std::time::Duration;

/// States which keyframes of video a viewer can start at. Where there is none, the viewer gets a conversion that has keyframes
/// as often as they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The viewer starts now. The newest keyframe must not be older than [`PAST_MAX`](crate::track::PAST_MAX).
    Now,
    /// Others start with what the viewer makes of the track, at any time, as players of LL-HLS do.
    AnyTime {
        /// Keyframes must be no further apart than this.
        group_max: Duration,
        /// What is made of the track begins with this much of the past, because players keep that distance. They would wait for
        /// it to come if a conversion began at the present.
        history: Duration,
    },
    /// The viewer starts at the newest keyframe, however old that is.
    Anywhere,
}

impl Entry {
    /// Returns how much of the past a conversion that is made for this viewer begins with.
    pub(crate) const fn history(self) -> Duration {
        match self {
            Self::AnyTime { history, .. } => history,
            Self::Now | Self::Anywhere => Duration::ZERO,
        }
    }

    /// Returns the same for a viewer who has begun, and has the past already.
    pub(crate) const fn once_begun(self) -> Self {
        match self {
            Self::AnyTime { group_max, .. } => Self::AnyTime { group_max, history: Duration::ZERO },
            Self::Now | Self::Anywhere => self,
        }
    }
}
