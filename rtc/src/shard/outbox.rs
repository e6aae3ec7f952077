//! The way out for a shard's datagrams: its ports, or a list in tests.

use crate::transport::Route;
use crate::udp::Batch;

/// Sends without waiting. The implementation drops and counts a datagram that it cannot send.
pub(super) trait Outbox {
    /// Sends one datagram.
    fn send(&mut self, to: Route, datagram: &[u8]);
    /// Sends a batch as one run. The batch is empty afterwards.
    fn send_batch(&mut self, to: Route, batch: &mut Batch);
}
