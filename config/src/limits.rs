//! The range of every option that is a number, a time, a size or a list, and what happens where it is reached.
//!
//! A value that cannot work is refused at the start, by a sentence that names its option. SECURITY.md has these rows as a table,
//! with the defaults. A test writes it, and another one holds that no such option lacks its row.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use onmic_mixer::RUNGS_MAX;

use super::{Config, ConfigError};

/// A value of an option, for comparison and for people.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Amount {
    Number(f64),
    Time(Duration),
    Size(ByteSize),
    Entries(usize),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(time) => write!(f, "{}", humantime_serde::re::humantime::format_duration(*time)),
            Self::Size(ByteSize(bytes)) => {
                let fits = |&(_, shift): &(&str, u32)| *bytes > 0 && bytes.is_multiple_of(1 << shift);
                match [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)].iter().copied().find(fits) {
                    Some((unit, shift)) => write!(f, "{} {unit}", bytes >> shift),
                    None => write!(f, "{bytes} B"),
                }
            }
            Self::Entries(1) => f.write_str("1 entry"),
            Self::Entries(entries) => write!(f, "{entries} entries"),
        }
    }
}

/// The range of one option.
pub struct Limit {
    /// The option, as the file names it.
    pub option: &'static str,
    /// Reads the option.
    pub value: fn(&Config) -> Amount,
    least: Amount,
    most: Amount,
    /// Whether 0 has a meaning of its own besides.
    or_zero: bool,
    /// What happens where the limit is reached, as a sentence.
    #[cfg_attr(not(test), expect(dead_code, reason = "the table of SECURITY.md has it"))]
    pub consequence: &'static str,
}

impl Limit {
    const fn number(
        option: &'static str,
        value: fn(&Config) -> Amount,
        range: RangeInclusive<u64>,
        consequence: &'static str,
    ) -> Self {
        let (least, most) = (Amount::Number(*range.start() as f64), Amount::Number(*range.end() as f64));
        Self { option, value, least, most, or_zero: false, consequence }
    }

    const fn time(
        option: &'static str,
        value: fn(&Config) -> Amount,
        range_ms: RangeInclusive<u64>,
        consequence: &'static str,
    ) -> Self {
        let (least, most) = (Duration::from_millis(*range_ms.start()), Duration::from_millis(*range_ms.end()));
        Self { option, value, least: Amount::Time(least), most: Amount::Time(most), or_zero: false, consequence }
    }

    const fn size(
        option: &'static str,
        value: fn(&Config) -> Amount,
        range_kib: RangeInclusive<u64>,
        consequence: &'static str,
    ) -> Self {
        let (least, most) = (ByteSize(*range_kib.start() << 10), ByteSize(*range_kib.end() << 10));
        Self { option, value, least: Amount::Size(least), most: Amount::Size(most), or_zero: false, consequence }
    }

    const fn entries(
        option: &'static str,
        value: fn(&Config) -> Amount,
        range: RangeInclusive<usize>,
        consequence: &'static str,
    ) -> Self {
        let (least, most) = (Amount::Entries(*range.start()), Amount::Entries(*range.end()));
        Self { option, value, least, most, or_zero: false, consequence }
    }

    const fn or_zero(self) -> Self {
        Self { or_zero: true, ..self }
    }

    /// Returns the range for people.
    pub fn range(&self) -> String {
        match (self.least, self.most) {
            (Amount::Entries(least), most) => format!("{least} to {most}"),
            (least, most) if self.or_zero => format!("0, or {least} to {most}"),
            (least, most) => format!("{least} to {most}"),
        }
    }

    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let value = (self.value)(config);
        let is_zero = self.or_zero && value == Amount::Number(0.0);
        if is_zero || (self.least <= value && value <= self.most) {
            return Ok(());
        }
        let verb = if matches!(value, Amount::Entries(_)) { "has" } else { "is" };
        Err(ConfigError::OutOfRange { option: self.option, verb, value: value.to_string(), range: self.range() })
    }
}

/// Checks each option by itself.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    LIMITS.iter().try_for_each(|limit| limit.check(config))
}

const fn number(number: usize) -> Amount {
    Amount::Number(number as f64)
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const MIB: u64 = 1 << 10;
/// A million of anything is more than one machine serves.
const MANY: u64 = 1_000_000;

/// The range of each port is that of its type. All other options that are a number, a time, a size or a list are here.
pub const LIMITS: &[Limit] = &[
    Limit::time("drain", |c| Amount::Time(c.drain), 0..=10 * MINUTE, "Sessions that have not ended are cut off."),
    Limit::entries("auth.audience", |c| Amount::Entries(c.auth.audience.len()), 0..=100, ""),
    Limit::time(
        "auth.grace",
        |c| Amount::Time(c.auth.grace),
        0..=24 * HOUR,
        "What the token opened is closed, with a sentence; LL-HLS is answered 401.",
    ),
    Limit::entries("http.trusted_proxies", |c| Amount::Entries(c.http.trusted_proxies.len()), 0..=1000, ""),
    Limit::entries("http.origins", |c| Amount::Entries(c.http.origins.len()), 0..=100, ""),
    Limit::entries("http.frame_ancestors", |c| Amount::Entries(c.http.frame_ancestors.len()), 0..=100, ""),
    Limit::number(
        "http.connections",
        |c| number(c.http.connections),
        8..=MANY,
        "An idle connection gives way. Without one, 503 except to `/healthz` and `/readyz`. Of those that stay open, viewers leave an eighth to others.",
    ),
    Limit::number(
        "http.connections_per_address",
        |c| number(c.http.connections_per_address),
        1..=MANY,
        "An idle connection of the address gives way. Without one, 503. A WebSocket or a viewer by HTTP-FLV of a token is refused, 429.",
    ),
    Limit::number(
        "http.connections_per_second",
        |c| Amount::Number(c.http.connections_per_second.into()),
        1..=MANY,
        "A new connection of the address is closed. As many as in 10 s may come at once.",
    )
    .or_zero(),
    Limit::number(
        "http.requests_per_second",
        |c| Amount::Number(c.http.requests_per_second.into()),
        10..=MANY,
        "A request of the token or address is refused, 429. As many as in 4 s may come at once.",
    )
    .or_zero(),
    Limit::time(
        "http.header_timeout",
        |c| Amount::Time(c.http.header_timeout),
        SECOND..=5 * MINUTE,
        "The connection is closed.",
    ),
    Limit::time(
        "ingest.grace",
        |c| Amount::Time(c.ingest.grace),
        0..=HOUR,
        "The source ends, and with the last one the program.",
    ),
    Limit::number(
        "ingest.sources",
        |c| number(c.ingest.sources),
        1..=MANY,
        "A publish is refused: 503, or `NetStream.Publish.Denied`.",
    ),
    Limit::number(
        "ingest.bitrate",
        |c| Amount::Number(c.ingest.bitrate as f64),
        100_000..=10_000_000_000,
        "The publisher is told and closed.",
    ),
    Limit::entries("rtmp.app", |c| Amount::Entries(c.rtmp.app.len()), 1..=100, ""),
    Limit::number(
        "rtmp.connections",
        |c| number(c.rtmp.connections),
        2..=MANY,
        "An idle connection gives way. Without one, the new one is closed.",
    ),
    Limit::number(
        "rtmp.connections_per_address",
        |c| number(c.rtmp.connections_per_address),
        1..=MANY,
        "An idle connection of the address gives way. Without one, the new one is closed.",
    ),
    Limit::number(
        "rtmp.connections_per_second",
        |c| Amount::Number(c.rtmp.connections_per_second.into()),
        1..=MANY,
        "A new connection of the address is closed. As many as in 10 s may come at once.",
    )
    .or_zero(),
    Limit::time(
        "rtmp.start_timeout",
        |c| Amount::Time(c.rtmp.start_timeout),
        SECOND..=5 * MINUTE,
        "The connection is closed.",
    ),
    Limit::time("rtmp.idle_timeout", |c| Amount::Time(c.rtmp.idle_timeout), SECOND..=HOUR, "The connection is closed."),
    Limit::size(
        "rtmp.message",
        |c| Amount::Size(c.rtmp.message),
        64..=16 * MIB,
        "The connection is closed, with a sentence to the publisher.",
    ),
    // A session's id has one byte for its shard.
    Limit::number("rtc.shards", |c| number(c.rtc.shards), 0..=256, ""),
    Limit::number(
        "rtc.tcp_connections",
        |c| number(c.rtc.tcp_connections),
        2..=MANY,
        "One that has sent no check, or that no media goes by, gives way. Without one, the new one is closed.",
    ),
    Limit::number(
        "rtc.tcp_connections_per_address",
        |c| number(c.rtc.tcp_connections_per_address),
        1..=MANY,
        "One of the address that has sent no check, or that no media goes by, gives way. Without one, the new one is closed.",
    ),
    Limit::entries("rtc.announce", |c| Amount::Entries(c.rtc.announce.len()), 0..=64, ""),
    Limit::entries("rtc.ice_servers", |c| Amount::Entries(c.rtc.ice_servers.len()), 0..=16, ""),
    Limit::number(
        "rtc.sessions",
        |c| number(c.rtc.sessions),
        1..=100_000,
        "One that has not connected gives way. Without one, 503; 429 where one token or address has viewers in half of them.",
    ),
    Limit::number(
        "rtc.offers_per_second",
        |c| Amount::Number(c.rtc.offers_per_second.into()),
        1..=100_000,
        "An offer of the token or address is refused, 429. As many as in 8 s may come at once.",
    )
    .or_zero(),
    Limit::time(
        "rtc.consent_timeout",
        |c| Amount::Time(c.rtc.consent_timeout),
        SECOND..=10 * MINUTE,
        "The session ends.",
    ),
    Limit::time(
        "rtc.repair_hold",
        |c| Amount::Time(c.rtc.repair_hold),
        0..=1500, // Packets are kept for repairs for as long (`Limits::repair` in rtc/src/rtp/outgoing.rs).
        "Repairs that take longer come too late, and video stands still.",
    ),
    Limit::entries("turn.urls", |c| Amount::Entries(c.turn.urls.len()), 0..=8, ""),
    Limit::time(
        "turn.lifetime",
        |c| Amount::Time(c.turn.lifetime),
        MINUTE..=7 * 24 * HOUR,
        "The TURN server takes the credentials no more. What they have opened goes on.",
    ),
    Limit::time("hls.part", |c| Amount::Time(c.hls.part), 50..=5 * SECOND, ""),
    Limit::time("hls.segment", |c| Amount::Time(c.hls.segment), 500..=MINUTE, ""),
    Limit::time(
        "hls.window",
        |c| Amount::Time(c.hls.window),
        2 * SECOND..=HOUR,
        "The oldest segment leaves for the cache.",
    ),
    Limit::size("hls.cache", |c| Amount::Size(c.hls.cache), 0..=(1 << 20) * MIB, "What was used least is forgotten."),
    Limit::size(
        "hls.windows",
        |c| Amount::Size(c.hls.windows),
        16 * MIB..=(1 << 20) * MIB,
        "A stream that grows lists fewer segments, and then ends. A new one is answered 503.",
    ),
    Limit::time(
        "mixer.linger",
        |c| Amount::Time(c.mixer.linger),
        0..=10 * MINUTE,
        "The converted track ends; the next viewer has it made again.",
    ),
    Limit::number("mixer.opus_bitrate", |c| Amount::Number(c.mixer.opus_bitrate.into()), 6000..=256_000, ""),
    Limit::time("mixer.opus_packet", |c| Amount::Time(c.mixer.opus_packet), 10..=20, ""),
    Limit::number("mixer.aac_bitrate", |c| Amount::Number(c.mixer.aac_bitrate.into()), 16_000..=256_000, ""),
    Limit::number(
        "mixer.frame_rate",
        |c| Amount::Number(c.mixer.frame_rate),
        1..=60,
        "Frames of the mix are left out.",
    ),
    Limit::number("mixer.bitrate", |c| Amount::Number(c.mixer.bitrate as f64), 50_000..=100_000_000, "").or_zero(),
    Limit::number(
        "mixer.pixels_per_second",
        |c| Amount::Number(c.mixer.pixels_per_second as f64),
        1_000_000..=1_000_000_000_000,
        "A conversion is refused, 503. Then a mix has fewer frames, a smaller size, and fewer inputs with video.",
    )
    .or_zero(),
    Limit::entries("mixer.ladder", |c| Amount::Entries(c.mixer.ladder.len()), 0..=RUNGS_MAX, ""),
    Limit::number(
        "rooms.rooms",
        |c| number(c.rooms.rooms),
        1..=MANY,
        "A new room is refused, 429. Viewers leave an eighth, and one principal opens an eighth.",
    ),
    Limit::number(
        "rooms.persons",
        |c| number(c.rooms.persons),
        1..=MANY,
        "A further person is refused, 429. Viewers leave an eighth, and one principal has an eighth.",
    ),
    Limit::number(
        "rooms.requests",
        |c| number(c.rooms.requests),
        0..=100_000,
        "A further request is refused, 429. Viewers leave an eighth, and one principal has an eighth.",
    ),
    Limit::number(
        "rooms.clients",
        |c| number(c.rooms.clients),
        1..=MANY,
        "A WebSocket is refused, 503. Viewers leave an eighth.",
    ),
    Limit::time(
        "rooms.playout_delay",
        |c| Amount::Time(c.rooms.playout_delay),
        0..=2 * SECOND,
        "A longer one is refused.",
    ),
    Limit::number("rooms.seats", |c| number(c.rooms.seats.into()), 0..=16, "The mic is refused, 409."),
    room("rooms.request_timeout", |c| Amount::Time(c.rooms.timeouts.0.request), "The request lapses."),
    room("rooms.grant_timeout", |c| Amount::Time(c.rooms.timeouts.0.grant), "The seat is free again."),
    room("rooms.connect_timeout", |c| Amount::Time(c.rooms.timeouts.0.connect), "The seat is free again."),
    room("rooms.invitation_timeout", |c| Amount::Time(c.rooms.timeouts.0.invitation), "The invitation lapses."),
    room("rooms.away_timeout", |c| Amount::Time(c.rooms.timeouts.0.away), "The seat is free again."),
    room("rooms.presence_timeout", |c| Amount::Time(c.rooms.timeouts.0.presence), "The person has left."),
    room("rooms.host_away_timeout", |c| Amount::Time(c.rooms.timeouts.0.host_away), "`rooms.host_leaves` decides."),
    room("rooms.pk_proposal_timeout", |c| Amount::Time(c.rooms.timeouts.0.pk_proposal), "The proposal lapses."),
    room("rooms.pk_away_timeout", |c| Amount::Time(c.rooms.timeouts.0.pk_away), "The PK ends."),
    room("rooms.cool_down", |c| Amount::Time(c.rooms.timeouts.0.cool_down), "The person may ask for the mic again."),
    room("rooms.empty_timeout", |c| Amount::Time(c.rooms.timeouts.0.empty), "The room ends."),
];

/// Returns the limit of a timeout of rooms. All have the range that `onmic_room` takes.
const fn room(option: &'static str, value: fn(&Config) -> Amount, consequence: &'static str) -> Limit {
    Limit::time(option, value, 100..=24 * HOUR, consequence)
}
