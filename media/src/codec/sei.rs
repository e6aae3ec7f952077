//! Reads supplemental enhancement information: the messages of a SEI NAL unit, which H.264 (7.3.2.3.1) and H.265 (7.3.2.4)
//! frame alike.

use super::Malformed;
use super::bits::{BitReader, unescape};

/// The `payloadType` of a recovery point, the same in both standards.
pub(super) const RECOVERY_POINT: u32 = 6;

/// The `payloadType` of user data that is registered by ITU-T T.35, the same in both standards.
const REGISTERED_USER_DATA: u32 = 4;

/// The head of closed captions in such user data (ATSC A/53 part 4, 6.2.3): the country USA, the provider ATSC, the
/// identifier `GA94` and the type `cc_data`.
const CAPTIONS: [u8; 8] = [0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03];

/// Returns whether a NAL unit, given without its header, has closed captions.
pub(super) fn has_captions(nal: &[u8]) -> bool {
    let read = |bits: &mut BitReader<'_>| {
        for expected in CAPTIONS {
            if bits.bits(8)? != u32::from(expected) {
                return Err(Malformed::Missing { what: "user data", field: "closed captions" });
            }
        }
        Ok(())
    };
    payload_of_type(nal, REGISTERED_USER_DATA, read).is_some()
}

/// The number of bytes of a NAL unit in which messages are read. Captions and encoder settings may be long, and the messages
/// that a decoder needs come before them.
const LOOKED_AT: usize = 4096;

/// Reads the first message of a type that `read` takes. `nal` is the NAL unit without its header. Returns `None` if there
/// is no such message or it is cut off.
pub(super) fn payload_of_type<T>(
    nal: &[u8],
    wanted: u32,
    read: impl Fn(&mut BitReader<'_>) -> Result<T, Malformed>,
) -> Option<T> {
    let rbsp = unescape(&nal[..nal.len().min(LOOKED_AT)]);
    let mut rest = rbsp.as_slice();
    loop {
        let (kind, size);
        (kind, rest) = number(rest)?;
        (size, rest) = number(rest)?;
        let (payload, after) = rest.split_at_checked(size as usize)?;
        if kind == wanted
            && let Ok(message) = read(&mut BitReader::new("SEI message", payload))
        {
            return Some(message);
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
    fn captions_are_told_from_other_user_data() {
        let other = [4, 4, 0xb5, 0x00, 0x31, b'D'];
        let captions = [&[4, 9][..], &CAPTIONS, &[0xff]].concat();
        assert!(has_captions(&captions) && has_captions(&[&other[..], &captions].concat()));
        assert!(!has_captions(&other) && !has_captions(&captions[..6]));
    }

    #[test]
    fn a_message_that_is_cut_off_or_missing_is_none() {
        assert_eq!(recovery(&[]), None);
        assert_eq!(recovery(&[6, 9, 1]), None);
        assert_eq!(recovery(&[0xff; 5000]), None);
        assert_eq!(recovery(&[5, 1, 0, 0x80]), None);
    }
}
