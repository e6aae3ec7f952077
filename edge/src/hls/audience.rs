//! The number of LL-HLS viewers: an estimate, because a shared cache may answer for this server.
//!
//! It counts the clients that asked for a playlist lately, by address and user agent. The count is bounded: a larger
//! crowd counts as the bound.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The most clients that are counted: 100,000 entries of about 40 bytes are 4 MB.
const VIEWERS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Audience {
    hasher: RandomState,
    seen: Mutex<HashMap<u64, Instant>>,
}

impl Audience {
    pub(crate) fn note(&self, address: Option<IpAddr>, agent: &[u8], now: Instant) {
        let viewer = self.hasher.hash_one((address, agent));
        let mut seen = self.seen.lock();
        if seen.len() < VIEWERS_MAX || seen.contains_key(&viewer) {
            seen.insert(viewer, now);
        }
    }

    /// Counts the clients seen within `lately` and forgets the others.
    pub(crate) fn count(&self, lately: Duration, now: Instant) -> usize {
        let mut seen = self.seen.lock();
        seen.retain(|_, last| now.saturating_duration_since(*last) <= lately);
        if seen.capacity() > 1024 && seen.len() * 4 < seen.capacity() {
            seen.shrink_to_fit();
        }
        seen.len()
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
}
