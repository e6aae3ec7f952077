//! The part of the repair packets of one frame that all viewers share: the XOR of the payloads. It is completed for one
//! viewer by the headers of its packets.

use super::Protection;
use super::header::Recovery;
use super::masks::{blocks, masks};

/// The repair packets of one frame at one level of protection, without the headers.
#[derive(Clone, Debug, Default)]
pub struct Parities {
    parities: Box<[Parity]>,
}

/// One repair packet without the headers of a viewer.
#[derive(Clone, Debug)]
pub struct Parity {
    first: usize,
    end: usize,
    mask: u64,
    payload: Box<[u8]>,
}

impl Parities {
    /// Makes the repair packets of a frame with these payloads.
    pub(in crate::rtp) fn new<'p>(payloads: impl ExactSizeIterator<Item = &'p [u8]>, protection: Protection) -> Self {
        let payloads: Vec<_> = payloads.collect();
        let parities = blocks(payloads.len()).flat_map(|block| {
            let (first, end) = (block.first, block.first + block.packets);
            let payloads = &payloads[first..end];
            masks(block.packets, protection).map(move |mask| {
                let covered = || payloads.iter().enumerate().filter(move |(at, _)| mask >> at & 1 == 1);
                let longest = covered().map(|(_, payload)| payload.len()).max().unwrap_or(0);
                let mut payload = vec![0; longest].into_boxed_slice();
                covered().for_each(|(_, covered)| add(&mut payload, covered));
                Parity { first, end, mask, payload }
            })
        });
        Self { parities: parities.collect() }
    }

    /// Returns the repair packets that follow the packet at `index` of the frame: those of the block that it ends.
    pub fn after(&self, index: usize) -> impl Iterator<Item = &Parity> {
        self.parities.iter().filter(move |parity| parity.end == index + 1)
    }

    /// Returns all repair packets.
    pub fn iter(&self) -> impl Iterator<Item = &Parity> {
        self.parities.iter()
    }
}

impl Parity {
    /// Returns the index in the frame of the packet that comes first in its block.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Writes the payload of the repair packet for one viewer. `packets` are the marker and the length of the payload of each
    /// packet of the block and what follows it. `header` is what that viewer got in front of the first
    /// packet of the block, with the transport-wide number as 0: receivers take it out, because it is counted when a
    /// packet leaves. The headers of the other packets differ from it in the sequence number and the marker alone.
    pub(in crate::rtp) fn write(&self, packets: impl Iterator<Item = (bool, usize)>, header: &[u8], out: &mut Vec<u8>) {
        let Some((fixed, extensions)) = header.split_first_chunk::<12>() else { return };
        let sequence = u16::from_be_bytes([fixed[2], fixed[3]]);
        let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
        let mut recovery = Recovery { ssrc, base: sequence, mask: self.mask.into(), ..Recovery::default() };
        let covered = packets.take(self.end - self.first).enumerate();
        for (_, (marker, length)) in covered.filter(|(at, _)| self.mask >> at & 1 == 1) {
            let mut fixed = *fixed;
            fixed[1] = fixed[1] & 0x7f | u8::from(marker) << 7;
            recovery.add(&fixed, extensions.len() + length);
        }
        out.clear();
        recovery.write(out);
        if self.mask.count_ones() % 2 == 1 {
            out.extend_from_slice(extensions);
        } else {
            out.resize(out.len() + extensions.len(), 0);
        }
        out.extend_from_slice(&self.payload);
    }
}

/// Adds `other` to the front of `sum`, which is at least as long.
pub(super) fn add(sum: &mut [u8], other: &[u8]) {
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum ^= other);
}
