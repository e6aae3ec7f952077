//! H.264 (RFC 6184) and H.265 (RFC 7798): units and fragments become length-prefixed NAL units. Delimiters and filler are
//! dropped. Parameter sets and reserved units stay: [`onmic_media::codec::InBand`] learns from the ones, and takes both out.

use bytes::{BufMut, BytesMut};

use super::Unusable;

const LENGTH_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NalCodec {
    H264,
    H265,
}

/// The way in which the payload of a packet is handled.
enum Kind {
    /// It is one unit.
    Keep,
    Drop,
    Aggregation,
    Fragment,
    /// It holds media in a form that was not negotiated.
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
                25..=27 | 29 => Kind::Refuse,
                _ => Kind::Keep,
            },
            Self::H265 => match first >> 1 & 0x3f {
                35 | 38 => Kind::Drop,
                48 => Kind::Aggregation,
                49 => Kind::Fragment,
                50 => Kind::Refuse,
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
        let first = *payload.first().ok_or(Unusable::Malformed)?;
        match self.codec.kind(first) {
            Kind::Refuse => return Err(Unusable::Malformed),
            Kind::Fragment => return self.push_fragment(payload, frame),
            Kind::Aggregation => {
                let mut rest = payload.get(self.codec.header_bytes()..).ok_or(Unusable::Malformed)?;
                while let Some((length, after)) = rest.split_first_chunk::<2>() {
                    let length = usize::from(u16::from_be_bytes(*length));
                    let (nal, after) = after.split_at_checked(length).ok_or(Unusable::Malformed)?;
                    self.push_unit(nal, frame);
                    rest = after;
                }
            }
            Kind::Keep | Kind::Drop => self.push_unit(payload, frame),
        }
        Ok(())
    }

    fn push_unit(&mut self, nal: &[u8], frame: &mut BytesMut) {
        self.end_fragment(frame);
        if nal.len() <= self.codec.header_bytes() {
            return; // A header alone carries no data, so it is not a slice either.
        }
        // Within a packet the numbers of packets are types that are left open. Such units are left out with the parameter sets.
        if !matches!(self.codec.kind(nal[0]), Kind::Drop) {
            frame.put_u32(nal.len() as u32); // A unit is smaller than a datagram.
            frame.put_slice(nal);
        }
    }

    fn push_fragment(&mut self, payload: &[u8], frame: &mut BytesMut) -> Result<(), Unusable> {
        let behind_header = payload.get(self.codec.header_bytes()..).and_then(<[u8]>::split_first);
        let (&flags, body) = behind_header.ok_or(Unusable::Malformed)?;
        let (start, end) = (flags & 0x80 != 0, flags & 0x40 != 0);
        if start {
            self.end_fragment(frame);
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
        if end {
            self.end_fragment(frame);
        }
        Ok(())
    }

    /// Ends the unit whose fragments came, if there is one. Some senders do not mark its last fragment. Nothing of it is
    /// missing all the same, because packets come here in a row, and a loss gives up the frame.
    fn end_fragment(&mut self, frame: &mut BytesMut) {
        let Some(length_at) = self.fragment.take() else { return };
        let nal = length_at + LENGTH_BYTES;
        let length = frame.len() - nal;
        if length <= self.codec.header_bytes() || matches!(self.codec.kind(frame[nal]), Kind::Drop) {
            frame.truncate(length_at);
        } else {
            frame[length_at..nal].copy_from_slice(&(length as u32).to_be_bytes());
        }
    }

    /// Returns whether the fragments of a unit came without one that is marked as the last.
    pub(super) fn is_inside_unit(&self) -> bool {
        self.fragment.is_some()
    }

    /// Ends the frame.
    pub(super) fn finish(&mut self, frame: &mut BytesMut) {
        self.end_fragment(frame);
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
                units.finish(&mut frame);
                assert_eq!(frame, expected, "{codec:?} {count}");
            }
            let orphan = NalUnits::new(codec).push(packets[1], &mut BytesMut::new());
            assert_eq!(orphan, Err(Unusable::Malformed), "its beginning is missing");
        }
    }
}
