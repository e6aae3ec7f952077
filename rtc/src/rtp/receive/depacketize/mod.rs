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
use onmic_media::codec::{opus, vp8 as vp8_frame, vp9 as vp9_frame};
use onmic_media::{Codec, Parameters};

/// The largest frame that is assembled, in bytes. A 4K keyframe has 1 to 2 MB.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

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
    codec: Codec,
    format: Format,
    frame: BytesMut,
    parameters: Option<Arc<Parameters>>,
}

#[derive(Debug)]
enum Format {
    Nal(nal::NalUnits),
    Vp8,
    Vp9,
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
            Codec::Vp9 => Format::Vp9,
            Codec::Av1 => Format::Av1(av1::Elements::default()),
            Codec::Opus => Format::Opus,
            Codec::Aac | Codec::Metadata => return None,
        };
        let opus = || (codec == Codec::Opus).then(|| Arc::new(Parameters::Opus(opus::Parameters::new(2))));
        let parameters = parameters.filter(|known| known.codec() == codec).or_else(opus);
        Some(Self { codec, format, frame: BytesMut::new(), parameters })
    }

    /// Returns the codec that it is for.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns whether a frame certainly begins with this packet. This is needed only after a loss.
    pub fn is_start(&self, payload: &[u8]) -> bool {
        match &self.format {
            Format::Nal(units) => units.is_start(payload),
            Format::Vp8 => vp8::body(payload).is_ok_and(|(start, _)| start),
            Format::Vp9 => vp9::body(payload).is_ok_and(|(start, _)| start),
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
            Format::Vp8 | Format::Vp9 => {
                let body = if matches!(self.format, Format::Vp8) { vp8::body } else { vp9::body };
                let (start, body) = body(payload)?;
                if is_first && !start {
                    return Err(Unusable::Malformed); // The beginning of the frame is missing.
                }
                self.frame.extend_from_slice(body);
            }
        }
        Ok(())
    }

    /// Completes the frame. Whether this succeeds or not, the next packet begins a new one.
    pub fn finish(&mut self) -> Result<Assembled, Unusable> {
        let finished = match &mut self.format {
            Format::Nal(units) => units.finish(self.parameters.as_ref()),
            Format::Av1(elements) => elements.finish(),
            _ => Ok(None),
        };
        let payload = self.frame.split().freeze();
        let parameters = finished?;
        if payload.is_empty() {
            self.adopt(parameters);
            return Err(Unusable::Empty);
        }
        let keyframe = self.is_keyframe(&payload);
        let in_frame = |payload: &[u8]| match self.codec {
            Codec::Vp8 => vp8_frame::Parameters::from_keyframe(payload).ok().map(Parameters::Vp8),
            Codec::Vp9 => vp9_frame::Parameters::from_keyframe(payload).ok().map(Parameters::Vp9),
            Codec::Av1 => onmic_media::codec::av1::Parameters::from_access_unit(payload).map(Parameters::Av1),
            _ => None,
        };
        let found = if keyframe { in_frame(&payload) } else { None };
        self.adopt(parameters.or(found));
        let parameters = self.parameters.clone().ok_or(Unusable::NoParameters)?;
        Ok(Assembled { payload, keyframe, parameters })
    }

    /// Gives up the frame.
    pub fn clear(&mut self) {
        self.frame.clear();
        match &mut self.format {
            Format::Nal(units) => units.clear(),
            Format::Av1(elements) => elements.clear(),
            _ => {}
        }
    }

    fn adopt(&mut self, found: Option<Parameters>) {
        if let Some(found) = found
            && self.parameters.as_deref() != Some(&found)
        {
            self.parameters = Some(Arc::new(found));
        }
    }

    fn is_keyframe(&self, payload: &[u8]) -> bool {
        match self.codec {
            Codec::H264 => onmic_media::codec::h264::access_unit_is_keyframe(payload),
            Codec::H265 => onmic_media::codec::h265::access_unit_is_keyframe(payload),
            Codec::Vp8 => vp8_frame::is_keyframe(payload),
            Codec::Vp9 => vp9_frame::is_keyframe(payload),
            Codec::Av1 => onmic_media::codec::av1::access_unit_is_keyframe(payload),
            Codec::Aac | Codec::Opus | Codec::Metadata => true,
        }
    }
}
