//! The type numbers of messages (spec 5.4, 6, 7.1), and the small messages that both sides write.

use bytes::{BufMut, Bytes, BytesMut};

use super::amf::Value;
use super::chunk::Message;

/// The type of a Set Chunk Size.
pub const SET_CHUNK_SIZE: u8 = 1;
/// The type of an Abort Message.
pub const ABORT: u8 = 2;
/// The type of an Acknowledgement.
pub const ACKNOWLEDGEMENT: u8 = 3;
/// The type of a User Control Message.
pub const USER_CONTROL: u8 = 4;
/// The type of a Window Acknowledgement Size.
pub const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
/// The type of a Set Peer Bandwidth.
pub const SET_PEER_BANDWIDTH: u8 = 6;
/// The type of an audio message.
pub const AUDIO: u8 = 8;
/// The type of a video message.
pub const VIDEO: u8 = 9;
/// The type of data in AMF3: one byte that announces AMF0, followed by the content of [`DATA_AMF0`].
pub const DATA_AMF3: u8 = 15;
/// The type of a command in AMF3: one byte that announces AMF0, followed by the content of [`COMMAND_AMF0`].
pub const COMMAND_AMF3: u8 = 17;
/// The type of data in AMF0.
pub const DATA_AMF0: u8 = 18;
/// The type of a command in AMF0.
pub const COMMAND_AMF0: u8 = 20;
/// The type of an aggregate: several messages in one (spec 7.1.6).
pub const AGGREGATE: u8 = 22;

/// The user control event that a stream begins to carry media.
pub const STREAM_BEGIN: u16 = 0;
/// The user control event that a stream is over.
pub const STREAM_END: u16 = 1;
/// The user control event that asks whether the peer is alive.
pub const PING_REQUEST: u16 = 6;
/// The user control event that answers a ping request.
pub const PING_RESPONSE: u16 = 7;

/// The limit type of Set Peer Bandwidth that lets the peer choose (spec 5.4.5).
pub const BANDWIDTH_DYNAMIC: u8 = 2;

/// The chunk stream of protocol control messages (spec 5.4).
pub const CONTROL_STREAM: u8 = 2;
/// The chunk stream on which commands go out.
pub const COMMAND_STREAM: u8 = 3;
/// The chunk stream of audio and data.
pub const AUDIO_STREAM: u8 = 4;
/// The chunk stream of video.
pub const VIDEO_STREAM: u8 = 6;

/// Returns the AMF0 of a message. In its AMF3 form, whose type is `wrapped`, a byte of 0 stands before it, which some peers
/// leave out.
pub fn amf0_of(message: &Message, wrapped: u8) -> &[u8] {
    let wrapped = message.kind == wrapped;
    message.payload.strip_prefix(&[0]).filter(|_| wrapped).unwrap_or(&message.payload)
}

/// Returns the information of a status.
pub fn status_object(level: &str, code: &str, sentence: &str) -> Value {
    Value::object([("level", Value::text(level)), ("code", Value::text(code)), ("description", Value::text(sentence))])
}

/// Returns a payload of one number.
pub fn number(value: u32) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

/// Returns the payload of a Set Peer Bandwidth.
pub fn peer_bandwidth(window: u32, limit_type: u8) -> Bytes {
    let mut payload = BytesMut::with_capacity(5);
    payload.put_u32(window);
    payload.put_u8(limit_type);
    payload.freeze()
}

/// Returns the payload of a user control event with one number.
pub fn user_control(event: u16, value: u32) -> Bytes {
    let mut payload = BytesMut::with_capacity(6);
    payload.put_u16(event);
    payload.put_u32(value);
    payload.freeze()
}

/// Returns the messages inside of an aggregate, with the type, the milliseconds and the payload of each. Their times
/// are moved to the aggregate's own. The iterator ends at the first message that is cut short.
pub fn aggregated(aggregate: &Message) -> Aggregated {
    let (base, stream) = (aggregate.timestamp, aggregate.stream);
    Aggregated { rest: aggregate.payload.clone(), base, stream, first: None }
}

/// Is the iterator that [`aggregated`] returns.
#[derive(Debug)]
pub struct Aggregated {
    rest: Bytes,
    base: u32,
    stream: u32,
    /// The milliseconds of the first message.
    first: Option<u32>,
}

impl Iterator for Aggregated {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        const HEADER: usize = 11;
        const BACK_POINTER: usize = 4;
        let Self { rest, base, stream, first } = self;
        let header = rest.first_chunk::<HEADER>()?;
        let kind = header[0];
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let own = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        if rest.len() < HEADER + length {
            return None;
        }
        // A copy, because a slice would keep the whole aggregate (see `media/src/part.rs`).
        let payload = Bytes::copy_from_slice(&rest[HEADER..HEADER + length]);
        let _ = rest.split_to((HEADER + length + BACK_POINTER).min(rest.len()));
        let timestamp = base.wrapping_add(own.wrapping_sub(*first.get_or_insert(own)));
        Some(Message { kind, timestamp, stream: *stream, payload })
    }
}
