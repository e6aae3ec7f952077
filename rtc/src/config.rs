//! Where the shards listen and how much they take on.

use std::net::IpAddr;
use std::time::Duration;

use onmic_media::NodeClock;

/// Where and how much the server serves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address of all sockets.
    pub address: IpAddr,
    /// The UDP port of shard 0; shard n has `port + n`. 0 lets the system choose.
    pub port: u16,
    /// Threads. 0 is one for every core but one.
    pub shards: usize,
    /// Addresses for candidates; empty: what this machine calls itself.
    pub announce: Vec<IpAddr>,
    /// Sessions per shard.
    pub sessions: usize,
    /// Without a valid check for so long, a session ends (RFC 7675).
    pub consent: Duration,
    /// The node's clock, which reports are written with.
    pub clock: NodeClock,
}
