//! H.264 (RFC 6184, packetization-mode 1) and H.265 (RFC 7798, without decoding order numbers): single NAL units,
//! aggregations of small ones, fragments of large ones.
//!
//! Small units in a row share a packet, so that a frame of one slice costs one run of equal fragments, and a keyframe
//! one packet more for its parameter sets. Delimiters and filler are not sent. SEI is sent.

use std::sync::Arc;

use bytes::Bytes;
use onmic_media::codec::nal::nal_units;
use onmic_media::{Frame, Parameters};

use super::Writer;

const H264_FILLER: u8 = 12;
const H264_DELIMITER: u8 = 9;
const H264_AGGREGATION: u8 = 24; // STAP-A
const H264_FRAGMENT: u8 = 28; // FU-A
const H265_FILLER: u8 = 38;
const H265_DELIMITER: u8 = 35;
const H265_AGGREGATION: u8 = 48; // AP
const H265_FRAGMENT: u8 = 49; // FU

const START: u8 = 0x80;
const END: u8 = 0x40;
const LENGTH_BYTES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NalCodec {
    H264,
    H265,
}

impl NalCodec {
    const fn header_bytes(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    fn is_sent(self, nal: &[u8]) -> bool {
        if nal.len() <= self.header_bytes() {
            return false; // A header alone carries no data and could not be fragmented.
        }
        match self {
            Self::H264 => !matches!(nal[0] & 0x1f, H264_DELIMITER | H264_FILLER),
            Self::H265 => !matches!(nal[0] >> 1 & 0x3f, H265_DELIMITER | H265_FILLER),
        }
    }

    /// Returns the header of a packet that holds several units, with the forbidden bit and the highest importance of
    /// its units.
    fn aggregation_header(self, units: &[&[u8]]) -> ([u8; 2], usize) {
        match self {
            Self::H264 => {
                let forbidden = units.iter().fold(0, |bits, nal| bits | nal[0] & 0x80);
                let importance = units.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
                ([forbidden | importance | H264_AGGREGATION, 0], 1)
            }
            Self::H265 => {
                let forbidden = units.iter().fold(0, |bits, nal| bits | nal[0] & 0x80);
                let id = |nal: &&[u8]| u16::from_be_bytes([nal[0] & 1, nal[1]]);
                let layer = units.iter().map(|nal| id(nal) >> 3).min().unwrap_or(0);
                let temporal = units.iter().map(|nal| id(nal) & 7).min().unwrap_or(1);
                let [high, low] = (layer << 3 | temporal).to_be_bytes();
                ([forbidden | H265_AGGREGATION << 1 | high, low], 2)
            }
        }
    }

    /// Returns the headers in front of each fragment. Start and end flags are still missing in the last byte.
    fn fragment_header(self, nal: &[u8]) -> ([u8; 3], usize) {
        match self {
            Self::H264 => ([nal[0] & 0xe0 | H264_FRAGMENT, nal[0] & 0x1f, 0], 2),
            Self::H265 => ([nal[0] & 0x81 | H265_FRAGMENT << 1, nal[1], nal[0] >> 1 & 0x3f], 3),
        }
    }
}

#[derive(Debug)]
pub(super) struct NalPacketizer {
    codec: NalCodec,
    /// The parameter sets as they go in band, made once for each change.
    in_band: Option<(Arc<Parameters>, Bytes)>,
}

impl NalPacketizer {
    pub(super) fn new(codec: NalCodec) -> Self {
        Self { codec, in_band: None }
    }

    pub(super) fn packetize(&mut self, frame: &Frame, out: &mut Writer) {
        let codec = self.codec;
        let sets = if frame.keyframe { self.parameter_sets(&frame.parameters) } else { Bytes::new() };
        let mut small: Vec<&[u8]> = Vec::new();
        let mut small_bytes = codec.header_bytes();
        for nal in nal_units(&sets).chain(nal_units(&frame.payload)).filter(|nal| codec.is_sent(nal)) {
            let aggregated = LENGTH_BYTES + nal.len();
            if small_bytes + aggregated > out.max() {
                put_small(codec, &mut small, out);
                small_bytes = codec.header_bytes();
            }
            if nal.len() > out.max() {
                put_fragments(codec, nal, out);
            } else {
                small.push(nal);
                small_bytes += aggregated;
            }
        }
        put_small(codec, &mut small, out);
    }

    fn parameter_sets(&mut self, parameters: &Arc<Parameters>) -> Bytes {
        if let Some((known, sets)) = &self.in_band
            && Arc::ptr_eq(known, parameters)
        {
            return sets.clone();
        }
        let sets = match &**parameters {
            // Without a declaration that nothing is reordered, decoders hold frames back.
            Parameters::H264(h264) => h264.without_reordering().in_band(),
            Parameters::H265(h265) => h265.in_band(),
            _ => Bytes::new(),
        };
        self.in_band = Some((parameters.clone(), sets.clone()));
        sets
    }
}

fn put_small(codec: NalCodec, units: &mut Vec<&[u8]>, out: &mut Writer) {
    match units[..] {
        [] => return,
        [nal] => out.put(nal),
        _ => {
            let (header, length) = codec.aggregation_header(units);
            out.put(&header[..length]);
            for nal in units.iter() {
                out.put(&(nal.len() as u16).to_be_bytes()); // A unit is smaller than a packet.
                out.put(nal);
            }
        }
    }
    out.close();
    units.clear();
}

fn put_fragments(codec: NalCodec, nal: &[u8], out: &mut Writer) {
    let (mut header, length) = codec.fragment_header(nal);
    let body = &nal[codec.header_bytes()..];
    let kind = header[length - 1];
    let mut fragments = body.chunks(out.max() - length).peekable();
    let mut start = START;
    while let Some(fragment) = fragments.next() {
        let end = if fragments.peek().is_none() { END } else { 0 };
        header[length - 1] = kind | start | end;
        out.put(&header[..length]);
        out.put(fragment);
        out.close();
        start = 0;
    }
}
