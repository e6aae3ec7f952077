//! Reads tag bodies as configurations and frames.

use std::collections::VecDeque;

use super::tracks::{Main, Sorted, Tracks};
use super::*;
use crate::DropReason;
use crate::codec::{MediaKind, Parameters, aac, av1, h264, h265, nal, opus, vp8, vp9};
use crate::key::Rendition;
use crate::part::part;
use bytes::Bytes;

/// Is the content of a video message.
#[derive(Clone, Debug, PartialEq)]
pub enum VideoTag {
    /// The parameters that the decoder must know from here on. They may repeat those in force.
    Config(Parameters),
    /// One access unit in canonical form, with whatever parameter sets it brings.
    Frame {
        /// The codec that the tag names.
        codec: Codec,
        /// Whether decoding can start here, as the bitstream states (the flag of the tag is wrong for some encoders).
        keyframe: bool,
        /// The presentation time minus the decoding time, in ms.
        composition_ms: i32,
        /// The payload, a slice of the body.
        payload: Bytes,
    },
    /// No frames follow until the next configuration.
    EndOfSequence,
    /// The message is of further renditions alone ([`Reader::next_further`]).
    Further,
    /// The message has no content for a track.
    Ignored(Ignored),
}

/// Is the content of an audio message.
#[derive(Clone, Debug, PartialEq)]
pub enum AudioTag {
    /// The parameters that the decoder must know from here on. They may repeat those in force.
    Config(Parameters),
    /// One message of audio: a packet, or ADTS.
    Frame {
        /// The codec that the tag names.
        codec: Codec,
        /// The payload, a slice of the body.
        payload: Bytes,
    },
    /// No packets follow until the next configuration.
    EndOfSequence,
    /// The message has no content for a track.
    Ignored(Ignored),
}

/// States why a tag has no content for a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The message or packet has no payload.
    Empty,
    /// It is colour information for HDR, which the bitstream repeats.
    Metadata,
    /// It is a seek command, or something else that is not a frame.
    Command,
    /// The message has only tracks that are left out.
    OtherTrack,
    /// It is the order of the audio channels, which the codec's configuration repeats.
    ChannelOrder,
    /// The specification leaves this packet type open.
    UnknownPacketType(u8),
}

impl Ignored {
    /// Returns the reason that it is counted by.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Empty => DropReason::TagEmpty,
            Self::Metadata => DropReason::TagMetadata,
            Self::Command => DropReason::TagCommand,
            Self::OtherTrack => DropReason::TagOtherTrack,
            Self::ChannelOrder => DropReason::TagChannelOrder,
            Self::UnknownPacketType(_) => DropReason::TagUnknownPacketType,
        }
    }
}

/// Reads the tags of one publication.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// The form of frames of each rendition of video.
    video: [Option<VideoFraming>; VIDEO_RENDITIONS_MAX],
    /// The tracks of video and of audio. A message without the multitrack layer is of track 0.
    tracks: [Tracks; 2],
    /// The packets of further renditions of the last message. `None` is the end of one.
    further: VecDeque<(Rendition, Option<Packet>)>,
    other_tracks: u64,
    /// The audio codec whose configuration was refused last, and what it is in words: its frames are in that, too.
    refused: Option<(Codec, String)>,
}

/// Holds the form of frames of the configured codec.
#[derive(Clone, Copy, Debug)]
struct VideoFraming {
    codec: Codec,
    length_size: usize,
}

/// Holds a packet of a message: its type, its codec, and the rest of the body.
#[derive(Clone, Debug)]
struct Packet {
    kind: u8,
    codec: Codec,
    /// The composition time of a legacy message, which stands before its body.
    legacy_ms: Option<i32>,
    body: Bytes,
}

const VIDEO: &str = "FLV video tag";
const AUDIO: &str = "FLV audio tag";

/// The size that lengths of NAL units have where no record states their size.
const CANONICAL_LENGTH_SIZE: usize = 4;

/// Codecs of FLV 10.1, E.4.2.1 and E.4.3.1, that this server does not carry.
const SOUND_NAMES: [(u8, &str); 12] = [
    (0, "PCM"),
    (1, "ADPCM"),
    (2, "MP3"),
    (3, "PCM"),
    (4, "Nellymoser"),
    (5, "Nellymoser"),
    (6, "Nellymoser"),
    (7, "G.711 A-law"),
    (8, "G.711 mu-law"),
    (11, "Speex"),
    (14, "MP3"),
    (15, "device-specific"),
];
const VIDEO_NAMES: [(u8, &str); 6] =
    [(1, "JPEG"), (2, "Sorenson H.263"), (3, "Screen Video"), (4, "VP6"), (5, "VP6"), (6, "Screen Video")];

/// The most renditions of video of one publisher, the main one included. OBS sends up to six.
pub const VIDEO_RENDITIONS_MAX: usize = 6;

/// The most tracks of one message that are looked at. OBS sends up to six qualities of video, and six tracks of audio.
const TRACKS_READ: usize = 16;

/// The most modifiers of a packet. A real sender uses one, for nanoseconds.
const MOST_MODIFIERS: usize = 8;

impl Reader {
    /// Makes a reader that has seen no configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of the track of this kind that is the main one.
    pub fn main_track(&self, kind: MediaKind) -> Option<u8> {
        self.tracks[usize::from(kind == MediaKind::Audio)].main()
    }

    /// Returns the further renditions of video that there are, or are announced by their headers.
    pub fn further_renditions(&self) -> impl Iterator<Item = Rendition> {
        self.tracks[0].further()
    }

    /// Returns the next tag of a further rendition that the last message of video has brought.
    pub fn next_further(&mut self) -> Option<(Rendition, Result<VideoTag, FlvError>)> {
        let (rendition, packet) = self.further.pop_front()?;
        Some((rendition, packet.map_or(Ok(VideoTag::EndOfSequence), |packet| self.video_tag(rendition, packet))))
    }

    /// Returns how many frames and configurations of tracks were left out.
    pub fn other_tracks(&self) -> u64 {
        self.other_tracks
    }

    /// Reads the body of a video tag or message, and returns what it is to the main rendition. [`Reader::next_further`] has what it
    /// is to others.
    pub fn parse_video(&mut self, body: Bytes) -> Result<VideoTag, FlvError> {
        self.further.clear();
        let Some(&first) = body.first() else { return Ok(VideoTag::Ignored(Ignored::Empty)) };
        if first & EX_VIDEO != 0 {
            return self.enhanced_video(first, body);
        }
        if first >> 4 == FRAME_COMMAND {
            return Ok(VideoTag::Ignored(Ignored::Command));
        }
        let codec = match first & 0xf {
            VIDEO_AVC => Codec::H264,
            VIDEO_H265 => Codec::H265,
            other => return Err(FlvError::UnsupportedCodec(legacy_name("FLV video codec", other, &VIDEO_NAMES))),
        };
        let header: &[u8; 5] = body.first_chunk().ok_or(Malformed::Truncated { what: VIDEO })?;
        let legacy_ms = Some(signed_24([header[2], header[3], header[4]]));
        let packet = Packet { kind: header[1], codec, legacy_ms, body: body.slice(5..) };
        let before = self.other_tracks;
        let packet = self.sort(MediaKind::Video, 0, packet);
        self.main_tag(packet, before)
    }

    /// Reads the body of an audio tag or message.
    pub fn parse_audio(&mut self, body: Bytes) -> Result<AudioTag, FlvError> {
        let Some(&first) = body.first() else { return Ok(AudioTag::Ignored(Ignored::Empty)) };
        match first >> 4 {
            EX_AUDIO => self.enhanced_audio(first, body),
            SOUND_AAC => {
                let &kind = body.get(1).ok_or(Malformed::Truncated { what: AUDIO })?;
                let packet = Packet { kind, codec: Codec::Aac, legacy_ms: None, body: body.slice(2..) };
                let Some(Packet { kind, codec, body, .. }) = self.sort(MediaKind::Audio, 0, packet) else {
                    return Ok(AudioTag::Ignored(Ignored::OtherTrack));
                };
                match kind {
                    SEQUENCE_START => self.audio_config(codec, &body),
                    CODED_FRAMES => self.audio_frame(codec, body),
                    other => Ok(AudioTag::Ignored(Ignored::UnknownPacketType(other))),
                }
            }
            other => Err(FlvError::UnsupportedCodec(legacy_name("FLV sound format", other, &SOUND_NAMES))),
        }
    }

    fn enhanced_video(&mut self, first: u8, body: Bytes) -> Result<VideoTag, FlvError> {
        let (kind, body) = modifiers(VIDEO, first & 0xf, body.slice(1..))?;
        if first >> 4 & 7 == FRAME_COMMAND && kind != VIDEO_METADATA {
            return Ok(VideoTag::Ignored(Ignored::Command));
        }
        let before = self.other_tracks;
        let packet = self.packet(VIDEO, MediaKind::Video, kind, VIDEO_MULTITRACK, body)?;
        self.main_tag(packet, before)
    }

    /// Returns the tag of the main rendition of a message. If it has no packet of that, its packets are of others, or some were left
    /// out since there were `before`.
    fn main_tag(&mut self, packet: Option<Packet>, before: u64) -> Result<VideoTag, FlvError> {
        match packet {
            Some(packet) => self.video_tag(Rendition::MAIN, packet),
            None if self.other_tracks == before => Ok(VideoTag::Further),
            None => Ok(VideoTag::Ignored(Ignored::OtherTrack)),
        }
    }

    fn video_tag(&mut self, rendition: Rendition, packet: Packet) -> Result<VideoTag, FlvError> {
        let Packet { kind, codec, legacy_ms, body } = packet;
        match (kind, legacy_ms) {
            (SEQUENCE_START, _) => self.video_config(rendition, codec, &body),
            (CODED_FRAMES, Some(composition_ms)) => self.video_frame(rendition, codec, composition_ms, body),
            (CODED_FRAMES, None) if matches!(codec, Codec::H264 | Codec::H265) => {
                let offset: &[u8; 3] = body.first_chunk().ok_or(Malformed::Truncated { what: VIDEO })?;
                self.video_frame(rendition, codec, signed_24(*offset), body.slice(3..))
            }
            (CODED_FRAMES | VIDEO_CODED_FRAMES_X, None) => self.video_frame(rendition, codec, 0, body),
            (SEQUENCE_END, _) => Ok(VideoTag::EndOfSequence),
            (VIDEO_METADATA, None) => Ok(VideoTag::Ignored(Ignored::Metadata)),
            (other, _) => Ok(VideoTag::Ignored(Ignored::UnknownPacketType(other))),
        }
    }

    fn enhanced_audio(&mut self, first: u8, body: Bytes) -> Result<AudioTag, FlvError> {
        const MULTICHANNEL_CONFIG: u8 = 4;
        let (kind, body) = modifiers(AUDIO, first & 0xf, body.slice(1..))?;
        let Some(packet) = self.packet(AUDIO, MediaKind::Audio, kind, AUDIO_MULTITRACK, body)? else {
            return Ok(AudioTag::Ignored(Ignored::OtherTrack));
        };
        match packet.kind {
            SEQUENCE_START => self.audio_config(packet.codec, &packet.body),
            CODED_FRAMES => self.audio_frame(packet.codec, packet.body),
            SEQUENCE_END => Ok(AudioTag::EndOfSequence),
            MULTICHANNEL_CONFIG => Ok(AudioTag::Ignored(Ignored::ChannelOrder)),
            other => Ok(AudioTag::Ignored(Ignored::UnknownPacketType(other))),
        }
    }

    /// Returns the packet if it is for the main track, or else the header of another track that goes on in its place. Keeps what is for
    /// further renditions, and counts all else.
    fn sort(&mut self, media: MediaKind, id: u8, packet: Packet) -> Option<Packet> {
        let further_max = if media == MediaKind::Video { VIDEO_RENDITIONS_MAX as u8 - 1 } else { 0 };
        let legacy_ms = packet.legacy_ms;
        let of_header = move |(codec, body)| Packet { kind: SEQUENCE_START, codec, legacy_ms, body };
        let content = (packet.codec, &packet.body);
        let Sorted { main, further, is_kept, ended } =
            self.tracks(media).sort((packet.kind, id), content, further_max, pixels);
        for rendition in ended {
            self.video[usize::from(rendition.0)] = None;
            self.further.push_back((rendition, None));
        }
        let is_used = is_kept || further.is_some();
        if let Some((rendition, header)) = further {
            self.further.extend(header.map(|header| (rendition, Some(of_header(header)))));
            self.further.push_back((rendition, Some(packet.clone())));
        }
        self.other_tracks += u64::from(main != Main::Taken && !is_used);
        match main {
            Main::Out => None,
            Main::Taken => Some(packet),
            Main::Begins(codec, body) => Some(of_header((codec, body))),
        }
    }

    fn tracks(&mut self, media: MediaKind) -> &mut Tracks {
        &mut self.tracks[usize::from(media == MediaKind::Audio)]
    }

    /// Reads the FourCC and the multitrack layer. Returns the packet of the main track, or `None` if the message has only
    /// other tracks.
    fn packet(
        &mut self,
        what: &'static str,
        media: MediaKind,
        kind: u8,
        multitrack: u8,
        mut body: Bytes,
    ) -> Result<Option<Packet>, FlvError> {
        let whole = body.len();
        let codec_of_kind = |body: &mut Bytes| match codec_of(take(what, body)?)? {
            codec if codec.kind() == media => Ok(codec),
            codec => Err(FlvError::UnsupportedCodec(format!("{codec} as {media}"))),
        };
        if kind != multitrack {
            let codec = codec_of_kind(&mut body)?;
            return Ok(self.sort(media, 0, Packet { kind, codec, legacy_ms: None, body }));
        }
        let [types] = take(what, &mut body)?;
        let (layout, kind) = (types >> 4, types & 0xf);
        if layout > MANY_TRACKS_MANY_CODECS || kind == multitrack {
            let field = "multitrack type";
            return Err(Malformed::OutOfRange { what, field, value: types.into() }.into());
        }
        // A codec that is not carried matters only if its track is taken.
        let shared = match layout {
            MANY_TRACKS_MANY_CODECS => None,
            _ => match codec_of_kind(&mut body) {
                Err(malformed @ FlvError::Malformed(_)) => return Err(malformed),
                codec => Some(codec),
            },
        };
        let mut tracks: Vec<(u8, Result<Codec, FlvError>, Bytes)> = Vec::new();
        // Each turn takes at least one byte.
        while !body.is_empty() {
            let codec = shared.clone().unwrap_or_else(|| codec_of_kind(&mut body));
            let [track] = take(what, &mut body)?;
            let track_body = match layout {
                ONE_TRACK => std::mem::take(&mut body),
                _ => {
                    let [high, middle, low] = take(what, &mut body)?;
                    let size = u32::from_be_bytes([0, high, middle, low]) as usize;
                    if size > body.len() {
                        return Err(Malformed::Truncated { what }.into());
                    }
                    body.split_to(size)
                }
            };
            // A message repeats no track. If it does, the first counts.
            if tracks.len() < TRACKS_READ && tracks.iter().all(|(known, ..)| *known != track) {
                tracks.push((track, codec, track_body));
            } else {
                self.other_tracks += 1;
            }
        }
        // The lowest comes first, so that it is the one that is taken where none was.
        tracks.sort_unstable_by_key(|(track, ..)| *track);
        let (mut refused, mut taken) = (None, None);
        for (track, codec, body) in tracks {
            let packet = |codec| Packet { kind, codec, legacy_ms: None, body: part(whole, body) };
            match codec {
                Ok(codec) => {
                    let main = self.sort(media, track, packet(codec));
                    taken = taken.or(main);
                }
                Err(error) if taken.is_none() && refused.is_none() && self.tracks(media).takes(kind, track) => {
                    refused = Some(error);
                }
                Err(_) => self.other_tracks += 1,
            }
        }
        match (taken, refused) {
            (Some(packet), refused) => {
                self.other_tracks += u64::from(refused.is_some());
                Ok(Some(packet))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    fn video_config(&mut self, rendition: Rendition, codec: Codec, record: &[u8]) -> Result<VideoTag, FlvError> {
        if record.is_empty() {
            return Ok(VideoTag::Ignored(Ignored::Empty));
        }
        let (parameters, length_size) = video_record(codec, record)?;
        self.video[usize::from(rendition.0)] = Some(VideoFraming { codec, length_size });
        Ok(VideoTag::Config(parameters))
    }
    fn video_frame(
        &self,
        rendition: Rendition,
        codec: Codec,
        composition_ms: i32,
        payload: Bytes,
    ) -> Result<VideoTag, FlvError> {
        if payload.is_empty() {
            return Ok(VideoTag::Ignored(Ignored::Empty));
        }
        let payload = match codec {
            Codec::H264 | Codec::H265 => {
                let framing = self.video[usize::from(rendition.0)].filter(|framing| framing.codec == codec);
                nal::canonical(payload, framing.map_or(CANONICAL_LENGTH_SIZE, |framing| framing.length_size))?
            }
            Codec::Av1 => {
                av1::check(&payload)?;
                av1::strip_temporal_delimiters(payload)
            }
            _ => payload,
        };
        // A temporal unit may consist of its delimiter alone.
        if payload.is_empty() {
            return Ok(VideoTag::Ignored(Ignored::Empty));
        }
        let keyframe = codec.is_keyframe(&payload);
        Ok(VideoTag::Frame { codec, keyframe, composition_ms, payload })
    }

    fn audio_config(&mut self, codec: Codec, record: &[u8]) -> Result<AudioTag, FlvError> {
        if record.is_empty() {
            return Ok(AudioTag::Ignored(Ignored::Empty));
        }
        let read = match codec {
            // Some encoders put the header of ADTS where the configuration belongs.
            Codec::Aac if aac::Adts::begins(record) => {
                aac::Adts::parse(record).and_then(|adts| adts.parameters()).map(Parameters::Aac)
            }
            Codec::Aac => aac::Parameters::from_asc(record).map(Parameters::Aac),
            _ => opus::Parameters::from_opus_head(record).map(Parameters::Opus),
        };
        let read = read.map_err(|malformed| unsupported(codec, malformed));
        self.refused = match &read {
            Err(FlvError::UnsupportedCodec(words)) => Some((codec, words.clone())),
            _ => None,
        };
        read.map(AudioTag::Config)
    }

    fn audio_frame(&self, codec: Codec, payload: Bytes) -> Result<AudioTag, FlvError> {
        if payload.is_empty() {
            return Ok(AudioTag::Ignored(Ignored::Empty));
        }
        let has_own_header = codec == Codec::Aac && aac::Adts::begins(&payload);
        match &self.refused {
            Some((refused, words)) if *refused == codec && !has_own_header => {
                Err(FlvError::UnsupportedCodec(words.clone()))
            }
            _ => Ok(AudioTag::Frame { codec, payload }),
        }
    }
}

/// Reads the configuration of a codec of video, and the size that lengths of NAL units have after it.
fn video_record(codec: Codec, record: &[u8]) -> Result<(Parameters, usize), FlvError> {
    let read = match codec {
        Codec::H264 | Codec::H265 if nal::begins_with_start_code(record) => start_codes(codec, record),
        Codec::H264 => h264::Parameters::from_avcc(record).map(|(read, size)| (Parameters::H264(read), size)),
        Codec::H265 => h265::Parameters::from_hvcc(record).map(|(read, size)| (Parameters::H265(read), size)),
        Codec::Av1 => av1::Parameters::from_av1c(record).map(|read| (Parameters::Av1(read), 0)),
        Codec::Vp9 => vp9::Parameters::from_vpcc(record).map(|read| (Parameters::Vp9(read), 0)),
        Codec::Vp8 => Ok((Parameters::Vp8(vp8::Parameters { width: 0, height: 0, version: 0 }), 0)),
        Codec::Aac | Codec::Opus | Codec::Metadata => {
            return Err(FlvError::UnsupportedCodec(codec.name().to_owned()));
        }
    };
    read.map_err(|malformed| unsupported(codec, malformed))
}

/// Returns the pixels of a picture, as a header states them. 0 if it does not.
fn pixels(codec: Codec, record: &Bytes) -> u64 {
    let size = video_record(codec, record).ok().and_then(|(parameters, _)| parameters.resolution());
    size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
}

/// Names what a configuration states and this server does not carry. It was sent and read, so nothing is missing from it.
fn unsupported(codec: Codec, malformed: Malformed) -> FlvError {
    let Malformed::Unsupported { field, value, .. } = malformed else { return FlvError::Malformed(malformed) };
    let is_profile = codec == Codec::Aac && field == aac::OBJECT_TYPE;
    let profile = if is_profile { aac::refused_profile(value) } else { None };
    FlvError::UnsupportedCodec(match profile {
        Some(profile) => format!("{profile} (audio {field} {value})"),
        None => format!("{} with {field} {value}", codec.name()),
    })
}

/// Reads a configuration that is parameter sets behind start codes instead of a record.
fn start_codes(codec: Codec, stream: &[u8]) -> Result<(Parameters, usize), Malformed> {
    let units = nal::from_annex_b(stream);
    let parameters = match codec {
        Codec::H264 => h264::Parameters::from_access_unit(&units).map(Parameters::H264),
        _ => h265::Parameters::from_access_unit(&units).map(Parameters::H265),
    };
    let missing = Malformed::Missing { what: "sequence header", field: "usable parameter sets" };
    parameters.map(|parameters| (parameters, CANONICAL_LENGTH_SIZE)).ok_or(missing)
}

/// Names a codec by its number and, where it has one, its name.
fn legacy_name(what: &str, number: u8, names: &[(u8, &str)]) -> String {
    match names.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => format!("{what} {number} ({name})"),
        None => format!("{what} {number}"),
    }
}

/// Skips ModEx packets (nanosecond offsets and later ones). Returns the packet type after them, and the rest.
fn modifiers(what: &'static str, mut kind: u8, mut body: Bytes) -> Result<(u8, Bytes), FlvError> {
    for _ in 0..MOST_MODIFIERS {
        if kind != MOD_EX {
            return Ok((kind, body));
        }
        let [size] = take(what, &mut body)?;
        let size = match usize::from(size) + 1 {
            256 => usize::from(u16::from_be_bytes(take(what, &mut body)?)) + 1,
            size => size,
        };
        if size > body.len() {
            return Err(Malformed::Truncated { what }.into());
        }
        body = body.slice(size..);
        let [types] = take(what, &mut body)?;
        kind = types & 0xf;
    }
    Err(Malformed::OutOfRange { what, field: "modifiers", value: MOST_MODIFIERS as u64 }.into())
}

fn take<const N: usize>(what: &'static str, body: &mut Bytes) -> Result<[u8; N], Malformed> {
    let taken = *body.first_chunk().ok_or(Malformed::Truncated { what })?;
    *body = body.slice(N..);
    Ok(taken)
}

fn signed_24([high, middle, low]: [u8; 3]) -> i32 {
    i32::from_be_bytes([high, middle, low, 0]) >> 8
}
