//! What can be set: of a room, and of the node's rooms together.

use std::time::Duration;

use onmic_names::{SEATS_MAX, TITLE_MAX};

use crate::refused::Refused;

/// Bounds of every timeout: shorter ones only flap, longer ones are no bound.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(24 * 3600));

/// What becomes of a room whose host stayed away for [`Timeouts::host_away`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostLeaves {
    /// Everybody leaves the mic; the room waits for a host.
    #[default]
    EmptySeats,
    /// The room ends.
    End,
    /// Who is on mic stays on mic; the room waits for a host.
    Keep,
}

/// Declares every timeout once: its name, its default in seconds, and what waits so long.
macro_rules! timeouts {
    ($($(#[$doc:meta])* $name:ident = $seconds:literal;)+) => {
        /// How long each waiting state waits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Timeouts {
            $($(#[$doc])* pub $name: Duration),+
        }

        impl Default for Timeouts {
            fn default() -> Self {
                Self { $($name: Duration::from_secs($seconds)),+ }
            }
        }

        impl Timeouts {
            /// The name of each timeout.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Each timeout with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, Duration)> + use<> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }

            /// The timeout of that name.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut Duration> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }
        }
    };
}

timeouts! {
    /// A request, for the host's answer.
    request = 120;
    /// A granted seat, for the first sign of its publisher.
    grant = 10;
    /// A connecting publisher, for its first frame.
    connect = 10;
    /// An invitation, for the viewer's answer.
    invitation = 30;
    /// A seat whose source is down, for its return.
    away = 10;
    /// A person whose connection is gone, for its return.
    presence = 10;
    /// A room whose host is gone (after `presence`), for the host's return.
    host_away = 60;
    /// A PK proposal, for the other host's answer.
    pk_proposal = 30;
    /// A PK, for the source of a host that is down.
    pk_away = 10;
    /// Somebody removed from the mic, before asking again.
    cool_down = 10;
    /// A room that nobody created and nobody is in, before it ends.
    empty = 60;
}

/// Of one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the room is called; may be empty.
    pub title: String,
    /// Seats beside the host's, 0 to [`SEATS_MAX`].
    pub seats: u8,
    /// A locked room takes no new requests, and nobody on a seat that was not granted.
    pub locked: bool,
    /// Somebody who publishes without having been granted a seat is put on the first free one that is not locked.
    pub open_seats: bool,
    /// What becomes of the room without its host.
    pub host_leaves: HostLeaves,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            title: String::new(),
            seats: 8, // With the host a grid of 3×3.
            locked: false,
            open_seats: true,
            host_leaves: HostLeaves::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Refused> {
        if self.title.chars().count() > TITLE_MAX || self.title.chars().any(char::is_control) {
            return Err(Refused::Title);
        }
        if self.seats > SEATS_MAX {
            return Err(Refused::Seats(self.seats));
        }
        let out_of_bounds = |&(_, timeout): &(_, Duration)| timeout < TIMEOUT.0 || timeout > TIMEOUT.1;
        match self.timeouts.each().find(out_of_bounds) {
            Some((name, _)) => Err(Refused::Timeout(name)),
            None => Ok(()),
        }
    }
}

/// Of the node. Each has a refusal that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms at once.
    pub rooms: usize,
    /// Persons of one room at once.
    pub persons: usize,
    /// Requests waiting in one room.
    pub requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rooms: 10_000, persons: 10_000, requests: 1_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        assert_eq!(Settings { title: "x".repeat(201), ..Settings::default() }.check(), Err(Refused::Title));
        assert_eq!(Settings { seats: 17, ..Settings::default() }.check(), Err(Refused::Seats(17)));
        let timeouts = Timeouts { away: Duration::ZERO, ..Timeouts::default() };
        assert_eq!(Settings { timeouts, ..Settings::default() }.check(), Err(Refused::Timeout("away")));
    }
}
