//! Tests the server on loopback with a client of our own, for what ffmpeg 5 cannot send.

#![allow(clippy::unwrap_used)]

mod client;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use client::Client;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use onmic_ingest::rtmp::amf::Value;
use onmic_ingest::rtmp::message;
use onmic_ingest::rtmp::{RtmpConfig, RtmpLimits, TrustedProxies, serve};
use onmic_media::codec::{Parameters, aac, h265, nal};
use onmic_media::feed::{Deriver, Lease, NotDerived, Recipe};
use onmic_media::gate::{Admission, OpenGate, Refusal, Shown};
use onmic_media::hub::HubLimits;
use onmic_media::{
    Action, Advice, Codec, Gate, Grant, Hub, MediaKind, NodeClock, Pace, Permit, Permits, Presence, Spent, Track, Work,
    flv,
};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    hub: Arc<Hub>,
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(config: RtmpConfig, gate: Arc<dyn Gate>) -> Self {
        Self::with_hub(config, gate, HubLimits::default()).await
    }

    async fn with_hub(config: RtmpConfig, gate: Arc<dyn Gate>, limits: HubLimits) -> Self {
        let clock = NodeClock::new(Instant::now(), SystemTime::now());
        Self::serving(config, gate, Hub::new(clock, limits, None)).await
    }

    async fn serving(config: RtmpConfig, gate: Arc<dyn Gate>, hub: Arc<Hub>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, config, hub.clone(), gate, shutdown.clone()));
        Self { hub, address, shutdown, serving }
    }

    async fn open() -> Self {
        Self::start(RtmpConfig::default(), Arc::new(OpenGate)).await
    }

    async fn tcp(&self) -> Peer<TcpStream> {
        Peer { stream: TcpStream::connect(self.address).await.unwrap(), client: Client::default() }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("drains in time").unwrap();
    }
}

struct Peer<S> {
    stream: S,
    client: Client,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn send(&mut self) {
        let bytes = self.client.take_output();
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads until the lines so far contain `wanted`. Returns false if the server closed before that.
    async fn read_until(&mut self, lines: &mut String, wanted: &str) -> bool {
        let mut buffer = vec![0; 65_536];
        while !lines.contains(wanted) {
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("an answer in time");
            match read {
                Ok(0) | Err(_) => return false,
                Ok(length) => self.client.handle_bytes(&buffer[..length]),
            }
            lines.push_str(&self.client.transcript());
            lines.push('\n');
        }
        true
    }

    async fn expect(&mut self, wanted: &str) {
        let mut lines = String::new();
        assert!(self.read_until(&mut lines, wanted).await, "no {wanted:?} in\n{lines}");
    }

    async fn expect_close(&mut self, wanted: &str) {
        let mut lines = String::new();
        self.read_until(&mut lines, "\0").await;
        assert!(lines.contains(wanted), "no {wanted:?} in\n{lines}");
    }

    /// Reads the next `count` media messages.
    async fn media(&mut self, count: usize) -> Vec<(u8, u32, Bytes)> {
        let mut media = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let received = self.client.received.drain(..);
            media.extend(
                received
                    .filter(|m| m.kind == message::VIDEO || m.kind == message::AUDIO)
                    .map(|m| (m.kind, m.timestamp, m.payload)),
            );
            if media.len() >= count {
                return media;
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("media in time");
            let length = read.unwrap();
            assert!(length > 0, "closed after {} messages", media.len());
            self.client.handle_bytes(&buffer[..length]);
        }
    }
}

fn hevc() -> (Parameters, Bytes) {
    let file = include_bytes!("../../media/tests/fixtures/h265_main_bframes.hevc");
    let stream = nal::from_annex_b(file);
    let (payload, parameters) = h265::strip_parameter_sets(stream);
    (Parameters::H265(parameters.expect("the fixture has parameter sets")), payload)
}

fn sound() -> (Parameters, Bytes) {
    let parameters = Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap());
    (parameters, [&*flv::write_audio_header(Codec::Aac), b"sound"].concat().into())
}

fn hevc_frame(payload: &Bytes, composition_ms: i32) -> Bytes {
    [&*flv::write_video_header(Codec::H265, true, composition_ms), payload].concat().into()
}

/// Publishes one keyframe, and no audio.
async fn publish_video<S: AsyncRead + AsyncWrite + Unpin>(peer: &mut Peer<S>) {
    let (video, payload) = hevc();
    peer.client.publish("live", "demo");
    peer.send().await;
    peer.expect("NetStream.Publish.Start").await;
    peer.client.video(0, flv::write_video_config(&video)).video(0, hevc_frame(&payload, 80));
    peer.send().await;
}

/// Publishes `frames` keyframes that are 40 ms apart, with an audio packet at each.
async fn publish_hevc<S: AsyncRead + AsyncWrite + Unpin>(peer: &mut Peer<S>, frames: u32) {
    let ((video, payload), (audio, packet)) = (hevc(), sound());
    peer.client.publish("live", "demo");
    peer.send().await;
    peer.expect("NetStream.Publish.Start").await;
    peer.client.video(0, flv::write_video_config(&video)).audio(0, flv::write_audio_config(&audio));
    for frame in 0..frames {
        peer.client.video(frame * 40, hevc_frame(&payload, 80)).audio(frame * 40, packet.clone());
    }
    peer.send().await;
}

#[tokio::test]
async fn hevc_by_enhanced_rtmp_comes_out_as_it_went_in() {
    let server = Server::open().await;
    let mut player = server.tcp().await;
    let list = Value::StrictArray(vec![Value::text("hvc1")]);
    player.client.play("live", "demo", &[("fourCcList", list)]);
    player.send().await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 1).await;
    let mut media = player.media(2).await;
    // The first video frame is shown at 80 ms. The first audio packet is older, and left out.
    let ((parameters, payload), (_, packet)) = (hevc(), sound());
    for (frame, messages) in [(1, 3), (2, 2), (3, 2), (4, 2)] {
        publisher.client.video(frame * 40, hevc_frame(&payload, 80)).audio(frame * 40, packet.clone());
        publisher.send().await;
        media.extend(player.media(messages).await);
    }

    let video: Vec<_> = media.iter().filter(|m| m.0 == message::VIDEO).collect();
    assert_eq!(video[0].2, flv::write_video_config(&parameters));
    let first = video[1].1;
    assert!(video[1..].iter().all(|m| m.2 == hevc_frame(&payload, 80)));
    let times: Vec<_> = video[1..].iter().map(|m| m.1 - first).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 40), "{times:?}");
    assert!(first <= 1, "{first}");

    let track = server.hub.source(&"demo".parse().unwrap()).unwrap().feed().original(MediaKind::Video).unwrap();
    assert_eq!(track.parameters().codec(), Codec::H265);
    server.stop().await;
}

#[tokio::test]
async fn a_classic_player_is_told_that_hevc_cannot_be_converted() {
    let server = Server::open().await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 2).await;
    let mut player = server.tcp().await;
    player.client.play("live", "demo", &[]);
    player.send().await;
    player.expect_close("the video here is h265 and cannot be converted").await;
    server.stop().await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Asks a question and reads up to its answer. Returns what came until then.
    async fn ask(&mut self) -> String {
        self.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
        self.send().await;
        let mut lines = String::new();
        assert!(self.read_until(&mut lines, "\"_result\" 9").await, "no answer in\n{lines}");
        lines
    }

    /// Asks for the stream `demo` as a player of H.265. `before` is sent in front of the request to play.
    async fn play_hevc(&mut self, before: &[(&str, bool)]) {
        let list = Value::StrictArray(vec![Value::text("hvc1")]);
        self.client.handshake().connect("live", &[("fourCcList", list)]);
        self.client.command(0, "createStream", 2.0, &[Value::Null]);
        self.say(before).await;
        self.client.command(1, "play", 3.0, &[Value::Null, Value::text("demo")]);
        self.send().await;
    }

    async fn say(&mut self, commands: &[(&str, bool)]) {
        for (command, state) in commands {
            self.client.command(1, command, 0.0, &[Value::Null, Value::Boolean(*state)]);
        }
        self.send().await;
    }
}

#[tokio::test]
async fn what_a_player_does_not_want_is_left_out_whether_it_says_so_before_it_plays_or_later() {
    let server = Server::open().await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 4).await;
    publisher.ask().await;
    let (payload, packet) = (hevc().1, sound().1);
    let mut player = server.tcp().await;
    player.play_hevc(&[("receiveVideo", false)]).await;
    let mut lines = String::new();
    assert!(player.read_until(&mut lines, "onMetaData").await);
    assert!(lines.contains("audiocodecid") && !lines.contains("videocodecid"), "{lines}");
    assert!(!lines.lines().any(|line| line.starts_with("video ")), "{lines}");
    for frame in 4..8 {
        publisher.client.video(frame * 40, hevc_frame(&payload, 80)).audio(frame * 40, packet.clone());
    }
    publisher.send().await;
    let media = player.media(4).await;
    assert!(media.iter().all(|(kind, ..)| *kind == message::AUDIO), "{media:?}");

    player.say(&[("receiveVideo", true), ("receiveAudio", false)]).await;
    player.ask().await;
    for frame in 8..12 {
        publisher.client.audio(frame * 40, packet.clone()).video(frame * 40, hevc_frame(&payload, 80));
        publisher.send().await;
        let media = player.media(1).await;
        assert!(media.iter().all(|(kind, ..)| *kind == message::VIDEO), "{media:?}");
    }

    // It closes the stream and plays again on it: it has said what it wants. A new stream has everything.
    for (stream, kinds) in [(1, 1), (2, 2)] {
        player.client.command(1, "closeStream", 0.0, &[Value::Null]);
        if stream == 2 {
            player.client.command(0, "createStream", 2.0, &[Value::Null]);
        }
        player.client.command(stream, "play", 3.0, &[Value::Null, Value::text("demo")]);
        player.send().await;
        let mut lines = String::new();
        assert!(player.read_until(&mut lines, "onMetaData").await);
        let named = ["videocodecid", "audiocodecid"].iter().filter(|name| lines.contains(**name)).count();
        assert_eq!(named, kinds, "{lines}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_player_that_pauses_while_it_waits_gets_nothing_until_it_goes_on() {
    let server = Server::open().await;
    let mut player = server.tcp().await;
    player.play_hevc(&[]).await;
    player.say(&[("pause", true)]).await;
    player.ask().await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 4).await;
    publisher.ask().await;
    player.expect("onMetaData").await;
    let (payload, packet) = (hevc().1, sound().1);
    publisher.client.video(160, hevc_frame(&payload, 80)).audio(160, packet);
    publisher.ask().await;
    let lines = player.ask().await;
    assert!(!lines.lines().any(|line| line.starts_with("video ") || line.starts_with("audio ")), "{lines}");
    player.say(&[("pause", false)]).await;
    player.media(2).await;
    server.stop().await;
}

#[tokio::test]
async fn video_that_a_player_does_not_want_does_not_keep_it_out() {
    let server = Server::open().await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 2).await;
    let mut player = server.tcp().await;
    player.client.handshake().connect("live", &[]);
    player.client.command(0, "createStream", 2.0, &[Value::Null]);
    player.say(&[("receiveVideo", false)]).await;
    player.client.command(1, "play", 3.0, &[Value::Null, Value::text("demo")]);
    player.send().await;
    let media = player.media(2).await;
    assert!(media.iter().all(|(kind, ..)| *kind == message::AUDIO), "{media:?}");
    server.stop().await;
}

/// Makes no conversion, for this reason.
struct Unconverting(NotDerived);

impl Unconverting {
    /// Serves a hub without conversions.
    async fn serve(why: NotDerived) -> Server {
        let clock = NodeClock::new(Instant::now(), SystemTime::now());
        let hub = Hub::new(clock, HubLimits::default(), Some(Arc::new(Self(why))));
        Server::serving(RtmpConfig::default(), Arc::new(OpenGate), hub).await
    }
}

impl Deriver for Unconverting {
    fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn a_player_whose_video_could_not_be_converted_gets_the_audio() {
    let server = Unconverting::serve(NotDerived::Failed("there is no encoder".to_owned())).await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 2).await;
    let mut player = server.tcp().await;
    player.client.play("live", "demo", &[]);
    player.send().await;
    let media = player.media(2).await;
    assert!(media.iter().all(|(kind, ..)| *kind == message::AUDIO), "{media:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_player_whose_video_is_over_the_budget_is_told_and_counted_as_denied() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let server = Unconverting::serve(Spent(Work::Conversion).into()).await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 2).await;
    let mut player = server.tcp().await;
    player.client.play("live", "demo", &[]);
    player.send().await;
    player.expect_close("converts as much video as it can").await;
    server.stop().await;
    let text = recorder.handle().render();
    let denied: Vec<_> = text.lines().filter(|line| line.starts_with("onmic_denied_total{")).collect();
    assert_eq!(denied, [r#"onmic_denied_total{protocol="rtmp",reason="full"} 1"#]);
}

impl Server {
    fn advice(&self) -> Vec<&'static str> {
        let source = self.hub.source(&"demo".parse().unwrap()).unwrap();
        source.advice().iter().map(Advice::code).collect()
    }
}

#[tokio::test]
async fn a_codec_that_we_cannot_carry_costs_itself_and_its_publisher_is_told_which_we_can() {
    let server = Server::open().await;
    let mut publisher = server.tcp().await;
    publish_video(&mut publisher).await;
    assert_eq!(server.advice(), [""; 0]);
    publisher.client.audio(40, vec![0x2f, 1, 2]).video(40, hevc_frame(&hevc().1, 0));
    publisher.send().await;
    publisher.expect("Audio in FLV sound format 2 (MP3) is not supported").await;
    publisher.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
    publisher.send().await;
    publisher.expect("\"_result\" 9").await;
    assert_eq!(server.advice(), ["unsupported_codec"]);
    let source = server.hub.source(&"demo".parse().unwrap()).unwrap();
    let measured = source.feed().original(MediaKind::Video).unwrap().measured(Instant::now());
    assert_eq!(measured.frames, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_publisher_whose_header_never_comes_is_told_what_is_missing_until_it_comes() {
    let server = Server::open().await;
    let mut publisher = server.tcp().await;
    let (parameters, packet) = sound();
    publisher.client.publish("live", "demo").audio(0, packet.clone());
    publisher.send().await;
    // Nothing else is sent: the server tells by its own clock.
    publisher
        .expect("code: \"NetStream.Publish.Advice\", description: \"The audio is AAC without a usable header")
        .await;
    assert_eq!(server.advice(), ["no_header"]);
    publisher.client.audio(21, flv::write_audio_config(&parameters)).audio(21, packet);
    publisher.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
    publisher.send().await;
    publisher.expect("\"_result\" 9").await;
    assert_eq!(server.advice(), [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn a_new_publisher_of_a_name_begins_without_the_advice_of_the_one_before() {
    let limits = HubLimits { grace: Duration::ZERO, ..HubLimits::default() };
    let server = Server::with_hub(RtmpConfig::default(), Arc::new(OpenGate), limits).await;
    let mut first = server.tcp().await;
    publish_video(&mut first).await;
    first.client.audio(40, vec![0x2f, 1, 2]);
    first.send().await;
    first.expect("NetStream.Publish.Advice").await;
    let mut second = server.tcp().await;
    publish_hevc(&mut second, 1).await;
    assert_eq!(server.advice(), [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn a_publisher_whose_name_was_taken_over_is_told_and_closed() {
    let limits = HubLimits { grace: Duration::ZERO, ..HubLimits::default() };
    let server = Server::with_hub(RtmpConfig::default(), Arc::new(OpenGate), limits).await;
    let mut first = server.tcp().await;
    publish_hevc(&mut first, 1).await;
    let mut second = server.tcp().await;
    publish_hevc(&mut second, 1).await;
    first.client.video(40, hevc_frame(&hevc().1, 0));
    first.send().await;
    first.expect_close("another publisher took this name over").await;
    server.stop().await;
}

struct TokenGate;

impl Gate for TokenGate {
    fn check(&self, action: Action<'_>, shown: Shown<'_>) -> Result<Admission, Refusal> {
        match (action, shown.token) {
            (Action::Publish(name), Some("T")) if name.to_string() == "demo/host" => {
                Ok(Admission { person: Some("mia".parse().unwrap()), ..Admission::default() })
            }
            (_, None) => Err(Refusal::TokenMissing),
            _ => Err(Refusal::NotAllowed("it is for another room".to_owned())),
        }
    }
}

#[tokio::test]
async fn the_gate_decides_and_its_sentence_reaches_the_peer() {
    let server = Server::start(RtmpConfig::default(), Arc::new(TokenGate)).await;
    let refusals = [
        ("demo", "NetStream.Publish.Denied\", description: \"this server asks for a token"),
        ("other?token=T", "it is for another room"),
    ];
    for (key, sentence) in refusals {
        let mut peer = server.tcp().await;
        peer.client.publish("live", key);
        peer.send().await;
        peer.expect_close(sentence).await;
    }
    let mut player = server.tcp().await;
    player.client.play("live", "demo", &[]);
    player.send().await;
    player.expect_close("NetStream.Play.Denied").await;
    let mut peer = server.tcp().await;
    peer.client.publish("live?token=T", "demo");
    peer.send().await;
    peer.expect("NetStream.Publish.Start").await;
    server.stop().await;
}

#[tokio::test]
async fn a_player_waits_for_a_stream_for_a_limited_time() {
    let limits = RtmpLimits { feed_timeout: Duration::from_millis(50), ..RtmpLimits::default() };
    let server = Server::start(RtmpConfig { limits, ..RtmpConfig::default() }, Arc::new(OpenGate)).await;
    let mut player = server.tcp().await;
    player.client.play("live", "nobody", &[]);
    player.send().await;
    player.expect_close("NetStream.Play.StreamNotFound").await;
    server.stop().await;
}

#[tokio::test]
async fn a_publisher_that_sends_too_much_is_told_and_closed() {
    let limits = HubLimits { bitrate: 8_000_000, ..HubLimits::default() };
    let server = Server::with_hub(RtmpConfig::default(), Arc::new(OpenGate), limits).await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 1).await;
    let (_, payload) = hevc();
    let filler = nal::join([&payload[4..], &vec![0x26; 500_000]]);
    publisher.client.chunk_size(60_000);
    for frame in 1..12 {
        publisher.client.video(frame * 40, hevc_frame(&filler, 0)); // 5.5 MB, and four seconds of a megabyte are taken.
    }
    publisher.send().await;
    publisher.expect_close("more than 8 Mbit/s").await;
    server.stop().await;
}

#[tokio::test]
async fn the_last_picture_in_slices_is_passed_on_when_the_server_ends_the_session() {
    let server = Server::open().await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 1).await;
    let [begins, goes_on, last] =
        [[0x26, 1, 0xaf, 1], [0x26, 1, 0x2f, 2], [0x26, 1, 0x2f, 3]].map(|slice| nal::join([&slice[..]]));
    for (at, rest) in [(40, &goes_on), (80, &last)] {
        publisher.client.video(at, hevc_frame(&begins, 0)).video(at, hevc_frame(rest, 0));
    }
    publisher.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
    publisher.send().await;
    publisher.expect("\"_result\" 9").await;
    let track = server.hub.source(&"demo".parse().unwrap()).unwrap().feed().original(MediaKind::Video).unwrap();
    assert_eq!(track.newest().unwrap().payload, [&begins[..], &goes_on].concat());
    server.stop().await;
    assert_eq!(track.newest().unwrap().payload, [&begins[..], &last].concat());
}

#[tokio::test]
async fn a_publisher_of_messages_that_are_nothing_is_told_and_closed() {
    let limits = HubLimits { bitrate: 100_000, ..HubLimits::default() };
    let unknown = [&b"\x91xxxx0"[..], &[0; 600]].concat();
    for (kind, body, count) in [
        (message::AUDIO, &b""[..], 3000), // 768 kB with 256 bytes each, and 462 kB are taken.
        (message::ACKNOWLEDGEMENT, b"", 3000),
        (message::VIDEO, b"\x91xxxx0", 3000),
        (message::VIDEO, &unknown[..], 1700), // 1 MB, and 435 kB if each counted 256 bytes.
    ] {
        let server = Server::with_hub(RtmpConfig::default(), Arc::new(OpenGate), limits).await;
        let mut publisher = server.tcp().await;
        publish_hevc(&mut publisher, 1).await;
        for _ in 0..count {
            publisher.client.message(4, kind, 0, 1, body.to_vec());
        }
        publisher.send().await;
        publisher.expect_close("far more frames or messages than a stream has").await;
        server.stop().await;
    }
}

#[tokio::test]
async fn above_a_limit_silent_connections_give_way_and_those_with_a_stream_do_not() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    for (connections, connections_per_address) in [(2, 10), (10, 2)] {
        let limits = RtmpLimits { connections, connections_per_address, ..RtmpLimits::default() };
        let server = Server::start(RtmpConfig { limits, ..RtmpConfig::default() }, Arc::new(OpenGate)).await;
        let mut publisher = server.tcp().await;
        publish_hevc(&mut publisher, 1).await;
        let mut silent = server.tcp().await;
        let mut player = server.tcp().await; // It takes the place of the silent one.
        silent.expect_close("").await;
        let list = Value::StrictArray(vec![Value::text("hvc1")]);
        player.client.play("live", "demo", &[("fourCcList", list)]);
        player.send().await;
        player.media(1).await;
        server.tcp().await.expect_close("").await; // Both places belong to streams now.
        publisher.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
        publisher.send().await;
        publisher.expect("\"_result\" 9").await;
        server.stop().await;
    }
    let dropped = [r#""rtmp_connections" 1"#, r#""rtmp_connections_of_address" 1"#, r#""rtmp_gave_way" 2"#];
    assert_eq!(counted(&recorder.handle(), "onmic_drops_total"), dropped);
}

#[tokio::test]
async fn an_address_that_opens_connections_too_fast_is_closed_before_anything_is_said() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let limits = RtmpLimits { pace: Some(Pace { each_second: 1e-6, burst: 2.0 }), ..RtmpLimits::default() };
    let server = Server::start(RtmpConfig { limits, ..RtmpConfig::default() }, Arc::new(OpenGate)).await;
    let mut publishers = Vec::new();
    for name in ["first", "second"] {
        let mut publisher = server.tcp().await;
        publisher.client.publish("live", name);
        publisher.send().await;
        publisher.expect("NetStream.Publish.Start").await;
        publishers.push(publisher);
    }
    server.tcp().await.expect_close("").await;
    server.stop().await;
    let dropped = counted(&recorder.handle(), "onmic_drops_total");
    assert_eq!(dropped, [r#""rtmp_connections_too_fast" 1"#]);
}

#[tokio::test]
async fn the_clients_of_a_proxy_have_the_limit_of_their_own_address() {
    let limits = RtmpLimits { connections_per_address: 1, ..RtmpLimits::default() };
    let proxies = TrustedProxies::new(|peer| peer.is_loopback());
    let server = Server::start(RtmpConfig { limits, proxies, ..RtmpConfig::default() }, Arc::new(OpenGate)).await;
    let mut publishers = Vec::new();
    for (client, name) in [("203.0.113.7", "first"), ("203.0.113.8", "second")] {
        let mut publisher = server.tcp().await;
        publisher.stream.write_all(format!("PROXY TCP4 {client} 10.0.0.1 56245 1935\r\n").as_bytes()).await.unwrap();
        publisher.client.publish("live", name);
        publisher.send().await;
        publisher.expect("NetStream.Publish.Start").await;
        publishers.push(publisher);
    }
    let mut third = server.tcp().await;
    third.stream.write_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 56246 1935\r\n").await.unwrap();
    third.expect_close("").await;
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_takes_its_time_for_every_step_has_one_deadline() {
    let limits = RtmpLimits { setup_timeout: Duration::from_millis(300), ..RtmpLimits::default() };
    let proxies = TrustedProxies::new(|peer| peer.is_loopback());
    let server = Server::start(RtmpConfig { limits, proxies, ..RtmpConfig::default() }, Arc::new(OpenGate)).await;
    for said in [&b""[..], b"P", b"PROXY TCP4 203.0.113.7 10.0.0.1 56245 1935\r\n", b"\x03"] {
        let mut silent = server.tcp().await;
        silent.stream.write_all(said).await.unwrap();
        silent.expect_close("").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_player_that_stops_reading_delays_no_peer_and_goes_on_at_a_keyframe() {
    let limits = HubLimits { bitrate: 10_000_000_000, ..HubLimits::default() };
    let server = Server::with_hub(RtmpConfig::default(), Arc::new(OpenGate), limits).await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 1).await;
    let mut player = server.tcp().await;
    let list = Value::StrictArray(vec![Value::text("hvc1")]);
    player.client.play("live", "demo", &[("fourCcList", list)]);
    player.send().await;
    player.media(2).await;

    // This is far more than the sockets hold. The ring keeps two groups, and here each frame is one.
    let (_, payload) = hevc();
    let filler = nal::join([&payload[4..], &vec![0x26; 500_000]]);
    publisher.client.chunk_size(60_000);
    for frame in 1..200 {
        publisher.client.video(frame * 40, hevc_frame(&filler, 0));
        publisher.send().await;
    }
    publisher.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
    publisher.send().await;
    publisher.expect("\"_result\" 9").await;

    let mut times = Vec::new();
    while times.last() != Some(&(199 * 40)) {
        times.extend(player.media(1).await.iter().filter(|m| m.0 == message::VIDEO).map(|m| m.1));
    }
    assert!(times.len() < 199, "nothing was skipped");
    assert!(times.is_sorted(), "{times:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_may_name_the_client_and_a_stranger_may_not() {
    let header = b"PROXY TCP4 203.0.113.7 10.0.0.1 56245 1935\r\n";
    for header in [&header[..], b""] {
        let config = RtmpConfig { proxies: TrustedProxies::new(|peer| peer.is_loopback()), ..RtmpConfig::default() };
        let server = Server::start(config, Arc::new(OpenGate)).await;
        let mut publisher = server.tcp().await;
        publisher.stream.write_all(header).await.unwrap();
        publish_hevc(&mut publisher, 1).await;
        server.stop().await;
    }

    let server = Server::open().await;
    let mut stranger = server.tcp().await;
    stranger.stream.write_all(header).await.unwrap();
    stranger.client.publish("live", "demo");
    stranger.send().await;
    let mut lines = String::new();
    assert!(!stranger.read_until(&mut lines, "NetStream.Publish.Start").await, "{lines}");
    server.stop().await;
}

/// Returns the configuration of a server of RTMPS, and its certificate.
fn rtmps() -> (RtmpConfig, CertificateDer<'static>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    (RtmpConfig { tls: Some(Arc::new(tls)), ..RtmpConfig::default() }, certificate)
}

#[tokio::test]
async fn what_is_no_header_of_a_proxy_and_no_tls_is_closed_and_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let behind_a_proxy =
        RtmpConfig { proxies: TrustedProxies::new(|peer| peer.is_loopback()), ..RtmpConfig::default() };
    for config in [behind_a_proxy, rtmps().0] {
        let server = Server::start(config, Arc::new(OpenGate)).await;
        let mut malformed = server.tcp().await;
        malformed.stream.write_all(b"PROXY that says nothing of this kind\r\n").await.unwrap();
        malformed.expect_close("").await;
        server.stop().await;
    }
    assert_eq!(counted(&handle, "onmic_closed_total"), [r#""rtmp","malformed" 2"#]);
}

#[tokio::test]
async fn rtmps_is_rtmp_behind_a_certificate() {
    let (config, certificate) = rtmps();
    let server = Server::start(config, Arc::new(OpenGate)).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trust));
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let mut publisher = Peer { stream, client: Client::default() };
    publish_hevc(&mut publisher, 3).await;
    publisher.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
    publisher.send().await;
    publisher.expect("\"_result\" 9").await;
    assert!(server.hub.source(&"demo".parse().unwrap()).unwrap().is_connected());
    server.stop().await;
}

/// Returns a player of "demo" that has been answered, or refused with a sentence that has this in it.
async fn play_demo(server: &Server, expected: &str) -> Peer<TcpStream> {
    let mut player = server.tcp().await;
    let list = Value::StrictArray(vec![Value::text("hvc1")]);
    player.client.play("live", "demo", &[("fourCcList", list)]);
    player.send().await;
    player.expect(expected).await;
    player
}

#[tokio::test]
async fn players_of_one_address_leave_connections_to_others_and_all_leave_some_to_publishers() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let limits = RtmpLimits { connections: 16, connections_per_address: 16, ..RtmpLimits::default() };
    // As a proxy that names no client, this machine has no limit for itself.
    for (is_proxy, most, sentence) in
        [(false, 8, "8 players by RTMP already, as many"), (true, 14, "14 players by RTMP already, its limit")]
    {
        let proxies = TrustedProxies::new(move |_| is_proxy);
        let config = RtmpConfig { limits: limits.clone(), proxies, ..RtmpConfig::default() };
        let server = Server::start(config, Arc::new(OpenGate)).await;
        let mut publisher = server.tcp().await;
        publish_hevc(&mut publisher, 1).await;
        let mut players = Vec::new();
        for _ in 0..most {
            players.push(play_demo(&server, "NetStream.Play.Start").await);
        }
        play_demo(&server, sentence).await;
        let mut another = server.tcp().await;
        another.client.publish("live", "another");
        another.send().await;
        another.expect("NetStream.Publish.Start").await;
        server.stop().await;
    }
    let denied = counted(&recorder.handle(), "onmic_denied_total");
    assert_eq!(denied, [r#""rtmp","full" 1"#, r#""rtmp","share" 1"#]);
}

/// Refuses by what the token says.
struct Refusing;

impl Gate for Refusing {
    fn check(&self, _: Action<'_>, shown: Shown<'_>) -> Result<Admission, Refusal> {
        match shown.token {
            None => Err(Refusal::TokenMissing),
            Some("forged") => Err(Refusal::TokenInvalid("it is forged".to_owned())),
            Some("other") => Err(Refusal::NotAllowed("it is for another room".to_owned())),
            Some("banned") => Err(Refusal::Banned("for another minute".to_owned())),
            Some(_) => Ok(Admission::default()),
        }
    }
}

/// Returns the lines of a counter without its name.
fn counted(handle: &PrometheusHandle, counter: &str) -> Vec<String> {
    let text = handle.render();
    let mut lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(counter)?.strip_prefix('{')).collect();
    lines.sort_unstable();
    lines.iter().map(|line| line.replace("}", "").replace("protocol=", "").replace("reason=", "")).collect()
}

#[tokio::test]
async fn refusals_and_the_ends_of_connections_are_counted_by_their_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let (feed_timeout, setup_timeout) = (Duration::from_millis(50), Duration::from_secs(2));
    let limits = RtmpLimits { feed_timeout, setup_timeout, ..RtmpLimits::default() };
    let config = RtmpConfig { limits, ..RtmpConfig::default() };
    let hub = HubLimits { sources: 2, ..HubLimits::default() };
    let server = Server::with_hub(config, Arc::new(Refusing), hub).await;
    let mut publishers = Vec::new();
    for key in ["demo?token=T", "second?token=T"] {
        let mut publisher = server.tcp().await;
        publisher.client.publish("live", key);
        publisher.send().await;
        publisher.expect("NetStream.Publish.Start").await;
        // One that had sent nothing would give its name away.
        publisher.client.video(0, flv::write_video_config(&hevc().0)).video(0, hevc_frame(&hevc().1, 0));
        publisher.send().await;
        let name = key.trim_end_matches("?token=T").parse().unwrap();
        while server.hub.source(&name).is_none_or(|source| source.presence() != Presence::Live) {
            tokio::task::yield_now().await;
        }
        publishers.push(publisher);
    }
    for (key, code) in [
        ("demo", "NetStream.Publish.Denied"),
        ("demo?token=forged", "NetStream.Publish.Denied"),
        ("demo?token=other", "NetStream.Publish.Denied"),
        ("demo?token=banned", "NetStream.Publish.Denied"),
        ("demo?token=T", "NetStream.Publish.BadName"),
        ("third?token=T", "NetStream.Publish.Denied"),
        ("two words?token=T", "The stream key must be"), // This protects nobody.
    ] {
        let mut peer = server.tcp().await;
        peer.client.publish("live", key);
        peer.send().await;
        peer.expect_close(code).await;
    }
    for (key, code) in [
        ("demo", "NetStream.Play.Denied"),
        ("demo?token=banned", "NetStream.Play.Denied"),
        ("nobody?token=T", "NetStream.Play.StreamNotFound"),
    ] {
        let mut peer = server.tcp().await;
        peer.client.play("live", key, &[]);
        peer.send().await;
        peer.expect_close(code).await;
    }
    let denied = || counted(&handle, "onmic_denied_total");
    let expected = [
        r#""rtmp","banned" 2"#,
        r#""rtmp","conflict" 1"#,
        r#""rtmp","full" 1"#,
        r#""rtmp","not_allowed" 1"#,
        r#""rtmp","token_invalid" 1"#,
        r#""rtmp","token_missing" 2"#,
    ];
    assert_eq!(denied(), expected);

    let mut malformed = server.tcp().await;
    malformed.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    malformed.expect_close("").await;
    drop(server.tcp().await); // A peer that leaves is not closed by the server.
    let mut silent = server.tcp().await;
    silent.stream.write_all(b"\x03").await.unwrap();
    silent.expect_close("").await;
    let [first, _] = &mut publishers[..] else { panic!("two publishers") };
    first.client.raw(&b"\xc9"[..]); // It goes on with a message that has not begun.
    first.send().await;
    first.expect_close("").await;
    server.stop().await;
    let expected =
        [r#""rtmp","malformed" 2"#, r#""rtmp","refused" 10"#, r#""rtmp","setup_timeout" 1"#, r#""rtmp","stopping" 1"#];
    assert_eq!(counted(&handle, "onmic_closed_total"), expected);
}

/// Opens with permits of its own.
struct Permitting {
    permits: Arc<Permits>,
    until: Instant,
}

impl Gate for Permitting {
    fn check(&self, _: Action<'_>, _: Shown<'_>) -> Result<Admission, Refusal> {
        Ok(Admission::default())
    }

    fn open(&self, action: Action<'_>, _: Shown<'_>) -> Result<(Admission, Permit), Refusal> {
        let room = match action {
            Action::Publish(name) => name.room.clone(),
            _ => "demo".parse().unwrap(),
        };
        // What the bystander opens has no end.
        let until = (room.as_str() == "demo").then_some(self.until);
        let grant = Grant { room, person: None, alias: None, nameless: None, place: None, ticket: None, until };
        Ok((Admission::default(), self.permits.open(grant)))
    }
}

#[tokio::test]
async fn a_player_that_takes_nothing_ends_with_its_permit() {
    let (permits, until) = (Arc::new(Permits::default()), Instant::now() + Duration::from_secs(3600));
    let limits = RtmpLimits { write_timeout: PATIENCE * 100, ..RtmpLimits::default() };
    let config = RtmpConfig { limits, ..RtmpConfig::default() };
    let server = Server::start(config, Arc::new(Permitting { permits: permits.clone(), until })).await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 1).await;
    let _player = play_demo(&server, "NetStream.Play.Start").await;
    let feed = server.hub.program(&"demo".parse().unwrap()).unwrap();
    assert_eq!(feed.viewers().count(onmic_media::ViewerKind::Rtmp), 1);
    // More than the buffers of the kernel hold, 4 MB for each end.
    let (_, payload) = hevc();
    let large = [&hevc_frame(&payload, 80)[..], &vec![0; 512 << 10]].concat();
    for frame in 1..40 {
        publisher.client.video(frame * 40, large.clone());
        publisher.send().await;
    }
    permits.expire(until);
    let ended = async {
        while feed.viewers().count(onmic_media::ViewerKind::Rtmp) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the player has left");
    server.stop().await;
}

#[tokio::test]
async fn publishers_and_players_are_closed_with_a_sentence_when_their_permit_ends() {
    let (permits, until) = (Arc::new(Permits::default()), Instant::now() + Duration::from_secs(3600));
    let server = Server::start(RtmpConfig::default(), Arc::new(Permitting { permits: permits.clone(), until })).await;
    let mut publisher = server.tcp().await;
    publish_hevc(&mut publisher, 1).await;
    let mut player = play_demo(&server, "NetStream.Play.Start").await;
    let mut bystander = server.tcp().await;
    bystander.client.publish("live", "other");
    bystander.send().await;
    bystander.expect("NetStream.Publish.Start").await;
    permits.expire(until);
    publisher.expect_close("The token has expired.").await;
    player.expect_close("The token has expired.").await;
    bystander.client.command(0, "getStreamLength", 9.0, &[Value::Null]);
    bystander.send().await;
    bystander.expect("\"_result\" 9").await;
    assert_eq!(permits.len(), 1);
    server.stop().await;
}
