//! What a payload type must have to carry a codec, and a stream in it.

use onmic_media::{Codec, Parameters};

use crate::sdp::{CodecCapability, CodecName};

/// The `profile-id` of H.265 with 10 bits per sample.
const H265_MAIN_10: u32 = 2;

/// What a payload type must have to carry a codec, and the stream with these parameters if it is in that codec.
pub(crate) fn capability(codec: Codec, parameters: Option<&Parameters>) -> Option<CodecCapability> {
    let stream = parameters.filter(|parameters| parameters.codec() == codec);
    let profile_level_id = match stream {
        Some(Parameters::H264(h264)) => {
            h264.sps.first().and_then(|sps| sps.get(1..4)).and_then(|bytes| bytes.try_into().ok())
        }
        _ => None,
    };
    Some(CodecCapability { name: name_of(codec)?, profile_level_id, profile: stream.and_then(further_profile) })
}

/// Returns the profile of a stream, as `a=fmtp` has it, if not every decoder of its codec has it.
pub(crate) fn further_profile(parameters: &Parameters) -> Option<u32> {
    let profile = match parameters {
        // The depth decides, because a stream with 8 bits may state Main 10 as well.
        Parameters::H265(h265) if h265.bit_depth_luma.max(h265.bit_depth_chroma) > 8 => H265_MAIN_10,
        Parameters::Vp9(vp9) => vp9.profile.into(),
        Parameters::Av1(av1) => av1.profile.into(),
        _ => 0,
    };
    (profile > 0).then_some(profile)
}

/// Names the form of a codec to offer for what is made of a track with the parameters `original`.
pub(crate) fn form_to_offer(codec: Codec, original: &Parameters) -> String {
    match further_profile(original).filter(|_| original.codec() == codec) {
        Some(profile) => format!("{} (profile-id={profile})", codec.name()),
        None => codec.name().to_owned(),
    }
}

fn name_of(codec: Codec) -> Option<CodecName> {
    Some(match codec {
        Codec::H264 => CodecName::H264,
        Codec::H265 => CodecName::H265,
        Codec::Vp8 => CodecName::Vp8,
        Codec::Vp9 => CodecName::Vp9,
        Codec::Av1 => CodecName::Av1,
        Codec::Opus => CodecName::Opus,
        Codec::Aac | Codec::Metadata => return None,
    })
}

pub(crate) fn codec_of(name: CodecName) -> Codec {
    match name {
        CodecName::H264 => Codec::H264,
        CodecName::H265 => Codec::H265,
        CodecName::Vp8 => Codec::Vp8,
        CodecName::Vp9 => Codec::Vp9,
        CodecName::Av1 => Codec::Av1,
        CodecName::Opus => Codec::Opus,
    }
}
