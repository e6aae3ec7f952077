//! RTMP chunks: whatever is announced, no more than the limit is reserved, and bytes fed singly give the same messages.
#![no_main]

use onmic_ingest::rtmp::chunk::{ChunkLimits, ChunkReader, Message};

const LIMITS: ChunkLimits = ChunkLimits { message_bytes: 1 << 16, partial_bytes: 1 << 17, chunk_streams: 16 };

fn read(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> Vec<Message> {
    let mut reader = ChunkReader::new(LIMITS);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = piece.as_ref();
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return messages,
            }
            assert!(reader.partial_bytes() <= LIMITS.partial_bytes);
        }
    }
    messages
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert_eq!(read(std::iter::once(data)), read(data.chunks(1)));
});
