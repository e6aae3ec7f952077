//! Turns RTP payloads into frames in canonical form.
//!
//! Takes the packets of one frame in order and without a gap. The caller ensures this, and clears a frame that lost a
//! packet. Holds one frame of at most [`FRAME_BYTES_MAX`].

mod av1;
mod nal;
mod vp8;
mod vp9;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use onmic_media::codec::InBand;
use onmic_media::codec::vp9::append_index;
use onmic_media::{Codec, Parameters};

/// The largest frame that is assembled, in bytes. A 4K keyframe has 1 to 2 MB.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// The most spatial layers of a picture in VP9 (RFC 9628 4.2: three bits).
const LAYERS_MAX: usize = 8;

/// Why a packet or a frame cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The payload breaks the rules of its format.
    #[error("malformed payload")]
    Malformed,
    /// The frame is larger than the cap.
    #[error("frame too large")]
    TooLarge,
    /// No codec parameters came before the frame.
    #[error("no codec parameters yet")]
    NoParameters,
    /// The frame is empty.
    #[error("empty frame")]
    Empty,
}

/// An assembled frame.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The payload in canonical form.
    pub payload: Bytes,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// The codec parameters: the same `Arc` as before unless they changed.
    pub parameters: Arc<Parameters>,
}

/// Assembles the frames of one stream.
#[derive(Debug)]
pub struct Depacketizer {
    format: Format,
    frame: BytesMut,
    in_band: InBand,
}

#[derive(Debug)]
enum Format {
    Nal(nal::NalUnits),
    Vp8,
    /// The places at which the layers of the frame begin.
    Vp9(Vec<usize>),
    Av1(av1::Elements),
    Opus,
}

impl Depacketizer {
    /// Makes a depacketizer for one codec. `None` for AAC and timed metadata. `parameters` are known beforehand, from
    /// the SDP for example.
    pub fn new(codec: Codec, parameters: Option<Arc<Parameters>>) -> Option<Self> {
        let format = match codec {
            Codec::H264 => Format::Nal(nal::NalUnits::new(nal::NalCodec::H264)),
            Codec::H265 => Format::Nal(nal::NalUnits::new(nal::NalCodec::H265)),
            Codec::Vp8 => Format::Vp8,
            Codec::Vp9 => Format::Vp9(Vec::new()),
            Codec::Av1 => Format::Av1(av1::Elements::default()),
            Codec::Opus => Format::Opus,
            Codec::Aac | Codec::Metadata => return None,
        };
        Some(Self { format, frame: BytesMut::new(), in_band: InBand::new(codec, parameters) })
    }

    /// Returns the codec that it is for.
    pub fn codec(&self) -> Codec {
        self.in_band.codec()
    }

    /// Returns whether a frame certainly begins with this packet. This is needed only after a loss.
    pub fn is_start(&self, payload: &[u8]) -> bool {
        match &self.format {
            Format::Nal(units) => units.is_start(payload),
            Format::Vp8 => vp8::body(payload).is_ok_and(|(start, _)| start),
            Format::Vp9(_) => vp9::body(payload).is_ok_and(|(start, _)| start),
            Format::Av1(_) => av1::is_start(payload),
            Format::Opus => true,
        }
    }

    /// Takes the next packet of the frame. After an error the frame is lost.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), Unusable> {
        if self.frame.len() + payload.len() > FRAME_BYTES_MAX {
            return Err(Unusable::TooLarge);
        }
        let is_first = self.frame.is_empty();
        match &mut self.format {
            Format::Nal(units) => units.push(payload, &mut self.frame)?,
            Format::Av1(elements) => elements.push(payload, &mut self.frame)?,
            Format::Opus => self.frame.extend_from_slice(payload),
            Format::Vp8 => {
                let (start, body) = vp8::body(payload)?;
                if is_first && !start {
                    return Err(Unusable::Malformed); // The beginning of the frame is missing.
                }
                self.frame.extend_from_slice(body);
            }
            Format::Vp9(layers) => {
                let (start, body) = vp9::body(payload)?;
                if is_first && !start {
                    return Err(Unusable::Malformed);
                }
                if start && layers.len() <= LAYERS_MAX {
                    layers.push(self.frame.len());
                }
                self.frame.extend_from_slice(body);
            }
        }
        Ok(())
    }

    /// Returns whether the last packet ended inside of a unit that goes on in the next one.
    pub fn is_inside_unit(&self) -> bool {
        match &self.format {
            Format::Nal(units) => units.is_inside_unit(),
            Format::Av1(elements) => elements.is_inside_unit(),
            Format::Vp8 | Format::Vp9(_) | Format::Opus => false,
        }
    }

    /// Completes the frame. Whether this succeeds or not, the next packet begins a new one.
    pub fn finish(&mut self) -> Result<Assembled, Unusable> {
        let finished = match &mut self.format {
            Format::Nal(units) => {
                units.finish(&mut self.frame);
                Ok(())
            }
            Format::Av1(elements) => elements.finish(),
            // The spatial layers of a picture are frames for a decoder.
            Format::Vp9(layers) => {
                append_index(&mut self.frame, layers);
                layers.clear();
                Ok(())
            }
            _ => Ok(()),
        };
        let payload = self.frame.split().freeze();
        finished?;
        let payload = self.in_band.take(payload).map_err(|_| Unusable::Malformed)?;
        if payload.is_empty() {
            return Err(Unusable::Empty);
        }
        let keyframe = self.codec().is_keyframe(&payload);
        let parameters = self.in_band.parameters().cloned().ok_or(Unusable::NoParameters)?;
        Ok(Assembled { payload, keyframe, parameters })
    }

    /// Gives up the frame.
    pub fn clear(&mut self) {
        self.frame.clear();
        match &mut self.format {
            Format::Nal(units) => units.clear(),
            Format::Av1(elements) => elements.clear(),
            Format::Vp9(layers) => layers.clear(),
            _ => {}
        }
    }
}
