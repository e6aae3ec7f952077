//! Metrics with `metrics` and Prometheus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::http::header;
use axum::response::IntoResponse;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use onmic_http::{OneAtATime, Problem};
use onmic_media::{Hub, ViewerKind, metric};
use onmic_rtc::Rtc;

/// The buckets of latencies, in seconds: from the time of one shard wake-up to that of a slow client.
const LATENCY_BUCKETS: [f64; 12] = [0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// How often samples are summed up. A shard takes some hundred samples a second.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// Starts the metrics. The handle renders them.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("metrics cannot be started")?;
    metric::describe();
    Ok(handle)
}

/// Sums up the samples of histograms until `stop`. Without it they would be kept one by one until somebody asks for
/// `/metrics`.
pub async fn sum_up(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SUM_UP_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        onmic_logging::count_lost();
        handle.run_upkeep();
    }
}

/// Renders the metrics of a node for everybody who asks.
#[derive(Clone)]
pub struct MetricsPage {
    handle: PrometheusHandle,
    hub: Arc<Hub>,
    rtc: Rtc,
    rendered: Arc<OneAtATime>,
}

impl MetricsPage {
    /// Renders the metrics of `handle`, and the gauges of `hub` and `rtc`.
    pub fn new(handle: PrometheusHandle, hub: Arc<Hub>, rtc: Rtc) -> Self {
        Self { handle, hub, rtc, rendered: Arc::default() }
    }

    /// Answers `GET /metrics`.
    pub async fn answer(self) -> Result<impl IntoResponse, Problem> {
        let rendered = self.rendered.clone();
        let text = rendered.get(move || self.render().into()).await?;
        Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
    }

    fn render(&self) -> String {
        let (sources, feeds) = (self.hub.sources(), self.hub.feeds());
        for kind in ViewerKind::ALL {
            let viewers: usize = feeds.iter().map(|feed| feed.viewers().count(kind)).sum();
            gauge!(metric::VIEWERS, "kind" => kind.name()).set(viewers as f64);
        }
        for protocol in [onmic_media::Protocol::Rtmp, onmic_media::Protocol::Whip] {
            let count = sources.iter().filter(|source| source.protocol() == protocol).count();
            gauge!(metric::SOURCES, "protocol" => protocol.name()).set(count as f64);
        }
        gauge!(metric::RTC_TURN).set(self.rtc.silence(Instant::now()).as_secs_f64());
        onmic_logging::count_lost();
        self.handle.render()
    }
}
