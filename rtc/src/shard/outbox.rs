//! The way out for a shard's datagrams: the socket, or a list in tests.

use std::net::SocketAddr;

use crate::udp::{Batch, Socket};

/// Sends without waiting. The implementation drops and counts a datagram that it cannot send.
pub(super) trait Outbox {
    /// Sends one datagram.
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);
    /// Sends a batch as one run. The batch is empty afterwards.
    fn send_batch(&mut self, to: SocketAddr, batch: &mut Batch);
}

impl Outbox for Socket {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        Socket::send(self, to, datagram);
    }

    fn send_batch(&mut self, to: SocketAddr, batch: &mut Batch) {
        Socket::send_batch(self, to, batch);
    }
}
