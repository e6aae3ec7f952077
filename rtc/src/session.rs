//! A session as the signalling side sees it: its id, its answer, and the changes that a PATCH makes to it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Names a session in URLs. It has 120 random bits, because a client that knows it may change or end the session. The
/// other 8 bits are the shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// Makes a new id for a session of `shard`, which is below 256.
    pub fn random(shard: usize) -> Self {
        Self(rand::random::<u128>() << 8 | (shard & 0xff) as u128)
    }

    pub(crate) fn shard(self) -> usize {
        (self.0 & 0xff) as usize
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    /// Writes the first digits alone: the whole id is a secret, and many people read logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}…", self.0 >> 96)
    }
}

/// The text is not a session id.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a session id")]
pub struct InvalidSessionId;

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or(InvalidSessionId)
    }
}

/// The answer to a client's offer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The new session.
    pub session: SessionId,
    /// The SDP answer.
    pub sdp: String,
    /// The entity tag of the ICE session. It changes with each ICE restart (RFC 9725 §4.3.1).
    pub etag: String,
}

/// The outcome of a PATCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// The fragment was read and changes nothing: an ICE-lite server does not need the peer's candidates.
    Noted,
    /// ICE restarts with these credentials, as an SDP fragment (RFC 8840).
    Restarted {
        /// The server's new credentials and its candidates.
        fragment: String,
        /// The new entity tag.
        etag: String,
    },
}

/// Decides by the entity tag of an ICE session whether a PATCH is meant for it.
pub type Condition = Box<dyn FnOnce(&str) -> bool + Send>;

/// Why a PATCH was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PatchRefused {
    /// The session has ended, or never existed.
    #[error("there is no such session; it may have ended")]
    NoSession,
    /// The PATCH is meant for an older ICE session.
    #[error("If-Match or If-None-Match means another ICE session; the current one is {0}")]
    Outdated(String),
    /// The body is not a trickle fragment.
    #[error("the fragment cannot be read: {0}")]
    Malformed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_url_and_is_not_logged_whole() {
        let id = SessionId::random(3);
        assert_eq!(id.shard(), 3);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(format!("{id:?}").len() < 16);
        for text in ["", "+1234567812345678123456781234567", "zz"] {
            assert_eq!(text.parse::<SessionId>(), Err(InvalidSessionId));
        }
    }
}
