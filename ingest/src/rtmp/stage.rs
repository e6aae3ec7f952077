//! How far a connection has come, and what it does on which of its message streams.

use super::handshake::Handshake;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Publish,
    Play,
}

impl Role {
    pub(super) const fn failed(self) -> &'static str {
        match self {
            Self::Publish => "NetStream.Publish.BadName",
            Self::Play => "NetStream.Play.Failed",
        }
    }
}

#[derive(Debug)]
pub(super) enum Stage {
    Handshake(Box<Handshake>),
    /// The handshake is done, and the peer has not connected.
    Greeted,
    Connected,
    /// The driver was asked to grant a publish or play.
    Asked(Role, u32),
    Active(Role, u32),
    Closed,
}

impl Stage {
    /// Returns the message stream that is published, or that the driver was asked to grant that for.
    pub(super) fn published(&self) -> Option<u32> {
        match self {
            Self::Asked(Role::Publish, stream) | Self::Active(Role::Publish, stream) => Some(*stream),
            _ => None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self, Self::Connected | Self::Asked(..) | Self::Active(..))
    }
}
