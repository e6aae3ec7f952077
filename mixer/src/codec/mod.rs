//! Turns coded media into raw media and back. Only this folder names FFmpeg, and only its file `ffi.rs` has `unsafe`.
//!
//! Decoding ([`decode`]) and encoding ([`encode`]) know nothing of each other. Between them are raw frames and blocks
//! of samples as FFmpeg keeps them ([`RawVideo`], [`RawAudio`]), and the code that brings them into the form that an
//! encoder takes ([`picture`], [`Resampler`]).

pub(crate) mod cadence;
pub mod decode;
pub mod encode;
mod ffi;
pub mod library;
pub(crate) mod live;
pub mod picture;
pub(crate) mod rest;
pub(crate) mod samples;
mod scaler;
#[cfg(test)]
pub(crate) mod testing;

/// Is FFmpeg's error for an operation that failed.
pub use ffmpeg_next::Error as Cause;
/// Holds one block of raw audio samples.
pub use ffmpeg_next::frame::Audio as RawAudio;
/// Holds one raw video frame.
pub use ffmpeg_next::frame::Video as RawVideo;

#[cfg(test)]
pub(crate) use ffmpeg_next::color::Space;
pub(crate) use ffmpeg_next::format::Pixel;

pub(crate) use self::ffi::{Resampler, colour, make_writable, part};
pub(crate) use self::scaler::Scaler;
