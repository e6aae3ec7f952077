//! The ports of a shard: its UDP socket, and the TCP connections that belong to it.

use std::time::{Duration, Instant};

use onmic_media::DropReason;

use super::core::Core;
use super::outbox::Outbox;
use crate::tcp::{Arrived, Connections, Read};
use crate::transport::framing::{self, HEADER};
use crate::transport::{ConnectionId, Route};
use crate::udp::{Batch, Socket};

/// How often silent and stuck connections are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Ports {
    pub(super) udp: Socket,
    pub(super) tcp: Connections,
    /// A connection ends that has been silent for this long.
    silence: Duration,
    look_at: Instant,
    /// What was read of a connection. Empty between calls, and kept for its capacity.
    read: Vec<u8>,
}

impl Outbox for Ports {
    fn send(&mut self, to: Route, datagram: &[u8]) {
        match to {
            Route::Udp(address) => self.udp.send(address, datagram),
            Route::Tcp(_, connection) => self.tcp.send(connection, datagram),
        }
    }

    fn send_batch(&mut self, to: Route, batch: &mut Batch) {
        match to {
            Route::Udp(address) => self.udp.send_batch(address, batch),
            Route::Tcp(_, connection) => self.tcp.send_batch(connection, batch),
        }
    }
}

impl Ports {
    pub(super) fn new(udp: Socket, tcp: Connections, silence: Duration, now: Instant) -> Self {
        Self { udp, tcp, silence, look_at: now + LOOK_EVERY, read: Vec::new() }
    }

    /// Takes a new connection, and hands the core the check that it began with. It is closed if that is not one of a session.
    pub(super) fn connect(&mut self, core: &mut Core, arrived: Arrived, now: Instant) {
        let Arrived { stream, from, mut check, pass } = arrived;
        let route = match self.tcp.add(stream, from, pass, now) {
            Ok(route) => route,
            Err(error) => return tracing::debug!(%from, %error, "a TCP connection cannot be taken over"),
        };
        core.handle_datagram(now, route, &mut check, self);
        if let (Some(id), false) = (route.connection(), core.knows(route)) {
            DropReason::RtcTcpNoSession.count(1);
            self.tcp.close(id);
        }
    }

    /// Writes to a connection and reads from it, what can be. Hands the core the datagrams that have come.
    pub(super) fn turn(&mut self, core: &mut Core, id: ConnectionId, now: Instant) {
        let Some(route) = self.tcp.route(id) else { return };
        let mut bytes = std::mem::take(&mut self.read);
        let read = self.tcp.turn(id, &mut bytes, now);
        let mut rest = &mut bytes[..];
        let is_readable = loop {
            match framing::first(rest) {
                Ok(Some(length)) => {
                    let (frame, after) = std::mem::take(&mut rest).split_at_mut(length);
                    rest = after;
                    if frame.len() > HEADER {
                        core.handle_datagram(now, route, &mut frame[HEADER..], self);
                    }
                }
                Ok(None) => break true,
                Err(error) => {
                    tracing::debug!(?route, %error, "a TCP connection cannot be read on");
                    DropReason::RtcTcpFrame.count(1);
                    break false;
                }
            }
        };
        if read == Read::GoesOn && is_readable {
            self.tcp.keep(id, rest);
        } else {
            self.lose(core, route, now);
        }
        self.read = bytes;
    }

    /// Closes the connections that no session has a use for, that have broken, or that have been silent or stuck for too long.
    pub(super) fn tidy(&mut self, core: &mut Core, now: Instant) {
        if self.look_at <= now {
            self.look_at = now + LOOK_EVERY;
            self.tcp.expire(self.silence, now);
            self.tcp.offer_unused(|route| core.uses(route));
        }
        // A session that loses a connection may send over another one, which breaks. Each breaks once.
        loop {
            core.take_forgotten().into_iter().for_each(|id| self.tcp.close(id));
            let broken = self.tcp.take_broken();
            if broken.is_empty() {
                return;
            }
            broken.into_iter().for_each(|route| self.lose(core, route, now));
        }
    }

    fn lose(&mut self, core: &mut Core, route: Route, now: Instant) {
        if let Some(id) = route.connection() {
            self.tcp.close(id);
            core.handle_lost(now, route, self);
        }
    }
}
