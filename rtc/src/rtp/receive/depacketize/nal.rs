//! H.264 (RFC 6184) and H.265 (RFC 7798): units and fragments become length-prefixed NAL units. Delimiters and filler are
//! dropped. Parameter sets stay: [`onmic_media::codec::InBand`] learns from them and takes them out.

use bytes::{BufMut, BytesMut};

use super::Unusable;

const LENGTH_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NalCodec {
    H264,
    H265,
}

/// The way in which a NAL unit is handled.
enum Kind {
    Keep,
    Drop,
    Aggregation,
    Fragment,
    Refuse,
}

impl NalCodec {
    const fn header_bytes(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    fn kind(self, first: u8) -> Kind {
        match self {
            Self::H264 => match first & 0x1f {
                9 | 12 => Kind::Drop,
                24 => Kind::Aggregation,
                28 => Kind::Fragment,
                0 | 25..=31 => Kind::Refuse,
                _ => Kind::Keep,
            },
            Self::H265 => match first >> 1 & 0x3f {
                35 | 38 => Kind::Drop,
                48 => Kind::Aggregation,
                49 => Kind::Fragment,
                50.. => Kind::Refuse,
                _ => Kind::Keep,
            },
        }
    }

    fn begins_frame(self, first: u8) -> bool {
        match self {
            Self::H264 => matches!(first & 0x1f, 7 | 9),
            Self::H265 => matches!(first >> 1 & 0x3f, 32 | 33 | 35),
        }
    }
}

#[derive(Debug)]
pub(super) struct NalUnits {
    codec: NalCodec,
    /// The position of the length of the unit whose fragments are coming in.
    fragment: Option<usize>,
}

impl NalUnits {
    pub(super) fn new(codec: NalCodec) -> Self {
        Self { codec, fragment: None }
    }

    pub(super) fn is_start(&self, payload: &[u8]) -> bool {
        let Some(&first) = payload.first() else { return false };
        let first = match self.codec.kind(first) {
            Kind::Aggregation => payload.get(self.codec.header_bytes() + 2).copied().unwrap_or(0),
            _ => first,
        };
        self.codec.begins_frame(first)
    }

    pub(super) fn push(&mut self, payload: &[u8], frame: &mut BytesMut) -> Result<(), Unusable> {
        let header = self.codec.header_bytes();
        if payload.len() <= header {
            return Err(Unusable::Malformed);
        }
        match self.codec.kind(payload[0]) {
            Kind::Fragment => return self.push_fragment(payload, frame),
            Kind::Aggregation => {
                let mut rest = &payload[header..];
                while let Some((length, after)) = rest.split_first_chunk::<2>() {
                    let length = usize::from(u16::from_be_bytes(*length));
                    let (nal, after) = after.split_at_checked(length).ok_or(Unusable::Malformed)?;
                    self.push_unit(nal, frame)?;
                    rest = after;
                }
            }
            _ => self.push_unit(payload, frame)?,
        }
        Ok(())
    }

    fn push_unit(&mut self, nal: &[u8], frame: &mut BytesMut) -> Result<(), Unusable> {
        self.end_fragment(frame)?;
        if nal.len() <= self.codec.header_bytes() {
            return Ok(()); // A header alone carries no data, so it is not a slice either.
        }
        match self.codec.kind(nal[0]) {
            Kind::Drop => {}
            Kind::Keep => {
                frame.put_u32(nal.len() as u32); // A unit is smaller than a datagram.
                frame.put_slice(nal);
            }
            Kind::Aggregation | Kind::Fragment | Kind::Refuse => return Err(Unusable::Malformed),
        }
        Ok(())
    }

    fn push_fragment(&mut self, payload: &[u8], frame: &mut BytesMut) -> Result<(), Unusable> {
        let header = self.codec.header_bytes();
        let (&flags, body) = payload[header..].split_first().ok_or(Unusable::Malformed)?;
        let (start, end) = (flags & 0x80 != 0, flags & 0x40 != 0);
        if start {
            self.end_fragment(frame)?;
            self.fragment = Some(frame.len());
            frame.put_u32(0);
            match self.codec {
                NalCodec::H264 => frame.put_u8(payload[0] & 0xe0 | flags & 0x1f),
                NalCodec::H265 => frame.put_slice(&[payload[0] & 0x81 | (flags & 0x3f) << 1, payload[1]]),
            }
        }
        if self.fragment.is_none() {
            return Err(Unusable::Malformed);
        }
        frame.put_slice(body);
        if end { self.end_fragment(frame) } else { Ok(()) }
    }

    /// Ends the unit whose fragments came, if there is one. Some senders do not mark its last fragment. Nothing of it is
    /// missing all the same, because packets come here in a row, and a loss gives up the frame.
    fn end_fragment(&mut self, frame: &mut BytesMut) -> Result<(), Unusable> {
        let Some(length_at) = self.fragment.take() else { return Ok(()) };
        let nal = length_at + LENGTH_BYTES;
        let length = frame.len() - nal;
        match self.codec.kind(frame[nal]) {
            _ if length <= self.codec.header_bytes() => frame.truncate(length_at),
            Kind::Keep => frame[length_at..nal].copy_from_slice(&(length as u32).to_be_bytes()),
            Kind::Drop => frame.truncate(length_at),
            Kind::Aggregation | Kind::Fragment | Kind::Refuse => return Err(Unusable::Malformed),
        }
        Ok(())
    }

    /// Returns whether the fragments of a unit came without one that is marked as the last.
    pub(super) fn is_inside_unit(&self) -> bool {
        self.fragment.is_some()
    }

    /// Ends the frame.
    pub(super) fn finish(&mut self, frame: &mut BytesMut) -> Result<(), Unusable> {
        self.end_fragment(frame)
    }

    pub(super) fn clear(&mut self) {
        self.fragment = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame has a parameter set and then a header alone, in an aggregation or a fragment: the set is all that stays.
    #[test]
    fn a_header_without_a_payload_is_not_a_slice() {
        let h264: [&[u8]; 2] = [&[0x78, 0, 2, 0x68, 0xce, 0, 1, 0x65], &[0x7c, 0xc5]];
        let h265: [&[u8]; 2] = [&[0x60, 1, 0, 3, 0x44, 1, 0xce, 0, 2, 0x26, 1], &[0x62, 1, 0xd3]];
        for (codec, packets) in [(NalCodec::H264, h264), (NalCodec::H265, h265)] {
            let (mut units, mut frame) = (NalUnits::new(codec), BytesMut::new());
            for packet in packets {
                assert_eq!(units.push(packet, &mut frame), Ok(()), "{codec:?}");
            }
            let set: &[u8] = if codec == NalCodec::H264 { &[0x68, 0xce] } else { &[0x44, 1, 0xce] };
            assert_eq!(frame, [&(set.len() as u32).to_be_bytes()[..], set].concat(), "{codec:?}");
        }
    }

    #[test]
    fn a_unit_whose_last_fragment_is_not_marked_ends_where_the_next_one_begins_or_the_frame_ends() {
        let h264: [&[u8]; 4] = [&[0x7c, 0x85, 1, 2], &[0x7c, 0x05, 3], &[0x7c, 0x85, 4], &[0x41, 5]];
        let h265: [&[u8]; 4] = [&[0x62, 1, 0x93, 1, 2], &[0x62, 1, 0x13, 3], &[0x62, 1, 0x93, 4], &[0x02, 1, 5]];
        for (codec, packets) in [(NalCodec::H264, h264), (NalCodec::H265, h265)] {
            let heads: [&[u8]; 2] = if codec == NalCodec::H264 { [&[0x65], &[0x41]] } else { [&[0x26, 1], &[0x02, 1]] };
            let unit =
                |head: &[u8], body: &[u8]| [&((head.len() + body.len()) as u32).to_be_bytes()[..], head, body].concat();
            let (first, second, last) = (unit(heads[0], &[1, 2, 3]), unit(heads[0], &[4]), unit(heads[1], &[5]));
            for (count, expected) in
                [(2, first.clone()), (3, [&first[..], &second].concat()), (4, [&first[..], &second, &last].concat())]
            {
                let (mut units, mut frame) = (NalUnits::new(codec), BytesMut::new());
                for packet in &packets[..count] {
                    assert_eq!(units.push(packet, &mut frame), Ok(()), "{codec:?}");
                }
                assert_eq!(units.finish(&mut frame), Ok(()));
                assert_eq!(frame, expected, "{codec:?} {count}");
            }
            let orphan = NalUnits::new(codec).push(packets[1], &mut BytesMut::new());
            assert_eq!(orphan, Err(Unusable::Malformed), "its beginning is missing");
        }
    }
}
