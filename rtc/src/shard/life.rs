//! The life of a shard: its thread is replaced when it dies, on the same socket and with the same queues. Its TCP connections are
//! closed, and the other shards forget the addresses of its sessions.
//!
//! A thread dies by a panic, or because it lost its socket. Its sessions end, after a panic without a goodbye, and their
//! places are free. Their peers notice that no check is answered, and come again. A second death within a minute has a
//! cause that a new thread would meet too, so nobody replaces it then: [`Lives::failed`] tells, and the process ends for
//! its supervisor to start it again.
//!
//! A thread that is stuck cannot be replaced. It shows by the time since its last turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onmic_media::TrackId;
use onmic_media::life::{Deaths, Lives, count_death};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::core::Core;
use super::ports::Ports;
use super::post::{Inbox, Post};
use super::{Command, drive};
use crate::bell::Belfry;
use crate::error::Error;
use crate::tcp::Connections;
use crate::udp::Bound;

/// How often a thread with nothing to do takes a turn, so that it is seen to live.
pub(super) const TURN_EVERY: Duration = Duration::from_secs(1);

/// Is told once whether the thread can receive.
pub(super) type Ready = Box<dyn FnOnce(Result<(), Error>) + Send>;

fn fail_for(lives: &Lives, thread: String, error: &Error) {
    tracing::error!(thread, %error, "nobody takes the place of a thread of WebRTC that died");
    lives.fail(thread);
}

/// The time of a thread's last turn.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    /// In milliseconds since the start.
    turned: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), turned: AtomicU64::new(0) }
    }

    /// Notes a turn at `now`.
    pub(super) fn beat(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.start).as_millis();
        self.turned.store(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the time since the last turn.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        let turned = Duration::from_millis(self.turned.load(Ordering::Relaxed));
        now.saturating_duration_since(self.start).saturating_sub(turned)
    }
}

/// All that the next thread needs when one dies.
pub(super) struct Life {
    pub(super) name: String,
    pub(super) socket: Bound,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) inbox: Inbox,
    pub(super) pulse: Arc<Pulse>,
    pub(super) lives: Lives,
    /// Makes a core without sessions.
    pub(super) core: Box<dyn Fn(Arc<Belfry<TrackId>>) -> Core + Send>,
    /// Makes a post that knows of no sessions, and tells the other shards so.
    pub(super) post: Box<dyn Fn() -> Post + Send>,
    /// How long a TCP connection may be silent.
    pub(super) silence: Duration,
    /// The thread that runs now.
    pub(super) thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    pub(super) deaths: Deaths,
}

impl Life {
    /// Starts a thread. It tells `ready` when it can receive.
    pub(super) fn spawn(self, ready: Ready) -> Result<(), Error> {
        let (name, thread) = (self.name.clone(), self.thread.clone());
        let mut current = thread.lock(); // The new thread waits here before it could replace itself.
        let spawned = std::thread::Builder::new().name(name).spawn(move || self.run(ready));
        *current = Some(spawned.map_err(Error::Thread)?);
        Ok(())
    }

    fn run(mut self, ready: Ready) {
        if let Ok(Ended::AsAsked) = catch_unwind(AssertUnwindSafe(|| self.live(ready))) {
            return;
        }
        count_death(&self.name);
        let (name, lives) = (self.name.clone(), self.lives.clone());
        if !self.deaths.may_begin_again(Instant::now()) {
            return lives.fail(name);
        }
        tracing::error!(thread = name, "a thread of WebRTC died; its sessions are lost, and another takes its place");
        let (own_name, own_lives) = (name.clone(), lives.clone());
        let ready =
            move |outcome: Result<(), Error>| outcome.unwrap_or_else(|error| fail_for(&own_lives, own_name, &error));
        if let Err(error) = self.spawn(Box::new(ready)) {
            fail_for(&lives, name, &error);
        }
    }

    fn live(&mut self, ready: Ready) -> Ended {
        // The runtime is made and dropped on this thread alone, because the caller may be inside another runtime.
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Ended::before(ready, Error::Thread(error)),
        };
        runtime.block_on(async {
            let socket = match self.socket.register() {
                Ok(socket) => socket,
                Err(error) => return Ended::before(ready, error),
            };
            ready(Ok(()));
            let (tracks, connections) = (Arc::new(Belfry::default()), Arc::new(Belfry::default()));
            let ports = Ports::new(socket, Connections::new(connections.clone()), self.silence, Instant::now());
            let (core, post) = ((self.core)(tracks.clone()), (self.post)());
            let queues = (&mut self.commands, &mut self.inbox);
            drive((core, ports, post), queues, (&tracks, &connections), &self.pulse).await
        })
    }
}

/// Why a thread ended without a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to stop, or the one who started it was told that it cannot begin.
    AsAsked,
    /// It lost its socket.
    WithoutSocket,
}

impl Ended {
    fn before(ready: Ready, error: Error) -> Self {
        ready(Err(error));
        Self::AsAsked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_thread_shows_by_the_time_since_its_last_turn() {
        let pulse = Pulse::new();
        let now = pulse.start + Duration::from_secs(9);
        assert_eq!(pulse.silence(now), Duration::from_secs(9));
        pulse.beat(now);
        assert_eq!(pulse.silence(now + Duration::from_secs(2)), Duration::from_secs(2));
    }
}
