//! What a store has when it is opened: all that the process before has kept.

use crate::key::Key;

/// What was kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The newest record of each kind of each room.
    pub records: Vec<(Key, Vec<u8>)>,
    /// The events that were not removed, in the order of their numbers.
    pub events: Vec<(u64, Vec<u8>)>,
    /// The secrets of the node, by name.
    pub secrets: Vec<(String, Vec<u8>)>,
}

impl Kept {
    /// Returns a secret of the node.
    pub fn secret(&self, name: &str) -> Option<&[u8]> {
        self.secrets.iter().find(|(other, _)| other == name).map(|(_, secret)| secret.as_slice())
    }
}
