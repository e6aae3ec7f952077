//! Why a room does not do what somebody wants of it. Display is a sentence that tells what to do.

use std::time::Duration;

use onmic_room::Refused;
use thiserror::Error;

use super::live::CONNECTIONS_MAX;
use super::look::Impossible;

/// The longest message of a chat, in characters.
pub const TEXT_MAX: usize = 500;

/// See the module.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Denied {
    /// The machine refuses it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A look that cannot be.
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// The person is above its rate; how long to wait.
    #[error("You are faster than the room can follow. Wait {} s, then go on.", seconds(*.0))]
    TooFast(Duration),
    /// Not a chat message.
    #[error("A message has 1 to {TEXT_MAX} characters.")]
    Text,
    /// The node is about to stop.
    #[error("This server is about to stop. Try again.")]
    Stopping,
    /// All connections that the node may have.
    #[error("{0} clients are connected already, the limit. Try again later.")]
    ClientsFull(usize),
    /// All connections that a person may have.
    #[error("You have {CONNECTIONS_MAX} connections to this room already. Close one first.")]
    ConnectionsFull,
}

/// Whole seconds of a wait, at least one.
pub fn seconds(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000).max(1)
}
