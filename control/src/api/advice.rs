//! What a publisher should change, as its tracks show it. Each piece of advice names the setting in OBS.

use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use onmic_media::{MediaKind, Source, Track};

/// One thing that a publisher should change.
#[derive(Serialize, ToSchema)]
pub struct Advice {
    /// The code: `b_frames`, `keyframe_interval`, `video_format`, `audio_format` or `no_audio`.
    code: &'static str,
    /// The reason.
    message: String,
    /// The setting in OBS.
    setting: &'static str,
}

/// The longest advised interval. With a longer one a viewer of LL-HLS waits long for the first frame.
const KEYFRAME_INTERVAL_ADVISED: Duration = Duration::from_secs(4);

/// Returns the advice for a source.
pub(super) fn of(source: &Source, now: Instant) -> Vec<Advice> {
    let track = |kind: MediaKind| source.feed().original(kind);
    let (video, audio) = (track(MediaKind::Video), track(MediaKind::Audio));
    let about_video = video.as_deref().map(|video| [reordering(video), keyframes(video, now), video_format(video)]);
    let about_audio = match audio.as_deref() {
        Some(audio) => audio_format(audio),
        None => video.as_ref().map(|_| no_audio()),
    };
    about_video.into_iter().flatten().chain([about_audio]).flatten().collect()
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
        format!("A keyframe comes every {:.1} s; segments of LL-HLS can be no shorter.", interval?.as_secs_f64())
    };
    let setting = "OBS: Settings, Output, Streaming: Keyframe interval 2 s, and neither intra-refresh nor open-gop in the x264 options";
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
