//! Which level each viewer gets, carried out: the track of the level is had of the feed, and the viewer goes over to it at a keyframe.
//!
//! Until then the frames of the level before go on. That track is kept for [`KEPT`] after the change, so that its packets can be asked
//! for again. There is no timer: the track's own frames, and the next change, end it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::feed::Unavailable;
use onmic_media::life::guarded_task;
use onmic_media::{Accepts, Codec, Demand, DropReason, Entry, Feed, TrackId, TrackKey};

use super::{Command, Core, Outbox, Role};
use crate::capability::further_profile;
use crate::level::{ChoiceRefused, Observed, Pick, Refusal, Wish};
use crate::rtp::choice::{Path, Reason};
use crate::session::SessionId;
use crate::shard::levels::Going;
use crate::shard::track::SharedTrack;
use crate::shard::viewer::{Viewer, ViewerTrack};

/// The track of the level before is kept for this long: receivers ask for a packet during the first second.
const KEPT: Duration = Duration::from_secs(1);
/// The most of the past that a viewer is shown again, so that it need not wait for a keyframe: as little as nobody sees, because
/// the level before goes on meanwhile.
const SHOWN_AGAIN: Duration = Duration::from_millis(150);
/// The same where the path does not carry the level before: each second of waiting is a freeze.
const SHOWN_AGAIN_AT_NEED: Duration = Duration::from_millis(1500);

impl Core {
    /// Notes what a viewer asks for, and acts on it.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        id: SessionId,
        (mid, wish): (Option<String>, Wish),
        out: &mut impl Outbox,
    ) -> Result<(), ChoiceRefused> {
        let key = *self.by_id.get(&id).ok_or(ChoiceRefused::NoSession)?;
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return Err(ChoiceRefused::NoVideo) };
        let levels = viewer.levels.as_mut().ok_or(ChoiceRefused::NoVideo)?;
        if let Some(mid) = mid.filter(|mid| *mid != levels.mid) {
            return Err(ChoiceRefused::NoSection(mid, levels.mid.clone()));
        }
        let rungs = self.ladders.of(&viewer.feed, levels.codec, now);
        if let Some(Pick::Level(pinned)) = wish.pinned
            && !rungs.iter().any(|rung| rung.key == pinned)
        {
            let have = rungs.iter().map(|rung| rung.key.to_string()).collect();
            return Err(ChoiceRefused::NoLevel(Pick::Level(pinned), have));
        }
        levels.wish = wish;
        levels.refused = None;
        self.decide(now, key, true, out);
        Ok(())
    }

    /// Lets signalling observe what a viewer gets.
    pub(super) fn observe(&mut self, id: SessionId) -> Result<Observed, ChoiceRefused> {
        let key = *self.by_id.get(&id).ok_or(ChoiceRefused::NoSession)?;
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return Err(ChoiceRefused::NoVideo) };
        let (current, path, feed) = (viewer.current(), viewer.path(), viewer.feed.clone());
        let levels = viewer.levels.as_mut().ok_or(ChoiceRefused::NoVideo)?;
        let shown = levels.observe(current, &path).ok_or(ChoiceRefused::Observed)?;
        Ok(Observed { feed, mid: levels.mid.clone(), codec: levels.codec, shown })
    }

    /// Decides what a viewer should get, and begins to carry it out. Does nothing if that was done just before, unless it has to be
    /// done `anyway`.
    pub(super) fn decide(&mut self, now: Instant, key: usize, anyway: bool, out: &mut impl Outbox) {
        let Self { sessions, ladders, .. } = self;
        let Some(session) = sessions.get_mut(key) else { return };
        let id = session.id;
        let Role::Viewer(viewer) = &mut session.role else { return };
        let path = viewer.path();
        let Some(levels) = &mut viewer.levels else { return };
        let rungs = ladders.of(&viewer.feed, levels.codec, now);
        let Some(decision) = levels.decide(&rungs, &path, anyway, now) else { return };
        if let Some(reason) = decision.reason {
            tracing::debug!(session = ?id, to = %decision.pick, ?reason, "another level");
        }
        // A player states a limit of bits where the network does not carry the level.
        let is_needed = match decision.reason {
            Some(Reason::Estimate | Reason::Debt | Reason::Loss) => true,
            Some(Reason::Size) => levels.wish.bitrate_max_bps.is_some(),
            _ => false,
        };
        self.aim(now, key, decision.pick, is_needed, out);
        self.tell(key);
    }

    /// Begins to give a viewer what it should get, unless that is done or under way. `is_needed` says that its path does not carry what
    /// it gets now.
    fn aim(&mut self, now: Instant, key: usize, pick: Pick, is_needed: bool, out: &mut impl Outbox) {
        let Self { sessions, tracks, commands, .. } = self;
        let session = &mut sessions[key];
        let (id, is_connected) = (session.id, session.connected.is_some());
        let Role::Viewer(viewer) = &mut session.role else { return };
        let feed = viewer.feed.clone();
        let (Some(own), Some(levels)) = (viewer.tracks.iter_mut().find(|own| own.is_video()), &mut viewer.levels)
        else {
            return; // Its video has yet to come.
        };
        let wanted = match pick {
            Pick::Level(wanted) => wanted,
            Pick::AudioOnly => {
                levels.asking = None;
                if !own.sender.is_paused() {
                    own.sender.pause();
                }
                self.turn_back(key);
                return self.give_back(key);
            }
        };
        if own.going.is_some_and(|going| going.key == wanted) {
            return;
        }
        if own.key == wanted && !own.is_given_back {
            levels.asking = None;
            if own.sender.is_paused()
                && let Some(track) = tracks.get_mut(&own.id)
            {
                match is_connected {
                    true => own.start(track, now),
                    false => own.sender.unpause(),
                }
            }
            self.turn_back(key);
            self.pump_viewer(now, key, out);
            return self.reschedule(key);
        }
        if levels.may_ask(wanted, now) {
            levels.asking = Some(wanted);
            levels.in_need = is_needed;
            let (codec, commands) = (levels.codec, commands.clone());
            // Opening a codec takes milliseconds that viewers should not wait for. The task ends by itself, and its result comes back
            // as a command.
            tokio::spawn(async move {
                let demanded = guarded_task("rtc-level", demand(feed, wanted, codec)).await;
                let demand = demanded.unwrap_or(Err(Unavailable::NoTrack(wanted)));
                if let Some(commands) = commands.upgrade() {
                    // An error means that the shard has ended.
                    let _ = commands.send(Command::Level { id, key: wanted, demand }).await;
                }
            });
        }
    }

    /// Takes the track of a level that a viewer should get. The viewer goes over to it at a keyframe.
    pub(super) fn take_level(
        &mut self,
        now: Instant,
        id: SessionId,
        (wanted, demand): (TrackKey, Result<Demand, Unavailable>),
        out: &mut impl Outbox,
    ) {
        let Some(key) = self.by_id.get(&id).copied() else { return };
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return };
        let Some(levels) = viewer.levels.as_mut().filter(|levels| levels.asking == Some(wanted)) else { return };
        levels.asking = None;
        let (codec, is_needed) = (levels.codec, levels.in_need);
        let taken = demand.map_err(|why| Refusal::from(&why)).and_then(|demand| {
            let (id, parameters) = (demand.track().id(), demand.track().parameters());
            let fits = parameters.codec() == codec && further_profile(&parameters).is_none();
            (fits && self.share(id, demand, now, out)).then_some(id).ok_or(Refusal::NotThere)
        });
        let new = match taken {
            Ok(new) => new,
            Err(why) => return self.refuse(now, key, wanted, why),
        };
        self.turn_back(key);
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return };
        let Some(own) = viewer.tracks.iter_mut().find(|own| own.is_video()) else {
            return self.drop_if_unused(new);
        };
        if own.id == new && !own.is_given_back {
            own.key = wanted; // Two levels have one track now.
            return self.tell(key);
        }
        let past_max = if is_needed || own.is_given_back { SHOWN_AGAIN_AT_NEED } else { SHOWN_AGAIN };
        own.going = Some(Going { id: new, key: wanted, past_max });
        let track = self.tracks.get_mut(&new).expect("the track is shared");
        track.others.push(key);
        track.look_at_source();
        self.follow_levels(now, new, out);
    }

    /// Notes that a level cannot be had now. The viewer keeps what it has.
    fn refuse(&mut self, now: Instant, key: usize, wanted: TrackKey, why: Refusal) {
        match why {
            Refusal::OverBudget => DropReason::LevelOverBudget.count(1),
            Refusal::NotThere => DropReason::LevelNotTaken.count(1),
        }
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return };
        let current = viewer.current();
        if let Some(levels) = &mut viewer.levels {
            levels.refuse(wanted, why, current, now);
        }
        self.tell(key);
    }

    /// Lets viewers go over to a track whose frames have come, if they wait for it, and gives it up for those who have left it for
    /// long enough. A keyframe is asked for if somebody waits for one.
    pub(super) fn follow_levels(&mut self, now: Instant, id: TrackId, out: &mut impl Outbox) {
        let Self { sessions, tracks, .. } = self;
        let Some(track) = tracks.get_mut(&id).filter(|track| !track.others.is_empty()) else { return };
        let (mut crossing, mut leaving, mut waits) = (Vec::new(), Vec::new(), false);
        for key in &track.others {
            let Role::Viewer(viewer) = &sessions[*key].role else { continue };
            let Some(own) = viewer.video() else { continue };
            match own.going.filter(|going| going.id == id) {
                Some(going) if own.sender.can_cross(&track.outgoing, going.past_max) => crossing.push(*key),
                Some(_) => waits = true,
                None => leaving.extend(own.left.is_none_or(|(_, until)| until <= now).then_some(*key)),
            }
        }
        if waits {
            track.want_keyframe(now);
        }
        crossing.into_iter().for_each(|key| self.cross(now, key, out));
        for key in leaving {
            if let Role::Viewer(viewer) = &mut self.sessions[key].role
                && let Some(own) = viewer.video_mut()
            {
                own.left = own.left.filter(|(left, _)| *left != id);
            }
            self.release(id, key);
        }
    }

    /// Lets a viewer go over to the level that it waits for.
    fn cross(&mut self, now: Instant, key: usize, out: &mut impl Outbox) {
        let is_connected = self.sessions[key].connected.is_some();
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return };
        let Some(own) = viewer.video_mut() else { return };
        let Some(Going { id: new, key: level, .. }) = own.going.take() else { return };
        let is_back = std::mem::take(&mut own.is_given_back);
        let left = (!is_back).then_some((own.id, now + KEPT));
        let (old, before) = (own.id, std::mem::replace(&mut own.left, left));
        let Some(track) = self.tracks.get_mut(&new) else { return };
        own.sender.cross(&track.outgoing, now);
        if is_connected && !own.sender.has_started() {
            own.start(track, now); // It wanted no video until now.
        }
        (own.id, own.key) = (new, level);
        track.others.retain(|other| *other != key);
        track.viewers.push(key);
        if let Some(track) = self.tracks.get_mut(&old).filter(|_| !is_back) {
            track.viewers.retain(|viewer| *viewer != key);
            track.others.push(key);
        }
        if let Some((before, _)) = before.filter(|(before, _)| *before != new) {
            self.release(before, key);
        }
        self.pair(key);
        self.pump_viewer(now, key, out);
        self.reschedule(key);
        self.tell(key);
    }

    /// Gives the video of a viewer back that wants audio alone, so that nothing is made for nobody. A viewer without audio keeps it:
    /// nothing else would tell the end of what it watches.
    fn give_back(&mut self, key: usize) {
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return };
        if !viewer.track(TrackKey::AUDIO).is_some_and(|audio| self.tracks.contains_key(&audio)) {
            return;
        }
        let Some(own) = viewer.video_mut().filter(|own| !own.is_given_back) else { return };
        own.sender.give_back();
        own.is_given_back = true;
        let (id, left) = (own.id, own.left.take());
        self.release(id, key);
        if let Some((left, _)) = left {
            self.release(left, key);
        }
        self.reschedule(key);
    }

    /// Lets a viewer stay with what it has.
    fn turn_back(&mut self, key: usize) {
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return };
        let Some(own) = viewer.video_mut() else { return };
        let left = own.left.map(|(left, _)| left);
        if let Some(going) = own.going.take().filter(|going| Some(going.id) != left) {
            self.release(going.id, key);
        }
    }

    /// Counts what a viewer gets, and tells those who observe it.
    pub(super) fn tell(&mut self, key: usize) {
        let Role::Viewer(viewer) = &mut self.sessions[key].role else { return };
        let (current, path, has_video) = (viewer.current(), viewer.path(), viewer.video().is_some());
        if let Some(levels) = &mut viewer.levels {
            if has_video {
                levels.count(current, &self.metrics);
            }
            levels.tell(current, &path);
        }
    }

    /// Gives up a track for a viewer, in whatever way it has it.
    pub(super) fn release(&mut self, id: TrackId, key: usize) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.viewers.retain(|viewer| *viewer != key);
        track.others.retain(|viewer| *viewer != key);
        self.drop_if_unused(id);
    }

    pub(super) fn drop_if_unused(&mut self, id: TrackId) {
        let is_unused = |track: &&SharedTrack| track.viewers.is_empty() && track.others.is_empty() && !track.replacing;
        if self.tracks.get(&id).filter(is_unused).is_some() {
            self.drop_track(id);
        }
    }

    /// Takes note that a track is read no more which these viewers have left, or wait for.
    pub(super) fn forget_level(&mut self, id: TrackId, others: &[usize]) {
        for key in others {
            let Some(session) = self.sessions.get_mut(*key) else { continue };
            let Role::Viewer(viewer) = &mut session.role else { continue };
            let Some(own) = viewer.video_mut() else { continue };
            own.left = own.left.filter(|(left, _)| *left != id);
            own.going = own.going.filter(|going| going.id != id);
        }
    }
}

/// Gets the track of a level of a feed.
async fn demand(feed: Arc<Feed>, key: TrackKey, codec: Codec) -> Result<Demand, Unavailable> {
    let accepts = Accepts { codecs: [codec].into(), reordering: false, any_format: false, entry: Entry::Now };
    feed.demanded(key, &accepts).await
}

impl From<&Unavailable> for Refusal {
    fn from(why: &Unavailable) -> Self {
        match why {
            Unavailable::Overloaded(_) => Self::OverBudget,
            Unavailable::NoTrack(_) | Unavailable::NoRecipe(_) | Unavailable::Failed { .. } => Self::NotThere,
        }
    }
}

impl Viewer {
    /// Returns what it gets of the video now.
    pub(super) fn current(&self) -> Pick {
        self.video().filter(|own| !own.sender.is_paused()).map_or(Pick::AudioOnly, |own| Pick::Level(own.key))
    }

    /// Returns what is known of its path.
    pub(super) fn path(&self) -> Path {
        Path { loss: self.loss(), queue: self.queue(), ..Path::default() }
    }

    /// Returns the tracks that it has of the shard, in whatever way.
    pub(super) fn track_ids(&self) -> Vec<TrackId> {
        let of = |own: &ViewerTrack| [Some(own.id), own.going.map(|going| going.id), own.left.map(|(left, _)| left)];
        self.tracks.iter().flat_map(of).flatten().collect()
    }
}
