//! The way to a peer: an address of UDP, or a connection of TCP (RFC 6544). Both carry datagrams.
//!
//! Nothing that decides about a session tells them apart. A connection is an address like any other: it has to pass a check, and to answer
//! a question before media goes there. Only whoever sends looks which of the two it is.

use std::fmt;
use std::net::SocketAddr;

/// Names a TCP connection of a shard. A number is never used for another connection of that shard's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// Where datagrams come from and go to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// An address of UDP.
    Udp(SocketAddr),
    /// A connection of TCP, and the address that it comes from.
    Tcp(SocketAddr, ConnectionId),
}

impl Route {
    /// Returns the address of the peer, by either protocol.
    pub fn address(self) -> SocketAddr {
        match self {
            Self::Udp(address) | Self::Tcp(address, _) => address,
        }
    }

    /// Returns the connection, if it is one.
    pub fn connection(self) -> Option<ConnectionId> {
        match self {
            Self::Udp(_) => None,
            Self::Tcp(_, connection) => Some(connection),
        }
    }
}

impl From<SocketAddr> for Route {
    fn from(address: SocketAddr) -> Self {
        Self::Udp(address)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "{address}/udp"),
            Self::Tcp(address, _) => write!(f, "{address}/tcp"),
        }
    }
}
