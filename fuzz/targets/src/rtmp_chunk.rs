//! Chunks in one piece and cut into reads give the same messages, or the same refusal. The first byte is the length of
//! reads. The messages are then written and read again.

use bytes::Buf;
use onmic_ingest::rtmp::chunk::{ChunkError, ChunkLimits, ChunkReader, ChunkWriter, Message, MessageHeader, Output};

const LIMITS: ChunkLimits = ChunkLimits { message_bytes: 2048, partial_bytes: 4096, chunk_streams: 8 };

/// Takes one input.
pub fn run(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let whole = read([bytes]);
    assert_eq!(read(bytes.chunks(usize::from(cut) + 1)), whole);

    let mut output = Output::default();
    let mut writer = ChunkWriter::default();
    for Message { kind, timestamp, stream, payload } in whole.0.clone() {
        writer.write(&mut output, MessageHeader { chunk_stream: 3, kind, timestamp, stream }, &[], payload);
    }
    let written = output.copy_to_bytes(output.remaining());
    assert_eq!(read([&written[..]]), (whole.0, None));
}

fn read<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, Option<ChunkError>) {
    let mut reader = ChunkReader::new(LIMITS);
    let mut messages = Vec::new();
    for mut bytes in reads {
        loop {
            match reader.read(&mut bytes) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
            assert!(reader.partial_bytes() <= LIMITS.partial_bytes);
        }
        assert!(bytes.is_empty(), "bytes that are not taken now would never be");
    }
    (messages, None)
}
