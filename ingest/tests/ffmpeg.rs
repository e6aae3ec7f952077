//! Tests a real server on loopback with real ffmpeg on both sides.

#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use onmic_ingest::rtmp::{RtmpConfig, serve};
use onmic_media::feed::Deriver;
use onmic_media::gate::OpenGate;
use onmic_media::hub::HubLimits;
use onmic_media::{Codec, Hub, MediaKind, NodeClock, SourceName};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const GRACE: Duration = Duration::from_secs(3);

struct Server {
    hub: Arc<Hub>,
    port: u16,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let deriver: Option<Arc<dyn Deriver>> = None;
        let clock = NodeClock::new(Instant::now(), SystemTime::now());
        let hub = Hub::new(clock, HubLimits { grace: GRACE, ..HubLimits::default() }, deriver);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shutdown = CancellationToken::new();
        let serving = serve(listener, RtmpConfig::default(), hub.clone(), Arc::new(OpenGate), shutdown.clone());
        Self { hub, port, shutdown, serving: tokio::spawn(serving) }
    }

    fn url(&self, key: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{key}", self.port)
    }

    /// Ends the sources whose publisher left, as if the grace period were over.
    fn expire(&self) {
        self.hub.expire(Instant::now() + 2 * GRACE);
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.serving).await.expect("drains in time").unwrap();
    }

    async fn until_live(&self, key: &str) {
        let name: SourceName = key.parse().unwrap();
        let mut generations = self.hub.generations();
        let live = async {
            loop {
                if let Some(source) = self.hub.source(&name)
                    && source.is_connected()
                    && source.feed().original(MediaKind::Video).is_some()
                {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(20), generations.changed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), live).await.expect("published in time");
    }
}

/// Is a child process that does not outlive the test.
struct Ffmpeg(Option<Child>);

impl Ffmpeg {
    fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().expect("ffmpeg is installed")))
    }

    async fn finish(mut self) -> Output {
        let child = self.0.take().expect("not finished yet");
        tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap()
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Publishes `seconds` of a test pattern at 30 frames per second and a tone, encoded as broadcasters do.
fn publish(url: &str, seconds: u32, sample_rate: u32) -> Ffmpeg {
    let mut command = Command::new("/usr/bin/ffmpeg");
    let tone = format!("sine=frequency=440:sample_rate={sample_rate}");
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"]);
    command.args(["-re", "-f", "lavfi", "-i", &tone, "-t", &seconds.to_string()]);
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-pix_fmt", "yuv420p"]);
    command.args(["-c:a", "aac", "-ac", "2", "-f", "flv", url]);
    Ffmpeg::spawn(&mut command)
}

fn play(url: &str) -> Ffmpeg {
    let mut command = Command::new("/usr/bin/ffprobe");
    command.args(["-v", "error", "-show_entries", "packet=codec_type,pts_time,dts_time,flags"]);
    command.args(["-show_entries", "stream=codec_name", "-of", "csv", url]);
    Ffmpeg::spawn(&mut command)
}

#[derive(Debug, Default)]
struct Played {
    codecs: Vec<String>,
    /// The presentation and decoding times in milliseconds.
    video: Vec<(i64, i64)>,
    audio: Vec<i64>,
    keyframes: usize,
}

fn parse(output: &Output) -> Played {
    let mut played = Played::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<_> = line.split(',').collect();
        let millis = |text: &str| (text.parse::<f64>().unwrap_or(f64::NAN) * 1000.0).round() as i64;
        match fields[..] {
            ["packet", "video", pts, dts, flags, ..] => {
                played.video.push((millis(pts), millis(dts)));
                played.keyframes += usize::from(flags.starts_with('K'));
            }
            ["packet", "audio", pts, ..] => played.audio.push(millis(pts)),
            ["stream", codec, ..] => played.codecs.push(codec.to_owned()),
            _ => {}
        }
    }
    played
}

async fn published_and_played(sample_rate: u32) {
    let server = Server::start().await;
    let player = play(&server.url("demo"));
    let published = publish(&server.url("demo"), 4, sample_rate).finish().await;
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    server.expire();
    let output = player.finish().await;
    let played = parse(&output);
    let context = || format!("{played:?}\n{}", String::from_utf8_lossy(&output.stderr));

    assert_eq!(played.codecs, ["h264", "aac"], "{}", context());
    assert_eq!(played.video.len(), 120, "{}", context());
    assert_eq!(played.keyframes, 4, "{}", context());
    let expected = 4 * sample_rate / 1024;
    let missing = i64::from(expected) - played.audio.len() as i64;
    assert!(missing.abs() <= 3, "{missing} audio packets missing\n{}", context());
    assert!(played.video.iter().any(|(pts, dts)| pts - dts >= 60), "no B-frames\n{}", context());
    assert!(played.video.is_sorted_by_key(|(_, dts)| *dts), "{}", context());
    let mut shown: Vec<_> = played.video.iter().map(|(pts, _)| *pts).collect();
    shown.sort_unstable();
    assert!(shown.windows(2).all(|pair| (32..=35).contains(&(pair[1] - pair[0]))), "{}", context());
    assert!(played.audio.windows(2).all(|pair| (20..=24).contains(&(pair[1] - pair[0]))), "{}", context());
    // Both began at 0 at the publisher; the encoder's priming is 1024 samples.
    let offset = shown[0] - played.audio[0];
    assert!(offset.abs() <= 60, "audio is {offset} ms off\n{}", context());
    assert!(played.video[0].1.abs() < 50, "{}", context());
    server.stop().await;
}

#[tokio::test]
async fn a_publication_with_44100_hz_is_played() {
    published_and_played(44_100).await;
}

#[tokio::test]
async fn a_publication_with_48000_hz_is_played() {
    published_and_played(48_000).await;
}

#[tokio::test]
async fn a_publisher_that_returns_within_the_grace_continues_the_same_tracks() {
    let server = Server::start().await;
    let mut first = publish(&server.url("demo"), 30, 48_000);
    server.until_live("demo").await;
    let feed = server.hub.source(&"demo".parse().unwrap()).unwrap().feed().clone();
    let video = feed.original(MediaKind::Video).unwrap();
    assert_eq!(video.parameters().codec(), Codec::H264);
    let player = play(&server.url("demo"));
    first.kill();
    let second = publish(&server.url("demo"), 2, 48_000).finish().await;
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(feed.original(MediaKind::Video).unwrap().id(), video.id());
    assert!(video.measured(Instant::now()).frames >= 60);
    server.expire();
    let played = parse(&player.finish().await);
    assert!(played.video.len() >= 60, "{played:?}");
    assert!(played.video.is_sorted_by_key(|(_, dts)| *dts), "{played:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_second_publisher_is_refused_with_a_sentence_and_the_first_goes_on() {
    let server = Server::start().await;
    let first = publish(&server.url("demo"), 5, 48_000);
    server.until_live("demo").await;
    let second = publish(&server.url("demo"), 5, 48_000).finish().await;
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("is being published already"), "{said}");
    assert!(first.finish().await.status.success());
    server.stop().await;
}

#[tokio::test]
async fn on_shutdown_all_peers_are_told_and_all_connections_end() {
    let server = Server::start().await;
    let publisher = publish(&server.url("demo"), 30, 48_000);
    server.until_live("demo").await;
    let player = play(&server.url("demo"));
    let feed = server.hub.program(&"demo".parse().unwrap()).unwrap();
    let watched = async {
        while feed.viewers().count(onmic_media::ViewerKind::Rtmp) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), watched).await.expect("played in time");
    server.stop().await;
    publisher.finish().await;
    player.finish().await;
    assert_eq!(feed.viewers().count(onmic_media::ViewerKind::Rtmp), 0);
}
