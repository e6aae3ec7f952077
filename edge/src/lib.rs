//! The ways out by plain HTTP: LL-HLS and HTTP-FLV.
//!
//! Reads feeds and serves them to viewers. Knows nothing of how their media came in.

pub mod error;
pub mod flv;
pub mod hls;
