//! Who is behind a request: the one value that shares and rates are counted by.

use std::fmt;
use std::net::IpAddr;

use crate::RoomName;

/// The length of the prefix that IPv6 gives one customer (RFC 6177), so that all its addresses count as one.
const V6_PREFIX: u32 = 64;

/// The one who answers for a request: the owner of its token, or else the network that it came from.
///
/// It is made where a request enters, and held by whatever the request opened. Two principals never share a quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// The owner of a token: its `jti`, or else its `sub`.
    Token(Box<str>),
    /// The hosts of a room whose tokens name nobody.
    Hosts(RoomName),
    /// An IPv4 address, or the /64 of an IPv6 address.
    Network(IpAddr),
}

impl Principal {
    /// Returns the principal of a request without a token that names its owner.
    pub fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self::Network(IpAddr::V6((v6.to_bits() >> V6_PREFIX << V6_PREFIX).into())),
            v4 => Self::Network(v4),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("this token"),
            Self::Hosts(_) => f.write_str("the hosts of this room"),
            Self::Network(_) => f.write_str("this address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_one_customer_are_one_principal() {
        let at = |address: &str| Principal::at(address.parse().unwrap());
        assert_eq!(at("2001:db8:1:2:3::4"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:2::"), at("2001:db8:1:3::"));
        assert_eq!(at("::ffff:192.0.2.7"), at("192.0.2.7"));
        assert_ne!(at("192.0.2.7"), at("192.0.2.8"));
    }
}
