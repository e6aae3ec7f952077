//! A peer's bytes in reads, after nothing, a handshake, a connect or a publish. Its media goes on a track.
//!
//! The first byte says how far the conversation is (2 bits), whether it is refused, and whether time passes between
//! reads. The second byte is the length of reads.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::{Input, Sink};
use bytes::{Buf, Bytes};
use onmic_ingest::rtmp::amf::{self, Value};
use onmic_ingest::rtmp::chunk::{ChunkLimits, ChunkReader, ChunkWriter, MessageHeader, Output};
use onmic_ingest::rtmp::publisher::{Publisher, Taken};
use onmic_ingest::rtmp::{Event, RtmpLimits, Session, message};
use onmic_media::MediaKind;

static HANDSHAKE: LazyLock<Bytes> = LazyLock::new(|| [&[3][..], &[0; 2 * 1536]].concat().into());
static CONNECT: LazyLock<Bytes> = LazyLock::new(|| {
    let object =
        Value::object([("app", Value::text("live")), ("fourCcList", Value::StrictArray(vec![Value::text("*")]))]);
    commands(&[(0, vec![Value::text("connect"), Value::Number(1.0), object])])
});
static PUBLISH: LazyLock<Bytes> = LazyLock::new(|| {
    let publish = vec![Value::text("publish"), Value::Number(3.0), Value::Null, Value::text("room")];
    commands(&[(0, vec![Value::text("createStream"), Value::Number(2.0), Value::Null]), (1, publish)])
});

fn commands(commands: &[(u32, Vec<Value>)]) -> Bytes {
    let mut output = Output::default();
    for (stream, values) in commands {
        let header = MessageHeader { chunk_stream: 3, kind: message::COMMAND_AMF0, timestamp: 0, stream: *stream };
        ChunkWriter::default().write(&mut output, header, &[], amf::write(values));
    }
    output.copy_to_bytes(output.remaining())
}

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (Some(flags), Some(cut)) = (input.byte(), input.byte()) else { return };
    let (refuses, time_passes) = (flags & 4 != 0, flags & 8 != 0);
    let mut driver = Driver::new(refuses);
    let beginning = [&HANDSHAKE, &CONNECT, &PUBLISH];
    beginning[..usize::from(flags & 3)].iter().for_each(|bytes| driver.read(bytes));
    for bytes in input.0.chunks(usize::from(cut) + 1) {
        driver.read(bytes);
        if time_passes {
            driver.now = driver.session.poll_timeout().unwrap_or(driver.now);
            driver.session.handle_timeout(driver.now);
            driver.drain(0);
        }
    }
    driver.session.close("Over.");
    driver.drain(0);
    assert_eq!(driver.session.poll_timeout(), None);
}

struct Driver {
    session: Session,
    publisher: Publisher,
    sink: Sink,
    now: Instant,
    /// The peer's reader of our output, and the number of bytes of the handshake that are still to come in it.
    reader: ChunkReader,
    handshake_left: usize,
    refuses: bool,
    closed: bool,
}

impl Driver {
    fn new(refuses: bool) -> Self {
        let now = Instant::now();
        let session = Session::new(RtmpLimits::default(), now);
        let limits = ChunkLimits { message_bytes: 1 << 16, partial_bytes: 1 << 16, chunk_streams: 8 };
        Self {
            session,
            publisher: Publisher::default(),
            sink: Sink::new(now),
            now,
            reader: ChunkReader::new(limits),
            handshake_left: HANDSHAKE.len(),
            refuses,
            closed: false,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.now += Duration::from_millis(1);
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = rest.len();
            self.session.handle_bytes(self.now, &mut rest);
            assert!(rest.len() < before, "no byte was taken");
            self.drain(before - rest.len());
        }
    }

    fn drain(&mut self, read: usize) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.closed, "{event:?} after the end");
            self.apply(event);
        }
        let output = self.session.output();
        // A seek of eight bytes is answered with 200 bytes. The driver writes all of them before it reads again.
        let length = output.remaining();
        assert!(length <= 4096 + 32 * read, "{length} bytes for {read}");
        let written = output.copy_to_bytes(length);
        let mut written = &written[self.handshake_left.min(written.len())..];
        self.handshake_left -= self.handshake_left.min(length);
        while self.reader.read(&mut written).expect("we write what can be read").is_some() {}
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Publish(_) | Event::Play(_) if self.refuses => self.session.refuse("NetStream.Failed", "No."),
            Event::Publish(_) => self.session.accept(self.now),
            Event::Play(_) => {
                self.session.accept(self.now);
                self.session.media(MediaKind::Video, 40, &[0x17, 1, 0, 0, 0], Bytes::from_static(&[0, 0, 0, 1, 0x65]));
            }
            Event::Media { kind, timestamp, payload } => {
                if let Ok(Taken::Frame(arrival)) = self.publisher.take(kind, timestamp, payload) {
                    self.sink.push(arrival, self.now);
                }
                while let Some(more) = self.publisher.more() {
                    if let Ok(Taken::Frame(arrival)) = more {
                        self.sink.push(arrival, self.now);
                    }
                }
            }
            Event::Released => self.publisher = Publisher::default(),
            Event::Closed(_) => {
                self.closed = true;
                assert!(self.session.is_closed());
            }
            _ => {}
        }
    }
}
