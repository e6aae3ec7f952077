//! Conformance vectors of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03): a request, and what the document says of its
//! answer. Each names the section that it comes from. The routes are those of a node, with its cross-origin layer.
//!
//! Offers of every form, and who may publish and watch, are tested end to end (`tests/e2e/field/webrtc_offers.test.js`,
//! `tests/e2e/auth.test.js`).

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use axum::middleware::from_fn;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use onmic_http::Problem;
use onmic_media::codec::{nal, opus};
use onmic_media::gate::{OpenGate, Refusal, Shown};
use onmic_media::hub::HubLimits;
use onmic_media::{
    Action, Admission, Arrival, Feed, Gate, Hub, MediaKind, NodeClock, Pace, Parameters, Protocol, Rendition, Returns,
    SourceName, Ticks, TrackKey,
};
use onmic_rtc::{Config, Rtc};
use onmic_signalling::{IceServers, Offers, Signalling, name_offers};
use tower::ServiceExt;

const H264: &[u8] = include_bytes!("../../media/tests/fixtures/h264_baseline.h264");
const SDP: &str = "content-type: application/sdp";
const JSON: &str = "content-type: application/json";
const FRAGMENT: &str = "content-type: application/trickle-ice-sdpfrag";

/// A candidate of the first section (RFC 8840 9), with the credentials of the offer.
const TRICKLED: &str = "a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlZb\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\n\
                        a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n";
const RESTART: &str = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n";

/// Is one request and its answer. `{session}` and `{etag}` stand for those of the last session, and `{first}` for its
/// first entity tag.
struct Vector {
    /// The document and the section.
    of: &'static str,
    request: &'static str,
    headers: &'static [&'static str],
    body: String,
    status: u16,
    /// Headers of the answer, by name and a part of the value. `!` before the name states that there is none.
    answer: &'static [(&'static str, &'static str)],
    /// A line that the body has, or "" for an empty body; `None` if it says nothing of the body.
    line: Option<&'static str>,
}

fn vector(
    of: &'static str,
    request: &'static str,
    headers: &'static [&'static str],
    body: impl Into<String>,
    status: u16,
    answer: &'static [(&'static str, &'static str)],
    line: Option<&'static str>,
) -> Vector {
    Vector { of, request, headers, body: body.into(), status, answer, line }
}

/// Returns an offer of H.264 and Opus.
fn offer(direction: &str) -> String {
    let print: Vec<_> = (0..32).map(|byte| format!("{:02X}", byte * 7 + 16)).collect();
    let section = |kind: &str, mid: u8, payload: u8, codec: &str| {
        format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {payload}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:4ZcD\r\n\
             a=ice-pwd:2/1muCWoOi3uLifh0NuRHlZb\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:{mid}\r\n\
             a={direction}\r\na=rtcp-mux\r\na=rtpmap:{payload} {codec}\r\n",
            print.join(":")
        )
    };
    let video = section("video", 0, 102, "H264/90000")
        + "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";
    let audio = section("audio", 1, 111, "opus/48000/2");
    format!("v=0\r\no=- 46117 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n{video}{audio}")
}

fn vectors() -> Vec<Vector> {
    let (publish, watch) = (offer("sendonly"), offer("recvonly"));
    vec![
        // HTTP usage: no endpoint has a representation, and other methods are reserved.
        vector("RFC 9725 4.1", "GET /whip/new", &[], "", 204, &[("cache-control", "no-store")], Some("")),
        vector("whep-03 4.1", "GET /whep/live", &[], "", 204, &[("accept-post", "application/sdp")], Some("")),
        vector("whep-03 4.1", "GET /whep/nobody", &[], "", 204, &[], Some("")),
        vector("RFC 9110 15.5.6", "PUT /whip/new", &[], "", 405, &[("allow", "POST")], None),
        vector("RFC 9110 15.5.6", "PATCH /whep/live", &[FRAGMENT], RESTART, 405, &[("allow", "POST")], None),
        vector("RFC 9110 9.3.2", "HEAD /whep/live", &[], "", 200, &[("accept-post", "application/sdp")], Some("")),
        vector("RFC 9110 9.3.2", "HEAD /whep/nobody", &[], "", 409, &[("retry-after", "2")], None),
        // OPTIONS names the media type of offers, in a preflight and without one.
        vector("RFC 9725 4.2", "OPTIONS /whip/new", &[], "", 200, &[("accept-post", "application/sdp")], None),
        vector(
            "whep-03 4.3",
            "OPTIONS /whep/live",
            &[
                "origin: https://a.example",
                "access-control-request-method: POST",
                "access-control-request-headers: authorization",
            ],
            "",
            200,
            &[
                ("accept-post", "application/sdp"),
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-methods", "PATCH"),
                ("access-control-allow-methods", "DELETE"),
                ("access-control-allow-headers", "authorization"),
            ],
            None,
        ),
        // An offer that is not one.
        vector(
            "RFC 9725 4.2",
            "POST /whip/new",
            &["content-type: application/json"],
            "{}",
            415,
            &[("accept-post", "application/sdp"), ("content-type", "application/problem+json")],
            None,
        ),
        vector(
            "RFC 9725 4.2",
            "POST /whip/new",
            &[SDP],
            "v=0\r\n",
            400,
            &[("content-type", "application/problem+json")],
            None,
        ),
        vector("whep-03 4.2", "POST /whep/live", &[], watch.clone(), 415, &[("accept-post", "application/sdp")], None),
        vector("whep-03 4.2", "POST /whep/live", &[SDP], "hello", 400, &[], None),
        vector(
            "RFC 9110 15.5.16",
            "POST /whip/new",
            &[SDP, "content-encoding: gzip"],
            publish.clone(),
            415,
            &[("accept-encoding", "identity"), ("content-type", "application/problem+json")],
            None,
        ),
        // Nobody publishes yet.
        vector("whep-03 4.2", "POST /whep/nobody", &[SDP], watch.clone(), 409, &[("retry-after", "2")], None),
        // Nothing in common: no answer that is partly successful.
        vector(
            "RFC 9725 4.4.3",
            "POST /whep/live",
            &[SDP],
            watch.replace("H264/90000", "VP8/90000"),
            406,
            &[("content-type", "application/problem+json")],
            None,
        ),
        // A session of a viewer.
        vector(
            "whep-03 4.2",
            "POST /whep/live",
            &[SDP, "origin: https://a.example"],
            watch,
            201,
            &[
                ("content-type", "application/sdp"),
                ("location", "/sessions/"),
                ("etag", "\""),
                ("accept-patch", "application/trickle-ice-sdpfrag"),
                ("access-control-expose-headers", "location"),
                ("access-control-expose-headers", "etag"),
                ("access-control-expose-headers", "link"),
                ("link", "/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\""),
                ("link", "/sse>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"active,inactive,"),
            ],
            Some("a=sendonly"),
        ),
        vector("whep-03 4.1", "GET {session}", &[], "", 204, &[], Some("")),
        // Its extensions: the level of the video, and events.
        vector("whep-02 layer", "POST {session}/layer", &[JSON], r#"{"encodingId":"none"}"#, 204, &[], Some("")),
        vector(
            "whep-02 layer",
            "POST {session}/layer",
            &[JSON],
            r#"{"mediaId":"0","encodingId":"video"}"#,
            204,
            &[],
            None,
        ),
        vector(
            "whep-02 layer",
            "POST {session}/layer",
            &[JSON],
            r#"{"maxWidth":640,"temporalLayerId":1}"#,
            204,
            &[],
            None,
        ),
        vector("whep-02 layer", "POST {session}/layer", &[JSON], r#"{"encodingId":"video3"}"#, 400, &[], None),
        vector("whep-02 layer", "POST {session}/layer", &[JSON], r#"{"mediaId":"1"}"#, 400, &[], None),
        vector("whep-02 layer", "POST {session}/layer", &[JSON], "{", 400, &[("content-type", "problem+json")], None),
        vector(
            "RFC 9110 15.5.16",
            "POST {session}/layer",
            &[SDP],
            "{}",
            415,
            &[("accept-post", "application/json")],
            None,
        ),
        vector("RFC 9110 15.5.6", "GET {session}/layer", &[], "", 405, &[("allow", "POST")], None),
        vector("RFC 9110 15.5.5", "POST /sessions/x/layer", &[JSON], "{}", 404, &[], None),
        vector(
            "whep-02 events",
            "POST {session}/sse",
            &[JSON],
            r#"["viewercount","layers"]"#,
            201,
            &[("location", "/sse/layers-viewercount")],
            Some(""),
        ),
        vector("whep-02 events", "POST {session}/sse", &[JSON], r#"["layer"]"#, 400, &[], None),
        vector("whep-02 events", "POST {session}/sse", &[JSON], "[]", 400, &[], None),
        vector("whep-02 events", "GET {session}/sse/viewercount-layers", &[], "", 404, &[], None),
        vector("whep-02 events", "GET /sessions/x/sse/layers", &[], "", 404, &[], None),
        vector("whep-03 4.3", "DELETE {session}", &["if-match: \"another\""], "", 200, &[], None),
        vector("RFC 9110 15.5.5", "GET {session}", &[], "", 404, &[], None),
        // A session of a publisher, which is trickled to and restarted.
        vector(
            "RFC 9725 4.6",
            "POST /whip/new",
            &[SDP],
            publish.clone(),
            201,
            &[
                ("content-type", "application/sdp"),
                ("location", "/sessions/"),
                ("link", "<stun:stun.example:3478>; rel=\"ice-server\""),
                ("link", "<stun:second.example>; rel=\"ice-server\""),
                ("!etag", "W/"),
            ],
            Some("a=recvonly"),
        ),
        vector("RFC 9725 4.2", "POST /whip/new", &[SDP], publish, 409, &[], None),
        vector("whep-02 layer", "POST {session}/layer", &[JSON], "{}", 409, &[], None),
        vector("whep-02 events", "GET {session}/sse/layers", &[], "", 409, &[], None),
        vector("RFC 9110 15.5.6", "PUT {session}", &[], "", 405, &[("allow", "PATCH")], None),
        vector(
            "RFC 9725 4.3.1",
            "PATCH {session}",
            &["content-type: application/sdp", "if-match: {etag}"],
            RESTART,
            415,
            &[("accept-patch", "application/trickle-ice-sdpfrag")],
            None,
        ),
        vector(
            "RFC 9725 4.3.1",
            "PATCH {session}",
            &[FRAGMENT, "if-match: {etag}"],
            "a=ice-ufrag:x\r\n",
            400,
            &[],
            None,
        ),
        vector(
            "RFC 9725 4.3.2",
            "PATCH {session}",
            &[FRAGMENT, "if-match: {etag}"],
            TRICKLED,
            204,
            &[("!etag", "")],
            Some(""),
        ),
        // Many clients trickle without an entity tag.
        vector("RFC 9725 4.3.1", "PATCH {session}", &[FRAGMENT], TRICKLED, 204, &[("!etag", "")], Some("")),
        vector("RFC 9725 4.3.1", "PATCH {session}", &[FRAGMENT, "if-match: \"another\""], TRICKLED, 412, &[], None),
        vector(
            "RFC 9110 13.1.1",
            "PATCH {session}",
            &[FRAGMENT, "if-match: \"another\", {etag}"],
            TRICKLED,
            204,
            &[],
            None,
        ),
        vector("RFC 9110 13.1.1", "PATCH {session}", &[FRAGMENT, "if-match: W/{etag}"], TRICKLED, 412, &[], None),
        vector("RFC 9110 13.1.2", "PATCH {session}", &[FRAGMENT, "if-none-match: *"], TRICKLED, 412, &[], None),
        vector("RFC 9110 13.1.2", "PATCH {session}", &[FRAGMENT, "if-none-match: \"x\""], TRICKLED, 204, &[], None),
        vector(
            "RFC 9725 4.3.3",
            "PATCH {session}",
            &[FRAGMENT, "if-match: *"],
            RESTART,
            200,
            &[("content-type", "application/trickle-ice-sdpfrag"), ("etag", "\"")],
            Some("a=ice-lite"),
        ),
        vector("RFC 9725 4.3.1", "PATCH {session}", &[FRAGMENT, "if-match: {first}"], TRICKLED, 412, &[], None),
        vector("RFC 9725 4.2", "DELETE {session}", &[], "", 200, &[], None),
        vector("RFC 9110 15.5.5", "PATCH {session}", &[FRAGMENT, "if-match: *"], RESTART, 404, &[], None),
        vector("RFC 9110 15.5.5", "DELETE {session}", &[], "", 404, &[], None),
    ]
}

#[tokio::test]
async fn the_documents_vectors_of_whip_and_whep_hold() {
    let (router, _rtc, _live) = node(OpenGate);
    let (mut session, mut etag, mut first) = (String::new(), String::new(), String::new());
    for vector in vectors() {
        let Vector { of, request, headers, body, status, answer, line } = vector;
        let filled =
            |text: &str| text.replace("{session}", &session).replace("{etag}", &etag).replace("{first}", &first);
        let (method, path) = request.split_once(' ').unwrap();
        let mut request_now = Request::builder().method(method).uri(filled(path));
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request_now = request_now.header(name, filled(value));
        }
        let response = router.clone().oneshot(request_now.body(Body::from(body)).unwrap()).await.unwrap();
        let what = format!("{of}: {request} {headers:?}");
        assert_eq!(response.status().as_u16(), status, "{what}");
        check_headers(response.headers(), answer, &what);
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(tag) = text("etag") {
            assert!(status == 201 || tag != etag, "{what}: a restart has an entity tag of its own");
            etag = tag;
        }
        if let Some(location) = text("location").filter(|location| !location.contains("/sse/")) {
            (session, first) = (location, etag.clone());
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        match line {
            Some("") => assert_eq!(body, "", "{what}"),
            Some(line) => assert!(body.lines().any(|known| known == line), "{what}: {line} is not in {body}"),
            None => {}
        }
    }
}

#[tokio::test]
async fn a_stream_of_events_tells_what_changes_and_ends_with_its_session() {
    let (router, _rtc, _live) = node(OpenGate);
    let send = async |method: &str, path: &str, content_type: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
    };
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let watched = send("POST", "/whep/live", "application/sdp", &offer("recvonly")).await;
    let session = watched.headers()["location"].to_str().unwrap().to_owned();
    let listen = async || send("GET", &format!("{session}/sse/active-layers-viewercount"), "", "").await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = listen().await;
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        streams.push(stream.into_body());
    }
    assert_eq!(listen().await.status(), 429, "one address may have two here");
    let mut stream = streams.pop().unwrap();
    let next = async |stream: &mut Body| stream.frame().await.map(|frame| text(frame.unwrap().into_data().unwrap()));
    let first = next(&mut stream).await.unwrap();
    assert!(first.contains("event: layers\ndata: {\"0\":{\"active\":[{\"encodingId\":\"video\""), "{first}");
    assert!(first.contains("event: viewercount\ndata: {\"viewercount\":1}\n\n"), "{first}");
    let chosen = send("POST", &format!("{session}/layer"), "application/json", r#"{"encodingId":"none"}"#).await;
    assert_eq!(chosen.status(), 204);
    let changed = next(&mut stream).await.unwrap();
    assert!(changed.contains("\"current\":\"none\",\"pinned\":\"none\",\"automatic\":false"), "{changed}");
    assert_eq!(send("DELETE", &session, "", "").await.status(), 200);
    assert_eq!(next(&mut stream).await, None);
    drop((stream, streams));
    assert_eq!(listen().await.status(), 404);
}

#[tokio::test]
async fn a_stranger_is_refused_before_their_body_is_read() {
    let (router, _rtc, _live) = node(ClosedGate);
    for (request, content_type, status) in [
        ("POST /whip/live", "application/sdp", 401),
        ("POST /whip/live/ben", "application/sdp", 401),
        ("POST /whep/live", "application/sdp", 401),
        ("POST /whep/live/ben", "application/sdp", 401),
        ("POST /whep/live/ben/return", "application/sdp", 401),
        ("PATCH /sessions/0123456789abcdef0123456789abcdef", "application/trickle-ice-sdpfrag", 404),
        ("POST /sessions/0123456789abcdef0123456789abcdef/layer", "application/json", 404),
        ("POST /sessions/0123456789abcdef0123456789abcdef/sse", "application/json", 404),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let request_now = Request::builder().method(method).uri(path).header("content-type", content_type);
        let unread = Full::new(Bytes::from_static(b"v=0")).map_frame(move |frame| {
            assert!(!frame.is_data(), "{request}: the body is read");
            frame
        });
        let response = router.clone().oneshot(request_now.body(Body::new(unread)).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{request}");
    }
}

#[tokio::test]
async fn offers_that_come_too_fast_are_refused_and_those_who_publish_have_a_rate_of_their_own() {
    let pace = Pace { each_second: 0.1, burst: 2.0 };
    let (router, _rtc, _live) = node_with(OpenGate, Offers::new(Some(pace)));
    let post = async |path: &str| {
        let request = Request::post(path).header("content-type", "application/sdp").body(Body::from("v=0"));
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        (response.status().as_u16(), wait)
    };
    for path in ["/whep/live", "/whep/live/host"] {
        assert_eq!(post(path).await, (400, None), "{path}");
    }
    for path in ["/whep/live", "/whep/live/host"] {
        assert_eq!(post(path).await, (429, Some("10".to_owned())), "{path}");
    }
    assert_eq!(post("/whep/nobody").await.0, 409, "one who waits for a publisher is refused nothing");
    for expected in [400, 400, 429] {
        assert_eq!(post("/whip/other").await.0, expected);
    }
}

/// Lets nobody in.
struct ClosedGate;

impl Gate for ClosedGate {
    fn check(&self, _: Action<'_>, _: Shown<'_>) -> Result<Admission, Refusal> {
        Err(Refusal::TokenMissing)
    }
}

fn check_headers(headers: &HeaderMap, expected: &[(&str, &str)], what: &str) {
    for (name, part) in expected {
        let values = |name: &str| -> Vec<_> {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        let has =
            |name, part: &str| values(name).iter().any(|value| value.to_lowercase().contains(&part.to_lowercase()));
        match name.strip_prefix('!') {
            Some(absent) => assert!(!has(absent, part), "{what}: {absent} is {:?}", values(absent)),
            None => assert!(has(name, part), "{what}: {name} is {:?}, without {part}", values(name)),
        }
    }
}

/// Has no return feed.
struct NoReturns;

impl Returns for NoReturns {
    fn return_feed(&self, _: &SourceName) -> Option<Arc<Feed>> {
        None
    }
}

/// Makes the routes of a node, on which the room `live` has video and audio.
fn node(gate: impl Gate) -> (Router, Rtc, onmic_media::Publication) {
    node_with(gate, Offers::default())
}

fn node_with(gate: impl Gate, offers: Offers) -> (Router, Rtc, onmic_media::Publication) {
    let now = Instant::now();
    let clock = NodeClock::new(now, SystemTime::now());
    let hub = Hub::new(clock, HubLimits::default(), None);
    let rtc = Rtc::start(&Config::on_loopback(10, hub.calendar().clone())).unwrap();
    let mut live = hub.publish(&"live".parse().unwrap(), Protocol::Rtmp, now).unwrap();
    live.expect([TrackKey::VIDEO, TrackKey::AUDIO]);
    let stream = nal::from_annex_b(H264);
    let video = onmic_media::codec::h264::Parameters::from_access_unit(&stream).unwrap();
    let parameters = [Parameters::H264(video), Parameters::Opus(opus::Parameters::new(2))];
    for parameters in parameters.map(Arc::new) {
        let payload = if parameters.kind() == MediaKind::Video {
            Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88])
        } else {
            Bytes::from_static(&[0xfc, 0xff, 0xfe])
        };
        let (dts, pts) = (Ticks(0), Ticks(0));
        live.push(Arrival { rendition: Rendition::MAIN, dts, pts, keyframe: true, parameters, payload }, now).unwrap();
    }
    let ice_servers = ["stun:stun.example:3478".to_owned(), "stun:second.example".to_owned()];
    let signalling = Signalling {
        hub,
        returns: Arc::new(NoReturns),
        gate: Arc::new(gate),
        offers: Arc::new(offers),
        rtc: rtc.clone(),
        ice_servers: IceServers { plain: Arc::new(ice_servers), turn: None },
        playout: Arc::new(|_| onmic_media::Playout::default()),
        has_place: Arc::new(|_| true),
        event_streams: onmic_media::Shares::new("streams of events", 8, 2),
    };
    let router = signalling
        .router()
        .method_not_allowed_fallback(Problem::method_not_allowed)
        .layer(onmic_http::cors::layer())
        .layer(from_fn(name_offers));
    (router, rtc, live)
}
