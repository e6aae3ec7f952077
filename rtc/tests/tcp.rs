//! Tests of WebRTC over TCP on loopback: a viewer without UDP, and strangers at the port.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use onmic_listen::{Limits, TrustedProxies};
use onmic_media::codec::{h264, nal};
use onmic_media::name::Principal;
use onmic_media::{AvSync, Calendar, Feed, Frame, NodeClock, Parameters, Ticks, Track};
use onmic_rtc::sdp::Direction;
use onmic_rtc::sdp::client::{Answered, offer};
use onmic_rtc::transport::client::ClientConfig;
use onmic_rtc::transport::{Client, Credentials, Identity, Input, Profile, framing};
use onmic_rtc::{Config, Rtc, TcpPort, TcpSettings, serve_tcp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(20);

/// A server of two shards with one TCP port, and a feed.
struct Stage {
    rtc: Rtc,
    tcp: SocketAddr,
    clock: NodeClock,
    feed: Arc<Feed>,
    track: Arc<Track>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Stage {
    async fn new(limits: Limits) -> Self {
        let clock = NodeClock::new(Instant::now(), SystemTime::now());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        let port = TcpPort { number: tcp.port(), is_as_announced: false };
        let config = Config { shards: 2, tcp: Some(port), ..Config::on_loopback(10, Arc::new(Calendar::new(clock))) };
        let (rtc, stop) = (Rtc::start(&config).unwrap(), CancellationToken::new());
        let settings = TcpSettings { limits, pace: None, proxies: TrustedProxies::default() };
        let serving = tokio::spawn(serve_tcp(listener, settings, rtc.clone(), stop.clone()));
        let track = Arc::new(Track::new(parameters()));
        let feed = Feed::new(None);
        feed.set_original(track.clone());
        feed.settle();
        Self { rtc, tcp, clock, feed, track, stop, serving }
    }

    fn push(&self, number: i64, bytes: usize) {
        self.track.push(frame(&self.track.parameters(), self.clock, number, bytes));
    }

    /// Opens a session, and returns a client for it that has no connection yet.
    async fn watch(&self) -> Client {
        let (local, identity) = (Credentials::generate(), Identity::generate().unwrap());
        let offer = offer(Direction::RecvOnly, &local, identity.fingerprint());
        let who = Principal::at(IpAddr::from([127, 0, 0, 1]));
        let answer = self.rtc.watch(&offer, self.feed.clone(), AvSync::LipSync, who).await.unwrap();
        let answer = Answered::parse(&answer.sdp).unwrap();
        assert_eq!(answer.tcp_candidates, [self.tcp]);
        let config = ClientConfig {
            local,
            remote: answer.credentials,
            fingerprint: answer.fingerprint,
            server: self.tcp,
            role: answer.role,
            profiles: vec![Profile::AeadAes128Gcm],
        };
        Client::new(config, identity, Instant::now())
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.serving).await.unwrap().unwrap();
        self.rtc.shutdown(LONG).await;
    }
}

/// A client and its connection.
struct Visitor {
    client: Client,
    stream: TcpStream,
    held: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Connected,
    Rtp(Vec<u8>),
    /// The server has closed the connection.
    Cut,
}

impl Visitor {
    async fn new(client: Client, to: SocketAddr) -> Self {
        Self { client, stream: TcpStream::connect(to).await.unwrap(), held: Vec::new() }
    }

    async fn next(&mut self) -> Event {
        timeout(LONG, self.poll()).await.expect("nothing happened in 20 s")
    }

    async fn flush(&mut self) {
        let mut frames = Vec::new();
        while let Some(transmit) = self.client.poll_transmit() {
            framing::append(&transmit.bytes, &mut frames);
        }
        let _ = self.stream.write_all(&frames).await; // A cut shows when it is read.
    }

    async fn poll(&mut self) -> Event {
        loop {
            while let Some(length) = framing::first(&self.held).unwrap() {
                let mut datagram: Vec<_> = self.held.drain(..length).skip(framing::HEADER).collect();
                match self.client.handle_datagram(Instant::now(), &mut datagram) {
                    Ok(Input::Rtp(packet)) => return Event::Rtp(packet.to_vec()),
                    Ok(Input::Connected) => return Event::Connected,
                    _ => {}
                }
            }
            self.flush().await;
            let deadline = self.client.poll_timeout().unwrap_or_else(|| Instant::now() + LONG);
            tokio::select! {
                read = self.stream.read_buf(&mut self.held) => if matches!(read, Ok(0) | Err(_)) { return Event::Cut },
                () = sleep_until(deadline.into()) => self.client.handle_timeout(Instant::now()),
            }
        }
    }

    async fn until_rtp(&mut self) -> Vec<u8> {
        loop {
            match self.next().await {
                Event::Rtp(packet) => return packet,
                event => assert_eq!(event, Event::Connected),
            }
        }
    }
}

fn parameters() -> Arc<Parameters> {
    let sps = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    let pps = [0x68, 0xce, 0x3c, 0x80];
    let sets = (vec![Bytes::copy_from_slice(&sps)], vec![Bytes::copy_from_slice(&pps)]);
    Arc::new(Parameters::H264(h264::Parameters::from_parameter_sets(sets.0, sets.1).unwrap()))
}

fn frame(parameters: &Arc<Parameters>, clock: NodeClock, number: i64, bytes: usize) -> Frame {
    let (now, keyframe) = (Instant::now(), number == 0);
    let mut unit = vec![0x5a; bytes];
    unit[0] = if keyframe { 0x65 } else { 0x41 };
    let pts = Ticks(number * 3000);
    let (wall, parameters, payload) = (clock.wall(now), parameters.clone(), nal::join([&unit[..]]));
    Frame { dts: pts, pts, wall, arrived: now, keyframe, parameters, payload }
}

const PLENTY: Limits = Limits { all: 100, per_address: 100 };

/// Waits until the server has closed the connection.
async fn is_cut(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("the server has not closed it");
    assert_eq!(rest, b"", "a stranger gets no answer");
}

#[tokio::test]
async fn a_viewer_without_udp_watches_over_tcp_and_its_connection_ends_with_its_session() {
    let stage = Stage::new(PLENTY).await;
    stage.push(0, 3000);
    let mut viewers = Vec::new();
    for _ in 0..4 {
        let mut viewer = Visitor::new(stage.watch().await, stage.tcp).await;
        assert_eq!(viewer.next().await, Event::Connected);
        viewer.until_rtp().await; // The cached keyframe.
        viewers.push(viewer);
    }
    stage.push(1, 150_000);
    for viewer in &mut viewers {
        let mut bytes = 0;
        while bytes < 150_000 {
            bytes += viewer.until_rtp().await.len();
        }
    }
    stage.rtc.shutdown(LONG).await;
    for viewer in &mut viewers {
        while viewer.next().await != Event::Cut {}
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_viewer_whose_connection_breaks_comes_back_by_another() {
    let stage = Stage::new(PLENTY).await;
    stage.push(0, 3000);
    let mut viewer = Visitor::new(stage.watch().await, stage.tcp).await;
    viewer.until_rtp().await;
    let Visitor { mut client, stream, .. } = viewer;
    drop(stream);
    client.handle_timeout(client.poll_timeout().unwrap()); // It need not wait for its next check.
    let mut viewer = Visitor::new(client, stage.tcp).await;
    viewer.flush().await;
    for number in 1..200 {
        stage.push(number, 1000);
        if let Ok(Event::Rtp(_)) = timeout(Duration::from_millis(50), viewer.poll()).await {
            return stage.stop().await;
        }
    }
    panic!("no media came over the second connection");
}

#[tokio::test]
async fn a_viewer_that_reads_nothing_costs_a_buffer_and_is_cut_off_and_others_watch() {
    let stage = Stage::new(PLENTY).await;
    stage.push(0, 3000);
    let mut still = Visitor::new(stage.watch().await, stage.tcp).await;
    still.until_rtp().await;
    let mut other = Visitor::new(stage.watch().await, stage.tcp).await;
    other.until_rtp().await;
    // It takes nothing from here on. The kernel's buffers fill first.
    let began = Instant::now();
    for number in 1.. {
        stage.push(number, 100_000);
        other.until_rtp().await;
        while timeout(Duration::from_millis(10), other.poll()).await.is_ok() {}
        if began.elapsed() > Duration::from_secs(13) {
            break;
        }
    }
    while still.next().await != Event::Cut {}
    stage.stop().await;
}

#[tokio::test]
async fn strangers_at_the_tcp_port_are_closed_without_an_answer() {
    let stage = Stage::new(PLENTY).await;
    let say = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(stage.tcp).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    };
    let mut unknown = stage.watch().await;
    unknown.handle_timeout(unknown.poll_timeout().unwrap());
    let check = unknown.poll_transmit().unwrap().bytes;
    let framed = |datagram: &[u8]| {
        let mut frame = Vec::new();
        framing::append(datagram, &mut frame);
        frame
    };
    let mut broken = check.clone();
    *broken.last_mut().unwrap() ^= 1;
    let now = Instant::now();
    let cut = [
        say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await,
        say(&[0, 0, 0, 0, 0, 0]).await,   // Frames of no bytes.
        say(&[0xff; 70_000]).await,       // A frame of 65,535.
        say(&framed(&[0x16; 200])).await, // Not a check.
        say(&framed(&broken)).await,      // Not the session's.
        say(&framed(b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl")).await, // Of nobody.
    ];
    for stream in cut {
        is_cut(stream).await;
    }
    assert!(now.elapsed() < Duration::from_secs(4), "none of them waits for a deadline");

    // Half a check, and one that comes a byte at a time: the deadline counts from the accept.
    let (silent, half) = (say(b"").await, say(&framed(&check)[..30]).await);
    let mut loris = say(&framed(&check)[..1]).await;
    for byte in &framed(&check)[1..] {
        sleep(Duration::from_millis(200)).await;
        if loris.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    assert!((Duration::from_secs(4)..LONG).contains(&now.elapsed()));
    is_cut(silent).await;
    is_cut(half).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_session_is_cut_off_from_a_connection_with_a_frame_that_is_too_large_and_empty_frames_do_nothing() {
    let stage = Stage::new(PLENTY).await;
    stage.push(0, 3000);
    let mut viewer = Visitor::new(stage.watch().await, stage.tcp).await;
    viewer.until_rtp().await;
    viewer.stream.write_all(&[0; 1000]).await.unwrap();
    stage.push(1, 3000);
    viewer.until_rtp().await;
    viewer.stream.write_all(&[0xff; 2]).await.unwrap();
    while viewer.next().await != Event::Cut {}
    stage.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_give_way_to_those_that_come_later() {
    let stage = Stage::new(Limits { all: 3, per_address: 3 }).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(stage.tcp).await.unwrap());
    }
    stage.push(0, 3000);
    let mut viewer = Visitor::new(stage.watch().await, stage.tcp).await;
    viewer.until_rtp().await;
    for stream in silent.drain(..3) {
        is_cut(stream).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_connection_that_no_media_goes_by_gives_way_and_one_with_media_does_not() {
    let stage = Stage::new(Limits { all: 2, per_address: 2 }).await;
    stage.push(0, 3000);
    let mut viewer = Visitor::new(stage.watch().await, stage.tcp).await;
    viewer.until_rtp().await;
    // The same viewer opens another one, as a browser does that has several ways.
    viewer.client.handle_timeout(viewer.client.poll_timeout().unwrap());
    let check = viewer.client.poll_transmit().unwrap().bytes;
    let mut spare = TcpStream::connect(stage.tcp).await.unwrap();
    let mut frame = Vec::new();
    framing::append(&check, &mut frame);
    spare.write_all(&frame).await.unwrap();
    // Others come again and again, until the shard has looked which of the two media goes by.
    let to = stage.tcp;
    let others = tokio::spawn(async move {
        loop {
            let _late = TcpStream::connect(to).await;
            sleep(Duration::from_millis(200)).await;
        }
    });
    let cut = async |stream: &mut TcpStream| {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    };
    // Nobody answers the question at the spare one, so media stays where it is.
    timeout(LONG, cut(&mut spare)).await.expect("the spare connection gives way");
    others.abort();
    stage.push(1, 3000);
    viewer.until_rtp().await;
    stage.stop().await;
}
