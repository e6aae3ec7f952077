//! One way to read a feed: its tracks for one player, the oldest frame first, whatever comes and goes meanwhile.
//!
//! FLV, RTMP and LL-HLS read a feed through a [`Playback`]; a WebRTC shard, which reads a track once for all its
//! viewers, waits for tracks by the same [`Feed::next_demand`].
//!
//! ```text
//!            ┌────────────── the track ended while the feed lives: Gone ─────────────┐
//!            ▼                                                                       │
//!   awaited (next_demand) ── there, and the codec fits: Begun ──▶ read (Frame, Skipped) ──▶ over (the feed ended)
//!            │ ▲
//!            └─┘ cannot be converted: Refused; the next original of this key is awaited
//! ```
//!
//! Every track goes through these states by itself, and nothing waits for another: of the frames that are there
//! the oldest goes first, video before audio at one moment.
//!
//! **Where a player joins** ([`Start`]). A player of the present gets no more than [`PRE_ROLL_MICROS`] of the past. Audio
//! older than that is not sent. Video has to start at a keyframe, however old it is: its frames before that moment are stamped
//! [`CATCH_UP_STEP_MICROS`] apart, so that a decoder runs through them and shows the present. A packager gets what
//! the rings hold, with the times it has.
//!
//! Bounded by one pending frame per track; the ring keeps the rest, and a reader that it evicts is told so.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;

use crate::codec::Parameters;
use crate::feed::{Accepts, Demand, Feed, Stage, Unavailable};
use crate::frame::Frame;
use crate::key::{MediaKind, TrackKey};
use crate::ring::{Join, Read, Reader};
use crate::time::{ClockRate, WallTime};
use crate::track::{Track, TrackId};

/// Most of the past that a player of the present is served, in µs: a usual keyframe interval, and less than what anybody
/// takes for live.
pub const PRE_ROLL_MICROS: i64 = 2_000_000;

/// Decoding times of frames that are older than the pre-roll are this far apart, in µs: the smallest step of FLV and RTMP.
const CATCH_UP_STEP_MICROS: i64 = 1_000;

/// Frames that are this close belong to one moment, at which video goes first: the clocks of the two kinds round to their
/// own ticks, and RTMP to milliseconds.
const ONE_MOMENT_MICROS: i64 = 500;

/// Audio is a steady flow: a track whose newest frame is this much older than the feed's newest is muted.
const MUTED_MICROS: i64 = 2_000_000;

/// Video may be a still screen that is sent this rarely. After a longer time the camera is off.
const STILL_MICROS: i64 = 10_000_000;

/// The tracks and codecs that a player wants.
#[derive(Clone, Debug)]
pub struct Wants {
    /// The codecs it decodes, of all kinds.
    pub accepts: Accepts,
    /// The tracks that it reads.
    pub tracks: Tracks,
    /// The place at which it starts.
    pub start: Start,
}

/// The tracks of a feed that a player reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracks {
    /// The main video and the main audio.
    Main,
    /// Every track, also those that the feed gets later.
    All,
}

/// The place at which a player starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The present, with at most [`PRE_ROLL_MICROS`] of the past.
    Present,
    /// The newest group with its own times, for a packager whose playlists state when each frame was.
    Group,
}

/// The next thing that a player has to do.
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
    /// There is such a track, and it cannot be converted for this player.
    Refused(TrackKey, Unavailable),
    /// The feed is over and everything was read. Final.
    Ended,
}

/// A frame and when it is due, in µs on the feed's timeline.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The frame that all readers share.
    pub frame: Arc<Frame>,
    /// Decoding time. Increases within a track.
    pub dts_micros: i64,
    /// The presentation time.
    pub pts_micros: i64,
}

impl Placed {
    /// Decoding time in ms after `origin_micros`, rounded, as FLV and RTMP count; `None` before it.
    pub fn millis_since(&self, origin_micros: i64) -> Option<u64> {
        u64::try_from((self.dts_micros - origin_micros + ONE_MOMENT_MICROS).div_euclid(1000)).ok()
    }

    /// Presentation minus decoding time, in ms.
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
    /// Tracks that could not be converted when it was opened; told by [`Playback::take_refused`].
    refused: Vec<(TrackKey, Unavailable)>,
    /// Wakes when the feed may have another track, for [`Tracks::All`].
    changes: Option<Changes>,
}

/// One track on its way to the player.
#[derive(Debug)]
struct Line {
    key: TrackKey,
    state: State,
    /// Whether the player asked for this track to be left out.
    unwanted: bool,
}

/// The next original track of a key by its id, and what the player gets of it; `None` once the feed is over.
type Awaited = Pin<Box<dyn Future<Output = Option<(TrackId, Result<Demand, Unavailable>)>> + Send>>;

/// Resolves, when the feed has changed, to the receiver that it waited on.
struct Changes(Pin<Box<dyn Future<Output = watch::Receiver<Stage>> + Send>>);

enum State {
    Awaited(Awaited),
    Read(Box<Reading>),
    Over,
}

#[derive(Debug)]
struct Reading {
    /// Keeps a derived track alive.
    demand: Demand,
    /// The original track that it is, or is derived from.
    original: Option<TrackId>,
    reader: Reader,
    rate: ClockRate,
    pending: Option<Placed>,
    /// Frames due before this are in the past for the player.
    floor_micros: i64,
    last_micros: i64,
    has_read: bool,
}

impl Playback {
    /// Opens the tracks that `feed` has now; those that come later are announced by [`Next::Begun`]. Call it when the
    /// feed has settled ([`Feed::settled`]). An error when the feed has tracks and none of them can be converted, or has none.
    pub async fn open(feed: Arc<Feed>, wants: Wants) -> Result<Self, Unavailable> {
        let changes = (wants.tracks == Tracks::All).then(|| Changes::of(feed.stages()));
        let mut playback = Self { feed, wants, lines: Vec::new(), paused: false, refused: Vec::new(), changes };
        for key in playback.wanted_keys() {
            let original = playback.feed.original(key).map(|original| original.id());
            let state = match playback.feed.demanded(key, &playback.wants.accepts).await {
                Ok(demand) => State::read(demand, original),
                Err(Unavailable::NoTrack(_)) => playback.await_track(key, None),
                Err(unavailable) => {
                    playback.refused.push((key, unavailable));
                    playback.await_track(key, original)
                }
            };
            playback.lines.push(Line { key, state, unwanted: false });
        }
        if playback.lines.iter().all(|line| line.reading().is_none()) {
            let refused = playback.refused.into_iter().next().map(|(_, unavailable)| unavailable);
            return Err(refused.unwrap_or(Unavailable::NoTrack(TrackKey::VIDEO)));
        }
        (0..playback.lines.len()).for_each(|index| playback.join(index));
        Ok(playback)
    }

    /// The feed that is read.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Why a track that was there from the start is left out. Tells it once.
    pub fn take_refused(&mut self, key: TrackKey) -> Option<Unavailable> {
        let index = self.refused.iter().position(|(refused, _)| *refused == key)?;
        Some(self.refused.swap_remove(index).1)
    }

    /// The keys of the tracks that are read now.
    pub fn keys(&self) -> impl Iterator<Item = TrackKey> {
        self.lines.iter().filter(|line| line.reading().is_some()).map(|line| line.key)
    }

    /// The track of this key that is read now.
    pub fn track(&self, key: TrackKey) -> Option<&Arc<Track>> {
        let line = self.lines.iter().find(|line| line.key == key)?;
        line.reading().map(|reading| reading.demand.track())
    }

    /// Whether a track of this key is there and flows, as far as its newest frame tells. A player that was told of muted
    /// audio would wait for it; video of a still screen may come every few seconds.
    pub fn flows(&self, key: TrackKey) -> bool {
        let patience = match key.kind {
            MediaKind::Video => STILL_MICROS,
            MediaKind::Audio => MUTED_MICROS,
            MediaKind::Data => return self.track(key).is_some(),
        };
        let newest = || self.feed.original(key).and_then(|original| newest_micros(&original));
        self.track(key).is_some()
            && newest().is_none_or(|newest| self.newest_micros().saturating_sub(newest) < patience)
    }

    /// Stops, or goes on at the newest group.
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

    /// Waits for the next thing to do. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Next {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next thing to do, if there is one. After `None`, only [`Playback::poll_next`] arranges a wake-up.
    pub fn try_next(&mut self) -> Option<Next> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        }
    }

    /// The next thing to do. If there is nothing yet, it calls the waker of `cx` once there is.
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
                    self.lines.insert(index, Line { key, state, unwanted: false });
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
            State::Awaited(next) => match next.as_mut().poll(cx) {
                Poll::Pending => None,
                Poll::Ready(None) => {
                    line.state = State::Over;
                    None
                }
                Poll::Ready(Some((original, demanded))) => Some(self.take_up(index, original, demanded)),
            },
            State::Read(_) if self.paused || line.unwanted => None,
            State::Read(reading) => match reading.poll(cx)? {
                Read::Frame(_) => None, // It is pending.
                Read::Skipped(frames) => Some(Next::Skipped(key, frames)),
                Read::Ended if self.feed.is_ended() => {
                    line.state = State::Over;
                    None
                }
                Read::Ended => {
                    // A conversion may end by itself and be made anew; one that brought nothing would fail again.
                    let anew = reading.demand.is_derived() && reading.has_read;
                    let known = reading.original.filter(|_| !anew);
                    self.lines[index].state = self.await_track(key, known);
                    Some(Next::Gone(key))
                }
            },
        }
    }

    /// The awaited track is there: it begins, or the next one is awaited.
    fn take_up(&mut self, index: usize, original: TrackId, demanded: Result<Demand, Unavailable>) -> Next {
        let key = self.lines[index].key;
        match demanded {
            Ok(demand) => {
                let parameters = demand.track().parameters();
                self.lines[index].state = State::read(demand, Some(original));
                self.join(index);
                Next::Begun(key, parameters)
            }
            Err(unavailable) => {
                self.lines[index].state = self.await_track(key, Some(original));
                Next::Refused(key, unavailable)
            }
        }
    }

    fn await_track(&self, key: TrackKey, known: Option<TrackId>) -> State {
        State::Awaited(Box::pin(self.feed.clone().next_demand(key, self.wants.accepts.clone(), known)))
    }

    /// The keys that the player wants and the feed has, the main ones whether it has them or not.
    fn wanted_keys(&self) -> Vec<TrackKey> {
        let mut keys = vec![TrackKey::VIDEO, TrackKey::AUDIO];
        if self.wants.tracks == Tracks::All {
            keys.extend(self.feed.keys());
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }

    /// A line starts where a player that comes now starts.
    fn join(&mut self, index: usize) {
        let keyframe = self.track(TrackKey::VIDEO).and_then(|video| video.newest_keyframe());
        let floor_micros = match self.wants.start {
            Start::Present => self.newest_micros().saturating_sub(PRE_ROLL_MICROS),
            Start::Group => i64::MIN,
        };
        let line = &mut self.lines[index];
        let is_video = line.key.kind == MediaKind::Video;
        let Some(reading) = line.reading_mut() else { return };
        let join = match keyframe {
            Some(keyframe) if !is_video => Join::At(reading.not_before(keyframe.wall, floor_micros)),
            _ => Join::Group,
        };
        reading.reader = reading.demand.track().reader(join);
        (reading.pending, reading.floor_micros) = (None, floor_micros);
    }

    /// How far the feed is, in µs of its timeline. Originals tell: a conversion has just begun, or is a little behind.
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
            State::Awaited(_) | State::Over => None,
        }
    }

    fn reading_mut(&mut self) -> Option<&mut Reading> {
        match &mut self.state {
            State::Read(reading) => Some(reading),
            State::Awaited(_) | State::Over => None,
        }
    }
}

impl Changes {
    fn of(mut stages: watch::Receiver<Stage>) -> Self {
        Self(Box::pin(async move {
            if stages.changed().await.is_err() {
                std::future::pending::<()>().await; // The feed is gone, and whoever reads it holds it.
            }
            stages
        }))
    }
}

impl State {
    fn read(demand: Demand, original: Option<TrackId>) -> Self {
        let (reader, rate) = (demand.track().reader(Join::Group), demand.track().clock_rate());
        Self::Read(Box::new(Reading {
            demand,
            original,
            reader,
            rate,
            pending: None,
            floor_micros: i64::MIN,
            last_micros: i64::MIN,
            has_read: false,
        }))
    }
}

impl Reading {
    /// Sees to it that a frame is pending if there is one. `None` when there is nothing to read, or one is pending.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Read> {
        while self.pending.is_none() {
            let Poll::Ready(read) = self.reader.poll_read(cx) else { return None };
            let Read::Frame(frame) = read else { return Some(read) };
            self.has_read = true;
            self.pending = self.place(frame);
        }
        None
    }

    /// Decides when `frame` is due for this player. `None` for a frame of the past that no decoder needs.
    fn place(&mut self, frame: Arc<Frame>) -> Option<Placed> {
        let (dts, pts) = (frame.dts.micros(self.rate), frame.pts.micros(self.rate));
        let is_past = dts < self.floor_micros;
        if is_past && frame.parameters.kind() != MediaKind::Video {
            return None;
        }
        let after_last = self.last_micros.saturating_add(CATCH_UP_STEP_MICROS);
        let placed = if is_past || dts <= self.last_micros {
            let dts_micros = self.floor_micros.max(after_last);
            Placed { frame, dts_micros, pts_micros: pts.max(dts_micros) }
        } else {
            Placed { frame, dts_micros: dts, pts_micros: pts }
        };
        self.last_micros = placed.dts_micros;
        Some(placed)
    }

    /// `wall`, or the wall time at `floor_micros` where that is later, as the track's newest frame tells it.
    fn not_before(&self, wall: WallTime, floor_micros: i64) -> WallTime {
        let Some(newest) = self.demand.track().newest() else { return wall };
        let since_newest = floor_micros.checked_sub(newest.pts.micros(self.rate));
        since_newest.map_or(wall, |since| wall.max(newest.wall.offset_micros(since)))
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
            Self::Awaited(_) => f.write_str("Awaited"),
            Self::Read(reading) => reading.fmt(f),
            Self::Over => f.write_str("Over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::key::Rendition;
    use crate::testing::{Frames, audio, video};

    const PLAYER: &[Codec] = &[Codec::Vp8, Codec::Opus];

    /// A feed with a track of video and one of audio, and 40 ms frames for both.
    struct Fixture {
        feed: Arc<Feed>,
        video: (Arc<Track>, Frames),
        audio: (Arc<Track>, Frames),
    }

    impl Fixture {
        fn new() -> Self {
            let pair =
                |parameters: Arc<Parameters>| (Arc::new(Track::new(parameters.clone())), Frames::new(parameters));
            let (video, audio) = (pair(video()), pair(audio()));
            let feed = Feed::new(None);
            feed.set_original(video.0.clone());
            feed.set_original(audio.0.clone());
            Self { feed, video, audio }
        }

        /// Pushes `frames` of video, of which the first is a keyframe.
        fn push_video(&mut self, frames: usize) {
            (0..frames).for_each(|n| self.video.0.push(self.video.1.frame(n == 0, 1)));
        }

        fn push_audio(&mut self, frames: usize) {
            (0..frames).for_each(|_| self.audio.0.push(self.audio.1.frame(true, 1)));
        }

        async fn open(&self, start: Start) -> Playback {
            open(&self.feed, PLAYER, start).await.unwrap()
        }
    }

    async fn open(feed: &Arc<Feed>, codecs: &[Codec], start: Start) -> Result<Playback, Unavailable> {
        let accepts = Accepts { codecs: codecs.into(), reordering: true };
        Playback::open(feed.clone(), Wants { accepts, tracks: Tracks::All, start }).await
    }

    /// `v`, `a`, or `v1` and a colon.
    fn letter(key: TrackKey) -> String {
        let letter = &key.kind.name()[..1];
        if key.leads() { letter.to_owned() } else { format!("{letter}{}:", key.rendition.0) }
    }

    /// The whole output as text: `v` or `a` with milliseconds for frames, and the news between them.
    fn text(playback: &mut Playback) -> String {
        let mut text = Vec::new();
        while let Some(next) = playback.try_next() {
            text.push(match next {
                Next::Frame(key, placed) => format!("{}{}", letter(key), placed.dts_micros / 1000),
                Next::Begun(key, _) => format!("+{key}"),
                Next::Gone(key) => format!("-{key}"),
                Next::Skipped(key, frames) => format!("{key} lost {frames}"),
                Next::Refused(key, _) => format!("no {key}"),
                Next::Ended => {
                    text.push("ended".to_owned());
                    break;
                }
            });
        }
        text.join(" ")
    }

    #[tokio::test]
    async fn the_oldest_frame_goes_first_and_video_at_one_moment() {
        let mut fixture = Fixture::new();
        fixture.push_video(3);
        fixture.push_audio(2);
        let mut playback = fixture.open(Start::Present).await;
        assert_eq!(text(&mut playback), "v0 a0 v40 a40 v80");
        fixture.push_audio(2);
        assert_eq!(text(&mut playback), "a80 a120", "nothing waits for the other kind");
        fixture.feed.end();
        assert_eq!(text(&mut playback), "ended");
    }

    #[tokio::test]
    async fn a_track_that_comes_later_begins_in_the_playback_that_is_there() {
        let mut fixture = Fixture::new();
        fixture.push_video(1);
        let feed = Feed::new(None);
        feed.set_original(fixture.video.0.clone());
        let mut playback = open(&feed, PLAYER, Start::Present).await.unwrap();
        assert!(!playback.flows(TrackKey::AUDIO));
        assert_eq!(text(&mut playback), "v0");
        fixture.push_audio(1);
        feed.set_original(fixture.audio.0.clone());
        assert_eq!(text(&mut playback), "+audio a0");
    }

    #[tokio::test]
    async fn a_track_that_is_replaced_is_gone_and_the_next_one_begins() {
        let mut fixture = Fixture::new();
        fixture.push_video(1);
        fixture.push_audio(1);
        let mut playback = fixture.open(Start::Present).await;
        assert_eq!(text(&mut playback), "v0 a0");
        let other = Arc::new(Track::new(video()));
        fixture.feed.set_original(other.clone());
        other.push(fixture.video.1.frame(true, 1));
        assert_eq!(text(&mut playback), "-video +video v40");
    }

    #[tokio::test]
    async fn a_track_that_cannot_be_converted_is_refused_and_the_next_one_may_begin() {
        let mut fixture = Fixture::new();
        fixture.push_audio(1);
        let mut playback = open(&fixture.feed, &[Codec::H264, Codec::Opus], Start::Present).await.unwrap();
        assert_eq!(text(&mut playback), "a0");
        fixture.feed.set_original(Arc::new(Track::new(video())));
        assert!(matches!(playback.next().await, Next::Refused(TrackKey::VIDEO, Unavailable::NoRecipe(Codec::Vp8))));
        let refused = open(&fixture.feed, &[Codec::H264], Start::Present).await.unwrap_err();
        assert_eq!(refused, Unavailable::NoRecipe(Codec::Vp8));
    }

    #[tokio::test]
    async fn audio_of_long_ago_is_not_sent_as_the_present() {
        let mut fixture = Fixture::new();
        fixture.push_video(2);
        fixture.push_audio(500); // 20 s, in which the video pauses.
        let mut playback = fixture.open(Start::Present).await;
        let text = text(&mut playback);
        assert!(text.starts_with("v17960 v17961 a17960 a18000") || text.starts_with("v17960 a17960 v17961"), "{text}");
        assert_eq!(text.split(' ').filter(|frame| frame.starts_with('a')).count(), 51);
    }

    #[tokio::test]
    async fn video_of_a_long_group_is_run_through_up_to_the_present() {
        let mut fixture = Fixture::new();
        fixture.push_video(251); // 10 s.
        let mut playback = fixture.open(Start::Present).await;
        let text = text(&mut playback);
        let times: Vec<i64> = text.split(' ').map(|frame| frame[1..].parse().unwrap()).collect();
        assert_eq!((times[0], times[1], *times.last().unwrap()), (8_000, 8_001, 10_000));
        assert!(times.is_sorted() && times.len() == 251, "all of the group, which a decoder needs");
    }

    #[tokio::test]
    async fn a_packager_gets_the_group_with_the_times_it_has() {
        let mut fixture = Fixture::new();
        fixture.push_video(251);
        fixture.push_audio(251);
        let mut playback = fixture.open(Start::Group).await;
        let text = text(&mut playback);
        assert!(text.starts_with("v0 a0 v40 a40") && text.ends_with("v10000 a10000"), "{text}");
    }

    #[tokio::test]
    async fn muted_audio_does_not_flow_until_it_goes_on() {
        let mut fixture = Fixture::new();
        fixture.push_audio(1);
        fixture.push_video(60);
        let mut playback = fixture.open(Start::Present).await;
        assert!(playback.flows(TrackKey::VIDEO) && !playback.flows(TrackKey::AUDIO));
        assert!(!text(&mut playback).contains('a'));
        fixture.push_audio(60);
        assert!(playback.flows(TrackKey::AUDIO) && text(&mut playback).ends_with("a2400"));
    }

    #[tokio::test]
    async fn a_player_that_pauses_goes_on_at_the_newest_group() {
        let mut fixture = Fixture::new();
        fixture.push_video(1);
        let mut playback = fixture.open(Start::Present).await;
        playback.set_paused(true);
        fixture.push_video(2);
        assert_eq!(text(&mut playback), "");
        playback.set_paused(false);
        assert_eq!(text(&mut playback), "v40 v80");
        playback.set_wanted(TrackKey::VIDEO, false);
        fixture.push_video(2);
        assert_eq!(text(&mut playback), "");
        playback.set_wanted(TrackKey::VIDEO, true);
        assert_eq!(text(&mut playback), "v120 v160");
    }

    #[tokio::test]
    async fn a_player_that_is_too_slow_is_told_what_it_lost() {
        let mut fixture = Fixture::new();
        fixture.push_video(2);
        let mut playback = fixture.open(Start::Present).await;
        (0..3).for_each(|_| fixture.push_video(1)); // The ring keeps two groups.
        assert_eq!(text(&mut playback), "video lost 4 v160");
    }

    #[tokio::test]
    async fn a_player_that_wants_all_tracks_reads_a_rendition_that_comes_later() {
        let mut fixture = Fixture::new();
        fixture.push_video(1);
        let mut all = fixture.open(Start::Present).await;
        let accepts = Accepts { codecs: PLAYER.into(), reordering: true };
        let wants = Wants { accepts, tracks: Tracks::Main, start: Start::Present };
        let mut main = Playback::open(fixture.feed.clone(), wants).await.unwrap();
        let low = Arc::new(Track::with_rendition(Rendition(1), video()));
        assert!(fixture.feed.set_original(low.clone()));
        low.push(Frames::new(video()).frame(true, 1));
        assert_eq!(text(&mut all), "+video1 v0 v1:0");
        assert_eq!(text(&mut main), "v0");
    }
}
