//! Where a shard's datagrams go: the socket, or a list in tests.

use std::net::SocketAddr;

use crate::udp::{Batch, Socket};

/// Sends without waiting; what cannot be sent is dropped and counted by the implementation.
pub(super) trait Outbox {
    /// One datagram.
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);
    /// A run of them; the batch is empty afterwards.
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
