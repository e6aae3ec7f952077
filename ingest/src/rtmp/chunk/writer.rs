//! Messages out as chunks.

use bytes::{BufMut, Bytes, BytesMut};

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, Output};

/// Headers are cut from blocks of this size, so that one costs no allocation.
const HEADER_BLOCK: usize = 4096;

/// Basic header, message header and extended timestamp.
const HEADER_MAX: usize = 1 + 11 + 4;

/// Cuts messages into chunks. Every message starts with a full header (fmt 0): 4 bytes more than the smallest for
/// sound, and nothing to get wrong when frames are skipped.
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
    /// From now on payloads are cut after so many bytes. The peer must have been told.
    pub fn set_chunk_size(&mut self, bytes: usize) {
        assert!(bytes > 0, "a chunk holds something");
        self.chunk_size = bytes;
    }

    /// Writes one message whose payload is `parts` joined. `chunk_stream` is 2 to 63.
    pub fn write(&mut self, output: &mut Output, chunk_stream: u8, header: (u8, u32, u32), parts: &[Bytes]) {
        assert!((2..64).contains(&chunk_stream), "the one-byte form is the only one written");
        let (kind, timestamp, stream) = header;
        let length: usize = parts.iter().map(Bytes::len).sum();
        assert!(length < 1 << 24, "a message length has 24 bits");
        if self.headers.capacity() < HEADER_MAX {
            self.headers.reserve(HEADER_BLOCK);
        }
        let field = timestamp.min(EXTENDED);
        self.headers.put_u8(chunk_stream);
        self.headers.put_uint(field.into(), 3);
        self.headers.put_uint(length as u64, 3);
        self.headers.put_u8(kind);
        self.headers.put_u32_le(stream);
        if field == EXTENDED {
            self.headers.put_u32(timestamp);
        }
        output.push(self.headers.split().freeze());

        let mut room = self.chunk_size;
        for part in parts {
            let mut part = part.clone();
            while !part.is_empty() {
                if room == 0 {
                    self.continuation(output, chunk_stream, timestamp);
                    room = self.chunk_size;
                }
                let piece = part.split_to(part.len().min(room));
                room -= piece.len();
                output.push(piece);
            }
        }
    }

    fn continuation(&mut self, output: &mut Output, chunk_stream: u8, timestamp: u32) {
        if self.headers.capacity() < HEADER_MAX {
            self.headers.reserve(HEADER_BLOCK);
        }
        self.headers.put_u8(3 << 6 | chunk_stream);
        if timestamp >= EXTENDED {
            self.headers.put_u32(timestamp); // Spec 5.3.1.3: repeated in type 3 chunks.
        }
        output.push(self.headers.split().freeze());
    }
}
