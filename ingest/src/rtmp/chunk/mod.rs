//! The RTMP chunk layer (spec 5.3): bytes in, whole messages out, and back.
//!
//! Knows nothing of AMF, FLV or sockets. Copies a payload once when reading, never when writing.

mod output;
mod reader;
mod writer;

use bytes::Bytes;

pub use output::Output;
pub use reader::{ChunkError, ChunkLimits, ChunkReader};
pub use writer::{ChunkWriter, MessageHeader};

/// The chunk size of both directions until a Set Chunk Size (spec 5.4.1).
pub const DEFAULT_CHUNK_SIZE: usize = 128;

/// A timestamp field of all ones says that the real one follows in four bytes (spec 5.3.1.3).
const EXTENDED: u32 = 0xff_ffff;

/// One message (spec 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message type id; see [`super::message`].
    pub kind: u8,
    /// Milliseconds on the sender's clock, 32 bits that wrap.
    pub timestamp: u32,
    /// Message stream id.
    pub stream: u32,
    /// The payload, in one piece.
    pub payload: Bytes,
}
