//! Writes configurations and frames as tag bodies, tags and files.

use super::*;
use crate::codec::{MediaKind, Parameters};
use crate::frame::Frame;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Deref;

/// Holds the bytes of a tag body before its payload. It dereferences to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHeader {
    bytes: [u8; 8],
    length: usize,
}

impl BodyHeader {
    fn new(parts: &[&[u8]]) -> Self {
        let mut header = Self { bytes: [0; 8], length: 0 };
        for part in parts {
            header.bytes[header.length..header.length + part.len()].copy_from_slice(part);
            header.length += part.len();
        }
        header
    }
}

impl Deref for BodyHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Returns the header of a tag with one frame. H.264 has the legacy form, which every player knows. All other codecs
/// have the enhanced form.
pub fn write_video_header(codec: Codec, keyframe: bool, composition_ms: i32) -> BodyHeader {
    let frame = if keyframe { FRAME_KEY } else { FRAME_INTER } << 4;
    let offset = &composition_ms.clamp(-(1 << 23), (1 << 23) - 1).to_be_bytes()[1..];
    let enhanced = EX_VIDEO | frame;
    match codec {
        Codec::H264 => BodyHeader::new(&[&[frame | VIDEO_AVC, CODED_FRAMES], offset]),
        Codec::H265 if composition_ms == 0 => BodyHeader::new(&[&[enhanced | VIDEO_CODED_FRAMES_X], &four_cc(codec)]),
        Codec::H265 => BodyHeader::new(&[&[enhanced | CODED_FRAMES], &four_cc(codec), offset]),
        _ => BodyHeader::new(&[&[enhanced | CODED_FRAMES], &four_cc(codec)]),
    }
}

/// Returns the body of a tag with a video sequence header. It is empty for parameters of an audio codec.
pub fn write_video_config(parameters: &Parameters) -> Bytes {
    let record = match parameters {
        Parameters::H264(h264) => h264.avcc(),
        Parameters::H265(h265) => h265.hvcc(),
        Parameters::Av1(av1) => av1.av1c(),
        Parameters::Vp9(vp9) => vp9.vpcc(),
        // A VPCodecConfigurationRecord for VP8: 8 bits, 4:2:0, unspecified colours.
        Parameters::Vp8(vp8) => Bytes::copy_from_slice(&[vp8.version, 0, 0x82, 2, 2, 2, 0, 0]),
        Parameters::Aac(_) | Parameters::Opus(_) | Parameters::Metadata(_) => return Bytes::new(),
    };
    let codec = parameters.codec();
    let header = match codec {
        Codec::H264 => BodyHeader::new(&[&[FRAME_KEY << 4 | VIDEO_AVC, SEQUENCE_START, 0, 0, 0]]),
        _ => BodyHeader::new(&[&[EX_VIDEO | FRAME_KEY << 4 | SEQUENCE_START], &four_cc(codec)]),
    };
    chain(&header, &record)
}

/// Returns the body of the tag after the last frame.
pub fn video_end_of_sequence(codec: Codec) -> BodyHeader {
    match codec {
        Codec::H264 => BodyHeader::new(&[&[FRAME_KEY << 4 | VIDEO_AVC, SEQUENCE_END, 0, 0, 0]]),
        _ => BodyHeader::new(&[&[EX_VIDEO | FRAME_KEY << 4 | SEQUENCE_END], &four_cc(codec)]),
    }
}

/// The legacy header of AAC. It always declares 44.1 kHz, 16 bit, stereo (E.4.2.1). The configuration states the real
/// values.
const LEGACY_AAC: u8 = SOUND_AAC << 4 | 0xf;

/// Returns the header of a tag with one packet. AAC has the legacy form, Opus the enhanced form.
pub fn write_audio_header(codec: Codec) -> BodyHeader {
    match codec {
        Codec::Aac => BodyHeader::new(&[&[LEGACY_AAC, CODED_FRAMES]]),
        _ => BodyHeader::new(&[&[EX_AUDIO << 4 | CODED_FRAMES], &four_cc(codec)]),
    }
}

/// Returns the body of a tag with an audio sequence header. It is empty for parameters of a video codec.
pub fn write_audio_config(parameters: &Parameters) -> Bytes {
    match parameters {
        Parameters::Aac(aac) => chain(&[LEGACY_AAC, SEQUENCE_START], &aac.asc),
        Parameters::Opus(opus) => {
            let header = BodyHeader::new(&[&[EX_AUDIO << 4 | SEQUENCE_START], &four_cc(Codec::Opus)]);
            chain(&header, &opus.opus_head())
        }
        _ => Bytes::new(),
    }
}

/// Returns the configuration of a track. Timed metadata has no configuration.
pub fn write_config(parameters: &Parameters) -> Bytes {
    match parameters.kind() {
        MediaKind::Video => write_video_config(parameters),
        MediaKind::Audio => write_audio_config(parameters),
        MediaKind::Data => Bytes::new(),
    }
}

/// Returns the bytes before the payload of a frame. There are no such bytes for timed metadata. `composition_ms` is the
/// presentation time minus the decoding time.
pub fn write_header(frame: &Frame, composition_ms: i64) -> BodyHeader {
    let codec = frame.parameters.codec();
    match codec.kind() {
        MediaKind::Video => {
            let composition_ms =
                i32::try_from(composition_ms).unwrap_or(if composition_ms < 0 { i32::MIN } else { i32::MAX });
            write_video_header(codec, frame.keyframe, composition_ms)
        }
        MediaKind::Audio => write_audio_header(codec),
        MediaKind::Data => BodyHeader::new(&[]),
    }
}

/// Returns the body of the tag after the last packet. Legacy AAC has no such tag: it is an empty packet there.
pub fn audio_end_of_sequence(codec: Codec) -> BodyHeader {
    match codec {
        Codec::Aac => write_audio_header(codec),
        _ => BodyHeader::new(&[&[EX_AUDIO << 4 | SEQUENCE_END], &four_cc(codec)]),
    }
}

fn chain(header: &[u8], record: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(header.len() + record.len());
    body.put_slice(header);
    body.put_slice(record);
    body.freeze()
}

/// Returns the start of an FLV file or HTTP-FLV response, with the size of the tag before the first, which is 0.
pub fn file_header(has_audio: bool, has_video: bool) -> [u8; 13] {
    let flags = u8::from(has_audio) << 2 | u8::from(has_video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// Names the content of a tag. Its number is also the RTMP message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum TagType {
    Audio = 8,
    Video = 9,
    Script = 18,
}

impl From<MediaKind> for TagType {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
            MediaKind::Data => Self::Script,
        }
    }
}

/// Returns the eleven bytes before a tag's body. The size of a body above 16 MB cannot be stated, and is cut to the
/// largest that can.
pub fn tag_header(kind: TagType, timestamp_ms: u32, body_length: usize) -> [u8; 11] {
    let [_, size @ ..] = body_size(body_length).to_be_bytes();
    let [extended, time @ ..] = timestamp_ms.to_be_bytes();
    [kind as u8, size[0], size[1], size[2], time[0], time[1], time[2], extended, 0, 0, 0]
}

/// Returns the four bytes after a tag's body.
pub fn previous_tag_size(body_length: usize) -> [u8; 4] {
    (body_size(body_length) + 11).to_be_bytes()
}

fn body_size(body_length: usize) -> u32 {
    debug_assert!(body_length < 1 << 24, "messages are capped, so no frame is this large");
    body_length.min((1 << 24) - 1) as u32
}

/// Returns the body of an `onMetaData` script tag (AMF0), which is also the payload of RTMP's data message.
pub fn on_meta_data(video: Option<&Parameters>, audio: Option<&Parameters>) -> Bytes {
    let mut properties = Vec::new();
    if let Some(video) = video {
        if let Some((width, height)) = video.resolution() {
            properties.push(("width", Amf0::Number(width.into())));
            properties.push(("height", Amf0::Number(height.into())));
        }
        if let Some(rate) = video.frame_rate() {
            properties.push(("framerate", Amf0::Number(rate)));
        }
        properties.push(("videocodecid", Amf0::Number(legacy_codec_id(video.codec()))));
    }
    if let Some(audio) = audio {
        properties.push(("audiosamplerate", Amf0::Number(audio.sample_rate().unwrap_or(0).into())));
        properties.push(("audiosamplesize", Amf0::Number(16.0)));
        properties.push(("stereo", Amf0::Boolean(audio.channels().is_some_and(|channels| channels > 1))));
        properties.push(("audiocodecid", Amf0::Number(legacy_codec_id(audio.codec()))));
    }
    properties.push(("encoder", Amf0::String(concat!("onmic ", env!("CARGO_PKG_VERSION")))));

    let mut body = BytesMut::with_capacity(256);
    Amf0::String("onMetaData").put(&mut body);
    body.put_u8(8); // ECMA array
    body.put_u32(properties.len() as u32);
    for (name, value) in properties {
        put_name(&mut body, name);
        value.put(&mut body);
    }
    body.put_slice(&[0, 0, 9]); // object end
    body.freeze()
}

/// Returns the number of `videocodecid` and `audiocodecid`: the legacy number, or the FourCC as Enhanced RTMP requires
/// it.
fn legacy_codec_id(codec: Codec) -> f64 {
    match codec {
        Codec::H264 => VIDEO_AVC.into(),
        Codec::Aac => SOUND_AAC.into(),
        other => u32::from_be_bytes(four_cc(other)).into(),
    }
}

enum Amf0 {
    Number(f64),
    Boolean(bool),
    String(&'static str),
}

impl Amf0 {
    fn put(&self, body: &mut BytesMut) {
        match self {
            Self::Number(number) => {
                body.put_u8(0);
                body.put_f64(*number);
            }
            Self::Boolean(boolean) => body.put_slice(&[1, u8::from(*boolean)]),
            Self::String(string) => {
                body.put_u8(2);
                put_name(body, string);
            }
        }
    }
}

fn put_name(body: &mut BytesMut, name: &str) {
    body.put_u16(name.len() as u16); // literals, all short
    body.put_slice(name.as_bytes());
}
