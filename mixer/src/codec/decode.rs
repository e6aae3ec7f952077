//! Decoding: canonical payloads in, pictures and samples out.
//!
//! One thread per decoder: frame threads would add a frame of delay each. Pictures come out in presentation order; which
//! frame each was made from is told by the ordinal it was sent with, because timestamps need not be unique.

use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::codec::discard::Discard;
use ffmpeg_next::codec::{Context, Id};
use ffmpeg_next::{Error as Cause, Packet, decoder, error, frame};
use onmic_media::{Codec, MediaKind, Parameters};

use super::ffi;
use super::picture;
use crate::error::Error;

pub(crate) fn id(codec: Codec) -> Id {
    match codec {
        Codec::H264 => Id::H264,
        Codec::H265 => Id::HEVC,
        Codec::Vp8 => Id::VP8,
        Codec::Vp9 => Id::VP9,
        Codec::Av1 => Id::AV1,
        Codec::Aac => Id::AAC,
        Codec::Opus => Id::OPUS,
        Codec::Metadata => Id::None,
    }
}

/// Decoders taken before FFmpeg's own choice: its AV1 decoder needs hardware, and its Opus decoder holds samples back where
/// the coding mode changes, which would shift what follows.
pub(crate) fn preferred(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::Av1 => &["libdav1d", "libaom-av1"],
        Codec::Opus => &["libopus"],
        _ => &[],
    }
}

fn open(parameters: &Parameters) -> Result<Opened, Error> {
    ffi::log_to_tracing();
    let codec = parameters.codec();
    let named = preferred(codec).iter().find_map(|name| decoder::find_by_name(name));
    let found = named.or_else(|| decoder::find(id(codec))).ok_or(Error::NoDecoder(codec))?;
    let mut context = Context::new_with_codec(found);
    let extradata = match parameters {
        Parameters::H264(h264) => h264.avcc(),
        Parameters::H265(h265) => h265.hvcc(),
        Parameters::Av1(av1) => av1.av1c(),
        Parameters::Aac(aac) => aac.asc.clone(),
        // What a packet decodes to belongs at its timestamp: nothing is to be skipped at the start.
        Parameters::Opus(opus) => onmic_media::codec::opus::Parameters { pre_skip: 0, ..opus.clone() }.opus_head(),
        Parameters::Vp8(_) | Parameters::Vp9(_) | Parameters::Metadata(_) => bytes::Bytes::new(),
    };
    let failed = |cause| Error::Open { name: codec.name(), cause };
    if !extradata.is_empty() {
        ffi::set_extradata(&mut context, &extradata).map_err(failed)?;
    }
    let most_pixels = picture::MOST_PIXELS.to_string();
    let mut options = vec![("threads", "1")];
    if codec.kind() == MediaKind::Video {
        options.push(("max_pixels", &most_pixels)); // Refused before anything is allocated for it.
    }
    match codec {
        Codec::Av1 => options.push(("flags", "+low_delay")),
        Codec::Opus => options.push(("request_sample_fmt", "flt")),
        _ => {}
    }
    for (name, value) in options {
        let wrong = |cause| Error::Option { name: name.to_owned(), value: value.to_owned(), cause };
        ffi::set_option(&mut context, name, value).map_err(wrong)?;
    }
    context.decoder().open_as(found).map_err(failed)
}

fn send(decoder: &mut Opened, payload: &[u8], ordinal: i64) -> Result<(), Error> {
    // An empty packet would mean the end of the stream.
    if payload.is_empty() {
        return Err(Error::Decode(Cause::InvalidData));
    }
    let mut packet = Packet::copy(payload);
    packet.set_pts(Some(ordinal));
    packet.set_dts(Some(ordinal));
    decoder.send_packet(&packet).map_err(Error::Decode)
}

/// `None` when it wants more, or has no more.
fn receive(decoder: &mut Opened, frame: &mut frame::Frame) -> Result<bool, Error> {
    match decoder.receive_frame(frame) {
        Ok(()) => Ok(true),
        Err(Cause::Other { errno: error::EAGAIN } | Cause::Eof) => Ok(false),
        Err(cause) => Err(Error::Decode(cause)),
    }
}

/// Decodes one video stream.
pub struct VideoDecoder(Opened);

impl VideoDecoder {
    /// For frames with these parameters.
    pub fn open(parameters: &Parameters) -> Result<Self, Error> {
        open(parameters).map(Self)
    }

    /// Takes in one frame. All pictures must be received before the next one.
    pub fn send(&mut self, payload: &[u8], ordinal: i64) -> Result<(), Error> {
        send(&mut self.0, payload, ordinal)
    }

    /// The next picture in presentation order, with the ordinal of its frame as `pts`.
    pub fn receive(&mut self) -> Result<Option<frame::Video>, Error> {
        let mut frame = frame::Video::empty();
        Ok(receive(&mut self.0, &mut frame)?.then_some(frame))
    }

    /// No frame will follow: what is held back for reordering comes out.
    pub fn finish(&mut self) {
        self.0.send_eof().ok(); // Fails only when it was said before.
    }

    /// Forgets everything: the next frame must be a keyframe.
    pub fn flush(&mut self) {
        self.0.flush();
    }

    /// Whether pictures that no other needs are left out, for those who are in a hurry.
    pub fn skip_unreferenced(&mut self, skip: bool) {
        self.0.skip_frame(if skip { Discard::NonReference } else { Discard::Default });
    }

    /// The picture of one keyframe, found out aside from the stream: the decoder is flushed after it.
    pub fn probe(&mut self, keyframe: &[u8]) -> Result<Option<frame::Video>, Error> {
        self.send(keyframe, 0)?;
        self.finish();
        let picture = self.receive();
        self.flush();
        picture
    }
}

/// Decodes one audio stream.
pub struct AudioDecoder(Opened);

impl AudioDecoder {
    /// For frames with these parameters.
    pub fn open(parameters: &Parameters) -> Result<Self, Error> {
        open(parameters).map(Self)
    }

    /// Takes in one frame. All samples must be received before the next one.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        send(&mut self.0, payload, 0)
    }

    /// The next block of samples.
    pub fn receive(&mut self) -> Result<Option<frame::Audio>, Error> {
        let mut frame = frame::Audio::empty();
        Ok(receive(&mut self.0, &mut frame)?.then_some(frame))
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::opus;

    use super::*;

    #[test]
    fn a_misspelt_option_is_an_error() {
        let mut context = Context::new_with_codec(ffmpeg_next::encoder::find_by_name("libx264").unwrap());
        assert!(ffi::set_option(&mut context, "forced-idr", "1").is_ok());
        assert!(ffi::set_option(&mut context, "forced_idr", "1").is_err());
        assert!(ffi::set_option(&mut context, "g", "not a number").is_err());
    }

    #[test]
    fn an_empty_payload_is_refused_and_the_decoder_goes_on() {
        let mut decoder = AudioDecoder::open(&Parameters::Opus(opus::Parameters::new(2))).unwrap();
        assert!(decoder.send(&[]).is_err());
        decoder.send(&[0xfc, 0xff, 0xfe]).unwrap();
        assert_eq!(decoder.receive().unwrap().unwrap().samples(), 960);
    }
}
