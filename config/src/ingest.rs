//! The options of `[ingest]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    pub sources: usize,
    pub bitrate: u64,
}

impl Default for Ingest {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), sources: 10_000, bitrate: 100_000_000 }
    }
}
