//! How much of what comes from unknown addresses is handed to other shards.
//!
//! A stranger can name any shard, so without a limit a flood at one shard would be one at all. There is a limit for all strangers together, and
//! one for each network, so that a flood from one place keeps nobody else out. Networks share a limit where their hashes meet, which nobody
//! outside can choose.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use onmic_media::bucket::Bucket;

/// How many datagrams of strangers all shards together hand over in a second, and at once. A thousand viewers who come within a second send
/// about ten each before their addresses are known. It takes a microsecond to look at one and drop it.
const ALL: (f64, f64) = (20_000.0, 10_000.0);
/// The part of it that one network may have.
const PART: f64 = 0.25;
/// The number of limits for networks.
const NETWORKS: usize = 256;

/// The limits of one shard.
#[derive(Debug)]
pub(super) struct Strangers {
    all: Bucket,
    networks: Box<[Bucket]>,
    hasher: RandomState,
}

impl Strangers {
    /// Makes the limits of one of `shards`.
    pub(super) fn new(shards: usize, now: Instant) -> Self {
        let each = |amount: f64| amount / shards.max(1) as f64;
        let all = Bucket::new(each(ALL.0), each(ALL.1), now);
        let network = Bucket::new(each(ALL.0) * PART, each(ALL.1) * PART, now);
        Self { all, networks: vec![network; NETWORKS].into(), hasher: RandomState::new() }
    }

    /// Returns whether one more datagram from this address may be handed over.
    pub(super) fn may_pass(&mut self, from: IpAddr, now: Instant) -> bool {
        let at = self.hasher.hash_one(network(from)) as usize % self.networks.len();
        self.networks[at].try_take(1.0, now).is_ok() && self.all.try_take(1.0, now).is_ok()
    }
}

/// Returns what names the network of an address: the address of IPv4, or the first 64 bits of IPv6.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn passed(strangers: &mut Strangers, from: IpAddr, count: usize, now: Instant) -> usize {
        (0..count).filter(|_| strangers.may_pass(from, now)).count()
    }

    #[test]
    fn a_flood_from_one_network_keeps_nobody_else_out() {
        let now = Instant::now();
        let mut strangers = Strangers::new(2, now);
        let flood: IpAddr = [198, 51, 100, 9].into();
        assert_eq!(passed(&mut strangers, flood, 100_000, now), 1250);
        let at = |ip: IpAddr| strangers.hasher.hash_one(network(ip)) as usize % NETWORKS;
        let other = (0..=255).map(|last| IpAddr::from([203, 0, 113, last])).find(|ip| at(*ip) != at(flood)).unwrap();
        assert_eq!(passed(&mut strangers, other, 500, now), 500);
        assert_eq!(passed(&mut strangers, flood, 100_000, now + Duration::from_secs(1)), 1250, "refilled to its burst");
    }

    #[test]
    fn all_networks_together_have_a_limit() {
        let now = Instant::now();
        let mut strangers = Strangers::new(4, now);
        let everywhere = (0..1 << 16).map(|number: u32| IpAddr::from((198 << 24 | number).to_be_bytes()));
        let passed = everywhere.filter(|from| strangers.may_pass(*from, now)).count();
        assert_eq!(passed, 2500);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_its_limit() {
        let [one, other, far] =
            ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        assert_eq!(network(one), network(other));
        assert_ne!(network(one), network(far));
        assert_eq!(network([192, 0, 2, 1].into()), network("::ffff:192.0.2.1".parse().unwrap()));
    }
}
