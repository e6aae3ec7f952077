//! RTMP and RTMPS: publish and play (Adobe's RTMP 1.0 of 2012, Enhanced RTMP v2).
//!
//! ```text
//! socket ─ server ─ session ─┬─ handshake          (bytes, once)
//!   (tokio)          (pure)  ├─ chunk ─ message ─ amf
//!                            ├─ publisher: FLV tags → arrivals ─ Publication
//!                            └─ player: Demand ─ frames → FLV tags
//! ```
//!
//! Everything but `server` and the tasks below it is pure: bytes and `now` go in, bytes, events and deadlines come out.

pub mod amf;
pub mod capabilities;
pub mod chunk;
mod connection;
mod flow;
mod handshake;
pub mod limits;
pub mod message;
mod metadata;
mod player;
mod proxy;
pub mod publisher;
pub mod server;
pub mod session;
mod slices;
mod stage;
pub mod stream_key;
mod tally;

pub use limits::RtmpLimits;
pub use onmic_listen::TrustedProxies;
pub use server::{RtmpConfig, serve};
pub use session::{Event, Session};
pub use stream_key::Applications;
