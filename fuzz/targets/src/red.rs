//! A packet of redundant audio (RFC 2198): its blocks are pieces of it, and what is written from them is read again.

use onmic_rtc::rtp::red::{BLOCKS_MAX, Redundant, blocks};

/// Takes one input.
pub fn run(data: &[u8]) {
    let Some(read) = blocks(data) else { return };
    let read: Vec<_> = read.collect();
    assert!(read.len() <= BLOCKS_MAX);
    assert!(read.iter().map(|block| block.payload.len()).sum::<usize>() <= data.len());
    let Some((primary, earlier)) = read.split_last() else { return };
    let earlier = earlier.iter().rev().map(|block| (0_u32.wrapping_sub(block.offset), block.payload));
    let Some(redundant) = Redundant::new((0, primary.payload), earlier.clone(), data.len().max(64)) else { return };
    let mut out = Vec::new();
    redundant.write(111, &mut out);
    let again: Vec<_> = blocks(&out).expect("we read what we write").collect();
    assert_eq!(again.last().map(|block| block.payload), Some(primary.payload));
    for (block, (timestamp, payload)) in again.iter().rev().skip(1).zip(earlier) {
        assert_eq!((block.payload_type, block.payload), (111, payload));
        assert_eq!(block.offset, 0_u32.wrapping_sub(timestamp));
    }
}
