//! One peer's transport: ICE-lite, DTLS 1.2 and SRTP on one address, without a socket or a clock.
//!
//! [`Peer`] joins the parts. A driver feeds it the datagrams of its session and the time, sends
//! what [`Peer::poll_transmit`] gives, and calls [`Peer::handle_timeout`] at
//! [`Peer::poll_timeout`]. [`classify`] and [`stun_local_ufrag`] let the driver find the session
//! of a datagram first: by source address, or for a new address by the fragment of its user name.

pub mod dtls;
pub mod ice;
pub mod open;
pub mod peer;
pub mod seal;
pub mod srtp;

#[cfg(any(test, feature = "client"))]
pub mod client;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod lockstep;
mod record;

use onmic_media::DropReason;

#[cfg(any(test, feature = "client"))]
pub use client::Client;
pub use dtls::{Fingerprint, Identity};
pub use ice::{Credentials, DatagramKind, classify, stun_local_ufrag};
pub use open::{OpenError, Opener};
pub use peer::{CloseReason, Input, Peer, PeerConfig, State, Transmit};
pub use seal::{SealError, Sealer};
pub use srtp::{Profile, RTCP_OVERHEAD, RTP_OVERHEAD};

/// Why a datagram went no further. Each is counted; none ends a session by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// Neither STUN, DTLS, RTP nor RTCP (RFC 7983).
    Unclassified,
    /// STUN that does not parse, or without a fingerprint.
    StunMalformed,
    /// STUN, but not a binding request: a server that is ICE-lite asks nothing.
    StunNotRequest,
    /// The user name is not of this session.
    StunUnknownUser,
    /// The integrity check failed.
    StunIntegrity,
    /// DTLS, RTP or RTCP from an address that has not passed a connectivity check.
    AddressNotValidated,
    /// DTLS records that do not parse or exceed the caps.
    DtlsMalformed,
    /// Media before the keys exist.
    SrtpNotReady,
    /// A packet too short for its own headers.
    SrtpMalformed,
    /// The authentication tag is wrong.
    SrtpAuthentication,
    /// Received before, or too old to tell.
    SrtpReplayed,
    /// One more SSRC than a session may have.
    SrtpTooManySsrcs,
    /// The session has ended.
    Closed,
}

impl Dropped {
    /// Every reason, so that counters can be registered once.
    pub const ALL: [Self; 13] = [
        Self::Unclassified,
        Self::StunMalformed,
        Self::StunNotRequest,
        Self::StunUnknownUser,
        Self::StunIntegrity,
        Self::AddressNotValidated,
        Self::DtlsMalformed,
        Self::SrtpNotReady,
        Self::SrtpMalformed,
        Self::SrtpAuthentication,
        Self::SrtpReplayed,
        Self::SrtpTooManySsrcs,
        Self::Closed,
    ];

    /// The reason that it is counted by.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Unclassified => DropReason::Unclassified,
            Self::StunMalformed => DropReason::StunMalformed,
            Self::StunNotRequest => DropReason::StunNotRequest,
            Self::StunUnknownUser => DropReason::StunUnknownUser,
            Self::StunIntegrity => DropReason::StunIntegrity,
            Self::AddressNotValidated => DropReason::AddressNotValidated,
            Self::DtlsMalformed => DropReason::DtlsMalformed,
            Self::SrtpNotReady => DropReason::SrtpNotReady,
            Self::SrtpMalformed => DropReason::SrtpMalformed,
            Self::SrtpAuthentication => DropReason::SrtpAuthentication,
            Self::SrtpReplayed => DropReason::SrtpReplayed,
            Self::SrtpTooManySsrcs => DropReason::SrtpTooManySsrcs,
            Self::Closed => DropReason::SessionClosed,
        }
    }
}
