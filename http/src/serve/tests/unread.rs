//! Tests the server with peers that do not take what they asked for.

use futures::{StreamExt, stream};
use onmic_media::name::{PersonId, RoomName};
use onmic_media::{Ending, Grant, Whose};
use tokio::sync::mpsc;

use super::*;

const SOON: Duration = Duration::from_millis(300);

/// The kinds of frames that the tests look at (RFC 9113 6).
pub(super) const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;

const LONG: usize = 100 << 10;

/// A client of HTTP/2 that opens its windows as far as a test wants, and answers nothing but settings.
pub(super) struct Http2 {
    stream: TcpStream,
    said: Vec<u8>,
}

impl Http2 {
    /// Connects. Each stream has a window of `window` bytes, which never grows.
    pub(super) async fn connect(server: &Running, window: u32) -> Self {
        let stream = server.dial(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut client = Self { stream, said: Vec::new() };
        const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
        client.send(SETTINGS, 0, 0, &[&INITIAL_WINDOW_SIZE[..], &window.to_be_bytes()].concat()).await;
        client
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, body].concat()).await.unwrap();
    }

    /// Asks for `path` on a new stream.
    pub(super) async fn ask(&mut self, stream: u32, path: &str) {
        self.say(stream, &[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost")])
            .await;
    }

    /// Sends a request without a body on a new stream.
    pub(super) async fn say(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.begin(stream, fields, true).await;
    }

    /// Sends the head of a request on a new stream. It has a body unless the stream `ends`.
    pub(super) async fn begin(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) {
        const CONTINUATION: u8 = 9;
        const END_HEADERS: u8 = 4;
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0); // A literal that is not indexed (RFC 7541 6.2.2).
            for text in [name, value] {
                push_length(&mut block, text.len());
                block.extend_from_slice(text.as_bytes());
            }
        }
        let frames = block.chunks(16 << 10);
        let last = frames.len() - 1;
        for (number, fragment) in frames.enumerate() {
            let (kind, end_stream) = if number == 0 { (HEADERS, u8::from(ends)) } else { (CONTINUATION, 0) };
            let end_headers = if number == last { END_HEADERS } else { 0 };
            self.send(kind, end_stream | end_headers, stream, fragment).await;
        }
    }

    /// Returns the next frame: its kind, flags, stream and body.
    pub(super) async fn next(&mut self) -> (u8, u8, u32, Vec<u8>) {
        loop {
            if let Some(head) = self.said.first_chunk::<9>() {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let (kind, flags, stream) = (head[3], head[4], u32::from_be_bytes(*head[5..].first_chunk().unwrap()));
                if self.said.len() >= 9 + length {
                    let frame: Vec<u8> = self.said.drain(..9 + length).skip(9).collect();
                    if kind == SETTINGS && flags == 0 {
                        self.send(SETTINGS, 1, 0, &[]).await;
                    }
                    return (kind, flags, stream, frame);
                }
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.said)).await.expect("a frame in time").unwrap();
            assert!(read > 0, "the server has closed the connection");
        }
    }

    /// Reads until `stream` ends. Returns the bytes of its body, and whether it was reset.
    pub(super) async fn end_of(&mut self, wanted: u32) -> (usize, bool) {
        let mut bytes = 0;
        loop {
            let (kind, flags, stream, body) = self.next().await;
            match kind {
                DATA if stream == wanted => {
                    bytes += body.len();
                    if flags & 1 != 0 {
                        return (bytes, false);
                    }
                }
                HEADERS if stream == wanted && flags & 1 != 0 => return (bytes, false),
                RST_STREAM if stream == wanted => return (bytes, true),
                RST_STREAM => panic!("stream {stream} is reset"),
                _ => {}
            }
        }
    }

    /// Asserts that the server still answers pings.
    pub(super) async fn ping(&mut self) {
        self.send(PING, 0, 0, b"are you?").await;
        while self.next().await.0 != PING {}
    }
}

/// Appends the length of a text with a prefix of 7 bits (RFC 7541 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    const PREFIX_MAX: usize = 127;
    if length < PREFIX_MAX {
        block.push(length as u8);
        return;
    }
    block.push(PREFIX_MAX as u8);
    let mut rest = length - PREFIX_MAX;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

#[tokio::test]
async fn an_answer_by_http_2_that_the_peer_does_not_take_is_reset_and_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = Running::with(Limits { all: 2, per_address: 2 }, SOON).await;
    // Where the window ends within the last piece, too, also in that of a stream.
    for (path, window) in
        [("/long", 0), ("/long", 1), ("/long", 20 << 10), ("/", 1), ("/", 6), ("/some", 1), ("/some", (50 << 10) - 10)]
    {
        let mut client = Http2::connect(&server, window).await;
        client.ask(1, path).await;
        assert_eq!(client.end_of(1).await, (window as usize, true));
        client.ping().await;
    }
    let mut client = Http2::connect(&server, 1 << 20).await;
    client.ask(1, "/").await;
    assert_eq!(client.end_of(1).await, (b"a place".len(), false));
    assert!(counted.render().contains("onmic_drops_total{reason=\"http_not_read\"} 7\n"), "{}", counted.render());
    let closed = "onmic_closed_total{protocol=\"http\",reason=\"slow\"} 7\n";
    assert!(counted.render().contains(closed), "{}", counted.render());
}

#[tokio::test]
async fn an_answer_by_http_2_comes_whole_and_one_that_has_nothing_to_send_is_not_reset() {
    let server = Running::with(Limits { all: 2, per_address: 2 }, SOON).await;
    let mut client = Http2::connect(&server, 60 << 10).await;
    client.ask(1, "/stay").await;
    client.ask(3, "/some").await;
    assert_eq!(client.end_of(3).await, (50 << 10, false));
    for stream in [5, 7, 9] {
        client.ask(stream, "/long").await;
        // It also asserts that no other stream is reset, while this one's deadline passes.
        assert!(client.end_of(stream).await.1);
    }
}

#[tokio::test]
async fn an_answer_that_stands_still_keeps_no_place() {
    let server = Running::with(Limits { all: 1, per_address: 1 }, PATIENCE * 100).await;
    let mut still = Http2::connect(&server, 0).await;
    still.ask(1, "/long").await;
    still.ping().await;
    let taken = async {
        while !hear(&mut server.dial(REQUEST).await, "e").await.contains("a place") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, taken).await.expect("the place of the one that stands still");
}

#[tokio::test]
async fn a_download_that_its_peer_takes_slowly_keeps_its_place() {
    let server = Running::with(Limits { all: 1, per_address: 1 }, PATIENCE).await;
    let mut slow = server.dial(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut taken = [0; 4096];
    slow.read_exact(&mut taken).await.unwrap();
    let others_ask = async {
        for _ in 0..3 {
            let heard = hear(&mut server.dial(REQUEST).await, "the lane").await;
            assert!(heard.contains("the lane"), "{heard}");
        }
    };
    let taking = async {
        while slow.read_exact(&mut taken).await.is_ok() {
            yield_now().await;
        }
    };
    tokio::select! {
        () = others_ask => {}
        () = taking => panic!("the download has ended"),
    }
}

#[tokio::test]
async fn a_connection_that_the_peer_does_not_read_is_closed_and_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut server = Running::with(Limits { all: 2, per_address: 2 }, SOON).await;
    let mut unread = server.dial(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    timeout(PATIENCE, server.ended.recv()).await.expect("the answer ends");
    assert!(counted.render().contains("onmic_drops_total{reason=\"http_not_read\"} 1\n"), "{}", counted.render());
    // The server has thrown away what it had not sent.
    let reading = async {
        while unread.read(&mut [0; 65_536]).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    assert!(timeout(PATIENCE, reading).await.expect("an end").is_err());
}

#[tokio::test]
async fn a_connection_that_has_nothing_to_send_is_not_closed() {
    let server = Running::with(Limits { all: 2, per_address: 2 }, SOON).await;
    let mut quiet = server.dial(b"GET /stay HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    hear(&mut quiet, "it stays").await;
    assert!(timeout(SOON * 5, quiet.read_u8()).await.is_err(), "nothing comes, and no end");
}

/// What the routes grant.
pub(super) fn grant() -> Grant {
    Grant { room: room(), person: Some(anna()), alias: None, nameless: None, place: None, ticket: None, until: None }
}

fn room() -> RoomName {
    "demo".parse().unwrap()
}

fn anna() -> PersonId {
    "anna".parse().unwrap()
}

/// Ends all that the routes of `server` have granted.
fn ban(server: &Running) -> usize {
    let now = Instant::now();
    server.permits.end(&room(), Whose::Person(anna()), Ending::Banned, now, now)
}

#[tokio::test]
async fn an_answer_that_the_peer_does_not_take_ends_with_its_permit() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut server = Running::with(Limits { all: 3, per_address: 3 }, PATIENCE * 100).await;
    let _unread = server.dial(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut still = Http2::connect(&server, 0).await;
    still.ask(1, "/held").await;
    still.ping().await;
    let mut other = Http2::connect(&server, 0).await;
    other.ask(1, "/endless").await;
    while server.permits.len() < 2 {
        yield_now().await;
    }
    assert_eq!(ban(&server), 2);
    for _ in 0..2 {
        timeout(PATIENCE, server.ended.recv()).await.expect("the answer ends");
    }
    assert_eq!(still.end_of(1).await, (0, true));
    still.ping().await;
    other.ping().await;
    assert!(server.ended.is_empty() && server.permits.is_empty());
    let closed = "onmic_closed_total{protocol=\"http\",reason=\"banned\"} 2\n";
    assert!(counted.render().contains(closed), "{}", counted.render());
}

#[tokio::test]
async fn the_last_piece_of_an_answer_that_the_peer_does_not_take_ends_with_its_permit() {
    const WINDOW: u32 = 1 << 10;
    let server = Running::with(Limits { all: 1, per_address: 1 }, PATIENCE * 100).await;
    let mut still = Http2::connect(&server, WINDOW).await;
    still.ask(1, "/held/piece").await;
    while still.next().await.0 != DATA {}
    assert_eq!(ban(&server), 1);
    assert!(still.end_of(1).await.1, "its stream is reset");
    still.ping().await;
}

#[tokio::test]
async fn an_answer_that_the_peer_takes_ends_whole_with_its_permit() {
    let server = Running::with(Limits { all: 2, per_address: 2 }, PATIENCE).await;
    let mut first = server.dial(b"GET /held/stay HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    hear(&mut first, "it stays").await;
    let mut second = Http2::connect(&server, 60 << 10).await;
    second.ask(1, "/held/stay").await;
    while second.next().await.0 != DATA {}
    assert_eq!(ban(&server), 2);
    assert!(hear(&mut first, "0\r\n\r\n").await.ends_with("0\r\n\r\n"), "the last chunk (RFC 9112 7.1)");
    assert_eq!(second.end_of(1).await, (0, false));
}

/// Answers with more than a peer takes that does not open its window.
pub(super) async fn long() -> Bytes {
    Bytes::from(vec![b'x'; LONG])
}

/// Answers with one piece, after which nothing comes.
pub(super) fn piece() -> Body {
    let begun = stream::once(async { Ok::<_, io::Error>(Bytes::from(vec![b'x'; 10 << 10])) });
    Body::from_stream(begun.chain(stream::pending()))
}

/// Answers with pieces of several sizes.
pub(super) async fn some() -> Body {
    let pieces =
        [1, 20 << 10, 16 << 10, 0, (14 << 10) - 1].map(|size| Ok::<_, io::Error>(Bytes::from(vec![b'x'; size])));
    Body::from_stream(stream::iter(pieces))
}

/// Answers with a body that has always a piece to send, and tells `ended` when it is dropped.
pub(super) fn endless(ended: mpsc::UnboundedSender<()>) -> Body {
    struct Told(mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let told = Told(ended);
    Body::from_stream(stream::repeat(Bytes::from_static(&[b'x'; 65_536])).map(move |piece| {
        let _kept = &told;
        Ok::<_, io::Error>(piece)
    }))
}
