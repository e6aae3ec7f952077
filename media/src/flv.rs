//! The body of FLV tags, which RTMP's audio and video messages also carry: legacy, and Enhanced RTMP v2.
//!
//! [`Reader`] turns bytes into tags. It keeps two facts between tags: the NAL unit length size of each configuration
//! record, so that frames come out in the canonical form, and which rendition each track is. A record may be missing: then lengths have four bytes, or there
//! are start codes, and what the frames themselves say is for [`crate::codec::InBand`]. Payloads are slices of the body:
//! only a length size other than four copies. The writing functions make a small header to send before a payload, which
//! they do not touch.
//!
//! The container has the timestamps: a tag here knows only its composition offset. Of several tracks of a kind one is the
//! main rendition, whatever its number: the first that comes, until a lower one brings its sequence header, or another goes on without it
//! (`tracks.rs`). Other tracks of video are further renditions, up to [`VIDEO_RENDITIONS_MAX`] in all. Other tracks of audio are counted.

mod read;
mod tracks;
mod write;

pub use read::{AudioTag, Ignored, Reader, VIDEO_RENDITIONS_MAX, VideoTag};
pub use write::{
    BodyHeader, TagType, audio_end_of_sequence, file_header, on_meta_data, previous_tag_size, tag_header,
    video_end_of_sequence, write_audio_config, write_audio_header, write_config, write_header, write_video_config,
    write_video_header,
};

use crate::codec::{Codec, Malformed};

/// States why a tag cannot be used. The peer always causes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// The header, a configuration record, or the framing of a payload is broken.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The codec cannot be carried. It is named by its number or its FourCC.
    #[error("{0} is not supported; send H.264, H.265, AV1 or VP9 with AAC or Opus")]
    UnsupportedCodec(String),
}

/// Is the four characters that name a codec in Enhanced RTMP.
type FourCc = [u8; 4];

const FOUR_CCS: [(Codec, FourCc); 7] = [
    (Codec::H264, *b"avc1"),
    (Codec::H265, *b"hvc1"),
    (Codec::Av1, *b"av01"),
    (Codec::Vp9, *b"vp09"),
    (Codec::Vp8, *b"vp08"),
    (Codec::Aac, *b"mp4a"),
    (Codec::Opus, *b"Opus"),
];

/// Returns the FourCC of a codec in Enhanced RTMP.
pub fn four_cc(codec: Codec) -> FourCc {
    FOUR_CCS.iter().find(|(known, _)| *known == codec).map_or([0; 4], |&(_, four_cc)| four_cc)
}

/// The names of the sample entries whose parameter sets are in band. Enhanced RTMP does not list them, encoders send them.
const IN_BAND: [(Codec, FourCc); 2] = [(Codec::H264, *b"avc3"), (Codec::H265, *b"hev1")];

fn codec_of(four_cc: FourCc) -> Result<Codec, FlvError> {
    let known = FOUR_CCS.iter().chain(&IN_BAND).find(|(_, known)| *known == four_cc);
    known.map(|&(codec, _)| codec).ok_or_else(|| FlvError::UnsupportedCodec(four_cc.escape_ascii().to_string()))
}

// Legacy numbers (FLV 10.1, E.4.2.1 and E.4.3.1).
const SOUND_AAC: u8 = 10;
/// The number that carried H.265 before Enhanced RTMP, and still does with many encoders. It is not in the
/// specification.
const VIDEO_H265: u8 = 12;
const VIDEO_AVC: u8 = 7;

const FRAME_KEY: u8 = 1;
const FRAME_INTER: u8 = 2;
const FRAME_COMMAND: u8 = 5;

// Enhanced RTMP: the flag of an ExVideoTagHeader, the SoundFormat of an ExAudioTagHeader, and the packet types.
const EX_VIDEO: u8 = 0x80;
const EX_AUDIO: u8 = 9;
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const VIDEO_CODED_FRAMES_X: u8 = 3;
const VIDEO_METADATA: u8 = 4;
const VIDEO_MULTITRACK: u8 = 6;
const AUDIO_MULTITRACK: u8 = 5;
const MOD_EX: u8 = 7;

const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;
