//! The levels of a viewer's session, as signalling sees them: what a client asks for, and what it gets.

use std::sync::Arc;
use std::time::Instant;

use onmic_media::feed::{Accept, Level};
use onmic_media::{Codec, Entry, Feed, TrackKey};
use thiserror::Error;
use tokio::sync::watch;

pub use crate::rtp::choice::{Pick, Wish};

/// The most that observe one session at a time: its page, and a monitor or two.
pub const OBSERVERS_MAX: usize = 4;

/// Why a level cannot be had now. The viewer keeps the one that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The node converts as much as it can.
    OverBudget,
    /// The feed does not have it in the codec of the session.
    NotThere,
}

impl Refusal {
    /// Returns the word for the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OverBudget => "over_budget",
            Self::NotThere => "not_there",
        }
    }
}

/// What a viewer gets now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The level whose frames it is sent.
    pub current: Pick,
    /// What was chosen by hand.
    pub pinned: Option<Pick>,
    /// What its path carries, in bits per second, as far as that is known.
    pub estimate_bps: Option<u64>,
    /// Whether the path carries what was chosen by hand, as far as that is known.
    pub is_carried: bool,
    /// A level that it should get and cannot have now.
    pub refused: Option<(TrackKey, Refusal)>,
}

/// A viewer's session that is observed. Once it ends, `shown` has no sender any more.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What it watches.
    pub feed: Arc<Feed>,
    /// The `mid` of the section whose level can be chosen.
    pub mid: String,
    /// The codec of its video.
    pub codec: Codec,
    /// What it gets. A change of the estimate alone does not wake the receiver.
    pub shown: watch::Receiver<Shown>,
}

impl Observed {
    /// Returns the levels that the session can have, best first.
    pub fn levels(&self, now: Instant) -> Vec<Level> {
        levels(&self.feed, self.codec, now)
    }
}

/// Returns the levels of a feed that can be had in a codec, best first.
pub(crate) fn levels(feed: &Feed, codec: Codec, now: Instant) -> Vec<Level> {
    let accept = Accept { codecs: &[codec], reordering: false, any_format: false, entry: Entry::Now };
    let mut levels = feed.levels(now);
    levels.retain(|level| !feed.codecs(level.key, accept).is_empty());
    levels
}

/// Why a level cannot be chosen. Display is a sentence for the client.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChoiceRefused {
    /// The session has ended, or never existed.
    #[error("there is no such session; it may have ended")]
    NoSession,
    /// The session publishes, or watches audio alone, or has a section for each level.
    #[error("this session has no video whose level could be chosen")]
    NoVideo,
    /// The session has another section for its video.
    #[error("mediaId {0:?} is not that of the session's video, which is {1:?}")]
    NoSection(String, String),
    /// The feed has no such level.
    #[error("there is no level {0}; there are {list}, and none for audio alone", list = .1.join(", "))]
    NoLevel(Pick, Vec<String>),
    /// The session is observed by as many as may do so.
    #[error("this session has {OBSERVERS_MAX} streams of events already; close one of them first")]
    Observed,
}
