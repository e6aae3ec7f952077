//! Tests the server with strangers: what they may send, and what they hold with it.

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
