//! What an encoder says of itself, and what it wishes.
//!
//! All of it is a peer's statement. What is not stated, or is null, has a default, and numbers are bounded where they are read. OBS 30.2 states
//! one picture in the preferences themselves, and later versions a list of canvases.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most qualities: what OBS sends at once, and this server takes (`media::flv::tracks`).
const TRACKS_MAX: u64 = 6;

/// How many qualities are made where the encoder leaves it open: one for good networks, one for most, and one for bad ones.
const TRACKS: usize = 3;

/// The pixels per second that one core encodes by x264 with the preset `veryfast`, as a round number below what desktop processors
/// of the last ten years do (1080p at 60 pictures per second has 124 million, and takes one to two cores).
const PIXELS_PER_CORE: f64 = 70e6;

/// What an encoder asks (OBS's `GoLiveApi::PostData`). Members that are not here are not read.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = MultitrackRequest)]
pub struct Asked {
    /// The service that the encoder believes to talk to. It comes back in the answer.
    pub service: Option<String>,
    /// The version of the form. It comes back in the answer.
    pub schema_version: Option<String>,
    /// The stream key as the person typed it: `ROOM?token=T` or `ROOM/PARTICIPANT?token=T`.
    pub authentication: Option<String>,
    #[serde(default)]
    client: Option<Client>,
    #[serde(default)]
    capabilities: Option<Capabilities>,
    #[serde(default)]
    preferences: Option<Preferences>,
}

/// The program that encodes.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = MultitrackClient)]
pub struct Client {
    /// Such as `32.0.1`.
    pub version: Option<String>,
    pub supported_codecs: Option<Vec<String>>,
    /// The names of its encoders. Only the newest versions state them.
    pub supported_encoders: Option<Vec<String>>,
}

/// The machine of the encoder.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = MultitrackCapabilities)]
pub struct Capabilities {
    pub cpu: Option<Cpu>,
    pub system: Option<System>,
    pub gpu: Option<Vec<Gpu>>,
}

/// Its processor.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = MultitrackCpu)]
pub struct Cpu {
    pub physical_cores: Option<i64>,
    pub logical_cores: Option<i64>,
}

/// Its system.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = MultitrackSystem)]
pub struct System {
    /// `Windows`, `macOS`, or the name of a distribution of Linux.
    pub name: Option<String>,
    pub arm: Option<bool>,
}

/// One of its graphics cards.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = MultitrackGpu)]
pub struct Gpu {
    /// The number of the maker, by PCI.
    pub vendor_id: Option<u64>,
}

/// What the person wishes.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = MultitrackPreferences)]
pub struct Preferences {
    /// The most that all tracks together may have, in kbit/s.
    pub maximum_aggregate_bitrate: Option<u64>,
    pub maximum_video_tracks: Option<u64>,
    /// Whether a second track of audio shall come, for recordings.
    pub vod_track_audio: Option<bool>,
    /// The graphics card on which the picture is composed.
    pub composition_gpu_index: Option<u64>,
    pub audio_channels: Option<u64>,
    /// The pictures that are composed. The first one is sent.
    pub canvases: Option<Vec<Canvas>>,
    #[serde(flatten)]
    canvas: Canvas,
}

/// A picture that is composed, in the size in which it is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = MultitrackCanvas)]
pub struct Canvas {
    pub width: Option<u64>,
    pub height: Option<u64>,
    pub framerate: Option<FrameRate>,
}

/// How many pictures come in how many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = MultitrackFrameRate)]
pub struct FrameRate {
    pub numerator: u32,
    pub denominator: u32,
}

impl FrameRate {
    /// Returns the pictures per second.
    pub fn per_second(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

impl Asked {
    /// Returns whether the encoder has H.264. One that states no codecs has it.
    pub fn takes_h264(&self) -> bool {
        let codecs = self.client.as_ref().and_then(|client| client.supported_codecs.as_deref());
        codecs.is_none_or(|codecs| codecs.iter().any(|codec| codec.eq_ignore_ascii_case("h264")))
    }

    /// Returns the names of the encoders, if they are stated.
    pub fn encoders(&self) -> Option<&[String]> {
        self.client.as_ref()?.supported_encoders.as_deref()
    }

    /// Returns the first number of the program's version.
    pub fn major_version(&self) -> Option<u32> {
        self.client.as_ref()?.version.as_deref()?.split(['.', '-']).next()?.parse().ok()
    }

    /// Returns the number of the maker of the graphics card on which the picture is composed.
    pub fn gpu_vendor(&self) -> Option<u64> {
        let gpus = self.capabilities.as_ref()?.gpu.as_deref()?;
        let index = self.preferences.as_ref().and_then(|preferences| preferences.composition_gpu_index).unwrap_or(0);
        gpus.get(usize::try_from(index).ok()?).or(gpus.first())?.vendor_id
    }

    /// Returns the system.
    pub fn system(&self) -> System {
        self.capabilities.as_ref().and_then(|capabilities| capabilities.system.clone()).unwrap_or_default()
    }

    /// Returns how many pixels per second half of the processor's cores encode by software. The other half has other work.
    pub fn software_pixels_per_second(&self) -> f64 {
        let cpu = self.capabilities.as_ref().and_then(|capabilities| capabilities.cpu.clone()).unwrap_or_default();
        let cores = cpu.physical_cores.or(cpu.logical_cores.map(|logical| logical / 2)).unwrap_or(4);
        cores.clamp(1, 64) as f64 / 2.0 * PIXELS_PER_CORE
    }

    /// Returns the wishes.
    pub fn preferences(&self) -> Preferences {
        self.preferences.clone().unwrap_or_default()
    }
}

impl Preferences {
    /// Returns how many qualities there may be.
    pub fn tracks(&self) -> usize {
        self.maximum_video_tracks.map_or(TRACKS, |tracks| tracks.clamp(1, TRACKS_MAX) as usize)
    }

    /// Returns the most that all tracks may have together.
    pub fn most_kbps(&self) -> Option<u32> {
        self.maximum_aggregate_bitrate.map(|kbps| u32::try_from(kbps).unwrap_or(u32::MAX))
    }

    /// Returns whether a second track of audio has to be configured. OBS does not begin without it.
    pub fn wants_vod_audio(&self) -> bool {
        self.vod_track_audio.unwrap_or(false)
    }

    /// Returns the channels of audio. OBS does not begin if it is told fewer than it has.
    pub fn channels(&self) -> u32 {
        self.audio_channels.unwrap_or(2).clamp(1, 8) as u32
    }

    /// Returns the picture to send. The error is a sentence.
    pub fn canvas(&self) -> Result<(u32, u32, FrameRate), String> {
        const SIDES: std::ops::RangeInclusive<u64> = 64..=16_384;
        const RATES: std::ops::RangeInclusive<f64> = 1.0..=240.0;
        let canvas = self.canvases.as_deref().and_then(<[Canvas]>::first).copied().unwrap_or(self.canvas);
        let Canvas { width: Some(width), height: Some(height), framerate: Some(rate) } = canvas else {
            return Err("The encoder does not state its picture: width, height and framerate.".to_owned());
        };
        if !SIDES.contains(&width) || !SIDES.contains(&height) {
            return Err(format!("A picture of {width}×{height} cannot be sent."));
        }
        if rate.denominator == 0 || !RATES.contains(&rate.per_second()) {
            return Err("The frame rate is not between 1 and 240.".to_owned());
        }
        Ok((width as u32, height as u32, rate))
    }
}
