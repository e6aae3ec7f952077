//! The server side of WebRTC: answers to offers, ICE-lite, DTLS, SRTP, RTP, and the shards that run them.
//!
//! [`transport`], [`sdp`] and [`rtp`] are pure cores: bytes and `now` go in, bytes and deadlines come out. Signalling
//! talks to the handle [`Rtc`]. Behind it each shard is one thread with one UDP socket, and with the TCP connections of peers that have no
//! other way. Nothing here knows rooms or HTTP.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod announce;
mod bell;
mod capability;
pub mod config;
pub mod error;
mod forms;
pub mod level;
mod negotiate;
mod places;
pub mod rtp;
pub mod sdp;
pub mod server;
pub mod session;
mod shard;
mod streams;
mod tcp;
pub mod transport;
pub mod udp;

pub use announce::{Announced, TcpPort};
pub use config::Config;
pub use error::Error;
pub use places::NoPlace;
pub use server::{OfferRefused, PublishPlan, Reserved, Rtc, TcpSettings, serve_tcp};
