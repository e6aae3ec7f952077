//! Reads supplemental enhancement information: the messages of a SEI NAL unit, which H.264 (7.3.2.3.1) and H.265 (7.3.2.4)
//! frame alike.

use super::Malformed;
use super::bits::{BitReader, unescape};

/// The `payloadType` of a recovery point, the same in both standards.
pub(super) const RECOVERY_POINT: u32 = 6;

/// The number of bytes of a NAL unit in which messages are read. Captions and encoder settings may be long, and the messages
/// that a decoder needs come before them.
const LOOKED_AT: usize = 4096;

/// Reads the first message of a type by `read`. `nal` is the NAL unit without its header. Returns `None` if there is no
/// such message or it is cut off.
pub(super) fn payload_of_type<T>(
    nal: &[u8],
    wanted: u32,
    read: impl FnOnce(&mut BitReader<'_>) -> Result<T, Malformed>,
) -> Option<T> {
    let rbsp = unescape(&nal[..nal.len().min(LOOKED_AT)]);
    let mut rest = rbsp.as_slice();
    loop {
        let (kind, size);
        (kind, rest) = number(rest)?;
        (size, rest) = number(rest)?;
        let (payload, after) = rest.split_at_checked(size as usize)?;
        if kind == wanted {
            return read(&mut BitReader::new("SEI message", payload)).ok();
        }
        rest = after;
    }
}

/// Reads a number that is written as bytes of 255 and a last byte of less. [`LOOKED_AT`] of them fit in 32 bits.
fn number(data: &[u8]) -> Option<(u32, &[u8])> {
    let full = data.iter().position(|byte| *byte != 0xff)?;
    Some((full as u32 * 255 + u32::from(data[full]), &data[full + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovery(message: &[u8]) -> Option<u32> {
        payload_of_type(message, RECOVERY_POINT, |bits| bits.ue())
    }

    #[test]
    fn a_message_is_found_behind_others() {
        let long = [&[5, 0xff, 45][..], &[7; 300]].concat();
        let recovery_point = [6, 1, 0b0000_1000, 0x80]; // ue(v) 00001000… is 7.
        assert_eq!(
            recovery(&[&long[..], &recovery_point].concat()),
            None,
            "ue(v) needs seven bits, of which there are three more"
        );
        let recovery_point = [6, 2, 0b0001_0000, 0x40, 0x80];
        assert_eq!(recovery(&[&long[..], &recovery_point].concat()), Some(7));
        assert_eq!(recovery(&recovery_point), Some(7));
    }

    #[test]
    fn a_message_that_is_cut_off_or_missing_is_none() {
        assert_eq!(recovery(&[]), None);
        assert_eq!(recovery(&[6, 9, 1]), None);
        assert_eq!(recovery(&[0xff; 5000]), None);
        assert_eq!(recovery(&[5, 1, 0, 0x80]), None);
    }
}
