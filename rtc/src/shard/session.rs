//! One session of a shard: a peer, and its role as viewer or publisher.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::publisher::Publisher;
use super::reason::Reason;
use super::viewer::Viewer;
use super::{Command, Permit};
use crate::places::Place;
use crate::session::SessionId;
use crate::transport::{Credentials, HEARD, Peer, Route};

/// The most addresses that a session is known under. A peer's network changes now and then, and a hostile peer may
/// change its address at will.
const ADDRESSES: usize = 8;

/// A publisher that has said goodbye to all that it sends has left once its checks have been missing for this long. The
/// goodbye alone may be a pause, such as a muted track or late packets around `replaceTrack`. Checks come every 5 s
/// (RFC 7675 5.1), at most 6 s with their jitter.
const GOODBYE: Duration = Duration::from_secs(10);

/// A session: its peer, its role, and the keys that the shard finds it by.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) peer: Peer,
    pub(super) role: Role,
    /// The peer's credentials. A fragment with other credentials asks for an ICE restart.
    pub(super) remote: Credentials,
    /// The entity tag, which changes with each ICE restart.
    pub(super) etag: String,
    pub(super) mid: String,
    pub(super) addresses: Vec<Route>,
    /// The SSRCs that a publisher's session is registered under.
    pub(super) ssrcs: Vec<u32>,
    /// The user fragments that the session is registered under.
    pub(super) ufrags: Vec<String>,
    /// The deadline that the session is registered with.
    pub(super) deadline: Option<Instant>,
    pub(super) opened: Instant,
    pub(super) connected: Option<Instant>,
    pub(super) place: Place,
    /// The right to be open.
    pub(super) permit: Permit,
}

/// Tells the shard that the permit of a session is ended.
struct PermitBell {
    id: SessionId,
    commands: mpsc::WeakSender<Command>,
}

impl Wake for PermitBell {
    fn wake(self: Arc<Self>) {
        // Where the queue is full, the next check of the peer finds it out.
        let Some(commands) = self.commands.upgrade() else { return };
        if commands.try_send(Command::PermitEnded { id: self.id }).is_err() {
            tracing::debug!(session = ?self.id, "a shard with a full queue finds the end of a permit by itself");
        }
    }
}

/// The role of a session.
pub(super) enum Role {
    Viewer(Viewer),
    Publisher(Box<Publisher>),
}

impl Session {
    /// Has the shard told when the permit ends.
    pub(super) fn watch_permit(&self, commands: mpsc::WeakSender<Command>) {
        let bell = Arc::new(PermitBell { id: self.id, commands });
        let waker = Waker::from(bell);
        if self.permit.poll_ended(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
    }

    /// Notes a new address of the peer. If there are too many, returns the one that the session is no longer known
    /// under.
    pub(super) fn note_address(&mut self, address: Route) -> Option<Route> {
        note(&mut self.addresses, address, self.peer.remote_addr())
    }

    /// Returns whether the peer has proved that it is at this address, and is still heard.
    pub(super) fn is_heard_at(&self, address: Route, now: Instant) -> bool {
        self.peer.is_proven(address) && now.saturating_duration_since(self.peer.last_checked()) < HEARD
    }

    /// Returns the time at which a publisher that said goodbye counts as gone, unless something of it is heard before.
    pub(super) fn leaves_at(&self) -> Option<Instant> {
        let Role::Publisher(publisher) = &self.role else { return None };
        Some(publisher.goodbye()?.max(self.peer.last_checked()) + GOODBYE)
    }

    /// Logs the end of the session in one line.
    pub(super) fn log_end(&self, reason: Reason, now: Instant) {
        let reason = reason.name();
        let seconds = self.connected.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        let connect_ms = self.connected.map(|at| at.saturating_duration_since(self.opened).as_millis());
        let peer = self.peer.remote_addr();
        match &self.role {
            Role::Viewer(viewer) => {
                let (mut packets, mut skipped, mut started_again) = (0_u64, 0_u64, 0_u32);
                let (mut asked, mut asked_again, mut repaired, mut copies) = (0, 0, 0, 0);
                for own in &viewer.tracks {
                    let counters = own.sender.counters();
                    packets += u64::from(own.sender.sent().0);
                    skipped += u64::from(counters.skipped_frames);
                    let repairs = own.sender.repair_counters();
                    asked += repairs.asked;
                    asked_again += repairs.asked_again;
                    repaired += repairs.repaired;
                    copies += repairs.copies;
                    started_again += u32::from(counters.started_again);
                }
                let rtt_ms = viewer.tracks.iter().find_map(|own| own.sender.round_trip()).map(|rtt| rtt.as_millis());
                let (loss_percent, hold_ms) = ((viewer.loss() * 100.0).round(), viewer.hold().as_millis());
                tracing::info!(
                    kind = "whep", session = ?self.id, reason, ?peer, connect_ms, seconds, packets, skipped, asked, asked_again,
                    repaired, copies, started_again, rtt_ms, loss_percent, hold_ms, never_came = viewer.awaited.len(),
                    "session closed"
                );
            }
            Role::Publisher(publisher) => {
                let (counters, (held, rtt)) = (publisher.counters(), publisher.timing());
                let (held_ms, rtt_ms) = (held.as_millis(), rtt.as_millis());
                tracing::info!(
                    kind = "whip", session = ?self.id, source = publisher.name(), reason, ?peer, connect_ms, seconds,
                    frames = counters.frames, lost = counters.lost, repaired = counters.repaired,
                    asked = counters.nacked, keyframes_asked = counters.picture_losses, rtt_ms, held_ms,
                    "session closed"
                );
            }
        }
    }
}

/// Adds an address, and removes the oldest if there are too many. The address that media goes to stays, because the
/// peer's reports come from there.
fn note(addresses: &mut Vec<Route>, address: Route, media: Option<Route>) -> Option<Route> {
    addresses.retain(|known| *known != address);
    addresses.push(address);
    let oldest = usize::from(addresses.first().copied() == media);
    (addresses.len() > ADDRESSES).then(|| addresses.remove(oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_media_goes_to_is_kept_when_newer_ones_push_out_the_oldest() {
        let address = |port| Route::Udp(([192, 0, 2, 1], port).into());
        let mut addresses = Vec::new();
        let forgotten: Vec<_> =
            (1..=10).filter_map(|port| note(&mut addresses, address(port), Some(address(1)))).collect();
        assert_eq!(forgotten, [address(2), address(3)]);
        assert!(addresses.contains(&address(1)) && addresses.len() == ADDRESSES);
    }
}
