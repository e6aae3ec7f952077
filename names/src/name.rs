//! Names from URLs, stream keys, tokens and JSON: short, printable, and safe in a path.
//!
//! All names have one alphabet and one limit of length. People see each other's display names, which are texts ([`crate::display_name`]).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes. It fits a URL, a log line and a metric label.
pub const NAME_MAX: usize = 64;
/// The longest [`SourceName`] as text, in bytes: two names and the slash between them.
pub const SOURCE_NAME_MAX: usize = NAME_MAX + 1 + NAME_MAX;
/// The longest display name, in characters.
pub const DISPLAY_NAME_MAX: usize = 64;

/// The longest title of a room, in characters.
pub const TITLE_MAX: usize = 200;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// The text is empty or too long.
    Length,
    /// The text has a character that would need escaping somewhere.
    Character,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a name has 1 to {NAME_MAX} characters"),
            Self::Character => {
                write!(f, "a name is made of letters, digits, '-', '_' and '.', and does not start with '.'")
            }
        }
    }
}

impl std::error::Error for InvalidName {}

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
            /// Returns the name as text.
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
    /// The name of a room, which is the place that one audience watches.
    RoomName
}
name! {
    /// The name under which a participant publishes in a room.
    ParticipantName
}
name! {
    /// The id of a person who is connected to a room, or publishes in it.
    PersonId
}

const HOST: &str = "host";

impl ParticipantName {
    /// Returns the name under which the host of every room publishes.
    pub fn host() -> Self {
        Self(HOST.into())
    }

    /// Returns whether this is the host's name.
    pub fn is_host(&self) -> bool {
        &*self.0 == HOST
    }

    /// Returns the person who publishes under this name from a seat.
    pub fn person(&self) -> PersonId {
        PersonId(self.0.clone())
    }
}

impl PersonId {
    /// Returns the name under which this person publishes from a seat. A person with the id `host` never gets a seat.
    pub fn participant(&self) -> ParticipantName {
        ParticipantName(self.0.clone())
    }
}

/// The name of one source, which is a participant of a room. It is written `ROOM/PARTICIPANT`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceName {
    /// The room.
    pub room: RoomName,
    /// The participant who publishes in it.
    pub participant: ParticipantName,
}

impl SourceName {
    /// Names the source of `participant` in `room`.
    pub fn new(room: &RoomName, participant: &ParticipantName) -> Self {
        Self { room: room.clone(), participant: participant.clone() }
    }

    /// Names the host's source of `room`.
    pub fn host(room: RoomName) -> Self {
        Self { room, participant: ParticipantName::host() }
    }

    /// Returns whether it is the host's source.
    pub fn is_host(&self) -> bool {
        self.participant.is_host()
    }
}

impl FromStr for SourceName {
    type Err = InvalidName;

    /// Parses `ROOM` (its host) or `ROOM/PARTICIPANT`.
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
    fn a_source_name_without_a_participant_is_the_hosts() {
        let name: SourceName = "demo".parse().unwrap();
        assert_eq!(name.to_string(), "demo/host");
        assert!(name.is_host());
        assert_eq!("demo/anna".parse::<SourceName>().unwrap().participant.as_str(), "anna");
    }

    #[test]
    fn names_that_would_leave_their_path_are_refused() {
        for text in ["", "..", ".a", "a/b/c", "a b", "a%2f", "é", &"x".repeat(NAME_MAX + 1), "/a", "a/"] {
            assert!(text.parse::<SourceName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_kind_of_name_has_the_same_rule() {
        let longest = "x".repeat(NAME_MAX);
        for text in ["guest-7f3a", "A.b_c-9", "0", "-", "a..", &longest] {
            assert!(text.parse::<RoomName>().is_ok(), "{text:?}");
            assert!(text.parse::<ParticipantName>().is_ok(), "{text:?}");
            assert!(text.parse::<PersonId>().is_ok(), "{text:?}");
        }
        let too_long = "x".repeat(NAME_MAX + 1);
        for (text, why) in [
            ("", InvalidName::Length),
            (&too_long, InvalidName::Length),
            ("../etc", InvalidName::Character),
            ("two words", InvalidName::Character),
            ("a/b", InvalidName::Character),
            ("a\0", InvalidName::Character),
        ] {
            assert_eq!(text.parse::<RoomName>(), Err(why), "{text:?}");
            assert_eq!(text.parse::<ParticipantName>(), Err(why), "{text:?}");
            assert_eq!(text.parse::<PersonId>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn the_longest_source_name_fits_its_limit() {
        let longest = "x".repeat(NAME_MAX);
        let name: SourceName = format!("{longest}/{longest}").parse().unwrap();
        assert_eq!(name.to_string().len(), SOURCE_NAME_MAX);
    }
}
