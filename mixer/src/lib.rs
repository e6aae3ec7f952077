//! Media turned into other media: the only crate with FFmpeg.
//!
//! [`codec`] decodes and encodes. [`mod@derive`] makes of it tracks that are derived on first demand ([`Transcoder`]). A
//! program's video and audio are mixed of several inputs: [`scene`] describes the picture, [`compose`] draws it, and
//! [`sound`] mixes the audio. Knows no protocol and no room.

pub mod codec;
pub mod compose;
pub mod derive;
pub mod error;
mod metric;
pub mod scene;
pub mod sound;

pub use codec::encode::{Backend, EncoderChoice, VideoSettings};
pub use codec::library::{check, versions};
pub use derive::{Config, Transcoder, VideoPolicy};
pub use error::Error;
