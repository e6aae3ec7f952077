//! Chooses payload types: the server's order of codecs decides, then its rating of the peer's
//! payload types.
//!
//! The peer's order of codecs does not count, because browsers list VP8 first and decode H.264 as
//! well.

use super::offer::{MediaKind, MediaSection, Offer, OfferedCodec};

/// A codec that this server can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodecName {
    /// H.264 (RFC 6184).
    H264,
    /// H.265 (RFC 7798).
    H265,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// AV1 (the payload format of the AOM).
    Av1,
    /// Opus (RFC 7587).
    Opus,
}

impl CodecName {
    /// Returns the name as in `a=rtpmap`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::Opus => "opus",
        }
    }
}

/// A codec that the server wants to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecCapability {
    /// The codec.
    pub name: CodecName,
    /// For H.264, the `profile_idc`, constraint flags and `level_idc` of the stream if they are
    /// known. They are a hint: if the peer has no payload type of that profile, another is taken,
    /// because decoders accept it.
    pub profile_level_id: Option<[u8; 3]>,
    /// For H.265, VP9 and AV1, the profile of the stream, as `profile-id` or `profile` has it. A decoder of another one cannot
    /// decode it. `None` is the one that every decoder of the codec has.
    pub profile: Option<u32>,
}

impl From<CodecName> for CodecCapability {
    fn from(name: CodecName) -> Self {
        Self { name, profile_level_id: None, profile: None }
    }
}

/// The direction in which a section must carry media, as seen by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The server sends, so the peer must receive.
    Send,
    /// The server receives, so the peer must send.
    Receive,
}

/// The payload type to use in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The index of the section in [`Offer::media`].
    pub section: usize,
    /// The codec of that payload type.
    pub name: CodecName,
    /// The payload type with its parameters.
    pub codec: OfferedCodec,
    /// The payload type of its repair stream.
    pub rtx: Option<u8>,
    /// The payload type in which packets of it repeat earlier ones (RFC 2198).
    pub red: Option<u8>,
    /// The payload type of FlexFEC of the third draft.
    pub flexfec: Option<u8>,
}

impl Offer {
    /// Returns the sections of this kind and flow, in the order of the offer.
    pub fn sections(&self, kind: MediaKind, flow: Flow) -> impl Iterator<Item = usize> {
        let fits = move |section: &MediaSection| {
            section.kind == kind
                && !section.rejected
                && match flow {
                    Flow::Send => section.direction.receives(),
                    Flow::Receive => section.direction.sends(),
                }
        };
        self.media.iter().enumerate().filter(move |(_, section)| fits(section)).map(|(at, _)| at)
    }

    /// Returns the best payload type of one section, for the first of `wanted` that the section
    /// has.
    pub fn choose_in(&self, section: usize, wanted: &[CodecCapability]) -> Option<Chosen> {
        wanted.iter().find_map(|want| choose_in(section, self.media.get(section)?, want))
    }

    /// Returns every payload type of one section that is one of `wanted`: in the order of `wanted`,
    /// and the best of each codec first.
    pub fn choose_all(&self, section: usize, wanted: &[CodecCapability]) -> Vec<Chosen> {
        let Some(media) = self.media.get(section) else { return Vec::new() };
        let of_codec = |want: &CodecCapability| {
            let scored = media.codecs.iter().filter_map(|codec| Some((score(codec, want)?, codec)));
            let mut scored: Vec<_> = scored.collect();
            scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score)); // Equals keep the peer's order.
            let name = want.name;
            scored.into_iter().map(move |(_, codec)| Chosen::new(section, name, codec, media))
        };
        let mut chosen: Vec<Chosen> = Vec::new();
        for next in wanted.iter().flat_map(of_codec) {
            if chosen.iter().all(|known| known.codec.payload_type != next.codec.payload_type) {
                chosen.push(next);
            }
        }
        chosen
    }

    /// Returns the best payload type for the first of `wanted` that a section of this kind and flow
    /// has.
    pub fn choose(&self, kind: MediaKind, flow: Flow, wanted: &[CodecCapability]) -> Option<Chosen> {
        wanted.iter().find_map(|want| self.sections(kind, flow).find_map(|at| self.choose_in(at, &[*want])))
    }
}

fn choose_in(at: usize, section: &MediaSection, want: &CodecCapability) -> Option<Chosen> {
    let codec = section
        .codecs
        .iter()
        .enumerate()
        .filter_map(|(order, codec)| Some((score(codec, want)?, std::cmp::Reverse(order), codec)))
        .max_by_key(|(score, order, _)| (*score, *order))
        .map(|(_, _, codec)| codec)?;
    Some(Chosen::new(at, want.name, codec, section))
}

impl Chosen {
    /// Leaves out the forms of redundancy that only a sender uses here.
    pub fn without_redundancy(self) -> Self {
        Self { red: None, flexfec: None, ..self }
    }

    fn new(section: usize, name: CodecName, codec: &OfferedCodec, media: &MediaSection) -> Self {
        let number = codec.payload_type;
        let is_video = media.kind == MediaKind::Video;
        Self {
            section,
            name,
            codec: codec.clone(),
            rtx: media.rtx_of(number),
            red: media.red_of(number).filter(|_| name == CodecName::Opus),
            flexfec: media.flexfec().filter(|_| is_video),
        }
    }
}

// Rates a payload type, higher is better. None if it is not that codec in a form this server
// speaks.
fn score(codec: &OfferedCodec, want: &CodecCapability) -> Option<u32> {
    if !codec.name.eq_ignore_ascii_case(want.name.as_str()) {
        return None;
    }
    let base = base_profile(want.name);
    let profile = |parameter| match codec.parameter(parameter) {
        None => Some(base),
        Some(_) => codec.number(parameter),
    };
    let wanted = want.profile.unwrap_or(base);
    let single = || codec.parameter("tx-mode").is_none_or(|mode| mode.eq_ignore_ascii_case("SRST"));
    let usable = match want.name {
        // Opus is always written with two channels (RFC 7587 7). A decoder takes any number of them from any packet,
        // whatever a client writes.
        CodecName::Opus => codec.clock_rate == 48_000 && codec.channels <= 2,
        CodecName::Vp8 | CodecName::H264 => codec.clock_rate == 90_000,
        CodecName::Vp9 => codec.clock_rate == 90_000 && profile("profile-id") == Some(wanted),
        CodecName::Av1 => codec.clock_rate == 90_000 && profile("profile") == Some(wanted),
        CodecName::H265 => codec.clock_rate == 90_000 && profile("profile-id") == Some(wanted) && single(),
    };
    if !usable {
        return None;
    }
    Some(match want.name {
        CodecName::H264 => h264_score(codec, want)?,
        CodecName::Opus => u32::from(codec.channels == 2),
        _ => 0,
    })
}

/// Returns the profile of a payload type that states none (RFC 7798 7.1, RFC 9628 7, the payload format of AV1 7.2).
fn base_profile(name: CodecName) -> u32 {
    u32::from(name == CodecName::H265)
}

// Fragmentation (mode 1) counts most, because without it a NAL unit must fit a packet. Next comes
// the profile of the stream, then constrained baseline, which every decoder takes for anything.
fn h264_score(codec: &OfferedCodec, want: &CodecCapability) -> Option<u32> {
    let mode = match codec.parameter("packetization-mode").map(str::parse::<u8>) {
        Some(Ok(1)) => 10,
        None | Some(Ok(0)) => 0,
        _ => return None,
    };
    let offered = codec.parameter("profile-level-id").and_then(parse_profile_level_id);
    let [profile, constraints, _] = offered.unwrap_or([0x42, 0x00, 0x0a]); // RFC 6184 8.1.
    let same = want.profile_level_id.is_some_and(|[wanted, flags, _]| {
        // Only constraint_set1 tells constrained baseline from baseline.
        wanted == profile && (profile != 0x42 || (flags ^ constraints) & 0x40 == 0)
    });
    let constrained_baseline = profile == 0x42 && constraints & 0x40 != 0;
    Some(mode + if same { 3 } else { 0 } + if constrained_baseline { 2 } else { 0 })
}

fn parse_profile_level_id(text: &str) -> Option<[u8; 3]> {
    let number = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 6)?;
    let [_, profile, constraints, level] = number.to_be_bytes();
    Some([profile, constraints, level])
}
