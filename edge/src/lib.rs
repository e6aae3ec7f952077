//! What viewers connect to by plain HTTP: LL-HLS and HTTP-FLV.
//!
//! Reads feeds and serves them; knows nothing of how they came in.

pub mod error;
pub mod flv;
pub mod hls;
