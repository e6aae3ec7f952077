//! Packages frames as CMAF parts, segments and playlists (ISO/IEC 23000-19, draft-pantos-hls-rfc8216bis).
//!
//! The crate is pure: it returns values, never sleeps, reads no clock, and knows nothing of HTTP or sockets. Payloads
//! are chained, never copied. Everything that a viewer can fetch is immutable once it is returned.
//!
//! ```text
//! Segmenter ─┬─ Rendition (video)  ── Segment … ── Part …      playlist::render → video.m3u8
//!            ├─ Rendition (video1) ── Segment … ── Part …      playlist::render → video1.m3u8
//!            └─ Rendition (audio)  ── Segment … ── Part …      multivariant::render → index.m3u8
//! ```

pub mod chain;
mod dates;
mod division;
mod error;
mod fragment;
mod init;
pub mod multivariant;
pub mod names;
mod pace;
pub mod playlist;
pub mod query;
pub mod rendition;
pub mod segment;
mod segmenter;
mod settings;
mod silence;
mod window;

pub use chain::Chain;
pub use error::PackagerError;
pub use fragment::ORIGIN_SECONDS;
pub use rendition::{Edge, Rendition};
pub use segment::{Init, Part, Segment};
pub use segmenter::{Ignored, Segmenter};
pub use settings::Settings;
