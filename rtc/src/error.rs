//! The errors of setting up a part of this crate, one variant per operation.
//!
//! Input from outside never becomes an [`Error`]: a datagram is dropped with a
//! [`Dropped`](crate::transport::Dropped) reason, a session ends with a
//! [`CloseReason`](crate::transport::CloseReason), an offer is refused with an
//! [`OfferError`](crate::sdp::OfferError).

use std::io;
use std::net::SocketAddr;

/// An operation of this crate that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate of this process could not be made.
    #[error("cannot make the DTLS certificate: {0}")]
    Certificate(String),
    /// The DTLS handshake could not be configured with that certificate.
    #[error("cannot configure the DTLS handshake: {0}")]
    Handshake(String),
    /// The UDP socket of a shard could not be opened.
    #[error("cannot open UDP socket {address}")]
    Socket {
        /// The address that was asked for.
        address: SocketAddr,
        /// The error that the system returned.
        #[source]
        source: io::Error,
    },
    /// A host name that is to be announced does not resolve.
    #[error("cannot resolve the host name {name} of rtc.announce")]
    Name {
        /// The name.
        name: String,
        /// The error of the resolver.
        #[source]
        source: io::Error,
    },
    /// The thread of a shard could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The system refused an operation on an open socket.
    #[error("cannot use the UDP socket")]
    SocketIo(#[source] io::Error),
}
