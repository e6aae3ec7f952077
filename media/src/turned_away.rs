//! Why the server turned somebody away: each reason is declared here, and counted where it is decided.

use metrics::counter;

use crate::metric::{self, label_values};

label_values! {
    /// Names why somebody was turned away: these are the values of the label `reason` of [`metric::TURNED_AWAY`].
    TurnedAway:
    /// All places for WebRTC sessions are taken by sessions that have connected (503).
    RtcFull => "rtc_full",
    /// One token or address has as many WebRTC viewers as one may have (429).
    RtcShare => "rtc_share",
    /// A WebRTC session that had not connected gave way to another.
    RtcGaveWay => "rtc_gave_way",
    /// A publisher sent more than `ingest.bitrate`.
    Bitrate => "bitrate",
}

impl TurnedAway {
    /// Counts one who was turned away.
    pub fn count(self) {
        counter!(metric::TURNED_AWAY, "reason" => self.name()).increment(1);
    }
}
