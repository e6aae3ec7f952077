//! Chooses which of the available encoders is used. It tries each one out on a frame.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as Cause, frame};
use onmic_media::codec::Colour;
use serde::{Deserialize, Serialize};

use super::backend::{Backend, VideoSettings};
use super::video::VideoEncoder;
use crate::codec::picture::Picture;
use crate::error::Error;

/// States which encoder is wanted, by FFmpeg's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncoderChoice {
    /// A GPU's encoder if one opens, or else x264 on the CPU.
    #[serde(rename = "auto")]
    Auto,
    /// Only [`Backend::X264`].
    #[default]
    #[serde(rename = "libx264")]
    X264,
    /// Only [`Backend::Nvenc`].
    #[serde(rename = "h264_nvenc")]
    Nvenc,
    /// Only [`Backend::Vaapi`].
    #[serde(rename = "h264_vaapi")]
    Vaapi,
}

impl Backend {
    /// Returns the first backend allowed by `choice` that opens and encodes a frame at once. Call it once, at start: it
    /// takes as long as a GPU needs to answer. It logs which encoder was chosen, and why others were not.
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
                        "H.264 encoder cannot be used here"
                    );
                    refused = Err(error);
                }
            }
        }
        refused
    }

    fn try_out(self, settings: &VideoSettings) -> Result<(), Error> {
        let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        let picture = Picture { width: 640, height: 360, colour };
        let mut encoder = VideoEncoder::open_with(self, picture, 30.0, 1_000_000, settings)?;
        let mut grey = frame::Video::new(Pixel::YUV420P, 640, 360);
        (0..3).for_each(|plane| grey.data_mut(plane).fill(128));
        let unit = encoder.encode(&mut grey, true)?;
        if unit.keyframe { Ok(()) } else { Err(Error::Encode(Cause::InvalidData)) }
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::codec::Context;
    use ffmpeg_next::encoder;

    use super::super::set_options;
    use super::*;

    #[test]
    fn this_ffmpeg_knows_every_option_of_every_backend() {
        let settings = VideoSettings::default();
        for backend in [Backend::X264, Backend::Nvenc, Backend::Vaapi, Backend::Vpx] {
            let Some(codec) = encoder::find_by_name(backend.name()) else { continue };
            let mut context = Context::new_with_codec(codec);
            set_options(&mut context, &backend.options(&settings, 100)).unwrap();
            set_options(&mut context, &backend.rate_options(1_000_000)).unwrap();
        }
    }

    #[test]
    fn the_chosen_encoder_can_encode() {
        let settings = VideoSettings::default();
        assert_eq!(Backend::choose(EncoderChoice::X264, &settings).unwrap(), Backend::X264);
        // Every machine has at least x264.
        let found = Backend::choose(EncoderChoice::Auto, &settings).unwrap();
        assert!(found.try_out(&settings).is_ok(), "{found:?}");
        let misspelt = VideoSettings { preset: "warp".to_owned(), ..settings };
        assert!(Backend::choose(EncoderChoice::X264, &misspelt).is_err());
        assert_eq!(serde_json::to_string(&EncoderChoice::Nvenc).unwrap(), r#""h264_nvenc""#);
    }
}
