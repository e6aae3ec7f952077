//! The errors of this crate. Only a stream that CMAF cannot carry fails.

use onmic_media::Codec;
use thiserror::Error;

/// States why frames could not be packaged.
#[derive(Debug, Error)]
pub enum PackagerError {
    /// Browsers cannot play this codec from HLS.
    #[error("{0} cannot be carried in CMAF; send H.264, H.265 or AV1 with AAC or Opus")]
    Codec(Codec),
    /// The configuration record or a box could not be written.
    #[error("a box could not be written")]
    Boxes(#[from] mp4_atom::Error),
    /// A fragment is larger than its size fields can state.
    #[error("a fragment of {0} bytes is too large")]
    TooLarge(usize),
}
