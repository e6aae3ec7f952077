//! What other shards of the port have to know of the sessions here, so that they hand over what comes to them.
//!
//! The core lists what has changed, for the driver to tell. It knows no other shard itself.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Core, Outbox};
use crate::transport::Route;

/// A change that others may have to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Change {
    /// No session is known at this address any more.
    Left(SocketAddr),
    /// A publisher sends from this SSRC.
    Speaks(u32),
    /// No publisher does any more.
    Silent(u32),
}

impl Core {
    /// Returns whether a session has proved that it is at the other end of this route.
    pub(in super::super) fn has_proved(&self, route: Route) -> bool {
        let session = self.by_address.get(&route).and_then(|key| self.sessions.get(*key));
        session.is_some_and(|session| session.peer.is_proven(route))
    }

    /// Returns whether a session has proved that it is at the other end of this route, and is still heard.
    pub(in super::super) fn is_heard_at(&self, route: Route, now: Instant) -> bool {
        let session = self.by_address.get(&route).and_then(|key| self.sessions.get(*key));
        session.is_some_and(|session| session.is_heard_at(route, now))
    }

    /// Takes a datagram from an address at which another shard has a session. A session here has to prove that it is there before it is known
    /// under it.
    pub(in super::super) fn handle_contested(
        &mut self,
        now: Instant,
        from: Route,
        datagram: &mut [u8],
        out: &mut impl Outbox,
    ) {
        self.is_contested = true;
        self.handle_datagram(now, from, datagram, out);
        self.is_contested = false;
    }

    /// Returns whether a publisher here sends from this SSRC.
    pub(in super::super) fn has_voice(&self, ssrc: u32) -> bool {
        self.speakers.has(ssrc)
    }

    /// Returns the SSRCs of all publishers here.
    pub(in super::super) fn voices(&self) -> impl Iterator<Item = u32> {
        self.speakers.ssrcs()
    }

    /// Returns what has changed since the last call.
    pub(in super::super) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.speakers.changes);
        changes.extend(self.left.drain(..).map(Change::Left));
        changes
    }
}
