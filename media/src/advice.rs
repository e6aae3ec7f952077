//! What a publisher should change, because viewers do not get all that it sends: found where frames come in, told by the
//! API and by the publisher's own protocol. A [`crate::Publication`] has an [`Advisor`], and its session reports what it leaves out.
//!
//! The sentences have their home here, once for all protocols. Each says what is seen, never what is guessed: advice is
//! withdrawn when its cause is gone.

mod advisor;

pub use advisor::{Advisor, LeftOut};

use crate::codec::Codec;
use crate::key::MediaKind;

/// Is one thing that a publisher should change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Frames of this codec come, and the parameters that describe them do not.
    NoParameters(Codec),
    /// Video comes, and no frame of it is one that decoding can start at.
    NoKeyframe,
    /// The publisher announced this kind, and no frame of it came.
    NoFrames(MediaKind),
    /// Frames come in a codec that this server does not carry, and are left out.
    UnsupportedCodec {
        /// The kind that they are of.
        kind: MediaKind,
        /// The codec as its protocol names it.
        codec: String,
    },
    /// The publisher offered this kind in forms that this server does not take, so the answer refused it.
    OfferRefused {
        /// The kind that they are of.
        kind: MediaKind,
        /// The forms as the offer names them.
        forms: String,
    },
    /// Several tracks of this kind come, and all but the first are left out.
    OtherTracks(MediaKind),
    /// The parameters of this kind change more often than they may, and some of its frames are left out.
    EarlyChanges(MediaKind),
    /// The node computes as much as it may, and the program that the publisher leads is less than it should be. Says how it is.
    Overloaded(String),
}

impl Advice {
    /// Returns the kind of media that it is about.
    pub fn kind(&self) -> MediaKind {
        match self {
            Self::NoParameters(codec) => codec.kind(),
            Self::NoKeyframe | Self::Overloaded(_) => MediaKind::Video,
            Self::NoFrames(kind) | Self::OtherTracks(kind) | Self::EarlyChanges(kind) => *kind,
            Self::UnsupportedCodec { kind, .. } | Self::OfferRefused { kind, .. } => *kind,
        }
    }

    /// Returns the code in the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoParameters(_) => "no_header",
            Self::NoKeyframe => "no_keyframe",
            Self::NoFrames(MediaKind::Video) => "no_video",
            Self::NoFrames(_) => "no_audio",
            Self::UnsupportedCodec { .. } | Self::OfferRefused { .. } => "unsupported_codec",
            Self::OtherTracks(_) => "other_tracks",
            Self::EarlyChanges(_) => "too_many_changes",
            Self::Overloaded(_) => "overloaded",
        }
    }

    /// Says what is wrong, and what viewers miss.
    pub fn message(&self) -> String {
        match self {
            Self::NoParameters(codec) => {
                let (name, header) = header_of(*codec);
                let kind = codec.kind();
                format!(
                    "The {kind} is {name} without a usable header ({header}), so nothing of it can be decoded or passed on."
                )
            }
            Self::NoKeyframe => "No keyframe has come yet, so the video is not passed on.".to_owned(),
            Self::NoFrames(kind) => format!("The stream announces {kind}, and no {kind} has come."),
            Self::UnsupportedCodec { kind, codec } => {
                format!(
                    "{kind} in {codec} is not supported: it is left out, and the rest goes on.",
                    kind = title(*kind)
                )
            }
            Self::OfferRefused { kind, forms } => {
                format!(
                    "The offer has {kind} only in {forms}, which is not supported: the {kind} was refused, and the rest goes on."
                )
            }
            Self::Overloaded(program) => {
                format!(
                    "This server computes as much video as it can, so the program {program}. It becomes whole when there is room."
                )
            }
            Self::OtherTracks(kind) => {
                let passed_on = if *kind == MediaKind::Video { "six at most are" } else { "the first is" };
                format!("The stream has several {kind} tracks: {passed_on} passed on, the others are left out.")
            }
            Self::EarlyChanges(kind) => {
                format!(
                    "The {kind} changes its codec, its resolution or other parameters several times a second: some of it is left out."
                )
            }
        }
    }

    /// Says what to set, in OBS and elsewhere.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::NoParameters(Codec::Aac) => {
                "Send the AAC sequence header (AudioSpecificConfig) before the first frame, or an ADTS header with each frame. \
                 OBS and FFmpeg (-c:a aac) do"
            }
            Self::NoParameters(Codec::H264 | Codec::H265) => {
                "Send the sequence header before the first frame, or the parameter sets with each keyframe \
                 (x264: repeat-headers=1). OBS and FFmpeg do"
            }
            Self::NoParameters(_) => "Send the sequence header of the codec before the first frame",
            Self::NoKeyframe => "OBS: Settings, Output, Streaming: Keyframe interval 2 s",
            Self::NoFrames(MediaKind::Video) => "OBS: Sources: a camera or screen that shows something",
            Self::NoFrames(_) => "OBS: Settings, Audio: Desktop audio or Mic",
            Self::UnsupportedCodec { kind: MediaKind::Audio, .. } => {
                "OBS: Settings, Output, Streaming: Audio Encoder AAC. FFmpeg: -c:a aac"
            }
            Self::UnsupportedCodec { .. } => {
                "OBS: Settings, Output, Streaming: Video Encoder x264 or another for H.264. FFmpeg: -c:v libx264"
            }
            Self::OfferRefused { kind: MediaKind::Audio, .. } => {
                "Offer Opus. OBS: Settings, Output, Streaming: Audio Encoder Opus"
            }
            Self::OfferRefused { .. } => {
                "Offer H.264 (packetization-mode 0 or 1), H.265 Main, AV1 Main, VP8 or VP9 profile 0, of 8 bits. \
                 OBS: Settings, Output, Streaming: Video Encoder x264 or another for H.264. Settings, Advanced: Color Format NV12"
            }
            Self::OtherTracks(MediaKind::Audio) => "OBS: Settings, Output, Streaming: one Audio Track",
            Self::OtherTracks(_) => {
                "OBS: Settings, Stream: Multitrack Video with six tracks at most, of H.264, H.265, AV1 or VP9"
            }
            Self::EarlyChanges(_) => "Encoder: one form for seconds. Phone: lock the orientation",
            Self::Overloaded(_) => {
                "OBS: Settings, Video: Output (Scaled) Resolution 1280x720 or smaller. The operator: mixer.pixels_per_second in onmic.toml"
            }
        }
    }
}

/// Returns the name of a codec, and of the header that describes its frames.
fn header_of(codec: Codec) -> (&'static str, &'static str) {
    match codec {
        Codec::H264 => ("H.264", "AVCDecoderConfigurationRecord, or SPS and PPS"),
        Codec::H265 => ("H.265", "HEVCDecoderConfigurationRecord, or VPS, SPS and PPS"),
        Codec::Av1 => ("AV1", "sequence header"),
        Codec::Vp8 => ("VP8", "header of a keyframe"),
        Codec::Vp9 => ("VP9", "header of a keyframe"),
        Codec::Aac => ("AAC", "AudioSpecificConfig"),
        Codec::Opus => ("Opus", "OpusHead"),
        Codec::Metadata => ("metadata", "scheme"),
    }
}

fn title(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Video => "Video",
        MediaKind::Audio => "Audio",
        MediaKind::Data => "Data",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_what_is_missing_and_the_setting_that_helps() {
        let aac = Advice::NoParameters(Codec::Aac);
        assert_eq!((aac.kind(), aac.code()), (MediaKind::Audio, "no_header"));
        assert!(
            aac.message().contains("audio is AAC without a usable header (AudioSpecificConfig)"),
            "{}",
            aac.message()
        );
        assert!(aac.setting().contains("ADTS"));
        let speex =
            Advice::UnsupportedCodec { kind: MediaKind::Audio, codec: "FLV sound format 11 (Speex)".to_owned() };
        assert_eq!(
            speex.message(),
            "Audio in FLV sound format 11 (Speex) is not supported: it is left out, and the rest goes on."
        );
        assert!(speex.setting().contains("AAC"));
        let forms = "VP9 (profile-id=2)".to_owned();
        let refused = Advice::OfferRefused { kind: MediaKind::Video, forms };
        assert_eq!((refused.kind(), refused.code()), (MediaKind::Video, "unsupported_codec"));
        assert!(refused.message().contains("video only in VP9 (profile-id=2)"), "{}", refused.message());
        assert!(refused.setting().contains("VP9 profile 0"), "{}", refused.setting());
        let overloaded = Advice::Overloaded("has 15 frames per second".to_owned());
        assert!(overloaded.message().contains("so the program has 15 frames per second."));
        for advice in [
            overloaded,
            Advice::NoKeyframe,
            Advice::NoFrames(MediaKind::Audio),
            Advice::OtherTracks(MediaKind::Video),
            Advice::EarlyChanges(MediaKind::Video),
        ] {
            assert!(advice.message().ends_with('.') && !advice.setting().is_empty(), "{advice:?}");
        }
    }
}
