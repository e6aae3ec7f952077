//! The number of LL-HLS viewers: an estimate, because a shared cache may answer for this server.
//!
//! It counts the clients that asked for a playlist lately, by address and user agent. The count is bounded: a larger
//! crowd counts as the bound, and so do more user agents of one address, which anybody can make up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The most clients that are counted: 100,000 entries of about 100 bytes are 10 MB.
const VIEWERS_MAX: usize = 100_000;

/// The most clients that one address counts as. Viewers with the same browser behind one address count once in any case.
const AGENTS_MAX: u16 = 64;

#[derive(Debug, Default)]
pub(crate) struct Audience {
    hasher: RandomState,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The clients, by the hash of address and user agent.
    clients: HashMap<u64, Client>,
    /// How many of them each address has, by its hash.
    of_address: HashMap<u64, u16>,
}

#[derive(Debug)]
struct Client {
    address: u64,
    last: Instant,
}

impl Audience {
    pub(crate) fn note(&self, address: Option<IpAddr>, agent: &[u8], now: Instant) {
        let address = address.map(network);
        let (client, address) = (self.hasher.hash_one((address, agent)), self.hasher.hash_one(address));
        let Seen { clients, of_address } = &mut *self.seen.lock();
        if let Some(client) = clients.get_mut(&client) {
            client.last = now;
        } else if clients.len() < VIEWERS_MAX {
            let agents = of_address.entry(address).or_default();
            if *agents < AGENTS_MAX {
                *agents += 1;
                clients.insert(client, Client { address, last: now });
            }
        }
    }

    /// Counts the clients seen within `lately` and forgets the others.
    pub(crate) fn count(&self, lately: Duration, now: Instant) -> usize {
        let Seen { clients, of_address } = &mut *self.seen.lock();
        clients.retain(|_, client| {
            let stays = now.saturating_duration_since(client.last) <= lately;
            if !stays && let Some(agents) = of_address.get_mut(&client.address) {
                *agents -= 1;
                if *agents == 0 {
                    of_address.remove(&client.address);
                }
            }
            stays
        });
        if clients.capacity() > 1024 && clients.len() * 4 < clients.capacity() {
            clients.shrink_to_fit();
            of_address.shrink_to_fit();
        }
        clients.len()
    }
}

/// Returns the address as one that a client cannot choose: of IPv6 the first half.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_counts_once_and_only_for_a_while() {
        let audience = Audience::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let home = Some(IpAddr::from([192, 0, 2, 1]));
        audience.note(home, b"one", start);
        audience.note(home, b"one", start);
        audience.note(home, b"two", later);
        assert_eq!(audience.count(Duration::from_secs(12), later), 2);
        assert_eq!(audience.count(Duration::from_secs(3), later), 1);
    }

    #[test]
    fn an_address_that_changes_its_user_agent_counts_for_a_few_viewers_and_others_count_besides() {
        let (audience, start) = (Audience::default(), Instant::now());
        let note = |address: &str, agent: u32, now| {
            audience.note(Some(address.parse().unwrap()), &agent.to_be_bytes(), now);
        };
        for agent in 0..1000 {
            note("192.0.2.1", agent, start);
            note(&format!("2001:db8::{agent:x}"), agent, start);
        }
        note("192.0.2.2", 0, start);
        let most = usize::from(AGENTS_MAX);
        assert_eq!(audience.count(Duration::from_secs(12), start), 2 * most + 1);
        let later = start + Duration::from_secs(20);
        assert_eq!(audience.count(Duration::from_secs(12), later), 0);
        note("192.0.2.1", 2000, later);
        assert_eq!(audience.count(Duration::from_secs(12), later), 1, "its places are free again");
        assert_eq!(audience.seen.lock().of_address.len(), 1);
    }
}
