//! One peer's transport: ICE-lite, DTLS 1.2 and SRTP on one route, without a socket or a clock.
//!
//! [`Peer`] joins the parts. A driver gives it the datagrams of its session and the time, sends the
//! datagrams that [`Peer::poll_transmit`] returns, and calls [`Peer::handle_timeout`] at
//! [`Peer::poll_timeout`]. The driver finds the session of a datagram by its [`Route`]. For a
//! new one, [`classify`] and [`stun_local_ufrag`] give it the user fragment of the session.

mod checks;
mod credentials;
mod datagram;
pub mod dtls;
pub mod framing;
pub mod ice;
pub mod open;
mod path;
pub mod peer;
mod route;
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

pub use checks::HEARD;
#[cfg(any(test, feature = "client"))]
pub use client::Client;
pub use credentials::Credentials;
pub use datagram::{DatagramKind, classify, named_shard, stated_ssrc, stun_local_ufrag};
pub use dtls::{Fingerprint, Identity, Role};
pub use open::{OpenError, Opener};
pub use peer::{CloseReason, Input, Peer, PeerConfig, State, Transmit};
pub use route::{ConnectionId, Route};
pub use seal::{SealError, Sealer};
pub use srtp::{Profile, RTCP_OVERHEAD, RTP_OVERHEAD};

/// Why a datagram was dropped. Each reason is counted, and none ends a session by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// The datagram is neither STUN, DTLS, RTP nor RTCP (RFC 7983).
    Unclassified,
    /// A STUN message does not parse, or has no fingerprint.
    StunMalformed,
    /// A STUN message is neither a binding request nor the answer to one of ours.
    StunNotRequest,
    /// The user name of a check is not of this session.
    StunUnknownUser,
    /// A check fails its integrity check.
    StunIntegrity,
    /// DTLS, RTP or RTCP came from an address that has not passed a connectivity check.
    AddressNotValidated,
    /// DTLS records do not parse, or exceed the caps.
    DtlsMalformed,
    /// A DTLS record is application data, or one more alert than is read.
    DtlsUnused,
    /// Media came before its keys existed.
    SrtpNotReady,
    /// A packet is too short for its own headers.
    SrtpMalformed,
    /// The authentication tag of a packet is wrong.
    SrtpAuthentication,
    /// A packet was received before, or is too old to tell.
    SrtpReplayed,
    /// A packet has one more SSRC than a session may have.
    SrtpTooManySsrcs,
    /// The session has ended.
    Closed,
}

impl Dropped {
    /// All reasons, so that their counters can be registered once.
    pub const ALL: [Self; 14] = [
        Self::Unclassified,
        Self::StunMalformed,
        Self::StunNotRequest,
        Self::StunUnknownUser,
        Self::StunIntegrity,
        Self::AddressNotValidated,
        Self::DtlsMalformed,
        Self::DtlsUnused,
        Self::SrtpNotReady,
        Self::SrtpMalformed,
        Self::SrtpAuthentication,
        Self::SrtpReplayed,
        Self::SrtpTooManySsrcs,
        Self::Closed,
    ];

    /// Returns the reason by which the datagram is counted.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Unclassified => DropReason::Unclassified,
            Self::StunMalformed => DropReason::StunMalformed,
            Self::StunNotRequest => DropReason::StunNotRequest,
            Self::StunUnknownUser => DropReason::StunUnknownUser,
            Self::StunIntegrity => DropReason::StunIntegrity,
            Self::AddressNotValidated => DropReason::AddressNotValidated,
            Self::DtlsMalformed => DropReason::DtlsMalformed,
            Self::DtlsUnused => DropReason::DtlsUnused,
            Self::SrtpNotReady => DropReason::SrtpNotReady,
            Self::SrtpMalformed => DropReason::SrtpMalformed,
            Self::SrtpAuthentication => DropReason::SrtpAuthentication,
            Self::SrtpReplayed => DropReason::SrtpReplayed,
            Self::SrtpTooManySsrcs => DropReason::SrtpTooManySsrcs,
            Self::Closed => DropReason::SessionClosed,
        }
    }
}
