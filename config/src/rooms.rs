//! The options of `[rooms]`: the limits of the node, and the settings of new rooms.

use std::collections::BTreeMap;
use std::time::Duration;

use humantime_serde::Serde as Humantime;
use onmic_control::{AvSync, HostLeaves};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)] // `Timeouts` gets the keys that are left, and refuses those that are not timeouts.
pub struct Rooms {
    pub rooms: usize,
    pub persons: usize,
    pub requests: usize,
    pub clients: usize,
    pub seats: u8,
    pub open_seats: bool,
    pub host_leaves: HostLeaves,
    pub sync: AvSync,
    #[serde(with = "humantime_serde")]
    pub playout_delay: Duration,
    #[serde(flatten)]
    pub timeouts: Timeouts,
}

/// The timeouts of rooms. Each is an option `NAME_timeout`, except `cool_down`, because nobody fails when that ends.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Timeouts(pub(super) onmic_room::Timeouts);

fn timeout_key(name: &str) -> String {
    if name == "cool_down" { name.to_owned() } else { format!("{name}_timeout") }
}

impl Serialize for Timeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.each().map(|(name, timeout)| (timeout_key(name), Humantime::from(timeout))))
    }
}

impl<'de> Deserialize<'de> for Timeouts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut timeouts = onmic_room::Timeouts::default();
        for (key, timeout) in BTreeMap::<String, Humantime<Duration>>::deserialize(deserializer)? {
            let name = onmic_room::Timeouts::NAMES.iter().find(|name| timeout_key(name) == key);
            match name.and_then(|name| timeouts.get_mut(name)) {
                Some(place) => *place = timeout.into_inner(),
                None => return Err(D::Error::custom(format!("unknown option `{key}` of rooms"))),
            }
        }
        Ok(Self(timeouts))
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            rooms: 10_000,
            persons: 10_000,
            requests: 1_000,
            clients: 20_000,
            seats: 8,
            open_seats: true,
            host_leaves: HostLeaves::EmptySeats,
            sync: AvSync::LipSync,
            playout_delay: Duration::ZERO,
            timeouts: Timeouts::default(),
        }
    }
}

impl Rooms {
    /// Returns the settings of rooms that come to be by themselves.
    pub fn settings(&self) -> onmic_room::Settings {
        onmic_room::Settings {
            title: String::new(),
            seats: self.seats,
            locked: false,
            open_seats: self.open_seats,
            host_leaves: self.host_leaves.into(),
            sync: self.sync.into(),
            playout_delay_ms: u16::try_from(self.playout_delay.as_millis()).unwrap_or(u16::MAX),
            timeouts: self.timeouts.0,
        }
    }

    /// Returns the limits of the node's rooms.
    pub fn limits(&self) -> onmic_room::Limits {
        onmic_room::Limits { rooms: self.rooms, persons: self.persons, requests: self.requests }
    }
}
