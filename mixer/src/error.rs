//! What can fail between coded and uncoded media. Each says which operation; FFmpeg's own words are the source.

use onmic_media::Codec;
use onmic_media::codec::Malformed;
use thiserror::Error;

use crate::codec::Cause;

/// An operation on media that failed.
#[derive(Debug, Error)]
pub enum Error {
    /// This FFmpeg was built without it.
    #[error("this FFmpeg has no decoder for {0}")]
    NoDecoder(Codec),
    /// This FFmpeg was built without it.
    #[error("this FFmpeg has no encoder named {0}: install a build that has it, as Debian's has")]
    NoEncoder(&'static str),
    /// A name or a value that this FFmpeg does not know. FFmpeg alone would ignore it in silence.
    #[error("the codec option {name}={value} was not taken")]
    Option {
        /// The name of the option.
        name: String,
        /// The value it should have.
        value: String,
        /// What FFmpeg says.
        #[source]
        cause: Cause,
    },
    /// Opening a codec.
    #[error("the {name} codec could not be opened")]
    Open {
        /// The name of the codec.
        name: &'static str,
        /// What FFmpeg says.
        #[source]
        cause: Cause,
    },
    /// What the decoder was given is not what it can read.
    #[error("decoding failed")]
    Decode(#[source] Cause),
    /// Encoding one picture or block of samples.
    #[error("encoding failed")]
    Encode(#[source] Cause),
    /// Converting samples.
    #[error("resampling failed")]
    Resample(#[source] Cause),
    /// Converting a picture.
    #[error("converting the picture failed")]
    Convert(#[source] Cause),
    /// The encoder described its own stream in a way that cannot be read.
    #[error("the encoder's parameters are malformed")]
    Parameters(#[source] Malformed),
    /// A picture that is not worth, or not possible, to encode.
    #[error("a picture of {width}x{height} cannot be encoded")]
    PictureSize {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// There is neither a keyframe nor a declaration to learn the picture's size from.
    #[error("the size of the picture is not known yet: try again after its first keyframe")]
    NoPictureYet,
    /// More than a program has room for. What was shown and heard before goes on.
    #[error("a program has at most {most} {what}, not {count}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many were wished for.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// The operating system refused a thread.
    #[error("no thread could be started")]
    Thread(#[source] std::io::Error),
}

impl Error {
    pub(crate) fn unless_within(what: &'static str, count: usize, most: usize) -> Result<(), Self> {
        if count <= most { Ok(()) } else { Err(Self::TooMany { what, count, most }) }
    }

    /// The error and its causes in one sentence, for whoever has no use for the chain.
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
