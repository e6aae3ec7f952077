//! The address of a client behind proxies.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Is a range of addresses, written as an address and the length of its prefix (RFC 4632): `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The addresses of this machine to itself.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// Returns whether the network has this address. An IPv4 address that is written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let ((network, width), (address, other_width)) = (bits(self.address), bits(address));
        let outside_prefix = u32::from(width - self.prefix);
        width == other_width && (network ^ address).checked_shr(outside_prefix).unwrap_or(0) == 0
    }
}

/// Returns an address as a number, and its length in bits.
fn bits(address: IpAddr) -> (u128, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (v4.to_bits().into(), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network, such as 10.0.0.0/8, nor an address");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = bits(address).1;
        let prefix = prefix.map_or(Ok(longest), str::parse).map_err(|_| wrong())?;
        if prefix <= longest { Ok(Self { address, prefix }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Returns the address of the client that a request came from. Each proxy on the way appends the address that it saw to
/// `X-Forwarded-For`, so the list is believed from its end, up to the first address that is not a trusted proxy. What stands
/// before that address anybody could have written.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    let mut client = peer;
    for stated in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        let Some(address) = parse(stated.trim()) else { break };
        client = address;
    }
    client
}

/// Reads an address, which some proxies write with a port: `203.0.113.7:1234`, `[2001:db8::1]:1234`.
fn parse(stated: &str) -> Option<IpAddr> {
    let bare = stated.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(stated, |(address, _)| address);
    bare.parse().ok().or_else(|| stated.parse().ok().map(|socket: std::net::SocketAddr| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_of_its_prefix() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            assert!(network(text).contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network(text).contains(outside.parse().unwrap()), "{text} {outside}");
        }
        assert!(network("10.0.0.0/8").contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(Network::LOOPBACK[1].contains("::1".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "::1/129", "10.0.0.0/x", "example.org"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        let trusted = [network("127.0.0.0/8"), network("10.0.0.0/8")];
        let client = |peer: &str, lines: &[&str]| {
            let headers = lines.iter().map(|line| (FORWARDED_FOR, line.parse().unwrap())).collect();
            address(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(
            client("127.0.0.1", &["198.51.100.9, 203.0.113.7, 10.0.0.2"]),
            "203.0.113.7",
            "the first is hearsay"
        );
        assert_eq!(client("127.0.0.1", &["203.0.113.7", "10.0.0.2"]), "203.0.113.7", "two headers are one list");
        assert_eq!(client("203.0.113.1", &["198.51.100.9"]), "203.0.113.1", "a stranger is not believed");
        assert_eq!(client("127.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("127.0.0.1", &["203.0.113.7:1234"]), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["unknown, 10.0.0.3"]), "10.0.0.3");
        assert_eq!(client("127.0.0.1", &["10.0.0.3"]), "10.0.0.3", "a client in the proxies' network is a client");
    }
}
