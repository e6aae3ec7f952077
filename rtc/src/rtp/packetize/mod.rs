//! Turns a frame into RTP payloads, once per track, whatever the number of viewers.
//!
//! All payloads of a frame lie one after the other in one buffer. Fragments of one unit have equal lengths, except for
//! a shorter last one, because one segmented send (GSO) can carry such a run. Codec parameters go in band before every
//! keyframe.

mod av1;
mod nal;
mod vp8;
mod vp9;

use bytes::{BufMut, Bytes, BytesMut};
use onmic_media::{Codec, Frame};

use nal::{NalCodec, NalPacketizer};

/// The default for the longest payload, in bytes. With 12 bytes of header, 24 of extensions, 2 of a repair's original
/// sequence number and 16 of tag it makes a UDP payload of 1198 bytes. With the IPv6 header these are 1246, below the
/// least MTU of IPv6 of 1280.
pub const MAX_PAYLOAD: usize = 1144;

/// The least limit of a payload, in bytes. With less, the payload headers would not fit.
const LEAST_PAYLOAD: usize = 64;

/// Turns the frames of one track into payloads.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    max_payload: usize,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Nal(NalPacketizer),
    Vp8(vp8::Vp8Packetizer),
    Vp9(vp9::Vp9Packetizer),
    Av1,
    Opus,
}

impl Packetizer {
    /// Makes a packetizer for one codec. `None` for AAC and timed metadata, which browsers do not take by RTP.
    /// `max_payload` is at least 64.
    pub fn new(codec: Codec, max_payload: usize) -> Option<Self> {
        let format = match codec {
            Codec::H264 => Format::Nal(NalPacketizer::new(NalCodec::H264)),
            Codec::H265 => Format::Nal(NalPacketizer::new(NalCodec::H265)),
            Codec::Vp8 => Format::Vp8(vp8::Vp8Packetizer::default()),
            Codec::Vp9 => Format::Vp9(vp9::Vp9Packetizer::default()),
            Codec::Av1 => Format::Av1,
            Codec::Opus => Format::Opus,
            Codec::Aac | Codec::Metadata => return None,
        };
        Some(Self { codec, max_payload: max_payload.max(LEAST_PAYLOAD), format })
    }

    /// Returns the codec that it is for.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Makes the payloads of `frame`, whose codec must be the packetizer's. A frame with nothing to send has no
    /// payloads.
    pub fn packetize(&mut self, frame: &Frame) -> Payloads {
        let mut out = Writer::new(frame.payload.len(), self.max_payload);
        match &mut self.format {
            Format::Nal(nal) => nal.packetize(frame, &mut out),
            Format::Vp8(vp8) => vp8.packetize(frame, &mut out),
            Format::Vp9(vp9) => vp9.packetize(frame, &mut out),
            Format::Av1 => av1::packetize(frame, &mut out),
            Format::Opus => {
                out.put(&frame.payload);
                out.close();
            }
        }
        out.finish()
    }
}

/// The payloads of one frame, one after the other in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    bytes: Bytes,
    ends: Box<[u32]>,
}

impl Payloads {
    /// Returns the number of payloads.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no payloads.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the number of bytes of all payloads.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the payload at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.bytes.get(start..end)
    }

    /// Returns all payloads in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

/// Collects the payloads of one frame.
struct Writer {
    bytes: BytesMut,
    ends: Vec<u32>,
    max: usize,
}

impl Writer {
    fn new(frame_bytes: usize, max: usize) -> Self {
        let packets = frame_bytes / max + 2;
        Self { bytes: BytesMut::with_capacity(frame_bytes + packets * 16), ends: Vec::with_capacity(packets), max }
    }

    fn max(&self) -> usize {
        self.max
    }

    fn put(&mut self, part: &[u8]) {
        self.bytes.put_slice(part);
    }

    /// Closes the current payload. Does nothing if it is empty.
    fn close(&mut self) {
        let end = self.bytes.len() as u32; // A frame is far below 4 GiB.
        if end > self.ends.last().copied().unwrap_or(0) {
            self.ends.push(end);
        }
    }

    fn finish(self) -> Payloads {
        Payloads { bytes: self.bytes.freeze(), ends: self.ends.into_boxed_slice() }
    }
}
