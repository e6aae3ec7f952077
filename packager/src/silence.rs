//! Writes frames of silence in AAC-LC (ISO/IEC 14496-3, 4.4.2): an element whose spectrum is empty (`max_sfb` 0).
//!
//! Silence fills the holes of audio that was lost or that stopped, because a player stalls when one of two tracks ends.

use bytes::Bytes;
use onmic_media::Parameters;

/// Returns a frame of silence, or `None` for other object types and for more than two channels.
pub(crate) fn frame(parameters: &Parameters) -> Option<Bytes> {
    let Parameters::Aac(aac) = parameters else { return None };
    match (aac.object_type, aac.channels) {
        // SCE: id 000, tag 0000, gain 8 bits, ics_info 0 00 0 000000 0, pulse 0, tns 0, gain control 0, END 111.
        (2, 1) => Some(Bytes::from_static(&SINGLE)),
        // CPE: id 001, tag 0000, common window 1, ics_info as above, ms_mask 00, twice the channel, END 111.
        (2, 2) => Some(Bytes::from_static(&PAIR)),
        _ => None,
    }
}

const SINGLE: [u8; 4] = pack(&[(0, 3), (0, 4), (0, 8), (0, 11), (0, 3), (7, 3)]);
const PAIR: [u8; 6] = pack(&[(1, 3), (0, 4), (1, 1), (0, 11), (0, 2), (0, 8), (0, 3), (0, 8), (0, 3), (7, 3)]);

const fn pack<const N: usize>(fields: &[(u32, u32)]) -> [u8; N] {
    let mut bytes = [0; N];
    let mut position = 0;
    let mut field = 0;
    while field < fields.len() {
        let (value, width) = fields[field];
        let mut bit = 0;
        while bit < width {
            if value >> (width - 1 - bit) & 1 == 1 {
                bytes[position / 8] |= 0x80 >> (position % 8);
            }
            position += 1;
            bit += 1;
        }
        field += 1;
    }
    bytes
}
