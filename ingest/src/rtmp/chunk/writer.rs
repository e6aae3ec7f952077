//! Writes messages as chunks.

use bytes::{BufMut, Bytes, BytesMut};

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, Output};

/// The size of the blocks that headers are cut from, so that a header needs no allocation of its own.
const HEADER_BLOCK: usize = 4096;

/// The length of the longest header: basic header, message header and extended timestamp.
const HEADER_MAX: usize = 1 + 11 + 4;

/// The most bytes of `head`. The own header of an FLV tag body has at most eight.
const HEAD_MAX: usize = 16;

/// Holds the header of a message.
#[derive(Clone, Copy, Debug)]
pub struct MessageHeader {
    /// The chunk stream id, from 2 to 63.
    pub chunk_stream: u8,
    /// The message type id.
    pub kind: u8,
    /// The timestamp in milliseconds.
    pub timestamp: u32,
    /// The message stream id.
    pub stream: u32,
}

/// Cuts messages into chunks. Every message starts with a full header (fmt 0). That takes 4 bytes more than the
/// smallest header for audio, and stays right when frames are skipped.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
    headers: BytesMut,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: DEFAULT_CHUNK_SIZE, headers: BytesMut::new() }
    }
}

impl ChunkWriter {
    /// Cuts payloads after this many bytes from now on. The caller must have told the peer.
    pub fn set_chunk_size(&mut self, bytes: usize) {
        assert!(bytes >= DEFAULT_CHUNK_SIZE, "smaller is only overhead");
        self.chunk_size = bytes;
    }

    /// Writes one message. Its payload is `head`, a few bytes that are copied, and `body`, which is not copied.
    pub fn write(&mut self, output: &mut Output, header: MessageHeader, head: &[u8], mut body: Bytes) {
        let MessageHeader { chunk_stream, kind, timestamp, stream } = header;
        assert!((2..64).contains(&chunk_stream), "the one-byte form is the only one written");
        assert!(head.len() <= HEAD_MAX, "the head fits the first chunk");
        let length = head.len() + body.len();
        assert!(length < 1 << 24, "a message length has 24 bits, and messages come in with a limit below");
        self.reserve();
        let field = timestamp.min(EXTENDED);
        self.headers.put_u8(chunk_stream);
        self.headers.put_uint(field.into(), 3);
        self.headers.put_uint(length as u64, 3);
        self.headers.put_u8(kind);
        self.headers.put_u32_le(stream);
        if field == EXTENDED {
            self.headers.put_u32(timestamp);
        }
        self.headers.put_slice(head);
        output.push(self.headers.split().freeze());
        output.push(body.split_to(body.len().min(self.chunk_size - head.len())));
        while !body.is_empty() {
            self.continuation(output, chunk_stream, timestamp);
            output.push(body.split_to(body.len().min(self.chunk_size)));
        }
    }

    fn continuation(&mut self, output: &mut Output, chunk_stream: u8, timestamp: u32) {
        self.reserve();
        self.headers.put_u8(3 << 6 | chunk_stream);
        if timestamp >= EXTENDED {
            self.headers.put_u32(timestamp); // Spec 5.3.1.3: repeated in type 3 chunks.
        }
        output.push(self.headers.split().freeze());
    }

    fn reserve(&mut self) {
        if self.headers.capacity() < HEADER_MAX + HEAD_MAX {
            self.headers.reserve(HEADER_BLOCK);
        }
    }
}
