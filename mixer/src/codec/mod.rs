//! Coded media to uncoded media and back: what FFmpeg does for this crate.
//!
//! Decoding ([`decode`]), encoding ([`encode`]) and the form between them ([`picture`]) know nothing of each other.
//! `unsafe` is in [`ffi`] alone, and nowhere else in the workspace.

pub(crate) mod cadence;
pub mod decode;
pub mod encode;
pub(crate) mod ffi;
pub mod library;
pub mod picture;
