//! AV1 (RTP Payload Format for AV1, v1.0): elements become OBUs with sizes. Temporal delimiters and tile lists are
//! dropped.

use bytes::{BufMut, BytesMut};

use super::{FRAME_BYTES_MAX, Unusable};

const CONTINUES: u8 = 0x80;
const TO_BE_CONTINUED: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;
const HAS_SIZE: u8 = 0x02;
const HAS_EXTENSION: u8 = 0x04;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;

/// Returns whether a coded video sequence begins here. Other frames do not show where they begin.
pub(super) fn is_start(payload: &[u8]) -> bool {
    payload.first().is_some_and(|header| header & (NEW_SEQUENCE | CONTINUES) == NEW_SEQUENCE)
}

#[derive(Debug, Default)]
pub(super) struct Elements {
    /// The OBU that continues in the next packet.
    open: Option<BytesMut>,
}

impl Elements {
    pub(super) fn push(&mut self, payload: &[u8], frame: &mut BytesMut) -> Result<(), Unusable> {
        let (&header, mut rest) = payload.split_first().ok_or(Unusable::Malformed)?;
        if (header & CONTINUES != 0) != self.open.is_some() || rest.is_empty() {
            return Err(Unusable::Malformed);
        }
        let count = usize::from(header >> 4 & 3);
        let mut index = 0;
        while !rest.is_empty() {
            index += 1;
            let element = if count != 0 && index == count {
                std::mem::take(&mut rest)
            } else {
                let (length, after) = leb128(rest).ok_or(Unusable::Malformed)?;
                let (element, after) = after.split_at_checked(length).ok_or(Unusable::Malformed)?;
                rest = after;
                element
            };
            let is_continued = rest.is_empty() && header & TO_BE_CONTINUED != 0;
            self.push_element(element, is_continued, frame)?;
        }
        if count != 0 && index != count { Err(Unusable::Malformed) } else { Ok(()) }
    }

    fn push_element(&mut self, element: &[u8], is_continued: bool, frame: &mut BytesMut) -> Result<(), Unusable> {
        if let Some(mut open) = self.open.take() {
            if frame.len() + open.len() + element.len() > FRAME_BYTES_MAX {
                return Err(Unusable::TooLarge);
            }
            open.put_slice(element);
            if is_continued {
                self.open = Some(open);
                return Ok(());
            }
            return put_obu(&open, frame);
        }
        if is_continued {
            self.open = Some(BytesMut::from(element));
            return Ok(());
        }
        put_obu(element, frame)
    }

    /// Returns whether an OBU continues in the next packet.
    pub(super) fn is_inside_unit(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the frame, which must not end inside of an OBU.
    pub(super) fn finish(&mut self) -> Result<(), Unusable> {
        if self.open.take().is_some() { Err(Unusable::Malformed) } else { Ok(()) }
    }

    pub(super) fn clear(&mut self) {
        self.open = None;
    }
}

fn put_obu(obu: &[u8], frame: &mut BytesMut) -> Result<(), Unusable> {
    let Some(&first) = obu.first() else { return Ok(()) };
    if first & 0x80 != 0 {
        return Err(Unusable::Malformed); // The forbidden bit is set.
    }
    if matches!(first >> 3 & 0xf, TEMPORAL_DELIMITER | TILE_LIST) {
        return Ok(());
    }
    let header_bytes = 1 + usize::from(first & HAS_EXTENSION != 0);
    let (header, mut payload) = obu.split_at_checked(header_bytes).ok_or(Unusable::Malformed)?;
    if first & HAS_SIZE != 0 {
        let (length, after) = leb128(payload).ok_or(Unusable::Malformed)?;
        payload = after.get(..length).ok_or(Unusable::Malformed)?;
    }
    frame.put_u8(first | HAS_SIZE);
    frame.put_slice(&header[1..]);
    put_leb128(payload.len(), frame);
    frame.put_slice(payload);
    Ok(())
}

fn leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &data[index + 1..]));
        }
    }
    None
}

fn put_leb128(mut value: usize, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_may_have_more_than_255_elements() {
        let mut frame = BytesMut::new();
        assert_eq!(Elements::default().push(&[0; 1200], &mut frame), Ok(())); // Each element is empty.
        assert!(frame.is_empty());
    }
}
