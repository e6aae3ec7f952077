//! Tests whole conversations with the session, as text, in virtual time.

mod client;

use std::time::{Duration, Instant};

use client::{Client, drain};
use onmic_ingest::Error;
use onmic_ingest::rtmp::amf::{self, Value};
use onmic_ingest::rtmp::message;
use onmic_ingest::rtmp::{Event, RtmpLimits, Session};
use onmic_media::MediaKind;

/// Holds a session, a client, and the time of both.
struct Pair {
    client: Client,
    session: Session,
    now: Instant,
    events: Vec<String>,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let session = Session::new(RtmpLimits::default(), now);
        Self { client: Client::default(), session, now, events: Vec::new() }
    }

    /// Exchanges all bytes, and grants all requests.
    fn exchange(&mut self) -> &mut Self {
        let bytes = self.client.take_output();
        let mut input = &bytes[..];
        while !input.is_empty() {
            self.session.handle_bytes(self.now, &mut input);
            while let Some(event) = self.session.poll_event() {
                if matches!(event, Event::Publish(_) | Event::Play(_)) {
                    self.session.accept(self.now);
                }
                self.events.push(describe(&event));
            }
        }
        self.carry_back()
    }

    fn carry_back(&mut self) -> &mut Self {
        let answer = drain(self.session.output());
        self.client.handle_bytes(&answer);
        self
    }

    fn pass(&mut self, duration: Duration) -> &mut Self {
        self.now += duration;
        self.session.handle_timeout(self.now);
        while let Some(event) = self.session.poll_event() {
            self.events.push(describe(&event));
        }
        self.carry_back()
    }

    fn events(&mut self) -> String {
        std::mem::take(&mut self.events).join("\n")
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Connected { agent, capabilities } => {
            let codecs: Vec<_> = capabilities.codecs.iter().map(|codec| codec.name()).collect();
            format!("connected {agent} {}", codecs.join(","))
        }
        Event::Publish(key) => format!("publish {} token {:?}", key.name, key.token.as_deref().unwrap_or("none")),
        Event::Play(key) => format!("play {}", key.name),
        Event::Media { kind, timestamp, payload } => format!("{} {timestamp} {} bytes", kind.name(), payload.len()),
        Event::Closed(error) => format!("closed {}: {error}", error.reason()),
        other => format!("{other:?}"),
    }
}

fn text(values: &[&str]) -> Vec<Value> {
    values.iter().map(|value| Value::text(value)).collect()
}

#[test]
fn a_publisher_connects_publishes_and_ends() {
    let mut pair = Pair::new();
    let client = &mut pair.client;
    client.handshake().chunk_size(60_000).connect("live", &[("tcUrl", Value::text("rtmp://h/live?token=T"))]);
    client.command(0, "releaseStream", 2.0, &[Value::Null, Value::text("demo")]);
    client.command(0, "FCPublish", 3.0, &[Value::Null, Value::text("demo")]);
    client.command(0, "createStream", 4.0, &[Value::Null]);
    client.command(0, "_checkbw", 5.0, &[Value::Null]);
    client.command(1, "publish", 6.0, &[Value::Null, Value::text("demo/anna"), Value::text("live")]);
    let codecs = Value::object([("videocodecid", Value::Number(7.0)), ("audiocodecid", Value::text("mp4a"))]);
    let mut metadata = text(&["@setDataFrame", "onMetaData"]);
    metadata.push(codecs);
    client.message(4, message::DATA_AMF0, 0, 1, amf::write(&metadata));
    client.video(0, vec![0x17; 10]).audio(23, vec![0xaf; 3]).audio(30, Vec::new()).video(33, vec![0x27; 70_000]);
    pair.exchange();
    assert_eq!(
        pair.events(),
        "connected test/1 h264,aac\n\
         publish demo/anna token \"T\"\n\
         Announced { video: true, audio: true }\n\
         video 0 10 bytes\n\
         audio 23 3 bytes\n\
         video 33 70000 bytes"
    );
    assert_eq!(
        pair.client.transcript(),
        "window 2500000\n\
         bandwidth 2500000 type 2\n\
         command@0: \"_result\" 1 {fmsVer: \"FMS/3,5,7,7009\", capabilities: 31, mode: 1} \
         {level: \"status\", code: \"NetConnection.Connect.Success\", description: \"Connected.\", objectEncoding: 0}\n\
         command@0: \"_result\" 2 null undefined\n\
         command@0: \"_result\" 3 null undefined\n\
         command@0: \"onFCPublish\" 0 null {level: \"status\", code: \"NetStream.Publish.Start\", description: \"Go on.\"}\n\
         command@0: \"_result\" 4 null 1\n\
         command@0: \"_result\" 5 null undefined\n\
         control 0 1\n\
         command@1: \"onStatus\" 0 null {level: \"status\", code: \"NetStream.Publish.Start\", description: \"Publishing.\"}"
    );

    pair.client.command(0, "deleteStream", 0.0, &[Value::Null, Value::Number(2.0)]);
    pair.exchange();
    assert_eq!(pair.events(), "", "a request for another stream changes nothing");
    pair.client.command(0, "FCUnpublish", 7.0, &[Value::Null]);
    pair.client.command(0, "deleteStream", 8.0, &[Value::Null, Value::Number(1.0)]);
    pair.client.video(66, vec![0x27; 5]);
    pair.exchange();
    assert_eq!(pair.events(), "Released\nDropped(RtmpNotPublishing)");
    assert_eq!(
        pair.client.transcript(),
        "command@1: \"onStatus\" 0 null {level: \"status\", code: \"NetStream.Unpublish.Success\", description: \"Stopped.\"}"
    );
}

#[test]
fn a_player_is_served_and_paused_and_gets_the_end() {
    let mut pair = Pair::new();
    pair.client.play("live", "demo", &[]);
    pair.exchange();
    assert_eq!(pair.events(), "connected test/1 h264,aac\nplay demo/host");
    let transcript = pair.client.transcript();
    let expected = "\
control 0 1
command@1: \"onStatus\" 0 null {level: \"status\", code: \"NetStream.Play.Reset\", description: \"Playing from the newest picture.\"}
command@1: \"onStatus\" 0 null {level: \"status\", code: \"NetStream.Play.Start\", description: \"Playing.\"}
data@1: \"|RtmpSampleAccess\" true true";
    assert!(transcript.ends_with(expected), "{transcript}");

    pair.session.media(MediaKind::Video, 5, b"head", vec![1; 100_000].into());
    pair.client.command(1, "pause", 4.0, &[Value::Null, Value::Boolean(true), Value::Number(0.0)]);
    pair.client.command(1, "seek", 5.0, &[Value::Null, Value::Number(9.0)]);
    pair.client.command(1, "receiveAudio", 0.0, &[Value::Null, Value::Boolean(false)]);
    pair.client.command(1, "getStreamLength", 6.0, &[Value::Null, Value::text("demo")]);
    pair.client.command(1, "play2", 0.0, &[Value::Null]);
    pair.client.command(1, "makeCoffee", 7.0, &[Value::Null]);
    pair.exchange();
    assert_eq!(pair.events(), "Paused(true)\nReceive(Audio, false)\nDropped(RtmpUnknownCommand)");
    assert_eq!(
        pair.client.transcript(),
        "video 5 100004 bytes\n\
         command@1: \"onStatus\" 0 null {level: \"status\", code: \"NetStream.Pause.Notify\", description: \"Paused.\"}\n\
         command@1: \"onStatus\" 0 null {level: \"error\", code: \"NetStream.Seek.Failed\", description: \"A live stream cannot be searched.\"}\n\
         command@0: \"_result\" 6 null 0\n\
         command@1: \"onStatus\" 0 null {level: \"error\", code: \"NetStream.Play.Failed\", description: \"This stream has one quality; play it without play2.\"}\n\
         command@0: \"_error\" 7 null {level: \"error\", code: \"NetConnection.Call.Failed\", description: \"This server does not know the command 'makeCoffee'.\"}"
    );

    pair.session.close("The stream has ended.");
    pair.carry_back();
    assert_eq!(
        pair.client.transcript(),
        "control 1 1\n\
         command@1: \"onStatus\" 0 null {level: \"status\", code: \"NetStream.Play.UnpublishNotify\", description: \"The stream has ended.\"}\n\
         command@0: \"onStatus\" 0 null {level: \"status\", code: \"NetConnection.Connect.Closed\", description: \"The stream has ended.\"}"
    );
    assert!(pair.session.is_closed() && pair.session.poll_timeout().is_none());
}

#[test]
fn enhanced_peers_get_the_codecs_that_are_carried() {
    let mut pair = Pair::new();
    let list = Value::StrictArray(text(&["av01", "hvc1"]));
    let map = Value::object([("Opus", Value::Number(1.0))]);
    pair.client.handshake().connect("live", &[("fourCcList", list), ("audioFourCcInfoMap", map)]);
    pair.exchange();
    assert_eq!(pair.events(), "connected test/1 h264,aac,av1,h265,opus");
    let transcript = pair.client.transcript();
    let answer = "fourCcList: [\"avc1\", \"hvc1\", \"vp09\", \"av01\", \"mp4a\", \"Opus\"], \
                  videoFourCcInfoMap: {avc1: 4, hvc1: 4, vp09: 4, av01: 4}, \
                  audioFourCcInfoMap: {mp4a: 4, Opus: 4}, capsEx: 0}";
    assert_eq!(transcript.matches(answer).count(), 2, "{transcript}");
}

#[test]
fn a_wrong_application_or_name_is_answered_with_what_to_do() {
    let mut pair = Pair::new();
    pair.client.handshake().connect("vod?token=secret", &[]);
    pair.exchange();
    let sentence = "There is no application 'vod' here; use rtmp://HOST/live.";
    assert_eq!(pair.events(), format!("closed refused: refused: {sentence}"));
    assert_eq!(
        pair.client.transcript(),
        format!(
            "command@0: \"_error\" 1 null {{level: \"error\", code: \"NetConnection.Connect.Rejected\", description: \"{sentence}\"}}"
        )
    );

    let mut pair = Pair::new();
    pair.client.publish("live", "a b/c");
    pair.exchange();
    assert!(pair.events().contains("closed refused"));
    let transcript = pair.client.transcript();
    assert!(transcript.contains("NetStream.Publish.BadName"), "{transcript}");
    assert!(transcript.contains("The stream key must be ROOM or ROOM/PARTICIPANT"), "{transcript}");
}

#[test]
fn a_refusal_by_the_driver_reaches_the_peer_and_ends_the_session() {
    let mut pair = Pair::new();
    pair.client.publish("live", "demo").video(0, vec![1; 9]);
    let bytes = pair.client.take_output();
    pair.session.handle_bytes(pair.now, &mut &bytes[..]);
    while let Some(event) = pair.session.poll_event() {
        if matches!(event, Event::Publish(_)) {
            pair.session.refuse("NetStream.Publish.Denied", "No.");
        }
    }
    pair.carry_back();
    let transcript = pair.client.transcript();
    assert!(transcript.ends_with("{level: \"error\", code: \"NetStream.Publish.Denied\", description: \"No.\"}"));
    pair.client.audio(1, vec![1]);
    pair.exchange();
    assert_eq!(pair.events(), "", "nothing more is read");
}

#[test]
fn a_command_out_of_order_ends_the_session() {
    let order = |steps: fn(&mut Client)| {
        let mut pair = Pair::new();
        steps(pair.client.handshake());
        pair.exchange();
        pair.events().lines().last().unwrap_or_default().to_owned()
    };
    let before = order(|client| {
        client.command(0, "createStream", 1.0, &[]);
    });
    assert_eq!(before, "closed unexpected: unexpected command before connect");
    let twice = order(|client| {
        client.connect("live", &[]).connect("live", &[]);
    });
    assert_eq!(twice, "closed unexpected: unexpected second connect");
    let unmade = order(|client| {
        client.connect("live", &[]).command(1, "publish", 0.0, &[Value::Null, Value::text("demo")]);
    });
    assert!(unmade.contains("not created"), "{unmade}");
    let both = order(|client| {
        client.connect("live", &[]).command(0, "createStream", 2.0, &[]);
        client.command(1, "publish", 3.0, &[Value::Null, Value::text("demo")]);
        client.command(1, "play", 4.0, &[Value::Null, Value::text("demo")]);
    });
    assert!(both.contains("second publish or play"), "{both}");
    let media = order(|client| {
        client.connect("live", &[]).video(0, vec![1, 2]);
    });
    assert_eq!(media, "Dropped(RtmpNotPublishing)");
}

#[test]
fn streams_per_connection_are_limited() {
    let mut pair = Pair::new();
    pair.client.handshake().connect("live", &[]);
    for call in 0..40 {
        pair.client.command(0, "createStream", f64::from(call + 2), &[]);
    }
    pair.exchange();
    let transcript = pair.client.transcript();
    assert_eq!(transcript.matches("\"_result\"").count(), 1 + 32, "{transcript}");
    assert!(transcript.contains("No more than 32 streams per connection"), "{transcript}");
}

#[test]
fn commands_and_data_in_their_amf3_wrapping_are_the_same() {
    let wrap = |values: &[Value]| [&[0][..], &amf::write(values)].concat();
    let mut pair = Pair::new();
    pair.client.handshake();
    let object = Value::object([("app", Value::text("live"))]);
    let connect = [Value::text("connect"), Value::Number(1.0), object];
    pair.client.message(3, message::COMMAND_AMF3, 0, 0, wrap(&connect));
    pair.client.message(3, message::COMMAND_AMF3, 0, 0, vec![1, 2, 3]);
    pair.exchange();
    assert_eq!(pair.events(), "connected  h264,aac\nclosed command: malformed command");
}

#[test]
fn the_parts_of_an_aggregate_keep_their_distance() {
    let mut pair = Pair::new();
    pair.client.publish("live", "demo");
    let mut aggregate = aggregate(&[(message::VIDEO, 100, b"pic"), (message::AUDIO, 123, b"so")]);
    aggregate.extend([message::VIDEO, 0xff, 0xff, 0xff, 0]); // This part is cut short.
    pair.client.message(4, message::AGGREGATE, 5000, 1, aggregate);
    pair.exchange();
    assert!(pair.events().ends_with("video 5000 3 bytes\naudio 5023 2 bytes"));
}

#[test]
fn the_parts_behind_a_refusal_are_not_read() {
    let object = Value::object([("app", Value::text("vod"))]);
    let connect = amf::write(&[Value::text("connect"), Value::Number(1.0), object]);
    let create = amf::write(&[Value::text("createStream"), Value::Number(2.0)]);
    let (command, sound) = (message::COMMAND_AMF0, message::AUDIO);
    let parts = aggregate(&[(command, 0, &connect), (command, 0, &create), (sound, 0, b"so")]);
    let mut pair = Pair::new();
    pair.client.handshake().message(3, message::AGGREGATE, 0, 0, parts);
    pair.exchange();
    assert_eq!(pair.client.transcript().lines().count(), 1, "the refusal");
    assert_eq!(pair.events().lines().count(), 1, "the end");
}

fn aggregate(parts: &[(u8, u32, &[u8])]) -> Vec<u8> {
    let mut aggregate = Vec::new();
    for (kind, timestamp, body) in parts {
        let [extended, time @ ..] = timestamp.to_be_bytes();
        aggregate.extend([*kind, 0, 0, body.len() as u8]);
        aggregate.extend(time);
        aggregate.extend([extended, 0, 0, 0]);
        aggregate.extend(*body);
        aggregate.extend((body.len() as u32 + 11).to_be_bytes());
    }
    aggregate
}

#[test]
fn both_sides_acknowledge_and_a_peer_limits_unacknowledged_bytes() {
    let mut pair = Pair::new();
    pair.client.publish("live", "demo");
    pair.client.message(2, message::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, 0, message::number(100_000));
    pair.exchange();
    pair.client.transcript();
    let mut sent = 0;
    let mut acknowledged = 0;
    for frame in 0..20 {
        pair.client.video(frame * 33, vec![0x27; 10_000]);
        let bytes = pair.client.take_output();
        sent += bytes.len();
        pair.session.handle_bytes(pair.now, &mut &bytes[..]);
        while pair.session.poll_event().is_some() {}
        pair.carry_back();
        acknowledged += pair.client.transcript().matches("acknowledged").count();
    }
    assert_eq!(acknowledged, sent / 50_000, "the acknowledgement comes at half of the window");

    let mut pair = Pair::new();
    pair.client.play("live", "demo", &[]);
    pair.client.message(2, message::SET_PEER_BANDWIDTH, 0, 0, message::peer_bandwidth(50_000, 0));
    pair.exchange();
    assert!(pair.client.transcript().contains("window 50000"));
    assert!(pair.session.window_is_open());
    pair.session.media(MediaKind::Video, 0, &[], vec![0; 60_000].into());
    assert!(!pair.session.window_is_open());
    pair.client.message(2, message::ACKNOWLEDGEMENT, 0, 0, message::number(60_000));
    pair.exchange();
    assert!(pair.session.window_is_open());
    pair.client.message(2, message::ACKNOWLEDGEMENT, 0, 0, message::number(200_000));
    pair.exchange();
    assert!(pair.session.window_is_open(), "a peer that counts differently is not held back");
}

#[test]
fn a_ping_is_answered_and_a_silent_peer_is_pinged_and_then_closed() {
    let mut pair = Pair::new();
    pair.client.play("live", "demo", &[]);
    pair.client.message(2, message::USER_CONTROL, 0, 0, message::user_control(message::PING_REQUEST, 77));
    pair.exchange();
    assert!(pair.client.transcript().contains("control 7 77"));
    pair.pass(Duration::from_secs(9));
    assert_eq!(pair.client.transcript(), "");
    assert_eq!(pair.session.poll_timeout(), Some(pair.now + Duration::from_secs(1)));
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.client.transcript(), "control 6 10000");
    pair.client.message(2, message::USER_CONTROL, 0, 0, message::user_control(message::PING_RESPONSE, 10_000));
    pair.exchange();
    pair.events();
    pair.pass(Duration::from_secs(29));
    assert_eq!(pair.events(), "");
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.events(), "closed idle_timeout: nothing heard for 30s");
    assert_eq!(pair.session.poll_timeout(), None);
}

#[test]
fn one_byte_a_second_does_not_hold_a_connection() {
    let mut pair = Pair::new();
    for _ in 0..9 {
        pair.client.raw(vec![3]);
        pair.exchange();
        pair.pass(Duration::from_secs(1));
        assert!(!pair.session.is_closed());
    }
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.events(), "closed setup_timeout: no publish or play within 10s");
}

#[test]
fn a_connect_without_a_publish_is_closed_with_a_reason() {
    let mut pair = Pair::new();
    pair.client.handshake().connect("live", &[]);
    pair.exchange();
    pair.pass(Duration::from_secs(10));
    assert!(pair.events().ends_with("closed setup_timeout: no publish or play within 10s"));
    assert!(pair.client.transcript().ends_with("Nothing was published or played within 10s.\"}"));
}

#[test]
fn limits_hold_before_a_publish_and_are_wider_after() {
    let mut pair = Pair::new();
    pair.client.handshake().connect("live", &[]).video(0, vec![0; 100_000]);
    pair.exchange();
    let closed = pair.events();
    assert!(closed.contains("closed chunk"), "{closed}");

    let mut pair = Pair::new();
    pair.client.publish("live", "demo");
    pair.exchange();
    pair.client.video(0, vec![0; 5 << 20]);
    pair.exchange();
    assert!(pair.events().ends_with("video 0 5242880 bytes"));
    pair.client.video(33, vec![0; (8 << 20) + 1]);
    pair.exchange();
    assert!(pair.events().contains("closed chunk"));
}

#[test]
fn hostile_commands_are_refused_one_by_one() {
    let nested = [&[3, 0, 1, b'a'][..]; 25_600].concat();
    let deep = [&[2, 0, 7][..], b"connect", &[0; 9], &[&[3, 0, 1, b'a'][..]; 1000].concat()].concat();
    let lying = [2, 0xff, 0xff, b'c'].to_vec();
    let nameless = amf::write(&[Value::Number(1.0)]).to_vec();
    for (body, reason) in [(nested, "chunk"), (deep, "command"), (lying, "command"), (nameless, "unexpected")] {
        let mut pair = Pair::new();
        pair.client.handshake().message(3, message::COMMAND_AMF0, 0, 0, body);
        pair.exchange();
        assert!(pair.events().starts_with(&format!("closed {reason}")));
    }
    let mut pair = Pair::new();
    pair.client.raw(vec![22; 4000]); // A TLS client connected to the wrong port.
    pair.exchange();
    assert_eq!(pair.events(), "closed handshake: the RTMP handshake failed");
}

#[test]
fn an_error_has_its_cause_and_a_word_for_metrics() {
    let error = Error::TakenOver(onmic_media::publication::TakenOver);
    assert_eq!(
        (error.reason(), error.to_string().as_str()),
        ("taken_over", "another publisher took this name over, or the room sent this one away")
    );
}
