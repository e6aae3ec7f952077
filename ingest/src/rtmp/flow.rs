//! The flow of bytes on one connection: acknowledgements, and the window that a peer sets (spec 5.4.3 to 5.4.5). The counts
//! wrap at 32 bits.

use super::limits::RtmpLimits;

/// The smallest acknowledgement window that is used. A peer that announces a smaller one gets an acknowledgement per
/// read, because more would be useless.
const WINDOW_MIN: u32 = 16 << 10;

/// Counts the bytes of both directions.
#[derive(Debug)]
pub(super) struct Flow {
    received: u32,
    acknowledged: u32,
    /// The number of bytes after which the peer wants an acknowledgement.
    peer_window: u32,
    queued: u32,
    heard_of: u32,
    /// The most bytes that may be unacknowledged, once the peer has set a bandwidth.
    send_window: Option<u32>,
    announced_window: u32,
}

impl Flow {
    pub(super) fn new(limits: &RtmpLimits) -> Self {
        Self {
            received: 0,
            acknowledged: 0,
            peer_window: limits.window_bytes,
            queued: 0,
            heard_of: 0,
            send_window: None,
            announced_window: limits.window_bytes,
        }
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.received = self.received.wrapping_add(bytes as u32);
    }

    pub(super) fn queued(&mut self, bytes: usize) {
        self.queued = self.queued.wrapping_add(bytes as u32);
    }

    /// Takes the number of bytes that the peer has acknowledged.
    pub(super) fn heard_of(&mut self, bytes: u32) {
        self.heard_of = bytes;
    }

    /// Takes the peer's Window Acknowledgement Size.
    pub(super) fn set_peer_window(&mut self, window: u32) {
        self.peer_window = window.max(WINDOW_MIN);
    }

    /// Returns whether more may be sent.
    pub(super) fn is_open(&self) -> bool {
        let unacknowledged = self.queued.wrapping_sub(self.heard_of);
        // Peers differ in whether the handshake counts: a peer that counts more than was sent has acknowledged
        // everything.
        self.send_window.is_none_or(|window| unacknowledged > i32::MAX as u32 || unacknowledged < window)
    }

    /// Returns the number of bytes to acknowledge now. It is due at half of the window, so that a peer that stops at the whole
    /// window never has to wait.
    pub(super) fn take_acknowledgement(&mut self) -> Option<u32> {
        if self.received.wrapping_sub(self.acknowledged) < self.peer_window / 2 {
            return None;
        }
        self.acknowledged = self.received;
        Some(self.received)
    }

    /// Applies a Set Peer Bandwidth: hard sets the window, soft only lowers it, dynamic is hard if the last one was. Returns
    /// the window to announce, if it is another one.
    pub(super) fn set_bandwidth(&mut self, &[a, b, c, d, limit_type]: &[u8; 5]) -> Option<u32> {
        const HARD: u8 = 0;
        const SOFT: u8 = 1;
        let window = u32::from_be_bytes([a, b, c, d]).max(WINDOW_MIN);
        match limit_type {
            HARD => self.send_window = Some(window),
            SOFT => self.send_window = Some(self.send_window.map_or(window, |old| old.min(window))),
            _ => {}
        }
        let is_news = std::mem::replace(&mut self.announced_window, window) != window;
        is_news.then_some(window)
    }
}
