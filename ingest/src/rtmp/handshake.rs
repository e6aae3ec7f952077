//! The server's side of the handshake (spec 5.2), simple or with digests; the bytes are `rml_rtmp`'s.
//!
//! Invariant: never holds more than C0, C1 and C2. The bytes after them are left in the input.

use bytes::Bytes;
use rml_rtmp::handshake::{Handshake as Bytewise, HandshakeError, HandshakeProcessResult, PeerType};

/// The bytes of C0, C1 and C2.
const LENGTH: usize = 1 + 1536 + 1536;

/// Is a handshake under way.
pub(super) struct Handshake {
    inner: Bytewise,
    taken: usize,
}

impl Default for Handshake {
    fn default() -> Self {
        Self { inner: Bytewise::new(PeerType::Server), taken: 0 }
    }
}

impl Handshake {
    /// Takes bytes from the front of `input`. Returns the answer, and whether the handshake is done.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<(Bytes, bool), HandshakeError> {
        let (head, rest) = input.split_at(input.len().min(LENGTH - self.taken));
        self.taken += head.len();
        *input = rest;
        Ok(match self.inner.process_bytes(head)? {
            HandshakeProcessResult::InProgress { response_bytes } => (response_bytes.into(), false),
            HandshakeProcessResult::Completed { response_bytes, .. } => (response_bytes.into(), true),
        })
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("taken", &self.taken).finish_non_exhaustive()
    }
}
