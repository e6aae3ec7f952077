//! The options of `[rtc]`.

use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtc {
    pub port: u16,
    pub shards: usize,
    pub announce: Vec<String>,
    pub ice_servers: Vec<String>,
    pub sessions: usize,
    pub offers_per_second: u32,
    #[serde(with = "humantime_serde")]
    pub consent_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub repair_hold: Duration,
}

impl Default for Rtc {
    fn default() -> Self {
        Self {
            port: 8189,
            shards: 1,
            announce: Vec::new(),
            ice_servers: Vec::new(),
            sessions: 2000,
            offers_per_second: 25,
            consent_timeout: Duration::from_secs(30),
            repair_hold: Duration::from_millis(600),
        }
    }
}

impl Rtc {
    /// The addresses that candidates announce.
    pub fn announced(&self) -> Result<Vec<onmic_rtc::Announced>, ConfigError> {
        self.announce.iter().map(|text| text.parse().map_err(ConfigError::Announce)).collect()
    }

    /// Checks the form of the addresses of ICE servers (RFC 7064, RFC 7065), which stand in a header of answers.
    pub(super) fn check_ice_servers(&self) -> Result<(), ConfigError> {
        let is_server = |text: &str| {
            let rest = ["stun:", "stuns:", "turn:", "turns:"].iter().find_map(|scheme| text.strip_prefix(scheme));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]?=%".contains(&byte);
            rest.is_some_and(|rest| {
                rest.bytes().all(plain) && is_host_and_port(rest.split('?').next().unwrap_or_default())
            })
        };
        let wrong = self.ice_servers.iter().find(|text| !is_server(text));
        wrong.map_or(Ok(()), |wrong| Err(ConfigError::IceServer(wrong.clone())))
    }
}

/// Returns whether this is `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<Ipv6Addr>().is_ok() => (address, rest),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = |port: &str| port.strip_prefix(':').is_some_and(|port| port.parse::<NonZeroU16>().is_ok());
    !host.is_empty() && !host.contains(['[', ']']) && (port.is_empty() || is_port(port))
}
