//! The names this machine knows: validated once, cheap to clone, ordered.
//!
//! The alphabet is the one of URLs and stream keys. What people see of each other is a display name, a plain text.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes: fits a URL, a log line and a metric label.
pub const NAME_MAX: usize = 64;
/// The longest display name, in characters.
pub const DISPLAY_NAME_MAX: usize = 64;
/// The most seats a room can have; the mixer's canvas has no use for more.
pub const SEATS_MAX: u8 = 16;

/// Why a text is not a name, or a number not a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// Nothing, or too much.
    Length,
    /// A character that would need escaping somewhere.
    Character,
    /// Not a seat's number.
    Seat,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a name has 1 to {NAME_MAX} characters"),
            Self::Character => {
                write!(f, "a name is made of letters, digits, '-', '_' and '.', and does not start with '.'")
            }
            Self::Seat => write!(f, "seats are numbered from 1 to {SEATS_MAX}"),
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
    /// Somebody connected to a room, or publishing in it.
    PersonId
}
name! {
    /// The name somebody publishes under in a room.
    ParticipantId
}

const HOST: &str = "host";

impl ParticipantId {
    /// What the host of every room publishes as.
    pub fn host() -> Self {
        Self(HOST.into())
    }

    /// Whether it is the host's.
    pub fn is_host(&self) -> bool {
        &*self.0 == HOST
    }

    /// The person who publishes under this name from a seat.
    pub fn person(&self) -> PersonId {
        PersonId(self.0.clone())
    }
}

impl PersonId {
    /// What this person publishes as from a seat. Nobody with the id `host` is given a seat.
    pub fn participant(&self) -> ParticipantId {
        ParticipantId(self.0.clone())
    }
}

/// The number of a seat, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeatNo(NonZeroU8);

impl SeatNo {
    /// Seat `number`, 1 to [`SEATS_MAX`].
    pub fn new(number: u8) -> Result<Self, InvalidName> {
        NonZeroU8::new(number).filter(|n| n.get() <= SEATS_MAX).map(Self).ok_or(InvalidName::Seat)
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0.get()
    }

    /// Its place in a list of seats.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0.get()) - 1
    }

    /// The first `count` seats' numbers.
    pub(crate) fn first(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).filter_map(|number| Self::new(number).ok())
    }
}

impl fmt::Display for SeatNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SeatNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a text may be shown as somebody's name.
pub(crate) fn is_display_name(text: &str) -> bool {
    (1..=DISPLAY_NAME_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_the_alphabet_of_urls() {
        assert!("guest-7f3a".parse::<PersonId>().is_ok());
        assert_eq!("".parse::<PersonId>(), Err(InvalidName::Length));
        assert_eq!("a".repeat(65).parse::<RoomName>(), Err(InvalidName::Length));
        assert_eq!("../etc".parse::<RoomName>(), Err(InvalidName::Character));
        assert_eq!("two words".parse::<ParticipantId>(), Err(InvalidName::Character));
    }

    #[test]
    fn seats_are_numbered_from_one() {
        assert_eq!(SeatNo::new(0), Err(InvalidName::Seat));
        assert_eq!(SeatNo::new(SEATS_MAX + 1), Err(InvalidName::Seat));
        assert_eq!(SeatNo::new(1).unwrap().get(), 1);
    }

    #[test]
    fn a_display_name_is_short_and_on_one_line() {
        assert!(is_display_name("李雷"));
        assert!(!is_display_name(""));
        assert!(!is_display_name("a\nb"));
        assert!(!is_display_name(&"x".repeat(65)));
    }
}
