//! Session descriptions: offers from outside become values, and values become answers.
//!
//! `rtc-sdp` parses and prints the text. Nothing here edits SDP as a string. An [`Offer`] has been
//! checked against everything the transport needs, so an [`Answer`] to it cannot fail. Trickle ICE
//! and ICE restarts exchange a [`Fragment`] (RFC 8840).

mod answer;
mod attribute;
mod candidate;
#[cfg(any(test, feature = "client"))]
pub mod client;
mod codec;
mod fragment;
mod offer;
#[cfg(test)]
mod tests;

pub use answer::{Accept, Answer, Source};
pub use candidate::Candidate;
pub use codec::{Chosen, CodecCapability, CodecName, Flow};
pub use fragment::{Fragment, FragmentError, render_fragment};
pub use offer::{Direction, Extension, MediaKind, MediaSection, Offer, OfferError, OfferedCodec};

/// The most bytes of a description or fragment that is parsed.
pub const DESCRIPTION_BYTES: usize = 64 * 1024;

/// The URIs of the RTP header extensions that this server knows.
pub mod extension {
    /// Names the m-line of a packet (RFC 8843 15).
    pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    /// Names the simulcast layer (RFC 8852).
    pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    /// Names the simulcast layer that a repair belongs to (RFC 8852).
    pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
    /// Numbers packets across all streams, so that feedback can name each packet.
    pub const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    /// Tells a receiver how long it may buffer.
    pub const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    /// Gives the time when a frame was captured, in NTP time.
    pub const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
    /// Gives the audio level of a packet (RFC 6464).
    pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
}
