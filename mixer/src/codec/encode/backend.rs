//! What encodes H.264, and by which options.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as Cause, frame};
use onmic_media::codec::Colour;
use serde::{Deserialize, Serialize};

use super::video::VideoEncoder;
use crate::codec::picture::Picture;
use crate::error::Error;

/// Above this many pixels one thread may not be in time on a slow core; below, threads cost more than they bring.
const ONE_THREAD_PIXELS: u32 = 1280 * 720;

/// How H.264 is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSettings {
    /// x264's trade of time for size.
    pub preset: String,
    /// `baseline`, `main` or `high`. Browsers offer baseline and main.
    pub profile: String,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self { preset: "superfast".to_owned(), profile: "main".to_owned() }
    }
}

/// What encodes H.264.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// On the processor.
    #[default]
    X264,
    /// On an NVIDIA GPU.
    Nvenc,
    /// On an Intel or AMD GPU.
    Vaapi,
}

/// Which encoder is wanted, by the name FFmpeg gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncoderChoice {
    /// A GPU's if one opens, else the processor's.
    #[serde(rename = "auto")]
    Auto,
    /// See [`Backend::X264`].
    #[default]
    #[serde(rename = "libx264")]
    X264,
    /// See [`Backend::Nvenc`].
    #[serde(rename = "h264_nvenc")]
    Nvenc,
    /// See [`Backend::Vaapi`].
    #[serde(rename = "h264_vaapi")]
    Vaapi,
}

impl Backend {
    /// FFmpeg's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X264 => "libx264",
            Self::Nvenc => "h264_nvenc",
            Self::Vaapi => "h264_vaapi",
        }
    }

    /// The first that opens and encodes a picture at once, of what `choice` allows. To be asked once, at start: takes as
    /// long as a GPU needs to answer. What was found is logged, with why others were not taken.
    pub fn choose(choice: EncoderChoice, settings: &VideoSettings) -> Result<Self, Error> {
        let candidates: &[Self] = match choice {
            EncoderChoice::Auto => &[Self::Nvenc, Self::Vaapi, Self::X264],
            EncoderChoice::X264 => &[Self::X264],
            EncoderChoice::Nvenc => &[Self::Nvenc],
            EncoderChoice::Vaapi => &[Self::Vaapi],
        };
        let mut refused = Err(Error::NoEncoder(candidates[0].name()));
        for backend in candidates {
            match backend.try_out(settings) {
                Ok(()) => {
                    tracing::info!(encoder = backend.name(), preset = settings.preset, wanted = ?choice, "H.264 encoder chosen");
                    return Ok(*backend);
                }
                Err(error) => {
                    tracing::info!(
                        encoder = backend.name(),
                        reason = error.sentence(),
                        "H.264 encoder not usable here"
                    );
                    refused = Err(error);
                }
            }
        }
        refused
    }

    fn try_out(self, settings: &VideoSettings) -> Result<(), Error> {
        let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        let picture = Picture { width: 640, height: 360, aspect: (1, 1), colour };
        let mut encoder = VideoEncoder::open_with(self, picture, 30.0, 1_000_000, settings)?;
        let mut grey = frame::Video::new(Pixel::YUV420P, 640, 360);
        (0..3).for_each(|plane| grey.data_mut(plane).fill(128));
        let unit = encoder.encode(&mut grey, true)?;
        if unit.keyframe { Ok(()) } else { Err(Error::Encode(Cause::InvalidData)) }
    }

    pub(super) fn options(self, settings: &VideoSettings, pixels: u32) -> Vec<(&'static str, String)> {
        // An IDR comes when it is asked for, and only then.
        const NEVER: i32 = 1 << 24;
        match self {
            Self::X264 => {
                let threads = if pixels > ONE_THREAD_PIXELS { 2 } else { 1 };
                vec![
                    ("preset", settings.preset.clone()),
                    ("tune", "zerolatency".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("threads", threads.to_string()), // Slices of one picture under zerolatency: they add no delay.
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()), // It is then an IDR and no mere I picture,
                    ("sc_threshold", "0".to_owned()), // and x264 adds none of its own.
                ]
            }
            Self::Nvenc => {
                // Its presets are p1 to p7; those of x264 say nothing to it.
                let own = settings.preset.strip_prefix('p').is_some_and(|number| number.parse::<u8>().is_ok());
                let preset = if own { settings.preset.as_str() } else { "p2" };
                vec![
                    ("preset", preset.to_owned()),
                    ("tune", "ull".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("rc", "cbr".to_owned()),
                    ("delay", "0".to_owned()),
                    ("zerolatency", "1".to_owned()),
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()),
                    ("no-scenecut", "1".to_owned()),
                ]
            }
            Self::Vaapi => {
                let profile = if settings.profile == "baseline" { "constrained_baseline" } else { &settings.profile };
                vec![
                    ("profile", profile.to_owned()),
                    ("rc_mode", "CBR".to_owned()),
                    ("async_depth", "1".to_owned()),
                    ("bf", "0".to_owned()),
                    ("g", (1 << 16).to_string()), // As many as its syntax element can count.
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::codec::Context;
    use ffmpeg_next::encoder;

    use super::super::set_options;
    use super::*;

    #[test]
    fn every_option_of_every_backend_is_one_that_this_ffmpeg_knows() {
        let settings = VideoSettings::default();
        for backend in [Backend::X264, Backend::Nvenc, Backend::Vaapi] {
            let Some(codec) = encoder::find_by_name(backend.name()) else { continue };
            let mut context = Context::new_with_codec(codec);
            set_options(&mut context, &backend.options(&settings, 100)).unwrap();
        }
    }

    #[test]
    fn the_encoder_chosen_is_one_that_encodes() {
        let settings = VideoSettings::default();
        assert_eq!(Backend::choose(EncoderChoice::X264, &settings).unwrap(), Backend::X264);
        // Whatever this machine has, something is found.
        let found = Backend::choose(EncoderChoice::Auto, &settings).unwrap();
        assert!(found.try_out(&settings).is_ok(), "{found:?}");
        let misspelt = VideoSettings { preset: "warp".to_owned(), ..settings };
        assert!(Backend::choose(EncoderChoice::X264, &misspelt).is_err());
        assert_eq!(serde_json::to_string(&EncoderChoice::Nvenc).unwrap(), r#""h264_nvenc""#);
    }
}
