//! The RTMP chunk layer (spec 5.3): it turns bytes into whole messages, and messages into bytes.
//!
//! It knows nothing of AMF, FLV or sockets. It copies a payload once when reading, and never when writing.

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

/// Is one message (spec 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message type id (see [`super::message`]).
    pub kind: u8,
    /// The timestamp in milliseconds on the sender's clock. Its 32 bits wrap.
    pub timestamp: u32,
    /// The message stream id.
    pub stream: u32,
    /// The payload, in one piece.
    pub payload: Bytes,
}
