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
    pub tcp: TcpPort,
    pub tcp_connections: usize,
    pub tcp_connections_per_address: usize,
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
            tcp: TcpPort::Same,
            tcp_connections: 2000,
            tcp_connections_per_address: 250,
            shards: 1,
            announce: Vec::new(),
            ice_servers: Vec::new(),
            sessions: 2000,
            offers_per_second: 25,
            consent_timeout: Duration::from_secs(30),
            repair_hold: Duration::from_millis(700),
        }
    }
}

/// Where WebRTC takes TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "String")]
pub enum TcpPort {
    /// At the port with the number of that of UDP.
    Same,
    /// Nowhere.
    Off,
    /// At this port.
    Number(NonZeroU16),
}

/// A port as a file states it, or as a flag does.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrWord {
    Number(i64),
    Word(String),
}

impl TryFrom<NumberOrWord> for TcpPort {
    type Error = String;

    fn try_from(stated: NumberOrWord) -> Result<Self, String> {
        let text = match stated {
            NumberOrWord::Number(number) => number.to_string(),
            NumberOrWord::Word(word) => word,
        };
        match text.as_str() {
            "same" => Ok(Self::Same),
            "off" => Ok(Self::Off),
            number => {
                number.parse().map(Self::Number).map_err(|_| format!("{text:?} is not \"same\", \"off\" or a port"))
            }
        }
    }
}

impl From<TcpPort> for String {
    fn from(port: TcpPort) -> Self {
        match port {
            TcpPort::Same => "same".into(),
            TcpPort::Off => "off".into(),
            TcpPort::Number(number) => number.to_string(),
        }
    }
}

impl TcpPort {
    /// Returns the port to listen on, if any, where UDP has `udp`. 0 lets the system choose.
    pub fn number(self, udp: u16) -> Option<u16> {
        match self {
            Self::Same => Some(udp),
            Self::Off => None,
            Self::Number(number) => Some(number.get()),
        }
    }
}

impl Rtc {
    /// The addresses that candidates announce.
    pub fn announced(&self) -> Result<Vec<onmic_rtc::Announced>, ConfigError> {
        self.announce.iter().map(|text| text.parse().map_err(ConfigError::Announce)).collect()
    }

    /// Checks the form of the addresses of ICE servers, which stand in a header of answers.
    pub(super) fn check_ice_servers(&self) -> Result<(), ConfigError> {
        let wrong = self.ice_servers.iter().find(|text| !is_ice_server(text));
        wrong.map_or(Ok(()), |wrong| Err(ConfigError::IceServer(wrong.clone())))
    }
}

/// Returns whether this is the address of a server of STUN or TURN (RFC 7064, RFC 7065).
pub(super) fn is_ice_server(text: &str) -> bool {
    let rest = ["stun:", "stuns:", "turn:", "turns:"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]?=%".contains(&byte);
    rest.is_some_and(|rest| rest.bytes().all(plain) && is_host_and_port(rest.split('?').next().unwrap_or_default()))
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
