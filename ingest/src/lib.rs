//! Takes in streams: bytes of RTMP(S) become frames of a publication. RTMP also plays, because that is the same
//! conversation on the same port.
//!
//! This crate knows nothing of viewers, of rooms, or of how frames leave by other protocols.

pub mod error;
pub mod rtmp;

pub use error::Error;
