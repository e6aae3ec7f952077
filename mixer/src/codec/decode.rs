//! Decoding: canonical payloads go in, raw video frames and audio samples come out.
//!
//! Each decoder has one thread, because each frame thread would add a frame of latency. Raw frames come out in
//! presentation order. The ordinal that a coded frame was sent with tells which raw frame came from it, because
//! timestamps need not be unique.

use ffmpeg_next::codec::Context;
use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::codec::discard::Discard;
use ffmpeg_next::{Error as Cause, Packet, decoder, error, frame};
use onmic_media::{Codec, MediaKind, Parameters};

use super::ffi;
use super::picture;
use crate::error::Error;

/// Returns the decoders that may be used, by preference. FFmpeg has others for the same codecs, which need hardware or
/// were not tried with hostile input: no other decoder is ever opened. FFmpeg's own Opus decoder comes last, because it holds
/// samples back where the coding mode changes, which shifts the samples that follow.
const fn allowed(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["h264"],
        Codec::H265 => &["hevc"],
        Codec::Vp8 => &["vp8"],
        Codec::Vp9 => &["vp9"],
        Codec::Av1 => &["libdav1d", "libaom-av1"],
        Codec::Aac => &["aac"],
        Codec::Opus => &["libopus", "opus"],
        Codec::Metadata => &[],
    }
}

/// Returns the decoder of a codec.
pub(crate) fn find(codec: Codec) -> Result<ffmpeg_next::Codec, Error> {
    allowed(codec).iter().find_map(|name| decoder::find_by_name(name)).ok_or(Error::NoDecoder(codec))
}

fn open(parameters: &Parameters) -> Result<Opened, Error> {
    ffi::log_to_tracing();
    let codec = parameters.codec();
    let found = find(codec)?;
    let mut context = Context::new_with_codec(found);
    let extradata = match parameters {
        Parameters::H264(h264) => h264.avcc(),
        Parameters::H265(h265) => h265.hvcc(),
        Parameters::Av1(av1) => av1.av1c(),
        Parameters::Aac(aac) => aac.asc.clone(),
        // The samples of a packet belong at its timestamp, so the decoder must not skip any at the start.
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
        options.push(("max_pixels", &most_pixels)); // FFmpeg refuses a larger frame before it allocates memory for it.
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

/// Returns `false` if the decoder needs more input, or has ended.
fn receive(decoder: &mut Opened, frame: &mut frame::Frame) -> Result<bool, Error> {
    match decoder.receive_frame(frame) {
        Ok(()) => Ok(true),
        Err(Cause::Other { errno: error::EAGAIN } | Cause::Eof) => Ok(false),
        Err(cause) => Err(Error::Decode(cause)),
    }
}

/// Decodes one video stream.
pub struct VideoDecoder {
    opened: Opened,
    /// What came behind the frame that was given out last.
    next: Option<Result<frame::Video, Error>>,
}

impl VideoDecoder {
    /// Opens a decoder for frames with these parameters.
    pub fn open(parameters: &Parameters) -> Result<Self, Error> {
        Ok(Self { opened: open(parameters)?, next: None })
    }

    /// Takes in one coded frame. All raw frames must be received before the next call.
    pub fn send(&mut self, payload: &[u8], ordinal: i64) -> Result<(), Error> {
        send(&mut self.opened, payload, ordinal)
    }

    /// Returns the next raw frame in presentation order. Its `pts` is the ordinal that its coded frame was sent with. Of the
    /// spatial layers of one coded frame only the last comes out, which is the largest.
    pub fn receive(&mut self) -> Result<Option<frame::Video>, Error> {
        let mut last = self.next.take().transpose()?;
        loop {
            let mut frame = frame::Video::empty();
            let next = receive(&mut self.opened, &mut frame).map(|came| came.then_some(frame)).transpose();
            let Some(next) = next else { return Ok(last) };
            last = match (last, next) {
                (None, next) => Some(next?),
                (Some(known), Ok(next)) if known.pts() == next.pts() => Some(next),
                (known, next) => {
                    self.next = Some(next);
                    return Ok(known);
                }
            };
        }
    }

    /// Ends the stream: the frames that the decoder holds back for reordering come out.
    pub fn finish(&mut self) {
        self.opened.send_eof().ok(); // Fails only if the stream was ended before.
    }

    /// Resets the decoder. The next frame must be a keyframe.
    pub fn flush(&mut self) {
        self.opened.flush();
        self.next = None;
    }

    /// Sets whether the decoder skips frames that no other frame refers to. A caller that has to catch up skips them.
    pub fn skip_unreferenced(&mut self, skip: bool) {
        self.opened.skip_frame(if skip { Discard::NonReference } else { Discard::Default });
    }

    /// Decodes one keyframe apart from the stream. The decoder is flushed after it.
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
    /// Opens a decoder for frames with these parameters.
    pub fn open(parameters: &Parameters) -> Result<Self, Error> {
        open(parameters).map(Self)
    }

    /// Takes in one frame. All samples must be received before the next call.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        send(&mut self.0, payload, 0)
    }

    /// Returns the next block of samples.
    pub fn receive(&mut self) -> Result<Option<frame::Audio>, Error> {
        let mut frame = frame::Audio::empty();
        Ok(receive(&mut self.0, &mut frame)?.then_some(frame))
    }

    /// Resets the decoder.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use onmic_media::codec::{opus, vp9};

    use super::*;

    const IVF_HEADER: usize = 32 + 12;

    /// Returns the first frame of an IVF file, a keyframe.
    fn keyframe(ivf: &[u8]) -> &[u8] {
        let length = u32::from_le_bytes(ivf[32..36].try_into().unwrap()) as usize;
        &ivf[IVF_HEADER..IVF_HEADER + length]
    }

    #[test]
    fn of_the_layers_of_a_picture_the_last_comes_out() {
        let layers = [
            keyframe(include_bytes!("../../../media/tests/fixtures/vp9_profile0.ivf")),
            keyframe(include_bytes!("../../../rtc/src/rtp/tests/fixtures/vp9.ivf")),
        ];
        let [small, large] = layers.map(|layer| vp9::Parameters::from_keyframe(layer).unwrap());
        assert!(small.width < large.width);
        let mut picture = BytesMut::from(&layers.concat()[..]);
        vp9::append_index(&mut picture, &[0, layers[0].len()]);
        let mut decoder = VideoDecoder::open(&Parameters::Vp9(small)).unwrap();
        for ordinal in 0..3 {
            decoder.send(&picture, ordinal).unwrap();
            let shown = decoder.receive().unwrap().unwrap();
            assert_eq!((shown.pts(), shown.width()), (Some(ordinal), large.width));
            assert!(decoder.receive().unwrap().is_none());
        }
    }

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
