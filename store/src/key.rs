//! The names of records.

/// The kinds of records that a room has. Each is kept and forgotten for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The room as it is.
    State,
    /// Those who may not come to it. They are there without the room too.
    Bans,
}

/// The name of a record: its kind, and its room.
pub type Key = (Kind, String);
