//! The settings of one room, and the limits of all rooms of the node.

use std::time::Duration;

use onmic_names::{AvSync, PLAYOUT_DELAY_MAX_MS, Playout, SEATS_MAX, TITLE_MAX, is_line};

use crate::command::Authority;
use crate::refused::Refused;

/// The bounds of every timeout. A shorter one makes states flap, and a longer one bounds nothing.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(24 * 3600));

/// What happens to a room whose host stayed away for [`Timeouts::host_away`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostLeaves {
    /// Everybody leaves the mic, and the room waits for a host.
    #[default]
    EmptySeats,
    /// The room ends.
    End,
    /// Everybody on mic stays there, and the room waits for a host.
    Keep,
}

/// Declares every timeout once: its name, its default in seconds, and what waits for that time.
macro_rules! timeouts {
    ($($(#[$doc:meta])* $name:ident = $seconds:literal;)+) => {
        /// The longest that each state may wait.
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
            /// The names of all timeouts.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Returns each timeout with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, Duration)> + use<> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }

            /// Returns the timeout of that name.
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
    /// How long a request waits for the host's answer.
    request = 120;
    /// How long a granted seat waits for the first sign of its publisher.
    grant = 10;
    /// How long a publisher that connects may take until its first frame.
    connect = 10;
    /// How long an invitation waits for the viewer's answer.
    invitation = 30;
    /// How long a seat waits for its source that is down.
    away = 10;
    /// How long a person whose connection is gone counts as there.
    presence = 10;
    /// How long a room waits for its host to come back, after `presence`.
    host_away = 60;
    /// How long the proposal of a PK waits for the other host's answer.
    pk_proposal = 30;
    /// How long a PK waits for the source of a host that is down.
    pk_away = 10;
    /// How long somebody who was removed from the mic must wait before they ask again.
    cool_down = 10;
    /// How long a room that nobody created lives on without anybody in it.
    empty = 60;
}

/// The settings of one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The title that people see, which may be empty.
    pub title: String,
    /// The number of seats beside the host's place, 0 to [`SEATS_MAX`].
    pub seats: u8,
    /// Whether the room is locked: it takes no new requests, and nobody gets a seat that was not granted.
    pub locked: bool,
    /// Whether somebody who publishes without a granted seat gets the first free one that is not locked.
    pub open_seats: bool,
    /// What happens to the room without its host.
    pub host_leaves: HostLeaves,
    /// How audio and video reach WebRTC viewers of the room who do not choose for themselves.
    pub sync: AvSync,
    /// How far behind they play at least, in ms, up to [`PLAYOUT_DELAY_MAX_MS`].
    pub playout_delay_ms: u16,
    /// The longest that each state may wait.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            title: String::new(),
            seats: 8, // With the host they fill a grid of 3×3.
            locked: false,
            open_seats: true,
            host_leaves: HostLeaves::default(),
            sync: AvSync::default(),
            playout_delay_ms: 0,
            timeouts: Timeouts::default(),
        }
    }
}

impl Settings {
    /// Returns how WebRTC viewers play who do not choose for themselves.
    pub fn playout(&self) -> Playout {
        Playout { sync: self.sync, delay_ms: self.playout_delay_ms }
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        if self.title.chars().count() > TITLE_MAX || !is_line(&self.title) {
            return Err(Refused::Title);
        }
        if self.seats > SEATS_MAX {
            return Err(Refused::Seats(self.seats));
        }
        if self.playout_delay_ms > PLAYOUT_DELAY_MAX_MS {
            return Err(Refused::PlayoutDelay);
        }
        let out_of_bounds = |&(_, timeout): &(_, Duration)| timeout < TIMEOUT.0 || timeout > TIMEOUT.1;
        match self.timeouts.each().find(out_of_bounds) {
            Some((name, _)) => Err(Refused::Timeout(name)),
            None => Ok(()),
        }
    }
}

/// The limits of a node's rooms. Each has a refusal that names it. Viewers leave an eighth of each to hosts, co-hosts, admins and
/// publishers, so that no number of viewers keeps those out without whom there is nothing to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most rooms at once.
    pub rooms: usize,
    /// The most persons in one room at once.
    pub persons: usize,
    /// The most requests that may wait in one room.
    pub requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rooms: 10_000, persons: 10_000, requests: 1_000 }
    }
}

/// One part of this many is left by viewers to others. A limit that is smaller than this leaves nothing.
const RESERVE: usize = 8;

impl Limits {
    /// Returns up to how many of `all` somebody with this right may still add one.
    pub(crate) fn open_to(authority: Authority, all: usize) -> usize {
        match authority {
            Authority::Viewer => all - all / RESERVE,
            Authority::Host | Authority::CoHost | Authority::Admin => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_are_valid() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn a_setting_out_of_bounds_is_refused_by_name() {
        assert_eq!(Settings { title: "x".repeat(201), ..Settings::default() }.check(), Err(Refused::Title));
        assert_eq!(Settings { title: "a\u{202e}b".to_owned(), ..Settings::default() }.check(), Err(Refused::Title));
        assert_eq!(Settings { seats: 17, ..Settings::default() }.check(), Err(Refused::Seats(17)));
        assert_eq!(Settings { playout_delay_ms: 2000, ..Settings::default() }.check(), Ok(()));
        assert_eq!(Settings { playout_delay_ms: 2001, ..Settings::default() }.check(), Err(Refused::PlayoutDelay));
        let timeouts = Timeouts { away: Duration::ZERO, ..Timeouts::default() };
        assert_eq!(Settings { timeouts, ..Settings::default() }.check(), Err(Refused::Timeout("away")));
    }
}
