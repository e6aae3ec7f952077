//! onmic: a live streaming gateway. RTMP and WHIP in, WHEP, LL-HLS, HTTP-FLV and RTMP out.
//!
//! [`Node::start`] starts everything that runs in a process. `main.rs` and tests both use it. This crate wires
//! the parts, which other crates have.

pub mod health;
mod listen;
mod node;
mod pages;
mod reload;
mod settings;
pub mod telemetry;
mod tls;

pub use node::Node;
pub use onmic_config::{Config, command};
