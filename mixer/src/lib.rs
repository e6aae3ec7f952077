//! Converts and mixes media. This is the only crate that uses FFmpeg.
//!
//! [`codec`] decodes and encodes. [`mod@derive`] uses it to derive tracks on first demand ([`Transcoder`]). A program's
//! video and audio are mixed from several inputs: [`scene`] describes what the video shows, [`compose`] draws it, and
//! [`sound`] mixes the audio. The crate knows nothing of protocols or rooms.

pub mod codec;
pub mod compose;
pub mod derive;
pub mod error;
mod metric;
pub mod price;
mod priority;
pub mod scene;
pub mod sound;

pub use codec::encode::{Backend, EncoderChoice, VideoSettings};
pub use codec::library::{check, versions};
pub use derive::{Config, Transcoder, VideoPolicy};
pub use error::Error;
pub use onmic_media::feed::{InvalidLadder, InvalidRung, Ladder, RUNGS_MAX, Rung};
