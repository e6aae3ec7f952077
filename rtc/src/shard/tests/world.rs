//! A shard's core and its clients in virtual time: datagrams arrive at once, and time passes only when a test lets it.
//!
//! With a [`Gate`] there is another shard of the same port, and all datagrams of clients arrive there.

mod gate;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use onmic_media::feed::{Deriver, Lease, NotDerived, Recipe};
use onmic_media::name::Principal;
use onmic_media::{
    Accept, AvSync, Calendar, Codec, Demand, Entry, Feed, Frame, Grant, MediaKind, NodeClock, Permits, Publication,
    Track, TrackId, TrackKey,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use self::gate::Gate;
use super::super::core::{Core, Setup};
use super::super::outbox::Outbox;
use super::super::{Candidates, Command, Opening, Watching};
use crate::announce::Announce;
use crate::bell::Belfry;
use crate::negotiate::{self, Receiving, Sending};
use crate::places::{Places, Purpose, Taken};
use crate::rtp::packet::Incoming;
use crate::rtp::tests::fixture;
use crate::sdp::client::{Answered, offer, offer_of};
use crate::sdp::{Direction, Offer};
use crate::session::{PatchRefused, Patched, SessionId};
use crate::streams::Streams;
use crate::transport::client::ClientConfig;
use crate::transport::{Client, Credentials, Dropped, Identity, Input, PeerConfig, Profile, Route, State};
use crate::udp::Batch;

static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::generate().unwrap());
pub(super) const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8189);

/// The datagrams that the core sent and no client has received yet.
#[derive(Default)]
struct Wire(VecDeque<(Route, Vec<u8>)>);

impl Outbox for Wire {
    fn send(&mut self, to: Route, datagram: &[u8]) {
        self.0.push_back((to, datagram.to_vec()));
    }

    fn send_batch(&mut self, to: Route, batch: &mut Batch) {
        for datagram in batch.datagrams() {
            self.0.push_back((to, datagram.to_vec()));
        }
        batch.clear();
    }
}

/// An RTP packet as a viewer received it.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) at: Instant,
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: Vec<u8>,
    /// The packet as it was on the wire.
    pub(super) sealed: Vec<u8>,
}

/// One client and all that it received.
pub(super) struct Visitor {
    pub(super) id: SessionId,
    pub(super) etag: String,
    pub(super) answer: Answered,
    pub(super) local: Credentials,
    pub(super) client: Client,
    pub(super) address: Route,
    pub(super) rtp: Vec<Got>,
    pub(super) rtcp: Vec<Vec<u8>>,
    /// The reasons why it dropped datagrams.
    pub(super) dropped: Vec<Dropped>,
    pub(super) connected: Option<Instant>,
    /// Whether it has crashed: datagrams to and from it are lost.
    pub(super) silent: bool,
    /// The sequence numbers of RTP packets that get lost on the way to it.
    pub(super) loses: Vec<u16>,
}

impl Visitor {
    pub(super) fn of(&self, kind: crate::sdp::MediaKind) -> Vec<Got> {
        let ssrc = self.answer.stream(kind).unwrap().ssrc.unwrap();
        self.rtp.iter().filter(|got| got.ssrc == ssrc).cloned().collect()
    }

    pub(super) fn video(&self) -> Vec<Got> {
        self.of(crate::sdp::MediaKind::Video)
    }

    pub(super) fn state(&self) -> State {
        self.client.state()
    }

    /// Returns the types of all RTCP packets that came, with compound packets taken apart.
    pub(super) fn rtcp_types(&self) -> Vec<u8> {
        let mut types = Vec::new();
        for compound in &self.rtcp {
            let mut rest = &compound[..];
            while let [_, kind, high, low, ..] = *rest {
                types.push(kind);
                rest = rest.get(4 * (usize::from(u16::from_be_bytes([high, low])) + 1)..).unwrap_or_default();
            }
        }
        types
    }
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) clock: NodeClock,
    pub(super) calendar: Arc<Calendar>,
    pub(super) core: Core,
    belfry: Arc<Belfry<TrackId>>,
    commands: mpsc::Receiver<Command>,
    _shard: mpsc::Sender<Command>,
    places: Places,
    wire: Wire,
    pub(super) gate: Option<Gate>,
    pub(super) permits: Arc<Permits>,
    /// When the sessions that begin next are over.
    pub(super) permitted_until: Instant,
    /// How audio and video of the viewers who come next are timed.
    pub(super) sync: AvSync,
    pub(super) visitors: Vec<Visitor>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(false)
    }

    /// Makes a world whose server takes datagrams of its own machine alone. No visitor is on it.
    pub(super) fn only_this_machine() -> Self {
        Self::with(true)
    }

    fn with(only_this_machine: bool) -> Self {
        let now = Instant::now();
        let clock = NodeClock::new(now, UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let (shard, commands) = mpsc::channel(16);
        let belfry = Arc::new(Belfry::default());
        let announce = Announce::at(SERVER.ip(), only_this_machine, now);
        let candidates = Candidates { announce, shard: 0, port: SERVER.port() };
        let calendar = Arc::new(Calendar::new(clock));
        let setup = setup(calendar.clone(), candidates);
        let core = Core::new(setup, belfry.clone(), shard.downgrade());
        let places = Places::new(1, 1000);
        let (wire, visitors, sync) = (Wire::default(), Vec::new(), AvSync::LipSync);
        let (permits, permitted_until) = (Arc::default(), now + Duration::from_secs(24 * 3600));
        Self {
            now,
            clock,
            calendar,
            core,
            belfry,
            commands,
            _shard: shard,
            places,
            wire,
            gate: None,
            permits,
            permitted_until,
            sync,
            visitors,
        }
    }

    /// Adds a viewer of `feed` that has its answer and has sent nothing yet. `None` if the core has no track for it.
    pub(super) fn try_watch(&mut self, feed: &Arc<Feed>) -> Option<usize> {
        self.try_watch_and_await(feed, &[])
    }

    /// Does the same for a viewer that also waits for tracks of these kinds. Waiting needs a runtime.
    pub(super) fn try_watch_and_await(&mut self, feed: &Arc<Feed>, kinds: &[MediaKind]) -> Option<usize> {
        let local = Credentials::generate();
        let parsed = Offer::parse(&offer(Direction::RecvOnly, &local, IDENTITY.fingerprint())).unwrap();
        let streams = Streams::named("cname", self.sync);
        let sending = sending(feed, &parsed, &[TrackKey::VIDEO, TrackKey::AUDIO], &streams);
        let later = |kind: &MediaKind| {
            let section = negotiate::sections(&parsed, *kind, negotiate::sendable(*kind), None)[0];
            negotiate::send_later(&parsed, section, TrackKey::main(*kind), &streams).unwrap()
        };
        let awaited: Vec<_> = kinds.iter().map(later).collect();
        let accepts = sending.iter().map(|(planned, _)| planned).chain(&awaited).map(Sending::accept).collect();
        let planned = sending.iter().map(|(planned, _)| planned).chain(&awaited);
        let video = planned.filter(|planned| planned.key.kind == MediaKind::Video);
        let leveled = video.map(|planned| ("0".to_owned(), planned.key, planned.codec)).next();
        let watching = Watching { feed: feed.clone(), streams: streams.clone(), sending, awaited, leveled };
        self.open(&parsed, accepts, local, |opening| Command::Watch { opening, watching })
    }

    /// Adds a viewer that has a section for each of these tracks of video, and connects it.
    pub(super) fn watch_in_sections(&mut self, feed: &Arc<Feed>, keys: &[TrackKey]) -> usize {
        let local = Credentials::generate();
        let kinds = vec![crate::sdp::MediaKind::Video; keys.len()];
        let text = offer_of(&kinds, Direction::RecvOnly, &local, IDENTITY.fingerprint());
        let parsed = Offer::parse(&text).unwrap();
        let streams = Streams::named("cname", self.sync);
        let sending = sending(feed, &parsed, keys, &streams);
        let accepts = sending.iter().map(|(planned, _)| planned.accept()).collect();
        let watching =
            Watching { feed: feed.clone(), streams: streams.clone(), sending, awaited: Vec::new(), leveled: None };
        let viewer = self.open(&parsed, accepts, local, |opening| Command::Watch { opening, watching }).unwrap();
        self.settle();
        assert!(self.visitors[viewer].connected.is_some());
        viewer
    }

    pub(super) fn watch(&mut self, feed: &Arc<Feed>) -> usize {
        self.try_watch(feed).unwrap()
    }

    /// Adds a viewer and connects it.
    pub(super) fn watch_connected(&mut self, feed: &Arc<Feed>) -> usize {
        let viewer = self.watch(feed);
        self.settle();
        assert!(self.visitors[viewer].connected.is_some());
        viewer
    }

    /// Adds a viewer that waits for a kind that the feed does not have yet, and connects it.
    pub(super) fn watch_and_await(&mut self, feed: &Arc<Feed>, kind: MediaKind) -> usize {
        let viewer = self.try_watch_and_await(feed, &[kind]).unwrap();
        self.settle();
        assert!(self.visitors[viewer].connected.is_some());
        viewer
    }

    pub(super) fn publish(&mut self, publication: Publication) -> usize {
        let local = Credentials::generate();
        let parsed = Offer::parse(&offer(Direction::SendOnly, &local, IDENTITY.fingerprint())).unwrap();
        let receiving = negotiate::receive(&parsed).unwrap();
        let accepts = receiving.iter().map(Receiving::accept).collect();
        self.open(&parsed, accepts, local, |opening| Command::Publish { opening, publication, receiving }).unwrap()
    }

    fn open(
        &mut self,
        offer: &Offer,
        accepts: Vec<crate::sdp::Accept>,
        local: Credentials,
        command: impl FnOnce(Opening) -> Command,
    ) -> Option<usize> {
        let who = Principal::at(SERVER.ip());
        let Taken { id, place, .. } = self.places.take(Purpose::Publish, who).unwrap();
        let grant = Grant {
            room: "demo".parse().unwrap(),
            person: None,
            alias: None,
            nameless: None,
            place: None,
            ticket: None,
            until: Some(self.permitted_until),
        };
        let gate = self.gate.as_mut().filter(|gate| gate.takes_sessions);
        let ours = Credentials::of_shard(usize::from(gate.is_some()));
        let answer = negotiate::answer(offer, (7, &ours, IDENTITY.fingerprint()), &[SERVER.into()], accepts);
        let answer = Answered::parse(&answer).unwrap();
        let (ready, mut opened) = oneshot::channel();
        let etag = ours.ufrag.clone();
        let opening = Opening {
            id,
            place,
            permit: self.permits.open(grant),
            local: ours,
            remote: local.clone(),
            fingerprint: offer.fingerprint,
            role: offer.role,
            mid: "0".into(),
            ready,
        };
        let core = gate.map_or(&mut self.core, |gate| &mut gate.core);
        core.handle_command(self.now, command(opening), &mut self.wire);
        if !opened.try_recv().unwrap() {
            return None;
        }
        let config = ClientConfig {
            local: local.clone(),
            remote: answer.credentials.clone(),
            fingerprint: answer.fingerprint,
            server: answer.candidates[0],
            role: answer.role,
            profiles: vec![Profile::AeadAes128Gcm],
        };
        let address = Route::Udp(([192, 0, 2, 1], 40_000 + self.visitors.len() as u16).into());
        self.visitors.push(Visitor {
            id,
            etag,
            answer,
            local,
            client: Client::new(config, IDENTITY.clone(), self.now),
            address,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            dropped: Vec::new(),
            connected: None,
            silent: false,
            loses: Vec::new(),
        });
        Some(self.visitors.len() - 1)
    }

    /// Does everything that can happen without time passing.
    pub(super) fn settle(&mut self) {
        let mut rung = Vec::new();
        loop {
            for visitor in &mut self.visitors {
                if visitor.client.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                    visitor.client.handle_timeout(self.now);
                }
            }
            if self.core.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                self.core.handle_timeout(self.now, &mut self.wire);
            }
            if let Some(gate) = &mut self.gate
                && gate.core.poll_timeout().is_some_and(|deadline| deadline <= self.now)
            {
                gate.core.handle_timeout(self.now, &mut self.wire);
            }
            self.exchange();
            self.belfry.take(&mut rung);
            for track in rung.drain(..) {
                self.core.handle_frames(self.now, track, &mut self.wire);
            }
            if !self.deliver() {
                return;
            }
        }
    }

    fn deliver(&mut self) -> bool {
        let mut moved = false;
        while let Some((to, datagram)) = self.wire.0.pop_front() {
            moved = true;
            let reached = self.visitors.iter_mut().filter(|visitor| visitor.address == to && !visitor.silent);
            reached.for_each(|visitor| visitor.receive(self.now, datagram.clone()));
        }
        for visitor in 0..self.visitors.len() {
            while let Some(mut transmit) = self.visitors[visitor].client.poll_transmit() {
                moved = true;
                if !self.visitors[visitor].silent {
                    self.arrives(self.visitors[visitor].address, &mut transmit.bytes);
                }
            }
        }
        moved
    }

    /// Lets `duration` pass.
    pub(super) fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        loop {
            self.settle();
            let clients = self.visitors.iter().filter_map(|visitor| visitor.client.poll_timeout());
            let gate = self.gate.as_ref().and_then(|gate| gate.core.poll_timeout());
            let next = clients.chain(self.core.poll_timeout()).chain(gate).min().filter(|next| *next < end);
            self.now = next.unwrap_or(end).max(self.now);
            if next.is_none() {
                return self.settle();
            }
        }
    }

    /// Pushes a frame at its time of arrival.
    pub(super) fn push(&mut self, track: &Track, frame: &Frame) {
        self.run_until(frame.arrived.max(self.now));
        track.push(frame.clone());
        self.settle();
    }

    /// Hands the core a datagram from any address.
    pub(super) fn datagram(&mut self, from: Route, datagram: &[u8]) {
        self.arrives(from, &mut datagram.to_vec());
    }

    /// Tells the core that a connection is closed.
    pub(super) fn lost(&mut self, route: Route) {
        self.core.handle_lost(self.now, route, &mut self.wire);
        self.settle();
    }

    /// Returns whether the core has nothing to send.
    pub(super) fn is_quiet(&self) -> bool {
        self.wire.0.is_empty()
    }

    /// Sends RTCP from the visitor.
    pub(super) fn rtcp(&mut self, visitor: usize, compound: &[u8]) {
        let mut sealed = [0; 512];
        let visitor = &mut self.visitors[visitor];
        let (length, from) = (visitor.client.seal_rtcp(compound, &mut sealed).unwrap(), visitor.address);
        self.arrives(from, &mut sealed[..length]);
        self.settle();
    }

    /// Sends RTP from the visitor.
    pub(super) fn rtp(&mut self, visitor: usize, header: &[u8], payload: &[u8]) {
        let mut sealed = [0; 2048];
        let visitor = &mut self.visitors[visitor];
        let (length, from) = (visitor.client.seal_rtp(header, payload, &mut sealed).unwrap(), visitor.address);
        self.arrives(from, &mut sealed[..length]);
    }

    /// Sends the next check of a visitor, as if from another address.
    pub(super) fn check_from(&mut self, visitor: usize, from: Route) {
        let client = &mut self.visitors[visitor].client;
        client.handle_timeout(client.poll_timeout().unwrap());
        let mut check = client.poll_transmit().unwrap().bytes;
        self.arrives(from, &mut check);
        self.settle();
    }

    pub(super) fn patch(&mut self, id: SessionId, expected: &str, fragment: &str) -> Result<Patched, PatchRefused> {
        let (reply, mut answer) = oneshot::channel();
        let (expected, fragment) = (expected.to_owned(), fragment.to_owned());
        let condition = Box::new(move |etag: &str| etag == expected);
        self.core.handle_command(self.now, Command::Patch { id, condition, fragment, reply }, &mut self.wire);
        answer.try_recv().unwrap()
    }

    pub(super) fn close(&mut self, id: SessionId) -> bool {
        let (reply, mut answer) = oneshot::channel();
        self.core.handle_command(self.now, Command::Close { id, reply }, &mut self.wire);
        self.settle();
        answer.try_recv().unwrap()
    }

    /// Gives the core a command.
    pub(super) fn tell(&mut self, command: Command) {
        self.core.handle_command(self.now, command, &mut self.wire);
        self.settle();
    }

    /// Returns whether a command has come from another thread.
    pub(super) fn has_command(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Waits for a command from another thread, and hands it to the core.
    pub(super) async fn command(&mut self) {
        let command = self.commands.recv().await.unwrap();
        self.core.handle_command(self.now, command, &mut self.wire);
        self.settle();
    }

    pub(super) fn load(&self) -> usize {
        self.places.taken()
    }
}

fn setup(calendar: Arc<Calendar>, candidates: Candidates) -> Setup {
    let (peer_config, identity) = (PeerConfig::default(), IDENTITY.clone());
    Setup { peer_config, identity, calendar, candidates, repair_hold: Duration::from_millis(600) }
}

impl Visitor {
    fn receive(&mut self, now: Instant, mut datagram: Vec<u8>) {
        let sealed = datagram.clone();
        if sealed[0] >> 6 == 2 && self.loses.contains(&u16::from_be_bytes([sealed[2], sealed[3]])) {
            self.loses.retain(|lost| *lost != u16::from_be_bytes([sealed[2], sealed[3]]));
            return;
        }
        let input = match self.client.handle_datagram(now, &mut datagram) {
            Ok(input) => input,
            Err(reason) => return self.dropped.push(reason),
        };
        match input {
            Input::Nothing | Input::Closed => {}
            Input::Connected => self.connected = Some(now),
            Input::Rtcp(rtcp) => self.rtcp.push(rtcp.to_vec()),
            Input::Rtp(packet) => {
                let parsed = Incoming::parse(packet).unwrap();
                self.rtp.push(Got {
                    at: now,
                    ssrc: parsed.ssrc,
                    payload_type: parsed.payload_type,
                    sequence: parsed.sequence,
                    timestamp: parsed.timestamp,
                    marker: parsed.marker,
                    payload: parsed.payload.to_vec(),
                    sealed,
                });
            }
        }
    }
}

/// Makes a feed with an H.264 track, and frames for it from `began` on, of which every 30th is a keyframe.
pub(super) fn video_feed(began: Instant, count: usize) -> (Arc<Feed>, Arc<Track>, Vec<Frame>) {
    let frames = fixture::synthetic(began, count, 30, (6_000, 900));
    let (feed, track) = feed_of(&frames, None);
    (feed, track, frames)
}

/// Makes a feed with an Opus track, and frames for it from `began` on.
pub(super) fn audio_feed(began: Instant, count: usize) -> (Arc<Feed>, Arc<Track>, Vec<Frame>) {
    let frames = fixture::repeated(Codec::Opus, began, count);
    let (feed, track) = feed_of(&frames, None);
    (feed, track, frames)
}

pub(super) fn feed_of(frames: &[Frame], deriver: Option<Arc<dyn Deriver>>) -> (Arc<Feed>, Arc<Track>) {
    let track = Arc::new(Track::new(frames[0].parameters.clone()));
    let feed = Feed::new(deriver);
    feed.set_original(track.clone());
    feed.settle();
    (feed, track)
}

/// Answers every recipe with an empty H.264 track, and keeps that track with its lease.
#[derive(Default)]
pub(super) struct FakeDeriver {
    pub(super) made: Mutex<Vec<(Arc<Track>, Lease)>>,
}

impl Deriver for FakeDeriver {
    fn derive(&self, recipe: Recipe, _: &Arc<Track>, lease: Lease) -> Result<Arc<Track>, NotDerived> {
        assert_eq!(recipe, Recipe::H264);
        let frames = fixture::synthetic(Instant::now(), 1, 1, (100, 100));
        let track = Arc::new(Track::new(frames[0].parameters.clone()));
        self.made.lock().push((track.clone(), lease));
        Ok(track)
    }
}

/// Gets the tracks of these keys that the feed has, one for each section of an offer.
fn sending(feed: &Arc<Feed>, offer: &Offer, keys: &[TrackKey], streams: &Streams) -> Vec<(Sending, Demand)> {
    let planned = |(section, key): (usize, &TrackKey)| {
        let codecs = negotiate::receivable(offer, section, None);
        let accept = Accept { codecs: &codecs, reordering: false, any_format: false, entry: Entry::Now };
        let demand = feed.demand(*key, accept).ok()?;
        let codec = demand.track().parameters().codec();
        Some((negotiate::send(offer, section, (*key, codec), None, streams).unwrap(), demand))
    };
    keys.iter().enumerate().filter_map(planned).collect()
}
