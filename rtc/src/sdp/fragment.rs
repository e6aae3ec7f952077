//! Trickle fragments, `application/trickle-ice-sdpfrag` (RFC 8840 9): the bodies of PATCH requests.
//!
//! The peer's candidates are counted and not used: an ICE-lite server learns addresses from checks.
//! Only new credentials matter, which ask for an ICE restart.

use std::fmt::Write;

use super::DESCRIPTION_BYTES;
use super::candidate::{Candidate, candidate_attributes};
use super::offer::credentials;
use crate::transport::Credentials;

/// Why a fragment cannot be used. The text says what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The fragment is larger than [`DESCRIPTION_BYTES`].
    #[error("The fragment is larger than 64 kB; send fewer candidates.")]
    TooLarge,
    /// A line is not of the form `x=…`.
    #[error("Line {0} of the fragment is not an SDP line; send application/trickle-ice-sdpfrag.")]
    NotSdp(usize),
    /// The fragment has only one of user fragment and password, or one of them is not valid.
    #[error("The fragment has no valid pair of a=ice-ufrag and a=ice-pwd; send both or neither.")]
    Credentials,
}

/// A parsed fragment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// The peer's credentials. If they differ from those in use, they ask for a restart.
    pub ice: Option<Credentials>,
    /// The number of candidates in the fragment.
    pub candidates: usize,
    /// Whether the peer has said that no more candidates will come.
    pub end_of_candidates: bool,
}

impl Fragment {
    /// Parses a fragment.
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        if text.len() > DESCRIPTION_BYTES {
            return Err(FragmentError::TooLarge);
        }
        let mut fragment = Self::default();
        let (mut ufrag, mut pwd) = (None, None);
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            let (kind, rest) = line.split_once('=').ok_or(FragmentError::NotSdp(at + 1))?;
            if kind.len() != 1 {
                return Err(FragmentError::NotSdp(at + 1));
            }
            let (key, value) = rest.split_once(':').unwrap_or((rest, ""));
            match (kind, key) {
                ("a", "ice-ufrag") => ufrag = ufrag.or(Some(value)),
                ("a", "ice-pwd") => pwd = pwd.or(Some(value)),
                ("a", "end-of-candidates") => fragment.end_of_candidates = true,
                ("a", "candidate") => fragment.candidates += 1,
                _ => {}
            }
        }
        fragment.ice = match (ufrag, pwd) {
            (None, None) => None,
            (Some(ufrag), Some(pwd)) => Some(credentials(ufrag, pwd).ok_or(FragmentError::Credentials)?),
            _ => return Err(FragmentError::Credentials),
        };
        Ok(fragment)
    }

    /// Returns whether the fragment asks for an ICE restart of a peer that uses `current`.
    pub fn restarts(&self, current: &Credentials) -> bool {
        self.ice.as_ref().is_some_and(|ice| ice != current)
    }
}

/// Renders the answer to an ICE restart (RFC 9725 4.3.3): the server's new credentials and
/// candidates. `mid` is the name of the first accepted section.
pub fn render_fragment(ice: &Credentials, mid: &str, candidates: &[Candidate]) -> String {
    let mut text = format!("a=ice-lite\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag, ice.pwd);
    text.push_str("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n");
    // Writing to a string does not fail.
    let _ = write!(text, "a=mid:{mid}\r\n");
    for attribute in candidate_attributes(candidates) {
        let _ = write!(text, "a={attribute}\r\n");
    }
    text
}
