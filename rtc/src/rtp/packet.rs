//! The bytes of RTP packets: parses one that came in, and writes headers with extensions (RFC 3550 5.1, RFC 8285).

use super::ntp::Ntp;

/// The longest `mid` that is carried, in bytes: a one-byte extension holds 16.
pub const MID_MAX: usize = 16;

const FIXED_HEADER: usize = 12;
const ONE_BYTE_PROFILE: u16 = 0xbede;
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// The `mid` of a media section, inline because it goes into every packet. It is empty if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mid {
    bytes: [u8; MID_MAX],
    length: u8,
}

impl Mid {
    /// Copies `mid`. `None` if it is longer than [`MID_MAX`] bytes.
    pub fn new(mid: &str) -> Option<Self> {
        Self::from_bytes(mid.as_bytes())
    }

    /// Copies the bytes of a `mid`, or of the name of a simulcast layer. `None` if they are more than [`MID_MAX`].
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; MID_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes, length: name.len() as u8 })
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The negotiated ids of the header extensions used here: 1 to 14, or 0 if not negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    /// The id of `urn:ietf:params:rtp-hdrext:sdes:mid`.
    pub mid: u8,
    /// The id of `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`.
    pub transport_cc: u8,
    /// The id of `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay`.
    pub playout_delay: u8,
    /// The id of `http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time`.
    pub abs_capture_time: u8,
}

impl ExtensionIds {
    /// Returns the ids that the one-byte form can carry.
    pub(crate) fn one_byte(self) -> Self {
        let fits = |id: u8| if id > 14 { 0 } else { id };
        Self {
            mid: fits(self.mid),
            transport_cc: fits(self.transport_cc),
            playout_delay: fits(self.playout_delay),
            abs_capture_time: fits(self.abs_capture_time),
        }
    }
}

/// The negotiated ids of the header extensions that name simulcast layers: 1 to 14, or 0 if not negotiated. They matter
/// for the first packets of a stream alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerIds {
    /// The id of `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`.
    pub rid: u8,
    /// The id of `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`.
    pub repaired_rid: u8,
}

/// The values of one packet's extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// The `mid` of the media section that the packet belongs to.
    pub mid: Option<&'a [u8]>,
    /// The packet's number among all packets of the transport.
    pub transport_sequence: Option<u16>,
    /// The time when it was captured, on the sender's clock.
    pub captured: Option<Ntp>,
}

/// A packet that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// The payload type.
    pub payload_type: u8,
    /// The marker bit: for video, the end of a frame.
    pub marker: bool,
    /// The sequence number, as on the wire.
    pub sequence: u16,
    /// The timestamp, as on the wire.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    /// The payload without padding.
    pub payload: &'a [u8],
    extension_profile: u16,
    extension: &'a [u8],
    extension_at: usize,
}

impl<'a> Incoming<'a> {
    /// Parses a packet. `None` if the bytes are not one RTP packet of version 2.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = packet.split_first_chunk::<FIXED_HEADER>()?;
        if header[0] >> 6 != 2 {
            return None;
        }
        rest = rest.get(usize::from(header[0] & 0x0f) * 4..)?; // Skips the contributing sources.
        let (mut extension_profile, mut extension) = (0, &[][..]);
        let extension_at = packet.len() - rest.len() + 4;
        if header[0] & 0x10 != 0 {
            let (&[p1, p0, l1, l0], after) = rest.split_first_chunk::<4>()?;
            extension_profile = u16::from_be_bytes([p1, p0]);
            (extension, rest) = after.split_at_checked(usize::from(u16::from_be_bytes([l1, l0])) * 4)?;
        }
        if header[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            rest = rest.get(..rest.len().checked_sub(padding.max(1))?)?;
        }
        Some(Self {
            payload_type: header[1] & 0x7f,
            marker: header[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload: rest,
            extension_profile,
            extension,
            extension_at,
        })
    }

    /// Returns the values of the extensions that `ids` names. Parsing ends at the first broken one.
    pub fn extensions(&self, ids: &ExtensionIds) -> Extensions<'a> {
        let mut found = Extensions::default();
        let mut rest = self.extension;
        while let Some((id, value, after)) = self.next_extension(rest) {
            rest = after;
            if id == 0 {
                continue;
            }
            if id == ids.mid {
                found.mid = Some(value);
            } else if id == ids.transport_cc {
                found.transport_sequence = value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
            } else if id == ids.abs_capture_time {
                found.captured = value.first_chunk().map(|bytes| Ntp(u64::from_be_bytes(*bytes)));
            }
        }
        found
    }

    /// Returns the name of the simulcast layer that the packet belongs to, or that it repairs.
    pub fn layer(&self, ids: &LayerIds) -> Option<&'a [u8]> {
        let mut rest = self.extension;
        while let Some((id, value, after)) = self.next_extension(rest) {
            rest = after;
            if id != 0 && (id == ids.rid || id == ids.repaired_rid) {
                return Some(value);
            }
        }
        None
    }

    /// Returns where in the packet the value of an extension is.
    pub fn extension_value(&self, id: u8) -> Option<std::ops::Range<usize>> {
        let mut rest = self.extension;
        while let Some((found, value, after)) = self.next_extension(rest) {
            if found != 0 && found == id {
                let end = self.extension_at + self.extension.len() - after.len();
                return Some(end - value.len()..end);
            }
            rest = after;
        }
        None
    }

    /// Splits the next element off an extension block: its id and value, and the rest. An id of 0 is padding.
    fn next_extension(&self, block: &'a [u8]) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&first, rest) = block.split_first()?;
        if first == 0 {
            return Some((0, &[], rest));
        }
        let (id, length, rest) = if self.extension_profile == ONE_BYTE_PROFILE {
            (first >> 4, usize::from(first & 0x0f) + 1, rest)
        } else if self.extension_profile & 0xfff0 == TWO_BYTE_PROFILE {
            let (&length, rest) = rest.split_first()?;
            (first, usize::from(length), rest)
        } else {
            return None;
        };
        let (value, rest) = rest.split_at_checked(length)?;
        Some((id, value, rest))
    }
}

/// Writes an RTP header with one-byte extensions into a buffer that is known to be large enough.
pub(crate) struct HeaderWriter<'b, const N: usize> {
    buffer: &'b mut [u8; N],
    length: usize,
}

impl<'b, const N: usize> HeaderWriter<'b, N> {
    const EXTENSION_START: usize = FIXED_HEADER + 4;

    pub(crate) fn new(
        buffer: &'b mut [u8; N],
        (marker, payload_type): (bool, u8),
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
    ) -> Self {
        buffer[0] = 0x80;
        buffer[1] = u8::from(marker) << 7 | payload_type;
        buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
        buffer[4..8].copy_from_slice(&timestamp.to_be_bytes());
        buffer[8..12].copy_from_slice(&ssrc.to_be_bytes());
        Self { buffer, length: Self::EXTENSION_START }
    }

    /// Writes an extension. `value` has 1 to 16 bytes. Nothing is written if the id is 0 or the value empty.
    pub(crate) fn extension(&mut self, id: u8, value: &[u8]) {
        if id == 0 || value.is_empty() {
            return;
        }
        self.buffer[self.length] = id << 4 | (value.len() - 1) as u8;
        self.buffer[self.length + 1..][..value.len()].copy_from_slice(value);
        self.length += 1 + value.len();
    }

    pub(crate) fn finish(self) -> &'b [u8] {
        if self.length == Self::EXTENSION_START {
            return &self.buffer[..FIXED_HEADER];
        }
        let end = self.length.next_multiple_of(4);
        self.buffer[self.length..end].fill(0);
        self.buffer[0] |= 0x10;
        self.buffer[12..14].copy_from_slice(&ONE_BYTE_PROFILE.to_be_bytes());
        let words = (end - Self::EXTENSION_START) / 4;
        self.buffer[14..16].copy_from_slice(&(words as u16).to_be_bytes());
        &self.buffer[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: ExtensionIds = ExtensionIds { mid: 1, transport_cc: 2, playout_delay: 3, abs_capture_time: 4 };

    #[test]
    fn a_written_header_parses_to_the_same_values() {
        let mut buffer = [0xff; 64];
        let mut writer = HeaderWriter::new(&mut buffer, (true, 102), 7, 9, 11);
        writer.extension(IDS.mid, b"0");
        writer.extension(IDS.transport_cc, &300_u16.to_be_bytes());
        writer.extension(0, b"never");
        let header = writer.finish();
        assert_eq!(
            header,
            [
                0x90, 0xe6, 0, 7, 0, 0, 0, 9, 0, 0, 0, 11, // fixed
                0xbe, 0xde, 0, 2, // one-byte extensions, two words
                0x10, b'0', 0x21, 1, 44, 0, 0, 0
            ]
        );
        let read = Incoming::parse(header).unwrap();
        assert_eq!((read.marker, read.payload_type, read.sequence), (true, 102, 7));
        assert_eq!((read.timestamp, read.ssrc, read.payload.len()), (9, 11, 0));
        let extensions = read.extensions(&IDS);
        assert_eq!(extensions.mid, Some(&b"0"[..]));
        assert_eq!(extensions.transport_sequence, Some(300));
    }

    #[test]
    fn two_byte_extensions_and_padding_are_parsed() {
        let mut packet = vec![0xb1, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([0, 0, 0, 9]); // one contributing source
        packet.extend([0x10, 0, 0, 2, 0, 1, 2, b'v', b'0', 2, 0, 0]);
        packet.extend([5, 6, 7, 0, 0, 3]);
        let read = Incoming::parse(&packet).unwrap();
        assert_eq!(read.payload, [5, 6, 7]);
        assert_eq!(read.extensions(&IDS).mid, Some(&b"v0"[..]));
    }

    #[test]
    fn broken_packets_are_refused_or_parsed_up_to_the_break() {
        let good = [0xb0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3, 9, 1];
        for end in 0..good.len() {
            if let Some(read) = Incoming::parse(&good[..end]) {
                read.extensions(&IDS);
            }
        }
        assert_eq!(Incoming::parse(&good).unwrap().extensions(&IDS), Extensions::default());
        let mut padded_over = good;
        padded_over[21] = 200;
        assert_eq!(Incoming::parse(&padded_over), None);
    }
}
