//! Another track in place of one that viewers turn out not to take, because its frames are reordered, or of one that is over while its
//! feed goes on: the publisher went over to another codec, or to another clock.

use std::sync::Arc;
use std::time::Instant;

use onmic_media::feed::Unavailable;
use onmic_media::life::guarded_task;
use onmic_media::{Accepts, Codec, Demand, Entry, Feed, MediaKind, TrackId, TrackKey};

use super::{Command, Core, Outbox, Reason, Role};
use crate::capability::further_profile;

/// The most times in a row that a track which is over itself is answered with another attempt. A conversion that dies at once would be begun
/// for ever.
const SOUGHT_MAX: u8 = 3;

impl Core {
    /// Gets a derived track for viewers of a track whose frames turned out to be reordered. They go on with it once it
    /// is there.
    pub(super) fn begin_replacement(&mut self, id: TrackId) {
        let Some(feed) = self.feed_of_viewers(id) else { return };
        let Some(track) = self.tracks.get(&id) else { return };
        tracing::info!(
            codec = track.outgoing.codec().name(),
            "frames are reordered: WHEP viewers go on with a derived track"
        );
        self.seek_another(id, feed, Codec::H264);
    }

    /// Gets another track for viewers of one that is over, or ends their sessions with the feed.
    pub(super) fn succeed(&mut self, now: Instant, id: TrackId, out: &mut impl Outbox) {
        let Some(track) = self.tracks.get(&id).filter(|track| !track.replacing) else { return };
        let codec = track.outgoing.codec();
        match self.feed_of_viewers(id).filter(|feed| !feed.is_ended()) {
            Some(feed) => self.seek_another(id, feed, codec),
            None => self.close_viewers(now, id, Reason::TrackEnded, out),
        }
    }

    /// The feed that all viewers of a track watch.
    fn feed_of_viewers(&self, id: TrackId) -> Option<Arc<Feed>> {
        let session = self.tracks.get(&id)?.viewers.first().and_then(|key| self.sessions.get(*key))?;
        let Role::Viewer(viewer) = &session.role else { return None };
        Some(viewer.feed.clone())
    }

    /// Asks the feed for the track that stands where this one stood. Opening a codec takes milliseconds that viewers should not wait
    /// for. The task ends by itself. Its result comes back as a command.
    fn seek_another(&mut self, id: TrackId, feed: Arc<Feed>, codec: Codec) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.replacing = true;
        let (key, commands) = (track.key(), self.commands.clone());
        tokio::spawn(async move {
            let accepts = Accepts { codecs: [codec].into(), reordering: false, any_format: false, entry: Entry::Now };
            let demanded = guarded_task("rtc-replace", replacement(feed, key, accepts)).await;
            let demand = match demanded {
                Some(demanded) => demanded.map_err(|refused| Reason::from(&refused)),
                None => Err(Reason::ReplacementFailed),
            };
            if let Some(commands) = commands.upgrade() {
                // An error means that the shard has ended.
                let _ = commands.send(Command::Replace { track: id, demand }).await;
            }
        });
    }

    fn close_viewers(&mut self, now: Instant, id: TrackId, reason: Reason, out: &mut impl Outbox) {
        let viewers = self.tracks.get(&id).map(|track| track.viewers.clone()).unwrap_or_default();
        for key in viewers {
            self.close(now, key, reason, out);
        }
        self.drop_track(id);
    }

    /// Lets the viewers of a track go on with the one that `demand` has, or ends their sessions. If that one is over too, the next one
    /// is asked for.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        old: TrackId,
        demand: Result<Demand, Reason>,
        out: &mut impl Outbox,
    ) {
        let Some(before) = self.tracks.get_mut(&old) else { return };
        if before.viewers.is_empty() {
            self.drop_track(old); // The viewers have left meanwhile.
            return;
        }
        if demand.as_ref().is_ok_and(|demand| demand.track().is_ended()) {
            if before.sought == SOUGHT_MAX {
                return self.close_viewers(now, old, Reason::TrackEnded, out);
            }
            (before.replacing, before.sought) = (false, before.sought + 1);
            return self.succeed(now, old, out);
        }
        let Some(before) = self.drop_track(old) else { return };
        let new = demand.and_then(|demand| {
            let (id, parameters) = (demand.track().id(), demand.track().parameters());
            let fits = parameters.codec() == before.outgoing.codec()
                && further_profile(&parameters).is_none()
                && self.share(id, demand, now, out);
            fits.then_some(id).ok_or(Reason::FramesReordered)
        });
        let new = match new {
            Ok(new) => new,
            Err(reason) => {
                for key in before.viewers {
                    self.close(now, key, reason, out);
                }
                return;
            }
        };
        let track = self.tracks.get_mut(&new).expect("the track is shared");
        let (mut moved, mut left, mut closing) = (Vec::new(), Vec::new(), Vec::new());
        for key in before.viewers {
            let Role::Viewer(viewer) = &mut self.sessions[key].role else { continue };
            if viewer.tracks.iter().any(|own| own.id == new) {
                closing.push(key); // It has the other one in a section of its own, and none for this one any more.
                continue;
            }
            for own in viewer.tracks.iter_mut().filter(|own| own.id == old) {
                (own.id, own.key) = (new, track.key());
                own.sender.move_to(&track.outgoing, now);
                own.going = own.going.filter(|going| going.id != new); // It may have been on its way there.
                // The track that ended is the last that it left, and no packet of that can be asked for.
                left.extend(own.left.take().map(|(left, _)| (left, key)).filter(|(left, _)| *left != new));
            }
            track.others.retain(|other| *other != key);
            moved.push(key);
        }
        track.sound = before.sound.or(track.sound);
        track.viewers.extend(&moved);
        track.want_keyframe(now);
        self.tracks.values_mut().filter(|track| track.sound == Some(old)).for_each(|track| track.sound = Some(new));
        left.into_iter().for_each(|(left, key)| self.release(left, key));
        closing.into_iter().for_each(|key| self.close(now, key, Reason::TrackEnded, out));
        self.drop_if_unused(new);
        self.ladders.forget(); // They still list the level that has ended.
        for key in moved {
            self.decide(now, key, true, out);
            self.pump_viewer(now, key, out);
            self.reschedule(key);
        }
    }
}

/// Gets the track that stands where one stood. Where a level of the video is not there any more, that is the main one.
async fn replacement(feed: Arc<Feed>, key: TrackKey, accepts: Accepts) -> Result<Demand, Unavailable> {
    match feed.demanded(key, &accepts).await {
        Err(Unavailable::NoTrack(_)) if key.kind == MediaKind::Video && !key.leads() => {
            feed.demanded(TrackKey::VIDEO, &accepts).await
        }
        demanded => demanded,
    }
}
