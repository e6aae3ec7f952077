//! The options of `[mixer]`.

use std::time::Duration;

use onmic_mixer::scene::Size;
use onmic_mixer::{EncoderChoice, Ladder, price};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mixer {
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    pub opus_bitrate: u32,
    #[serde(with = "humantime_serde")]
    pub opus_packet: Duration,
    pub aac_bitrate: u32,
    pub x264_preset: String,
    pub canvas: String,
    pub frame_rate: f64,
    pub bitrate: u64,
    pub encoder: EncoderChoice,
    pub pixels_per_second: u64,
    pub ladder: Vec<String>,
}

impl Mixer {
    /// Returns the smaller forms of video that are made on demand.
    pub fn ladder(&self) -> Result<Ladder, ConfigError> {
        let rungs: Vec<_> =
            self.ladder.iter().map(|rung| rung.parse()).collect::<Result<_, _>>().map_err(ConfigError::Rung)?;
        Ladder::new(&rungs).map_err(ConfigError::Ladder)
    }

    /// Returns how many pixels per second conversions and mixes compute together at most.
    pub fn pixels(&self) -> u64 {
        if self.pixels_per_second > 0 {
            return self.pixels_per_second;
        }
        price::of_cores(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Returns the size of mixed programs.
    pub fn canvas(&self) -> Result<Size, ConfigError> {
        let wrong = || ConfigError::Canvas(self.canvas.clone());
        let (width, height) = self.canvas.split_once('x').ok_or_else(wrong)?;
        let (width, height) = (width.parse().map_err(|_| wrong())?, height.parse().map_err(|_| wrong())?);
        let canvas = Size::canvas(width, height, Size::FULL_HD);
        if (canvas.width, canvas.height) == (width, height) && (1.0..=60.0).contains(&self.frame_rate) {
            Ok(canvas)
        } else {
            Err(wrong())
        }
    }
}

impl Default for Mixer {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(5),
            opus_bitrate: 56_000,
            opus_packet: Duration::from_millis(10),
            aac_bitrate: 64_000,
            x264_preset: "superfast".into(),
            canvas: "1280x720".into(),
            frame_rate: 30.0,
            bitrate: 0,
            encoder: EncoderChoice::default(),
            pixels_per_second: 0,
            ladder: ["480p:1000k", "360p:600k", "180p:200k"].map(String::from).into(),
        }
    }
}
