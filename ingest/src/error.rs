//! The reasons why a session ended other than by plan. The peer or the network causes all of them.

use std::io;
use std::time::Duration;

use onmic_listen::handshake;
use onmic_media::Closed;
use rml_rtmp::handshake::HandshakeError;
use thiserror::Error;

use crate::rtmp::chunk::ChunkError;

/// States why a session ended other than by plan.
#[derive(Debug, Error)]
pub enum Error {
    /// The first 3073 bytes were not RTMP.
    #[error("the RTMP handshake failed")]
    Handshake(#[source] HandshakeError),
    /// What a proxy wrote in front of the connection is no header of the PROXY protocol.
    #[error("the header of the PROXY protocol is malformed")]
    Proxy(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// A chunk header or control message is wrong, or above a limit.
    #[error("malformed chunks")]
    Chunk(#[from] ChunkError),
    /// This server refused the peer, with this sentence.
    #[error("refused: {0}")]
    Refused(String),
    /// The peer did not publish or play in time.
    #[error("no publish or play within {0:?}")]
    SetupTimeout(Duration),
    /// The peer sent nothing for too long.
    #[error("nothing heard for {0:?}")]
    IdleTimeout(Duration),
    /// The peer took nothing for too long.
    #[error("nothing could be sent for {0:?}")]
    WriteTimeout(Duration),
    /// Another publisher continues the stream, or this one sends too much.
    #[error(transparent)]
    Ended(#[from] onmic_media::ended::Ended),
    /// The socket failed.
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

impl Error {
    /// Returns why the server closed the connection by it; `None` if the connection broke.
    pub fn closed(&self) -> Option<Closed> {
        Some(match self {
            Self::Chunk(ChunkError::MessageTooLarge { .. } | ChunkError::PartialTooLarge { .. }) => Closed::TooLarge,
            Self::Handshake(_) | Self::Chunk(_) => Closed::Malformed,
            Self::Proxy(error) if error.kind() == io::ErrorKind::InvalidData => Closed::Malformed,
            Self::Tls(error) => return handshake::closed(error),
            Self::Refused(_) => Closed::Refused,
            Self::SetupTimeout(_) => Closed::SetupTimeout,
            Self::IdleTimeout(_) => Closed::Silent,
            Self::WriteTimeout(_) => Closed::Slow,
            Self::Ended(ended) => (*ended).into(),
            Self::Proxy(_) | Self::Io(_) => return None,
        })
    }

    /// Returns one word for logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Proxy(_) => "proxy_header",
            Self::Tls(_) => "tls",
            Self::Chunk(_) => "chunk",
            Self::Refused(_) => "refused",
            Self::SetupTimeout(_) => "setup_timeout",
            Self::IdleTimeout(_) => "idle_timeout",
            Self::WriteTimeout(_) => "write_timeout",
            Self::Ended(ended) => ended.reason(),
            Self::Io(_) => "io",
        }
    }
}
