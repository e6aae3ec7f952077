//! Reads the tracks of a feed for one player, the oldest frame first, while tracks come and go.
//!
//! FLV, RTMP and LL-HLS read a feed through a [`Playback`]; a WebRTC shard, which reads a track once for all its
//! viewers, waits for tracks by the same [`Feed::next_demand`].
//!
//! ```text
//!            ┌────────────── the track ended while the feed lives: Gone ─────────────┐
//!            ▼                                                                       │
//!   awaited (next_demand) ── there, and the codec fits: Begun ──▶ read (Frame, Skipped) ──▶ over (the feed ended)
//!            │ ▲
//!            └─┘ cannot be converted: Refused; the next original of this key is awaited, or the end of what is refused for a time
//! ```
//!
//! Every track goes through these states by itself, and does not wait for another: of the frames that are there the
//! oldest goes first, and video before audio at the same moment.
//!
//! **Where a player joins** ([`Start`]). A player of the present gets no more than [`PRE_ROLL_MICROS`] of the past.
//! Audio older than that is not sent. Video has to start at a keyframe, however old it is: its frames before that
//! moment are stamped a millisecond apart, so that a decoder runs through them and shows the present. A packager gets
//! what the rings hold, with the times it has, or what comes next where the one before died over a frame of them. Of a conversion it gets
//! the part of the past that its players want to have at once ([`Entry::AnyTime`](crate::feed::Entry)), and the audio of that time.
//!
//! **Another form of a track** ([`Playback::convert`]) is read beside the one that the player has, until it has come to the
//! present. It takes over at one of its keyframes, before which the player has had all and after which it gets all.
//!
//! Bounded by one pending frame per track and form; the ring keeps the rest, and a reader that it evicts is told so.

mod reading;
mod succession;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;

use self::reading::Reading;
use self::succession::{Successor, Turn};
use crate::codec::Parameters;
use crate::feed::{Accepts, Demand, Feed, FeedStage, Known, Recipe, Unavailable};
use crate::frame::Frame;
use crate::key::{MediaKind, TrackKey};
use crate::ring::{Join, Read};
use crate::time::WallTime;
use crate::track::{PAST_MAX, Track, TrackId};

/// The most of the past that a player of the present gets, in µs.
pub const PRE_ROLL_MICROS: i64 = PAST_MAX.as_micros() as i64;

/// Frames that are at most this far apart belong to the same moment, and video goes first. The clocks of the two kinds
/// round to their own ticks, and RTMP to milliseconds.
const ONE_MOMENT_MICROS: i64 = 500;

/// Audio comes steadily: a track whose newest frame is older than the feed's newest by this is muted.
const MUTED_MICROS: i64 = 2_000_000;

/// The longest time between frames of a still screen. After a longer time the camera is off.
pub const STILL: Duration = Duration::from_secs(10);
const STILL_MICROS: i64 = STILL.as_micros() as i64;

/// States the tracks and codecs that a player wants.
#[derive(Clone, Debug)]
pub struct Wants {
    /// The codecs that it decodes, of all kinds.
    pub accepts: Accepts,
    /// The tracks that it reads.
    pub tracks: Tracks,
    /// The place at which it starts.
    pub start: Start,
}

impl Wants {
    /// Returns whether the player needs a conversion of this track from now on. A player that has started needs no keyframes.
    fn has_outgrown(&self, reading: &Reading) -> bool {
        reading.pending.is_none() && !reading.makes_do && !self.suits(&reading.demand)
    }

    fn suits(&self, demand: &Demand) -> bool {
        demand.is_derived() || self.accepts.borrow().plays(demand.track())
    }

    /// Returns the state in which the track of `demand` is read.
    fn read(&self, demand: Demand, original: Option<TrackId>) -> State {
        let makes_do = !self.suits(&demand);
        State::Read(Box::new(Reading::new(demand, original, makes_do)))
    }
}

/// States the tracks of a feed that a player reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracks {
    /// The main video and the main audio.
    Main,
    /// Every track, including those that the feed gets later.
    All,
}

/// States where a player starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The present, with at most [`PRE_ROLL_MICROS`] of the past.
    Present,
    /// The newest group with its own times, for a packager whose playlists state when each frame was.
    Group,
    /// The same with what comes next, video from its next keyframe on. The packager before died over a frame that may be there still.
    BehindTheFault,
}

/// States the next thing that a player has to do.
#[derive(Clone, Debug)]
pub enum Next {
    /// A track begins, or begins again as another one. Its frames follow.
    Begun(TrackKey, Arc<Parameters>),
    /// The next frame to send.
    Frame(TrackKey, Placed),
    /// The player was too slow: this many frames were evicted before it took them. A keyframe follows.
    Skipped(TrackKey, u64),
    /// The track ended while the feed lives. Another one may begin.
    Gone(TrackKey),
    /// There is a track of this key, but it cannot be converted for this player.
    Refused(TrackKey, Unavailable),
    /// The feed is over and everything was read. Nothing follows.
    Ended,
}

/// Holds a frame and when it is due, in µs on the feed's timeline.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The frame that all readers share.
    pub frame: Arc<Frame>,
    /// The decoding time, which increases within a track.
    pub dts_micros: i64,
    /// The presentation time.
    pub pts_micros: i64,
}

impl Placed {
    /// Returns the decoding time in ms after `origin_micros`, rounded, as FLV and RTMP count. `None` before it.
    pub fn millis_since(&self, origin_micros: i64) -> Option<u64> {
        u64::try_from((self.dts_micros - origin_micros + ONE_MOMENT_MICROS).div_euclid(1000)).ok()
    }

    /// Returns the presentation time minus the decoding time, in ms.
    pub fn composition_millis(&self) -> i64 {
        (self.pts_micros - self.dts_micros + ONE_MOMENT_MICROS).div_euclid(1000)
    }
}

/// Reads the tracks of one feed for one player.
#[derive(Debug)]
pub struct Playback {
    feed: Arc<Feed>,
    wants: Wants,
    /// The tracks in the order of their keys.
    lines: Vec<Line>,
    paused: bool,
    /// The tracks that could not be converted when it was opened. [`Playback::take_refused`] returns them.
    refused: Vec<(TrackKey, Unavailable)>,
    /// Wakes when the feed may have another track, for [`Tracks::All`].
    changes: Option<Changes>,
}

/// Is one track on its way to the player.
#[derive(Debug)]
struct Line {
    key: TrackKey,
    state: State,
    /// Whether the player asked for this track to be left out.
    unwanted: bool,
    /// The form of the track that the player goes over to.
    successor: Option<Successor>,
}

/// Is the future of the next original track of a key, by its id, and of what the player gets from it. It yields `None`
/// once the feed is over.
type Awaited = Pin<Box<dyn Future<Output = Option<(TrackId, Result<Demand, Unavailable>)>> + Send>>;

/// Resolves, when the feed has changed, to the receiver that it waited on.
struct Changes(Pin<Box<dyn Future<Output = watch::Receiver<FeedStage>> + Send>>);

enum State {
    /// The next original is awaited, which is another one than `known`, and what the player gets from it.
    Awaited {
        next: Awaited,
        known: Option<TrackId>,
    },
    Read(Box<Reading>),
    Over,
}

impl Playback {
    /// Opens the tracks that `feed` has now; those that come later are announced by [`Next::Begun`]. Call it when the
    /// feed has settled ([`Feed::settled`]). Fails if none of the feed's tracks can be converted, or the feed has no
    /// tracks.
    pub async fn open(feed: Arc<Feed>, wants: Wants) -> Result<Self, Unavailable> {
        let changes = (wants.tracks == Tracks::All).then(|| Changes::of(feed.stages()));
        let mut playback = Self { feed, wants, lines: Vec::new(), paused: false, refused: Vec::new(), changes };
        for key in playback.wanted_keys() {
            let original = playback.feed.original(key).map(|original| original.id());
            let state = match playback.feed.demanded(key, &playback.wants.accepts).await {
                Ok(demand) => playback.wants.read(demand, original),
                Err(Unavailable::NoTrack(_)) => playback.await_track(key, None),
                Err(unavailable) => {
                    let known = original.map(|original| Known::refused(original, &unavailable));
                    playback.refused.push((key, unavailable));
                    playback.await_track(key, known)
                }
            };
            playback.lines.push(Line { key, state, unwanted: false, successor: None });
        }
        if playback.lines.iter().all(|line| line.reading().is_none()) {
            let refused = playback.refused.into_iter().next().map(|(_, unavailable)| unavailable);
            return Err(refused.unwrap_or(Unavailable::NoTrack(TrackKey::VIDEO)));
        }
        (0..playback.lines.len()).for_each(|index| playback.join(index));
        if playback.wants.start == Start::BehindTheFault {
            playback.lines.iter_mut().filter_map(Line::reading_mut).for_each(Reading::go_behind);
        }
        playback.wants.accepts.entry = playback.wants.accepts.entry.once_begun();
        Ok(playback)
    }

    /// Returns the feed that is read.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Returns why a track that was there from the start is left out. It returns that only once.
    pub fn take_refused(&mut self, key: TrackKey) -> Option<Unavailable> {
        let index = self.refused.iter().position(|(refused, _)| *refused == key)?;
        Some(self.refused.swap_remove(index).1)
    }

    /// Returns the keys of the tracks that are read now.
    pub fn keys(&self) -> impl Iterator<Item = TrackKey> {
        self.lines.iter().filter(|line| line.reading().is_some()).map(|line| line.key)
    }

    /// Returns the track of this key that is read now.
    pub fn track(&self, key: TrackKey) -> Option<&Arc<Track>> {
        let line = self.lines.iter().find(|line| line.key == key)?;
        line.reading().map(|reading| reading.demand.track())
    }

    /// Returns whether a track of this key is there and sends frames, as far as its newest frame tells. A player would
    /// wait for muted audio if it were announced. Video of a still screen may come every few seconds.
    pub fn flows(&self, key: TrackKey) -> bool {
        let patience = match key.kind {
            MediaKind::Video => STILL_MICROS,
            MediaKind::Audio => MUTED_MICROS,
            MediaKind::Data => return self.is_there(key),
        };
        let newest = || self.feed.original(key).and_then(|original| newest_micros(&original));
        self.is_there(key) && newest().is_none_or(|newest| self.newest_micros().saturating_sub(newest) < patience)
    }

    /// Returns whether a track of this key is read, or is about to be: the publisher has gone over to another one, and the codec of a
    /// conversion is being opened.
    fn is_there(&self, key: TrackKey) -> bool {
        let Some(line) = self.lines.iter().find(|line| line.key == key) else { return false };
        match &line.state {
            State::Read(_) => true,
            State::Awaited { known, .. } => {
                self.feed.original(key).is_some_and(|original| Some(original.id()) != *known)
            }
            State::Over => false,
        }
    }

    /// Pauses, or goes on at the newest group.
    pub fn set_paused(&mut self, paused: bool) {
        if self.paused && !paused {
            (0..self.lines.len()).for_each(|index| self.join(index));
        }
        self.paused = paused;
    }

    /// Leaves a track out, or takes it in again from its newest group on.
    pub fn set_wanted(&mut self, key: TrackKey, wanted: bool) {
        let Some(index) = self.lines.iter().position(|line| line.key == key) else { return };
        let was_unwanted = std::mem::replace(&mut self.lines[index].unwanted, !wanted);
        if wanted && was_unwanted {
            self.join(index);
        }
    }

    /// Goes over to what `recipe` makes of an original track that is read now, from a keyframe on. [`Next::Begun`] tells when.
    /// If it cannot be made, [`Next::Refused`] tells so, and the original is read on.
    pub fn convert(&mut self, key: TrackKey, recipe: Recipe) {
        let feed = self.feed.clone();
        let Some(line) = self.lines.iter_mut().find(|line| line.key == key) else { return };
        let is_original = line.reading().is_some_and(|reading| !reading.demand.is_derived());
        if is_original && line.successor.is_none() {
            line.successor = Some(Successor::new(Box::pin(async move { feed.converted(key, recipe).await })));
        }
    }

    /// Waits for the next thing to do. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Next {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Returns the next thing to do, if there is one. After `None`, only [`Playback::poll_next`] arranges a wake-up.
    pub fn try_next(&mut self) -> Option<Next> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        }
    }

    /// Returns the next thing to do. If there is nothing yet, it calls the waker of `cx` once there is.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        self.poll_changes(cx);
        for index in 0..self.lines.len() {
            if let Some(next) = self.poll_line(index, cx) {
                return Poll::Ready(next);
            }
        }
        if self.lines.iter().all(|line| matches!(line.state, State::Over)) {
            return Poll::Ready(Next::Ended);
        }
        let due = |line: &Line| {
            let Placed { dts_micros, .. } = line.reading()?.pending.as_ref()?;
            Some(if line.key.kind == MediaKind::Video { dts_micros - ONE_MOMENT_MICROS } else { *dts_micros })
        };
        let due = self.lines.iter().enumerate().filter_map(|(index, line)| Some((due(line)?, index)));
        let Some((_, index)) = due.min_by_key(|(micros, _)| *micros) else { return Poll::Pending };
        let line = &mut self.lines[index];
        let placed = line.reading_mut().and_then(|reading| reading.pending.take());
        placed.map_or(Poll::Pending, |placed| Poll::Ready(Next::Frame(line.key, placed)))
    }

    /// Awaits the tracks that the feed has got since it was opened.
    fn poll_changes(&mut self, cx: &mut Context<'_>) {
        while let Some(Changes(changes)) = &mut self.changes {
            let Poll::Ready(stages) = changes.as_mut().poll(cx) else { return };
            self.changes = (!self.feed.is_ended()).then(|| Changes::of(stages));
            for key in self.wanted_keys() {
                if let Err(index) = self.lines.binary_search_by_key(&key, |line| line.key) {
                    let state = self.await_track(key, None);
                    self.lines.insert(index, Line { key, state, unwanted: false, successor: None });
                }
            }
        }
    }

    /// Brings a line to where it has a pending frame or must wait. Returns news that must come before frames.
    fn poll_line(&mut self, index: usize, cx: &mut Context<'_>) -> Option<Next> {
        let line = &mut self.lines[index];
        let key = line.key;
        match &mut line.state {
            State::Over => None,
            State::Awaited { next, .. } => match next.as_mut().poll(cx) {
                Poll::Pending => None,
                Poll::Ready(None) => {
                    line.state = State::Over;
                    None
                }
                Poll::Ready(Some((original, demanded))) => Some(self.take_up(index, original, demanded)),
            },
            State::Read(reading) if self.wants.has_outgrown(reading) => {
                self.lines[index].state = self.await_track(key, None);
                Some(Next::Gone(key))
            }
            State::Read(reading) => {
                let is_muted = self.paused || line.unwanted;
                let successor = line.successor.as_mut().filter(|_| !is_muted && reading.pending.is_none());
                match successor.map_or(Turn::GoOn, |successor| successor.poll(reading, cx)) {
                    Turn::GoOn => {}
                    Turn::Wait => return None,
                    Turn::Until(micros) => return self.go_over(index, micros, cx),
                    Turn::Failed(unavailable) => {
                        line.successor = None;
                        return Some(Next::Refused(key, unavailable));
                    }
                }
                match if is_muted { reading.poll_muted(cx)? } else { reading.poll(cx)? } {
                    Read::Frame(_) => None, // The frame is pending.
                    Read::Skipped(frames) => {
                        reading.want_keyframe_to_start();
                        Some(Next::Skipped(key, frames))
                    }
                    Read::Ended if self.feed.is_ended() => {
                        line.state = State::Over;
                        None
                    }
                    Read::Ended => {
                        let known = reading.known_at_end();
                        self.lines[index].state = self.await_track(key, known);
                        self.lines[index].successor = None;
                        Some(Next::Gone(key))
                    }
                }
            }
        }
    }

    /// Reads a line up to `micros`, where its successor takes over.
    fn go_over(&mut self, index: usize, micros: i64, cx: &mut Context<'_>) -> Option<Next> {
        let line = &mut self.lines[index];
        let key = line.key;
        let State::Read(reading) = &mut line.state else { return None };
        match reading.poll(cx) {
            Some(Read::Skipped(frames)) => return Some(Next::Skipped(key, frames)),
            Some(Read::Ended | Read::Frame(_)) => {}
            None if reading.pending.as_ref().is_none_or(|pending| pending.dts_micros < micros) => return None,
            None => {}
        }
        let next = line.successor.take().and_then(Successor::into_reading)?;
        let parameters = next.demand.track().parameters();
        line.state = State::Read(next);
        Some(Next::Begun(key, parameters))
    }

    /// Takes up an awaited track that is there. It begins, or if it is refused the next one is awaited.
    fn take_up(&mut self, index: usize, original: TrackId, demanded: Result<Demand, Unavailable>) -> Next {
        let key = self.lines[index].key;
        match demanded {
            Ok(demand) => {
                let parameters = demand.track().parameters();
                self.lines[index].state = self.wants.read(demand, Some(original));
                self.join(index);
                Next::Begun(key, parameters)
            }
            Err(unavailable) => {
                self.lines[index].state = self.await_track(key, Some(Known::refused(original, &unavailable)));
                Next::Refused(key, unavailable)
            }
        }
    }

    fn await_track(&self, key: TrackKey, known: Option<Known>) -> State {
        let accepts = &self.wants.accepts;
        let accepts = Accepts { entry: accepts.entry.once_begun(), ..accepts.clone() };
        let next = Box::pin(self.feed.clone().next_demand(key, accepts, known));
        State::Awaited { next, known: known.map(|known| known.track()) }
    }

    /// Returns the keys that the player wants and the feed has, the main ones whether it has them or not.
    fn wanted_keys(&self) -> Vec<TrackKey> {
        let mut keys = vec![TrackKey::VIDEO, TrackKey::AUDIO];
        if self.wants.tracks == Tracks::All {
            keys.extend(self.feed.keys());
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }

    /// Lets a line start where a player that comes now starts.
    fn join(&mut self, index: usize) {
        let early = self.early();
        let begins = self.track(TrackKey::VIDEO).and_then(|video| match early {
            // A conversion that has just begun has no keyframe yet. It will begin there or later.
            Some(early) => Some(video.keyframe_at(early).map_or(early, |keyframe| keyframe.wall)),
            None => video.newest_keyframe().map(|keyframe| keyframe.wall),
        });
        let floor_micros = match self.wants.start {
            Start::Present => self.newest_micros().saturating_sub(PRE_ROLL_MICROS),
            Start::Group | Start::BehindTheFault => i64::MIN,
        };
        let line = &mut self.lines[index];
        let is_video = line.key.kind == MediaKind::Video;
        let Some(reading) = line.reading_mut() else { return };
        match (early, begins) {
            (Some(early), _) if is_video && reading.demand.is_derived() => {
                reading.join(Join::GroupAt(early), floor_micros)
            }
            (_, Some(begins)) if !is_video => reading.join_at(begins, floor_micros),
            _ => reading.join(Join::Group, floor_micros),
        }
    }

    /// Returns the moment from which on the player can use a conversion of the main video, if that is before the present.
    fn early(&self) -> Option<WallTime> {
        let history = self.wants.accepts.entry.history();
        let video = self.lines.iter().find(|line| line.key == TrackKey::VIDEO)?.reading()?;
        let newest = self
            .feed
            .original(TrackKey::VIDEO)
            .filter(|_| !history.is_zero() && video.demand.is_derived())?
            .newest()?;
        Some(newest.wall.offset_micros(-i64::try_from(history.as_micros()).unwrap_or(0)))
    }

    /// Returns how far the feed is, in µs of its timeline. Only originals count, because a conversion may have just
    /// begun, or is slightly behind.
    fn newest_micros(&self) -> i64 {
        let originals = [TrackKey::VIDEO, TrackKey::AUDIO].into_iter().filter_map(|key| self.feed.original(key));
        originals.filter_map(|original| newest_micros(&original)).max().unwrap_or(i64::MIN)
    }
}

fn newest_micros(track: &Track) -> Option<i64> {
    track.newest().map(|frame| frame.dts.micros(track.clock_rate()))
}

impl Line {
    fn reading(&self) -> Option<&Reading> {
        match &self.state {
            State::Read(reading) => Some(reading),
            State::Awaited { .. } | State::Over => None,
        }
    }

    fn reading_mut(&mut self) -> Option<&mut Reading> {
        match &mut self.state {
            State::Read(reading) => Some(reading),
            State::Awaited { .. } | State::Over => None,
        }
    }
}

impl Changes {
    fn of(mut stages: watch::Receiver<FeedStage>) -> Self {
        Self(Box::pin(async move {
            if stages.changed().await.is_err() {
                std::future::pending::<()>().await; // The feed is gone. Its reader holds it, so this never happens.
            }
            stages
        }))
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Changes")
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Awaited { .. } => f.write_str("Awaited"),
            Self::Read(reading) => reading.fmt(f),
            Self::Over => f.write_str("Over"),
        }
    }
}
