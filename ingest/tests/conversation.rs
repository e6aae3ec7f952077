//! Tests whole conversations with the session, as text, in virtual time.

mod client;

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, drain};
use onmic_ingest::Error;
use onmic_ingest::rtmp::amf::{self, Value};
use onmic_ingest::rtmp::message;
use onmic_ingest::rtmp::{Applications, Event, RtmpLimits, Session};
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
        while !input.is_empty() || self.session.is_behind() {
            self.session.handle_bytes(self.now, &mut input);
            while let Some(event) = self.session.poll_event() {
                if matches!(event, Event::Publish(_) | Event::Play(_)) {
                    self.session.accept(self.now);
                }
                if !matches!(event, Event::StreamCreated) {
                    self.events.push(describe(&event)); // Every conversation begins with one.
                }
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
         Dropped(TagEmpty)\n\
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
fn a_goodbye_to_another_stream_or_name_changes_nothing() {
    for (stream, command, name, ends) in [
        (2, "closeStream", None, false),
        (1, "closeStream", None, true),
        (0, "closeStream", None, true),
        (0, "FCUnpublish", Some("other"), false),
        (0, "FCUnpublish", Some("demo/ben"), false),
        (0, "FCUnpublish", Some("demo?token=T"), true),
        (0, "FCUnpublish", Some("no name"), true),
        (0, "FCUnpublish", None, true),
    ] {
        let mut pair = Pair::new();
        pair.client.handshake().connect("live", &[]);
        pair.client.command(0, "createStream", 2.0, &[Value::Null]);
        pair.client.command(1, "publish", 0.0, &[Value::Null, Value::text("demo")]);
        pair.exchange();
        pair.events();
        let arguments: Vec<_> = [Value::Null].into_iter().chain(name.map(Value::text)).collect();
        pair.client.command(stream, command, 0.0, &arguments);
        pair.exchange();
        assert_eq!(pair.events().contains("Released"), ends, "{command} of {name:?} on {stream}");
    }
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
                  audioFourCcInfoMap: {mp4a: 4, Opus: 4}, capsEx: 2}";
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
fn a_command_out_of_order_is_answered_and_costs_nothing_else() {
    let mut pair = Pair::new();
    pair.client.handshake().command(0, "createStream", 1.0, &[]).command(0, "FCPublish", 0.0, &[]);
    pair.exchange();
    assert_eq!(pair.events(), "Dropped(RtmpCommandOrder)\nDropped(RtmpCommandOrder)");
    let transcript = pair.client.transcript();
    assert_eq!(transcript.lines().count(), 1, "what asks for an answer gets one: {transcript}");
    assert!(transcript.starts_with("command@0: \"_error\" 1 null") && transcript.contains("Call connect first."));

    pair.client.connect("live", &[]).connect("live", &[]);
    pair.client.command(0, "createStream", 2.0, &[]).video(0, vec![1, 2]);
    pair.client.command(1, "publish", 3.0, &[Value::Null, Value::text("demo")]);
    pair.client.command(1, "publish", 4.0, &[Value::Null, Value::text("demo")]);
    pair.client.command(1, "play", 5.0, &[Value::Null, Value::text("demo")]).video(0, vec![1, 2]);
    pair.exchange();
    assert_eq!(
        pair.events(),
        "connected test/1 h264,aac\n\
         Dropped(RtmpCommandOrder)\n\
         Dropped(RtmpNotPublishing)\n\
         publish demo/host token \"none\"\n\
         Dropped(RtmpCommandOrder)\n\
         Dropped(RtmpCommandOrder)\n\
         video 0 2 bytes"
    );
    let transcript = pair.client.transcript();
    let answers = [
        "This connection is connected already.",
        "code: \"NetStream.Publish.Start\"",
        "code: \"NetStream.Publish.BadName\", description: \"This connection publishes or plays already",
        "code: \"NetStream.Play.Failed\", description: \"This connection publishes or plays already",
    ];
    let mut rest = &transcript[..];
    for answer in answers {
        rest = rest.split_once(answer).unwrap_or_else(|| panic!("no {answer} in\n{transcript}")).1;
    }
}

#[test]
fn a_stream_that_was_never_created_is_published_on() {
    for stream in [0, 1, 7] {
        let mut pair = Pair::new();
        pair.client.handshake().connect("live", &[]);
        pair.client.command(stream, "publish", 0.0, &[Value::Null, Value::text("demo")]);
        pair.client.message(6, message::VIDEO, 0, stream, vec![1, 2]);
        pair.exchange();
        assert_eq!(
            pair.events(),
            "connected test/1 h264,aac\npublish demo/host token \"none\"\nvideo 0 2 bytes",
            "{stream}"
        );
        assert!(pair.client.transcript().contains(&format!("command@{stream}: \"onStatus\"")), "{stream}");
        let meant = f64::from(stream.max(1));
        pair.client.command(0, "deleteStream", 0.0, &[Value::Null, Value::Number(meant)]);
        pair.exchange();
        assert_eq!(pair.events(), "Released", "{stream}");
    }
}

#[test]
fn missing_and_lower_case_members_are_made_up_for() {
    let mut pair = Pair::new();
    let object = Value::object([("tcurl", Value::text("rtmp://h/live?token=T"))]);
    pair.client.handshake().command(0, "connect", 0.0, &[object]);
    pair.client.command(0, "createStream", 0.0, &[]); // Without a number for its answer.
    pair.client.command(1, "publish", 0.0, &[Value::text("demo"), Value::text("live")]);
    pair.exchange();
    assert_eq!(pair.events(), "connected  h264,aac\npublish demo/host token \"T\"");
    assert!(pair.client.transcript().contains("\"_result\" 0 null 1"));
}

#[test]
fn applications_are_those_that_the_session_is_told() {
    let several = Applications::new(&["stream".to_owned(), "live".to_owned()]).unwrap();
    for (app, tc_url, expected) in [
        ("stream/?token=T", "rtmp://h/stream/?token=T", Some("publish demo/host token \"T\"")),
        ("live/", "rtmp://h/live/", Some("publish demo/host token \"none\"")),
        ("", "rtmp://h:1935/live?token=T", Some("publish demo/host token \"T\"")),
        ("vod", "rtmp://h/vod", None),
    ] {
        let mut pair = Pair::new();
        pair.session = Session::new(RtmpLimits::default(), pair.now).with_applications(Arc::new(several.clone()));
        pair.client.handshake().connect(app, &[("tcUrl", Value::text(tc_url))]);
        pair.client.command(0, "createStream", 2.0, &[Value::Null]);
        pair.client.command(1, "publish", 3.0, &[Value::Null, Value::text("/demo/"), Value::text("live")]);
        pair.exchange();
        let events = pair.events();
        match expected {
            Some(expected) => assert!(events.ends_with(expected), "{app}: {events}"),
            None => assert!(events.ends_with("use rtmp://HOST/stream."), "{events}"),
        }
    }
}

#[test]
fn media_of_a_stream_that_was_refused_is_not_the_publications() {
    let mut pair = Pair::new();
    pair.client.publish("live", "demo");
    for transaction in [4.0, 5.0] {
        pair.client.command(0, "createStream", transaction, &[Value::Null]);
    }
    pair.client.command(2, "publish", 6.0, &[Value::Null, Value::text("demo/low")]);
    pair.exchange().events();
    for stream in [1, 2, 3, 0, 7] {
        pair.client.message(6, message::VIDEO, stream, stream, vec![0x17, 1]);
    }
    pair.client.message(4, message::DATA_AMF0, 0, 2, amf::write(&[Value::text("onMetaData")]));
    pair.exchange();
    let left_out = "Dropped(RtmpNotPublishing)";
    let events = format!("video 1 2 bytes\n{left_out}\nvideo 3 2 bytes\nvideo 0 2 bytes\nvideo 7 2 bytes\n{left_out}");
    assert_eq!(pair.events(), events, "3, 0 and 7 asked for nothing of their own");
}

#[test]
fn odd_values_in_connect_and_in_commands_cost_themselves() {
    let odd: [&[u8]; 8] = [
        &[0x11, 0x0a, 0x0b, 1, 1],
        &[0x11, 1],
        &[7, 0, 0],
        &[15, 0, 0, 0, 3, b'<', b'a', b'>'],
        &[4],
        &[2, 0, 4, 0xc4, 0xe3, 0xba, 0xc3],
        &[2, 0, 4, b'c', b'a', b'f', 0xe9],
        &[3, 0xff],
    ];
    let text = |text: &str| amf::write(&[Value::text(text)]).to_vec();
    for value in odd {
        let head = [text("connect"), amf::write(&[Value::Number(1.0)]).to_vec()].concat();
        let named = |name: &str, value: &[u8]| [&[0, name.len() as u8][..], name.as_bytes(), value].concat();
        let object = [&[3][..], &named("app", &text("live")), &named("odd", value), &[0, 0, 9]].concat();
        let mut pair = Pair::new();
        pair.client.handshake().message(3, message::COMMAND_AMF0, 0, 0, [head, object].concat());
        let command = [text("sing"), amf::write(&[Value::Number(9.0), Value::Null]).to_vec(), value.to_vec()].concat();
        pair.client.message(3, message::COMMAND_AMF0, 0, 0, command);
        pair.client.message(4, message::DATA_AMF0, 0, 0, [text("onMetaData"), value.to_vec()].concat());
        pair.client.command(0, "createStream", 2.0, &[Value::Null]);
        pair.client.command(1, "publish", 3.0, &[Value::Null, Value::text("demo"), Value::text("live")]);
        pair.exchange();
        assert_eq!(
            pair.events(),
            "Dropped(RtmpAmf)\n\
             connected  h264,aac\n\
             Dropped(RtmpAmf)\n\
             Dropped(RtmpUnknownCommand)\n\
             Dropped(RtmpAmf)\n\
             publish demo/host token \"none\"",
            "{value:x?}"
        );
        let transcript = pair.client.transcript();
        assert!(transcript.contains("\"_error\" 9 null") && transcript.contains("NetStream.Publish.Start"));
    }
}

#[test]
fn data_messages_that_nothing_uses_are_counted() {
    let mut pair = Pair::new();
    pair.client.publish("live", "demo");
    let time_code = [Value::text("@setDataFrame"), Value::text("onFI"), Value::object([("st", Value::text("10:00"))])];
    pair.client.message(4, message::DATA_AMF0, 0, 1, amf::write(&time_code));
    pair.client.message(4, message::DATA_AMF3, 0, 1, [&[0][..], &amf::write(&time_code[1..])].concat());
    pair.client.message(4, message::DATA_AMF3, 0, 1, amf::write(&time_code)); // Without the byte in front.
    pair.client.message(4, message::DATA_AMF0, 0, 1, amf::write(&[Value::text("@clearDataFrame")]));
    pair.client.message(4, message::DATA_AMF0, 0, 1, vec![5]);
    pair.client.message(4, 19, 0, 1, vec![5]); // A shared object.
    pair.exchange();
    let events = pair.events();
    let dropped: Vec<_> = events.lines().skip(2).collect();
    let unused = "Dropped(DataNotCarried)";
    assert_eq!(dropped, [unused, unused, unused, "Dropped(RtmpMetadata)", "Dropped(RtmpMessageType)"]);
}

#[test]
fn advice_reaches_a_publisher_and_no_other_peer() {
    let mut pair = Pair::new();
    pair.client.publish("live", "demo");
    pair.exchange();
    pair.client.transcript();
    pair.session.advise("Send a header.");
    pair.carry_back();
    assert_eq!(
        pair.client.transcript(),
        "command@1: \"onStatus\" 0 null {level: \"warning\", code: \"NetStream.Publish.Advice\", description: \"Send a header.\"}"
    );
    let mut pair = Pair::new();
    pair.client.play("live", "demo", &[]);
    pair.exchange();
    pair.client.transcript();
    pair.session.advise("Send a header.");
    assert_eq!(pair.carry_back().client.transcript(), "");
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
    let expected = "connected  h264,aac\nDropped(RtmpAmf)\nDropped(RtmpUnknownCommand)";
    assert_eq!(pair.events(), expected);
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

#[test]
fn messages_are_read_in_portions_and_all_of_them_are_counted() {
    let mut pair = Pair::new();
    pair.client.publish("live", "demo");
    pair.exchange();
    pair.session.take_messages();
    pair.client.message(4, message::AGGREGATE, 0, 1, aggregate(&[(message::AUDIO, 0, &b"so"[..]); 1000]));
    for _ in 0..1000 {
        pair.client.message(2, message::ACKNOWLEDGEMENT, 0, 0, Vec::new()).chunk_size(60_000);
    }
    let bytes = pair.client.take_output();
    let (mut input, mut messages, mut frames) = (&bytes[..], 0, 0);
    while !input.is_empty() || pair.session.is_behind() {
        pair.session.handle_bytes(pair.now, &mut input);
        let events = std::iter::from_fn(|| pair.session.poll_event()).map(|event| describe(&event));
        let (media, others): (Vec<_>, Vec<_>) = events.partition(|event| event.starts_with("audio"));
        assert!(media.len() + others.len() <= 128, "{} and {}", media.len(), others.len());
        assert!(others.iter().all(|other| other == "Dropped(RtmpControl)"), "{others:?}");
        frames += media.len();
        messages += pair.session.take_messages();
    }
    assert_eq!((frames, messages), (1000, 1 + 1000 + 2 * 1000));
}

/// A kind of message, the events of each of that kind, and whether the peer plays before.
const MEANINGLESS: [(u8, &str, bool); 5] = [
    (message::COMMAND_AMF0, "Dropped(RtmpUnknownCommand)", false),
    (message::VIDEO, "Dropped(RtmpNotPublishing)", true),
    (message::ACKNOWLEDGEMENT, "Dropped(RtmpControl)", false),
    (message::USER_CONTROL, "Dropped(RtmpControl)", true),
    (99, "Dropped(RtmpMessageType)", false),
];

#[test]
fn a_peer_that_does_not_publish_ends_after_a_hundred_messages_that_mean_nothing() {
    for (kind, dropped, plays) in MEANINGLESS {
        let mut pair = Pair::new();
        pair.client.handshake().connect("live", &[]);
        if plays {
            pair.client.command(0, "createStream", 2.0, &[Value::Null]);
            pair.client.command(1, "play", 3.0, &[Value::Null, Value::text("demo")]);
        }
        pair.exchange();
        pair.events();
        for _ in 0..1000 {
            pair.client.message(5, kind, 0, 0, Vec::new());
        }
        pair.exchange();
        let events = pair.events();
        assert_eq!(events.matches(dropped).count(), 101, "{kind}");
        let end = "Dropped(RtmpMeaningless)\nclosed refused: refused: More than 100 messages meant nothing here";
        assert!(events.contains(end) && events.lines().count() == 103, "{kind} {events}");
        assert!(
            pair.client.transcript().ends_with("messages meant nothing here; publish or play a stream.\"}"),
            "{kind}"
        );
    }
}

#[test]
fn a_player_that_sends_something_odd_every_second_stays() {
    let mut pair = Pair::new();
    pair.client.handshake().connect("live", &[]).command(1, "play", 3.0, &[Value::Null, Value::text("demo")]);
    for _ in 0..1000 {
        pair.client.message(5, 99, 0, 0, vec![1]);
        pair.exchange().pass(Duration::from_secs(1));
    }
    let events = pair.events();
    assert_eq!(events.matches("Dropped(RtmpMessageType)").count(), 1000);
    assert!(!events.contains("closed"), "{events}");
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
    let told = pair.client.transcript();
    assert!(
        told.contains("This connection cannot go on: a message of 100000 bytes is above the limit of 65536."),
        "{told}"
    );

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
    for (body, expected) in [
        (nested, "closed chunk"),
        (deep, "Dropped(RtmpAmf)\nclosed refused"),
        (lying, "Dropped(RtmpAmf)\nDropped(RtmpUnknownCommand)"),
        (nameless, "Dropped(RtmpUnknownCommand)"),
    ] {
        let mut pair = Pair::new();
        pair.client.handshake().message(3, message::COMMAND_AMF0, 0, 0, body);
        pair.exchange();
        let events = pair.events();
        assert!(events.starts_with(expected), "{events}");
    }
    let mut pair = Pair::new();
    pair.client.raw(vec![22; 4000]); // A TLS client connected to the wrong port.
    pair.exchange();
    assert_eq!(pair.events(), "closed handshake: the RTMP handshake failed");
}

#[test]
fn an_error_has_its_cause_and_a_word_for_metrics() {
    let error = Error::Ended(onmic_media::ended::TakenOver.into());
    assert_eq!(
        (error.reason(), error.to_string().as_str()),
        ("taken_over", "another publisher took this name over, or the room sent this one away")
    );
}
