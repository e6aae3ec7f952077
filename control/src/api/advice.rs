//! What a publisher should change, as the session that takes its frames in has found it, and as its tracks show it. Each
//! piece of advice names the setting in OBS.

use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use onmic_media::track::{JITTER, PAST_MAX};
use onmic_media::{MediaKind, Source, Track};

/// One thing that a publisher should change.
#[derive(Serialize, ToSchema)]
pub struct Advice {
    /// The code: `no_header`, `no_keyframe`, `no_video`, `no_audio`, `unsupported_codec`, `other_tracks`, `too_many_changes`, `overloaded`, `b_frames`, `keyframe_interval`, `video_format`, `video_shape`, `video_fields` or `audio_format`.
    code: &'static str,
    /// The reason.
    message: String,
    /// The setting in OBS or another encoder.
    setting: &'static str,
}

impl From<&onmic_media::Advice> for Advice {
    fn from(found: &onmic_media::Advice) -> Self {
        Self { code: found.code(), message: found.message(), setting: found.setting() }
    }
}

/// The longest advised interval: with a longer one, what cannot be asked for keyframes is encoded anew for viewers that join.
const KEYFRAME_INTERVAL_ADVISED: Duration = PAST_MAX.saturating_add(JITTER);

/// Returns the advice for a source, the most important first. What explains why a kind is missing stands for the advice that
/// only says so.
pub(super) fn of(source: &Source, now: Instant) -> Vec<Advice> {
    let found = source.advice();
    let is_explained = found.iter().any(|advice| advice.kind() == MediaKind::Audio);
    let track = |kind: MediaKind| source.feed().original(kind);
    let (video, audio) = (track(MediaKind::Video), track(MediaKind::Audio));
    let all_of = |video: &Track| {
        [reordering(video), keyframes(video, now), video_format(video), video_shape(video), video_fields(video)]
    };
    let about_video = video.as_deref().map(all_of);
    let about_audio = match audio.as_deref() {
        Some(audio) => audio_format(audio),
        None => video.as_ref().filter(|_| !is_explained).map(|_| no_audio()),
    };
    let measured = about_video.into_iter().flatten().chain([about_audio]).flatten();
    found.iter().map(Advice::from).chain(measured).collect()
}

fn reordering(video: &Track) -> Option<Advice> {
    video.reorders().then(|| Advice {
        code: "b_frames",
        message: "The video has B-frames, which WebRTC cannot carry: it is re-encoded for WHEP viewers, at a cost in \
                  picture quality, processor time and delay."
            .into(),
        setting: "OBS: Settings, Output, Streaming: Tune zerolatency, or x264 options bframes=0",
    })
}

fn keyframes(video: &Track, now: Instant) -> Option<Advice> {
    let interval = video.measured(now).keyframe_interval.filter(|interval| *interval > KEYFRAME_INTERVAL_ADVISED);
    let message = if video.enters_by_recovery() {
        "The video has recovery points in place of keyframes, at which browsers cannot start: it is re-encoded for new viewers."
            .into()
    } else {
        format!(
            "A keyframe comes every {:.1} s, and viewers can only join at one: the video is re-encoded for those who join \
             between them, if no keyframe can be asked for.",
            interval?.as_secs_f64()
        )
    };
    let setting = "OBS: Settings, Output, Streaming: Keyframe interval 1 or 2 s, and neither intra-refresh nor open-gop in the x264 options";
    Some(Advice { code: "keyframe_interval", message, setting })
}

fn video_format(video: &Track) -> Option<Advice> {
    let parameters = video.parameters();
    (!parameters.is_widely_decoded()).then(|| {
        let profile = parameters.profile_name().unwrap_or_else(|| "unknown".into());
        let message = format!(
            "The video has the profile {profile}, which browsers do not decode: it is re-encoded for them. They take 4:2:0 \
             chroma with 8 bits per sample."
        );
        Advice { code: "video_format", message, setting: "OBS: Settings, Advanced, Video: Color Format NV12" }
    })
}

fn video_shape(video: &Track) -> Option<Advice> {
    (!video.parameters().has_square_samples()).then(|| Advice {
        code: "video_shape",
        message: "The samples of the video are not square, which WebRTC cannot say: it is re-encoded for WHEP viewers, who \
                  would see it stretched."
            .into(),
        setting: "OBS: Settings, Video: Output (Scaled) Resolution of the same shape as the canvas. FFmpeg: -vf scale=1280:720,setsar=1",
    })
}

fn video_fields(video: &Track) -> Option<Advice> {
    video.has_lone_fields().then(|| Advice {
        code: "video_fields",
        message:
            "The video is coded in fields, which browsers do not show by WebRTC: it is re-encoded for WHEP viewers."
                .into(),
        setting: "Encoder: progressive, or interlaced with frame coding (MBAFF)",
    })
}

fn audio_format(audio: &Track) -> Option<Advice> {
    let parameters = audio.parameters();
    (!parameters.is_widely_decoded()).then(|| {
        let channels = parameters.channels().unwrap_or_default();
        let message = format!(
            "The audio has {channels} channels in a layout that browsers do not decode: it is converted to stereo for them."
        );
        Advice { code: "audio_format", message, setting: "OBS: Settings, Audio, General: Channels Stereo" }
    })
}

fn no_audio() -> Advice {
    Advice {
        code: "no_audio",
        message: "The source has no audio.".into(),
        setting: "OBS: Settings, Audio: Desktop audio or Mic",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use onmic_media::codec::vp8;
    use onmic_media::hub::HubLimits;
    use onmic_media::{Arrival, Hub, LeftOut, NodeClock, Parameters, Protocol, Rendition, Ticks};

    use super::*;

    #[test]
    fn advice_that_explains_why_there_is_no_audio_stands_for_the_one_that_only_says_so() {
        let now = Instant::now();
        let hub = Hub::new(NodeClock::new(now, SystemTime::now()), HubLimits::default(), None);
        let mut publication = hub.publish(&"demo".parse().unwrap(), Protocol::Rtmp, now).unwrap();
        let source = publication.source().clone();
        let codes = || -> Vec<_> { of(&source, now).iter().map(|advice| advice.code).collect() };
        assert_eq!(codes(), [""; 0]);
        let parameters = Arc::new(Parameters::Vp8(vp8::Parameters { width: 64, height: 48, version: 0 }));
        let (rendition, dts, payload) = (Rendition::MAIN, Ticks(0), (&[0; 10][..]).into());
        publication.push(Arrival { rendition, dts, pts: dts, keyframe: true, parameters, payload }, now).unwrap();
        assert_eq!(codes(), ["no_audio"]);
        publication.left_out(MediaKind::Audio, LeftOut::UnsupportedCodec("FLV sound format 2 (MP3)".to_owned()), now);
        publication.poll_advice(now);
        assert_eq!(codes(), ["unsupported_codec"]);
    }
}
