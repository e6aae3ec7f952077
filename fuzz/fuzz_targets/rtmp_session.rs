//! An RTMP session behind its handshake: nothing panics, and what it writes can be read. The first byte grants or
//! refuses what is asked for.
#![no_main]

use std::time::Instant;

use bytes::Buf;
use onmic_ingest::rtmp::chunk::{ChunkLimits, ChunkReader, Output};
use onmic_ingest::rtmp::publisher::Publisher;
use onmic_ingest::rtmp::{Event, RtmpLimits, Session};

const HANDSHAKE: usize = 1 + 1536 + 1536;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&first, mut input)) = data.split_first() else { return };
    let now = Instant::now();
    let mut session = Session::new(RtmpLimits::default(), now);
    let mut handshake = [0; HANDSHAKE];
    handshake[0] = 3;
    session.handle_bytes(now, &mut &handshake[..]);
    let answer = session.output();
    answer.advance(answer.remaining());

    let mut publisher = Publisher::default();
    let mut written =
        ChunkReader::new(ChunkLimits { message_bytes: 1 << 16, partial_bytes: 1 << 16, chunk_streams: 8 });
    while !input.is_empty() {
        session.handle_bytes(now, &mut input);
        while let Some(event) = session.poll_event() {
            match event {
                Event::Publish(_) | Event::Play(_) if first & 1 == 0 => session.accept(now),
                Event::Publish(_) | Event::Play(_) => session.refuse("NetStream.Publish.Denied", "No."),
                Event::Media { kind, timestamp, payload } => drop(publisher.take(kind, timestamp, payload)),
                _ => {}
            }
        }
        while session.output().has_remaining() {
            let output: &Output = session.output();
            let mut piece = output.chunk();
            let length = piece.len();
            while written.read(&mut piece).expect("we write what can be read").is_some() {}
            session.output().advance(length);
        }
    }
});
