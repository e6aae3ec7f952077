//! The ring of frames from which every track is read.
//!
//! One producer appends frames; any number of readers walk them at their own pace. The producer never waits. The ring
//! evicts frames that are too old. A reader that stood on such a frame skips to the newest group (a keyframe and the
//! frames after it) and is told how many frames it lost. Frames are shared, so a reader costs a cursor.
//!
//! [`Retention`] bounds the ring by groups, age and bytes. A group that alone outgrows the bounds loses its head. No
//! reader can join on it any more, and new readers wait for the next keyframe.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::codec::metadata::MESSAGE_BYTES_MAX;
use crate::frame::Frame;
use crate::parking;
use crate::time::WallTime;

/// States how much a ring keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The most groups, including the current one. Audio does not use it, because each frame is a group.
    pub groups: usize,
    /// The largest age of the oldest frame compared with the newest, by arrival.
    pub age: Duration,
    /// The most that all frames cost, in bytes ([`Frame::cost`]).
    pub bytes: usize,
}

impl Retention {
    /// Keeps the current group to join on, and the previous one for readers in the middle of it. 64 MiB are 25 s at 20
    /// Mbit/s.
    pub const VIDEO: Self = Self { groups: 2, age: Duration::from_secs(40), bytes: 64 << 20 };
    /// Keeps audio as long as a video group may be, so that a reader can join both at one moment. 6 MiB are 40 s of 400 packets
    /// of Opus a second, the most that there are.
    pub const AUDIO: Self = Self { groups: usize::MAX, age: Duration::from_secs(40), bytes: 6 << 20 };
    /// Keeps data as long as the others, and 16 messages of the largest size.
    pub const DATA: Self =
        Self { groups: usize::MAX, age: Duration::from_secs(40), bytes: 16 * (MESSAGE_BYTES_MAX + Frame::OVERHEAD) };
}

/// States where a new reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The head of the newest complete group, or else the next keyframe.
    Group,
    /// The frame from which a decoder comes to a picture soonest: the newest recovery point whose recovery is over, else
    /// the newest keyframe, else the oldest recovery point.
    Recovery,
    /// The next keyframe that is pushed.
    NextKeyframe,
    /// The oldest frame in the ring whose wall time is this one or later.
    At(WallTime),
    /// The newest keyframe of this wall time or earlier, else the oldest keyframe in the ring.
    GroupAt(WallTime),
    /// The same, or a recovery point of this wall time or earlier whose recovery is over, if that is newer.
    RecoveryAt(WallTime),
}

impl Join {
    /// Returns whether the reader may start at a recovery point.
    fn is_by_recovery(self) -> bool {
        matches!(self, Self::Recovery | Self::RecoveryAt(_))
    }
}

/// Is the result of a read.
#[derive(Clone, Debug)]
pub enum Read {
    /// The next frame.
    Frame(Arc<Frame>),
    /// The reader was too slow: this many frames are gone. The next read starts a group.
    Skipped(u64),
    /// The producer ended and everything was read. Nothing follows.
    Ended,
}

/// Is the shared ring. It is cheap to clone. Every holder may push, so only a track's owner should hold it.
#[derive(Clone, Debug)]
pub struct Ring {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    retention: Retention,
    frames: VecDeque<Arc<Frame>>,
    /// The sequence number of `frames[0]`. A frame's number is its position since the ring was made.
    first: u64,
    /// The sequence numbers of the keyframes that are still kept, the oldest first.
    groups: VecDeque<u64>,
    /// The recovery points since the newest keyframe, oldest first.
    recoveries: VecDeque<RecoveryPoint>,
    bytes: usize,
    ended: bool,
    readers: u64,
    /// The wakers of waiting readers, one for each, because a track may be silent for days while readers come and go.
    wakers: HashMap<u64, Waker>,
}

/// Names a frame that is not a keyframe and that decoding may start at.
#[derive(Clone, Copy, Debug)]
struct RecoveryPoint {
    number: u64,
    /// The frame at which the picture is right.
    recovered: u64,
}

impl State {
    fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    fn evict(&mut self, now: Instant) {
        while self.is_over(now) {
            let Some(frame) = self.frames.pop_front() else { return };
            self.bytes -= frame.cost();
            if self.groups.front() == Some(&self.first) {
                self.groups.pop_front();
            }
            self.first += 1;
        }
        while self.recoveries.front().is_some_and(|point| point.number < self.first) {
            self.recoveries.pop_front();
        }
        // Only readers that are already in a group can read the rest of it after its keyframe is gone.
        debug_assert!(self.groups.front().is_none_or(|group| *group >= self.first));
    }

    /// Returns the frame at which a reader that comes now starts: the newest keyframe, or a recovery point behind it.
    fn entry(&self, by_recovery: bool) -> Option<u64> {
        let is_over = |point: &&RecoveryPoint| point.recovered < self.next();
        let over = self.recoveries.iter().rev().find(is_over).filter(|_| by_recovery).map(|point| point.number);
        let group = self.groups.back().copied();
        let begun = self.recoveries.front().filter(|_| by_recovery).map(|point| point.number);
        over.or(group).or(begun)
    }

    /// Returns the newest place of this wall time or earlier at which a reader can start, or else the oldest such place.
    fn entry_at(&self, wall: WallTime, by_recovery: bool) -> Option<u64> {
        let is_over = |point: &&RecoveryPoint| by_recovery && point.recovered < self.next();
        let over = self.recoveries.iter().rev().filter(is_over).map(|point| point.number);
        let is_early = |number: &u64| self.frame(*number).is_some_and(|frame| frame.wall <= wall);
        let found = over.chain(self.groups.iter().rev().copied()).find(is_early);
        found.or_else(|| self.groups.front().copied()).or_else(|| self.entry(by_recovery))
    }

    fn frame(&self, number: u64) -> Option<&Arc<Frame>> {
        self.frames.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn recovers_at(&self, number: u64) -> bool {
        self.recoveries.iter().any(|point| point.number == number)
    }

    fn is_over(&self, now: Instant) -> bool {
        if self.frames.len() <= 1 {
            return false; // The newest frame always stays.
        }
        let Retention { groups, age, bytes } = self.retention;
        let headless = self.groups.front().is_some_and(|group| *group > self.first);
        self.bytes > bytes
            || self.groups.len() > groups
            || (headless && self.groups.len() >= groups)
            || self.frames.front().is_some_and(|frame| now.saturating_duration_since(frame.arrived) > age)
    }
}

impl Ring {
    /// Makes an empty ring.
    pub fn new(retention: Retention) -> Self {
        let state = State {
            retention,
            frames: VecDeque::new(),
            first: 0,
            groups: VecDeque::new(),
            recoveries: VecDeque::new(),
            bytes: 0,
            ended: false,
            readers: 0,
            wakers: HashMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Appends `frame`, evicts the frames above the bounds and wakes the readers. It does nothing after [`Ring::end`].
    pub fn push(&self, frame: Frame) {
        self.push_recovering(frame, None);
    }

    /// Does the same as [`Ring::push`]. A recovery point comes with the number of frames until the picture is right.
    pub fn push_recovering(&self, frame: Frame, recovery_frames: Option<u32>) {
        let wakers = {
            let mut state = self.state.lock();
            if state.ended {
                return;
            }
            let now = frame.arrived;
            let number = state.next();
            if frame.keyframe {
                state.groups.push_back(number);
                state.recoveries.clear();
            } else if let Some(frames) = recovery_frames {
                state.recoveries.push_back(RecoveryPoint { number, recovered: number + u64::from(frames) });
            }
            state.bytes += frame.cost();
            state.frames.push_back(Arc::new(frame));
            state.evict(now);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    /// Ends the ring: readers get the rest, then [`Read::Ended`].
    pub fn end(&self) {
        let wakers = {
            let mut state = self.state.lock();
            state.ended = true;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    /// Returns whether [`Ring::end`] was called.
    pub fn is_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Returns the newest frame, if any.
    pub fn newest(&self) -> Option<Arc<Frame>> {
        self.state.lock().frames.back().cloned()
    }

    /// Returns the keyframe of the newest whole group, if any.
    pub fn newest_keyframe(&self) -> Option<Arc<Frame>> {
        let state = self.state.lock();
        state.frame(*state.groups.back()?).cloned()
    }

    /// Returns the keyframe at which a reader would start by [`Join::GroupAt`], if any.
    pub fn keyframe_at(&self, wall: WallTime) -> Option<Arc<Frame>> {
        let state = self.state.lock();
        state.frame(state.entry_at(wall, false)?).cloned()
    }

    /// Makes a new reader.
    pub fn reader(&self, join: Join) -> Reader {
        let mut state = self.state.lock();
        state.readers += 1;
        let id = state.readers;
        let by_recovery = join.is_by_recovery();
        let from = |entry: Option<u64>| (entry.unwrap_or_else(|| state.next()), entry.is_none());
        let (next, wants_keyframe) = match join {
            Join::Group | Join::Recovery => from(state.entry(by_recovery)),
            Join::GroupAt(wall) | Join::RecoveryAt(wall) => from(state.entry_at(wall, by_recovery)),
            Join::NextKeyframe => (state.next(), true),
            Join::At(wall) => {
                let older = state.frames.partition_point(|frame| frame.wall < wall);
                (state.first + older as u64, false)
            }
        };
        drop(state);
        Reader { ring: self.clone(), id, next, by_recovery, wants_keyframe, skipped: 0 }
    }
}

/// Is a cursor into a [`Ring`].
#[derive(Debug)]
pub struct Reader {
    ring: Ring,
    id: u64,
    next: u64,
    /// Whether it may start at a recovery point.
    by_recovery: bool,
    wants_keyframe: bool,
    skipped: u64,
}

impl Reader {
    /// Returns the next thing to read, or `None` if the reader has caught up.
    pub fn try_read(&mut self) -> Option<Read> {
        let ring = self.ring.clone();
        let mut state = ring.state.lock();
        self.advance(&mut state)
    }

    /// Returns the next result. If there is nothing to read, it calls the waker of `cx` once, on the next push or at
    /// the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        let ring = self.ring.clone();
        let mut state = ring.state.lock();
        if let Some(read) = self.advance(&mut state) {
            return Poll::Ready(read);
        }
        // The waker from before is replaced, because every call of `read_timeout` brings a new one.
        let before = state.wakers.insert(self.id, cx.waker().clone());
        drop(state);
        drop(before); // The waker may be the last of a task, whose drop must not run under the lock.
        Poll::Pending
    }

    /// Waits for the next thing to read.
    pub async fn read(&mut self) -> Read {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// Blocks this thread until there is something to read, for `timeout` at most. Returns `None` if that passed.
    pub fn read_timeout(&mut self, timeout: Duration) -> Option<Read> {
        let waker = parking::waker();
        let mut cx = Context::from_waker(&waker);
        let deadline = Instant::now() + timeout;
        loop {
            if let Poll::Ready(read) = self.poll_read(&mut cx) {
                return Some(read);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            thread::park_timeout(left);
        }
    }

    /// Leaves out all that is there, and goes on with the next frame at which a decoder can start. Work that died over a frame of
    /// the ring begins behind it that way.
    pub fn go_behind(&mut self) {
        (self.next, self.skipped, self.wants_keyframe) = (self.ring.state.lock().next(), 0, true);
    }

    /// Returns the number of frames between this reader and the newest.
    pub fn backlog(&self) -> u64 {
        self.ring.state.lock().next().saturating_sub(self.next)
    }

    fn advance(&mut self, state: &mut State) -> Option<Read> {
        if self.next < state.first {
            let entry = state.entry(self.by_recovery);
            let target = entry.unwrap_or_else(|| state.next());
            self.wants_keyframe = entry.is_none();
            self.skipped += target - self.next;
            self.next = target;
        }
        if self.skipped > 0 {
            return Some(Read::Skipped(std::mem::take(&mut self.skipped)));
        }
        loop {
            let offset = usize::try_from(self.next - state.first).expect("a ring holds less than usize frames");
            let Some(frame) = state.frames.get(offset) else {
                return state.ended.then_some(Read::Ended);
            };
            let is_entry = frame.keyframe || self.by_recovery && state.recovers_at(self.next);
            self.next += 1;
            if self.wants_keyframe && !is_entry {
                continue;
            }
            self.wants_keyframe = false;
            return Some(Read::Frame(frame.clone()));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let waker = self.ring.state.lock().wakers.remove(&self.id);
        drop(waker); // As in `poll_read`.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frames, video};

    const SMALL: Retention =
        Retention { groups: 2, age: Duration::from_secs(3600), bytes: 100 * (100 + Frame::OVERHEAD) };

    fn filled(keyframes: &[bool], retention: Retention) -> (Ring, Frames) {
        let (ring, mut frames) = (Ring::new(retention), Frames::new(video()));
        keyframes.iter().for_each(|keyframe| ring.push(frames.frame(*keyframe, 100)));
        (ring, frames)
    }

    fn number(read: Option<Read>) -> i64 {
        match read {
            Some(Read::Frame(frame)) => frame.dts.0 / 3600,
            other => panic!("no frame: {other:?}"),
        }
    }

    #[test]
    fn a_new_reader_starts_on_the_newest_keyframe() {
        let (ring, _) = filled(&[true, false, false, true, false], SMALL);
        let mut reader = ring.reader(Join::Group);
        assert_eq!(number(reader.try_read()), 3);
        assert_eq!(number(reader.try_read()), 4);
        assert!(reader.try_read().is_none());
    }

    #[test]
    fn a_decoder_starts_at_the_newest_recovery_point_that_is_over() {
        let (ring, mut frames) = filled(&[true, false], SMALL);
        let first = || number(ring.reader(Join::Recovery).try_read());
        assert_eq!(first(), 0, "without a recovery point the group is the entry");
        let mut push = |keyframe, recovery| ring.push_recovering(frames.frame(keyframe, 100), recovery);
        push(false, Some(2));
        push(false, None);
        assert_eq!(first(), 0, "the recovery is not over: from the keyframe on the picture is right at once");
        push(false, None);
        push(false, Some(2));
        assert_eq!(first(), 2);
        push(false, None);
        push(false, None);
        assert_eq!(first(), 5);
        push(true, None);
        push(false, None);
        assert_eq!(first(), 8, "a keyframe is the better entry");
    }

    #[test]
    fn a_reader_that_wants_some_of_the_past_starts_with_the_newest_group_that_has_it() {
        let (ring, mut frames) = filled(&[true, false, false, true, false], SMALL);
        let at = |number: i64| WallTime(1_000_000_000).offset_micros(number * 40_000);
        let first = |join| number(ring.reader(join).try_read());
        for (wall, start) in [(-1, 0), (0, 0), (2, 0), (3, 3), (9, 3)] {
            assert_eq!(first(Join::GroupAt(at(wall))), start, "{wall}");
            assert_eq!(ring.keyframe_at(at(wall)).unwrap().dts.0 / 3600, start, "{wall}");
        }
        ring.push_recovering(frames.frame(false, 100), Some(0)); // Frame 5
        ring.push_recovering(frames.frame(false, 100), Some(9)); // Its recovery is not over.
        for (wall, start) in [(2, 0), (4, 3), (5, 5), (9, 5)] {
            assert_eq!(first(Join::RecoveryAt(at(wall))), start, "{wall}");
        }
        assert_eq!(first(Join::GroupAt(at(9))), 3, "not every reader may start at a recovery point");
        assert!(filled(&[], SMALL).0.reader(Join::GroupAt(at(0))).try_read().is_none());
    }

    #[test]
    fn recovery_points_outlive_the_keyframe_before_them_and_are_evicted_with_their_frames() {
        let small = Retention { bytes: 450 + 4 * Frame::OVERHEAD, ..SMALL };
        let (ring, mut frames) = filled(&[true], small);
        let mut push = |recovery| ring.push_recovering(frames.frame(false, 100), recovery);
        [Some(0), None, None, None].into_iter().for_each(&mut push);
        assert!(ring.newest_keyframe().is_none());
        assert_eq!(number(ring.reader(Join::Recovery).try_read()), 1);
        push(None);
        assert!(ring.reader(Join::Recovery).try_read().is_none(), "it waits for a keyframe");
    }

    #[test]
    fn a_reader_that_wants_a_keyframe_skips_the_rest_of_the_group() {
        let (ring, mut frames) = filled(&[true, false], SMALL);
        let mut reader = ring.reader(Join::NextKeyframe);
        ring.push(frames.frame(false, 100));
        assert!(reader.try_read().is_none());
        ring.push(frames.frame(true, 100));
        assert_eq!(number(reader.try_read()), 3);
    }

    #[test]
    fn a_reader_that_goes_behind_what_is_there_starts_with_the_next_frame_that_it_may_start_at() {
        let (ring, mut frames) = filled(&[true, false], SMALL);
        let mut readers = [Join::Group, Join::Recovery].map(|join| ring.reader(join));
        readers.iter_mut().for_each(Reader::go_behind);
        ring.push(frames.frame(false, 100));
        ring.push_recovering(frames.frame(false, 100), Some(0));
        let [by_keyframe, by_recovery] = &mut readers;
        assert!(by_keyframe.try_read().is_none());
        assert_eq!(number(by_recovery.try_read()), 3);
        ring.push(frames.frame(true, 100));
        assert_eq!(number(by_keyframe.try_read()), 4);
    }

    #[test]
    fn joining_at_a_moment_finds_the_frame_of_that_moment() {
        let (ring, _) = filled(&[true; 2], Retention { groups: usize::MAX, ..SMALL });
        let wall = WallTime(1_000_000_000).offset_micros(1);
        assert_eq!(number(ring.reader(Join::At(wall)).try_read()), 1);
    }

    #[test]
    fn a_reader_of_a_silent_ring_leaves_one_waker_and_a_dropped_reader_leaves_none() {
        let (ring, _) = filled(&[true], SMALL);
        let mut readers = [ring.reader(Join::NextKeyframe), ring.reader(Join::NextKeyframe)];
        for reader in &mut readers {
            for _ in 0..3 {
                assert!(reader.read_timeout(Duration::ZERO).is_none());
            }
        }
        assert_eq!(ring.state.lock().wakers.len(), 2);
        drop(readers);
        assert_eq!(ring.state.lock().wakers.len(), 0);
    }

    #[test]
    fn two_groups_are_kept() {
        let (ring, _) = filled(&[true, false, true, false, true, false], SMALL);
        assert_eq!(number(ring.reader(Join::At(WallTime(0))).try_read()), 2);
    }

    #[test]
    fn an_evicted_reader_is_told_what_it_lost_and_goes_on_at_a_keyframe() {
        let (ring, mut frames) = filled(&[true, false], SMALL);
        let mut reader = ring.reader(Join::Group);
        assert_eq!(number(reader.try_read()), 0);
        for keyframe in [true, false, true, false, true, false] {
            ring.push(frames.frame(keyframe, 100));
        }
        assert!(matches!(reader.try_read(), Some(Read::Skipped(5))), "frames 1 to 5");
        assert_eq!(number(reader.try_read()), 6);
    }

    #[test]
    fn a_frame_of_one_byte_costs_more_than_its_payload() {
        let (ring, mut frames) = filled(&[], Retention { groups: usize::MAX, ..SMALL });
        (0..1000).for_each(|_| ring.push(frames.frame(true, 1)));
        let state = ring.state.lock();
        assert_eq!(state.frames.len(), SMALL.bytes / (1 + Frame::OVERHEAD));
        assert_eq!(state.bytes, state.frames.iter().map(|frame| frame.cost()).sum::<usize>());
    }

    #[test]
    fn a_group_larger_than_the_ring_loses_its_head_and_no_reader_joins_on_it() {
        let (ring, mut frames) = filled(&[true], SMALL);
        (0..200).for_each(|_| ring.push(frames.frame(false, 100)));
        assert!(ring.state.lock().bytes <= SMALL.bytes);
        let mut reader = ring.reader(Join::Group);
        ring.push(frames.frame(false, 100));
        assert!(reader.try_read().is_none());
        ring.push(frames.frame(true, 100));
        assert_eq!(number(reader.try_read()), 202);
    }

    #[test]
    fn frames_are_evicted_by_age() {
        let (ring, _) = filled(&[true; 100], Retention { groups: 1000, age: Duration::from_secs(1), bytes: 1 << 20 });
        assert_eq!(number(ring.reader(Join::At(WallTime(0))).try_read()), 99 - 25);
    }

    #[test]
    fn after_the_end_readers_get_the_rest_and_then_the_end() {
        let (ring, mut frames) = filled(&[true], SMALL);
        let mut reader = ring.reader(Join::Group);
        ring.end();
        ring.push(frames.frame(true, 100));
        assert_eq!(number(reader.try_read()), 0);
        assert!(matches!(reader.try_read(), Some(Read::Ended)));
        assert!(matches!(reader.try_read(), Some(Read::Ended)));
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_a_push_and_by_the_end() {
        let (ring, mut frames) = filled(&[true], SMALL);
        let mut reader = ring.reader(Join::NextKeyframe);
        let waiting = tokio::spawn(async move { (reader.read().await, reader.read().await) });
        tokio::task::yield_now().await;
        ring.push(frames.frame(true, 100));
        tokio::task::yield_now().await;
        ring.end();
        let (first, second) = waiting.await.unwrap();
        assert!(matches!((first, second), (Read::Frame(_), Read::Ended)));
    }

    #[test]
    fn with_random_pushes_no_reader_gets_a_torn_group() {
        // A reader may skip, but a keyframe follows a skip, and numbers only grow.
        for seed in 0..200_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |bound: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % bound
            };
            let (ring, mut frames) = filled(&[], Retention { groups: 2, age: Duration::from_secs(1), bytes: 4_000 });
            let mut reader = ring.reader(Join::Group);
            let (mut last, mut torn) = (-1, true);
            for _ in 0..300 {
                if next(3) > 0 {
                    let bytes = usize::try_from(next(400)).unwrap();
                    ring.push(frames.frame(next(8) == 0, bytes));
                } else {
                    match reader.try_read() {
                        Some(Read::Frame(frame)) => {
                            let number = frame.dts.0 / 3600;
                            assert!(number > last, "seed {seed}");
                            assert!(!torn || frame.keyframe, "seed {seed}: frame {number} after a skip");
                            (last, torn) = (number, false);
                        }
                        Some(Read::Skipped(_)) => torn = true,
                        Some(Read::Ended) => unreachable!("nobody ended it"),
                        None => {}
                    }
                }
            }
        }
    }
}
