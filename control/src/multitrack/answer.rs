//! The answer to an encoder (OBS's `GoLiveApi::Config`).

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::request::{Asked, FrameRate};

/// The most characters of an encoder's own words that come back to it.
const ECHO_MAX: usize = 64;

/// What an encoder shall do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MultitrackConfig)]
pub struct Answer {
    pub meta: Meta,
    pub status: Status,
    /// Where to publish. The encoder puts its stream key in the place of `{stream_key}`.
    pub ingest_endpoints: Vec<IngestEndpoint>,
    /// The qualities of video, best first.
    pub encoder_configurations: Vec<VideoEncoder>,
    pub audio_configurations: AudioConfigurations,
}

/// What the answer is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MultitrackMeta)]
pub struct Meta {
    service: String,
    schema_version: String,
    /// The number of this answer, which OBS puts behind the stream key as `clientConfigId`.
    config_id: String,
}

/// Whether the encoder may publish.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MultitrackStatus)]
pub struct Status {
    result: Verdict,
    /// A sentence for the person, as HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    html_en_us: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MultitrackVerdict)]
enum Verdict {
    Success,
    Error,
}

/// A place to publish at.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MultitrackEndpoint)]
pub struct IngestEndpoint {
    /// `RTMP` or `RTMPS`.
    pub protocol: &'static str,
    pub url_template: String,
}

/// A quality of video.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MultitrackVideo)]
pub struct VideoEncoder {
    /// The encoder, as OBS names it.
    pub r#type: &'static str,
    pub width: u32,
    pub height: u32,
    pub framerate: FrameRate,
    pub gpu_scale_type: &'static str,
    pub colorspace: &'static str,
    pub range: &'static str,
    pub format: &'static str,
    /// The settings of this encoder, with `bitrate` in kbit/s.
    #[schema(value_type = Object)]
    pub settings: Value,
    pub canvas_index: u32,
}

/// The tracks of audio.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = MultitrackAudio)]
pub struct AudioConfigurations {
    pub live: Vec<AudioEncoder>,
    /// The track for recordings, if it was asked for. This server leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vod: Option<Vec<AudioEncoder>>,
}

/// A track of audio.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MultitrackAudioTrack)]
pub struct AudioEncoder {
    pub codec: &'static str,
    pub track_id: u32,
    pub channels: u32,
    pub settings: AudioSettings,
}

/// The settings of its encoder.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MultitrackAudioSettings)]
pub struct AudioSettings {
    /// In kbit/s.
    pub bitrate: u32,
}

impl Meta {
    /// Names an answer to `asked`.
    pub fn answering(asked: &Asked, config_id: String) -> Self {
        let echo = |text: &Option<String>, otherwise: &str| {
            text.as_deref().unwrap_or(otherwise).chars().take(ECHO_MAX).collect()
        };
        let service = echo(&asked.service, "onmic");
        Self { service, schema_version: echo(&asked.schema_version, "2025-01-25"), config_id }
    }
}

impl Status {
    /// Lets the encoder publish.
    pub fn success() -> Self {
        Self { result: Verdict::Success, html_en_us: None }
    }

    /// Lets the encoder show a sentence in place of publishing.
    pub fn error(sentence: &str) -> Self {
        let html = sentence.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        Self { result: Verdict::Error, html_en_us: Some(html) }
    }
}
