//! Tests of the whole server on loopback: offers and answers as signalling sees them, a shard's thread, real sockets.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use onmic_media::codec::{h264, nal, opus, vp8};
use onmic_media::feed::{Deriver, Lease, NotDerived, Recipe, Unavailable};
use onmic_media::hub::HubLimits;
use onmic_media::name::Principal;
use onmic_media::{
    AvSync, Calendar, Feed, Frame, Hub, MediaKind, NodeClock, Parameters, Protocol, Rendition, Spent, Ticks, Track,
    Work,
};
use onmic_rtc::rtp::outgoing::Limits;
use onmic_rtc::rtp::{ExtensionIds, GuardConfig, HEADER_MAX, Mid, Outgoing, Resend, Sender, SenderConfig};
use onmic_rtc::sdp::client::{Answered, H264, VIDEO_SSRC, offer, offer_of};
use onmic_rtc::sdp::{self, Direction, Fragment};
use onmic_rtc::session::{Answer, PatchRefused, Patched, SessionId};
use onmic_rtc::transport::client::ClientConfig;
use onmic_rtc::transport::{Client, Credentials, Identity, Input, Profile, State};
use onmic_rtc::{Config, Error, NoPlace, OfferRefused, Rtc};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{sleep_until, timeout};

fn somebody() -> Principal {
    Principal::at(IpAddr::from([127, 0, 0, 1]))
}

const LONG: Duration = Duration::from_secs(20);

fn config(sessions: usize) -> Config {
    let calendar = Arc::new(Calendar::new(NodeClock::new(Instant::now(), SystemTime::now())));
    Config { shards: 2, ..Config::on_loopback(sessions, calendar) }
}

fn server(sessions: usize) -> (Rtc, NodeClock) {
    let config = config(sessions);
    (Rtc::start(&config).unwrap(), config.calendar.clock())
}

/// A client with its socket.
struct Visitor {
    client: Client,
    socket: UdpSocket,
}

/// An event that a client saw.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Connected,
    Rtp(Vec<u8>),
    Closed,
}

impl Visitor {
    fn offer(direction: Direction) -> (String, Credentials, Arc<Identity>) {
        let (local, identity) = (Credentials::generate(), Identity::generate().unwrap());
        (offer(direction, &local, identity.fingerprint()), local, identity)
    }

    async fn new(answer: &Answer, local: Credentials, identity: Arc<Identity>) -> Self {
        let answer = Answered::parse(&answer.sdp).unwrap();
        let config = ClientConfig {
            local,
            remote: answer.credentials,
            fingerprint: answer.fingerprint,
            server: answer.candidates[0],
            role: answer.role,
            profiles: vec![Profile::AeadAes128Gcm, Profile::Aes128CmSha1],
        };
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(config.server).await.unwrap();
        Self { client: Client::new(config, identity, Instant::now()), socket }
    }

    async fn next(&mut self) -> Event {
        timeout(LONG, self.poll()).await.expect("nothing happened in 20 s")
    }

    async fn poll(&mut self) -> Event {
        let mut datagram = [0; 2048];
        loop {
            while let Some(transmit) = self.client.poll_transmit() {
                self.socket.send(&transmit.bytes).await.unwrap();
            }
            let Some(deadline) = self.client.poll_timeout() else { return Event::Closed };
            tokio::select! {
                length = self.socket.recv(&mut datagram) => {
                    let Ok(length) = length else { continue }; // The server's socket has gone already.
                    match self.client.handle_datagram(Instant::now(), &mut datagram[..length]) {
                        Ok(Input::Rtp(packet)) => return Event::Rtp(packet.to_vec()),
                        Ok(Input::Connected) => return Event::Connected,
                        _ => {}
                    }
                }
                () = sleep_until(deadline.into()) => self.client.handle_timeout(Instant::now()),
            }
        }
    }

    /// Publishes three frames, after the end of the handshake.
    async fn send(&mut self, parameters: &Arc<Parameters>, clock: NodeClock) {
        while let Some(transmit) = self.client.poll_transmit() {
            self.socket.send(&transmit.bytes).await.unwrap();
        }
        let mut outgoing = Outgoing::new(parameters.codec(), Limits::default()).unwrap();
        let config = SenderConfig {
            ssrc: VIDEO_SSRC,
            payload_type: H264,
            extensions: ExtensionIds::default(),
            mid: Mid::default(),
            resend: Resend::Never,
            sequence: 1,
            timestamp: 1,
            sync: AvSync::LipSync,
            guard: GuardConfig::default(),
        };
        let mut sender = Sender::new(config, &outgoing);
        sender.start(&outgoing, Instant::now());
        for number in 0..3 {
            outgoing.push(&frame(parameters, clock, number));
            let packets = sender.poll_frame(&outgoing, Instant::now()).unwrap();
            for packet in packets.iter() {
                let (mut header, mut sealed) = ([0; HEADER_MAX], [0; 2048]);
                let header = sender.header(&packet, &mut 0, &mut header);
                let length = self.client.seal_rtp(header, packet.payload, &mut sealed).unwrap();
                self.socket.send(&sealed[..length]).await.unwrap();
            }
        }
    }

    async fn until_sent_by(&mut self, ssrc: u32) {
        while self.until_rtp().await[8..12] != ssrc.to_be_bytes() {}
    }

    async fn until_rtp(&mut self) -> Vec<u8> {
        loop {
            if let Event::Rtp(packet) = self.next().await {
                return packet;
            }
        }
    }
}

fn parameters() -> Arc<Parameters> {
    let sps = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    let pps = [0x68, 0xce, 0x3c, 0x80];
    let sets = (vec![Bytes::copy_from_slice(&sps)], vec![Bytes::copy_from_slice(&pps)]);
    Arc::new(Parameters::H264(h264::Parameters::from_parameter_sets(sets.0, sets.1).unwrap()))
}

fn frame(parameters: &Arc<Parameters>, clock: NodeClock, number: i64) -> Frame {
    let (now, keyframe) = (Instant::now(), number == 0);
    let mut unit = vec![0x5a; 3000];
    unit[0] = if keyframe { 0x65 } else { 0x41 };
    let pts = Ticks(number * 3000);
    let (wall, parameters, payload) = (clock.wall(now), parameters.clone(), nal::join([&unit[..]]));
    Frame { dts: pts, pts, wall, arrived: now, keyframe, parameters, payload }
}

/// Waits until the feed has video.
async fn arrives(feed: &Feed) {
    let arrives = async {
        while feed.original(MediaKind::Video).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, arrives).await.unwrap();
}

fn feed() -> (Arc<Feed>, Arc<Track>) {
    let track = Arc::new(Track::new(parameters()));
    let feed = Feed::new(None);
    feed.set_original(track.clone());
    feed.settle();
    (feed, track)
}

#[tokio::test]
async fn a_viewer_watches_restarts_ice_and_gets_a_goodbye() {
    let (rtc, clock) = server(10);
    let (feed, track) = feed();
    track.push(frame(&track.parameters(), clock, 0));
    let (offer, local, identity) = Visitor::offer(Direction::RecvOnly);
    let answer = rtc.watch(&offer, feed.clone(), AvSync::LipSync, somebody()).await.unwrap();
    let mut viewer = Visitor::new(&answer, local, identity).await;
    assert_eq!(viewer.next().await, Event::Connected);
    viewer.until_rtp().await; // The cached keyframe.
    track.push(frame(&track.parameters(), clock, 1));
    viewer.until_rtp().await;

    let (id, again) = (answer.session, Credentials::generate());
    let fragment = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", again.ufrag, again.pwd);
    let outdated = rtc.patch(id, Box::new(|etag| etag == "other"), &fragment).await.unwrap_err();
    assert_eq!(outdated, PatchRefused::Outdated(answer.etag.clone()));
    let own = answer.etag.clone();
    let patched = rtc.patch(id, Box::new(move |etag| etag == own), &fragment).await.unwrap();
    let Patched::Restarted { fragment, .. } = patched else { panic!("{patched:?}") };
    viewer.client.restart_ice(Instant::now(), again, Fragment::parse(&fragment).unwrap().ice.unwrap());
    track.push(frame(&track.parameters(), clock, 2));
    viewer.until_rtp().await;

    // The first id is of another shard, the second of a shard that does not exist.
    let digits = id.to_string();
    let other = if digits.ends_with('0') { "1" } else { "0" };
    let other: SessionId = format!("{}{other}", &digits[..31]).parse().unwrap();
    assert_eq!(rtc.patch(other, Box::new(|_| true), "").await, Err(PatchRefused::NoSession));
    assert!(!rtc.close(other).await && !rtc.close(SessionId::random(77)).await);

    rtc.shutdown(LONG).await;
    while viewer.next().await != Event::Closed {}
    assert!(matches!(viewer.client.state(), State::Closed(_)));
    let stopping = rtc.watch(&offer, feed, AvSync::LipSync, somebody()).await.unwrap_err();
    assert!(matches!(stopping, OfferRefused::Stopping));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = Rtc::start(&Config { port: address.port(), ..config(1) }).unwrap_err();
    assert!(matches!(&refused, Error::Socket { address: named, .. } if *named == address), "{refused}");
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
}

#[tokio::test]
async fn announced_ports_are_in_the_answer_and_a_name_that_does_not_resolve_is_refused() {
    let announce = vec!["203.0.113.7:18189".parse().unwrap(), "localhost".parse().unwrap()];
    let rtc = Rtc::start(&Config { announce, shards: 1, ..config(1) }).unwrap();
    let (feed, _track) = feed();
    let (offer, ..) = Visitor::offer(Direction::RecvOnly);
    let answer = rtc.watch(&offer, feed, AvSync::LipSync, somebody()).await.unwrap();
    let candidates = Answered::parse(&answer.sdp).unwrap().candidates;
    assert_eq!(candidates[0], SocketAddr::from(([203, 0, 113, 7], 18_189)));
    assert_eq!(candidates[1].ip(), IpAddr::from([127, 0, 0, 1]));
    let announce = vec!["nowhere.invalid".parse().unwrap()];
    let refused = Rtc::start(&Config { announce, ..config(1) }).unwrap_err();
    assert!(matches!(refused, Error::Name { .. }), "{refused}");
    rtc.shutdown(LONG).await;
}

/// Has the offer say that its sender waits for the ClientHello, as ffmpeg's WHIP muxer does.
fn passive(offer: &str) -> String {
    offer.replace("a=setup:actpass", "a=setup:passive")
}

#[tokio::test]
async fn a_passive_viewer_is_connected_by_the_server() {
    let (rtc, clock) = server(10);
    let (feed, track) = feed();
    track.push(frame(&track.parameters(), clock, 0));
    let (offer, local, identity) = Visitor::offer(Direction::RecvOnly);
    let answer = rtc.watch(&passive(&offer), feed, AvSync::LipSync, somebody()).await.unwrap();
    assert!(answer.sdp.contains("a=setup:active") && !answer.sdp.contains("a=setup:passive"), "{}", answer.sdp);
    let mut viewer = Visitor::new(&answer, local, identity).await;
    assert_eq!(viewer.next().await, Event::Connected);
    viewer.until_rtp().await;
    rtc.shutdown(LONG).await;
    while viewer.next().await != Event::Closed {}
}

#[tokio::test]
async fn a_passive_publisher_is_connected_by_the_server() {
    let (rtc, clock) = server(10);
    let hub = Hub::new(clock, HubLimits::default(), None);
    let publication = hub.publish(&"room".parse().unwrap(), Protocol::Whip, Instant::now()).unwrap();
    let feed = publication.source().feed().clone();
    let (offer, local, identity) = Visitor::offer(Direction::SendOnly);
    let answer = rtc.publish(rtc.plan_publish(&passive(&offer)).unwrap(), publication, somebody()).await.unwrap();
    let mut publisher = Visitor::new(&answer, local, identity).await;
    assert_eq!(publisher.next().await, Event::Connected);
    publisher.send(&parameters(), clock).await;
    arrives(&feed).await;
    rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn audio_that_comes_after_its_viewer_is_sent_in_the_same_session() {
    let (rtc, clock) = server(10);
    let (feed, video) = feed();
    video.push(frame(&video.parameters(), clock, 0));
    let (offer, local, identity) = Visitor::offer(Direction::RecvOnly);
    let answer = rtc.watch(&offer, feed.clone(), AvSync::LipSync, somebody()).await.unwrap();
    let sound = Answered::parse(&answer.sdp).unwrap().stream(sdp::MediaKind::Audio).unwrap().ssrc.unwrap();
    let mut viewer = Visitor::new(&answer, local, identity).await;
    assert_eq!(viewer.next().await, Event::Connected);
    viewer.until_rtp().await;

    let parameters = Arc::new(Parameters::Opus(opus::Parameters::new(2)));
    let audio = Arc::new(Track::new(parameters.clone()));
    feed.set_original(audio.clone());
    let heard = async {
        for number in 0.. {
            let (now, pts) = (Instant::now(), Ticks(number * 960));
            let (wall, parameters, payload) = (clock.wall(now), parameters.clone(), Bytes::from_static(&[0xfc; 40]));
            audio.push(Frame { dts: pts, pts, wall, arrived: now, keyframe: true, parameters, payload });
            if timeout(Duration::from_millis(20), viewer.until_sent_by(sound)).await.is_ok() {
                return;
            }
        }
    };
    timeout(LONG, heard).await.unwrap();
    rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn a_published_source_can_be_watched() {
    let (rtc, clock) = server(10);
    let hub = Hub::new(clock, HubLimits::default(), None);
    let publication = hub.publish(&"room".parse().unwrap(), Protocol::Whip, Instant::now()).unwrap();
    let feed = publication.source().feed().clone();
    let (offer, local, identity) = Visitor::offer(Direction::SendOnly);
    let plan = rtc.plan_publish(&offer).unwrap();
    let answer = rtc.publish(plan, publication, somebody()).await.unwrap();
    let mut publisher = Visitor::new(&answer, local, identity).await;
    assert_eq!(publisher.next().await, Event::Connected);

    publisher.send(&parameters(), clock).await;
    arrives(&feed).await;

    let (offer, local, identity) = Visitor::offer(Direction::RecvOnly);
    let answer = rtc.watch(&offer, feed, AvSync::LipSync, somebody()).await.unwrap();
    let mut viewer = Visitor::new(&answer, local, identity).await;
    assert_eq!(viewer.next().await, Event::Connected);
    viewer.until_rtp().await;
    assert!(rtc.close(answer.session).await && !rtc.close(answer.session).await);
    rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn a_full_server_refuses_viewers_until_one_leaves() {
    let (rtc, clock) = server(1); // Each of the two shards takes one session.
    let (feed, track) = feed();
    track.push(frame(&track.parameters(), clock, 0));
    let mut viewers = Vec::new();
    for owner in ["anna", "ben"] {
        let (offer, local, identity) = Visitor::offer(Direction::RecvOnly);
        let who = Principal::Token(owner.into());
        let answer = rtc.watch(&offer, feed.clone(), AvSync::LipSync, who).await.unwrap();
        let mut viewer = Visitor::new(&answer, local, identity).await;
        assert_eq!(viewer.next().await, Event::Connected);
        viewer.until_rtp().await; // The server, too, has seen that it is connected, and does not give its place away.
        viewers.push((viewer, answer.session));
    }
    assert_ne!(viewers[0].1.to_string()[30..], viewers[1].1.to_string()[30..], "the least loaded takes the next");
    let (offer, ..) = Visitor::offer(Direction::RecvOnly);
    let full = rtc.watch(&offer, feed.clone(), AvSync::LipSync, somebody()).await;
    assert!(matches!(full, Err(OfferRefused::NoPlace(NoPlace::Full))));
    assert!(rtc.close(viewers[0].1).await);
    rtc.watch(&offer, feed, AvSync::LipSync, somebody()).await.unwrap();
    rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn an_offer_that_never_connects_gives_its_place_to_the_next() {
    let (rtc, _) = server(1);
    let (feed, _track) = feed();
    let (offer, ..) = Visitor::offer(Direction::RecvOnly);
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(rtc.watch(&offer, feed.clone(), AvSync::LipSync, somebody()).await.unwrap().session);
    }
    assert!(!rtc.close(sessions[0]).await, "it gave way");
    assert!(rtc.close(sessions[4]).await);
    rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn a_refused_offer_is_told_what_to_offer() {
    let (rtc, _) = server(10);
    let (feed, _track) = feed();
    let (offer, ..) = Visitor::offer(Direction::RecvOnly);
    let vp8 = offer.replace("H264/90000", "VP8/90000");
    let refused = rtc.watch(&vp8, feed.clone(), AvSync::LipSync, somebody()).await.unwrap_err();
    assert!(matches!(&refused, OfferRefused::NothingInCommon { have, .. } if have == &["h264", "vp8"]), "{refused:?}");
    // Audio that could be sent does not make up for the missing video.
    let audio = Arc::new(Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2)))));
    feed.set_original(audio);
    let refused = rtc.watch(&vp8, feed.clone(), AvSync::LipSync, somebody()).await.unwrap_err();
    assert!(matches!(&refused, OfferRefused::NothingInCommon { have, .. } if have == &["h264", "vp8"]), "{refused:?}");
    assert!(refused.to_string().contains("video"), "{refused}");
    let (local, identity) = (Credentials::generate(), Identity::generate().unwrap());
    let audio_alone = offer_of(&[sdp::MediaKind::Audio], Direction::RecvOnly, &local, identity.fingerprint());
    rtc.watch(&audio_alone, feed.clone(), AvSync::LipSync, somebody()).await.unwrap();
    let sending = offer.replace("a=recvonly", "a=sendonly");
    assert!(matches!(
        rtc.watch(&sending, feed.clone(), AvSync::LipSync, somebody()).await,
        Err(OfferRefused::Malformed(_))
    ));
    assert!(matches!(rtc.watch("nonsense", feed, AvSync::LipSync, somebody()).await, Err(OfferRefused::Malformed(_))));
    assert!(matches!(rtc.plan_publish(&offer), Err(OfferRefused::Malformed(_))));
    rtc.shutdown(LONG).await;
}

#[tokio::test]
async fn an_offer_without_opus_gets_the_video_and_its_rejected_audio_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _counts = metrics::set_default_local_recorder(&recorder);
    let (rtc, _) = server(10);
    let (offer, ..) = Visitor::offer(Direction::RecvOnly);
    for (number, codec) in ["PCMU/8000", "G722/8000"].into_iter().enumerate() {
        let offer = offer.replace("opus/48000/2", codec);
        let (feed, _) = feed();
        let answer = rtc.watch(&offer, feed, AvSync::LipSync, somebody()).await.unwrap();
        let ports = answer.sdp.lines().filter(|line| line.starts_with("m=")).map(|line| line.split(' ').nth(1));
        assert_eq!(ports.collect::<Vec<_>>(), [Some("9"), Some("0")], "{}", answer.sdp);
        let counted = format!("onmic_drops_total{{reason=\"track_not_taken\"}} {}\n", number + 1);
        assert!(recorder.handle().render().contains(&counted));

        let sound = Feed::new(None);
        sound.set_original(Arc::new(Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2))))));
        sound.settle();
        let refused = rtc.watch(&offer, sound, AvSync::LipSync, somebody()).await.unwrap_err();
        assert!(matches!(&refused, OfferRefused::NothingInCommon { .. }), "{refused:?}");
    }
    rtc.shutdown(LONG).await;
}

/// Makes no conversion, for this reason.
struct Refusing(NotDerived);

impl Deriver for Refusing {
    fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn a_viewer_whose_video_could_not_be_converted_gets_the_audio_and_over_the_budget_it_is_refused() {
    let (rtc, _) = server(10);
    let (local, identity) = (Credentials::generate(), Identity::generate().unwrap());
    let kinds = [sdp::MediaKind::Audio, sdp::MediaKind::Video];
    let offer = offer_of(&kinds, Direction::RecvOnly, &local, identity.fingerprint());
    let watch = async |why: NotDerived| {
        let feed = Feed::new(Some(Arc::new(Refusing(why))));
        let video = vp8::Parameters { width: 640, height: 360, version: 0 };
        feed.set_original(Arc::new(Track::new(Arc::new(Parameters::Vp8(video)))));
        feed.set_original(Arc::new(Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2))))));
        feed.settle();
        rtc.watch(&offer, feed, AvSync::LipSync, somebody()).await
    };
    for failed in [NotDerived::Failed("there is no encoder".to_owned()), NotDerived::Later(LONG)] {
        let answer = watch(failed).await.unwrap();
        let mut sections = answer.sdp.lines().filter(|line| line.starts_with("m="));
        assert!(sections.all(|section| section.split(' ').nth(1) == Some("9")), "the video may join: {}", answer.sdp);
    }
    let refused = watch(Spent(Work::Conversion).into()).await.unwrap_err();
    assert!(matches!(&refused, OfferRefused::Unavailable(Unavailable::Overloaded(_))), "{refused:?}");
    rtc.shutdown(LONG).await;
}

/// Opens a codec when it is told to, and fails if it is told so. It keeps the leases of what it was asked for.
struct Slow {
    told: Mutex<mpsc::Receiver<bool>>,
    asked: Mutex<Vec<Lease>>,
}

impl Deriver for Slow {
    fn derive(&self, _: Recipe, _: &Arc<Track>, lease: Lease) -> Result<Arc<Track>, NotDerived> {
        self.asked.lock().push(lease);
        match self.told.lock().recv() {
            Ok(true) => Ok(Arc::new(Track::new(parameters()))),
            _ => Err(NotDerived::Failed("it is told to fail".to_owned())),
        }
    }
}

/// Lets forty viewers come to a video that has to be converted. Every second one leaves while the codec opens, the one for whom it opens
/// among them. Returns the answers to those who stay, and the leases of what was opened.
async fn forty_viewers(rtc: &Rtc, succeeds: bool) -> (Vec<Result<Answer, OfferRefused>>, Vec<Lease>) {
    let (tell, told) = mpsc::channel();
    let slow = Arc::new(Slow { told: Mutex::new(told), asked: Mutex::default() });
    let feed = Feed::new(Some(slow.clone()));
    let video = vp8::Parameters { width: 640, height: 360, version: 0 };
    feed.set_original(Arc::new(Track::new(Arc::new(Parameters::Vp8(video)))));
    feed.settle();
    let come = |_| {
        let (rtc, feed, offer) = (rtc.clone(), feed.clone(), Visitor::offer(Direction::RecvOnly).0);
        tokio::spawn(async move { rtc.watch(&offer, feed, AvSync::LipSync, somebody()).await })
    };
    let viewers: Vec<_> = (0..40).map(come).collect();
    while slow.asked.lock().is_empty() {
        yield_now().await;
    }
    let others = timeout(LONG, spawn_blocking(|| ())).await;
    others.expect("a thread is left to others").unwrap();
    viewers.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
    yield_now().await;
    tell.send(succeeds).unwrap();
    drop(tell); // Whatever else is opened fails.
    let mut answers = Vec::new();
    for viewer in viewers {
        answers.extend(viewer.await.ok());
    }
    let leases = slow.asked.lock().clone();
    (answers, leases)
}

#[test]
fn viewers_who_wait_for_one_codec_hold_no_thread_and_share_how_it_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (rtc, _) = server(100);
        let (answers, leases) = forty_viewers(&rtc, true).await;
        assert_eq!((answers.len(), leases.len()), (20, 1));
        for answer in answers {
            assert!(leases[0].is_wanted() && rtc.close(answer.unwrap().session).await);
        }
        assert!(!leases[0].is_wanted(), "nothing is left of those who went");

        let (answers, leases) = forty_viewers(&rtc, false).await;
        assert_eq!((answers.len(), leases.len()), (20, 1));
        for refused in answers.into_iter().map(Result::unwrap_err) {
            assert!(matches!(&refused, OfferRefused::Unavailable(Unavailable::Failed { .. })), "{refused:?}");
        }
        rtc.shutdown(LONG).await;
    });
}

#[tokio::test]
async fn each_video_section_gets_a_rendition_and_sections_past_the_last_are_rejected() {
    use sdp::MediaKind::{Audio, Other, Video};
    let (rtc, clock) = server(10);
    let (feed, main) = feed();
    let lower = Arc::new(Track::with_rendition(Rendition(1), parameters()));
    feed.set_original(lower.clone());
    for track in [&main, &lower] {
        track.push(frame(&track.parameters(), clock, 0));
    }
    let (local, identity) = (Credentials::generate(), Identity::generate().unwrap());
    let kinds = [Audio, Video, Other, Video, Video];
    let offer = offer_of(&kinds, Direction::RecvOnly, &local, identity.fingerprint());
    let answer = rtc.watch(&offer, feed.clone(), AvSync::LipSync, somebody()).await.unwrap();
    let sections: Vec<_> = answer.sdp.lines().filter(|line| line.starts_with("m=")).collect();
    let accepted: Vec<_> = sections.iter().map(|section| section.split(' ').nth(1) == Some("9")).collect();
    assert_eq!(accepted, [true, true, false, true, false], "{}", answer.sdp);
    assert!(answer.sdp.contains(" video1\r\n"), "{}", answer.sdp);

    let streams = Answered::parse(&answer.sdp).unwrap().streams;
    let ssrcs: Vec<_> = streams.iter().filter(|stream| stream.kind == Video).filter_map(|stream| stream.ssrc).collect();
    let mut viewer = Visitor::new(&answer, local, identity).await;
    assert_eq!(viewer.next().await, Event::Connected);
    let mut seen = Vec::new();
    while seen.len() < ssrcs.len() {
        let packet = viewer.until_rtp().await;
        let ssrc = ssrcs.iter().find(|ssrc| packet[8..12] == ssrc.to_be_bytes()).unwrap();
        if !seen.contains(ssrc) {
            seen.push(*ssrc);
        }
    }
    // Each rendition is read from its own track.
    lower.push(frame(&lower.parameters(), clock, 1));
    viewer.until_sent_by(ssrcs[1]).await;
    rtc.shutdown(LONG).await;
}
