//! Sends the frames of a feed to one RTMP player.
//!
//! A [`Playback`] decides which frame comes next. Invariants: a kind's configuration goes out before its first frame
//! and whenever it changes, and metadata whenever a track begins; both kinds are on one timeline that starts near 0.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use onmic_media::feed::Unavailable;
use onmic_media::flv;
use onmic_media::{
    Accepts, DropReason, Entry, Feed, Keyed, MediaKind, Next, Parameters, Placed, Playback, Start, TrackKey, Tracks,
    Wants,
};

use super::capabilities::Capabilities;
use super::session::Session;

/// Plays one feed to one peer.
#[derive(Debug)]
pub(super) struct Player {
    playback: Playback,
    /// The configurations that the peer has.
    configured: Keyed<Arc<Parameters>>,
    /// The moment of the feed, in µs, that the peer sees as 0.
    origin_micros: Option<i64>,
    unwanted: Unwanted,
}

/// The kinds of media that a peer asked to be left out. It may ask before there is anything to play.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwanted {
    video: bool,
    audio: bool,
}

impl Unwanted {
    /// Sets whether the peer wants media of this kind. Data is not an RTMP player's.
    pub(super) fn set_wanted(&mut self, kind: MediaKind, wanted: bool) {
        match kind {
            MediaKind::Video => self.video = !wanted,
            MediaKind::Audio => self.audio = !wanted,
            MediaKind::Data => {}
        }
    }
}

impl Player {
    /// Joins `feed` at the present with the tracks that a peer with `capabilities` can take. Video that it cannot have may keep it out
    /// ([`Unavailable::keeps_out`]), unless it wants none; audio is left out.
    pub(super) async fn open(
        feed: Arc<Feed>,
        capabilities: &Capabilities,
        unwanted: Unwanted,
    ) -> Result<Self, Unavailable> {
        let codecs = capabilities.codecs.clone().into();
        let accepts = Accepts { codecs, reordering: true, any_format: true, entry: Entry::Now };
        let mut playback = Playback::open(feed, Wants { accepts, tracks: Tracks::Main, start: Start::Present }).await?;
        let refused = playback.take_refused(TrackKey::VIDEO).filter(Unavailable::keeps_out);
        if let Some(refused) = refused.filter(|_| !unwanted.video) {
            return Err(refused);
        }
        Ok(Self { playback, configured: Keyed::new(), origin_micros: None, unwanted: Unwanted::default() })
    }

    /// Returns the feed it plays.
    pub(super) fn feed(&self) -> &Arc<Feed> {
        self.playback.feed()
    }

    /// Returns the metadata of the tracks as they are now, without those that the peer does not want.
    pub(super) fn metadata(&self) -> Bytes {
        let parameters = |key| self.playback.track(key).map(|track| track.parameters());
        let video = parameters(TrackKey::VIDEO).filter(|_| !self.unwanted.video);
        let audio = parameters(TrackKey::AUDIO).filter(|_| !self.unwanted.audio);
        flv::on_meta_data(video.as_deref(), audio.as_deref())
    }

    /// Pauses the player, or lets it go on at the present.
    pub(super) fn pause(&mut self, paused: bool) {
        self.playback.set_paused(paused);
    }

    /// Leaves out what the peer does not want, and takes in again what it wants.
    pub(super) fn leave_out(&mut self, unwanted: Unwanted) {
        self.unwanted = unwanted;
        self.playback.set_wanted(TrackKey::VIDEO, !unwanted.video);
        self.playback.set_wanted(TrackKey::AUDIO, !unwanted.audio);
    }

    /// Waits for the next thing to send.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        self.playback.poll_next(cx)
    }

    /// Returns the next thing to send, if it is there.
    pub(super) fn try_next(&mut self) -> Option<Next> {
        self.playback.try_next()
    }

    /// Writes a frame as a tag. If its configuration is new, a tag with it comes first.
    pub(super) fn send(&mut self, key: TrackKey, placed: &Placed, session: &mut Session) {
        if key.kind == MediaKind::Data {
            DropReason::DataNotCarried.count(1);
            return;
        }
        let frame = &placed.frame;
        let origin = *self.origin_micros.get_or_insert(placed.dts_micros);
        let timestamp = placed.millis_since(origin).unwrap_or(0) as u32; // Wraps after 49 days, as RTMP does.
        if !self.configured.get(key).is_some_and(|known| Arc::ptr_eq(known, &frame.parameters)) {
            self.configured.insert(key, frame.parameters.clone());
            session.media(key.kind, timestamp, &[], flv::write_config(&frame.parameters));
        }
        let head = flv::write_header(frame, placed.composition_millis());
        session.media(key.kind, timestamp, &head, frame.payload.clone());
    }
}
