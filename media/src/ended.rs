//! Why a publisher may push no more.

use thiserror::Error;

/// Is the error of a publisher that was replaced by another one, or sent away.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("another publisher took this name over, or the room sent this one away")]
pub struct TakenOver;

/// Why a publisher may push no more. Display is a sentence for it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Ended {
    /// Another publisher has the name.
    #[error(transparent)]
    TakenOver(#[from] TakenOver),
    /// It sends more than one publisher may, in bits per second.
    #[error(
        "this stream has more than {} Mbit/s, or far more frames or messages than a stream has, the most that this server takes from one publisher (ingest.bitrate): lower \
         the bitrate, or send a file at its own speed (ffmpeg -re)", .0 / 1_000_000
    )]
    TooMuch(u64),
}

impl Ended {
    /// Returns one word for logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TakenOver(_) => "taken_over",
            Self::TooMuch(_) => "too_much",
        }
    }
}
