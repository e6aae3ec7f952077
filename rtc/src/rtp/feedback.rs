//! Incoming RTCP, parsed without allocation (RFC 3550 6, RFC 4585 6, RFC 3611 4.4, REMB and transport-cc drafts).
//!
//! One datagram may hold several packets. Unknown packets are passed over. The first broken packet ends the parsing.
//! The length of a datagram bounds the work that it can cause.

use std::time::Duration;

use onmic_media::Date;

use super::ntp::Ntp;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;
const REFERENCE_TIME: u8 = 4;
/// The block of an extended report that answers reference times.
const ANSWER: u8 = 5;
const NACK: u8 = 1;
const TRANSPORT_CC: u8 = 15;
const PICTURE_LOSS: u8 = 1;
const FULL_INTRA: u8 = 4;
const APPLICATION: u8 = 15;

/// One statement of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback<'a> {
    /// A sender states its clocks.
    Sender(SenderInformation),
    /// A receiver reports on one of our streams.
    Reception(ReceptionBlock),
    /// A receiver states its clock, to be told how long that was ago.
    Reference(ReferenceTime),
    /// Packets of a stream are missing.
    Nack(Nack<'a>),
    /// A decoder of this stream needs a keyframe (PLI, FIR).
    KeyframeWanted {
        /// The stream.
        ssrc: u32,
    },
    /// The receiver estimates the bitrate that the path carries (REMB).
    Bitrate {
        /// The bitrate in bits per second.
        bps: u64,
    },
    /// The receiver sends transport-wide feedback, of which this is a summary.
    Transport {
        /// The number of the first packet that is reported on.
        base: u16,
        /// The number of packets that are reported on.
        packets: u16,
    },
    /// A sender answers a reference time of a receiver (RFC 3611 4.5).
    Answer(ReferenceAnswer),
    /// A stream ends.
    Goodbye {
        /// The stream.
        ssrc: u32,
    },
}

/// The clocks of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInformation {
    /// The sender's stream.
    pub ssrc: u32,
    /// The sender's wall clock, in NTP format.
    pub ntp: u64,
    /// The same moment on the stream's clock.
    pub timestamp: u32,
}

/// The clock of a receiver (RFC 3611 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceTime {
    /// The SSRC of the receiver.
    pub ssrc: u32,
    /// The middle 32 bits of its NTP time.
    pub middle: u32,
}

/// A report block (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceptionBlock {
    /// The stream that the block is about.
    pub ssrc: u32,
    /// The fraction of packets lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// The number of packets lost since the beginning. It is negative if there are more duplicates than losses.
    pub cumulative_lost: i32,
    /// The rollovers and the highest sequence number received.
    pub highest_sequence: u32,
    /// The jitter, in timestamp units.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report, or 0 if none came.
    pub last_sender_report: u32,
    /// The time from receiving that report to sending this block, in 1/65536 s.
    pub delay: u32,
}

impl ReceptionBlock {
    /// Returns the round trip, if the block answers a sender report. `now` is dated as the report was.
    pub fn round_trip(&self, now: Date) -> Option<Duration> {
        round_trip((now.ntp() >> 16) as u32, self.last_sender_report, self.delay)
    }
}

/// The answer to a reference time (DLRR, RFC 3611 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceAnswer {
    /// The receiver that sent the reference time.
    pub ssrc: u32,
    /// The middle 32 bits of that time.
    pub reference: u32,
    /// The time from receiving it to sending this, in 1/65536 s.
    pub delay: u32,
}

impl ReferenceAnswer {
    /// Returns the round trip. `now` is on the clock of the reference time.
    pub fn round_trip(&self, now: Ntp) -> Option<Duration> {
        round_trip((now.0 >> 16) as u32, self.reference, self.delay)
    }
}

/// Returns the time between two moments that was not a delay of the peer, all in 1/65536 s.
fn round_trip(now: u32, then: u32, delay: u32) -> Option<Duration> {
    let units = now.wrapping_sub(then).wrapping_sub(delay);
    let rtt = Duration::from_micros((u64::from(units) * 1_000_000) >> 16);
    // More than 30 s, or less than zero and thus near 2³², comes from a wrong clock or a hostile peer.
    (then != 0 && rtt < Duration::from_secs(30)).then_some(rtt)
}

/// Missing packets of a stream (RFC 4585 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// The stream.
    pub ssrc: u32,
    pairs: &'a [u8],
}

impl<'a> Nack<'a> {
    /// Returns the sequence numbers of the missing packets: at most 17 for every four bytes received.
    pub fn lost(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.pairs.chunks_exact(4).flat_map(|pair| {
            let first = u16::from_be_bytes([pair[0], pair[1]]);
            let following = u16::from_be_bytes([pair[2], pair[3]]);
            let later =
                (0..16).filter(move |bit| following >> bit & 1 == 1).map(move |bit| first.wrapping_add(bit + 1));
            std::iter::once(first).chain(later)
        })
    }
}

/// A datagram held a packet that is not RTCP. The packets before it were visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTCP")]
pub struct Malformed;

/// Visits every statement of a datagram.
pub fn read(mut datagram: &[u8], mut visit: impl FnMut(Feedback<'_>)) -> Result<(), Malformed> {
    while !datagram.is_empty() {
        let (&[first, packet_type, l1, l0], rest) = datagram.split_first_chunk::<4>().ok_or(Malformed)?;
        if first >> 6 != 2 {
            return Err(Malformed);
        }
        let length = usize::from(u16::from_be_bytes([l1, l0])) * 4;
        let (mut body, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        if first & 0x20 != 0 {
            let padding = usize::from(*body.last().ok_or(Malformed)?);
            body = body.get(..body.len().checked_sub(padding).ok_or(Malformed)?).ok_or(Malformed)?;
        }
        read_packet(first & 0x1f, packet_type, body, &mut visit)?;
        datagram = rest;
    }
    Ok(())
}

fn read_packet(count: u8, packet_type: u8, body: &[u8], visit: &mut impl FnMut(Feedback<'_>)) -> Result<(), Malformed> {
    match (packet_type, count) {
        (SENDER_REPORT, _) => {
            let (information, blocks) = body.split_at_checked(24).ok_or(Malformed)?;
            let ntp = u64::from(word(information, 1)) << 32 | u64::from(word(information, 2));
            let ssrc = word(information, 0);
            visit(Feedback::Sender(SenderInformation { ssrc, ntp, timestamp: word(information, 3) }));
            read_blocks(count, blocks, visit)
        }
        (RECEIVER_REPORT, _) => read_blocks(count, body.get(4..).ok_or(Malformed)?, visit),
        (GOODBYE, _) => {
            let sources = body.get(..usize::from(count) * 4).ok_or(Malformed)?;
            sources.chunks_exact(4).for_each(|source| visit(Feedback::Goodbye { ssrc: word(source, 0) }));
            Ok(())
        }
        (TRANSPORT_FEEDBACK | PAYLOAD_FEEDBACK, _) => {
            let (ssrcs, information) = body.split_at_checked(8).ok_or(Malformed)?;
            read_feedback(packet_type, count, word(ssrcs, 1), information, visit)
        }
        (EXTENDED_REPORT, _) => read_extended(body, visit),
        _ => Ok(()),
    }
}

fn read_blocks(count: u8, blocks: &[u8], visit: &mut impl FnMut(Feedback<'_>)) -> Result<(), Malformed> {
    let blocks = blocks.get(..usize::from(count) * 24).ok_or(Malformed)?;
    for block in blocks.chunks_exact(24) {
        let lost = word(block, 1);
        visit(Feedback::Reception(ReceptionBlock {
            ssrc: word(block, 0),
            fraction_lost: (lost >> 24) as u8,
            cumulative_lost: ((lost << 8) as i32) >> 8,
            highest_sequence: word(block, 2),
            jitter: word(block, 3),
            last_sender_report: word(block, 4),
            delay: word(block, 5),
        }));
    }
    Ok(())
}

fn read_extended(body: &[u8], visit: &mut impl FnMut(Feedback<'_>)) -> Result<(), Malformed> {
    let (ssrc, mut blocks) = body.split_first_chunk::<4>().ok_or(Malformed)?;
    while let Some((&[kind, _, l1, l0], rest)) = blocks.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([l1, l0])) * 4;
        let (block, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        if let (REFERENCE_TIME, Some(ntp)) = (kind, block.first_chunk::<8>()) {
            let middle = (u64::from_be_bytes(*ntp) >> 16) as u32;
            visit(Feedback::Reference(ReferenceTime { ssrc: u32::from_be_bytes(*ssrc), middle }));
        }
        for answer in block.chunks_exact(12).filter(|_| kind == ANSWER) {
            let (ssrc, reference, delay) = (word(answer, 0), word(answer, 1), word(answer, 2));
            visit(Feedback::Answer(ReferenceAnswer { ssrc, reference, delay }));
        }
        blocks = rest;
    }
    Ok(())
}

fn read_feedback(
    packet_type: u8,
    format: u8,
    ssrc: u32,
    information: &[u8],
    visit: &mut impl FnMut(Feedback<'_>),
) -> Result<(), Malformed> {
    match (packet_type, format) {
        (TRANSPORT_FEEDBACK, NACK) => visit(Feedback::Nack(Nack { ssrc, pairs: information })),
        (TRANSPORT_FEEDBACK, TRANSPORT_CC) => {
            let &[b1, b0, c1, c0] = information.first_chunk::<4>().ok_or(Malformed)?;
            let (base, packets) = (u16::from_be_bytes([b1, b0]), u16::from_be_bytes([c1, c0]));
            visit(Feedback::Transport { base, packets });
        }
        (PAYLOAD_FEEDBACK, PICTURE_LOSS) => visit(Feedback::KeyframeWanted { ssrc }),
        (PAYLOAD_FEEDBACK, FULL_INTRA) => {
            for entry in information.chunks_exact(8) {
                visit(Feedback::KeyframeWanted { ssrc: word(entry, 0) });
            }
        }
        (PAYLOAD_FEEDBACK, APPLICATION) if information.starts_with(b"REMB") => {
            let &[_, exponent, m1, m0] = information.get(4..).and_then(<[u8]>::first_chunk::<4>).ok_or(Malformed)?;
            let mantissa = u64::from(exponent & 3) << 16 | u64::from(m1) << 8 | u64::from(m0);
            let bps = mantissa.saturating_mul(1 << (exponent >> 2));
            visit(Feedback::Bitrate { bps });
        }
        _ => {}
    }
    Ok(())
}

/// Returns the 32-bit word at `index`. The caller has checked that it is there.
fn word(bytes: &[u8], index: usize) -> u32 {
    bytes.get(index * 4..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
