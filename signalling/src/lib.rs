//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one protocol in two directions.
//!
//! Both take an offer and answer with a session's resource, which is trickled to, restarted and ended in one way. Only
//! signalling is here; the sessions live on the shards of `onmic_rtc`. Knows nothing of playlists or the API.

mod body;
mod session;
mod whep;
mod whip;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Uri};

use onmic_http::{Problem, token};
use onmic_media::{Action, Admission, Gate, Hub, ParticipantName, Returns, RoomName, SourceName};
use onmic_rtc::Rtc;

/// The routes of WHIP and WHEP, and what they need.
#[derive(Clone)]
pub struct Signalling {
    /// Where sources are published, and programs and sources are found.
    pub hub: Arc<Hub>,
    /// Makes return feeds.
    pub returns: Arc<dyn Returns>,
    /// Decides who may publish and watch.
    pub gate: Arc<dyn Gate>,
    /// Where sessions live.
    pub rtc: Rtc,
    /// Told to clients in `Link` headers.
    pub ice_servers: Arc<[String]>,
}

impl Signalling {
    /// The routes.
    pub fn router(self) -> Router {
        let rtc = self.rtc.clone();
        whip::router().merge(whep::router()).with_state(self).merge(session::router(rtc))
    }

    fn admit(&self, action: Action<'_>, headers: &HeaderMap, uri: &Uri) -> Result<Admission, Problem> {
        Ok(self.gate.check(action, token(headers, uri))?)
    }
}

fn source_name((room, participant): (String, String)) -> Result<SourceName, Problem> {
    Ok(SourceName { room: room.parse::<RoomName>()?, participant: participant.parse::<ParticipantName>()? })
}
