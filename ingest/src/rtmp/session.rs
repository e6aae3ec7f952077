//! One RTMP connection as a state machine: bytes and `now` go in; events, bytes to send and a deadline come out.
//!
//! Invariants: one publish or play at a time. A peer's request is answered by [`Session::accept`] or
//! [`Session::refuse`] before anything else is sent on its stream. After an error or a refusal nothing more is read.
//! A command that is unknown, cut off or out of place is counted, answered where it asks, and costs nothing else. What ends a
//! connection is bytes that are not chunks, and from a peer that does not publish more messages that mean nothing than
//! [`MEANINGLESS_MAX`]; both are told. At most [`MESSAGES_AT_ONCE`] messages are read before the driver acts. The session knows nothing of FLV, of permissions, or of sockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use onmic_media::bucket::Bucket;
use onmic_media::{DropReason, MediaKind};

use super::amf::{self, Value};
use super::capabilities::Capabilities;
use super::chunk::{ChunkReader, ChunkWriter, Message, MessageHeader, Output};
use super::flow::Flow;
use super::limits::RtmpLimits;
use super::message::{self, Aggregated, status_object};
use super::metadata;
use super::stage::{Role, Stage};
use super::stream_key::{Application, Applications, StreamKey};
use crate::error::Error;

/// The most message streams that one connection may create. Some clients need a new one for each use.
const STREAMS_MAX: u32 = 32;

/// The most messages that are read before the driver acts on them: the frames of a second.
const MESSAGES_AT_ONCE: usize = 128;

/// The most messages without a meaning from a peer that does not publish: this many at once, and one each second. An encoder
/// that sends its last frames behind its goodbye has some ten of them. (What a publisher sends is counted by its publication.)
const MEANINGLESS_MAX: f64 = 100.0;
const MEANINGLESS_EACH_SECOND: f64 = 1.0;

/// States an event that the driver has to act on.
#[derive(Debug)]
pub enum Event {
    /// The connect was granted.
    Connected {
        /// The software that the peer states.
        agent: String,
        /// The codecs that it can carry.
        capabilities: Capabilities,
    },
    /// The peer wants to publish. The driver answers with [`Session::accept`] or [`Session::refuse`].
    Publish(StreamKey),
    /// The peer wants to play. The driver answers in the same way.
    Play(StreamKey),
    /// The publisher's metadata announces these tracks.
    Announced {
        /// Whether they include video.
        video: bool,
        /// Whether they include audio.
        audio: bool,
    },
    /// An FLV tag body of the publisher, which is never empty.
    Media {
        /// The kind of media: video or audio.
        kind: MediaKind,
        /// Milliseconds on the publisher's clock, 32 bits that wrap.
        timestamp: u32,
        /// The body of the message.
        payload: Bytes,
    },
    /// The player paused, or goes on.
    Paused(bool),
    /// The player wants media of this kind, or does not want it any more. It may say so before it plays.
    Receive(MediaKind, bool),
    /// The peer has a new stream, for which it has not asked for anything yet.
    StreamCreated,
    /// The peer ended its publish or play. The connection stays.
    Released,
    /// Something that the peer sent was ignored, for this reason.
    Dropped(DropReason),
    /// The connection is over. This is final. The output should still be sent.
    Closed(Error),
}

/// Is the server's side of one connection.
#[derive(Debug)]
pub struct Session {
    limits: RtmpLimits,
    stage: Stage,
    applications: Arc<Applications>,
    application: Application,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: Output,
    events: VecDeque<Event>,
    streams: u32,
    /// The streams whose publish was refused because another is published, [`STREAMS_MAX`] at most.
    refused: Vec<u32>,
    started: Instant,
    setup_deadline: Option<Instant>,
    heard: Instant,
    pinged: Instant,
    flow: Flow,
    /// What is left of an aggregate.
    parts: Option<Aggregated>,
    /// The number of messages since the driver last asked.
    messages: u64,
    meaningless: Bucket,
}

impl Session {
    /// Makes a session for a connection that was accepted at `now`.
    pub fn new(limits: RtmpLimits, now: Instant) -> Self {
        Self {
            stage: Stage::Handshake(Box::default()),
            applications: Arc::default(),
            application: Application::default(),
            reader: ChunkReader::new(limits.before_publish()),
            writer: ChunkWriter::default(),
            output: Output::default(),
            events: VecDeque::new(),
            streams: 0,
            refused: Vec::new(),
            started: now,
            setup_deadline: Some(now + limits.setup_timeout),
            heard: now,
            pinged: now,
            flow: Flow::new(&limits),
            parts: None,
            messages: 0,
            meaningless: Bucket::new(MEANINGLESS_EACH_SECOND, MEANINGLESS_MAX, now),
            limits,
        }
    }

    /// Returns the same session for other applications than the usual one.
    pub fn with_applications(self, applications: Arc<Applications>) -> Self {
        Self { applications, ..self }
    }

    /// Takes the peer's bytes from the front of `input`. Afterwards there may be events and output. It stops after a
    /// request to publish, because the answer decides how the rest is read, and after [`MESSAGES_AT_ONCE`] messages: act on
    /// the events and call again with the rest, and for as long as [`Session::is_behind`].
    pub fn handle_bytes(&mut self, now: Instant, input: &mut &[u8]) {
        self.heard = now;
        let before = input.len();
        if let Err(error) = self.read(now, input) {
            if let Error::Chunk(broken) = &error {
                let sentence = format!("This connection cannot go on: {broken}.");
                self.connection_status("error", "NetConnection.Connect.Closed", &sentence);
            }
            self.fail(error);
        }
        if self.is_closed() {
            *input = &[];
            self.parts = None;
        }
        self.flow.received(before - input.len());
        self.acknowledge();
    }

    /// Returns whether it holds messages that are not read yet, so that [`Session::handle_bytes`] is to be called again even
    /// without bytes.
    pub fn is_behind(&self) -> bool {
        self.parts.is_some()
    }

    /// Returns the number of messages that were read since the last call, of whatever type and use.
    pub fn take_messages(&mut self) -> u64 {
        std::mem::take(&mut self.messages) + self.reader.take_applied()
    }

    /// Acts on the deadline that [`Session::poll_timeout`] gave, if `now` has reached it.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        if self.setup_deadline.is_some_and(|deadline| now >= deadline) {
            let timeout = self.limits.setup_timeout;
            if !matches!(self.stage, Stage::Handshake(_) | Stage::Greeted) {
                let sentence = format!("Nothing was published or played within {timeout:?}.");
                self.connection_status("status", "NetConnection.Connect.Closed", &sentence);
            }
            self.fail(Error::SetupTimeout(timeout));
        } else if now >= self.heard + self.limits.idle_timeout {
            self.fail(Error::IdleTimeout(self.limits.idle_timeout));
        } else if self.stage.is_connected() && now >= self.ping_deadline() {
            self.pinged = now;
            let millis = self.millis(now);
            self.control(message::USER_CONTROL, message::user_control(message::PING_REQUEST, millis));
        }
    }

    /// Returns the moment to call [`Session::handle_timeout`]. `None` after the end.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if matches!(self.stage, Stage::Closed) {
            return None;
        }
        let idle = self.heard + self.limits.idle_timeout;
        let ping = self.stage.is_connected().then(|| self.ping_deadline());
        [Some(idle), ping, self.setup_deadline].into_iter().flatten().min()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the bytes to send. The driver takes them from the front.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Returns whether the session has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Returns whether more may be sent. The peer may want no more before it has acknowledged more of the output (Set
    /// Peer Bandwidth).
    pub fn window_is_open(&self) -> bool {
        self.flow.is_open()
    }

    /// Grants the requested publish or play.
    pub fn accept(&mut self, now: Instant) {
        let Stage::Asked(role, stream) = self.stage else { return };
        self.stage = Stage::Active(role, stream);
        self.heard = self.heard.max(now);
        match role {
            Role::Publish => {
                self.reader.set_limits(self.limits.of_publisher());
                self.control(message::USER_CONTROL, message::user_control(message::STREAM_BEGIN, stream));
                self.status(stream, "status", "NetStream.Publish.Start", "Publishing.");
            }
            Role::Play => {
                self.control(message::USER_CONTROL, message::user_control(message::STREAM_BEGIN, stream));
                self.status(stream, "status", "NetStream.Play.Reset", "Playing from the newest picture.");
                self.status(stream, "status", "NetStream.Play.Start", "Playing.");
                let access = [Value::text("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)];
                self.data(amf::write(&access));
            }
        }
    }

    /// Refuses a request, or ends a publish or play, with a code like `NetStream.Publish.BadName`, and ends the
    /// session.
    pub fn refuse(&mut self, code: &str, sentence: &str) {
        if let Stage::Asked(_, stream) | Stage::Active(_, stream) = self.stage {
            self.status(stream, "error", code, sentence);
        }
        self.fail(Error::Refused(sentence.to_owned()));
    }

    /// Tells a publisher what its stream lacks. The stream goes on: a level of `error` would make some encoders stop.
    pub fn advise(&mut self, sentence: &str) {
        if let Stage::Active(Role::Publish, stream) = self.stage {
            self.status(stream, "warning", "NetStream.Publish.Advice", sentence);
        }
    }

    /// Says goodbye with this sentence and ends the session, because its stream or the server ends.
    pub fn close(&mut self, sentence: &str) {
        if let Stage::Active(role, stream) | Stage::Asked(role, stream) = self.stage {
            self.end_stream(role, stream, sentence);
        }
        if self.stage.is_connected() {
            self.connection_status("status", "NetConnection.Connect.Closed", sentence);
        }
        self.stage = Stage::Closed;
    }

    /// Sends a data message to the player. Its payload is AMF0 that was written before.
    pub fn data(&mut self, payload: Bytes) {
        let Stage::Active(_, stream) = self.stage else { return };
        let header =
            MessageHeader { chunk_stream: message::AUDIO_STREAM, kind: message::DATA_AMF0, timestamp: 0, stream };
        self.send(header, &[], payload);
    }

    /// Sends an FLV tag body, `head` and `body` joined, to the player.
    pub fn media(&mut self, kind: MediaKind, timestamp: u32, head: &[u8], body: Bytes) {
        let Stage::Active(Role::Play, stream) = self.stage else { return };
        let (chunk_stream, kind) = match kind {
            MediaKind::Video => (message::VIDEO_STREAM, message::VIDEO),
            MediaKind::Audio => (message::AUDIO_STREAM, message::AUDIO),
            MediaKind::Data => return, // Not an FLV tag.
        };
        self.send(MessageHeader { chunk_stream, kind, timestamp, stream }, head, body);
    }

    fn read(&mut self, now: Instant, input: &mut &[u8]) -> Result<(), Error> {
        if let Stage::Handshake(handshake) = &mut self.stage {
            let (answer, done) = handshake.read(input).map_err(Error::Handshake)?;
            self.flow.queued(answer.len());
            self.output.push(answer);
            if !done {
                return Ok(());
            }
            self.stage = Stage::Greeted;
        }
        for _ in 0..MESSAGES_AT_ONCE {
            if self.is_closed() {
                break;
            }
            let Some(message) = self.next_message(input)? else { break };
            self.messages += 1;
            if message.kind == message::AGGREGATE && self.parts.is_none() {
                self.parts = Some(message::aggregated(&message));
                continue;
            }
            let had_asked = self.wants_to_publish();
            self.message(now, message);
            if self.wants_to_publish() && !had_asked {
                break;
            }
        }
        Ok(())
    }

    /// Returns the next part of the aggregate that is being read, or else the next message.
    fn next_message(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        if let Some(part) = self.parts.as_mut().and_then(Iterator::next) {
            return Ok(Some(part));
        }
        self.parts = None;
        Ok(self.reader.read(input)?)
    }

    fn wants_to_publish(&self) -> bool {
        matches!(self.stage, Stage::Asked(Role::Publish, _))
    }

    fn message(&mut self, now: Instant, message: Message) {
        match message.kind {
            message::AUDIO => self.tag(MediaKind::Audio, message),
            message::VIDEO => self.tag(MediaKind::Video, message),
            message::COMMAND_AMF0 | message::COMMAND_AMF3 => self.command(now, &message),
            message::DATA_AMF0 | message::DATA_AMF3 => self.data_message(&message),
            message::USER_CONTROL => self.user_control(&message),
            message::ACKNOWLEDGEMENT => match message.payload.first_chunk::<4>() {
                Some(count) => self.flow.heard_of(u32::from_be_bytes(*count)),
                None => self.dropped(DropReason::RtmpControl),
            },
            message::WINDOW_ACKNOWLEDGEMENT_SIZE => match message.payload.first_chunk::<4>() {
                Some(window) => self.flow.set_peer_window(u32::from_be_bytes(*window)),
                None => self.dropped(DropReason::RtmpControl),
            },
            message::SET_PEER_BANDWIDTH => self.peer_bandwidth(&message),
            _ => self.dropped(DropReason::RtmpMessageType),
        }
    }

    fn dropped(&mut self, reason: DropReason) {
        self.events.push_back(Event::Dropped(reason));
        if self.stage.published().is_none() && !self.is_closed() && self.meaningless.try_take(1.0, self.heard).is_err()
        {
            self.events.push_back(Event::Dropped(DropReason::RtmpMeaningless));
            let sentence =
                format!("More than {MEANINGLESS_MAX} messages meant nothing here; publish or play a stream.");
            self.connection_status("error", "NetConnection.Connect.Closed", &sentence);
            self.fail(Error::Refused(sentence));
        }
    }

    /// Returns whether a message is of a stream that asked for a publish of its own and was refused. Some encoders send their media on
    /// stream 0, on one that they never created, or always on 1: that is of the stream that they publish.
    fn is_of_refused_stream(&self, message: &Message) -> bool {
        self.stage.published().is_some_and(|own| own != message.stream) && self.refused.contains(&message.stream)
    }

    fn tag(&mut self, kind: MediaKind, message: Message) {
        if self.stage.published().is_none() || self.is_of_refused_stream(&message) {
            self.dropped(DropReason::RtmpNotPublishing);
        } else if message.payload.is_empty() {
            self.dropped(DropReason::TagEmpty);
        } else {
            self.events.push_back(Event::Media { kind, timestamp: message.timestamp, payload: message.payload });
        }
    }

    fn data_message(&mut self, message: &Message) {
        if self.is_of_refused_stream(message) {
            return self.dropped(DropReason::RtmpNotPublishing);
        }
        let values = self.values(message, message::DATA_AMF3);
        match values.first().and_then(Value::as_str) {
            Some(_) if values.iter().take(2).any(|value| value.as_str() == Some("onMetaData")) => {}
            Some("@clearDataFrame") => return, // Nothing of it is kept.
            // Cue points, captions, time codes.
            Some(_) => return self.dropped(DropReason::DataNotCarried),
            None => return self.dropped(DropReason::RtmpMetadata),
        }
        let (video, audio) = metadata::announced(&values);
        if video || audio {
            self.events.push_back(Event::Announced { video, audio });
        }
    }

    /// Reads the AMF0 values of a message, and a count if any of them is odd.
    fn values(&mut self, message: &Message, wrapped: u8) -> Vec<Value> {
        let reading = amf::read(message::amf0_of(message, wrapped));
        if !reading.is_whole() {
            self.dropped(DropReason::RtmpAmf);
        }
        reading.values
    }

    fn user_control(&mut self, message: &Message) {
        let Some(([high, low], rest)) = message.payload.split_first_chunk::<2>() else {
            return self.dropped(DropReason::RtmpControl);
        };
        if u16::from_be_bytes([*high, *low]) == message::PING_REQUEST
            && let Some(value) = rest.first_chunk::<4>()
        {
            let value = u32::from_be_bytes(*value);
            self.control(message::USER_CONTROL, message::user_control(message::PING_RESPONSE, value));
        }
    }

    fn peer_bandwidth(&mut self, message: &Message) {
        let Some(bandwidth) = message.payload.first_chunk::<5>() else { return self.dropped(DropReason::RtmpControl) };
        if let Some(window) = self.flow.set_bandwidth(bandwidth) {
            self.control(message::WINDOW_ACKNOWLEDGEMENT_SIZE, message::number(window));
        }
    }

    fn command(&mut self, now: Instant, message: &Message) {
        let values = self.values(message, message::COMMAND_AMF3);
        let Some(name) = values.first().and_then(Value::as_str) else {
            return self.dropped(DropReason::RtmpUnknownCommand);
        };
        let call = Call {
            transaction: values.get(1).and_then(Value::as_number).unwrap_or(0.0),
            stream: message.stream,
            arguments: values.get(2..).unwrap_or_default(),
        };
        match (&self.stage, name) {
            (Stage::Greeted, "connect") => self.connect(&call),
            (Stage::Greeted, _) => self.out_of_order(&call, "Call connect first."),
            (_, "connect") => self.out_of_order(&call, "This connection is connected already."),
            (_, "createStream") => self.create_stream(&call),
            (_, "releaseStream" | "FCPublish" | "FCSubscribe" | "_checkbw" | "setPeerInfo") => {
                self.prepare(name, &call);
            }
            (_, "getStreamLength") => self.result(&call, Value::Null, Value::Number(0.0)),
            (_, "publish") => self.ask(Role::Publish, &call),
            (_, "play") => self.ask(Role::Play, &call),
            (_, "deleteStream") => self.release(now, call.arguments.get(1).and_then(Value::as_number)),
            (_, "closeStream") => self.release(now, Some(call.stream.into()).filter(|_| call.stream != 0)),
            (_, "FCUnpublish" | "FCUnsubscribe") => {
                let is_other = self.application.is_other(call.arguments.last().and_then(Value::as_str));
                if is_other { self.dropped(DropReason::RtmpCommandOrder) } else { self.release(now, None) }
            }
            (_, "pause" | "pauseRaw") => self.pause(&call),
            (_, "receiveVideo") => self.receive(MediaKind::Video, &call),
            (_, "receiveAudio") => self.receive(MediaKind::Audio, &call),
            (_, "seek") => {
                self.status(call.stream, "error", "NetStream.Seek.Failed", "A live stream cannot be searched.");
            }
            (_, "play2") => {
                let sentence = "This stream has one quality; play it without play2.";
                self.status(call.stream, "error", "NetStream.Play.Failed", sentence);
            }
            (_, "_result" | "_error" | "onStatus") => {} // This server makes no calls.
            (_, name) => self.unknown(name, &call),
        }
    }

    fn connect(&mut self, call: &Call<'_>) {
        let object = call.arguments.first().unwrap_or(&Value::Null);
        let text = |name| object.get(name).and_then(Value::as_str);
        let app = text("app").unwrap_or_default();
        let Some(application) = self.applications.find(app, text("tcUrl")) else {
            let named = self.applications.name();
            let sentence = format!("There is no application '{}' here; use rtmp://HOST/{named}.", brief(app));
            let info = status_object("error", "NetConnection.Connect.Rejected", &sentence);
            self.reply("_error", call.transaction, Value::Null, info);
            self.fail(Error::Refused(sentence));
            return;
        };
        self.application = application;
        let capabilities = Capabilities::parse(object);
        let agent = brief(text("flashVer").unwrap_or_default()).to_owned();

        self.control(message::WINDOW_ACKNOWLEDGEMENT_SIZE, message::number(self.limits.window_bytes));
        let bandwidth = message::peer_bandwidth(self.limits.window_bytes, message::BANDWIDTH_DYNAMIC);
        self.control(message::SET_PEER_BANDWIDTH, bandwidth);
        self.control(message::SET_CHUNK_SIZE, message::number(self.limits.chunk_size as u32));
        self.writer.set_chunk_size(self.limits.chunk_size);

        // Clients know this version as one to send H.264 to. Peers look for enhanced capabilities in either object.
        let mut properties = vec![
            ("fmsVer".to_owned(), Value::text("FMS/3,5,7,7009")),
            ("capabilities".to_owned(), Value::Number(31.0)),
            ("mode".to_owned(), Value::Number(1.0)),
        ];
        properties.extend(capabilities.answer());
        let mut info = vec![
            ("level".to_owned(), Value::text("status")),
            ("code".to_owned(), Value::text("NetConnection.Connect.Success")),
            ("description".to_owned(), Value::text("Connected.")),
            ("objectEncoding".to_owned(), Value::Number(0.0)),
        ];
        info.extend(capabilities.answer());
        self.reply("_result", call.transaction, Value::Object(properties), Value::Object(info));
        self.stage = Stage::Connected;
        self.events.push_back(Event::Connected { agent, capabilities });
    }

    fn create_stream(&mut self, call: &Call<'_>) {
        if self.streams >= STREAMS_MAX {
            self.dropped(DropReason::RtmpCommandOrder);
            let sentence = format!("No more than {STREAMS_MAX} streams per connection; connect again.");
            return self.call_failed(call, &sentence);
        }
        self.streams += 1;
        self.events.push_back(Event::StreamCreated);
        self.reply("_result", call.transaction, Value::Null, Value::Number(self.streams.into()));
    }

    /// Answers the calls by which other servers prepare a publish. There is nothing to prepare here.
    fn prepare(&mut self, name: &str, call: &Call<'_>) {
        self.result(call, Value::Null, Value::Undefined);
        let (answer, code) = match name {
            "FCPublish" => ("onFCPublish", "NetStream.Publish.Start"),
            "FCSubscribe" => ("onFCSubscribe", "NetStream.Play.Start"),
            _ => return,
        };
        self.reply(answer, 0.0, Value::Null, status_object("status", code, "Go on."));
    }

    /// Asks the driver. Some encoders publish on stream 0, or on one that they never created: it is theirs all the same.
    fn ask(&mut self, role: Role, call: &Call<'_>) {
        if !matches!(self.stage, Stage::Connected) {
            self.dropped(DropReason::RtmpCommandOrder);
            let is_another = role == Role::Publish && self.stage.published().is_some_and(|own| own != call.stream);
            if is_another && !self.refused.contains(&call.stream) && self.refused.len() < STREAMS_MAX as usize {
                self.refused.push(call.stream);
            }
            let sentence = "This connection publishes or plays already; stop that first, or connect again.";
            return self.status(call.stream, "error", role.failed(), sentence);
        }
        self.stage = Stage::Asked(role, call.stream);
        self.setup_deadline = None;
        // The command object stands in front, and some encoders leave it out.
        let key = call.arguments.iter().take(2).find_map(Value::as_str).unwrap_or_default();
        match self.application.ask(key) {
            Ok(key) if role == Role::Publish => self.events.push_back(Event::Publish(key)),
            Ok(key) => self.events.push_back(Event::Play(key)),
            Err(invalid) => {
                let sentence = format!("The stream key must be ROOM or ROOM/PARTICIPANT: {invalid}.");
                self.refuse(role.failed(), &sentence);
            }
        }
    }

    /// Ends the publish or play, unless another stream is meant. One on stream 0 has no other.
    fn release(&mut self, now: Instant, meant: Option<f64>) {
        let (Stage::Active(role, stream) | Stage::Asked(role, stream)) = self.stage else { return };
        if stream != 0 && meant.is_some_and(|meant| meant != f64::from(stream)) {
            return;
        }
        self.end_stream(role, stream, "Stopped.");
        self.stage = Stage::Connected;
        self.refused.clear();
        self.setup_deadline = Some(now + self.limits.setup_timeout);
        self.reader.set_limits(self.limits.before_publish());
        self.events.push_back(Event::Released);
    }

    fn pause(&mut self, call: &Call<'_>) {
        let paused = call.arguments.get(1).and_then(Value::as_bool).unwrap_or(true);
        let code = if paused { "NetStream.Pause.Notify" } else { "NetStream.Unpause.Notify" };
        self.status(call.stream, "status", code, if paused { "Paused." } else { "Playing from now." });
        self.events.push_back(Event::Paused(paused));
    }

    fn receive(&mut self, kind: MediaKind, call: &Call<'_>) {
        let wanted = call.arguments.get(1).and_then(Value::as_bool).unwrap_or(true);
        self.events.push_back(Event::Receive(kind, wanted));
    }

    fn unknown(&mut self, name: &str, call: &Call<'_>) {
        self.dropped(DropReason::RtmpUnknownCommand);
        self.call_failed(call, &format!("This server does not know the command '{}'.", brief(name)));
    }

    fn out_of_order(&mut self, call: &Call<'_>, sentence: &str) {
        self.dropped(DropReason::RtmpCommandOrder);
        self.call_failed(call, sentence);
    }

    /// Answers a call that asks for an answer.
    fn call_failed(&mut self, call: &Call<'_>, sentence: &str) {
        if call.transaction != 0.0 {
            let info = status_object("error", "NetConnection.Call.Failed", sentence);
            self.reply("_error", call.transaction, Value::Null, info);
        }
    }

    /// Sends the messages that end a stream: a notice to a player, a confirmation to a publisher.
    fn end_stream(&mut self, role: Role, stream: u32, sentence: &str) {
        match role {
            Role::Publish => self.status(stream, "status", "NetStream.Unpublish.Success", sentence),
            Role::Play => {
                self.control(message::USER_CONTROL, message::user_control(message::STREAM_END, stream));
                self.status(stream, "status", "NetStream.Play.UnpublishNotify", sentence);
            }
        }
    }

    fn result(&mut self, call: &Call<'_>, properties: Value, value: Value) {
        if call.transaction != 0.0 {
            self.reply("_result", call.transaction, properties, value);
        }
    }

    fn reply(&mut self, name: &str, transaction: f64, properties: Value, info: Value) {
        let values = [Value::text(name), Value::Number(transaction), properties, info];
        self.call(0, &values);
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, sentence: &str) {
        let info = status_object(level, code, sentence);
        let values = [Value::text("onStatus"), Value::Number(0.0), Value::Null, info];
        self.call(stream, &values);
    }

    fn connection_status(&mut self, level: &str, code: &str, sentence: &str) {
        self.status(0, level, code, sentence);
    }

    fn call(&mut self, stream: u32, values: &[Value]) {
        let (chunk_stream, kind) = (message::COMMAND_STREAM, message::COMMAND_AMF0);
        self.send(MessageHeader { chunk_stream, kind, timestamp: 0, stream }, &[], amf::write(values));
    }

    fn control(&mut self, kind: u8, payload: Bytes) {
        let chunk_stream = message::CONTROL_STREAM;
        self.send(MessageHeader { chunk_stream, kind, timestamp: 0, stream: 0 }, &[], payload);
    }

    fn send(&mut self, header: MessageHeader, head: &[u8], body: Bytes) {
        let before = self.output.remaining();
        self.writer.write(&mut self.output, header, head, body);
        let written = self.output.remaining() - before;
        self.flow.queued(written);
    }

    fn acknowledge(&mut self) {
        if !matches!(self.stage, Stage::Handshake(_) | Stage::Closed)
            && let Some(count) = self.flow.take_acknowledgement()
        {
            self.control(message::ACKNOWLEDGEMENT, message::number(count));
        }
    }

    fn fail(&mut self, error: Error) {
        if !self.is_closed() {
            self.stage = Stage::Closed;
            self.events.push_back(Event::Closed(error));
        }
    }

    fn ping_deadline(&self) -> Instant {
        self.heard.max(self.pinged) + self.limits.ping_interval
    }

    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.started).as_millis() as u32
    }
}

struct Call<'a> {
    transaction: f64,
    stream: u32,
    /// The values after the transaction. The command object is the first.
    arguments: &'a [Value],
}

/// Returns the start of a peer's text, fit for a log line and an answer.
fn brief(text: &str) -> &str {
    const LONGEST: usize = 64;
    let text = &text[..text.floor_char_boundary(LONGEST)];
    text.split(|c: char| c.is_control() || c == '?').next().unwrap_or_default() // A query may hold a token.
}
