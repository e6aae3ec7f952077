//! Publishes an FLV file, over and over and in real time, and serves it by LL-HLS and HTTP-FLV: to try players on.
//!
//! `cargo run -p onmic-edge --example hls_serve -- FILE.flv [PORT]`, then play `http://127.0.0.1:PORT/hls/demo/index.m3u8`.

#[path = "../../packager/tests/common/mod.rs"]
mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::serve::ListenerExt;
use onmic_edge::flv;
use onmic_edge::hls::{Hls, HlsConfig};
use onmic_media::gate::OpenGate;
use onmic_media::hub::HubLimits;
use onmic_media::{Arrival, Frame, Hub, NodeClock, Protocol, Rendition, Shares, SourceName, Ticks, TrackKey};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a file");
    let port: u16 = arguments.next().map_or(8080, |port| port.parse().expect("a port"));
    let frames = common::frames_of_flv(std::fs::read(path).expect("readable").into());
    let hub = Hub::new(NodeClock::new(Instant::now(), SystemTime::now()), HubLimits::default(), None);
    let gate = Arc::new(OpenGate);
    let shutdown = CancellationToken::new();
    let hls = Hls::new(hub.clone(), gate.clone(), HlsConfig::default(), shutdown.clone());
    let router = hls
        .router()
        .merge(flv::router(hub.clone(), gate, usize::MAX, &Shares::endless()))
        .layer(onmic_http::cors::layer());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(publish(hub, frames));
    tokio::spawn(async move { hls.run().await });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await.expect("serving");
}

async fn publish(hub: Arc<Hub>, frames: Vec<Arc<Frame>>) {
    let name: SourceName = "demo".parse().expect("a name");
    let mut publication = hub.publish(&name, Protocol::Rtmp, Instant::now()).expect("free");
    publication.expect([TrackKey::VIDEO, TrackKey::AUDIO]);
    let micros = |frame: &Frame| frame.dts.micros(frame.parameters.clock_rate());
    let first = frames.iter().map(|frame| micros(frame)).min().expect("frames");
    // A whole number of sound frames and pictures at once is rare; a millisecond of seam is like any publisher's.
    let length = frames.iter().map(|frame| micros(frame)).max().expect("frames") - first + 33_333;
    let start = tokio::time::Instant::now();
    for round in 0_i64.. {
        for frame in &frames {
            let at = round * length + micros(frame) - first;
            tokio::time::sleep_until(start + Duration::from_micros(at as u64)).await;
            let shift = Ticks(round * length).rescale(onmic_media::ClockRate::MICROS, frame.parameters.clock_rate());
            let arrival = Arrival {
                rendition: Rendition::MAIN,
                dts: frame.dts + shift,
                pts: frame.pts + shift,
                keyframe: frame.keyframe,
                parameters: frame.parameters.clone(),
                payload: frame.payload.clone(),
            };
            if publication.push(arrival, Instant::now()).is_err() {
                return;
            }
        }
    }
}
