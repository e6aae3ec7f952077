//! Session descriptions: offers from outside become values, values become answers.
//!
//! Text is parsed and printed by `rtc-sdp`; nothing here edits SDP as a string. An [`Offer`] has
//! been checked against everything the transport needs, so an [`Answer`] to it cannot fail.
//! A [`Fragment`] is what trickle ICE and ICE restarts exchange (RFC 8840).

mod answer;
#[cfg(any(test, feature = "client"))]
pub mod client;
mod codec;
mod fragment;
mod offer;
#[cfg(test)]
mod tests;

pub use answer::{Accept, Answer, Source};
pub use codec::{Chosen, CodecCapability, CodecName, Flow};
pub use fragment::{Fragment, FragmentError, render_fragment};
pub use offer::{Direction, Extension, MediaKind, MediaSection, Offer, OfferError, OfferedCodec};

/// The most bytes of a description or fragment that are looked at.
pub const DESCRIPTION_BYTES: usize = 64 * 1024;

/// URIs of the RTP header extensions worth accepting.
pub mod extension {
    /// Names the m-line of a packet (RFC 8843 15).
    pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    /// Names the simulcast layer (RFC 8852).
    pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    /// Names the simulcast layer a repair belongs to (RFC 8852).
    pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
    /// Numbers packets across all streams, for feedback on each.
    pub const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    /// How long a receiver may buffer.
    pub const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    /// When a frame was captured, in NTP time.
    pub const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
    /// The loudness of a packet (RFC 6464).
    pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
}
