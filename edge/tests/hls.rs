//! LL-HLS and HTTP-FLV as clients see them: status, headers, bodies, and when answers come.

#![allow(clippy::unwrap_used)]

#[path = "../../packager/tests/common/mod.rs"]
mod common;
mod node;

use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use onmic_edge::hls::HlsConfig;
use onmic_media::codec::vp8;
use onmic_media::feed::{Deriver, Lease, NotDerived, OVERLOADED_FOR, Recipe};
use onmic_media::gate::{Action, Admission, Gate, OpenGate, Refusal, Shown};
use onmic_media::{ClockRate, Feed, Parameters, Protocol, Rendition, Spent, Ticks, Track, TrackKey, ViewerKind, Work};
use tokio::time::timeout;
use tower::ServiceExt;

use node::{NOW, Node, SOON, bytes, cache, listed, text};

#[tokio::test]
async fn everything_that_a_playlist_names_is_there() {
    let node = Node::open().await;
    let directory = node.directory().await;
    for kind in ["video", "audio"] {
        let response = node.get(&format!("{directory}/{kind}.m3u8?_HLS_msn=2&_HLS_part=2")).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/vnd.apple.mpegurl");
        assert_eq!(cache(&response), "max-age=12");
        let playlist = text(response).await;
        let quoted = playlist.split("URI=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let names: Vec<_> = quoted.chain(playlist.lines().filter(|line| !line.starts_with('#'))).collect();
        assert!(names.len() > 9, "{playlist}");
        let hint = playlist.lines().find(|line| line.contains("PRELOAD-HINT")).unwrap();
        for name in names.into_iter().filter(|name| !hint.contains(name)) {
            let response = node.get(&format!("{directory}/{name}")).await;
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert!(!bytes(response).await.is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn the_first_multivariant_playlist_names_a_still_picture_that_is_sent_every_five_seconds() {
    let mut node = Node::start(Arc::new(OpenGate), HlsConfig::default()).await;
    node.show_still_picture(0..3).await;
    let early = timeout(NOW, node.get("/hls/demo/index.m3u8")).await;
    assert!(early.is_err(), "the video flows, and nothing has come of it yet");
    node.show_still_picture(3..16).await;
    let playlist = text(node.get("/hls/demo/index.m3u8").await).await;
    assert!(playlist.contains("avc1."), "{playlist}");
}

#[tokio::test]
async fn a_segment_is_its_parts_and_a_range_is_a_piece_of_it() {
    let node = Node::open().await;
    let directory = node.directory().await;
    listed(&node, &directory, "_HLS_msn=2&_HLS_part=0", "video-1.m4s").await;
    let response = node.get(&format!("{directory}/video-1.m4s")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "video/mp4");
    let length = response.headers()[header::CONTENT_LENGTH].to_str().unwrap().parse::<usize>().unwrap();
    let segment = bytes(response).await;
    assert_eq!(segment.len(), length);
    let mut parts = Vec::new();
    for part in 0..6 {
        parts.extend(bytes(node.get(&format!("{directory}/video-part-{part}.m4s")).await).await);
    }
    assert!(segment == parts);
    let ranged = Request::get(format!("{directory}/video-1.m4s")).header(header::RANGE, "bytes=700-1299");
    let response = node.ask(ranged.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(response.headers()[header::CONTENT_RANGE], format!("bytes 700-1299/{length}"));
    assert!(bytes(response).await == segment[700..1300]);
    let head = Request::head(format!("{directory}/video-1.m4s")).body(Body::empty()).unwrap();
    let response = node.ask(head).await;
    assert_eq!(response.headers()[header::CONTENT_LENGTH], length.to_string());
    assert!(bytes(response).await.is_empty());
}

#[tokio::test]
async fn a_reload_waits_for_its_part_and_a_hinted_part_for_itself() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    listed(&node, &directory, "_HLS_msn=2&_HLS_part=3", "video-part-9.m4s").await;
    let ask = |name: &str| {
        let router = node.router.clone();
        let request = Request::get(format!("{directory}/{name}")).body(Body::empty()).unwrap();
        tokio::spawn(async move { router.oneshot(request).await.unwrap() })
    };
    let mut reload = ask("video.m3u8?_HLS_msn=2&_HLS_part=5");
    let mut hinted = ask("video-part-11.m4s");
    assert!(timeout(NOW, &mut reload).await.is_err());
    // Not hinted: refused at once, not waited for.
    assert_eq!(hinted.await.unwrap().status(), StatusCode::NOT_FOUND);
    hinted = ask("video-part-10.m4s");
    assert!(timeout(NOW, &mut hinted).await.is_err());
    node.publish(20).await;
    let response = timeout(SOON, hinted).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let response = timeout(SOON, reload).await.unwrap().unwrap();
    assert!(text(response).await.contains("video-part-11.m4s"));
}

#[tokio::test]
async fn each_hint_is_followed_by_the_part_that_it_names_also_at_the_end_of_a_segment() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    listed(&node, &directory, "_HLS_msn=2&_HLS_part=3", "").await;
    for kind in ["video", "audio"] {
        let mut hints = HashSet::new();
        // A segment has 60 frames and six parts: 30 steps of 11 frames meet each phase of five segments.
        for step in 0..30 {
            let playlist = text(node.get(&format!("{directory}/{kind}.m3u8")).await).await;
            let (_, hint) = playlist.split_once("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"").unwrap();
            let hint = hint.split('"').next().unwrap().to_owned();
            let request = Request::get(format!("{directory}/{hint}")).body(Body::empty()).unwrap();
            let hinted = tokio::spawn(node.router.clone().oneshot(request));
            node.publish(11).await;
            let response = timeout(SOON, hinted).await.unwrap().unwrap().unwrap();
            assert_eq!(response.status(), StatusCode::OK, "step {step}: {hint} after\n{playlist}");
            hints.insert(hint);
        }
        assert!(hints.len() > 25, "{hints:?}");
    }
}

#[tokio::test]
async fn a_preflight_allows_each_header_that_it_asks_for_and_caches_keep_one_form_for_all() {
    let node = Node::open().await;
    let directory = node.directory().await;
    let router = node.router.clone().layer(onmic_http::cors::layer());
    let paths = ["/hls/demo/index.m3u8".to_owned(), format!("{directory}/video-1.m4s"), "/flv/demo.flv".to_owned()];
    for path in paths {
        for asked in ["cmcd-request,cmcd-session", "traceparent", "authorization,cache-control,x-requested-with"] {
            let request = Request::options(&path).header(header::ORIGIN, "https://a.example");
            let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
            let request = request.header(header::ACCESS_CONTROL_REQUEST_HEADERS, asked).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], asked, "{path}");
            assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        }
        let request = Request::head(&path).header(header::ORIGIN, "https://a.example").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "HEAD {path}");
        let vary: Vec<_> = response.headers().get_all(header::VARY).iter().collect();
        assert!(vary.iter().all(|value| **value == "Accept-Encoding"), "{path}: {vary:?}");
        assert!(bytes(response).await.is_empty(), "HEAD {path}");
    }
}

#[tokio::test]
async fn wrong_queries_are_refused_with_a_sentence() {
    let node = Node::open().await;
    let directory = node.directory().await;
    for query in ["_HLS_part=1", "_HLS_msn=x", "_HLS_msn=10", "_HLS_msn=2&_HLS_part=-1"] {
        let response = node.get(&format!("{directory}/video.m3u8?{query}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(cache(&response), "max-age=1");
        assert!(text(response).await.contains("_HLS_"), "{query}");
    }
}

#[tokio::test]
async fn a_missing_file_or_room_is_not_found() {
    let node = Node::open().await;
    let directory = node.directory().await;
    let absent = ["video-8.m4s", "video-1.0.m4s", "video-part-99.m4s", "video-init-5.mp4", "text.m3u8", "video-00.m4s"];
    for name in absent.map(|name| format!("{directory}/{name}")) {
        assert_eq!(node.get(&name).await.status(), StatusCode::NOT_FOUND, "{name}");
    }
    for path in
        ["/hls/other/index.m3u8", "/hls/demo/0/video.m3u8", "/hls/..%2f/index.m3u8", "/flv/other.flv", "/flv/demo"]
    {
        let response = node.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(cache(&response), "max-age=1", "{path}");
    }
}

#[tokio::test]
async fn playlists_are_compressed_and_known_ones_are_not_sent_again() {
    let node = Node::open().await;
    let directory = node.directory().await;
    let path = format!("{directory}/video.m3u8");
    listed(&node, &directory, "_HLS_msn=2&_HLS_part=2", "video-part-8.m4s").await;
    let plain = node.get(&path).await;
    assert_eq!(cache(&plain), "max-age=1");
    let tag = plain.headers()[header::ETAG].clone();
    let plain = bytes(plain).await;
    let request = Request::get(&path).header(header::ACCEPT_ENCODING, "gzip, br").body(Body::empty()).unwrap();
    let response = node.ask(request).await;
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
    assert_ne!(response.headers()[header::ETAG], tag);
    let compressed = bytes(response).await;
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain && compressed.len() * 2 < plain.len());
    let request = Request::get(&path).header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap();
    assert_eq!(node.ask(request).await.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_delta_update_is_given_when_asked_for() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    for segment in 1..17 {
        node.publish(60).await;
        listed(&node, &directory, &format!("_HLS_msn={segment}&_HLS_part=5"), "").await;
    }
    let query = "_HLS_msn=17&_HLS_part=0";
    listed(&node, &directory, query, "video-5.m4s").await;
    listed(&node, &directory, &format!("{query}&_HLS_skip=YES"), "#EXT-X-SKIP:SKIPPED-SEGMENTS=").await;
}

#[tokio::test]
async fn the_end_of_the_source_is_the_end_of_the_playlist() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    let request = Request::get(format!("{directory}/video.m3u8?_HLS_msn=3&_HLS_part=0")).body(Body::empty()).unwrap();
    let waiting = tokio::spawn(node.router.clone().oneshot(request));
    node.publish(1).await;
    node.hub.end_all();
    let response = timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert!(text(response).await.ends_with("#EXT-X-ENDLIST\n"));
    // The last files outlive the stream.
    assert_eq!(node.get(&format!("{directory}/video-2.m4s")).await.status(), StatusCode::OK);
    assert_eq!(node.get("/hls/demo/index.m3u8").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_answers_the_requests_that_wait() {
    let node = Node::open().await;
    let directory = node.directory().await;
    let asked = tokio::time::Instant::now();
    let path = format!("{directory}/video.m3u8?_HLS_msn=2&_HLS_part=5");
    let response = node.router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    // Three target durations of 2 s, with the slack of a clock that began with target durations of 4 s.
    assert!(asked.elapsed() <= Duration::from_secs(13), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hinted_part_does_not_wait_for_ever_while_frames_are_too_slow_for_parts() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    let slow = async |node: &mut Node, seconds: std::ops::Range<i64>| {
        for second in seconds {
            let payload = Bytes::from([&[0, 0, 1, 240, 0x41][..], &[7; 495]].concat());
            node.push(node.video.clone(), Ticks(second * 90_000), false, payload);
            for packet in second * 47..(second + 1) * 47 {
                node.push(node.audio.clone(), Ticks(packet * 1024), true, Bytes::from_static(&[9; 50]));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    slow(&mut node, 4..12).await;
    let playlist = text(node.get(&format!("{directory}/video.m3u8")).await).await;
    let (_, hint) = playlist.split_once("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"").unwrap();
    let hint = format!("{directory}/{}", hint.split('"').next().unwrap());
    let hinted = tokio::spawn(node.router.clone().oneshot(Request::get(hint).body(Body::empty()).unwrap()));
    let msn: usize = playlist.lines().filter(|line| !line.starts_with('#')).count() + 1;
    let reload = Request::get(format!("{directory}/video.m3u8?_HLS_msn={msn}&_HLS_part=0"));
    let reload = tokio::spawn(node.router.clone().oneshot(reload.body(Body::empty()).unwrap()));
    slow(&mut node, 12..26).await;
    assert!(hinted.is_finished() && reload.is_finished());
    let hinted = hinted.await.unwrap().unwrap();
    assert_eq!(
        (hinted.status(), &hinted.headers()[header::RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    let reload = text(reload.await.unwrap().unwrap()).await;
    assert!(reload.contains(&format!(",\nvideo-{msn}.m4s")), "{reload}");
}

#[tokio::test]
async fn a_restart_has_a_directory_of_its_own() {
    let mut node = Node::open().await;
    let before = node.directory().await;
    node.hub.end_all();
    tokio::time::sleep(Duration::from_millis(5)).await; // The directory is named by the millisecond.
    node.publication = node.hub.publish(&"demo".parse().unwrap(), Protocol::Rtmp, Instant::now()).unwrap();
    node.publication.expect([TrackKey::VIDEO, TrackKey::AUDIO]);
    (node.pictures, node.sounds) = (0, 0);
    node.publish(30).await;
    assert_ne!(node.directory().await, before);
}

/// Lets in whoever says "sesame".
struct Sesame;

impl Gate for Sesame {
    fn check(&self, _: Action<'_>, shown: Shown<'_>) -> Result<Admission, Refusal> {
        match shown.token {
            Some("sesame") => Ok(Admission::default()),
            Some(_) => Err(Refusal::NotAllowed("another word".to_owned())),
            None => Err(Refusal::TokenMissing),
        }
    }
}

#[tokio::test]
async fn every_request_is_checked_and_no_playlist_repeats_a_token() {
    let mut node = Node::start(Arc::new(Sesame), HlsConfig::default()).await;
    node.publish(40).await;
    let request = Request::get("/hls/demo/index.m3u8").header(header::AUTHORIZATION, "Bearer sesame");
    let index = text(node.ask(request.body(Body::empty()).unwrap()).await).await;
    node.publish(60).await; // The first playlist waits for a whole segment.
    assert!(!index.contains("sesame"));
    let name = index.lines().last().unwrap().to_owned();
    for path in ["/hls/demo/index.m3u8", &format!("/hls/demo/{name}"), "/flv/demo.flv"] {
        assert_eq!(node.get(path).await.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(node.get(&format!("{path}?token=x")).await.status(), StatusCode::FORBIDDEN, "{path}");
        let request = Request::get(path).header(header::AUTHORIZATION, "Bearer sesame").body(Body::empty()).unwrap();
        assert_eq!(node.ask(request).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_native_player_takes_its_token_from_one_address_to_the_next() {
    let mut node = Node::start(Arc::new(Sesame), HlsConfig::default()).await;
    node.publish(40).await;
    // As a player does: the parameter of the playlist that it has replaces the variable.
    let follow = |name: &str| name.replace("{$token}", "sesame");
    let index = text(node.get("/hls/demo/index.m3u8?token=sesame").await).await;
    assert!(index.starts_with("#EXTM3U\n#EXT-X-VERSION:11\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n"), "{index}");
    let name = follow(index.lines().last().unwrap());
    node.publish(60).await;
    let media = text(node.get(&format!("/hls/demo/{name}&_HLS_msn=1&_HLS_part=5")).await).await;
    assert!(media.contains("#EXT-X-DEFINE:QUERYPARAM=\"token\"") && !media.contains("sesame"), "{media}");
    let directory = name.split('/').next().unwrap();
    let segment = follow(media.lines().find(|line| !line.starts_with('#')).unwrap());
    assert_eq!(segment, "video-1.m4s?token=sesame");
    assert_eq!(node.get(&format!("/hls/demo/{directory}/{segment}")).await.status(), StatusCode::OK);
    let request = Request::get("/hls/demo/index.m3u8").header(header::AUTHORIZATION, "Bearer sesame");
    let plain = text(node.ask(request.body(Body::empty()).unwrap()).await).await;
    assert!(!plain.contains("DEFINE") && !plain.contains("token"), "{plain}");
}

#[tokio::test]
async fn video_that_is_gone_is_not_named_to_players_that_join() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    listed(&node, &directory, "_HLS_msn=2&_HLS_part=3", "").await;
    for _ in 0..(13 * 47) {
        node.push(node.audio.clone(), Ticks(node.sounds * 1024), true, Bytes::from_static(&[9; 50]));
        node.sounds += 1;
        tokio::task::yield_now().await;
    }
    let named = |node: &Node| {
        let router = node.router.clone();
        async move {
            let request = Request::get("/hls/demo/index.m3u8").body(Body::empty()).unwrap();
            text(router.oneshot(request).await.unwrap()).await.contains("avc1")
        }
    };
    assert!(!named(&node).await, "nothing came of it for 13 s");
    node.pictures = node.sounds * 1024 * 90 / 48 / 3000 / 60 * 60 + 60;
    node.publish(60).await;
    assert!(named(&node).await);
}

#[tokio::test]
async fn video_whose_next_form_is_being_opened_is_named_to_players_that_join() {
    /// Opens a codec for as long as the test wants.
    struct Slow(Mutex<mpsc::Receiver<()>>);
    impl Deriver for Slow {
        fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            self.0.lock().unwrap().recv().ok();
            Err(NotDerived::Failed("this test converts nothing".to_owned()))
        }
    }
    let (release, opens) = mpsc::channel();
    let slow = Arc::new(Slow(Mutex::new(opens)));
    let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(slow)).await;
    node.publish(100).await;
    node.directory().await;
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.group = 1;
    node.publish(90).await;
    let index = text(node.get("/hls/demo/index.m3u8").await).await;
    drop(release);
    assert!(index.contains("avc1"), "{index}");
}

#[tokio::test]
async fn a_request_that_waits_for_a_stream_that_ends_is_answered_by_the_next_one() {
    let mut node = Node::start(Arc::new(OpenGate), HlsConfig::default()).await;
    node.publish(1).await;
    let request = Request::get("/hls/demo/index.m3u8").body(Body::empty()).unwrap();
    let mut waiting = tokio::spawn(node.router.clone().oneshot(request));
    assert!(timeout(NOW, &mut waiting).await.is_err(), "a frame is no part");
    let demo = "demo".parse().unwrap();
    assert!(node.hub.revoke(&demo));
    node.publication = node.hub.publish(&demo, Protocol::Rtmp, Instant::now()).unwrap();
    node.publication.expect([TrackKey::VIDEO, TrackKey::AUDIO]);
    (node.began, node.pictures, node.sounds) = (Instant::now(), 0, 0);
    node.publish(100).await;
    let response = timeout(SOON, waiting).await.expect("an answer").unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_first_playlist_waits_for_a_whole_segment() {
    let mut node = Node::start(Arc::new(OpenGate), HlsConfig::default()).await;
    node.publish(40).await;
    let directory = node.directory().await;
    let request = Request::get(format!("{directory}/video.m3u8")).body(Body::empty()).unwrap();
    let mut waiting = tokio::spawn(node.router.clone().oneshot(request));
    assert!(timeout(NOW, &mut waiting).await.is_err());
    node.publish(30).await;
    let response = timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert!(text(response).await.contains("\nvideo-1.m4s\n"));
}

/// Counts the conversions that it is asked for, and makes none.
struct Counter(AtomicUsize, NotDerived);

impl Counter {
    fn refusing(refusal: NotDerived) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(0), refusal))
    }

    fn failing() -> Arc<Self> {
        Self::refusing(NotDerived::Failed("this test converts nothing".to_owned()))
    }

    /// Waits until it was asked for this many.
    async fn asked(&self, times: usize) -> bool {
        let asked = async {
            while self.0.load(Ordering::Relaxed) < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, asked).await.is_ok()
    }
}

impl Deriver for Counter {
    fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(self.1.clone())
    }
}

#[tokio::test]
async fn video_is_not_converted_until_somebody_asks() {
    let counter = Counter::failing();
    let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(counter.clone())).await;
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.publish(90).await;
    tokio::time::sleep(NOW).await;
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    node.get("/hls/demo/index.m3u8").await;
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_conversion_begins_in_the_past_by_the_length_of_the_first_segment() {
    /// Keeps the history that was asked for, in ms.
    struct Histories(AtomicUsize);
    impl Deriver for Histories {
        fn derive(&self, _: Recipe, _: &Arc<Track>, lease: Lease) -> Result<Arc<Track>, NotDerived> {
            self.0.store(lease.history().as_millis() as usize, Ordering::Relaxed);
            Err(NotDerived::Failed("this test converts nothing".to_owned()))
        }
    }
    let histories = Arc::new(Histories(AtomicUsize::new(0)));
    let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(histories.clone())).await;
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.publish(90).await;
    node.get("/hls/demo/index.m3u8").await;
    let short = HlsConfig::default().settings.short().as_millis() as usize;
    assert!((short..short + 200).contains(&histories.0.load(Ordering::Relaxed)));
}

#[tokio::test]
async fn video_over_the_budget_is_refused_and_not_served_as_audio_alone() {
    let spending = Counter::refusing(Spent(Work::Conversion).into());
    let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(spending)).await;
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.publish(90).await;
    for path in ["/hls/demo/index.m3u8", "/flv/demo.flv"] {
        let response = node.get(path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(text(response).await.contains("converts as much video as it can"), "{path}");
    }
}

#[tokio::test]
async fn video_that_cannot_be_had_is_refused_alike_by_all_ways_out() {
    for (deriver, has_audio, status, retry) in [
        (None, true, StatusCode::NOT_ACCEPTABLE, None),
        (Some(Counter::refusing(Spent(Work::Conversion).into())), true, StatusCode::SERVICE_UNAVAILABLE, Some("5")),
        (
            Some(Counter::refusing(NotDerived::Later(Duration::from_secs(30)))),
            false,
            StatusCode::SERVICE_UNAVAILABLE,
            Some("31"),
        ),
        (Some(Counter::failing()), false, StatusCode::INTERNAL_SERVER_ERROR, None),
    ] {
        let deriver = deriver.map(|deriver| deriver as Arc<dyn Deriver>);
        let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), deriver).await;
        node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
        if !has_audio {
            node.sounds = 1_000_000; // There is no audio until then.
        }
        node.publish(90).await;
        for path in ["/hls/demo/index.m3u8", "/flv/demo.flv"] {
            let response = node.get(path).await;
            let again = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((response.status(), again), (status, retry), "{path}");
        }
    }
}

#[tokio::test]
async fn where_a_conversion_has_failed_the_audio_is_served() {
    for failing in [Counter::failing(), Counter::refusing(NotDerived::Later(Duration::from_secs(30)))] {
        let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(failing)).await;
        node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
        node.publish(90).await;
        let request = Request::get("/hls/demo/index.m3u8").body(Body::empty()).unwrap();
        let asked = tokio::spawn(node.router.clone().oneshot(request));
        while !asked.is_finished() {
            node.publish(1).await;
        }
        let index = text(asked.await.unwrap().unwrap()).await;
        assert!(index.contains("mp4a") && !index.contains("avc1"), "{index}");
        let mut file = node.get("/flv/demo.flv").await.into_body();
        let head = file.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((&head[..3], head[4]), (&b"FLV"[..], 4), "audio alone is named");
    }
}

#[tokio::test]
async fn a_track_that_comes_while_a_refusal_is_made_is_tried_at_once() {
    /// Refuses for an hour. Meanwhile the publisher begins another track.
    #[derive(Default)]
    struct Replacing(AtomicUsize, OnceLock<Arc<Feed>>);
    impl Deriver for Replacing {
        fn derive(&self, _: Recipe, input: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                self.1.get().unwrap().set_original(Arc::new(Track::new(input.parameters())));
            }
            Err(NotDerived::Later(Duration::from_secs(3600)))
        }
    }
    let replacing = Arc::new(Replacing::default());
    let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(replacing.clone())).await;
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.sounds = 1_000_000; // There is no audio until then.
    replacing.1.set(node.hub.program(&"demo".parse().unwrap()).unwrap()).ok();
    node.publish(90).await;
    let tried_again = async {
        while replacing.0.load(Ordering::Relaxed) < 2 {
            node.get("/hls/demo/index.m3u8").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, tried_again).await.expect("the new track is tried");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_when_a_refusal_is_over_gets_the_answer_of_a_new_attempt() {
    /// Refuses the first attempt for another reason than those that follow.
    struct Twice(AtomicUsize, NotDerived);
    impl Deriver for Twice {
        fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            let is_first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
            Err(if is_first { self.1.clone() } else { Spent(Work::Conversion).into() })
        }
    }
    for (refusal, sentence, seconds) in [
        (Spent(Work::SpareConversion).into(), "watch by LL-HLS", 6),
        (NotDerived::Later(Duration::from_secs(30)), "the conversion failed; try again in 31 s", 31),
    ] {
        let twice = Arc::new(Twice(AtomicUsize::new(0), refusal));
        let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(twice)).await;
        node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
        node.sounds = 1_000_000; // There is no audio until then.
        node.publish(90).await;
        let refusal = async || text(node.get("/hls/demo/index.m3u8").await).await;
        let first = refusal().await;
        assert!(first.contains(sentence), "{first}");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let second = refusal().await;
        assert!(second.contains("as it can; try again later"), "{second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_with_the_track_that_was_refused() {
    let failing = Counter::refusing(NotDerived::Later(Duration::from_secs(3600)));
    let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(failing)).await;
    let video = node.video.clone();
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.sounds = 1_000_000; // There is no audio until then.
    node.publish(120).await;
    assert_eq!(node.get("/hls/demo/index.m3u8").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    node.video = video;
    node.publish(120).await;
    node.directory().await;
}

#[tokio::test]
async fn a_stream_whose_video_is_over_the_budget_later_ends_and_the_next_one_is_refused() {
    let spending = Counter::refusing(Spent(Work::Conversion).into());
    let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(spending)).await;
    node.publish(100).await;
    let directory = node.directory().await;
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.group = 1;
    node.publish(60).await;
    let refused = async {
        loop {
            let response = node.get("/hls/demo/index.m3u8").await;
            if response.status() != StatusCode::OK {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let response = timeout(SOON, refused).await.expect("audio alone is not served");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(response).await.contains("converts as much video as it can"));
    let ended = text(node.get(&format!("{directory}/video.m3u8")).await).await;
    assert!(ended.contains("#EXT-X-ENDLIST"), "{ended}");
}

#[tokio::test]
async fn a_stream_that_may_keep_nothing_is_refused_in_a_sentence() {
    let config = HlsConfig { window_bytes: 1000, ..HlsConfig::default() };
    let mut node = Node::start(Arc::new(OpenGate), config).await;
    node.publish(90).await;
    let response = node.get("/hls/demo/index.m3u8").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(response).await.contains("keeps as much video as it may"));
}

#[tokio::test]
async fn a_stream_that_may_keep_nothing_opens_no_codec() {
    let (config, counter) = (HlsConfig { window_bytes: 1000, ..HlsConfig::default() }, Counter::failing());
    let mut node = Node::with_deriver(Arc::new(OpenGate), config, Some(counter.clone())).await;
    node.video = Arc::new(Parameters::Vp8(vp8::Parameters { width: 320, height: 180, version: 0 }));
    node.publish(90).await;
    let response = node.get("/hls/demo/index.m3u8").await;
    assert!(text(response).await.contains("keeps as much video as it may"));
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn video_with_long_groups_is_converted_only_for_somebody_who_asks() {
    let groups_of = async |pictures: i64, counter: &Arc<Counter>| {
        let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(counter.clone())).await;
        node.group = pictures;
        node.publish(40).await;
        node
    };
    // A player is there before the first group turns out long.
    let counter = Counter::failing();
    let mut node = groups_of(300, &counter).await;
    let before = node.directory().await;
    node.publish(110).await;
    assert!(counter.asked(1).await);
    assert_eq!(node.directory().await, before, "the stream goes on");
    // Nobody is.
    let counter = Counter::failing();
    let mut node = groups_of(300, &counter).await;
    node.publish(110).await;
    tokio::time::sleep(NOW).await;
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    node.directory().await;
    assert!(counter.asked(1).await);
    // Groups of 4 s do not need it.
    let counter = Counter::failing();
    let mut node = groups_of(120, &counter).await;
    node.directory().await;
    node.publish(220).await;
    tokio::time::sleep(NOW).await;
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_conversion_for_players_that_join_is_asked_for_again_when_its_refusal_is_over() {
    let failed = NotDerived::Failed("no encoder".to_owned());
    for (refusal, asks_again) in [(Spent(Work::Conversion).into(), true), (failed, false)] {
        let counter = Counter::refusing(refusal);
        let mut node = Node::with_deriver(Arc::new(OpenGate), HlsConfig::default(), Some(counter.clone())).await;
        node.group = 300;
        node.publish(40).await;
        node.directory().await;
        node.publish(110).await;
        assert!(counter.asked(1).await);
        node.publish(10).await;
        tokio::time::sleep(OVERLOADED_FOR / 2).await;
        node.publish(10).await;
        assert_eq!(counter.0.load(Ordering::Relaxed), 1, "the refusal stands");
        tokio::time::sleep(OVERLOADED_FOR).await;
        node.publish(10).await;
        assert_eq!(counter.asked(2).await, asks_again);
    }
}

#[tokio::test]
async fn on_demand_nothing_is_packaged_until_somebody_asks() {
    let config = HlsConfig { on_demand: true, ..HlsConfig::default() };
    let mut node = Node::start(Arc::new(OpenGate), config).await;
    node.publish(100).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let directory = node.directory().await;
    node.publish(30).await; // The first segment is complete.
    // From the newest group on.
    listed(&node, &directory, "_HLS_msn=1&_HLS_part=2", "video-part-2.m4s").await;
    assert_eq!(node.get(&format!("{directory}/video-part-9.m4s")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn flv_starts_with_the_newest_group_and_ends_with_the_source() {
    let node = Node::open().await;
    let response = node.get("/flv/demo.flv").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "video/x-flv");
    let feed = node.hub.program(&"demo".parse().unwrap()).unwrap();
    assert_eq!(feed.viewers().count(ViewerKind::Flv), 1);
    let body = tokio::spawn(bytes(response));
    node.hub.end_all();
    let file = timeout(SOON, body).await.unwrap().unwrap();
    assert_eq!(feed.viewers().count(ViewerKind::Flv), 0);
    let frames = common::frames_of_flv(file);
    let pictures: Vec<_> = frames.iter().filter(|frame| frame.parameters.clock_rate() == ClockRate::VIDEO).collect();
    assert_eq!(pictures.len(), 40);
    assert!(pictures[0].keyframe && pictures[0].dts.micros(ClockRate::VIDEO) == common::START_MICROS);
    assert!(frames.len() - pictures.len() > 50);
}

#[tokio::test]
async fn a_second_video_rendition_that_comes_later_is_a_variant_of_its_own() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    let lower = |path: &str| format!("{directory}/{path}");
    assert_eq!(node.get(&lower("video1.m3u8")).await.status(), StatusCode::NOT_FOUND);
    let payload = Bytes::from_static(&[0, 0, 0, 4, 0x65, 1, 2, 3]);
    for _ in 0..100 {
        let (at, keyframe) = (Ticks(node.pictures * 3000), node.pictures % 60 == 0);
        node.push_on(Rendition(1), node.video.clone(), at, keyframe, payload.clone());
        node.publish(1).await;
    }
    let index = text(node.get("/hls/demo/index.m3u8").await).await;
    assert_eq!(index.matches("#EXT-X-STREAM-INF").count(), 2, "{index}");
    let playlist = text(node.get(&lower("video1.m3u8")).await).await;
    assert!(playlist.contains("video1-part-0.m4s") && playlist.contains("URI=\"video.m3u8\""), "{playlist}");
    for file in ["video1-init-0.mp4", "video1-part-0.m4s"] {
        assert_eq!(node.get(&lower(file)).await.status(), StatusCode::OK, "{file}");
    }
    assert_eq!(node.get(&lower("data.m3u8")).await.status(), StatusCode::NOT_FOUND);
}
