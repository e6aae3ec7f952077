//! The parts that all HTTP routes of onmic share: the server, the door before them, the date of answers, problem details,
//! tokens, CORS, entity tags, answers that take long to render, and the reading of small bodies.
//!
//! Knows nothing of WebRTC, rooms, playlists or the API's shapes.

pub mod base_path;
pub mod body;
pub mod client;
pub mod cors;
pub mod date;
pub mod door;
pub mod etag;
pub mod one_at_a_time;
pub mod problem;
pub mod serve;
pub mod token;

pub use base_path::BasePath;
pub use one_at_a_time::OneAtATime;
pub use problem::Problem;
pub use token::{Sender, token};
