//! What a restart keeps of the bans of a room, as JSON with a version.
//!
//! A ban is kept by the date of its end, so it counts down while the node is down. The record has the date at which it was
//! written too. On a machine whose clock is behind that date, for instance because it is set late, no ban is longer than it was
//! then.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use onmic_media::Date;
use onmic_media::name::Principal;
use onmic_room::{PersonId, RoomName};

use super::{Unreadable, must_have_version};
use crate::bans::{Ban, LONGEST};

/// The version of the form below. Whoever changes the form counts it up, as for the record of a room.
const VERSION: u32 = 1;

/// What is kept of the bans of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBans {
    pub room: RoomName,
    written: Date,
    bans: Vec<(PersonId, Kept)>,
}

/// What is kept of one ban.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    until: Date,
    reason: String,
    nameless: Vec<Principal>,
}

impl KeptBans {
    /// Makes what is kept of bans at the date `written`. `date` gives moments their dates.
    pub fn of(room: &RoomName, bans: &[(PersonId, Ban)], written: Date, date: impl Fn(Instant) -> Date) -> Self {
        let kept = bans.iter().map(|(person, Ban { until, reason, nameless })| {
            (person.clone(), Kept { until: date(*until), reason: reason.clone(), nameless: nameless.clone() })
        });
        Self { room: room.clone(), written, bans: kept.collect() }
    }

    /// Returns the number of bans.
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Returns the bans that are not over at `now`, which has the date `today`.
    pub fn bans(&self, now: Instant, today: Date) -> Vec<(PersonId, Ban)> {
        let from = today.max(self.written);
        let not_over = |(person, Kept { until, reason, nameless }): &(PersonId, Kept)| {
            let left = Duration::from_micros(u64::try_from(until.micros_since(from)).ok()?).min(LONGEST);
            let ban = || Ban { until: now + left, reason: reason.clone(), nameless: nameless.clone() };
            (!left.is_zero()).then(|| (person.clone(), ban()))
        };
        self.bans.iter().filter_map(not_over).collect()
    }

    /// Returns the record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bans = self.bans.iter().map(|(person, Kept { until, reason, nameless })| {
            let nameless = nameless.iter().cloned().map(KeptPrincipal::from).collect();
            (person.to_string(), KeptBan { until: until.micros(), reason: reason.clone(), nameless })
        });
        let record = Record { version: VERSION, written: self.written.micros(), bans: bans.collect() };
        serde_json::to_vec(&record).expect("texts and numbers are JSON")
    }

    /// Reads the record of the room of this name.
    pub fn read(room: &str, bytes: &[u8]) -> Result<Self, Unreadable> {
        must_have_version(bytes, VERSION)?;
        let record: Record = serde_json::from_slice(bytes)?;
        let bans = record.bans.into_iter().map(|(person, KeptBan { until, reason, nameless })| {
            let nameless = nameless.into_iter().map(Principal::from).collect();
            Ok((person.parse()?, Kept { until: Date(until), reason, nameless }))
        });
        Ok(Self { room: room.parse()?, written: Date(record.written), bans: bans.collect::<Result<_, Unreadable>>()? })
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    /// In microseconds since 1970.
    written: u64,
    /// The bans of the room, each under the id of its person.
    bans: BTreeMap<String, KeptBan>,
}

#[derive(Serialize, Deserialize)]
struct KeptBan {
    /// In microseconds since 1970.
    until: u64,
    reason: String,
    /// Records of servers that held no principals have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nameless: Vec<KeptPrincipal>,
}

/// What is kept of a principal, here and in the record of a room.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KeptPrincipal {
    Token(Box<str>),
    Network(IpAddr),
}

impl From<Principal> for KeptPrincipal {
    fn from(who: Principal) -> Self {
        match who {
            Principal::Token(id) => Self::Token(id),
            Principal::Hosts(room) => Self::Token(format!("host/{room}").into()), // They are bound by no ban.
            Principal::Network(address) => Self::Network(address),
        }
    }
}

impl From<KeptPrincipal> for Principal {
    fn from(kept: KeptPrincipal) -> Self {
        match kept {
            KeptPrincipal::Token(id) => Self::Token(id),
            KeptPrincipal::Network(address) => Self::at(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: Date = Date(1_700_000_000_000_000);

    fn after(seconds: i64) -> Date {
        WRITTEN.offset_micros(seconds * 1_000_000)
    }

    /// The bans of anna for 10 s and of ben, who was a guest, for 60 s.
    fn kept() -> KeptBans {
        let ban = |person: &str, seconds, nameless: Vec<Principal>| {
            (person.parse().unwrap(), Kept { until: after(seconds), reason: "spam".to_owned(), nameless })
        };
        let who = ["192.0.2.7", "2001:db8:1:2::"].map(|address| Principal::at(address.parse().unwrap()));
        let nameless = [Principal::Token("t1".into())].into_iter().chain(who).collect();
        let bans = vec![ban("anna", 10, Vec::new()), ban("ben", 60, nameless)];
        KeptBans { room: "red".parse().unwrap(), written: WRITTEN, bans }
    }

    #[test]
    fn a_record_of_a_server_that_held_no_principals_is_read() {
        let record =
            br#"{"version":1,"written":1700000000000000,"bans":{"anna":{"until":1700000010000000,"reason":"spam"}}}"#;
        let mut expected = kept();
        expected.bans.truncate(1);
        assert_eq!(KeptBans::read("red", record), Ok(expected));
    }

    #[test]
    fn a_record_of_bans_is_read_as_it_was_written_and_others_are_refused() {
        let bytes = kept().to_bytes();
        assert_eq!(KeptBans::read("red", &bytes), Ok(kept()));
        let text = String::from_utf8(bytes.clone()).unwrap();
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(KeptBans::read("red", newer.as_bytes()).unwrap_err().to_string().contains("version 2"));
        for broken in [&bytes[..bytes.len() / 2], b"", b"{}", text.replace("\"anna\"", "\"an na\"").as_bytes()] {
            assert!(KeptBans::read("red", broken).is_err());
        }
        assert!(KeptBans::read("no room", &bytes).is_err());
    }

    #[test]
    fn a_ban_counts_down_by_the_date_and_a_clock_that_is_behind_adds_nothing() {
        let now = Instant::now();
        let left = |today| {
            let bans = kept().bans(now, today).into_iter();
            bans.map(|(person, ban)| (person.to_string(), (ban.until - now).as_secs())).collect::<Vec<_>>()
        };
        let (anna, ben) = ("anna".to_owned(), "ben".to_owned());
        assert_eq!(left(after(4)), [(anna.clone(), 6), (ben.clone(), 56)]);
        assert_eq!(left(after(10)), [(ben.clone(), 50)]);
        assert_eq!(left(after(60)), []);
        for behind in [after(-3600), Date(0)] {
            assert_eq!(left(behind), [(anna.clone(), 10), (ben.clone(), 60)]);
        }
    }

    #[test]
    fn no_ban_is_longer_than_the_longest() {
        let now = Instant::now();
        let mut kept = kept();
        kept.bans[0].1.until = Date(u64::MAX);
        assert_eq!(kept.bans(now, WRITTEN)[0].1.until, now + LONGEST);
    }
}
