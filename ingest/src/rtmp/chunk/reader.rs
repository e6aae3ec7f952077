//! Reads chunks, and returns messages.
//!
//! Invariants: at most one partial message per chunk stream; a message above the limits closes the connection before
//! a byte of it is stored; the memory reserved for partial messages never exceeds `partial_bytes`, whatever the peer
//! announces. Set Chunk Size and Abort (spec 5.4.1, 5.4.2) act here and are not passed on.

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, Message};
use crate::rtmp::message::{ABORT, SET_CHUNK_SIZE};

/// The largest chunk size that is used: that of the largest message (24 bits of length). Larger ones mean the same (spec
/// 5.4.1). Any size is harmless, because memory follows the announced message, not the chunk.
const CHUNK_SIZE_MAX: u32 = 0xff_ffff;

/// The largest chunk size that may be stated: 31 bits.
const CHUNK_SIZE_STATED_MAX: u32 = 0x7fff_ffff;

/// The length of the longest header: a basic header of three bytes, a message header of eleven, and an extended
/// timestamp.
const HEADER_MAX: usize = 3 + 11 + 4;

/// The lengths of the message headers, by type (spec 5.3.1.2).
const MESSAGE_HEADER: [usize; 4] = [11, 7, 3, 0];

/// Limits what a peer can make this side hold.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLimits {
    /// The most payload bytes of one message.
    pub message_bytes: usize,
    /// The most bytes of all partial messages together, by their announced lengths.
    pub partial_bytes: usize,
    /// The most chunk streams over the life of the connection.
    pub chunk_streams: usize,
}

/// States how a peer broke the chunk protocol.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChunkError {
    #[error("a message of {length} bytes is above the limit of {limit}")]
    MessageTooLarge { length: usize, limit: usize },
    #[error("unfinished messages of {length} bytes are above the limit of {limit}")]
    PartialTooLarge { length: usize, limit: usize },
    #[error("more than {0} chunk streams")]
    TooManyChunkStreams(usize),
    #[error("a chunk size of {0} is not between 1 and {CHUNK_SIZE_STATED_MAX}")]
    ChunkSize(u32),
    #[error("chunk stream {chunk_stream} begins with a header of type {format}, which refers to one before it")]
    NoEarlierHeader { chunk_stream: u32, format: u8 },
    #[error("a new message on chunk stream {0} before the last one was complete")]
    Interrupted(u32),
    #[error("a control message of type {kind} with {length} bytes")]
    Control { kind: u8, length: usize },
}

/// Reassembles messages from the bytes of one connection.
#[derive(Debug)]
pub struct ChunkReader {
    limits: ChunkLimits,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    header: [u8; HEADER_MAX],
    header_length: usize,
    /// The chunk whose payload is being read: index of its stream, bytes left.
    payload: Option<(usize, usize)>,
    partial_bytes: usize,
    /// Whether the peer repeats the extended timestamp in type 3 chunks, as the specification wants and not all do.
    repeats_extended: Option<bool>,
    /// The number of messages that acted here since it was last asked for.
    applied: u64,
}

/// Holds the state of one chunk stream: the values that later headers refer back to, and the partial message.
#[derive(Debug)]
struct ChunkStream {
    id: u32,
    timestamp: u32,
    delta: u32,
    extended: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
    partial: Option<BytesMut>,
}

impl ChunkReader {
    /// Makes a reader for a new connection.
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            header: [0; HEADER_MAX],
            header_length: 0,
            payload: None,
            partial_bytes: 0,
            repeats_extended: None,
            applied: 0,
        }
    }

    /// Sets the limits of messages that begin after this call.
    pub fn set_limits(&mut self, limits: ChunkLimits) {
        self.limits = limits;
    }

    /// Returns the bytes that are reserved for partial messages now.
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Returns the number of messages since the last call that acted here and were not passed on.
    pub fn take_applied(&mut self) -> u64 {
        std::mem::take(&mut self.applied)
    }

    /// Takes from the front of `input` up to the end of the next message; `None` when `input` is used up before that.
    /// After an error the connection is over.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            if self.payload.is_none() && !self.read_header(input)? {
                return Ok(None);
            }
            let Some(message) = self.read_payload(input) else {
                if input.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            match message.kind {
                SET_CHUNK_SIZE => self.set_chunk_size(&message)?,
                ABORT => self.abort(&message)?,
                _ => return Ok(Some(message)),
            }
            self.applied += 1;
        }
    }

    /// Reads a header. Returns whether it is complete and `payload` is set.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, ChunkError> {
        loop {
            let needed = self.header_needed();
            if self.header_length >= needed {
                self.begin_chunk()?;
                return Ok(true);
            }
            let take = (needed - self.header_length).min(input.len());
            if take == 0 {
                return Ok(false);
            }
            let (head, rest) = input.split_at(take);
            self.header[self.header_length..][..take].copy_from_slice(head);
            self.header_length += take;
            *input = rest;
        }
    }

    /// Returns the length of the header, as far as the bytes so far tell.
    fn header_needed(&self) -> usize {
        if self.header_length == 0 {
            return 1;
        }
        let basic = self.basic_header();
        if self.header_length < basic {
            return basic;
        }
        let format = self.header[0] >> 6;
        let length = basic + MESSAGE_HEADER[usize::from(format)];
        if self.header_length < length {
            return length;
        }
        let extended = if format < 3 { self.uint24(basic) == EXTENDED } else { self.continuation_is_extended() };
        length + if extended { 4 } else { 0 }
    }

    fn basic_header(&self) -> usize {
        match self.header[0] & 63 {
            0 => 2,
            1 => 3,
            _ => 1,
        }
    }

    fn chunk_stream_id(&self) -> u32 {
        match self.header[0] & 63 {
            0 => 64 + u32::from(self.header[1]),
            1 => 64 + u32::from(self.header[1]) + 256 * u32::from(self.header[2]),
            id => u32::from(id),
        }
    }

    fn uint24(&self, at: usize) -> u32 {
        u32::from_be_bytes([0, self.header[at], self.header[at + 1], self.header[at + 2]])
    }

    fn continuation_is_extended(&self) -> bool {
        let id = self.chunk_stream_id();
        self.repeats_extended != Some(false)
            && self.streams.iter().any(|stream| stream.id == id && stream.extended.is_some())
    }

    fn begin_chunk(&mut self) -> Result<(), ChunkError> {
        let format = self.header[0] >> 6;
        let index = self.chunk_stream(format)?;
        let basic = self.basic_header();
        let fields = basic + MESSAGE_HEADER[usize::from(format)];
        let tail = (self.header_length > fields).then(|| {
            let field = self.header[fields..].first_chunk::<4>().expect("18 bytes hold the longest header");
            u32::from_be_bytes(*field)
        });
        self.header_length = 0;

        let stream = &mut self.streams[index];
        let starts = stream.partial.is_none();
        if format < 3 {
            if !starts {
                return Err(ChunkError::Interrupted(stream.id));
            }
            let time = tail.unwrap_or(u32::from_be_bytes([
                0,
                self.header[basic],
                self.header[basic + 1],
                self.header[basic + 2],
            ]));
            stream.extended = tail;
            stream.timestamp = if format == 0 { time } else { stream.timestamp.wrapping_add(time) };
            stream.delta = time; // After a full header too (spec 5.3.1.2.4).
        } else if starts {
            stream.timestamp = stream.timestamp.wrapping_add(stream.delta);
        }
        if format < 2 {
            let [high, middle, low] = [self.header[basic + 3], self.header[basic + 4], self.header[basic + 5]];
            stream.length = u32::from_be_bytes([0, high, middle, low]) as usize;
            stream.kind = self.header[basic + 6];
        }
        if format == 0 {
            let id = self.header[basic + 7..].first_chunk::<4>().expect("18 bytes hold the longest header");
            stream.stream = u32::from_le_bytes(*id);
        }
        if starts {
            self.begin_message(index)?;
        }
        self.begin_payload(index, if format == 3 { tail } else { None });
        Ok(())
    }

    fn chunk_stream(&mut self, format: u8) -> Result<usize, ChunkError> {
        let id = self.chunk_stream_id();
        if let Some(index) = self.streams.iter().position(|stream| stream.id == id) {
            return Ok(index);
        }
        // Some publishers begin with type 1, which lacks only the message stream: 0 is then meant.
        if format > 1 {
            return Err(ChunkError::NoEarlierHeader { chunk_stream: id, format });
        }
        if self.streams.len() >= self.limits.chunk_streams {
            return Err(ChunkError::TooManyChunkStreams(self.limits.chunk_streams));
        }
        let partial = None;
        self.streams.push(ChunkStream {
            id,
            timestamp: 0,
            delta: 0,
            extended: None,
            length: 0,
            kind: 0,
            stream: 0,
            partial,
        });
        Ok(self.streams.len() - 1)
    }

    fn begin_message(&mut self, index: usize) -> Result<(), ChunkError> {
        let length = self.streams[index].length;
        if length > self.limits.message_bytes {
            return Err(ChunkError::MessageTooLarge { length, limit: self.limits.message_bytes });
        }
        let partial_bytes = self.partial_bytes + length;
        if partial_bytes > self.limits.partial_bytes {
            return Err(ChunkError::PartialTooLarge { length: partial_bytes, limit: self.limits.partial_bytes });
        }
        self.partial_bytes = partial_bytes;
        self.streams[index].partial = Some(BytesMut::with_capacity(length));
        Ok(())
    }

    /// Begins the payload of a chunk. `repeated` are the four bytes after a type 3 header that may be an extended
    /// timestamp.
    fn begin_payload(&mut self, index: usize, repeated: Option<u32>) {
        let stream = &mut self.streams[index];
        let partial = stream.partial.as_mut().expect("begun with the message");
        let mut left = (stream.length - partial.len()).min(self.chunk_size);
        if let Some(field) = repeated {
            // A peer that does not repeat it has payload here instead. If fewer bytes are left, the two cannot be
            // distinguished.
            let is_payload = left >= 4 && self.repeats_extended.is_none() && stream.extended != Some(field);
            if left >= 4 && self.repeats_extended.is_none() {
                self.repeats_extended = Some(!is_payload);
            }
            if is_payload {
                partial.put_u32(field);
                left -= 4;
            }
        }
        self.payload = Some((index, left));
    }

    /// Copies the bytes that are there. Returns the message if they complete one.
    fn read_payload(&mut self, input: &mut &[u8]) -> Option<Message> {
        let (index, left) = self.payload?;
        let take = left.min(input.len());
        let (head, rest) = input.split_at(take);
        *input = rest;
        let stream = &mut self.streams[index];
        let partial = stream.partial.as_mut().expect("begun with the message");
        partial.extend_from_slice(head);
        if take < left {
            self.payload = Some((index, left - take));
            return None;
        }
        self.payload = None;
        if partial.len() < stream.length {
            return None;
        }
        let payload = stream.partial.take().expect("just used").freeze();
        self.partial_bytes -= stream.length;
        Some(Message { kind: stream.kind, timestamp: stream.timestamp, stream: stream.stream, payload })
    }

    fn set_chunk_size(&mut self, message: &Message) -> Result<(), ChunkError> {
        let size = control_value(message)?;
        if !(1..=CHUNK_SIZE_STATED_MAX).contains(&size) {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = size.min(CHUNK_SIZE_MAX) as usize;
        Ok(())
    }

    fn abort(&mut self, message: &Message) -> Result<(), ChunkError> {
        let id = control_value(message)?;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id)
            && stream.partial.take().is_some()
        {
            self.partial_bytes -= stream.length;
        }
        Ok(())
    }
}

fn control_value(message: &Message) -> Result<u32, ChunkError> {
    let wrong = ChunkError::Control { kind: message.kind, length: message.payload.len() };
    message.payload.first_chunk::<4>().map(|value| u32::from_be_bytes(*value)).ok_or(wrong)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
