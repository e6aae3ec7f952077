//! Tells which FFmpeg this process uses, and whether it has the codecs that are needed.

use ffmpeg_next::encoder;
use onmic_media::Codec;

use super::decode;
use super::ffi;
use crate::error::Error;

/// The encoders that are needed. Debian's FFmpeg has all of them.
const ENCODERS: [&str; 4] = ["libx264", "libvpx", "libopus", "aac"];

const CODECS: [Codec; 7] = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Aac, Codec::Opus];

/// Returns the version of the FFmpeg in use, such as `FFmpeg 5.1.9 (libavutil 57.28.100, …)`.
pub fn versions() -> String {
    let number = |version: u32| format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff);
    let libraries = ffi::libraries().map(|(name, version)| format!("{name} {}", number(version)));
    format!("FFmpeg {} ({})", ffi::release(), libraries.join(", "))
}

/// Fails if this FFmpeg lacks an encoder or decoder that a track may need. Call it once, at start.
pub fn check() -> Result<(), Error> {
    ffi::log_to_tracing();
    for name in ENCODERS {
        encoder::find_by_name(name).ok_or(Error::NoEncoder(name))?;
    }
    for codec in CODECS {
        decode::find(codec)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_ffmpeg_has_every_codec() {
        check().unwrap();
        assert!(versions().starts_with("FFmpeg "), "{}", versions());
        assert!(versions().contains("libavcodec "), "{}", versions());
    }
}
