//! What every HTTP route of onmic shares: problem details, tokens, CORS, the bodies of signalling and the resource of an RTC session.
//!
//! Knows nothing of rooms, playlists or the API's shapes.

pub mod body;
pub mod cors;
pub mod problem;
pub mod session;
pub mod token;

pub use body::Offer;
pub use problem::Problem;
pub use token::token;
