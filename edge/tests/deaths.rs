//! Tests what a panic of a packager costs: its stream, and nothing that comes behind the frame over which it panicked.

#![allow(clippy::unwrap_used)]

#[path = "../../mixer/tests/support/faults.rs"]
mod faults;
mod node;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use faults::Faults;
use node::{Node, SOON, listed, text};
use onmic_edge::hls::HlsConfig;
use onmic_media::gate::OpenGate;
use tokio::time::timeout;
use tower::ServiceExt;

/// Returns the date of the first segment of a playlist.
async fn first_date(node: &Node, directory: &str) -> String {
    let playlist = text(node.get(&format!("{directory}/video.m3u8")).await).await;
    let (_, date) = playlist.split_once("#EXT-X-PROGRAM-DATE-TIME:").unwrap();
    date.lines().next().unwrap().to_owned()
}

#[test]
fn a_packager_that_panics_begins_behind_the_frame_over_which_it_did() {
    let _turn = Faults::begin();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(panic_and_begin_again());
}

async fn panic_and_begin_again() {
    let mut node = Node::start(Arc::new(OpenGate), HlsConfig::default()).await;
    node.publish(40).await;
    let before = node.directory().await;
    node.publish(30).await; // The second group has begun.
    listed(&node, &before, "_HLS_msn=2&_HLS_part=0", "video-1.m4s").await;
    let blocked = Request::get(format!("{before}/video.m3u8?_HLS_msn=2&_HLS_part=5")).body(Body::empty()).unwrap();
    let blocked = tokio::spawn(node.router.clone().oneshot(blocked));
    tokio::task::yield_now().await;
    let thread = std::thread::current().name().unwrap().to_owned().leak();
    Faults::plan(thread, "hls_part", 1);
    node.publish(30).await;
    let died = async {
        while Faults::deaths("packager") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, died).await.expect("the packager meets the fault");
    let response = timeout(SOON, blocked).await.expect("a request does not wait for what is dead").unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    Faults::forget();
    node.publish(90).await; // The third group begins at 4 s, and the fourth at 6 s.
    let after = node.directory().await;
    assert_ne!(after, before);
    assert_eq!(Faults::deaths("packager"), 1);
    let second = text(node.get(&format!("{before}/video.m3u8")).await).await;
    let dates: Vec<_> = second.lines().filter(|line| line.starts_with("#EXT-X-PROGRAM-DATE-TIME:")).collect();
    assert_eq!(dates.len(), 2, "the first two groups: {second}");
    let begins = first_date(&node, &after).await;
    assert!(format!("#EXT-X-PROGRAM-DATE-TIME:{begins}").as_str() > dates[1], "{begins} after {dates:?}");
}
