//! Writes frames of silence in AAC (ISO/IEC 14496-3, 4.4.2): elements whose spectrum is empty (`max_sfb` 0).
//!
//! Silence fills the holes of audio that was lost or that stopped, because a player stalls when one of two tracks ends. HE-AAC
//! needs no more than its core has: a decoder raises the rate of a frame without spectral band replication data.

use bytes::Bytes;
use onmic_media::Parameters;

const SINGLE: u32 = 0;
const PAIR: u32 = 1;
const LOW: u32 = 3;
const END: u32 = 7;

/// Returns a frame of silence, or `None` if the layout of the channels has no number (table 1.19) or the codec is another.
pub(crate) fn frame(parameters: &Parameters) -> Option<Bytes> {
    let Parameters::Aac(aac) = parameters else { return None };
    let elements: &[u32] = match (aac.object_type, aac.channel_configuration) {
        (2 | 5 | 29, 1) => &[SINGLE],
        (2 | 5 | 29, 2) => &[PAIR],
        (2 | 5, 3) => &[SINGLE, PAIR],
        (2 | 5, 4) => &[SINGLE, PAIR, SINGLE],
        (2 | 5, 5) => &[SINGLE, PAIR, PAIR],
        (2 | 5, 6) => &[SINGLE, PAIR, PAIR, LOW],
        (2 | 5, 7) => &[SINGLE, PAIR, PAIR, PAIR, LOW],
        _ => return None,
    };
    Some(Bits::of(elements))
}

/// Bits, the most significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    /// Writes silent elements. Those of one kind are told apart by their tags.
    fn of(elements: &[u32]) -> Bytes {
        let mut bits = Self::default();
        for (at, element) in elements.iter().enumerate() {
            let tag = elements[..at].iter().filter(|other| *other == element).count();
            bits.put(*element, 3);
            bits.put(tag as u32, 4);
            if *element == PAIR {
                bits.put(1, 1); // common_window
                bits.put(0, 11); // ics_info, with max_sfb 0
                bits.put(0, 2); // ms_mask_present
                bits.channel();
                bits.channel();
            } else {
                bits.put(0, 8); // global_gain
                bits.put(0, 11); // ics_info
                bits.put(0, 3); // No pulse, no temporal noise shaping, no gain control.
            }
        }
        bits.put(END, 3);
        bits.bytes.into()
    }

    /// Writes a channel whose `ics_info` was written for the pair.
    fn channel(&mut self) {
        self.put(0, 8); // global_gain
        self.put(0, 3); // No pulse, no temporal noise shaping, no gain control.
    }

    fn put(&mut self, value: u32, width: usize) {
        for bit in (0..width).rev() {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            self.bytes[self.count / 8] |= ((value >> bit & 1) as u8) << (7 - self.count % 8);
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::aac;

    use super::*;

    fn frame_of(channels: u8) -> Option<Bytes> {
        frame(&Parameters::Aac(aac::Parameters::low_complexity(48_000, channels).unwrap()))
    }

    #[test]
    fn every_layout_with_a_number_has_a_frame() {
        // SCE 000 0000, gain 8 bits, ics_info 11 bits, 000, END 111.
        assert_eq!(frame_of(1).unwrap()[..], [0, 0, 0, 0b0000_0111]);
        assert_eq!(frame_of(2).unwrap()[..], [0b0010_0001, 0, 0, 0, 0, 0b0001_1100]);
        let bits = |channels| frame_of(channels).unwrap().len() * 8;
        assert_eq!([3, 4, 5, 6, 8].map(bits), [80, 104, 120, 152, 192]);
    }

    #[test]
    fn a_layout_without_a_number_and_another_codec_have_none() {
        let asc = [0x11, 0x80, 0x04, 0xc8, 0x05, 0x00, 0x01, 0x19, 0x18, 0x00];
        assert_eq!(frame(&Parameters::Aac(aac::Parameters::from_asc(&asc).unwrap())), None);
    }
}
