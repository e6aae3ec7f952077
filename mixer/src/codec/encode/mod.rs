//! Encoding: raw video frames and audio samples go in, canonical payloads come out, with the parameters that belong to
//! them.
//!
//! Video becomes H.264 or VP8 without encoder delay: each raw frame becomes one access unit, in the same order, and the
//! encoder makes a keyframe only where one was asked for. Audio becomes Opus or AAC at 48 kHz. The timestamps that come out
//! account for the encoder delay (312 samples with Opus, 1024 with AAC): they are where the first decoded sample
//! belongs.

mod audio;
mod backend;
mod choice;
mod video;

use ffmpeg_next::codec::Context;

use super::ffi;
use crate::error::Error;

pub use self::audio::{AudioEncoder, AudioPacket, AudioSettings, SAMPLE_RATE};
pub use self::backend::{Backend, VideoSettings};
pub use self::choice::EncoderChoice;
pub use self::video::{AccessUnit, VideoEncoder};

fn set_options(context: &mut Context, options: &[(&str, String)]) -> Result<(), Error> {
    options.iter().try_for_each(|(name, value)| {
        let wrong = |cause| Error::Option { name: (*name).to_owned(), value: value.clone(), cause };
        ffi::set_option(context, name, value).map_err(wrong)
    })
}
