//! The configuration of multitrack video ("Enhanced Broadcasting"): what an encoder asks before it begins, and the qualities that it shall send.
//!
//! OBS Studio asks for it by a `POST` of JSON to the address that a service states as `multitrack_video_configuration_url`
//! (30.2 and later). Neither form is specified: the names and types here are those of OBS's own model
//! (`frontend/utility/models/multitrack-video.hpp`, `GoLiveAPI_PostData.cpp` and `MultitrackVideoOutput.cpp` of obs-studio). OBS takes
//! what it is told, and sends each quality as a track of Enhanced RTMP, with keyframes at the same times.
//!
//! Everything here is pure. The route is in `api/`, and knows who may publish.

mod answer;
mod encoder;
mod ladder;
mod request;
#[cfg(test)]
mod tests;

pub use answer::{Answer, IngestEndpoint, Status};
pub use request::Asked;

use answer::{AudioConfigurations, AudioEncoder, AudioSettings, Meta, VideoEncoder};
use encoder::Encoder;
use ladder::{Ladder, Level, Room};

/// The bitrate of AAC with one or two channels, and with more.
const AUDIO_KBPS: (u32, u32) = (160, 320);

/// The share of the most that a publisher may send on average which the qualities have together: encoders are above their bitrate for
/// seconds.
const OF_INGEST: f64 = 0.8;

/// Answers `asked` for an encoder that may publish at `endpoints`, where a publisher may send `most_bps`. `config_id` comes back as a
/// part of the stream key. The error is a sentence for the person who wants to publish.
pub fn configure(
    asked: &Asked,
    endpoints: Vec<IngestEndpoint>,
    most_bps: u64,
    config_id: String,
) -> Result<Answer, String> {
    if endpoints.is_empty() {
        return Err("This server takes no RTMP, by which several qualities come. Publish by WHIP.".to_owned());
    }
    if !asked.takes_h264() {
        return Err("This encoder has no H.264, which every viewer can play.".to_owned());
    }
    let preferences = asked.preferences();
    let encoder = Encoder::choose(asked);
    let channels = preferences.channels();
    let audio_kbps = if channels > 2 { AUDIO_KBPS.1 } else { AUDIO_KBPS.0 };
    let audio_tracks = if preferences.wants_vod_audio() { 2 } else { 1 };
    let of_ingest = (most_bps as f64 / 1000.0 * OF_INGEST) as u32;
    let most_kbps = preferences.most_kbps().map_or(of_ingest, |most| most.min(of_ingest));
    let room = Room {
        tracks: preferences.tracks(),
        kbps: most_kbps.saturating_sub(audio_kbps * audio_tracks),
        pixels_per_second: encoder.is_software().then(|| asked.software_pixels_per_second()),
    };
    let levels = Ladder::of(preferences.canvas()?).within(room).ok_or_else(|| {
        format!(
            "{most_kbps} kbit/s are too few for a picture. Raise the most bandwidth that OBS may use for streaming."
        )
    })?;
    let audio =
        |track_id| AudioEncoder { codec: "aac", track_id, channels, settings: AudioSettings { bitrate: audio_kbps } };
    Ok(Answer {
        meta: Meta::answering(asked, config_id),
        status: Status::success(),
        ingest_endpoints: endpoints,
        encoder_configurations: levels.iter().map(|level| video(encoder, level)).collect(),
        audio_configurations: AudioConfigurations {
            live: vec![audio(0)],
            vod: preferences.wants_vod_audio().then(|| vec![audio(1)]),
        },
    })
}

/// Answers that an encoder shall not publish, with a sentence for the person who wants to.
pub fn refuse(asked: &Asked, sentence: &str, config_id: String) -> Answer {
    Answer {
        meta: Meta::answering(asked, config_id),
        status: Status::error(sentence),
        ingest_endpoints: Vec::new(),
        encoder_configurations: Vec::new(),
        audio_configurations: AudioConfigurations::default(),
    }
}

fn video(encoder: Encoder, level: &Level) -> VideoEncoder {
    VideoEncoder {
        r#type: encoder.id(),
        width: level.width,
        height: level.height,
        framerate: level.frame_rate,
        gpu_scale_type: "OBS_SCALE_BICUBIC",
        colorspace: "VIDEO_CS_709",
        range: "VIDEO_RANGE_PARTIAL",
        format: "VIDEO_FORMAT_NV12",
        settings: encoder.settings(level.kbps),
        canvas_index: 0,
    }
}
