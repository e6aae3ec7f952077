//! A shard: one thread with one UDP socket, the TCP connections of its sessions, and the sessions. All shards have one UDP port.
//!
//! The driver waits for five things: commands, datagrams, parcels of other shards, rung bells of tracks and connections, and the next deadline.
//! It hands each to the [`Core`] and waits again. The core decides, and sends by plain calls. Nothing else touches a session. Datagrams of
//! sessions of other shards leave by the [`post`].
//!
//! The thread is replaced when it panics (see [`life`]).
//!
//! Commands are few, because they come from signalling. Up to [`COMMANDS`] are queued. A full queue makes signalling
//! wait, never media.

mod awaited;
mod core;
mod levels;
mod life;
mod metric;
mod outbox;
mod ports;
mod post;
mod publisher;
mod reason;
mod session;
#[cfg(test)]
mod tests;
mod track;
mod viewer;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onmic_media::feed::Unavailable;
use onmic_media::life::{Deaths, Lives};
use onmic_media::{Codec, Demand, Feed, Permit, Publication, TrackId, TrackKey};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use self::core::Core;
use self::life::{Ended, Life, Pulse, TURN_EVERY};
use self::ports::Ports;
use self::post::Post;
pub(crate) use self::post::{Boxes, Inbox};
pub(crate) use self::publisher::advise;
use self::reason::Reason;
use crate::announce::Announce;
use crate::bell::Belfry;
use crate::config::Config;
use crate::error::Error;
use crate::level::{ChoiceRefused, Observed, Wish};
use crate::negotiate::{Receiving, Sending};
use crate::places::Place;
use crate::sdp::Candidate;
use crate::session::{Condition, PatchRefused, Patched, SessionId};
use crate::streams::Streams;
use crate::tcp::Arrived;
use crate::transport::{ConnectionId, Credentials, Fingerprint, Identity, PeerConfig, Role, Route};
use crate::udp::{Bound, Received};

const COMMANDS: usize = 256;
/// The most calls that receive datagrams before viewers get their turn again. Each call may bring dozens of datagrams.
const RECEIVES_IN_A_ROW: usize = 16;
/// The most parcels that are opened before that.
const PARCELS_IN_A_ROW: usize = 16;

/// A request to a shard, from signalling or from a task of the shard.
pub(crate) enum Command {
    Watch {
        opening: Opening,
        watching: Watching,
    },
    Publish {
        opening: Opening,
        publication: Publication,
        receiving: Vec<Receiving>,
    },
    Patch {
        id: SessionId,
        condition: Condition,
        fragment: String,
        reply: oneshot::Sender<Result<Patched, PatchRefused>>,
    },
    Close {
        id: SessionId,
        reply: oneshot::Sender<bool>,
    },
    /// This session ends, because another needs its place and it has not connected.
    GiveWay {
        id: SessionId,
    },
    /// This session ends, because its permit does.
    PermitEnded {
        id: SessionId,
    },
    /// A TCP connection has come for a session of this shard.
    Connect(Box<Arrived>),
    /// Viewers of this track go on with another, because they cannot take the first. If there is no other, this is the reason for
    /// which their sessions end.
    Replace {
        track: TrackId,
        demand: Result<Demand, Reason>,
    },
    /// A viewer asks for a level of its video, in the section of this `mid`.
    Choose {
        id: SessionId,
        mid: Option<String>,
        wish: Wish,
        reply: oneshot::Sender<Result<(), ChoiceRefused>>,
    },
    /// Signalling observes which level a viewer gets.
    Observe {
        id: SessionId,
        reply: oneshot::Sender<Result<Observed, ChoiceRefused>>,
    },
    /// The feed of a viewer has a track of this level for it, or has none.
    Level {
        id: SessionId,
        key: TrackKey,
        demand: Result<Demand, Unavailable>,
    },
    /// This feed now has a track that viewers wait for.
    Attach {
        feed: Arc<Feed>,
        demand: Demand,
    },
    Stop,
    /// The thread panics.
    #[cfg(test)]
    Panic,
}

/// The values that every new session begins with.
pub(crate) struct Opening {
    pub(crate) id: SessionId,
    pub(crate) place: Place,
    pub(crate) permit: Permit,
    pub(crate) local: Credentials,
    pub(crate) remote: Credentials,
    pub(crate) fingerprint: Fingerprint,
    /// The side of this server in the DTLS handshake.
    pub(crate) role: Role,
    /// The `mid` of the first accepted section. The answer to an ICE restart names it.
    pub(crate) mid: String,
    /// Gets true once the session can be found, and false if all its tracks have ended.
    pub(crate) ready: oneshot::Sender<bool>,
}

/// The values that a viewer's session begins with.
pub(crate) struct Watching {
    pub(crate) feed: Arc<Feed>,
    pub(crate) streams: Streams,
    pub(crate) sending: Vec<(Sending, Demand)>,
    /// The plans for kinds that the feed has no track of yet.
    pub(crate) awaited: Vec<Sending>,
    /// The `mid`, the key and the codec of its video, if the level of that can be chosen.
    pub(crate) leveled: Option<(String, TrackKey, Codec)>,
}

/// The addresses of the server, as answers state them, and the shard that checks to them have to name.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    announce: Arc<Announce>,
    shard: usize,
    port: u16,
}

impl Candidates {
    fn list(&self) -> Vec<Candidate> {
        self.announce.candidates(self.port)
    }

    /// Returns whether a datagram that comes by this route may begin anything.
    fn admits(&self, from: Route) -> bool {
        self.announce.admits(from.address().ip())
    }
}

/// A running shard, as signalling sees it.
#[derive(Debug)]
pub(crate) struct Shard {
    candidates: Candidates,
    commands: mpsc::Sender<Command>,
    pulse: Arc<Pulse>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Shard {
    /// Starts the thread on its socket, and waits until it can receive. `index` is the number of the queue in `boxes` that `inbox` reads.
    pub(crate) fn start(
        index: usize,
        (socket, boxes, inbox): (Bound, Boxes, Inbox),
        announce: &Arc<Announce>,
        config: &Config,
        (identity, lives): (Arc<Identity>, &Lives),
    ) -> Result<Self, Error> {
        let port = socket.local_addr()?.port();
        let (commands, queue) = mpsc::channel(COMMANDS);
        let peer_config = PeerConfig { consent: config.consent, ..PeerConfig::default() };
        let candidates = Candidates { announce: announce.clone(), shard: index, port };
        let setup = core::Setup {
            peer_config,
            identity,
            calendar: config.calendar.clone(),
            candidates: candidates.clone(),
            repair_hold: config.repair_hold,
        };
        let own = commands.downgrade();
        let (pulse, thread) = (Arc::new(Pulse::new()), Arc::default());
        let life = Life {
            name: format!("rtc-{index}"),
            socket,
            commands: queue,
            pulse: pulse.clone(),
            lives: lives.clone(),
            inbox,
            core: Box::new(move |belfry| Core::new(setup.clone(), belfry, own.clone())),
            post: Box::new(move || Post::new(index, boxes.clone(), Instant::now())),
            silence: config.consent,
            thread: Arc::clone(&thread),
            deaths: Deaths::default(),
        };
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        life.spawn(Box::new(move |outcome| drop(ready.send(outcome))))?; // The caller waits for it.
        let ended = |_| Err(Error::Thread(io::Error::other("the thread has ended")));
        started.recv().unwrap_or_else(ended)?;
        Ok(Self { candidates, commands, pulse, thread })
    }

    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        self.candidates.list()
    }

    /// Returns the time since the thread's last turn.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        self.pulse.silence(now)
    }

    /// Queues a command. An error means that the thread has ended.
    pub(crate) async fn send(&self, command: Command) -> Result<(), ()> {
        self.commands.send(command).await.map_err(|_| ())
    }

    /// Says goodbye to all peers and waits for the thread, up to `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        if self.send(Command::Stop).await.is_err() {
            return;
        }
        let Some(thread) = self.thread.lock().take() else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(limit, joined).await.is_err() {
            tracing::warn!(shard = self.candidates.shard, "a shard did not end in time");
        }
    }
}

async fn drive(
    (mut core, mut ports, mut post): (Core, Ports, Post),
    (commands, inbox): (&mut mpsc::Receiver<Command>, &mut Inbox),
    (tracks, connections): (&Belfry<TrackId>, &Belfry<ConnectionId>),
    pulse: &Pulse,
) -> Ended {
    let mut received = Received::new();
    let (mut rung_tracks, mut rung_connections) = (Vec::new(), Vec::new());
    let ended = loop {
        let now = Instant::now();
        pulse.beat(now);
        let turn = now + TURN_EVERY;
        let deadline = core.poll_timeout().map_or(turn, |deadline| deadline.min(turn));
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Stop) | None => break Ended::AsAsked,
                Some(Command::Connect(arrived)) => ports.connect(&mut core, *arrived, Instant::now()),
                Some(command) => core.handle_command(Instant::now(), command, &mut ports),
            },
            readable = ports.udp.readable() => {
                if let Err(error) = readable {
                    tracing::error!(%error, "a shard lost its socket");
                    break Ended::WithoutSocket;
                }
                receive(&mut core, &mut ports, &mut post, &mut received);
            }
            parcel = inbox.next() => {
                let parcels = parcel.into_iter().chain(std::iter::from_fn(|| inbox.try_next()));
                parcels.take(PARCELS_IN_A_ROW).for_each(|parcel| post.open(&mut core, parcel, Instant::now(), &mut ports));
            }
            () = tracks.rung() => {}
            () = connections.rung() => {}
            () = sleep_until(deadline.into()) => core.handle_timeout(Instant::now(), &mut ports),
        }
        tracks.take(&mut rung_tracks);
        for track in rung_tracks.drain(..) {
            core.handle_frames(Instant::now(), track, &mut ports);
        }
        connections.take(&mut rung_connections);
        for connection in rung_connections.drain(..) {
            ports.turn(&mut core, connection, Instant::now());
        }
        ports.tidy(&mut core, Instant::now());
        post.send(&mut core, Instant::now());
        core.count((ports.udp.counters(), ports.tcp.counters()));
    };
    core.close_all(Instant::now(), &mut ports);
    ports.tidy(&mut core, Instant::now());
    ended
}

fn receive(core: &mut Core, ports: &mut Ports, post: &mut Post, received: &mut Received) {
    for _ in 0..RECEIVES_IN_A_ROW {
        match ports.udp.try_receive(received) {
            Ok(true) => {
                let now = Instant::now();
                for (from, datagram) in received.datagrams() {
                    post.receive(core, from, datagram, now, ports);
                }
            }
            Ok(false) => return,
            // ICMP errors about sent datagrams appear here. They say nothing about the socket.
            Err(error) => tracing::debug!(%error, "receiving failed"),
        }
    }
}
