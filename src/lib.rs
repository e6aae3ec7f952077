//! onmic: a live streaming gateway. RTMP and WHIP in, WHEP, LL-HLS, HTTP-FLV and RTMP out.
//!
//! [`Node::start`] starts everything that runs in a process. `main.rs` and tests both use it. This crate has the
//! configuration and the wiring, and other crates have the parts.

pub mod health;
mod listen;
mod log_rate;
pub mod logs;
mod node;
mod pages;
mod reload;
mod settings;
pub mod telemetry;
mod tls;

pub use logs::Logs;
pub use node::Node;
pub use onmic_config::{Config, command};
