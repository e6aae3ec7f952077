//! The program of a room: one feed, filled by one take after the other and spliced at keyframes.
//!
//! A **take** fills the program: a source passed through undecoded, or the mixer. Each has an [`Inlet`]. A take that is
//! selected is awaited until it brings a keyframe of its main video that is shown after everything the program already
//! has. That presentation time is the **cut**: all tracks of the take before end there, and all tracks of the new one
//! go on from there. So viewers read the same tracks and see a splice, never a new stream. The very first take begins
//! with whatever it brings. A take without video begins with its audio.
//!
//! ```text
//!   selected      its keyframe is later          another take        its tracks reach
//!       │         than all there is                begins                the cut
//!       ▼                 ▼                          ▼                      ▼
//!    awaited ───────────▶ on ──────────────────▶ crossing ──────────────▶ over
//!    its pre-roll is      it fills the lanes;    it fills the lanes       nothing of it
//!    kept (next.rs)       its video may wait     up to the cut, and       is taken
//!                         at a fence (fence.rs)  the new take waits (lane.rs)
//! ```
//!
//! The main video and the main audio decide when a take is over. Further renditions go over on their own: a video
//! rendition with its first keyframe at or after the cut, so that two takes are never interleaved in it. A further
//! track that the new take does not bring ends.
//!
//! A mix runs behind the source that leads it, so its keyframes carry times that the program has already shown. Once
//! the mix has brought a keyframe, the fence holds the source's video back until the mix begins.
//!
//! The program has its own timeline, which starts where its [`ProgramClock`] says. A take's timestamps are shifted onto
//! it, all its tracks by the same time: takes of one source's timeline (its pass-through, and a mix led by it) share
//! the shift, so a splice between them moves nothing; any other is placed by the wall clock.
//!
//! The publisher's or the mixer's thread calls push. There is no thread here, and no queue but the pre-roll, the fence
//! and the frames that wait for the cut, each bounded per track.

mod fence;
mod lane;
mod next;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lane::Lane;
use next::Next;
use parking_lot::Mutex;

use crate::feed::{Deriver, Feed};
use crate::frame::Frame;
use crate::key::{Keyed, MediaKind, Rendition, TrackKey};
use crate::pcm::Pcm;
use crate::program_clock::ProgramClock;
use crate::time::{ClockRate, Ticks, WallTime};
use crate::track::Track;

/// If an awaited take is further behind than this, it has to catch up first, and the fence stays down. With B-frames
/// and a busy machine a mix may be late by this, and a pause of that length is better than a take that never begins.
const BEHIND_MICROS: i64 = 1_000_000;

/// How long the video of the take that is on is held back at most, at 30 fps.
pub(crate) const FENCE_MAX: Duration = Duration::from_millis(fence::HELD_MAX as u64 * 1000 / 30);

/// How long after the cut the program waits for the take before, and for a further track of the new one. It is longer
/// than tracks are ever apart.
const CROSSING_MICROS_MAX: i64 = 2_000_000;

/// Identifies a timeline of timestamps. A mix led by a source uses the source's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimelineId(u64);

impl TimelineId {
    /// Makes a timeline that no other caller has.
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// States the form of a take.
#[derive(Clone, Copy, Debug)]
pub struct Brings {
    /// The timeline of its timestamps.
    pub timeline: TimelineId,
    /// Whether it begins with a keyframe. Otherwise it begins with its first audio packet.
    pub video: bool,
    /// Whether its video is shown in the order in which it is sent, so that its decoding times are not needed.
    pub in_order: bool,
    /// When its keyframes come. The program's video is held back only for a take whose next one comes soon.
    pub keyframes: Keyframes,
}

/// States when the keyframes of a take come, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyframes {
    /// They come when one is asked for: a mix and a WHIP publisher send them so.
    OnRequest,
    /// One comes at least every [`FENCE_MAX`].
    Often,
    /// They come less often than every [`FENCE_MAX`].
    Seldom,
}

/// States what happened to a frame that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// The program took the frame, already had its time, or holds the most tracks that it may.
    Taken,
    /// The take has not begun. It begins with the next keyframe that is shown late enough.
    Waiting,
    /// Another take follows, so no more frames of this one are taken.
    Over,
}

/// Holds the feed of a room's audience and the takes that fill it.
#[derive(Debug)]
pub struct Program {
    feed: Arc<Feed>,
    clock: ProgramClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The clock at which the timeline starts, for the first take.
    clock: ProgramClock,
    takes: u64,
    /// The take that is on.
    current: Option<Take>,
    next: Option<Next>,
    lanes: Keyed<Lane>,
    cut: Option<Cut>,
    /// The time at which the take that is on began, until the tracks that it does not bring have ended.
    began_micros: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Take {
    number: u64,
    brings: Brings,
    /// The time to add to its timeline to get the program's.
    shift_micros: i64,
}

/// Holds the change from the take `before` to the take that is on, until both main tracks have made it.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at_micros: i64,
    before: Take,
}

impl Program {
    /// Makes an empty program whose timeline starts by `clock`. `deriver` converts codecs for its viewers.
    pub fn new(clock: ProgramClock, deriver: Option<Arc<dyn Deriver>>) -> Arc<Self> {
        Self::filling(Feed::new(deriver), clock)
    }

    /// Wraps an existing feed. Kinds that it borrows from another feed are left alone.
    pub fn filling(feed: Arc<Feed>, clock: ProgramClock) -> Arc<Self> {
        let state =
            State { clock, takes: 0, current: None, next: None, lanes: Keyed::new(), cut: None, began_micros: None };
        Arc::new(Self { feed, clock, state: Mutex::new(state) })
    }

    /// Returns the clock at which its timeline started. It places the sources of the room.
    pub fn clock(&self) -> ProgramClock {
        self.clock
    }

    /// Returns the present clock of its timeline: that of its newest frame, whose source follows the crystal of its
    /// publisher.
    pub fn line(&self) -> ProgramClock {
        self.state.lock().line()
    }

    /// Returns the feed that viewers read.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Selects a new take. It replaces one that was selected and has not begun.
    pub fn select(self: &Arc<Self>, brings: Brings) -> Inlet {
        let mut state = self.state.lock();
        state.lift_fence(&self.feed);
        state.takes += 1;
        state.next = Some(Next::new(state.takes, brings));
        Inlet { program: self.clone(), take: state.takes }
    }

    /// Goes on with the take that is on, and forgets the one that was selected.
    pub fn unselect(&self) {
        let mut state = self.state.lock();
        state.lift_fence(&self.feed);
        state.next = None;
    }

    /// Returns the wall clock of the newest frame.
    pub fn newest_wall(&self) -> Option<WallTime> {
        let state = self.state.lock();
        state.lanes.values().filter_map(|lane| lane.last).map(|last| last.wall).max()
    }
}

/// Takes the frames of one take into the program.
#[derive(Debug)]
pub struct Inlet {
    program: Arc<Program>,
    take: u64,
}

impl Inlet {
    /// Offers a frame of the take's main track of its kind, with the take's own timestamps.
    pub fn push(&self, frame: Frame) -> Offered {
        self.push_on(Rendition::MAIN, frame)
    }

    /// Offers a frame of one rendition of the take, with the take's own timestamps.
    pub fn push_on(&self, rendition: Rendition, frame: Frame) -> Offered {
        let key = TrackKey::new(frame.kind(), rendition);
        let feed = &self.program.feed;
        let mut state = self.program.state.lock();
        if state.next.as_ref().is_some_and(|next| next.take.number == self.take) {
            return state.begin(key, frame, feed);
        }
        match state.current {
            Some(current) if current.number == self.take => state.go_on(current, key, frame, feed),
            _ => state.fill_up(self.take, key, frame, feed),
        }
    }

    /// Offers audio of the take before it is encoded, with the take's own timestamps. It is used while the take fills
    /// the program's main audio. [`Inlet::push`] brings the same audio as frames.
    pub fn push_pcm(&self, mut pcm: Pcm<'_>) {
        let Some((track, shift_micros)) = self.program.state.lock().audio_of(self.take) else { return };
        pcm.pts += Ticks(shift_micros).rescale(ClockRate::MICROS, ClockRate::OPUS);
        track.push_pcm(pcm);
    }

    /// Returns whether the program plays this take.
    pub fn is_on(&self) -> bool {
        self.program.state.lock().current.is_some_and(|take| take.number == self.take)
    }

    /// Returns whether this take was selected and has not begun.
    pub fn is_awaited(&self) -> bool {
        let state = self.program.state.lock();
        state.next.as_ref().is_some_and(|next| next.take.number == self.take)
    }

    /// Returns whether the program plays this take, will play it, or still takes its frames up to a cut.
    pub fn is_wanted(&self) -> bool {
        let state = self.program.state.lock();
        let next = state.next.as_ref().map(|next| next.take.number);
        let before = state.cut.as_ref().map(|cut| cut.before.number);
        [state.current.map(|take| take.number), next, before].contains(&Some(self.take))
    }

    /// Returns whether a keyframe of this take is wanted, by a viewer or to begin with. Each request is reported once.
    pub fn take_keyframe_wanted(&self) -> bool {
        let mut state = self.program.state.lock();
        if let Some(next) = state.next.as_mut().filter(|next| next.take.number == self.take) {
            return std::mem::take(&mut next.keyframe_wanted);
        }
        let on = state.current.is_some_and(|take| take.number == self.take);
        let video = state.lanes.of_kind(MediaKind::Video).filter_map(|(_, lane)| lane.track.as_ref());
        // All requests are cleared, because a keyframe comes on all renditions at once.
        on && video.filter(|track| track.take_keyframe_wanted()).count() > 0
    }

    /// Notes that a further track of the take has ended. The program's track ends with it, unless another take fills
    /// it.
    pub fn end_track(&self, key: TrackKey) {
        let mut state = self.program.state.lock();
        let on = state.current.is_some_and(|take| take.number == self.take);
        if on && !key.leads() && state.lanes.remove(key).is_some() {
            self.program.feed.remove_original(key);
        }
    }

    /// Notes that another publisher goes on with the track `key` of the take, whose keyframes come as `keyframes` states. What was
    /// measured of the one before is forgotten.
    pub(crate) fn begin_anew(&self, key: TrackKey, keyframes: Keyframes) {
        let mut state = self.program.state.lock();
        let State { current, next, cut, lanes, .. } = &mut *state;
        let is_on = current.is_some_and(|take| take.number == self.take);
        if let Some(track) = lanes.get(key).and_then(|lane| lane.track.as_ref()).filter(|_| is_on) {
            track.restart(track.parameters());
        }
        let before = cut.as_mut().map(|cut| &mut cut.before);
        let takes = current.iter_mut().chain(next.as_mut().map(|next| &mut next.take)).chain(before);
        takes.filter(|take| take.number == self.take).for_each(|take| take.brings.keyframes = keyframes);
    }

    /// Notes that all its tracks are known, so that viewers that wait for them may start.
    pub fn settle(&self) {
        if self.is_on() {
            self.program.feed.settle();
        }
    }
}

impl State {
    /// Takes in a frame of the awaited take, which begins with it, or goes on waiting.
    fn begin(&mut self, key: TrackKey, frame: Frame, feed: &Arc<Feed>) -> Offered {
        let Some(mut next) = self.next.take() else { return Offered::Over };
        next.take.shift_micros = self.shift(&next.take, &frame);
        let at_micros = frame.pts_micros() + next.take.shift_micros;
        let starts = next.may_begin_with(key, &frame);
        let last = self.lanes.get(key).and_then(|lane| lane.last);
        let behind_micros = last.map_or(-1, |last| last.pts_micros - at_micros);
        if self.current.is_some() && !(starts && behind_micros < 0) {
            let is_near = behind_micros < BEHIND_MICROS;
            if starts && key == TrackKey::VIDEO && is_near && next.take.brings.keyframes != Keyframes::Seldom {
                next.fence.raise();
            }
            next.wait(key, frame);
            self.next = Some(next);
            return Offered::Waiting;
        }
        self.release_all(feed); // Frames that still wait for the cut of an earlier splice go first.
        let before = self.current.replace(next.take);
        if let Some(before) = before {
            self.cut_at(at_micros, before, next, feed);
        }
        self.current.map_or(Offered::Over, |take| self.go_on(take, key, frame, feed))
    }

    /// Ends the take `before` at the cut in every lane, and begins `next`.
    fn cut_at(&mut self, at_micros: i64, before: Take, mut next: Next, feed: &Arc<Feed>) {
        for (key, held) in next.fence.lift() {
            // The take replaces the frames that are shown after the cut.
            let still_shown = held.into_iter().take_while(|frame| frame.pts_micros() + before.shift_micros < at_micros);
            let Some(lane) = self.lanes.get_mut(key) else { continue };
            still_shown.for_each(|frame| lane.append(frame, before, feed));
        }
        for key in next.pre_roll.keys().filter(|key| self.lanes.has_room_for(*key)).collect::<Vec<_>>() {
            self.lanes.get_or_insert_with(key, || Lane::new(key));
        }
        for (key, lane) in self.lanes.iter_mut() {
            let pre_roll = next.pre_roll.remove(key).into_iter().flatten();
            let held = pre_roll.filter(|frame| frame.pts_micros() + next.take.shift_micros >= at_micros);
            lane.cut(at_micros, held.collect::<VecDeque<_>>());
        }
        (self.cut, self.began_micros) = (Some(Cut { at_micros, before }), Some(at_micros));
        self.finish_cut(feed);
    }

    /// Takes in a frame of the take that is on.
    fn go_on(&mut self, take: Take, key: TrackKey, frame: Frame, feed: &Arc<Feed>) -> Offered {
        let at_micros = frame.pts_micros() + take.shift_micros;
        if key.leads() {
            self.end_what_is_left(at_micros, feed);
        }
        if !self.lanes.has_room_for(key) {
            return Offered::Taken;
        }
        let cut = self.cut;
        let lane = self.lanes.get_or_insert_with(key, || {
            let mut lane = Lane::new(key);
            if let Some(cut) = cut {
                lane.cut(cut.at_micros, VecDeque::new());
            }
            lane
        });
        let Some(frame) = lane.hold(frame, take) else {
            self.go_over_if_filled(key, feed);
            return Offered::Taken;
        };
        let is_later = lane.last.is_none_or(|last| at_micros > last.pts_micros);
        if key.kind == MediaKind::Video
            && is_later
            && let Some(fence) = self.next.as_mut().map(|next| &mut next.fence).filter(|fence| fence.is_up())
        {
            if !fence.hold(key, frame) {
                self.lift_fence(feed);
            }
            return Offered::Taken;
        }
        lane.push(frame, take, feed);
        Offered::Taken
    }

    /// Takes in a frame of the take before, if it is from before the cut.
    fn fill_up(&mut self, take: u64, key: TrackKey, frame: Frame, feed: &Arc<Feed>) -> Offered {
        let Some(Cut { at_micros, before }) = self.cut.filter(|cut| cut.before.number == take) else {
            return Offered::Over;
        };
        let current = self.current;
        if let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.crossing.is_some()) {
            if frame.pts_micros() + before.shift_micros < at_micros {
                lane.append(frame, before, feed);
            } else if key.kind == MediaKind::Video
                && let Some(current) = current
            {
                // The frame rate may be lower than before, and then no frame comes as near to the cut.
                lane.go_over(current, feed);
                self.finish_cut(feed);
            }
            self.go_over_if_filled(key, feed);
        }
        let crosses = |key| self.lanes.get(key).filter(|lane| lane.crossing.is_some());
        let is_missing =
            crosses(TrackKey::VIDEO).is_some() || crosses(TrackKey::AUDIO).is_some_and(|lane| !lane.reaches(at_micros));
        if is_missing { Offered::Taken } else { Offered::Over }
    }

    /// Releases the video of the take that is on, so that it does not wait for the awaited take any longer.
    fn lift_fence(&mut self, feed: &Arc<Feed>) {
        let (Some(next), Some(current)) = (&mut self.next, self.current) else { return };
        for (key, held) in next.fence.lift() {
            let Some(lane) = self.lanes.get_mut(key) else { continue };
            held.into_iter().for_each(|frame| lane.push(frame, current, feed));
        }
    }

    fn go_over_if_filled(&mut self, key: TrackKey, feed: &Arc<Feed>) {
        let (is_last, Some(take)) = (self.cut.is_none(), self.current) else { return };
        if let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.may_go_over(is_last)) {
            lane.go_over(take, feed);
            self.finish_cut(feed);
        }
    }

    /// Ends the take before once both main tracks have gone over, and lets the frames that wait for it go on.
    fn finish_cut(&mut self, feed: &Arc<Feed>) {
        let crosses = |key| self.lanes.get(key).is_some_and(|lane| lane.crossing.is_some());
        if self.cut.is_none() || crosses(TrackKey::VIDEO) || crosses(TrackKey::AUDIO) {
            return;
        }
        self.cut = None;
        let Some(take) = self.current else { return };
        for lane in self.lanes.values_mut().filter(|lane| lane.may_go_over(true)) {
            lane.go_over(take, feed);
        }
    }

    fn release_all(&mut self, feed: &Arc<Feed>) {
        self.cut = None;
        let Some(take) = self.current else { return };
        self.lanes.values_mut().for_each(|lane| lane.go_over(take, feed));
    }

    /// Ends the take before, and the further tracks that only it brought, once [`CROSSING_MICROS_MAX`] has passed since
    /// the cut.
    fn end_what_is_left(&mut self, at_micros: i64, feed: &Arc<Feed>) {
        if self.began_micros.is_none_or(|began| at_micros <= began + CROSSING_MICROS_MAX) {
            return;
        }
        self.began_micros = None;
        self.release_all(feed);
        let left = self.lanes.iter().filter(|(key, lane)| !key.leads() && lane.is_left());
        for key in left.map(|(key, _)| key).collect::<Vec<_>>() {
            self.lanes.remove(key);
            feed.remove_original(key);
        }
    }

    /// Returns the track that the take's main audio goes to, and the take's shift: of the take that is on, and of the
    /// one before until its audio has filled up to the cut.
    fn audio_of(&self, take: u64) -> Option<(Arc<Track>, i64)> {
        let lane = self.lanes.get(TrackKey::AUDIO)?;
        let before = self.cut.filter(|_| lane.crossing.is_some()).map(|cut| cut.before);
        let take = [self.current, before].into_iter().flatten().find(|known| known.number == take)?;
        Some((lane.track.clone()?, take.shift_micros))
    }

    /// Returns the time that brings `take` onto the program's timeline, as seen at its `frame`.
    fn shift(&self, take: &Take, frame: &Frame) -> i64 {
        if let Some(current) = self.current.filter(|current| current.brings.timeline == take.brings.timeline) {
            return current.shift_micros;
        }
        self.line().position(frame.wall) - frame.pts_micros()
    }

    /// Returns the timeline at the newest frame.
    fn line(&self) -> ProgramClock {
        let last = self.lanes.values().filter_map(|lane| lane.last).max_by_key(|last| last.pts_micros);
        last.map_or(self.clock, |last| ProgramClock::through(last.pts_micros, last.wall))
    }
}
