//! Media from an address that no session is known under, as behind a NAT that gives a publisher another port.
//!
//! An SSRC names the publishers that have sent from it. It proves nothing: the packet counts only if it authenticates with the keys of
//! such a session. Where media goes is another matter, which the session's peer decides.

use std::collections::BTreeSet;
use std::time::Instant;

use super::neighbours::Change;
use super::{Core, Outbox, Route};
use crate::transport::stated_ssrc;

/// The most sessions that a packet is tried with. SSRCs are random, so a second publisher with the same one is rare (RFC 3550 8.1).
const TRIED: usize = 4;

/// The keys of publishers by the SSRCs of their RTP packets. The SSRCs of one are as many as its keys may open.
#[derive(Default)]
pub(super) struct Speakers {
    known: BTreeSet<(u32, usize)>,
    /// The SSRCs that have come and gone since the driver asked.
    pub(super) changes: Vec<Change>,
}

impl Speakers {
    /// Notes the SSRC of an RTP packet that has authenticated. `known` are those of the session so far.
    pub(super) fn note(&mut self, packet: &[u8], key: usize, known: &mut Vec<u32>) {
        if let Some(ssrc) = stated_ssrc(packet).filter(|ssrc| !known.contains(ssrc)) {
            known.push(ssrc);
            if !self.has(ssrc) {
                self.changes.push(Change::Speaks(ssrc));
            }
            self.known.insert((ssrc, key));
        }
    }

    /// Forgets the SSRCs of a session.
    pub(super) fn forget(&mut self, known: &[u32], key: usize) {
        for ssrc in known {
            self.known.remove(&(*ssrc, key));
            if !self.has(*ssrc) {
                self.changes.push(Change::Silent(*ssrc));
            }
        }
    }

    /// Returns whether a publisher sends from this SSRC.
    pub(super) fn has(&self, ssrc: u32) -> bool {
        self.keys(ssrc).next().is_some()
    }

    /// Returns the SSRCs of all publishers. One of two publishers is there twice.
    pub(super) fn ssrcs(&self) -> impl Iterator<Item = u32> {
        self.known.iter().map(|(ssrc, _)| *ssrc)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns the sessions that a datagram of media may be of.
    fn of(&self, datagram: &[u8]) -> Vec<usize> {
        stated_ssrc(datagram).into_iter().flat_map(|ssrc| self.keys(ssrc).take(TRIED)).collect()
    }

    fn keys(&self, ssrc: u32) -> impl Iterator<Item = usize> {
        self.known.range((ssrc, 0)..=(ssrc, usize::MAX)).map(|(_, key)| *key)
    }
}

impl Core {
    /// Takes a datagram from an address that no session is known under. The session that it authenticates with is known there from now on.
    pub(super) fn handle_stray(&mut self, now: Instant, from: Route, datagram: &[u8], out: &mut impl Outbox) {
        for key in self.speakers.of(datagram) {
            let mut copy = datagram.to_vec(); // A packet that does not authenticate is spoilt.
            if self.handle_in_session(now, key, from, &mut copy, out).is_ok() {
                self.metrics.new_addresses.increment(1);
                if self.sessions.contains(key) {
                    self.claim(now, from, key);
                }
                return;
            }
        }
        self.metrics.unknown.increment(1);
    }
}
