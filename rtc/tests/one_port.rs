//! Tests of several shards on one UDP port of loopback: the kernel hands most datagrams to a shard that has not their session.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use onmic_media::codec::{h264, nal};
use onmic_media::hub::HubLimits;
use onmic_media::name::Principal;
use onmic_media::{
    AvSync, Calendar, Feed, Frame, Hub, Join, MediaKind, NodeClock, Parameters, Protocol, Read, Ticks, Track,
};
use onmic_rtc::rtp::outgoing::Limits;
use onmic_rtc::rtp::{ExtensionIds, GuardConfig, HEADER_MAX, Mid, Outgoing, Resend, Sender, SenderConfig};
use onmic_rtc::sdp::client::{Answered, H264, VIDEO_SSRC, offer};
use onmic_rtc::sdp::{Direction, Fragment};
use onmic_rtc::session::{Answer, Patched, SessionId};
use onmic_rtc::transport::client::ClientConfig;
use onmic_rtc::transport::{Client, Credentials, Identity, Input, Profile};
use onmic_rtc::{Config, Rtc};
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::time::{sleep_until, timeout};

const LONG: Duration = Duration::from_secs(20);
const SHARDS: usize = 4;

/// The counters of this process. One test has them at a time.
static COUNTERS: LazyLock<(PrometheusHandle, Mutex<()>)> =
    LazyLock::new(|| (PrometheusBuilder::new().install_recorder().unwrap(), Mutex::new(())));

fn counted(name: &str) -> u64 {
    let rendered = COUNTERS.0.render();
    rendered.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

fn handed_over() -> u64 {
    counted("onmic_rtc_handed_over_total")
}

fn dropped() -> u64 {
    ["full", "rate"].iter().map(|why| counted(&format!("onmic_drops_total{{reason=\"rtc_hand_over_{why}\"}}"))).sum()
}

fn server() -> (Rtc, NodeClock) {
    let clock = NodeClock::new(Instant::now(), SystemTime::now());
    let config = Config { shards: SHARDS, ..Config::on_loopback(20, Arc::new(Calendar::new(clock))) };
    (Rtc::start(&config).unwrap(), clock)
}

/// A client, its session, and its socket, which it may change for another.
struct Visitor {
    client: Client,
    socket: UdpSocket,
    server: SocketAddr,
    session: SessionId,
    rtp: usize,
}

impl Visitor {
    async fn connected(answer: &Answer, local: Credentials, identity: Arc<Identity>) -> Self {
        let answered = Answered::parse(&answer.sdp).unwrap();
        let config = ClientConfig {
            local,
            remote: answered.credentials,
            fingerprint: answered.fingerprint,
            server: answered.candidates[0],
            role: answered.role,
            profiles: vec![Profile::AeadAes128Gcm],
        };
        let (server, client) = (config.server, Client::new(config, identity, Instant::now()));
        let mut visitor = Self { client, socket: socket(server).await, server, session: answer.session, rtp: 0 };
        visitor.until(|_, input| matches!(input, Input::Connected)).await;
        visitor.flush().await;
        visitor
    }

    /// Goes on from another port, as behind a NAT or after a change of networks. The kernel may hand that to another shard.
    async fn move_on(&mut self) {
        self.socket = socket(self.server).await;
    }

    async fn flush(&mut self) {
        while let Some(transmit) = self.client.poll_transmit() {
            self.socket.send(&transmit.bytes).await.unwrap();
        }
    }

    /// Goes on until an input is what a test waits for.
    async fn until(&mut self, is_it: impl Fn(usize, &Input<'_>) -> bool) {
        let waits = async {
            let mut datagram = [0; 2048];
            loop {
                self.flush().await;
                let deadline = self.client.poll_timeout().expect("the session goes on");
                tokio::select! {
                    length = self.socket.recv(&mut datagram) => {
                        let Ok(input) = self.client.handle_datagram(Instant::now(), &mut datagram[..length.unwrap()]) else { continue };
                        self.rtp += usize::from(matches!(input, Input::Rtp(_)));
                        if is_it(self.rtp, &input) {
                            return;
                        }
                    }
                    () = sleep_until(deadline.into()) => self.client.handle_timeout(Instant::now()),
                }
            }
        };
        timeout(LONG, waits).await.expect("nothing happened in 20 s");
    }

    /// Waits for the packets of a frame that is pushed now.
    async fn until_rtp(&mut self) {
        self.until(|_, input| matches!(input, Input::Rtp(_))).await;
    }
}

async fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket
}

fn parameters() -> Arc<Parameters> {
    let sps = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    let pps = [0x68, 0xce, 0x3c, 0x80];
    let sets = (vec![Bytes::copy_from_slice(&sps)], vec![Bytes::copy_from_slice(&pps)]);
    Arc::new(Parameters::H264(h264::Parameters::from_parameter_sets(sets.0, sets.1).unwrap()))
}

fn frame(parameters: &Arc<Parameters>, clock: NodeClock, number: i64) -> Frame {
    let (now, keyframe) = (Instant::now(), number == 0);
    let mut unit = vec![0x5a; 500];
    unit[0] = if keyframe { 0x65 } else { 0x41 };
    let pts = Ticks(number * 3000);
    let (wall, parameters, payload) = (clock.wall(now), parameters.clone(), nal::join([&unit[..]]));
    Frame { dts: pts, pts, wall, arrived: now, keyframe, parameters, payload }
}

struct Stage {
    rtc: Rtc,
    clock: NodeClock,
    feed: Arc<Feed>,
    track: Arc<Track>,
    pushed: i64,
}

impl Stage {
    fn new() -> Self {
        let (rtc, clock) = server();
        let track = Arc::new(Track::new(parameters()));
        let feed = Feed::new(None);
        feed.set_original(track.clone());
        feed.settle();
        let mut stage = Self { rtc, clock, feed, track, pushed: 0 };
        stage.push();
        stage
    }

    fn push(&mut self) {
        self.track.push(frame(&self.track.parameters(), self.clock, self.pushed));
        self.pushed += 1;
    }

    async fn watch(&self) -> Visitor {
        let (local, identity) = (Credentials::generate(), Identity::generate().unwrap());
        let offer = offer(Direction::RecvOnly, &local, identity.fingerprint());
        let who = Principal::Token(local.ufrag.clone().into());
        let answer = self.rtc.watch(&offer, self.feed.clone(), AvSync::LipSync, who).await.unwrap();
        Visitor::connected(&answer, local, identity).await
    }
}

#[tokio::test]
async fn viewers_of_four_shards_on_one_port_play_restart_and_change_their_address() {
    let _alone = COUNTERS.1.lock().await;
    let (handed_before, dropped_before) = (handed_over(), dropped());
    let mut stage = Stage::new();
    let mut viewers = Vec::new();
    for _ in 0..16 {
        let began = Instant::now();
        viewers.push(stage.watch().await);
        viewers.last_mut().unwrap().until_rtp().await; // The cached keyframe.
        assert!(began.elapsed() < LONG);
    }
    let shards: std::collections::HashSet<_> =
        viewers.iter().map(|viewer| viewer.session.to_string()[30..].to_owned()).collect();
    assert_eq!(shards.len(), SHARDS, "each has sessions");
    assert!(viewers.iter().all(|viewer| viewer.server == viewers[0].server), "and all have one port");
    stage.push();
    for viewer in &mut viewers {
        viewer.until_rtp().await;
    }

    for viewer in &mut viewers {
        let local = Credentials::generate();
        let fragment = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", local.ufrag, local.pwd);
        let patched = stage.rtc.patch(viewer.session, Box::new(|_| true), &fragment).await.unwrap();
        let Patched::Restarted { fragment, .. } = patched else { panic!("{patched:?}") };
        viewer.move_on().await;
        viewer.client.restart_ice(Instant::now(), local, Fragment::parse(&fragment).unwrap().ice.unwrap());
        // It has answered at its new address when media comes there.
        let mut came = viewer.rtp;
        while viewer.rtp == came {
            stage.push();
            came = viewer.rtp;
            let _ = timeout(Duration::from_millis(20), viewer.until_rtp()).await;
        }
    }
    assert!(handed_over() > handed_before, "the kernel knows no sessions");
    assert_eq!(dropped(), dropped_before);
    stage.rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn a_publisher_of_another_shard_is_heard_from_its_next_port_without_a_check() {
    let _alone = COUNTERS.1.lock().await;
    let (rtc, clock) = server();
    let hub = Hub::new(clock, HubLimits::default(), None);
    for name in ["anna", "ben", "carla", "dora", "emil", "fay", "gus", "hal"] {
        let publication = hub.publish(&name.parse().unwrap(), Protocol::Whip, Instant::now()).unwrap();
        let feed = publication.source().feed().clone();
        let (local, identity) = (Credentials::generate(), Identity::generate().unwrap());
        let offer = offer(Direction::SendOnly, &local, identity.fingerprint());
        let who = Principal::at(IpAddr::from([127, 0, 0, 1]));
        let answer = rtc.publish(rtc.plan_publish(&offer).unwrap(), publication, who).await.unwrap();
        let mut publisher = Visitor::connected(&answer, local, identity).await;
        let mut outgoing = Outgoing::new(parameters().codec(), Limits::default()).unwrap();
        let config = SenderConfig {
            ssrc: VIDEO_SSRC,
            payload_type: H264,
            extensions: ExtensionIds::default(),
            mid: Mid::default(),
            resend: Resend::Never,
            guard: GuardConfig::default(),
            sequence: 1,
            timestamp: 1,
            sync: AvSync::LipSync,
        };
        let mut sender = Sender::new(config, &outgoing);
        sender.start(&outgoing, Instant::now());
        let parameters = parameters();
        let mut reader = None;
        for number in 0..6 {
            if number == 3 {
                publisher.move_on().await; // Its next check comes after 2.5 s.
            }
            outgoing.push(&frame(&parameters, clock, number));
            let packets = sender.poll_frame(&outgoing, Instant::now()).unwrap();
            for packet in packets.iter() {
                let (mut header, mut sealed) = ([0; HEADER_MAX], [0; 2048]);
                let header = sender.header(&packet, &mut 0, &mut header);
                let length = publisher.client.seal_rtp(header, packet.payload, &mut sealed).unwrap();
                publisher.socket.send(&sealed[..length]).await.unwrap();
            }
            let came = async {
                while feed.original(MediaKind::Video).is_none() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let reader = reader.get_or_insert_with(|| feed.original(MediaKind::Video).unwrap().reader(Join::Group));
                while !matches!(reader.try_read(), Some(Read::Frame(_))) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            if number > 0 {
                // A frame is whole when the next one begins. That of the new port is there long before a check.
                timeout(Duration::from_secs(2), came).await.unwrap_or_else(|_| panic!("frame {number} of {name}"));
            }
        }
        rtc.close(publisher.session).await;
    }
    rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn a_flood_of_a_stranger_costs_other_shards_little_and_viewers_play_on() {
    let _alone = COUNTERS.1.lock().await;
    let mut stage = Stage::new();
    let mut viewers = Vec::new();
    for _ in 0..SHARDS {
        viewers.push(stage.watch().await);
    }
    let (began, handed_before, dropped_before) = (Instant::now(), handed_over(), dropped());
    let stranger = socket(viewers[0].server).await;
    for number in 0..20_000 {
        let mut check = check_of(&Credentials::of_shard(number % SHARDS).ufrag);
        check[8..12].copy_from_slice(&(number as u32).to_be_bytes());
        let _ = stranger.send(&check).await; // The kernel may have no room for it.
    }
    for viewer in &mut viewers {
        let before = viewer.rtp;
        while viewer.rtp == before {
            stage.push();
            let _ = timeout(Duration::from_millis(50), viewer.until_rtp()).await;
        }
    }
    let handed = handed_over() - handed_before;
    assert!(dropped() > dropped_before, "more came than is handed over");
    let bound = 625.0 + 1250.0 * began.elapsed().as_secs_f64() + 1000.0; // What viewers say is beside it.
    assert!((handed as f64) < bound, "{handed} of {bound}");
    stage.rtc.shutdown(LONG).await;
}

/// Returns a check that names a session, and proves nothing.
fn check_of(ufrag: &str) -> Vec<u8> {
    let name = format!("{ufrag}:abc");
    let mut check = vec![0, 1, 0, (name.len() + 4) as u8, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, name.len() as u8]);
    check.extend(name.as_bytes());
    check
}
