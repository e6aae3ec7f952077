//! VP8 (RFC 7741): the bytes behind the payload descriptor.

use super::Unusable;

/// Returns whether a frame starts here, and the bytes behind the descriptor.
pub(super) fn body(payload: &[u8]) -> Result<(bool, &[u8]), Unusable> {
    let (&first, mut rest) = payload.split_first().ok_or(Unusable::Malformed)?;
    if first & 0x80 != 0 {
        let (&extension, after) = rest.split_first().ok_or(Unusable::Malformed)?;
        rest = after;
        let mut skip = 0;
        if extension & 0x80 != 0 {
            let long = rest.first().ok_or(Unusable::Malformed)? & 0x80 != 0;
            skip += if long { 2 } else { 1 };
        }
        skip += usize::from(extension & 0x40 != 0); // TL0PICIDX
        skip += usize::from(extension & 0x30 != 0); // TID, KEYIDX
        rest = rest.get(skip..).ok_or(Unusable::Malformed)?;
    }
    if rest.is_empty() {
        return Err(Unusable::Malformed);
    }
    let starts = first & 0x10 != 0 && first & 0x07 == 0;
    Ok((starts, rest))
}
