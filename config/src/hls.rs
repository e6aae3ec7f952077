//! The options of `[hls]`.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hls {
    #[serde(with = "humantime_serde")]
    pub part: Duration,
    #[serde(with = "humantime_serde")]
    pub segment: Duration,
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    pub profile: LatencyProfile,
    pub on_demand: bool,
    pub convert_long_groups: bool,
    pub cache: ByteSize,
    pub windows: ByteSize,
    pub shared_cache: bool,
}

/// How near to the present LL-HLS players are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatencyProfile {
    /// Parts as `hls.part` says.
    Default,
    /// Parts of 200 ms at most.
    Close,
}

impl Default for Hls {
    fn default() -> Self {
        Self {
            part: Duration::from_millis(333),
            segment: Duration::from_secs(2),
            window: Duration::from_secs(36),
            profile: LatencyProfile::Default,
            on_demand: false,
            convert_long_groups: true,
            cache: ByteSize::mib(512),
            windows: ByteSize::gib(8),
            shared_cache: false,
        }
    }
}

impl Hls {
    /// The target duration of parts in the profile.
    pub fn part_of_profile(&self) -> Duration {
        /// A player keeps three parts of distance: 0.6 s. Shorter parts come to less than a round trip on mobile networks.
        const CLOSE: Duration = Duration::from_millis(200);
        match self.profile {
            LatencyProfile::Default => self.part,
            LatencyProfile::Close => self.part.min(CLOSE),
        }
    }
}
