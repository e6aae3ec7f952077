//! An RTMP client as a state machine, for conversations with the server. The test chooses what it sends. What it
//! receives becomes lines of text.

#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use bytes::{Buf, Bytes, BytesMut};
use onmic_ingest::rtmp::amf::{self, Value};
use onmic_ingest::rtmp::chunk::{ChunkLimits, ChunkReader, ChunkWriter, Message, MessageHeader, Output};
use onmic_ingest::rtmp::message;

pub const SERVER_HANDSHAKE: usize = 1 + 1536 + 1536;

pub struct Client {
    writer: ChunkWriter,
    reader: ChunkReader,
    output: Output,
    handshake_left: usize,
    /// The messages received so far.
    pub received: Vec<Message>,
}

impl Default for Client {
    fn default() -> Self {
        let limits = ChunkLimits { message_bytes: 16 << 20, partial_bytes: 32 << 20, chunk_streams: 64 };
        Self {
            writer: ChunkWriter::default(),
            reader: ChunkReader::new(limits),
            output: Output::default(),
            handshake_left: SERVER_HANDSHAKE,
            received: Vec::new(),
        }
    }
}

impl Client {
    /// Sends C0, C1 and C2 at once. The server does not check C2.
    pub fn handshake(&mut self) -> &mut Self {
        let mut bytes = vec![0; SERVER_HANDSHAKE];
        bytes[0] = 3;
        self.raw(bytes)
    }

    pub fn raw(&mut self, bytes: impl Into<Bytes>) -> &mut Self {
        self.output.push(bytes.into());
        self
    }

    pub fn message(
        &mut self,
        chunk_stream: u8,
        kind: u8,
        timestamp: u32,
        stream: u32,
        body: impl Into<Bytes>,
    ) -> &mut Self {
        let header = MessageHeader { chunk_stream, kind, timestamp, stream };
        self.writer.write(&mut self.output, header, &[], body.into());
        self
    }

    pub fn chunk_size(&mut self, size: usize) -> &mut Self {
        self.message(2, message::SET_CHUNK_SIZE, 0, 0, message::number(size as u32));
        self.writer.set_chunk_size(size);
        self
    }

    pub fn command(&mut self, stream: u32, name: &str, transaction: f64, arguments: &[Value]) -> &mut Self {
        let mut values = vec![Value::text(name), Value::Number(transaction)];
        values.extend_from_slice(arguments);
        self.message(3, message::COMMAND_AMF0, 0, stream, amf::write(&values))
    }

    pub fn connect(&mut self, app: &str, more: &[(&str, Value)]) -> &mut Self {
        let mut object = vec![("app".to_owned(), Value::text(app)), ("flashVer".to_owned(), Value::text("test/1"))];
        object.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.command(0, "connect", 1.0, &[Value::Object(object)])
    }

    /// Sends what encoders send from the handshake to the publish.
    pub fn publish(&mut self, app: &str, key: &str) -> &mut Self {
        self.handshake().connect(app, &[]);
        self.command(0, "createStream", 2.0, &[Value::Null]);
        self.command(1, "publish", 3.0, &[Value::Null, Value::text(key), Value::text("live")])
    }

    pub fn play(&mut self, app: &str, key: &str, more: &[(&str, Value)]) -> &mut Self {
        self.handshake().connect(app, more);
        self.command(0, "createStream", 2.0, &[Value::Null]);
        self.command(1, "play", 3.0, &[Value::Null, Value::text(key)])
    }

    pub fn video(&mut self, timestamp: u32, body: impl Into<Bytes>) -> &mut Self {
        self.message(6, message::VIDEO, timestamp, 1, body)
    }

    pub fn audio(&mut self, timestamp: u32, body: impl Into<Bytes>) -> &mut Self {
        self.message(4, message::AUDIO, timestamp, 1, body)
    }

    /// Returns all bytes to send, in one piece.
    pub fn take_output(&mut self) -> Bytes {
        drain(&mut self.output)
    }

    /// Takes in the bytes that the server sent.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) {
        let handshake = bytes.len().min(self.handshake_left);
        self.handshake_left -= handshake;
        bytes = &bytes[handshake..];
        while let Some(message) = self.reader.read(&mut bytes).expect("the server writes valid bytes") {
            self.received.push(message);
        }
    }

    /// Returns the messages since the last call, one line each.
    pub fn transcript(&mut self) -> String {
        let lines: Vec<_> = self.received.drain(..).map(|message| describe(&message)).collect();
        lines.join("\n")
    }
}

pub fn drain(output: &mut Output) -> Bytes {
    let mut bytes = BytesMut::with_capacity(output.remaining());
    while output.has_remaining() {
        let length = output.chunk().len();
        bytes.extend_from_slice(output.chunk());
        output.advance(length);
    }
    bytes.freeze()
}

fn describe(message: &Message) -> String {
    let number = || message.payload.first_chunk::<4>().map_or(0, |value| u32::from_be_bytes(*value));
    match message.kind {
        message::COMMAND_AMF0 | message::DATA_AMF0 => {
            let reading = amf::read(&message.payload);
            assert!(reading.is_whole(), "the server writes valid bytes");
            let values: Vec<_> = reading.values.iter().map(Value::to_string).collect();
            format!(
                "{}@{}: {}",
                if message.kind == message::DATA_AMF0 { "data" } else { "command" },
                message.stream,
                values.join(" ")
            )
        }
        message::WINDOW_ACKNOWLEDGEMENT_SIZE => format!("window {}", number()),
        message::SET_PEER_BANDWIDTH => format!("bandwidth {} type {}", number(), message.payload[4]),
        message::ACKNOWLEDGEMENT => format!("acknowledged {}", number()),
        message::USER_CONTROL => {
            let event = u16::from_be_bytes([message.payload[0], message.payload[1]]);
            let value = u32::from_be_bytes(*message.payload[2..].first_chunk().expect("four bytes"));
            format!("control {event} {value}")
        }
        message::VIDEO => format!("video {} {} bytes", message.timestamp, message.payload.len()),
        message::AUDIO => format!("audio {} {} bytes", message.timestamp, message.payload.len()),
        other => format!("type {other}"),
    }
}
