//! What a shard knows of the sessions of others: their addresses, and the SSRCs of their publishers.
//!
//! An address is known if the shard of a session there has told it, which it does once the session has proved that it is there, and again with
//! each check. What is not told for [`KNOWN_FOR`] is forgotten. A guess is an address from which something came that named a shard. It proves
//! nothing. It leads the handshake of a new peer to its shard before there is a proof, and counts for as long as nobody is known there who is
//! still heard.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::transport::HEARD;

/// How long an address is known after the last note about it. Checks come every 5 s (RFC 7675 5.1).
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// How often addresses of which nothing was told for that long are looked for, and guesses grow old.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The most addresses of others, and the most SSRCs. A session has eight addresses at most, one as a rule, and each comes through one shard.
const KNOWN: usize = 1 << 16;
/// The most young guesses, and as many old ones.
const GUESSES: usize = 4096;

/// A shard that a datagram may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The shard has proved a session there, which is still heard.
    Known(usize),
    /// Something from there has named the shard.
    Guessed(usize),
    /// The shard had a session there that is not heard any more.
    Silent(usize),
}

/// The addresses and SSRCs of other shards.
#[derive(Debug)]
pub(super) struct Table {
    known: HashMap<SocketAddr, (usize, Instant)>,
    young: HashMap<SocketAddr, usize>,
    old: HashMap<SocketAddr, usize>,
    voices: HashMap<u32, usize>,
    look_at: Instant,
}

impl Table {
    pub(super) fn new(now: Instant) -> Self {
        let (known, voices) = (HashMap::new(), HashMap::new());
        Self { known, young: HashMap::new(), old: HashMap::new(), voices, look_at: now + LOOK_EVERY }
    }

    /// Returns whose an address is.
    pub(super) fn of(&self, address: SocketAddr, now: Instant) -> Option<Of> {
        let known = self.known.get(&address);
        match known {
            Some((shard, told)) if now.saturating_duration_since(*told) < HEARD => Some(Of::Known(*shard)),
            _ => {
                let silent = known.map(|(shard, _)| Of::Silent(*shard));
                self.guess(address).map(Of::Guessed).or(silent)
            }
        }
    }

    /// Returns the shard that something from an address has named last.
    pub(super) fn guess(&self, address: SocketAddr) -> Option<usize> {
        if self.young.is_empty() && self.old.is_empty() {
            return None; // As a rule. It is asked for each datagram.
        }
        self.young.get(&address).or_else(|| self.old.get(&address)).copied()
    }

    /// Returns the shard that has told of an address, however long ago.
    pub(super) fn told(&self, address: SocketAddr) -> Option<usize> {
        self.known.get(&address).map(|(shard, _)| *shard)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Notes that a shard has a session that has proved that it is at an address. A guess has served its time.
    pub(super) fn here(&mut self, address: SocketAddr, shard: usize, now: Instant) {
        if self.known.len() < KNOWN || self.known.contains_key(&address) {
            self.known.insert(address, (shard, now));
            self.forget_guess(address);
        }
    }

    /// Notes that a shard has none there any more.
    pub(super) fn gone(&mut self, address: SocketAddr, shard: usize) {
        if self.told(address) == Some(shard) {
            self.known.remove(&address);
        }
    }

    /// Forgets an address, which is one of this shard.
    pub(super) fn forget(&mut self, address: SocketAddr) {
        self.known.remove(&address);
        self.forget_guess(address);
    }

    /// Forgets what was guessed of an address.
    pub(super) fn forget_guess(&mut self, address: SocketAddr) {
        self.young.remove(&address);
        self.old.remove(&address);
    }

    /// Guesses that an address is of a shard.
    pub(super) fn suppose(&mut self, address: SocketAddr, shard: usize) {
        if self.young.len() >= GUESSES {
            self.age();
        }
        self.young.insert(address, shard);
    }

    /// Notes that a shard has a publisher that sends from an SSRC. Of two shards the first counts.
    pub(super) fn speaks(&mut self, ssrc: u32, shard: usize) {
        if self.voices.len() < KNOWN {
            self.voices.entry(ssrc).or_insert(shard);
        }
    }

    /// Notes that it has none any more.
    pub(super) fn silent(&mut self, ssrc: u32, shard: usize) {
        if self.voices.get(&ssrc) == Some(&shard) {
            self.voices.remove(&ssrc);
        }
    }

    /// Returns the shard with a publisher that sends from an SSRC.
    pub(super) fn voice(&self, ssrc: u32) -> Option<usize> {
        self.voices.get(&ssrc).copied()
    }

    /// Forgets all that a shard has told, whose sessions are lost.
    pub(super) fn forget_shard(&mut self, shard: usize) {
        self.known.retain(|_, (known, _)| *known != shard);
        self.voices.retain(|_, known| *known != shard);
    }

    /// Forgets what is old. Call it each turn.
    pub(super) fn look(&mut self, now: Instant) {
        if self.look_at <= now {
            self.look_at = now + LOOK_EVERY;
            self.known.retain(|_, (_, told)| now.saturating_duration_since(*told) < KNOWN_FOR);
            self.age();
        }
    }

    fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> SocketAddr {
        ([203, 0, (number >> 16) as u8, 7], number as u16).into()
    }

    #[test]
    fn what_is_told_goes_before_a_guess_until_it_is_not_heard_any_more() {
        let now = Instant::now();
        let mut table = Table::new(now);
        assert_eq!(table.of(address(1), now), None);
        table.suppose(address(1), 3);
        assert_eq!(table.of(address(1), now), Some(Of::Guessed(3)));
        table.here(address(1), 2, now);
        assert_eq!((table.of(address(1), now), table.guess(address(1))), (Some(Of::Known(2)), None));
        table.suppose(address(1), 3);
        let later = now + HEARD;
        assert_eq!(table.of(address(1), later - Duration::from_millis(1)), Some(Of::Known(2)));
        assert_eq!(table.of(address(1), later), Some(Of::Guessed(3)));
        table.forget_guess(address(1));
        assert_eq!(table.of(address(1), later), Some(Of::Silent(2)));
        table.gone(address(1), 3);
        assert_eq!(table.told(address(1)), Some(2), "another shard cannot say so");
        table.gone(address(1), 2);
        assert_eq!(table.of(address(1), now), None);
    }

    #[test]
    fn an_address_is_forgotten_when_nothing_is_told_of_it_any_more() {
        let mut now = Instant::now();
        let mut table = Table::new(now);
        table.here(address(1), 1, now);
        table.here(address(2), 1, now);
        for _ in 0..12 {
            now += LOOK_EVERY / 2;
            table.here(address(1), 1, now);
            table.look(now);
        }
        assert_eq!((table.told(address(1)), table.told(address(2))), (Some(1), None));
        table.suppose(address(3), 1);
        for is_there in [true, false] {
            now += LOOK_EVERY;
            table.look(now);
            assert_eq!(table.guess(address(3)).is_some(), is_there);
        }
    }

    #[test]
    fn a_flood_of_addresses_has_a_bound_and_takes_nothing_from_those_that_are_known() {
        let now = Instant::now();
        let mut table = Table::new(now);
        table.here(address(0), 1, now);
        for number in 1..3 * GUESSES {
            table.suppose(address(number), 2);
        }
        assert!(table.young.len() <= GUESSES && table.old.len() <= GUESSES);
        assert_eq!(table.of(address(0), now), Some(Of::Known(1)));
        assert_eq!(table.guess(address(3 * GUESSES - 1)), Some(2));
        for number in 0..2 * KNOWN {
            table.here(address(number), 2, now);
            table.speaks(number as u32, 2);
        }
        assert_eq!((table.known.len(), table.voices.len()), (KNOWN, KNOWN));
    }

    #[test]
    fn an_ssrc_leads_to_the_first_shard_that_has_it_and_to_none_when_that_is_lost() {
        let mut table = Table::new(Instant::now());
        table.speaks(7, 1);
        table.speaks(7, 2);
        table.silent(7, 2);
        assert_eq!((table.voice(7), table.voice(8)), (Some(1), None));
        table.here(address(1), 1, Instant::now());
        table.forget_shard(1);
        assert_eq!((table.voice(7), table.told(address(1))), (None, None));
    }
}
