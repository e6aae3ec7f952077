//! Denials: what peers asked for and did not get, because the node protects itself or somebody else by it.
//!
//! Every protocol counts them where it answers: HTTP at the door (`http/src/door.rs`), the WebSocket of a room with each
//! answer to a command, RTMP where it refuses to publish or to play (`Link::refuse` in `ingest/src/rtmp/connection.rs`). So
//! whoever decides says what is denied, or nothing, and does not count. The status of HTTP says which answers are denials ([`Denial::of_status`]). That there is no such room (404), or
//! that a body makes no sense (400, 422), protects nobody and is not counted. A connection that is closed before it has asked
//! for anything is a drop ([`crate::DropReason`]).

use metrics::counter;

use crate::feed::Unavailable;
use crate::gate::Refusal;
use crate::hub::PublishRefused;
use crate::metric;
use crate::share::NoShare;

metric::label_values! {
    /// Names why a peer does not get what it asked for: these are the values of the label `reason` of [`metric::DENIED`].
    #[derive(PartialOrd, Ord, Hash)]
    Denial:
    /// A page of another site asked for what only this server's own pages and those of `http.origins` may do (403).
    ForeignPage => "foreign_page",
    /// A server without a secret was asked under a name that is not of loopback (403).
    ForeignHost => "foreign_host",
    /// There was no token, and the server asks for one (401).
    TokenMissing => "token_missing",
    /// The token is forged, expired or not a token (401).
    TokenInvalid => "token_invalid",
    /// The token is good, and does not allow this; or the person may not do it in this room (403).
    NotAllowed => "not_allowed",
    /// The person, or whoever answers for them, is banned from the room (403).
    Banned => "banned",
    /// Somebody else has the name or the place, or the room is in a state in which this cannot be done (409).
    Conflict => "conflict",
    /// The token, the address or the person asks faster than one may (429).
    TooFast => "too_fast",
    /// The token, the address or the person has as many of these as one may have (429).
    Share => "share",
    /// The node or the room has as many of these as it may have, or the node converts or keeps as much video as it may (429 or 503).
    Full => "full",
    /// The node is about to stop, or what was asked for did not come in time (503).
    Unavailable => "unavailable",
}

metric::label_values! {
    /// Names how a peer asked: these are the values of the label `protocol` of [`metric::DENIED`].
    Asked:
    /// The peer asked by HTTP for the API, pages or anything that is not below.
    Http => "http",
    /// The peer asked to open the WebSocket of a room, or sent a command over it.
    WebSocket => "websocket",
    /// The peer asked by WHIP.
    Whip => "whip",
    /// The peer asked by WHEP.
    Whep => "whep",
    /// The peer asked by LL-HLS.
    Hls => "hls",
    /// The peer asked by HTTP-FLV.
    Flv => "flv",
    /// The peer asked by RTMP, to publish or to play.
    Rtmp => "rtmp",
}

impl Asked {
    /// Returns how a request of HTTP asks, by the path of its route.
    pub fn at(path: &str) -> Self {
        let (first, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        match first {
            "whip" => Self::Whip,
            "whep" => Self::Whep,
            "hls" => Self::Hls,
            "flv" => Self::Flv,
            "api" if rest.ends_with("/events") => Self::WebSocket,
            _ => Self::Http,
        }
    }
}

impl Denial {
    /// Returns what an answer with this status of HTTP denies, unless somebody knows it better. `None` if it denies nothing.
    pub const fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            401 => Self::TokenInvalid,
            403 => Self::NotAllowed,
            409 => Self::Conflict,
            429 => Self::Share,
            503 => Self::Unavailable,
            _ => return None,
        })
    }

    /// Returns what a viewer is denied that does not get a track. That there is no track, or that it cannot be converted, protects
    /// nobody.
    pub const fn of_unavailable(unavailable: &Unavailable) -> Option<Self> {
        match unavailable {
            Unavailable::Overloaded(_) => Some(Self::Full),
            Unavailable::NoTrack(_) | Unavailable::NoRecipe(_) | Unavailable::Failed { .. } => None,
        }
    }

    /// Counts a request that was denied.
    pub fn count(self, asked: Asked) {
        counter!(metric::DENIED, "protocol" => asked.name(), "reason" => self.name()).increment(1);
    }
}

impl From<&Refusal> for Denial {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::TokenMissing => Self::TokenMissing,
            Refusal::TokenInvalid(_) | Refusal::Forged(_) => Self::TokenInvalid,
            Refusal::NotAllowed(_) => Self::NotAllowed,
            Refusal::Banned(_) => Self::Banned,
        }
    }
}

impl From<&PublishRefused> for Denial {
    fn from(refused: &PublishRefused) -> Self {
        match refused {
            PublishRefused::Busy(_) => Self::Conflict,
            PublishRefused::Full(_) => Self::Full,
        }
    }
}

impl From<&NoShare> for Denial {
    fn from(why: &NoShare) -> Self {
        match why {
            NoShare::Full(..) => Self::Full,
            NoShare::Principal(..) => Self::Share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_how_a_peer_asks() {
        for (path, asked) in [
            ("/whip/demo/anna", Asked::Whip),
            ("/whep/demo/anna/return", Asked::Whep),
            ("/hls/demo/index.m3u8", Asked::Hls),
            ("/flv/demo.flv", Asked::Flv),
            ("/api/v1/rooms/demo/events", Asked::WebSocket),
            ("/api/v1/rooms/events", Asked::WebSocket), // A room of this name. It is a label, and decides nothing.
            ("/api/v1/rooms", Asked::Http),
            ("/sessions/1", Asked::Http),
            ("/", Asked::Http),
            ("", Asked::Http),
        ] {
            assert_eq!(Asked::at(path), asked, "{path}");
        }
    }

    #[test]
    fn a_status_that_protects_nobody_denies_nothing() {
        for status in [200, 101, 304, 400, 404, 405, 406, 412, 413, 422, 426, 500] {
            assert_eq!(Denial::of_status(status), None, "{status}");
        }
        for status in [401, 403, 409, 429, 503] {
            assert!(Denial::of_status(status).is_some(), "{status}");
        }
    }
}
