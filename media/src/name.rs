//! Names from URLs and stream keys: short, printable, and safe in a path.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The longest room or participant name, in bytes: fits a URL, a log line and a metric label.
pub const NAME_MAX: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum InvalidName {
    /// Nothing, or too much.
    #[error("a name has 1 to {NAME_MAX} characters")]
    Length,
    /// A character that would need escaping somewhere.
    #[error("a name is made of letters, digits, '-', '_' and '.', and does not start with '.'")]
    Character,
}

fn check(text: &str) -> Result<Arc<str>, InvalidName> {
    if text.is_empty() || text.len() > NAME_MAX {
        return Err(InvalidName::Length);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.starts_with('.') || !text.bytes().all(allowed) {
        return Err(InvalidName::Character);
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check(text).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// What one audience watches.
    RoomName
}
name! {
    /// Someone who may publish in a room.
    ParticipantName
}

impl ParticipantName {
    /// The participant of a stream key that names only a room.
    pub fn host() -> Self {
        Self("host".into())
    }
}

/// Names one source: a participant of a room. Written `ROOM/PARTICIPANT`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceName {
    /// The room.
    pub room: RoomName,
    /// Who publishes in it.
    pub participant: ParticipantName,
}

impl SourceName {
    /// The host's source of `room`.
    pub fn host(room: RoomName) -> Self {
        Self { room, participant: ParticipantName::host() }
    }

    /// Whether it is the host's.
    pub fn is_host(&self) -> bool {
        self.participant == ParticipantName::host()
    }
}

impl FromStr for SourceName {
    type Err = InvalidName;

    /// `ROOM` (its host) or `ROOM/PARTICIPANT`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('/') {
            None => Ok(Self::host(text.parse()?)),
            Some((room, participant)) => Ok(Self { room: room.parse()?, participant: participant.parse()? }),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.room, self.participant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_participant_is_the_host() {
        let name: SourceName = "demo".parse().unwrap();
        assert_eq!(name.to_string(), "demo/host");
        assert_eq!("demo/anna".parse::<SourceName>().unwrap().participant.as_str(), "anna");
    }

    #[test]
    fn names_that_would_leave_their_path_are_refused() {
        for text in ["", "..", ".a", "a/b/c", "a b", "a%2f", "é", &"x".repeat(NAME_MAX + 1), "/a", "a/"] {
            assert!(text.parse::<SourceName>().is_err(), "{text:?}");
        }
    }
}
