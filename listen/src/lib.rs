//! What all TCP listeners share: how many connections one address and all addresses may have, which of them give way, and
//! what happens when the process has no file descriptor left.
//!
//! A connection is **idle** while nothing goes on for its peer: it has not asked for anything yet, or has got what it asked
//! for. An idle connection costs a descriptor and nothing else, and its peer may never say anything. So a connection has a
//! deadline for its first request that starts with the accept, and where a limit is reached, an idle connection gives its place
//! to a new one: the oldest that has never asked for anything, or else the one that has been idle for longest. A connection that
//! is busy never gives way.
//!
//! A peer that takes nothing of what there is for it ends its connection after [`WRITE_TIMEOUT`], whatever the protocol.
//!
//! This crate knows nothing of what is said on a connection.

use std::time::Duration;

pub mod descriptors;
pub mod handshake;
pub mod limiter;
mod listener;
pub mod served;
pub mod sparing;

pub use limiter::{Full, Limiter, Limits, Pass, TrustedProxies};
pub use served::Served;
pub use sparing::Sparing;

/// How long a peer may take nothing of what there is for it. A phone that changes its network is away for a few seconds.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
