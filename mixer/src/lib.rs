//! Media turned into other media: the only crate with FFmpeg.
//!
//! Decoding ([`decode`]), encoding ([`encode`]) and what lies between ([`picture`]) each know nothing of the others. Here
//! they are put together to tracks derived on first demand ([`Transcoder`]). Knows no protocol and no room. All that is
//! unsafe is in one private file.
//!
//! ```text
//! input Track ── Reader ──▶ VideoLine | AudioLine ──▶ output Track      one thread
//!                           decode, form, encode
//! ```

mod audio;
mod cadence;
pub mod compose;
pub mod decode;
pub mod derive;
pub mod encode;
pub mod error;
mod ffi;
pub mod library;
mod metric;
pub mod picture;
mod rate;
pub mod scene;
pub mod sound;
mod tapped;
mod timeline;
pub mod video;

pub use derive::{Config, Transcoder};
pub use encode::{Backend, EncoderChoice, VideoSettings};
pub use error::Error;
pub use library::{check, versions};
pub use video::VideoPolicy;
