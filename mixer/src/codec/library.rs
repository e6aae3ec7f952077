//! The FFmpeg this process runs on: which it is, and whether it has what is needed.

use ffmpeg_next::{decoder, encoder};
use onmic_media::Codec;

use super::decode;
use super::ffi;
use crate::error::Error;

/// The encoders that are used, all of them in Debian's FFmpeg.
const ENCODERS: [&str; 3] = ["libx264", "libopus", "aac"];

const CODECS: [Codec; 7] = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Aac, Codec::Opus];

/// The FFmpeg in use: `FFmpeg 5.1.9 (libavutil 57.28.100, …)`.
pub fn versions() -> String {
    let number = |version: u32| format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff);
    let libraries = ffi::libraries().map(|(name, version)| format!("{name} {}", number(version)));
    format!("FFmpeg {} ({})", ffi::release(), libraries.join(", "))
}

/// Fails when this FFmpeg lacks an encoder or decoder that a track may need. To be asked once, at start.
pub fn check() -> Result<(), Error> {
    ffi::log_to_tracing();
    for name in ENCODERS {
        encoder::find_by_name(name).ok_or(Error::NoEncoder(name))?;
    }
    for codec in CODECS {
        let by_name = decode::preferred(codec).iter().any(|name| decoder::find_by_name(name).is_some());
        if !by_name && decoder::find(decode::id(codec)).is_none() {
            return Err(Error::NoDecoder(codec));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_every_codec() {
        check().unwrap();
        assert!(versions().starts_with("FFmpeg "), "{}", versions());
        assert!(versions().contains("libavcodec "), "{}", versions());
    }
}
