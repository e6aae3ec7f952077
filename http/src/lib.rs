//! The parts that all HTTP routes of onmic share: the server, the door before them, the date of answers, problem details,
//! tokens, origins of pages, CORS, who may keep an answer, entity tags, answers that take long to render, and the reading of
//! small bodies.
//!
//! Knows nothing of WebRTC, rooms, playlists or the API's shapes.

pub mod base_path;
pub mod body;
pub mod cache;
pub mod client;
mod connection;
pub mod cors;
mod cost;
pub mod date;
pub mod door;
pub mod etag;
pub mod one_at_a_time;
pub mod origin;
pub mod problem;
pub mod serve;
pub mod token;
mod toll;

pub use base_path::BasePath;
pub use cache::Keep;
pub use connection::Connection;
pub use one_at_a_time::OneAtATime;
pub use origin::Origins;
pub use problem::Problem;
pub use token::{SOCKET_PROTOCOL, Sender, offered, token};
