//! A node with one room, whose HTTP answers the tests of this crate look at.

#![allow(dead_code)] // Each test program uses a part of this module.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use onmic_edge::flv;
use onmic_edge::hls::{Hls, HlsConfig};
use onmic_media::codec::{aac, h264};
use onmic_media::feed::Deriver;
use onmic_media::gate::{Gate, OpenGate};
use onmic_media::hub::HubLimits;
use onmic_media::{Arrival, Hub, NodeClock, Parameters, Protocol, Publication, Rendition, Shares, Ticks, TrackKey};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Long enough for an answer that is not held back, short against what it would be held back for.
pub(crate) const NOW: Duration = Duration::from_millis(300);

/// A node with one room that the test publishes to by hand.
pub(crate) struct Node {
    pub(crate) hub: Arc<Hub>,
    pub(crate) router: Router,
    pub(crate) publication: Publication,
    pub(crate) video: Arc<Parameters>,
    pub(crate) audio: Arc<Parameters>,
    /// The number of frames from one keyframe to the next.
    pub(crate) group: i64,
    pub(crate) pictures: i64,
    pub(crate) sounds: i64,
    pub(crate) began: Instant,
    pub(crate) shutdown: CancellationToken,
}

impl Node {
    pub(crate) async fn start(gate: Arc<dyn Gate>, config: HlsConfig) -> Self {
        Self::with_deriver(gate, config, None).await
    }

    pub(crate) async fn with_deriver(
        gate: Arc<dyn Gate>,
        config: HlsConfig,
        deriver: Option<Arc<dyn Deriver>>,
    ) -> Self {
        let hub = Hub::new(NodeClock::new(Instant::now(), SystemTime::now()), HubLimits::default(), deriver);
        let shutdown = CancellationToken::new();
        let hls = Hls::new(hub.clone(), gate.clone(), config, shutdown.clone());
        let router = hls.router().merge(flv::router(hub.clone(), gate, usize::MAX, &Shares::endless()));
        tokio::spawn(async move { hls.run().await });
        let mut publication = hub.publish(&"demo".parse().unwrap(), Protocol::Rtmp, Instant::now()).unwrap();
        publication.expect([TrackKey::VIDEO, TrackKey::AUDIO]);
        let sps = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x0c, 0xed, 0xff, 0x01, 0x60, 0x22, 0x00, 0x00, 0x03, 0x00];
        let sps = [&sps[..], &[0x02, 0x00, 0x00, 0x03, 0x00, 0x79, 0x1e, 0x2c, 0x5d, 0xc0]].concat();
        let pps = Bytes::from_static(&[0x68, 0xce, 0x0f, 0xc8]);
        let sets = h264::Parameters::from_parameter_sets(vec![sps.into()], vec![pps]).unwrap();
        let video = Arc::new(Parameters::H264(sets));
        let audio = Arc::new(Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap()));
        Self {
            hub,
            router,
            publication,
            video,
            audio,
            group: 60,
            pictures: 0,
            sounds: 0,
            began: Instant::now(),
            shutdown,
        }
    }

    pub(crate) async fn open() -> Self {
        let mut node = Self::start(Arc::new(OpenGate), HlsConfig::default()).await;
        node.publish(40).await;
        node.directory().await; // Packaging has begun, with the first group.
        node.publish(60).await; // Six parts of segment 0, four parts of segment 1.
        node
    }

    /// So many pictures of a 30th of a second, each group of them, and the sound of their time.
    pub(crate) async fn publish(&mut self, pictures: i64) {
        for _ in 0..pictures {
            let at = Ticks(self.pictures * 3000);
            let keyframe = self.pictures % self.group == 0;
            let mut payload = vec![7; 500];
            payload[..5].copy_from_slice(&[0, 0, 1, 240, if keyframe { 0x65 } else { 0x41 }]);
            self.push(self.video.clone(), at, keyframe, payload.into());
            self.pictures += 1;
            while self.sounds * 1024 * 90 < self.pictures * 3000 * 48 {
                self.push(self.audio.clone(), Ticks(self.sounds * 1024), true, Bytes::from_static(&[9; 50]));
                self.sounds += 1;
            }
            // The packager reads along: a ring keeps two groups.
            tokio::task::yield_now().await;
        }
    }

    /// A keyframe every five seconds, and the audio of these seconds.
    pub(crate) async fn show_still_picture(&mut self, seconds: std::ops::Range<i64>) {
        for second in seconds {
            if second % 5 == 0 {
                let payload = Bytes::from([&[0, 0, 1, 240, 0x65][..], &[7; 495]].concat());
                self.push(self.video.clone(), Ticks(second * 90_000), true, payload);
            }
            for packet in second * 47..(second + 1) * 47 {
                self.push(self.audio.clone(), Ticks(packet * 1024), true, Bytes::from_static(&[9; 50]));
                tokio::task::yield_now().await;
            }
        }
    }

    pub(crate) fn push(&mut self, parameters: Arc<Parameters>, at: Ticks, keyframe: bool, payload: Bytes) {
        self.push_on(Rendition::MAIN, parameters, at, keyframe, payload);
    }

    pub(crate) fn push_on(
        &mut self,
        rendition: Rendition,
        parameters: Arc<Parameters>,
        at: Ticks,
        keyframe: bool,
        payload: Bytes,
    ) {
        let arrival = Arrival { rendition, dts: at, pts: at, keyframe, parameters, payload };
        // As if it came in real time.
        let now = self.began + at.duration(arrival.parameters.clock_rate());
        self.publication.push(arrival, now).unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Body> {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Response<Body> {
        timeout(SOON, self.router.clone().oneshot(request)).await.expect("an answer").unwrap()
    }

    /// The directory of the stream, once its first parts are out.
    pub(crate) async fn directory(&self) -> String {
        let response = self.get("/hls/demo/index.m3u8").await;
        assert_eq!(response.status(), StatusCode::OK);
        let text = text(response).await;
        let name = text.lines().last().unwrap().split('/').next().unwrap().to_owned();
        format!("/hls/demo/{name}")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) async fn bytes(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

pub(crate) async fn text(response: Response<Body>) -> String {
    String::from_utf8(bytes(response).await.to_vec()).unwrap()
}

pub(crate) fn cache(response: &Response<Body>) -> &str {
    response.headers()[header::CACHE_CONTROL].to_str().unwrap()
}

/// Waits until the playlist of `directory` lists `line`.
pub(crate) async fn listed(node: &Node, directory: &str, query: &str, line: &str) {
    let text = text(node.get(&format!("{directory}/video.m3u8?{query}")).await).await;
    assert!(text.contains(line), "{line} is not in {text}");
}
