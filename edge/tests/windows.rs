//! Tests what the playlists of a node hold at most, whatever a publisher sends.

#![allow(clippy::unwrap_used)]

mod node;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use node::{Node, SOON, text};
use onmic_edge::hls::HlsConfig;
use onmic_media::gate::OpenGate;
use onmic_media::{Ticks, metric};
use tokio::time::timeout;

const WINDOW: u64 = 4 << 20;

/// Reads what a test has counted.
struct Values(PrometheusHandle);

impl Values {
    fn value(&self, name: &str) -> Option<f64> {
        let text = self.0.render();
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned)?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    }

    fn outgrown(&self) -> Option<f64> {
        self.value(&format!("{}{{reason=\"hls_outgrown\"}}", metric::DROPS))
    }

    fn held(&self) -> f64 {
        self.value(&format!("{}{{kind=\"window\"}}", metric::BUDGET_HELD)).unwrap_or(0.0)
    }
}

async fn start() -> Node {
    Node::start(Arc::new(OpenGate), HlsConfig { window_bytes: WINDOW, ..HlsConfig::default() }).await
}

#[tokio::test]
async fn a_part_that_is_open_counts() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let values = Values(recorder.handle());
    let mut node = start().await;
    node.publish(1).await;
    let mut payload = vec![7; 5 << 20];
    payload[..5].copy_from_slice(&[0, 79, 255, 252, 0x41]);
    node.push(node.video.clone(), Ticks(3000), false, payload.into());
    let outgrown = async {
        while values.outgrown().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, outgrown).await.expect("the stream ends before its part is complete");
}

#[tokio::test]
async fn a_publisher_whose_frames_all_state_one_time_outgrows_the_playlists_and_that_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let values = Values(recorder.handle());
    let mut node = start().await;
    for number in 0..5_000 {
        let keyframe = number % 60 == 0;
        let mut payload = vec![7; 10_000];
        payload[..5].copy_from_slice(&[0, 0, 39, 12, if keyframe { 0x65 } else { 0x41 }]);
        node.push(node.video.clone(), Ticks(0), keyframe, payload.into());
        node.push(node.audio.clone(), Ticks(0), true, Bytes::from_static(&[9; 50]));
        tokio::task::yield_now().await;
        let held = values.held();
        assert!(held <= WINDOW as f64, "{held} bytes are held after {number} frames");
        if values.outgrown().is_some() {
            break;
        }
    }
    assert_eq!(values.outgrown(), Some(1.0));
    let response = node.get("/hls/demo/index.m3u8").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(response).await.contains("keeps as much video as it may"));
}
