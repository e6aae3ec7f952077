//! Why a session ended other than by plan. All of it is the peer's or the network's doing.

use std::io;
use std::time::Duration;

use rml_rtmp::handshake::HandshakeError;
use thiserror::Error;

use crate::rtmp::chunk::ChunkError;

/// Why a session ended other than by plan.
#[derive(Debug, Error)]
pub enum Error {
    /// The first 3073 bytes were not RTMP.
    #[error("the RTMP handshake failed")]
    Handshake(#[source] HandshakeError),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// A chunk header or control message is wrong, or above a limit.
    #[error("malformed chunks")]
    Chunk(#[from] ChunkError),
    /// This server refused the peer, with this sentence.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody published or played in time.
    #[error("no publish or play within {0:?}")]
    SetupTimeout(Duration),
    /// Nothing was heard for too long.
    #[error("nothing heard for {0:?}")]
    IdleTimeout(Duration),
    /// Nothing could be sent for too long.
    #[error("nothing could be sent for {0:?}")]
    WriteTimeout(Duration),
    /// Another publisher continues the stream.
    #[error(transparent)]
    TakenOver(#[from] onmic_media::publication::TakenOver),
    /// The socket failed.
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

impl Error {
    /// One word for logs and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Tls(_) => "tls",
            Self::Chunk(_) => "chunk",
            Self::Refused(_) => "refused",
            Self::SetupTimeout(_) => "setup_timeout",
            Self::IdleTimeout(_) => "idle_timeout",
            Self::WriteTimeout(_) => "write_timeout",
            Self::TakenOver(_) => "taken_over",
            Self::Io(_) => "io",
        }
    }
}
