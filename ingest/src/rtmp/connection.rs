//! The driver of one connection: it waits for bytes, frames and deadlines, and lets the session decide.
//!
//! Publishers never wait for viewers. The connection takes a player's frames from the rings only when everything
//! before is written. So a slow player falls behind in the ring, its frames are evicted there, and it goes on at a
//! keyframe.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use onmic_listen::{Pass, TrustedProxies};
use onmic_media::ended::{Ended, TakenOver};
use onmic_media::hub::PublishRefused;
use onmic_media::name::Principal;
use onmic_media::viewers::Viewing;
use onmic_media::{
    Action, Asked, Closed, Denial, DropReason, Ending, FeedName, Gate, Hub, LeftOut, MediaKind, Next, NoShare, Permit,
    Protocol, Publication, Share, Shares, Shown, TrackKey, ViewerKind, with_causes,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::capabilities::Capabilities;
use super::limits::RtmpLimits;
use super::player::{Player, Unwanted};
use super::publisher::{Publisher, Taken};
use super::session::{Event, Session};
use super::stream_key::{Applications, StreamKey};
use super::tally::{Direction, Tally};
use crate::error::Error;

/// The size of a read: 5 ms at 25 Mbit/s. Every connection has such a buffer, a player's too.
const READ_BYTES: usize = 16 << 10;

/// How many bytes of frames are collected before they are written. It is enough for one large write, and small against
/// what a player may fall behind.
const BATCH_BYTES: usize = 256 << 10;

/// How long a peer has to take in a goodbye before the socket closes.
const GOODBYE: Duration = Duration::from_secs(1);

/// How much is read from a peer that goes on sending after the goodbye, so that the goodbye arrives: closing with
/// unread bytes would reset the connection and lose it.
const LINGER_BYTES: usize = 4 << 20;

const GOING_DOWN: &str = "The server is shutting down.";

/// Holds the parts that all connections share.
pub(super) struct Shared {
    pub(super) limits: RtmpLimits,
    pub(super) applications: Arc<Applications>,
    pub(super) hub: Arc<Hub>,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) players: Arc<Shares>,
    pub(super) proxies: TrustedProxies,
    pub(super) shutdown: CancellationToken,
}

/// Drives one connection: its socket, its session, and its role.
pub(super) struct Connection<'a, S> {
    stream: S,
    pass: &'a Pass,
    link: Link,
    role: Role,
    buffer: Vec<u8>,
}

/// Holds everything but the socket and the role.
struct Link {
    shared: Arc<Shared>,
    session: Session,
    tally: Tally,
    peer: SocketAddr,
    started: Instant,
    agent: String,
    capabilities: Capabilities,
    /// The name that was published or played last, for the log.
    subject: Option<String>,
    kind: &'static str,
    /// The right to publish or play, while it does.
    permit: Permit,
    /// The share of a player.
    share: Option<Share>,
    /// What the peer asked to be left out of what it plays, now or next.
    unwanted: Unwanted,
    /// Whether the player is paused, or will be as soon as there is something to play.
    paused: bool,
}

enum Role {
    Idle,
    Publishing(Box<Publishing>),
    Waiting(Waiting),
    Playing(Box<Playing>),
}

/// Is the future of a player whose feed is not there yet.
type Waiting = Pin<Box<dyn Future<Output = Found> + Send>>;

/// Is the player, or the code and the sentence of a refusal.
type Found = Result<Player, NoPlayer>;

/// Says why there is nothing to play.
struct NoPlayer {
    code: &'static str,
    denial: Option<Denial>,
    sentence: String,
}

struct Publishing {
    publication: Publication,
    publisher: Publisher,
}

struct Playing {
    player: Player,
    /// The moment since which the peer owes an acknowledgement.
    blocked: Option<Instant>,
    _viewing: Viewing,
}

/// States why the connection woke.
enum Wake {
    Read(std::io::Result<usize>),
    Deadline,
    Found(Found),
    Next(Next),
    TakenOver(TakenOver),
    PermitEnded(Ending),
    Shutdown,
}

/// States how a connection ended by plan.
enum End {
    PeerLeft,
    Closed(Closed),
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    /// Makes the driver of a connection that was accepted at `started` and has its place by `pass`.
    pub(super) fn new(stream: S, peer: SocketAddr, pass: &'a Pass, started: Instant, shared: Arc<Shared>) -> Self {
        let link = Link {
            session: Session::new(shared.limits.clone(), started).with_applications(shared.applications.clone()),
            shared,
            tally: Tally::new(),
            peer,
            started,
            agent: String::new(),
            capabilities: Capabilities::default(),
            subject: None,
            kind: "none",
            permit: Permit::endless(),
            share: None,
            unwanted: Unwanted::default(),
            paused: false,
        };
        Self { stream, pass, link, role: Role::Idle, buffer: vec![0; READ_BYTES] }
    }

    pub(super) async fn run(mut self) {
        let ended = self.converse().await;
        self.finish_publishing(Instant::now());
        drop(std::mem::replace(&mut self.role, Role::Idle)); // The name is free from here on.
        if !matches!(ended, Ok(End::PeerLeft) | Err(Error::Io(_) | Error::WriteTimeout(_))) {
            self.say_goodbye().await;
        }
        self.link.report(&ended);
    }

    async fn converse(&mut self) -> Result<End, Error> {
        loop {
            self.flush().await?;
            let wake = self.wait().await;
            let now = Instant::now();
            match wake {
                Wake::Read(Ok(0)) => return Ok(End::PeerLeft),
                Wake::Read(read) => {
                    let length = read?;
                    self.link.tally.bytes(Direction::In, length);
                    self.hear(length, now).await?;
                }
                Wake::Deadline => {
                    self.link.session.handle_timeout(now);
                    self.check_acknowledgements(now)?;
                    self.advise(now);
                }
                Wake::Found(found) => self.begin_playing(found, now),
                Wake::Next(next) => {
                    if let Some(end) = self.play(next) {
                        return Ok(end);
                    }
                }
                Wake::TakenOver(taken_over) => return Err(self.end_publishing(taken_over.into())),
                Wake::PermitEnded(why) => {
                    self.link.session.close(&why.to_string());
                    return Ok(End::Closed(why.into()));
                }
                Wake::Shutdown => {
                    self.link.session.close(GOING_DOWN);
                    return Ok(End::Closed(Closed::Stopping));
                }
            }
            self.apply_events(now)?;
        }
    }

    /// Acts on the bytes of a read. One read may hold thousands of messages, so it lets other connections go on in between.
    async fn hear(&mut self, length: usize, now: Instant) -> Result<(), Error> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut input = &buffer[..length];
        let mut heard = self.hear_some(&mut input, now);
        while heard.is_ok() && (!input.is_empty() || self.link.session.is_behind()) {
            tokio::task::yield_now().await;
            heard = self.hear_some(&mut input, now);
        }
        self.buffer = buffer;
        heard
    }

    /// Acts on the next messages. A publisher is charged for all of them, whatever they bring.
    fn hear_some(&mut self, input: &mut &[u8], now: Instant) -> Result<(), Error> {
        let before = input.len();
        self.link.session.handle_bytes(now, input);
        let messages = self.link.session.take_messages();
        if let Role::Publishing(publishing) = &mut self.role
            && let Err(ended) = publishing.publication.received(before - input.len(), messages, now)
        {
            return Err(self.end_publishing(ended));
        }
        self.apply_events(now)
    }

    fn apply_events(&mut self, now: Instant) -> Result<(), Error> {
        while let Some(event) = self.link.session.poll_event() {
            self.apply(event, now)?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Wake {
        let Self { stream, link, role, buffer, .. } = self;
        if link.shared.shutdown.is_cancelled() {
            return Wake::Shutdown;
        }
        if let Some(why) = link.permit.ended() {
            return Wake::PermitEnded(why);
        }
        let due = match role {
            Role::Playing(playing) => {
                let open = link.session.window_is_open();
                playing.blocked = if open { None } else { playing.blocked.or_else(|| Some(Instant::now())) };
                playing.blocked.map(|since| since + link.shared.limits.write_timeout)
            }
            Role::Publishing(publishing) => publishing.publication.advice_timeout(),
            _ => None,
        };
        let deadline = [link.session.poll_timeout(), due].into_iter().flatten().min();
        let deadline = deadline.unwrap_or_else(Instant::now);
        tokio::select! {
            () = link.shared.shutdown.cancelled() => Wake::Shutdown,
            why = link.permit.end() => Wake::PermitEnded(why),
            read = stream.read(buffer) => Wake::Read(read),
            wake = role.wake() => wake,
            () = tokio::time::sleep_until(deadline.into()) => Wake::Deadline,
        }
    }

    /// Writes the output as fast as the peer takes it. A peer that takes nothing for too long is given up.
    async fn flush(&mut self) -> Result<(), Error> {
        let Self { stream, link, .. } = self;
        let limit = link.shared.limits.write_timeout;
        while link.session.output().has_remaining() {
            let written = tokio::select! {
                written = stream.write_buf(link.session.output()) => written?,
                () = tokio::time::sleep(limit) => return Err(Error::WriteTimeout(limit)),
                // The goodbye then has a deadline of its own.
                () = link.shared.shutdown.cancelled() => return Ok(()),
                _ = link.permit.end() => return Ok(()),
            };
            if written == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into());
            }
            link.tally.bytes(Direction::Out, written);
        }
        match tokio::time::timeout(limit, stream.flush()).await {
            Ok(flushed) => Ok(flushed?),
            Err(_) => Err(Error::WriteTimeout(limit)),
        }
    }

    async fn say_goodbye(&mut self) {
        let Self { stream, link, buffer, .. } = self;
        let goodbye = async {
            while link.session.output().has_remaining() {
                let written = stream.write_buf(link.session.output()).await?;
                link.tally.bytes(Direction::Out, written);
            }
            stream.shutdown().await?;
            let mut lingered = 0;
            while lingered < LINGER_BYTES {
                match stream.read(buffer).await? {
                    0 => break,
                    length => lingered += length,
                }
            }
            Ok::<_, std::io::Error>(())
        };
        match tokio::time::timeout(GOODBYE, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the goodbye was not taken"),
            Err(_) => tracing::debug!("the goodbye was not taken in time"),
        }
    }

    fn apply(&mut self, event: Event, now: Instant) -> Result<(), Error> {
        match event {
            Event::Connected { agent, capabilities } => {
                self.link.agent = agent;
                self.link.capabilities = capabilities;
            }
            Event::Publish(key) => self.begin_publishing(&key, now),
            Event::Play(key) => self.begin_waiting(key),
            Event::Announced { video, audio } => {
                if let Role::Publishing(publishing) = &mut self.role {
                    let announced = [video.then_some(TrackKey::VIDEO), audio.then_some(TrackKey::AUDIO)];
                    announced.iter().flatten().for_each(|key| publishing.publication.announced(key.kind, now));
                    publishing.publication.expect(announced.into_iter().flatten());
                }
            }
            Event::Media { kind, timestamp, payload } => return self.publish(kind, timestamp, payload, now),
            Event::Paused(paused) => {
                self.link.paused = paused;
                if let Role::Playing(playing) = &mut self.role {
                    playing.player.pause(paused);
                }
            }
            Event::Receive(kind, wanted) => {
                self.link.unwanted.set_wanted(kind, wanted);
                if let Role::Playing(playing) = &mut self.role {
                    playing.player.leave_out(self.link.unwanted);
                    self.link.session.data(playing.player.metadata());
                }
            }
            Event::StreamCreated if matches!(self.role, Role::Playing(_)) => {} // What it plays goes on as it is.
            Event::StreamCreated => self.link.unwanted = Unwanted::default(),
            Event::Released => {
                self.finish_publishing(now);
                self.role = Role::Idle;
                (self.link.permit, self.link.share) = (Permit::endless(), None);
                self.pass.offer();
            }
            Event::Dropped(reason) => self.link.tally.drop(reason, 1),
            Event::Closed(error) => return Err(error),
        }
        Ok(())
    }

    fn begin_publishing(&mut self, key: &StreamKey, now: Instant) {
        let link = &mut self.link;
        link.kind = "publish";
        link.subject = Some(key.name.to_string());
        let network = link.network();
        let shown = Shown { token: key.token.as_deref(), network: network.as_ref() };
        let (admission, permit) = match link.shared.gate.open(Action::Publish(&key.name), shown) {
            Ok(opened) => opened,
            Err(refusal) => return link.deny("NetStream.Publish.Denied", &refusal, &refusal.to_string()),
        };
        match link.shared.hub.publish(&key.name, admission.by(Protocol::Rtmp), now) {
            Ok(publication) => {
                tracing::info!(source = %key.name, peer = %link.peer, agent = link.agent, "publishing by RTMP");
                let publisher = Publisher::new(link.shared.limits.message_bytes);
                self.role = Role::Publishing(Box::new(Publishing { publication, publisher }));
                link.permit = permit;
                self.pass.keep();
                link.session.accept(now);
            }
            Err(refused) => {
                let code = match refused {
                    PublishRefused::Busy(_) => "NetStream.Publish.BadName",
                    PublishRefused::Full(_) => "NetStream.Publish.Denied",
                };
                link.deny(code, &refused, &refused.to_string());
            }
        }
    }

    fn publish(&mut self, kind: MediaKind, timestamp: u32, payload: Bytes, now: Instant) -> Result<(), Error> {
        let Role::Publishing(publishing) = &mut self.role else { return Ok(()) };
        let Publishing { publication, publisher } = &mut **publishing;
        let mut taken = Some(publisher.take(kind, timestamp, payload));
        while let Some(what) = taken.take() {
            match what {
                Ok(Taken::Frame(arrival)) => {
                    if let Some(renditions) = publisher.take_announced() {
                        publication.expect_further(renditions);
                    }
                    if let Err(ended) = publication.push(arrival, now) {
                        return Err(self.end_publishing(ended));
                    }
                    self.link.tally.frame(Direction::In, kind);
                }
                Ok(Taken::Configuration) => publication.announced(kind, now),
                Ok(Taken::Ended(rendition)) => publication.end_track(TrackKey::new(kind, rendition)),
                Ok(Taken::End | Taken::Nothing) => {}
                Err(dropped) => {
                    self.link.tally.drop(dropped.reason(), 1);
                    if let Some(cause) = dropped.cause() {
                        publication.left_out(kind, cause, now);
                    }
                }
            }
            taken = publisher.more();
        }
        let others = publisher.take_other_tracks();
        if others > 0 {
            self.link.tally.drop(DropReason::TagOtherTrack, others);
            publication.left_out(kind, LeftOut::OtherTrack, now);
        }
        self.advise(now);
        Ok(())
    }

    /// Passes the picture on that waits for the next one. The publication counts it if it takes no more.
    fn finish_publishing(&mut self, now: Instant) {
        if let Role::Publishing(publishing) = &mut self.role {
            while let Some(last) = publishing.publisher.finish() {
                if publishing.publication.push(last, now).is_ok() {
                    self.link.tally.frame(Direction::In, MediaKind::Video);
                }
            }
        }
    }

    /// Tells the publisher what it should change, where that is news.
    fn advise(&mut self, now: Instant) {
        let Role::Publishing(publishing) = &mut self.role else { return };
        for sentence in publishing.publication.poll_advice(now) {
            tracing::info!(source = self.link.subject, sentence, "a publisher is advised");
            self.link.session.advise(&sentence);
        }
    }

    /// Tells the publisher why it may send no more.
    fn end_publishing(&mut self, ended: Ended) -> Error {
        self.link.session.close(&ended.to_string());
        ended.into()
    }

    fn begin_waiting(&mut self, key: StreamKey) {
        let link = &mut self.link;
        link.kind = "play";
        let action = if key.names_participant { Action::PlaySource(&key.name) } else { Action::Play(&key.name.room) };
        let network = link.network();
        let shown = Shown { token: key.token.as_deref(), network: network.as_ref() };
        let (admission, permit) = match link.shared.gate.open(action, shown) {
            Ok(opened) => opened,
            Err(refusal) => return link.deny("NetStream.Play.Denied", &refusal, &refusal.to_string()),
        };
        let who = admission.owner.or(network);
        let share = match link.shared.players.take_to_watch(who) {
            Ok(share) => share,
            Err(full) => {
                match full {
                    NoShare::Full(..) => DropReason::RtmpPlayersFull.count(1),
                    NoShare::Principal(..) => DropReason::RtmpPlayersShare.count(1),
                }
                return link.deny("NetStream.Play.Denied", &full, &full.to_string());
            }
        };
        (link.permit, link.share, link.paused) = (permit, Some(share), false);
        let name = key.feed_name();
        link.subject = Some(name.to_string());
        let limit = link.shared.limits.feed_timeout;
        let found = find_player(link.shared.hub.clone(), name, (link.capabilities.clone(), link.unwanted), limit);
        self.role = Role::Waiting(Box::pin(found));
    }

    fn begin_playing(&mut self, found: Found, now: Instant) {
        self.role = Role::Idle;
        let mut player = match found {
            Ok(player) => player,
            Err(NoPlayer { code, denial, sentence }) => return self.link.refuse(code, denial, &sentence),
        };
        player.leave_out(self.link.unwanted);
        player.pause(self.link.paused);
        let session = &mut self.link.session;
        tracing::info!(stream = self.link.subject, peer = %self.link.peer, agent = self.link.agent, "playing by RTMP");
        self.pass.keep();
        session.accept(now);
        session.data(player.metadata());
        let viewing = player.feed().viewers().join(ViewerKind::Rtmp);
        self.role = Role::Playing(Box::new(Playing { player, blocked: None, _viewing: viewing }));
    }

    /// Sends the frames that are ready, up to a batch.
    fn play(&mut self, next: Next) -> Option<End> {
        let Role::Playing(playing) = &mut self.role else { return None };
        let link = &mut self.link;
        let mut next = Some(next);
        while let Some(what) = next {
            match what {
                Next::Frame(key, placed) => {
                    playing.player.send(key, &placed, &mut link.session);
                    link.tally.frame(Direction::Out, key.kind);
                }
                Next::Skipped(_, frames) => link.tally.drop(DropReason::BehindRtmp, frames),
                Next::Begun(..) => {
                    let metadata = playing.player.metadata();
                    link.session.data(metadata);
                }
                Next::Refused(key, reason) => tracing::debug!(track = %key, %reason, "a track is left out of RTMP"),
                Next::Gone(_) => {}
                Next::Ended => {
                    link.session.close("The stream has ended.");
                    return Some(End::Closed(Closed::Over));
                }
            }
            let room = link.session.output().remaining() < BATCH_BYTES && link.session.window_is_open();
            next = if room { playing.player.try_next() } else { None };
        }
        None
    }

    fn check_acknowledgements(&self, now: Instant) -> Result<(), Error> {
        let limit = self.link.shared.limits.write_timeout;
        match &self.role {
            Role::Playing(playing) if playing.blocked.is_some_and(|since| now >= since + limit) => {
                Err(Error::WriteTimeout(limit))
            }
            _ => Ok(()),
        }
    }
}

impl Role {
    /// Waits for the event that this role awaits besides the peer. Dropping the future loses nothing.
    async fn wake(&mut self) -> Wake {
        match self {
            Self::Publishing(publishing) => Wake::TakenOver(publishing.publication.taken_over().await),
            Self::Waiting(waiting) => Wake::Found(waiting.await),
            Self::Playing(playing) if playing.blocked.is_none() => {
                Wake::Next(poll_fn(|cx| playing.player.poll_next(cx)).await)
            }
            _ => std::future::pending().await,
        }
    }
}

impl Link {
    /// Returns the network of the peer. It is nobody's where everybody may be behind one address.
    fn network(&self) -> Option<Principal> {
        let address = self.peer.ip();
        (!self.shared.proxies.contain(address)).then(|| Principal::at(address))
    }

    /// Tells the peer that it may not publish or play.
    fn deny(&mut self, code: &str, why: impl Into<Denial>, sentence: &str) {
        self.refuse(code, Some(why.into()), sentence);
    }

    /// Tells the peer that it does not publish or play. Each refusal of a request that makes sense goes through here, and says what
    /// it denies, if anything.
    fn refuse(&mut self, code: &str, denial: Option<Denial>, sentence: &str) {
        if let Some(denial) = denial {
            denial.count(Asked::Rtmp);
        }
        self.session.refuse(code, sentence);
    }

    fn report(&self, ended: &Result<End, Error>) {
        let (reason, error) = match ended {
            Ok(End::PeerLeft) => ("peer_left", None),
            Ok(End::Closed(reason)) => (reason.name(), None),
            Err(error) => (error.reason(), Some(with_causes(error))),
        };
        let closed = match ended {
            Ok(End::PeerLeft) => None,
            Ok(End::Closed(reason)) => Some(*reason),
            Err(error) => error.closed(),
        };
        closed.inspect(|closed| closed.count(Asked::Rtmp));
        let [[video_in, audio_in, _], [video_out, audio_out, _]] = self.tally.frame_counts;
        let [bytes_in, bytes_out] = self.tally.byte_counts;
        let seconds = self.started.elapsed().as_secs_f32();
        if bytes_in == 0 {
            // Health checks and port scans come every few seconds.
            tracing::debug!(reason, peer = %self.peer, seconds, error, "RTMP connection closed before its first byte");
            return;
        }
        tracing::info!(
            reason,
            kind = self.kind,
            stream = self.subject,
            peer = %self.peer,
            agent = self.agent,
            seconds,
            video_in,
            audio_in,
            video_out,
            audio_out,
            bytes_in,
            bytes_out,
            dropped = %self.tally.drops(),
            error,
            "RTMP session closed"
        );
    }
}

/// Waits for the feed to be there with its tracks, and opens those the player can take.
async fn find_player(
    hub: Arc<Hub>,
    name: FeedName,
    (capabilities, unwanted): (Capabilities, Unwanted),
    limit: Duration,
) -> Found {
    let Ok(feed) = tokio::time::timeout(limit, hub.await_feed(&name)).await else {
        let sentence = format!("Nobody publishes '{name}'; try again when they do.");
        return Err(NoPlayer { code: "NetStream.Play.StreamNotFound", denial: None, sentence });
    };
    Player::open(feed, &capabilities, unwanted).await.map_err(|unavailable| NoPlayer {
        code: "NetStream.Play.Failed",
        denial: Denial::of_unavailable(&unavailable),
        sentence: format!("{unavailable}."),
    })
}
