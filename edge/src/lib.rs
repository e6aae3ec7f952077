//! What viewers connect to: WHEP, LL-HLS and HTTP-FLV.
//!
//! Reads feeds and serves them; knows nothing of how they came in.

pub mod error;
pub mod flv;
pub mod hls;
pub mod whep;
