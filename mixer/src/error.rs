//! The errors of this crate. Each one names the operation that failed. FFmpeg's own error is its source.

use onmic_media::Codec;
use onmic_media::codec::Malformed;
use thiserror::Error;

use crate::codec::Cause;

/// Describes an operation that failed.
#[derive(Debug, Error)]
pub enum Error {
    /// This FFmpeg was built without the decoder.
    #[error("this FFmpeg has no decoder for {0}")]
    NoDecoder(Codec),
    /// This FFmpeg was built without the encoder.
    #[error("this FFmpeg has no encoder named {0}: install a build that has it, as Debian's has")]
    NoEncoder(&'static str),
    /// This FFmpeg does not know the name or the value of an option. FFmpeg itself would ignore it without an error.
    #[error("the codec does not accept the option {name}={value}")]
    Option {
        /// The name of the option.
        name: String,
        /// The value it should have.
        value: String,
        /// FFmpeg's error.
        #[source]
        cause: Cause,
    },
    /// A codec could not be opened.
    #[error("the {name} codec could not be opened")]
    Open {
        /// The name of the codec.
        name: &'static str,
        /// FFmpeg's error.
        #[source]
        cause: Cause,
    },
    /// The decoder could not decode its input.
    #[error("decoding failed")]
    Decode(#[source] Cause),
    /// A frame or block of samples could not be encoded.
    #[error("encoding failed")]
    Encode(#[source] Cause),
    /// Samples could not be converted.
    #[error("resampling failed")]
    Resample(#[source] Cause),
    /// A video frame could not be converted.
    #[error("converting the video frame failed")]
    Convert(#[source] Cause),
    /// The encoder's description of its own stream could not be parsed.
    #[error("the encoder's parameters are malformed")]
    Parameters(#[source] Malformed),
    /// The video is too small or too large to encode.
    #[error("video of {width}x{height} cannot be encoded")]
    PictureSize {
        /// The width in pixels.
        width: u32,
        /// The height in pixels.
        height: u32,
    },
    /// The size of the video is unknown: there is no keyframe yet, and the parameters do not state it.
    #[error("the size of the video is not known yet: try again after its first keyframe")]
    NoPictureYet,
    /// The ladder of this node has no such rung.
    #[error("this server makes no video of rendition {0}")]
    NoSuchRung(u8),
    /// A program cannot take this many items. The previous scene or mix goes on.
    #[error("a program has at most {most} {what}, not {count}")]
    TooMany {
        /// The kind of item.
        what: &'static str,
        /// How many items were requested.
        count: usize,
        /// The most items that a program may have.
        most: usize,
    },
    /// The operating system refused to start a thread.
    #[error("no thread could be started")]
    Thread(#[source] std::io::Error),
}

impl Error {
    pub(crate) fn unless_within(what: &'static str, count: usize, most: usize) -> Result<(), Self> {
        if count <= most { Ok(()) } else { Err(Self::TooMany { what, count, most }) }
    }

    /// Returns the error and its causes in one sentence, for callers that do not use the chain of sources.
    pub fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            sentence.push_str(": ");
            sentence.push_str(&error.to_string());
            cause = error.source();
        }
        sentence
    }
}
