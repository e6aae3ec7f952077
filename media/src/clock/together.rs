//! Watches whether the tracks of one publisher stay together.
//!
//! A network delays all tracks alike, and encoders delay each track by a time of its own, which stays. So how much
//! later one track arrives than another, by its stated times, stays as well. If it changes for good, then the clock of
//! one of them has stepped or stood still, by too little to be seen in a single frame. Nothing tells which of the two
//! it was. The later one is moved ahead, because a track cannot go back.

use crate::key::{Keyed, TrackKey};
use crate::time::WallTime;

/// The least lateness of each track is taken over windows of this length. A move is confirmed by a second window.
const WINDOW_MICROS: i64 = 2_000_000;

/// A window waits for the frames of a slow track for no longer than this.
const WINDOW_MAX_MICROS: i64 = 10_000_000;

/// The number of frames of a track whose least lateness counts: with fewer, jitter would.
const FRAMES_MIN: u32 = 4;

/// The windows in which it is learnt how late a track usually is.
const LEARNING_WINDOWS: u32 = 3;

/// A track that is behind another by more than usual is moved from here on. It is less than what viewers notice
/// (ITU-R BT.1359: 125 ms), and more than what jitter leaves of the least lateness.
const APART_MICROS: i64 = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Together {
    /// Whether differences between tracks tell nothing. Where the publisher states by sender reports how its tracks lie
    /// beside each other, the session follows that, and the differences change for a reason.
    is_off: bool,
    since: Option<WallTime>,
    tracks: Keyed<Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    /// The least lateness in the present window, and the number of frames in it.
    least: i64,
    frames: u32,
    /// The least lateness in the window before.
    recent: Option<i64>,
    /// The lateness while the tracks are together. Only the differences between tracks count.
    usual: Option<i64>,
    /// The number of windows that have told it.
    learnt: u32,
    is_alone: bool,
    /// By how much the track was behind in the window before.
    behind: i64,
    /// By how much it has to be moved.
    to_move: Option<i64>,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            least: i64::MAX,
            frames: 0,
            recent: None,
            usual: None,
            learnt: 0,
            is_alone: false,
            behind: 0,
            to_move: None,
        }
    }
}

impl Together {
    /// Does not compare tracks any more.
    pub(super) fn turn_off(&mut self) {
        *self = Self { is_off: true, ..Self::default() };
    }

    /// Takes in the lateness of a frame. `is_alone` states that its track has a clock of its own: what its encoder
    /// delays cannot be told from the difference of the clocks, so the track is expected beside the others.
    pub(super) fn observe(&mut self, key: TrackKey, late: i64, is_alone: bool, arrival: WallTime) {
        self.close_window(arrival);
        let track = self.tracks.get_or_insert_with(key, Watched::default);
        track.is_alone = is_alone;
        track.least = track.least.min(late);
        track.frames += 1;
    }

    /// Returns by how much a track has to be moved ahead to be beside the others again. It is told once.
    pub(super) fn take_move(&mut self, key: TrackKey) -> Option<i64> {
        self.tracks.get_mut(key)?.to_move.take()
    }

    /// Notes that a track was placed anew, so that what was measured of it does not count.
    pub(super) fn restart(&mut self, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key) {
            *track =
                Watched { usual: track.usual, learnt: track.learnt, is_alone: track.is_alone, ..Watched::default() };
        }
    }

    /// Returns by how much `key` is usually later than `other`.
    pub(super) fn between(&self, key: TrackKey, other: TrackKey) -> i64 {
        let usual = |key| self.tracks.get(key).and_then(|track| track.usual);
        usual(key).zip(usual(other)).map_or(0, |(own, other)| own - other)
    }

    /// Returns by how much a track is usually later than the earliest one.
    pub(super) fn over(&self, key: TrackKey) -> i64 {
        let earliest = self.tracks.values().filter_map(|track| track.usual).min();
        self.tracks.get(key).and_then(|track| track.usual).zip(earliest).map_or(0, |(own, earliest)| own - earliest)
    }

    /// Returns the least lateness of the last seconds, once enough frames have come.
    pub(super) fn recent(&self, key: TrackKey) -> Option<i64> {
        let track = self.tracks.get(key)?;
        track.recent.map(|recent| recent.min(track.least))
    }

    fn close_window(&mut self, now: WallTime) {
        let passed = now.micros_since(*self.since.get_or_insert(now));
        let slow = self.tracks.values().any(|track| (1..FRAMES_MIN).contains(&track.frames));
        if passed < WINDOW_MICROS || (slow && passed < WINDOW_MAX_MICROS) {
            return;
        }
        self.since = Some(now);
        let measured = |track: &&Watched| track.frames >= FRAMES_MIN;
        self.learn();
        // The network delays all tracks by this.
        let together = self.tracks.values().filter(measured).filter_map(|track| Some(track.least - track.usual?)).min();
        for track in self.tracks.values_mut() {
            let Watched { least, frames, .. } = *track;
            (track.least, track.frames) = (i64::MAX, 0);
            track.recent = (frames >= FRAMES_MIN).then_some(least);
            let Some((usual, together)) = track.usual.zip(together).filter(|_| frames >= FRAMES_MIN) else {
                track.behind = 0;
                continue;
            };
            let behind = least - usual - together;
            let before = std::mem::replace(&mut track.behind, behind);
            if behind.min(before) > APART_MICROS {
                track.to_move = Some(behind.min(before));
                track.behind = 0;
            }
        }
    }

    /// Learns from the window how late new tracks usually are.
    fn learn(&mut self) {
        if self.is_off {
            return;
        }
        let tracks = self.tracks.values();
        let known = tracks.filter(|track| track.frames >= FRAMES_MIN && track.learnt >= LEARNING_WINDOWS);
        let together = known.filter_map(|track| Some(track.least - track.usual?)).min().unwrap_or(0);
        for track in self.tracks.values_mut().filter(|track| track.frames >= FRAMES_MIN && !track.is_alone) {
            if track.learnt < LEARNING_WINDOWS {
                let beside = track.least - together;
                track.usual = Some(track.usual.map_or(beside, |usual| usual.min(beside)));
                track.learnt += 1;
            }
        }
        let earliest = self.tracks.values().filter_map(|track| track.usual).min();
        for track in self.tracks.values_mut().filter(|track| track.is_alone && track.usual.is_none()) {
            (track.usual, track.learnt) = (earliest, LEARNING_WINDOWS);
        }
    }
}
