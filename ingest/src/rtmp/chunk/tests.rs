//! Tests with chunks written by hand, byte by byte as the specification draws them.

use bytes::{Buf, Bytes, BytesMut};

use super::*;
use crate::rtmp::chunk::{ChunkWriter, MessageHeader, Output};

const LIMITS: ChunkLimits = ChunkLimits { message_bytes: 1000, partial_bytes: 1500, chunk_streams: 4 };

/// Writes a header of `format`. Fields that it does not have are ignored.
fn header(format: u8, chunk_stream: u32, time: u32, length: u32, kind: u8, stream: u32) -> Vec<u8> {
    let mut out = basic(format, chunk_stream);
    if format < 3 {
        out.extend(&time.min(EXTENDED).to_be_bytes()[1..]);
    }
    if format < 2 {
        out.extend(&length.to_be_bytes()[1..]);
        out.push(kind);
    }
    if format == 0 {
        out.extend(stream.to_le_bytes());
    }
    if time >= EXTENDED {
        out.extend(time.to_be_bytes());
    }
    out
}

fn basic(format: u8, chunk_stream: u32) -> Vec<u8> {
    match chunk_stream {
        2..64 => vec![format << 6 | chunk_stream as u8],
        64..320 => vec![format << 6, (chunk_stream - 64) as u8],
        _ => vec![format << 6 | 1, ((chunk_stream - 64) % 256) as u8, ((chunk_stream - 64) / 256) as u8],
    }
}

fn read_all(reader: &mut ChunkReader, bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut input = bytes;
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty());
    Ok(messages)
}

/// Reads all bytes at once, and then byte by byte. Both results must agree.
fn read(bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let whole = read_all(&mut ChunkReader::new(LIMITS), bytes);
    let mut reader = ChunkReader::new(LIMITS);
    let single: Result<Vec<_>, _> = bytes.iter().map(|byte| read_all(&mut reader, &[*byte])).collect();
    assert_eq!(whole, single.map(|messages| messages.concat()));
    whole
}

fn times(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|message| message.timestamp).collect()
}

fn control(kind: u8, value: u32) -> Vec<u8> {
    [header(0, 2, 0, 4, kind, 0), value.to_be_bytes().to_vec()].concat()
}

#[test]
fn every_header_type_refers_to_the_one_before() {
    let bytes = [
        [header(0, 5, 1000, 2, 9, 7), vec![1, 2]].concat(),
        [header(1, 5, 40, 1, 8, 0), vec![3]].concat(),
        [header(2, 5, 20, 0, 0, 0), vec![4]].concat(),
        [header(3, 5, 0, 0, 0, 0), vec![5]].concat(),
    ]
    .concat();
    let messages = read(&bytes).unwrap();
    let seen: Vec<_> = messages.iter().map(|m| (m.kind, m.stream, m.timestamp, m.payload.to_vec())).collect();
    assert_eq!(seen, [(9, 7, 1000, vec![1, 2]), (8, 7, 1040, vec![3]), (8, 7, 1060, vec![4]), (8, 7, 1080, vec![5])]);
}

#[test]
fn a_type_3_message_after_a_full_header_adds_its_timestamp() {
    let bytes = [header(0, 3, 25, 0, 8, 1), header(3, 3, 0, 0, 0, 0)].concat();
    assert_eq!(times(&read(&bytes).unwrap()), [25, 50]); // Spec 5.3.1.2.4.
}

#[test]
fn all_forms_of_the_chunk_stream_id_are_distinguished() {
    let ids = [3, 63, 64, 319];
    let bytes: Vec<u8> = ids.iter().flat_map(|id| [header(0, *id, *id, 1, 8, *id), vec![*id as u8]].concat()).collect();
    assert_eq!(times(&read(&bytes).unwrap()), ids);
    let far = [header(0, 65_599, 9, 1, 8, 1), vec![0]].concat();
    assert_eq!(times(&read(&far).unwrap()), [9]);
}

#[test]
fn messages_of_several_chunk_streams_interleave() {
    let large = vec![7; 300];
    let small = vec![8; 200];
    let bytes = [
        header(0, 6, 40, 300, 9, 1),
        large[..128].to_vec(),
        header(0, 4, 41, 200, 8, 1),
        small[..128].to_vec(),
        basic(3, 6),
        large[128..256].to_vec(),
        basic(3, 4),
        small[128..].to_vec(),
        basic(3, 6),
        large[256..].to_vec(),
    ]
    .concat();
    let messages = read(&bytes).unwrap();
    let seen: Vec<_> = messages.iter().map(|m| (m.kind, m.payload.to_vec())).collect();
    assert_eq!(seen, [(8, small), (9, large)]);
}

#[test]
fn extended_timestamps_are_read_repeated_or_not() {
    let time = 0x0123_4567;
    for repeated in [true, false] {
        let payload = vec![9; 300];
        let mut bytes = header(0, 6, time, 300, 9, 1);
        for part in payload.chunks(128) {
            if part.as_ptr() != payload.as_ptr() {
                bytes.extend(basic(3, 6));
                bytes.extend(if repeated { time.to_be_bytes().to_vec() } else { Vec::new() });
            }
            bytes.extend(part);
        }
        let again = [header(0, 6, time + 1, 2, 9, 1), vec![1, 2]].concat();
        bytes.extend(again);
        let messages = read(&bytes).unwrap();
        assert_eq!(times(&messages), [time, time + 1], "repeated: {repeated}");
        assert_eq!(messages[0].payload, payload);
    }
}

#[test]
fn timestamps_wrap_at_32_bits() {
    let bytes = [header(0, 4, u32::MAX - 5, 0, 8, 1), header(1, 4, 10, 0, 8, 0)].concat();
    assert_eq!(times(&read(&bytes).unwrap()), [u32::MAX - 5, 4]);
}

#[test]
fn the_chunk_size_changes_between_messages() {
    let bytes =
        [control(SET_CHUNK_SIZE, 1), header(0, 4, 0, 3, 8, 1), vec![1], basic(3, 4), vec![2], basic(3, 4), vec![3]]
            .concat();
    assert_eq!(read(&bytes).unwrap()[0].payload, vec![1, 2, 3]);
    for size in [0, 1 << 31, u32::MAX] {
        assert_eq!(read(&control(SET_CHUNK_SIZE, size)), Err(ChunkError::ChunkSize(size)));
    }
    for size in [CHUNK_SIZE_MAX, CHUNK_SIZE_MAX + 1, CHUNK_SIZE_STATED_MAX] {
        let bytes = [control(SET_CHUNK_SIZE, size), header(0, 4, 0, 300, 8, 1), vec![7; 300]].concat();
        assert_eq!(read(&bytes).unwrap()[0].payload, vec![7; 300], "{size:#x} is one chunk for any message");
    }
    let short = [header(0, 2, 0, 2, SET_CHUNK_SIZE, 0), vec![1, 1]].concat();
    assert_eq!(read(&short), Err(ChunkError::Control { kind: SET_CHUNK_SIZE, length: 2 }));
}

#[test]
fn an_aborted_message_is_discarded_with_its_bytes() {
    let bytes = [
        header(0, 6, 0, 300, 9, 1),
        vec![1; 128],
        control(ABORT, 6),
        control(ABORT, 99),
        header(0, 6, 5, 1, 9, 1),
        vec![2],
    ]
    .concat();
    let mut reader = ChunkReader::new(LIMITS);
    let messages = read_all(&mut reader, &bytes).unwrap();
    assert_eq!((messages.len(), &messages[0].payload[..]), (1, &[2][..]));
    assert_eq!(reader.partial_bytes(), 0);
    read(&bytes).unwrap();
}

#[test]
fn a_message_above_a_limit_is_refused_before_it_is_stored() {
    let large = header(0, 6, 0, 1001, 9, 1);
    assert_eq!(read(&large), Err(ChunkError::MessageTooLarge { length: 1001, limit: 1000 }));
    let two = [header(0, 6, 0, 1000, 9, 1), vec![0; 128], header(0, 4, 0, 501, 8, 1)].concat();
    assert_eq!(read(&two), Err(ChunkError::PartialTooLarge { length: 1501, limit: 1500 }));
    let many: Vec<u8> = (3..8).flat_map(|id| header(0, id, 0, 0, 8, 1)).collect();
    assert_eq!(read(&many), Err(ChunkError::TooManyChunkStreams(4)));
}

#[test]
fn headers_that_refer_to_nothing_are_refused() {
    for format in [2, 3] {
        let bytes = header(format, 3, 0, 0, 0, 0);
        assert_eq!(read(&bytes), Err(ChunkError::NoEarlierHeader { chunk_stream: 3, format }));
    }
    assert_eq!(read(&header(1, 3, 7, 0, 8, 0)).unwrap().len(), 1, "some publishers begin with type 1");
    let interrupted = [header(0, 6, 0, 300, 9, 1), vec![0; 128], header(0, 6, 0, 1, 9, 1)].concat();
    assert_eq!(read(&interrupted), Err(ChunkError::Interrupted(6)));
}

#[test]
fn what_is_written_is_read() {
    let mut writer = ChunkWriter::default();
    let mut output = Output::default();
    let body = Bytes::from((0..=255).cycle().take(990).collect::<Vec<u8>>());
    let timestamps = [0, 5, EXTENDED - 1, EXTENDED, EXTENDED + 1, u32::MAX];
    for timestamp in timestamps {
        let header = MessageHeader { chunk_stream: 6, kind: 9, timestamp, stream: 1 };
        writer.write(&mut output, header, b"head", body.clone());
    }
    let mut bytes = BytesMut::new();
    while output.has_remaining() {
        let chunk = output.chunk();
        bytes.extend_from_slice(chunk);
        let length = chunk.len();
        output.advance(length);
    }
    let messages = read(&bytes).unwrap();
    assert_eq!(times(&messages), timestamps);
    assert!(messages.iter().all(|message| message.payload == [&b"head"[..], &body].concat()));
}
