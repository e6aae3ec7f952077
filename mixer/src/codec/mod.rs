//! Coded media to uncoded media and back. FFmpeg is named in this folder alone, and `unsafe` is in its file `ffi.rs` alone.
//!
//! Decoding ([`decode`]) and encoding ([`encode`]) know nothing of each other. Between them are pictures and blocks of
//! samples as FFmpeg keeps them ([`RawVideo`], [`RawAudio`]) and what brings them into the form an encoder takes
//! ([`picture`], [`Resampler`]).

pub(crate) mod cadence;
pub mod decode;
pub mod encode;
mod ffi;
pub mod library;
pub(crate) mod live;
pub mod picture;
pub(crate) mod samples;
mod scaler;
#[cfg(test)]
pub(crate) mod testing;

/// What FFmpeg says of an operation that failed.
pub use ffmpeg_next::Error as Cause;
/// One block of uncoded samples.
pub use ffmpeg_next::frame::Audio as RawAudio;
/// One uncoded picture.
pub use ffmpeg_next::frame::Video as RawVideo;

#[cfg(test)]
pub(crate) use ffmpeg_next::color::Space;
pub(crate) use ffmpeg_next::format::Pixel;

pub(crate) use self::ffi::{Resampler, colour, make_writable, part};
pub(crate) use self::scaler::Scaler;
