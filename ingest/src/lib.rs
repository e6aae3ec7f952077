//! Streams in: bytes of RTMP(S) and WHIP become frames of a publication. RTMP also plays, because it is the same
//! conversation on the same port.
//!
//! Knows nothing of who watches, of rooms, or of how frames leave by other protocols.

pub mod error;
pub mod rtmp;
pub mod whip;

pub use error::Error;
