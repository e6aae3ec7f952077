//! RTP: frames become packets for viewers, packets from publishers become frames, and both have RTCP.
//!
//! Everything here is pure: bytes and `now` go in, bytes and deadlines come out. Nothing here seals, opens a socket or
//! knows a peer.
//!
//! ```text
//! Frame ─→ Pace (audio) ─→ Outgoing (packetised once, kept) ─→ Sender (a viewer: header, repairs, reports) ─→ seal
//! open ─→ Incoming ─→ Stream (reorder, NACK) ─→ Depacketizer ─→ Release (evenly) ─→ Arrival
//! ```

pub mod choice;
pub mod fec;
pub mod feedback;
pub mod lateness;
pub mod ntp;
pub mod outgoing;
pub mod pace;
pub mod packet;
pub mod packetize;
pub mod receive;
pub mod recovery;
pub mod red;
pub mod reference;
pub mod report;
pub mod sender;
pub mod sequence;

pub use choice::{Choice, Pick, Wish};
pub use fec::Protection;
pub use feedback::{Feedback, Nack, ReceptionBlock, SenderInformation};
pub use lateness::Lateness;
pub use outgoing::{Outgoing, Packet, Packets};
pub use pace::Pace;
pub use packet::{ExtensionIds, LayerIds, Mid};
pub use packetize::{MAX_PAYLOAD, Packetizer};
pub use receive::{Incoming, IncomingConfig, StreamConfig};
pub use recovery::{Mix, Recovery};
pub use sender::{GuardConfig, HEADER_MAX, Repaired, Resend, Sender, SenderConfig, Start, Stores};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
