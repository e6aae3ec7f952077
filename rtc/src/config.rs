//! The settings of the server: the addresses that its shards listen on, and their limits.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use onmic_media::Calendar;

use crate::announce::{Announced, TcpPort};

/// The settings of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address that all sockets are bound to.
    pub address: IpAddr,
    /// Whether datagrams of other machines are dropped. [`address`](Self::address) may then be unspecified all the same:
    /// Firefox pairs no loopback candidate, so it needs another address of this machine.
    pub only_this_machine: bool,
    /// The UDP port of all shards. 0 lets the system choose.
    pub port: u16,
    /// The number of shards, each of which is a thread. 0 means one for every core but one.
    pub shards: usize,
    /// The port of the TCP listener, if [`serve_tcp`](crate::serve_tcp) has one.
    pub tcp: Option<TcpPort>,
    /// The addresses that candidates announce. If it is empty, the server announces this machine's
    /// own addresses.
    pub announce: Vec<Announced>,
    /// The most sessions of one shard.
    pub sessions: usize,
    /// A session ends after this long without a valid connectivity check (RFC 7675).
    pub consent: Duration,
    /// The longest time for which viewers hold frames back for repairs.
    pub repair_hold: Duration,
    /// The node's calendar, which gives sender reports their dates.
    pub calendar: Arc<Calendar>,
}

impl Config {
    /// Returns settings for tests and benches: one shard on a port of loopback that the system chooses.
    pub fn on_loopback(sessions: usize, calendar: Arc<Calendar>) -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            only_this_machine: false,
            port: 0,
            shards: 1,
            tcp: None,
            announce: Vec::new(),
            sessions,
            consent: Duration::from_secs(30),
            repair_hold: Duration::from_millis(700),
            calendar,
        }
    }
}
