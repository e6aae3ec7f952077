//! Tests the server with strangers: what they may send, and what they hold with it.

use std::future::pending;

use super::unread::{Http2, SETTINGS};
use super::*;

const WINDOW_UPDATE: u8 = 8;

/// The fields of a request of HTTP/2 without a body.
const FIELDS: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")];

#[tokio::test]
async fn the_head_of_a_request_is_bounded_alike_by_both_versions() {
    let server = Running::start(Limits { all: 20, per_address: 20 }, PATIENCE).await;
    let cookie = "c".repeat(60 << 10);
    let mut within = server.dial(format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n").as_bytes()).await;
    assert!(hear(&mut within, "a place").await.contains("a place"));
    // The server has read all of it when it sees that the head is not whole.
    let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
    head.resize(HEAD_BYTES, b'x');
    let mut above = server.dial(&head).await;
    let heard = hear(&mut above, "never said").await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");

    let mut client = Http2::connect(&server, 1 << 20).await;
    client.say(1, &[&FIELDS[..], &[("cookie", &cookie)]].concat()).await;
    assert_eq!(client.end_of(1).await, (b"a place".len(), false));
    let cookie = "c".repeat(8 << 10);
    client.say(3, &[&FIELDS[..], &[("cookie", &*cookie); 8]].concat()).await;
    assert_eq!(client.end_of(3).await, (0, false), "431 has no body");
    client.ping().await;
}

#[tokio::test]
async fn http_2_states_how_much_a_peer_may_send_ahead_and_at_once() {
    let server = Running::start(Limits { all: 20, per_address: 20 }, PATIENCE).await;
    let mut client = Http2::connect(&server, 1 << 20).await;
    let (mut settings, mut whole) = (Vec::new(), 65_535); // RFC 9113 6.9.2
    while settings.is_empty() || whole == 65_535 {
        match client.next().await {
            (SETTINGS, 0, _, body) => settings = body,
            (WINDOW_UPDATE, _, 0, body) => whole += u32::from_be_bytes(*body.first_chunk().unwrap()),
            _ => {}
        }
    }
    assert_eq!(whole, AHEAD_BYTES);
    // RFC 9113 6.5.2: the concurrent streams, the initial window, the size of a list of fields.
    for (identifier, value) in [(3, STREAMS), (4, AHEAD_OF_REQUEST_BYTES), (6, HEAD_BYTES as u32)] {
        let stated = [&[0, identifier][..], &value.to_be_bytes()].concat();
        assert!(settings.chunks(6).any(|setting| setting == stated), "{identifier} in {settings:?}");
    }
}

#[tokio::test]
async fn an_address_that_opens_connections_too_fast_has_them_closed_without_an_answer() {
    let (connections, pace) = (Limits { all: 20, per_address: 20 }, Some(Pace { each_second: 1e-6, burst: 2.0 }));
    let [header_timeout, write_timeout, drain] = [PATIENCE; 3];
    let limits = HttpLimits { connections, pace, lane: 2, header_timeout, write_timeout, drain };
    let server = Running::limited(limits).await;
    for is_answered in [true, true, false, false] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        _ = stream.write_all(REQUEST).await; // It may be closed already.
        let heard = hear(&mut stream, "a place").await;
        assert_eq!(heard.contains("a place"), is_answered, "{heard}");
        assert!(is_answered || heard.is_empty(), "{heard}");
    }
}

#[tokio::test]
async fn somebody_who_is_refused_while_they_send_a_body_sees_the_answer_and_goes_on() {
    let server = Running::start(Limits { all: 20, per_address: 20 }, PATIENCE).await;
    let head = |length: usize| format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    let mut stream = server.dial(head(3 << 20).as_bytes()).await;
    stream.write_all(&vec![b'x'; 3 << 20]).await.expect("it is read to its end");
    stream.write_all(REQUEST).await.unwrap();
    let heard = hear(&mut stream, "a place").await;
    assert!(heard.starts_with("HTTP/1.1 405 ") && heard.ends_with("a place"), "{heard}");

    let mut stream = server.dial(head(1 << 40).as_bytes()).await;
    let sending = async { while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {} };
    timeout(PATIENCE, sending).await.expect("a body without an end is not read for ever");

    let expecting = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let mut stream = server.dial(expecting.as_bytes()).await;
    let heard = hear(&mut stream, "\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 405 "), "who waits is not told to go on: {heard}");
}

#[tokio::test]
async fn connections_in_the_lane_take_it_from_nobody_and_end() {
    let server = Running::start(Limits { all: 1, per_address: 1 }, PATIENCE * 100).await;
    let mut first = server.dial(b"GET /stay HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(hear(&mut first, "it stays").await.contains("it stays"));
    const GET_BY_HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
        \0\0\x04\x01\x05\0\0\0\x01\x82\x86\x84\x81"; // A window of 0, and a request by the static table of HPACK.
    let mut strangers = Vec::new();
    for said in [b"", &b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"[..], b"GET / HT", GET_BY_HTTP_2] {
        for _ in 0..4 {
            strangers.push(server.dial(said).await);
        }
        let mut probe = server.dial(REQUEST).await;
        let heard = hear(&mut probe, "the lane").await;
        assert!(heard.contains("the lane"), "{heard}");
    }
    for mut stranger in strangers {
        hear(&mut stranger, "never said").await;
    }
}

#[tokio::test]
async fn the_lane_closes_what_brings_no_request_within_its_time() {
    let server = Running::start(Limits { all: 1, per_address: 1 }, PATIENCE * 100).await;
    let mut first = server.dial(b"GET /stay HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(hear(&mut first, "it stays").await.contains("it stays"));
    let mut silent = server.dial(b"GET / HTTP/1.1\r\n").await;
    assert_eq!(hear(&mut silent, "never said").await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_keeps_no_place() {
    let server = Running::start(Limits { all: 2, per_address: 2 }, PATIENCE).await;
    let mut first =
        server.dial(b"POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert!(hear(&mut first, "100 Continue").await.contains("100 Continue"), "the route reads the body");
    let mut second = Http2::connect(&server, 1 << 20).await;
    let post = [&[(":method", "POST"), (":path", "/body")], &FIELDS[1..2], &FIELDS[3..]].concat();
    second.begin(1, &post, false).await;
    second.ping().await;
    let mut places = Vec::new();
    for _ in 0..2 {
        let mut third = server.dial(b"GET /stay HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let heard = hear(&mut third, "it stays").await;
        assert!(heard.contains("it stays"), "{heard}");
        places.push(third);
    }
    assert_eq!(hear(&mut first, "never said").await, "");
}

#[tokio::test]
async fn a_request_that_has_arrived_whole_keeps_its_place() {
    let mut server = Running::start(Limits { all: 1, per_address: 1 }, PATIENCE).await;
    for body in [&b"Content-Length: 5\r\n\r\nwhole"[..], b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n"] {
        let first = server.dial(&[b"POST /body HTTP/1.1\r\nHost: x\r\n", body].concat()).await;
        timeout(PATIENCE, server.ended.recv()).await.expect("the body arrives");
        let mut second = server.dial(REQUEST).await;
        let heard = hear(&mut second, "the lane").await;
        assert!(heard.contains("the lane"), "{heard}");
        drop(first);
        // The server notices the end of the first connection when it reads it.
        let free = async { while !hear(&mut server.dial(REQUEST).await, "e").await.contains("a place") {} };
        timeout(PATIENCE, free).await.expect("the place is free again");
    }
}

/// Tells that a body has arrived, and answers nothing.
pub(super) async fn has_arrived(told: mpsc::UnboundedSender<()>) {
    let _ = told.send(());
    pending().await
}

/// Answers while the body is on its way, and keeps the body in `kept`.
pub(super) fn keeps_body(kept: Arc<Mutex<Vec<Body>>>) -> impl Fn(Body) -> std::future::Ready<&'static str> + Clone {
    move |body| {
        kept.lock().push(body);
        std::future::ready("it is kept")
    }
}

#[tokio::test]
async fn a_body_that_a_route_keeps_does_not_keep_the_place_of_its_connection() {
    let server = Running::start(Limits { all: 1, per_address: 20 }, PATIENCE).await;
    // The listener waits for places that have been given up and are not free.
    for _ in 0..2 * onmic_listen::limiter::LEAVING_MAX {
        let mut posting = server.dial(b"POST /kept HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nsome").await;
        assert!(hear(&mut posting, "it is kept").await.contains("it is kept"));
    }
    let mut asking = server.dial(REQUEST).await;
    assert!(hear(&mut asking, "a place").await.contains("a place"));
}
