//! The server side of WebRTC: answers to offers, ICE-lite, DTLS, SRTP and the socket of a shard.
//!
//! Everything under [`transport`] and [`sdp`] is a pure core: bytes and `now` go in, bytes and
//! deadlines come out. Only [`udp`] touches a socket. Nothing here knows rooms or HTTP.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod error;
pub mod sdp;
pub mod transport;
pub mod udp;

pub use error::Error;
