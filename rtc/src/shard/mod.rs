//! A shard: one thread with one UDP socket and its sessions.
//!
//! The driver waits for four things: commands, datagrams, rung bells, and the next deadline. It hands each to the
//! [`Core`] and waits again. The core decides, and sends by plain calls. Nothing else touches a session.
//!
//! Commands are few, because they come from signalling. Up to [`COMMANDS`] are queued. A full queue makes signalling
//! wait, never media.

mod awaited;
mod bell;
mod core;
mod metric;
mod outbox;
mod publisher;
mod session;
#[cfg(test)]
mod tests;
mod track;
mod viewer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onmic_media::{Demand, Feed, Publication, TrackId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use self::bell::Belfry;
use self::core::Core;
use crate::announce::Announce;
use crate::config::Config;
use crate::error::Error;
use crate::negotiate::{Receiving, Sending};
use crate::session::{PatchRefused, Patched, SessionId};
use crate::streams::Streams;
use crate::transport::{Credentials, Fingerprint, Identity, PeerConfig, Role};
use crate::udp::{Received, Socket};

const COMMANDS: usize = 256;
/// The most calls that receive datagrams before viewers get their turn again. Each call may bring dozens of datagrams.
const RECEIVES_IN_A_ROW: usize = 16;

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
        expected: Option<String>,
        fragment: String,
        reply: oneshot::Sender<Result<Patched, PatchRefused>>,
    },
    Close {
        id: SessionId,
        reply: oneshot::Sender<bool>,
    },
    /// Viewers of this track go on with another, because they cannot take the first. `None` if there is no other.
    Replace {
        track: TrackId,
        demand: Option<Demand>,
    },
    /// This feed now has a track that viewers wait for.
    Attach {
        feed: Arc<Feed>,
        demand: Demand,
    },
    Stop,
}

/// The values that every new session begins with.
pub(crate) struct Opening {
    pub(crate) id: SessionId,
    pub(crate) slot: Slot,
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
}

/// A session's place in its shard. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The addresses of one shard, as answers state them.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    announce: Arc<Announce>,
    shard: usize,
    port: u16,
}

impl Candidates {
    fn list(&self) -> Vec<SocketAddr> {
        self.announce.candidates(self.shard, self.port)
    }

    /// Returns whether a datagram from this address may begin anything.
    fn admits(&self, from: SocketAddr) -> bool {
        self.announce.admits(from.ip())
    }
}

/// A running shard, as signalling sees it.
#[derive(Debug)]
pub(crate) struct Shard {
    address: SocketAddr,
    candidates: Candidates,
    commands: mpsc::Sender<Command>,
    load: Arc<AtomicUsize>,
    limit: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Shard {
    /// Opens the socket, starts the thread, and waits until it can receive.
    pub(crate) fn start(
        index: usize,
        address: SocketAddr,
        announce: &Arc<Announce>,
        config: &Config,
        identity: Arc<Identity>,
    ) -> Result<Self, Error> {
        let socket = Socket::open(address)?;
        let address = socket.local_addr()?;
        let (commands, queue) = mpsc::channel(COMMANDS);
        let peer_config = PeerConfig { consent: config.consent, ..PeerConfig::default() };
        let candidates = Candidates { announce: announce.clone(), shard: index, port: address.port() };
        let belfry = Arc::new(Belfry::default());
        let core = Core::new(
            core::Setup { peer_config, identity, calendar: config.calendar.clone(), candidates: candidates.clone() },
            belfry.clone(),
            commands.downgrade(),
        );
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        // The runtime is made and dropped on this thread alone, because the caller may be inside another runtime.
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(Error::Thread(error)))),
            };
            runtime.block_on(async {
                let socket = match socket.register() {
                    Ok(socket) => socket,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let _ = ready.send(Ok(())); // The caller waits for it.
                drive(core, socket, queue, belfry).await;
            });
        };
        let thread = std::thread::Builder::new().name(format!("rtc-{index}")).spawn(run).map_err(Error::Thread)?;
        let ended = |_| Err(Error::Thread(io::Error::other("the thread has ended")));
        started.recv().unwrap_or_else(ended)?;
        let load = Arc::default();
        let thread = Mutex::new(Some(thread));
        Ok(Self { address, candidates, commands, load, limit: config.sessions, thread })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn candidates(&self) -> Vec<SocketAddr> {
        self.candidates.list()
    }

    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Takes a place for one more session. `None` if the shard is full.
    pub(crate) fn reserve(&self) -> Option<Slot> {
        let slot = Slot(self.load.clone()); // Its drop takes back the 1 that the next line adds.
        (self.load.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(slot)
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
            tracing::warn!(address = %self.address, "a shard did not end in time");
        }
    }
}

async fn drive(mut core: Core, mut socket: Socket, mut commands: mpsc::Receiver<Command>, belfry: Arc<Belfry>) {
    let mut received = Received::new();
    let mut rung = Vec::new();
    loop {
        let deadline = core.poll_timeout();
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Stop) | None => break,
                Some(command) => core.handle_command(Instant::now(), command, &mut socket),
            },
            readable = socket.readable() => {
                if let Err(error) = readable {
                    tracing::error!(%error, "a shard lost its socket");
                    break;
                }
                receive(&mut core, &mut socket, &mut received);
            }
            () = belfry.rung() => {}
            () = until(deadline) => core.handle_timeout(Instant::now(), &mut socket),
        }
        belfry.take(&mut rung);
        for track in rung.drain(..) {
            core.handle_frames(Instant::now(), track, &mut socket);
        }
        core.count(&socket);
    }
    core.close_all(Instant::now(), &mut socket);
}

fn receive(core: &mut Core, socket: &mut Socket, received: &mut Received) {
    for _ in 0..RECEIVES_IN_A_ROW {
        match socket.try_receive(received) {
            Ok(true) => {
                let now = Instant::now();
                for (from, datagram) in received.datagrams() {
                    core.handle_datagram(now, from, datagram, socket);
                }
            }
            Ok(false) => return,
            // ICMP errors about sent datagrams appear here. They say nothing about the socket.
            Err(error) => tracing::debug!(%error, "receiving failed"),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
