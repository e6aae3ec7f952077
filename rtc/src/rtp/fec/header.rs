//! The header of a FlexFEC packet (draft-ietf-payload-flexible-fec-scheme-03, 4.2.2), in the form that browsers have: one
//! protected stream, no retransmission (R = 0), and a mask that says which packets are covered (F = 0).
//!
//! ```text
//!  0                   1                   2                   3
//!  R F P X  CC    M  PT recovery         length recovery
//!                           TS recovery
//!   SSRCCount = 1                  reserved
//!                              SSRC
//!             SN base            k          mask 0-14
//!  k                         mask 15-45                      if the first k is 0
//!  k                         mask 46-108 (two words)         if the second k is 0
//! ```

/// The most packets that a mask covers.
pub(super) const MASK_BITS: u32 = 15 + 31 + 63;
const FIXED: usize = 18;

/// The XOR of what the headers of the covered packets say, and which packets they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovery {
    /// The first two bytes: the bits P, X, CC, M and PT. The upper two bits are 0.
    pub(super) bits: [u8; 2],
    /// The length of a packet without its first 12 bytes.
    pub(super) length: u16,
    pub(super) timestamp: u32,
    /// The protected stream.
    pub(super) ssrc: u32,
    /// The sequence number of the packet that bit 0 of the mask stands for.
    pub(super) base: u16,
    pub(super) mask: u128,
}

impl Recovery {
    /// Adds a packet: the first 12 bytes of its header, and the number of bytes after them.
    pub(super) fn add(&mut self, fixed: &[u8; 12], length: usize) {
        self.bits[0] ^= fixed[0] & 0x3f;
        self.bits[1] ^= fixed[1];
        self.length ^= length as u16; // A packet is shorter than 64 kB.
        self.timestamp ^= u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    }

    /// Appends the header. The mask has fewer than 47 bits.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.bits[0] & 0x3f, self.bits[1]]);
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&self.base.to_be_bytes());
        // The first packet of the mask is its highest bit on the wire.
        let first = ((self.mask as u16).reverse_bits()) >> 1;
        let second = ((self.mask >> 15) as u32).reverse_bits() >> 1;
        if second == 0 {
            out.extend_from_slice(&(first | 1 << 15).to_be_bytes());
        } else {
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&(second | 1 << 31).to_be_bytes());
        }
    }

    /// Parses the payload of a FlexFEC packet: the header, and the XOR of what follows the first 12 bytes of the covered
    /// packets. `None` if it is cut off, covers nothing, or has a form that is not used.
    pub(super) fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, rest) = payload.split_first_chunk::<FIXED>()?;
        if fixed[0] & 0xc0 != 0 || fixed[8] != 1 {
            return None;
        }
        let (first, mut rest) = rest.split_first_chunk::<2>()?;
        let first = u16::from_be_bytes(*first);
        let mut mask = u128::from((first << 1).reverse_bits());
        if first >> 15 == 0 {
            let (second, after) = rest.split_first_chunk::<4>()?;
            let second = u32::from_be_bytes(*second);
            mask |= u128::from((second << 1).reverse_bits()) << 15;
            rest = after;
            if second >> 31 == 0 {
                let (third, after) = rest.split_first_chunk::<8>()?;
                let third = u64::from_be_bytes(*third);
                if third >> 63 == 0 {
                    return None;
                }
                mask |= u128::from((third << 1).reverse_bits()) << 46;
                rest = after;
            }
        }
        let recovery = Self {
            bits: [fixed[0], fixed[1]],
            length: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]),
            base: u16::from_be_bytes([fixed[16], fixed[17]]),
            mask,
        };
        (mask != 0).then_some((recovery, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_bytes_of_the_draft() {
        let mut recovery = Recovery { ssrc: 0x0102_0304, base: 0x1122, mask: 0b101, ..Recovery::default() };
        recovery.add(&[0x90, 0xe0, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4], 300);
        let mut out = Vec::new();
        recovery.write(&mut out);
        assert_eq!(out, [0x10, 0xe0, 1, 44, 0, 0, 0, 9, 1, 0, 0, 0, 1, 2, 3, 4, 0x11, 0x22, 0xd0, 0]);
        recovery.mask = 1 << 14 | 1 << 15 | 1 << 45;
        out.clear();
        recovery.write(&mut out);
        assert_eq!(out[18..], [0x00, 0x01, 0xc0, 0, 0, 1]);
    }

    #[test]
    fn a_written_header_parses_to_the_same_values() {
        for mask in [1, 0x7fff, 1 << 14, 1 << 15, 1 << 45, (1_u128 << 46) - 1] {
            let recovery = Recovery { bits: [0x3f, 0xff], length: 7, timestamp: 8, ssrc: 9, base: 65_535, mask };
            let mut out = Vec::new();
            recovery.write(&mut out);
            out.extend([1, 2, 3]);
            assert_eq!(Recovery::parse(&out), Some((recovery, &[1, 2, 3][..])));
        }
    }

    #[test]
    fn the_longest_mask_is_parsed() {
        let mut payload = vec![0; FIXED];
        payload[8] = 1;
        payload.extend([0, 0, 0, 0, 0, 0]);
        payload.extend([0xc0, 0, 0, 0, 0, 0, 0, 1]);
        let (recovery, rest) = Recovery::parse(&payload).unwrap();
        assert_eq!((recovery.mask, rest.len()), (1 << 46 | 1 << (MASK_BITS - 1), 0));
    }

    #[test]
    fn other_forms_and_pieces_are_refused() {
        let mut good = Vec::new();
        Recovery { mask: 1 << 20, ..Recovery::default() }.write(&mut good);
        assert!(Recovery::parse(&good).is_some());
        for end in 0..good.len() {
            assert_eq!(Recovery::parse(&good[..end]), None);
        }
        for (at, value) in [(0, 0x80), (0, 0x40), (8, 0), (8, 2)] {
            let mut other = good.clone();
            other[at] = value;
            assert_eq!(Recovery::parse(&other), None);
        }
        good[18] = 0x80;
        assert_eq!(Recovery::parse(&good), None, "it covers nothing");
    }
}
