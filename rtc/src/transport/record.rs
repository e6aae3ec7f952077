//! DTLS 1.2 records and handshake messages on the wire (RFC 6347 4.1, 4.2): split, joined, framed.
//!
//! `rtc-dtls` joins fragments itself, but recursively and without a cap on their number, and it takes every handshake
//! record as progress. Therefore it gets each plaintext handshake message from here: once, in order, whole, in a record
//! of its own.

use std::borrow::Cow;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;

const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;
const VERSION: [u8; 2] = [0xfe, 0xfd];

/// The most bytes of a handshake message. A chain of a few RSA certificates has less than 5 kB, and a ClientHello with
/// post-quantum keys 1.5 kB.
const MESSAGE_BYTES: usize = 8192;
/// The most messages ahead of the next one that are kept: a flight has at most five.
const MESSAGES_AHEAD: u16 = 8;
/// The most messages of one side in a handshake: a client has two hellos, a certificate and two that prove it.
/// `rtc-dtls` keeps every message that it gets.
const MESSAGES: u16 = 16;
const GAPS: usize = 16;

/// One record of a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'d> {
    pub(super) kind: u8,
    pub(super) epoch: u16,
    /// The record with its header.
    pub(super) whole: &'d [u8],
}

impl<'d> Record<'d> {
    pub(super) fn body(&self) -> &'d [u8] {
        &self.whole[RECORD_HEADER..]
    }
}

/// Returns the records of a datagram, up to the first that does not parse.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.get(..RECORD_HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        if header[1] != VERSION[0] || length == 0 {
            return None;
        }
        let whole = rest.get(..RECORD_HEADER + length)?;
        rest = &rest[RECORD_HEADER + length..];
        Some(Record { kind: whole[0], epoch: u16::from_be_bytes([whole[3], whole[4]]), whole })
    })
}

/// The beginning of a record that a datagram ended in.
///
/// A record does not go on in the next datagram (RFC 6347 4.1.1). But a sender that reads its records from a buffer in pieces of 1500
/// bytes cuts those of a flight with a large certificate, as aiortc 1.16 does with RSA of 4096 bits.
#[derive(Debug, Default)]
pub(super) struct Cut(Vec<u8>);

impl Cut {
    /// Returns whether the next datagram may begin with the rest of a record.
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// Puts the beginning that was kept in front of a datagram, unless that begins with a record, and keeps what it ends in.
    pub(super) fn join<'d>(&mut self, datagram: &'d [u8]) -> Cow<'d, [u8]> {
        let begun = std::mem::take(&mut self.0);
        let joined = if begun.is_empty() || is_begun(datagram) {
            Cow::Borrowed(datagram)
        } else {
            Cow::Owned([&begun[..], datagram].concat())
        };
        let whole = records(&joined).map(|record| record.whole.len()).sum();
        if is_begun(&joined[whole..]) {
            self.0 = joined[whole..].to_vec();
        }
        joined
    }
}

/// Returns whether these bytes may be the beginning of a record of a handshake that is not larger than a message.
fn is_begun(bytes: &[u8]) -> bool {
    let length =
        bytes.get(11..RECORD_HEADER).map_or(1, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    let version = bytes.get(1..).unwrap_or_default();
    matches!(bytes.first(), Some(&(CHANGE_CIPHER_SPEC | HANDSHAKE)))
        && version.iter().zip(VERSION).take(1).all(|(stated, ours)| *stated == ours)
        && (1..=MESSAGE_BYTES).contains(&length)
}

/// Gives the plaintext records of a datagram new numbers, so that a record that is sent again is not taken for a
/// replay. Epoch 0 authenticates nothing, and the transcript of the handshake has no record numbers.
pub(super) fn renumber(datagram: &mut [u8], next: &mut u64) {
    let mut at = 0;
    while let Some(header) = datagram.get_mut(at..at + RECORD_HEADER) {
        if header[3..5] == [0, 0] {
            header[5..11].copy_from_slice(&next.to_be_bytes()[2..]);
            *next += 1;
        }
        at += RECORD_HEADER + usize::from(u16::from_be_bytes([header[11], header[12]]));
    }
}

/// A whole handshake message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) sequence: u16,
    body: Vec<u8>,
}

impl Message {
    pub(super) const CLIENT_HELLO: u8 = 1;

    /// Writes one plaintext record with the whole message.
    pub(super) fn framed(&self, record: u64) -> Vec<u8> {
        let length = (self.body.len() as u32).to_be_bytes(); // At most MESSAGE_BYTES.
        let mut out = Vec::with_capacity(RECORD_HEADER + MESSAGE_HEADER + self.body.len());
        out.push(HANDSHAKE);
        out.extend_from_slice(&VERSION);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&record.to_be_bytes()[2..]);
        out.extend_from_slice(&((MESSAGE_HEADER + self.body.len()) as u16).to_be_bytes());
        out.push(self.kind);
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0]);
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&self.body);
        out
    }
}

/// The outcome of fragments.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub(super) struct Taken {
    /// Whether the last fragment of a delivered message came again, which shows that the peer has not received our
    /// answer.
    pub(super) repeated: bool,
    /// Whether a fragment did not parse or was over a cap.
    pub(super) refused: bool,
    /// Whether a record came that nothing uses.
    pub(super) unused: bool,
}

impl Taken {
    pub(super) fn add(&mut self, other: Self) {
        self.repeated |= other.repeated;
        self.refused |= other.refused;
        self.unused |= other.unused;
    }
}

#[derive(Debug)]
struct Partial {
    message: Message,
    missing: Vec<(usize, usize)>, // Ascending ranges of the body.
}

/// Joins the fragments of one side's handshake messages and delivers them in order, once each.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    next: u16,
    partial: Vec<Partial>,
}

impl Joiner {
    /// Takes the body of one plaintext handshake record, which may hold several fragments.
    pub(super) fn take(&mut self, mut body: &[u8]) -> Taken {
        let mut taken = Taken::default();
        while !body.is_empty() {
            let Some((fragment, rest)) = Fragment::split(body) else {
                taken.refused = true;
                break;
            };
            body = rest;
            if fragment.sequence < self.next {
                taken.repeated |= fragment.is_last();
            } else if !self.add(&fragment) {
                taken.refused = true;
            }
        }
        taken
    }

    /// Returns the next message in order, once it is whole.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        let at = self
            .partial
            .iter()
            .position(|partial| partial.message.sequence == self.next && partial.missing.is_empty())?;
        self.next += 1;
        Some(self.partial.swap_remove(at).message)
    }

    fn add(&mut self, fragment: &Fragment<'_>) -> bool {
        let is_far = fragment.sequence >= MESSAGES || fragment.sequence - self.next >= MESSAGES_AHEAD;
        if is_far || fragment.total > MESSAGE_BYTES {
            return false;
        }
        let known = self.partial.iter().position(|partial| partial.message.sequence == fragment.sequence);
        let at = known.unwrap_or_else(|| {
            self.partial.push(Partial {
                message: Message { kind: fragment.kind, sequence: fragment.sequence, body: vec![0; fragment.total] },
                missing: if fragment.total == 0 { vec![] } else { vec![(0, fragment.total)] },
            });
            self.partial.len() - 1
        });
        self.partial[at].fill(fragment)
    }
}

impl Partial {
    fn fill(&mut self, fragment: &Fragment<'_>) -> bool {
        let (start, end) = (fragment.offset, fragment.offset + fragment.data.len());
        let body = &mut self.message.body;
        if fragment.kind != self.message.kind || fragment.total != body.len() || self.missing.len() > GAPS {
            return false;
        }
        body[start..end].copy_from_slice(fragment.data);
        self.missing = self
            .missing
            .iter()
            .flat_map(|&(from, to)| [(from, to.min(start)), (from.max(end), to)])
            .filter(|(from, to)| from < to)
            .collect();
        true
    }
}

struct Fragment<'d> {
    kind: u8,
    sequence: u16,
    total: usize,
    offset: usize,
    data: &'d [u8],
}

impl<'d> Fragment<'d> {
    fn split(body: &'d [u8]) -> Option<(Self, &'d [u8])> {
        let header = body.get(..MESSAGE_HEADER)?;
        let u24 =
            |at: usize| usize::from(header[at]) << 16 | usize::from(header[at + 1]) << 8 | usize::from(header[at + 2]);
        let (total, offset, length) = (u24(1), u24(6), u24(9));
        if offset + length > total || (length == 0 && total != 0) {
            return None;
        }
        let data = body.get(MESSAGE_HEADER..MESSAGE_HEADER + length)?;
        let sequence = u16::from_be_bytes([header[4], header[5]]);
        let fragment = Self { kind: header[0], sequence, total, offset, data };
        Some((fragment, &body[MESSAGE_HEADER + length..]))
    }

    fn is_last(&self) -> bool {
        self.offset + self.data.len() == self.total
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn fragment(sequence: u16, total: usize, offset: usize, data: &[u8]) -> Vec<u8> {
        let u24 = |number: usize| [(number >> 16) as u8, (number >> 8) as u8, number as u8];
        let mut out = vec![11];
        out.extend(u24(total));
        out.extend(sequence.to_be_bytes());
        out.extend(u24(offset));
        out.extend(u24(data.len()));
        out.extend(data);
        out
    }

    #[test]
    fn fragments_that_overlap_or_come_in_any_order_make_whole_messages() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            let bodies: Vec<Vec<u8>> =
                (0..3).map(|_| (0..random.random_range(1..400)).map(|_| random.random()).collect()).collect();
            let mut fragments = Vec::new();
            for (sequence, body) in bodies.iter().enumerate() {
                let mut at = 0;
                while at < body.len() {
                    let end = (at + random.random_range(20..120)).min(body.len());
                    let from = at.saturating_sub(random.random_range(0..5));
                    fragments.push(fragment(sequence as u16, body.len(), from, &body[from..end]));
                    at = end;
                }
            }
            fragments.shuffle(&mut random);
            let mut joiner = Joiner::default();
            let mut got = Vec::new();
            for fragment in fragments {
                assert_eq!(joiner.take(&fragment), Taken::default());
                got.extend(std::iter::from_fn(|| joiner.next_message()).map(|message| message.body));
            }
            assert_eq!(got, bodies);
        }
    }

    #[test]
    fn only_the_last_fragment_of_a_delivered_message_counts_as_a_repeat() {
        let mut joiner = Joiner::default();
        joiner.take(&fragment(0, 6, 0, b"abcdef"));
        assert!(joiner.next_message().is_some());
        assert!(!joiner.take(&fragment(0, 6, 0, b"abc")).repeated);
        assert!(joiner.take(&fragment(0, 6, 3, b"def")).repeated);
        assert_eq!(joiner.next_message(), None);
    }

    #[test]
    fn malformed_fragments_and_fragments_over_a_cap_are_refused() {
        let refused = Taken { refused: true, ..Taken::default() };
        let mut joiner = Joiner::default();
        assert_eq!(joiner.take(&fragment(0, MESSAGE_BYTES + 1, 0, b"a")), refused);
        assert_eq!(joiner.take(&fragment(MESSAGES_AHEAD, 1, 0, b"a")), refused);
        assert_eq!(joiner.take(&fragment(0, 2, 1, b"ab")), refused);
        assert_eq!(joiner.take(&fragment(0, 2, 0, b"")), refused);
        assert_eq!(joiner.take(b"short"), refused);
        assert!(joiner.partial.is_empty());
        // One-byte fragments with gaps between them: the number of gaps is capped.
        let results: Vec<_> = (0..100).map(|at| joiner.take(&fragment(0, 300, 1 + 3 * at, b"a")).refused).collect();
        assert_eq!(results.iter().filter(|refused| !**refused).count(), GAPS);
    }

    #[test]
    fn messages_past_the_cap_of_a_handshake_are_not_kept() {
        let mut joiner = Joiner::default();
        let mut delivered = 0;
        for sequence in 0..=u16::MAX {
            joiner.take(&fragment(sequence, 1, 0, b"a"));
            delivered += usize::from(joiner.next_message().is_some());
        }
        assert_eq!((delivered, joiner.partial.len()), (usize::from(MESSAGES), 0));
    }

    #[test]
    fn records_that_are_cut_are_joined_wherever_the_cuts_are() {
        let record = |kind: u8, length: u8| {
            [&[kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, length][..], &vec![7; length.into()][..]].concat()
        };
        let flight =
            [record(HANDSHAKE, 200), record(HANDSHAKE, 9), record(CHANGE_CIPHER_SPEC, 1), record(HANDSHAKE, 90)];
        let bytes = flight.concat();
        for size in 1..=bytes.len() {
            let mut cut = Cut::default();
            let joined: Vec<_> = bytes.chunks(size).map(|piece| cut.join(piece)).collect();
            let got: Vec<_> = joined.iter().flat_map(|joined| records(joined)).map(|record| record.whole).collect();
            assert_eq!((got, cut.is_open()), (flight.iter().map(Vec::as_slice).collect(), false), "{size}");
        }
        let mut cut = Cut::default();
        cut.join(&bytes[..100]);
        assert_eq!(records(&cut.join(&bytes)).count(), 4, "the flight is sent again");
        for nothing in [&[99; 300][..], &record(23, 99)[..50], &[HANDSHAKE, 3, 3], &record(HANDSHAKE, 0)] {
            cut.join(nothing);
            assert!(!cut.is_open(), "{nothing:?}");
        }
    }

    #[test]
    fn only_plaintext_records_are_renumbered() {
        let record = |epoch: u8| [22, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        let mut datagram = [record(0), record(1), record(0)].concat();
        let mut next = 7;
        renumber(&mut datagram, &mut next);
        let numbers: Vec<_> = records(&datagram).map(|record| record.whole[10]).collect();
        assert_eq!((numbers, next), (vec![7, 0, 8], 9));
    }

    #[test]
    fn a_framed_message_parses_to_the_same_message() {
        let message = Message { kind: 11, sequence: 3, body: vec![5; 700] };
        let datagram = message.framed(1);
        let mut joiner = Joiner { next: 3, partial: vec![] };
        let record = records(&datagram).next().unwrap();
        assert_eq!((record.kind, record.epoch), (HANDSHAKE, 0));
        joiner.take(record.body());
        assert_eq!(joiner.next_message(), Some(message));
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = StdRng::seed_from_u64(2);
        let (mut joiner, mut cut) = (Joiner::default(), Cut::default());
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..random.random_range(0..60)).map(|_| random.random_range(0..12)).collect();
            let _ = records(&bytes).count();
            let _ = cut.join(&bytes);
            assert!(cut.0.len() < RECORD_HEADER + MESSAGE_BYTES);
            renumber(&mut bytes, &mut 0);
            joiner.take(&bytes);
            while joiner.next_message().is_some() {}
        }
    }
}
