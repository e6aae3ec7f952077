//! The routes under which sessions are known: addresses of UDP, and connections of TCP.
//!
//! A connection is of use as long as a session is known under it. The core lists those of which that is over, for the driver to close.

use std::time::Instant;

use super::{Core, Outbox, Session};
use crate::transport::{ConnectionId, Route};

impl Core {
    /// Returns whether a session is known under this route, or claims it.
    pub(in super::super) fn knows(&self, route: Route) -> bool {
        self.by_address.contains_key(&route) || self.claims.contains_key(&route)
    }

    /// Returns whether media of a session goes by this route, or would if there were any.
    pub(in super::super) fn uses(&self, route: Route) -> bool {
        let session = self.by_address.get(&route).and_then(|key| self.sessions.get(*key));
        session.is_some_and(|session| session.peer.remote_addr() == Some(route))
    }

    /// Takes note that a connection is closed. The sessions that have used it look for another way to their peers, also those that another
    /// one has taken it from.
    pub(in super::super) fn handle_lost(&mut self, now: Instant, route: Route, out: &mut impl Outbox) {
        self.by_address.remove(&route);
        self.claims.remove(&route);
        let has_used = |(key, session): (usize, &Session)| session.addresses.contains(&route).then_some(key);
        let known: Vec<_> = self.sessions.iter().filter_map(has_used).collect();
        for key in known {
            let session = &mut self.sessions[key];
            session.addresses.retain(|address| *address != route);
            session.peer.lost(now, route);
            self.settle(now, key, out);
        }
    }

    /// Returns the connections that no session is known under any more.
    pub(in super::super) fn take_forgotten(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.forgotten)
    }

    /// Finds this session by an address from now on. If another session has proved that it is there and is heard, here or at
    /// another shard, this one has to prove it first: the source of its check may be forged, to cut the other one off.
    pub(super) fn claim(&mut self, now: Instant, from: Route, key: usize) {
        let owner = self.by_address.get(&from).copied();
        if owner == Some(key) {
            return;
        }
        let is_heard = owner.is_some_and(|owner| self.sessions[owner].is_heard_at(from, now));
        let is_kept = is_heard || self.is_contested;
        let session = &mut self.sessions[key];
        let forgotten = session.note_address(from);
        if is_kept && !session.peer.is_proven(from) {
            session.peer.ask(now, from);
            self.claims.insert(from, key);
        } else {
            self.claims.remove(&from);
            self.by_address.insert(from, key);
        }
        if let Some(forgotten) = forgotten {
            self.forget_address(forgotten, key);
        }
    }

    /// Finds this session no longer by an address.
    pub(super) fn forget_address(&mut self, address: Route, key: usize) {
        for map in [&mut self.by_address, &mut self.claims] {
            if map.get(&address) == Some(&key) {
                map.remove(&address);
            }
        }
        if !self.knows(address) {
            match address {
                Route::Udp(address) => self.left.push(address),
                Route::Tcp(_, connection) => self.forgotten.push(connection),
            }
        }
    }
}
