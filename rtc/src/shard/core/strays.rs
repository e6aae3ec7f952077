//! Media from an address that no session is known under, as behind a NAT that gives a publisher another port.
//!
//! An SSRC names the publishers that have sent from it. It proves nothing: the packet counts only if it authenticates with the keys of
//! such a session. Where media goes is another matter, which the session's peer decides.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Core, DatagramKind, Outbox, Route, classify};

/// The most sessions that a packet is tried with. SSRCs are random, so a second publisher with the same one is rare (RFC 3550 8.1).
const TRIED: usize = 4;

/// The keys of publishers by the SSRCs of their RTP packets. The SSRCs of one are as many as its keys may open.
#[derive(Default)]
pub(super) struct Speakers(BTreeSet<(u32, usize)>);

impl Speakers {
    /// Notes the SSRC of an RTP packet that has authenticated. `known` are those of the session so far.
    pub(super) fn note(&mut self, packet: &[u8], key: usize, known: &mut Vec<u32>) {
        if let Some(ssrc) = word(packet, 8).filter(|ssrc| !known.contains(ssrc)) {
            known.push(ssrc);
            self.0.insert((ssrc, key));
        }
    }

    /// Forgets the SSRCs of a session.
    pub(super) fn forget(&mut self, known: &[u32], key: usize) {
        for ssrc in known {
            self.0.remove(&(*ssrc, key));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the sessions that a datagram of media may be of.
    fn of(&self, datagram: &[u8]) -> Vec<usize> {
        let ssrc = match classify(datagram) {
            Some(DatagramKind::Rtp) => word(datagram, 8),
            Some(DatagramKind::Rtcp) => word(datagram, 4),
            Some(DatagramKind::Stun | DatagramKind::Dtls) | None => None,
        };
        let keys = ssrc.map(|ssrc| self.0.range((ssrc, 0)..=(ssrc, usize::MAX)).map(|(_, key)| *key).take(TRIED));
        keys.into_iter().flatten().collect()
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

/// Returns the four bytes of a datagram at `at` as a number.
fn word(datagram: &[u8], at: usize) -> Option<u32> {
    datagram.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
