//! The reasons why a room does not do what somebody wants of it.

use std::time::Duration;

use onmic_media::NoShare;
use onmic_room::Refused;
use thiserror::Error;

use super::look::{Impossible, NotDecoded};
use super::mailbox::CONNECTIONS_MAX;
use crate::bans::Full;

/// The longest chat message, in characters.
pub const TEXT_MAX: usize = 500;
/// The longest reason of a ban, in characters.
pub const REASON_MAX: usize = 200;

/// An order that is denied. Its Display is a sentence that tells the person what to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Denied {
    /// The machine refuses it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The program cannot look like that.
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// The node has too much else to do, or too little room. It may do the same later.
    #[error("{0}")]
    Busy(String),
    /// The person is above their rate. Holds how long to wait.
    #[error("You are faster than the room can follow. Wait {} s, then go on.", seconds(*.0))]
    TooFast(Duration),
    /// The text is not a chat message.
    #[error("A message has 1 to {TEXT_MAX} characters.")]
    Text,
    /// The person is banned. Holds for how long yet.
    #[error("You are banned from this room for another {} s.", seconds(*.0))]
    Banned(Duration),
    /// The time or the reason of a ban is out of bounds.
    #[error(
        "A ban takes 1 s to ten years, and its reason has at most {REASON_MAX} characters on one line, and none that turns the direction of text."
    )]
    Ban,
    /// The room, or the node, has as many bans as may be.
    #[error(transparent)]
    BansFull(Full),
    /// Somebody would ban themselves.
    #[error("You cannot ban yourself. Leave the room instead.")]
    Yourself,
    /// The node is about to stop.
    #[error("This server is about to stop. Try again.")]
    Stopping,
    /// The node, or whoever answers for the person, has as many connections as may be.
    #[error("Too many connections: {0}.")]
    NoShare(#[from] NoShare),
    /// Whoever answers for the person has as much of the room, or of the node's rooms, as one may have.
    #[error("Leave some to others: {0}.")]
    Share(NoShare),
    /// The person has [`CONNECTIONS_MAX`] connections to the room already.
    #[error("You have {CONNECTIONS_MAX} connections to this room already. Close one first.")]
    ConnectionsFull,
}

impl From<NotDecoded> for Denied {
    fn from(why: NotDecoded) -> Self {
        match why {
            NotDecoded::Impossible(impossible) => Self::Impossible(impossible),
            NotDecoded::Busy(sentence) => Self::Busy(sentence),
        }
    }
}

/// Returns a wait in whole seconds, at least one.
pub fn seconds(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000).max(1)
}
