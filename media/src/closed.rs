//! Why the server ends what it has taken: connections of RTMP and HTTP, WebSockets, and answers of HTTP. One list for all protocols, and
//! the counter of it.
//!
//! Whoever drives a connection or an answer counts its end once. An end that the peer makes, or that is a break, is not counted here,
//! nor is that of an answer that was sent whole, unless it is a stream. A connection that is closed because there is no place for it is a
//! drop alone ([`crate::DropReason`]).

use metrics::counter;

use crate::denial::Asked;
use crate::ended::Ended;
use crate::metric;
use crate::permit::Ending;

metric::label_values! {
    /// Names why the server ended a connection or an answer: these are the values of the label `reason` of [`metric::CLOSED`].
    #[derive(PartialOrd, Ord, Hash)]
    Closed:
    /// What the connection was for has ended: the room, or the stream.
    Over => "over",
    /// The node stops.
    Stopping => "stopping",
    /// The peer sent nothing for too long.
    Silent => "silent",
    /// The peer did not ask for anything in time; its TLS handshake and the header of a proxy are part of that.
    SetupTimeout => "setup_timeout",
    /// The peer read too slowly.
    Slow => "slow",
    /// A message of the peer is too large.
    TooLarge => "too_large",
    /// What the peer sent is not of the protocol, be that TLS, or the header of a proxy.
    Malformed => "malformed",
    /// What the peer asked for was refused, or too many of its messages in a row were.
    Refused => "refused",
    /// Another publisher has the name now.
    TakenOver => "taken_over",
    /// A publisher sent more than `ingest.bitrate`.
    TooMuch => "too_much",
    /// The token has expired, and the grace (`auth.grace`) is over.
    TokenExpired => "token_expired",
    /// The place on mic is not the person's any more.
    PlaceLost => "place_lost",
    /// The person was sent out of the room.
    Removed => "removed",
    /// The person is banned from the room.
    Banned => "banned",
}

impl Closed {
    /// Counts a connection or an answer that the server ended.
    pub fn count(self, protocol: Asked) {
        counter!(metric::CLOSED, "protocol" => protocol.name(), "reason" => self.name()).increment(1);
    }
}

impl From<Ending> for Closed {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Expired => Self::TokenExpired,
            Ending::PlaceLost => Self::PlaceLost,
            Ending::Removed => Self::Removed,
            Ending::Banned => Self::Banned,
        }
    }
}

impl From<Ended> for Closed {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::TakenOver(_) => Self::TakenOver,
            Ended::TooMuch(_) => Self::TooMuch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_that_ends_has_one_name_in_all_metrics() {
        for ending in Ending::ALL {
            assert_eq!(Closed::from(*ending).name(), ending.name());
        }
    }
}
