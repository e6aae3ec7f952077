//! onmic: a live streaming gateway. RTMP and WHIP in, WHEP, LL-HLS, HTTP-FLV and RTMP out.
//!
//! [`Node::start`] starts everything that runs in a process; `main.rs` and tests both use it. Here are configuration and
//! wiring only; what the parts do is in their crates.

mod config;
pub mod health;
mod listen;
mod node;
mod pages;
mod settings;
pub mod telemetry;

pub use config::{Config, command};
pub use node::Node;
