//! Outgoing RTCP, appended to a buffer (RFC 3550 6, RFC 4585 6, RFC 3611 4.5).

use onmic_media::Date;

use super::feedback::ReceptionBlock;
use super::ntp::Ntp;

/// The longest name in bytes, because its length has eight bits. Longer names are cut.
const CNAME_MAX: usize = 255;
/// The most blocks in one receiver report, and the most streams in one goodbye.
const BLOCKS_MAX: usize = 31;

/// Writes a sender report without report blocks. `date` and `timestamp` are the same moment. `sent` has the numbers of packets and payload bytes.
pub fn sender_report(out: &mut Vec<u8>, ssrc: u32, date: Date, timestamp: u32, sent: (u32, u32)) {
    header(out, 0, 200, 6);
    put(out, ssrc);
    out.extend_from_slice(&date.ntp().to_be_bytes());
    [timestamp, sent.0, sent.1].into_iter().for_each(|word| put(out, word));
}

/// Writes a receiver report. Blocks past the 31st are cut.
pub fn receiver_report(out: &mut Vec<u8>, ssrc: u32, blocks: &[ReceptionBlock]) {
    let blocks = &blocks[..blocks.len().min(BLOCKS_MAX)];
    header(out, blocks.len() as u8, 201, 1 + blocks.len() as u16 * 6);
    put(out, ssrc);
    for block in blocks {
        put(out, block.ssrc);
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        put(out, u32::from(block.fraction_lost) << 24 | lost);
        [block.highest_sequence, block.jitter, block.last_sender_report, block.delay]
            .into_iter()
            .for_each(|word| put(out, word));
    }
}

/// Writes a source description with the canonical name, which ties tracks of one participant together.
pub fn source_description(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    const CNAME: u8 = 1;
    let name = &cname.as_bytes()[..cname.len().min(CNAME_MAX)];
    let words = (2 + name.len() + 1).div_ceil(4); // Item header, name, and at least one zero byte.
    header(out, 1, 202, 1 + words as u16);
    put(out, ssrc);
    let end = out.len() + words * 4;
    out.extend_from_slice(&[CNAME, name.len() as u8]);
    out.extend_from_slice(name);
    out.resize(end, 0);
}

/// Writes how long ago receivers stated their clocks: each with its SSRC, the middle 32 bits of its NTP time, and the delay in
/// 1/65536 s. Receivers past the 31st are cut.
pub fn delay_since_reference(out: &mut Vec<u8>, ssrc: u32, receivers: &[(u32, u32, u32)]) {
    const DELAY_SINCE_REFERENCE: u32 = 5;
    let receivers = &receivers[..receivers.len().min(BLOCKS_MAX)];
    let words = receivers.len() as u16 * 3;
    header(out, 0, 207, 2 + words);
    put(out, ssrc);
    put(out, DELAY_SINCE_REFERENCE << 24 | u32::from(words));
    for (receiver, last, delay) in receivers {
        [*receiver, *last, *delay].into_iter().for_each(|word| put(out, word));
    }
}

/// Writes a goodbye of these streams. Streams past the 31st are cut.
pub fn goodbye(out: &mut Vec<u8>, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(BLOCKS_MAX)];
    header(out, ssrcs.len() as u8, 203, ssrcs.len() as u16);
    ssrcs.iter().for_each(|ssrc| put(out, *ssrc));
}

/// Writes a reference time, which a sender answers (RFC 3611 4.4). Peers that do not know extended reports pass over it.
pub fn reference_time(out: &mut Vec<u8>, ssrc: u32, time: Ntp) {
    const REFERENCE_TIME: u32 = 4;
    header(out, 0, 207, 4);
    put(out, ssrc);
    put(out, REFERENCE_TIME << 24 | 2);
    out.extend_from_slice(&time.0.to_be_bytes());
}

/// Writes a request for a keyframe of `media`.
pub fn picture_loss(out: &mut Vec<u8>, sender: u32, media: u32) {
    header(out, 1, 206, 2);
    put(out, sender);
    put(out, media);
}

/// Writes a request for missing packets of `media`, which are sorted in the order they were sent.
pub fn nack(out: &mut Vec<u8>, sender: u32, media: u32, lost: impl IntoIterator<Item = u16>) {
    let start = out.len();
    header(out, 1, 205, 0);
    put(out, sender);
    put(out, media);
    let mut pair: Option<(u16, u16)> = None;
    for sequence in lost {
        match &mut pair {
            Some((first, following)) if (1..=16).contains(&sequence.wrapping_sub(*first)) => {
                *following |= 1 << (sequence.wrapping_sub(*first) - 1);
            }
            _ => {
                put_pair(out, pair);
                pair = Some((sequence, 0));
            }
        }
    }
    put_pair(out, pair);
    finish(out, start);
}

/// Writes the length of the packet that began at `start` and reaches to the end. It is a multiple of four bytes.
pub(super) fn finish(out: &mut [u8], start: usize) {
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

pub(super) fn header(out: &mut Vec<u8>, count: u8, packet_type: u8, words: u16) {
    let [high, low] = words.to_be_bytes();
    out.extend_from_slice(&[0x80 | count, packet_type, high, low]);
}

pub(super) fn put(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

fn put_pair(out: &mut Vec<u8>, pair: Option<(u16, u16)>) {
    if let Some((first, following)) = pair {
        put(out, u32::from(first) << 16 | u32::from(following));
    }
}
