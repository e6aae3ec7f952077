//! Another track in place of one that viewers turn out not to take: its frames are reordered.

use std::time::Instant;

use onmic_media::life::guarded_task;
use onmic_media::{Accepts, Codec, Demand, Entry, TrackId};

use super::{Command, Core, Outbox, Reason, Role};

impl Core {
    /// Gets a derived track for viewers of a track whose frames turned out to be reordered. They go on with it once it
    /// is there.
    pub(super) fn begin_replacement(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(session) = track.viewers.first().and_then(|key| self.sessions.get(*key)) else { return };
        let Role::Viewer(viewer) = &session.role else { return };
        track.replacing = true;
        let (feed, commands) = (viewer.feed.clone(), self.commands.clone());
        let (key, codec) = (track.key(), track.outgoing.codec());
        tracing::info!(codec = codec.name(), "frames are reordered: WHEP viewers go on with a derived track");
        // Opening an encoder takes milliseconds that viewers should not wait for. The task ends by itself. Its result
        // comes back as a command.
        tokio::spawn(async move {
            let accepts =
                Accepts { codecs: [Codec::H264].into(), reordering: false, any_format: false, entry: Entry::Now };
            let demanded = guarded_task("rtc-replace", feed.demanded(key, &accepts)).await;
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

    /// Lets the viewers of a track go on with the one that `demand` has, or ends their sessions.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        old: TrackId,
        demand: Result<Demand, Reason>,
        out: &mut impl Outbox,
    ) {
        let Some(before) = self.drop_track(old) else { return };
        if before.viewers.is_empty() {
            return; // The viewers have left meanwhile.
        }
        let new = demand.and_then(|demand| {
            let (id, codec) = (demand.track().id(), demand.track().parameters().codec());
            let fits = codec == before.outgoing.codec() && self.share(id, demand, now, out);
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
        for key in &before.viewers {
            let Role::Viewer(viewer) = &mut self.sessions[*key].role else { continue };
            for own in viewer.tracks.iter_mut().filter(|own| own.id == old) {
                own.id = new;
                own.sender.move_to(&track.outgoing);
            }
        }
        track.sound = before.sound;
        track.viewers.extend(before.viewers);
        track.want_keyframe(now);
    }
}
