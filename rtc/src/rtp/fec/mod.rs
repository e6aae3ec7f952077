//! Forward error correction of video: FlexFEC of the third draft (draft-ietf-payload-flexible-fec-scheme-03), which
//! browsers call `flexfec-03`.
//!
//! A repair packet is the XOR of the packets of a group. A receiver that lacks one packet of the group makes it from the
//! others, without a round trip. Which packets are in a group depends on the number of packets of the frame and the
//! [`Protection`] alone ([`masks`]), so the XOR of the payloads is made once for all viewers ([`Parities`]). For each
//! viewer the XOR of the headers is added, which is some tens of bytes.
//!
//! All packets of a group are of one frame. So a lost packet is made again before the next frame comes, no viewer lacks a
//! part of a group because it skipped frames, and all headers of a group have one length, so that the payloads lie at the
//! same offset for each viewer. The price is that a frame of one packet has a repair packet of the same size at every
//! level: at 0.3 Mbit/s and 30 frames per second that doubles the rate.
//!
//! [`Decoder`] is the other direction. Nothing here reads a clock or knows a peer.

#[cfg(any(test, feature = "client"))]
mod decoder;
mod header;
pub mod masks;
mod parities;

#[cfg(any(test, feature = "client"))]
pub use decoder::{Decoder, DecoderCounters};
pub use parities::{Parities, Parity};

#[cfg(test)]
pub(super) mod tests;

/// The number of repair packets that a viewer gets with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// No repair packets.
    #[default]
    None,
    /// One repair packet for each 10 packets of a frame.
    Light,
    /// Three repair packets for each 10 packets.
    Medium,
    /// Six repair packets for each 10 packets.
    Strong,
}

impl Protection {
    /// Lists all levels that have repair packets.
    pub const ALL: [Self; 3] = [Self::Light, Self::Medium, Self::Strong];

    /// Returns the number of repair packets for a block of this many packets, rounded: at least one.
    pub fn parities(self, packets: usize) -> usize {
        match self {
            Self::None => 0,
            _ => ((packets * self.in_ten() + 5) / 10).max(1),
        }
    }

    /// Returns the number of repair packets over that of the packets of large frames.
    pub fn share(self) -> f32 {
        self.in_ten() as f32 / 10.0
    }

    fn in_ten(self) -> usize {
        match self {
            Self::None => 0,
            Self::Light => 1,
            Self::Medium => 3,
            Self::Strong => 6,
        }
    }

    /// Returns its place in [`Self::ALL`].
    pub(super) fn index(self) -> Option<usize> {
        (self as usize).checked_sub(1)
    }
}
