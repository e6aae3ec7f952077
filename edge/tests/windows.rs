//! Tests what the playlists of a node hold at most, whatever a publisher sends.

#![allow(clippy::unwrap_used)]

mod node;

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusBuilder;
use node::{Node, text};
use onmic_edge::hls::HlsConfig;
use onmic_media::gate::OpenGate;
use onmic_media::{Ticks, metric};

#[tokio::test]
async fn a_publisher_whose_frames_all_state_one_time_outgrows_the_playlists_and_that_is_counted() {
    const WINDOW: u64 = 4 << 20;
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let value = |name: &str| {
        let text = recorder.handle().render();
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned)?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let outgrown = format!("{}{{reason=\"hls_outgrown\"}}", metric::DROPS);
    let held = format!("{}{{kind=\"window\"}}", metric::BUDGET_HELD);
    let config = HlsConfig { window_bytes: WINDOW, ..HlsConfig::default() };
    let mut node = Node::start(Arc::new(OpenGate), config).await;
    for number in 0..5_000 {
        let keyframe = number % 60 == 0;
        let mut payload = vec![7; 10_000];
        payload[..5].copy_from_slice(&[0, 0, 39, 12, if keyframe { 0x65 } else { 0x41 }]);
        node.push(node.video.clone(), Ticks(0), keyframe, payload.into());
        node.push(node.audio.clone(), Ticks(0), true, Bytes::from_static(&[9; 50]));
        tokio::task::yield_now().await;
        let held = value(&held).unwrap_or(0.0);
        assert!(held <= WINDOW as f64, "{held} bytes are held after {number} frames");
        if value(&outgrown).is_some() {
            break;
        }
    }
    assert_eq!(value(&outgrown), Some(1.0));
    let response = node.get("/hls/demo/index.m3u8").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(response).await.contains("keeps as much video as it may"));
}
