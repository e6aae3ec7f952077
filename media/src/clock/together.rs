//! Watches whether the tracks of one publisher stay together.
//!
//! A network delays all tracks alike, and encoders delay each track by a time of its own, which stays. So how much
//! later one track arrives than another, by its stated times, stays as well. If it changes for good, then the clock of
//! one of them has stepped or stood still, by too little to be seen in a single frame. Nothing tells which of the two
//! it was. The later one is moved ahead, because a track cannot go back.
//!
//! If it changes by the same from window to window, then the clock of one is fast or slow ([`Trend`]). Moves would follow it
//! too late, and would drag the other track after a fast one, ahead of the node's clock for good. So the pace of that track is
//! corrected. Of the two it is the one whose lateness changes more, because lateness is against the node's clock.
//!
//! Invariant: no track is moved or slowed for what all tracks do.

use super::drift::Trend;
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

/// A drift that is found within this number of windows was there while it was learnt how late the track is.
const LEARNT_IN_VAIN: u32 = 8;

/// A track that is behind another by more than usual is moved from here on. It is less than what viewers notice
/// (ITU-R BT.1359: 125 ms), and more than what jitter leaves of the least lateness.
const APART_MICROS: i64 = 100_000;

/// The pace of a track is corrected by no more than this in all. Audio of 44.1 kHz that is stamped as 48 kHz is 8.8 % off.
const PACE_PPM_MAX: i64 = 150_000;

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
    /// The number of windows since the track began or was placed anew, up to [`LEARNT_IN_VAIN`].
    windows: u32,
    trend: Trend,
    /// The part of the slowness of its clock that is corrected.
    slow_ppm: i64,
    /// The time by which the track was behind in the window before.
    behind: i64,
    /// The time by which it has to be moved.
    to_move: Option<i64>,
    /// Whether it is moved with this frame.
    is_moving: bool,
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
            windows: 0,
            trend: Trend::default(),
            slow_ppm: 0,
            behind: 0,
            to_move: None,
            is_moving: false,
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
        let track = self.tracks.get_mut(key)?;
        let by = track.to_move.take()?;
        track.trend.shift(-by);
        track.is_moving = true;
        Some(by)
    }

    /// Notes that a track was placed anew, so that what was measured of it does not count. A move was counted when it was told.
    pub(super) fn restart(&mut self, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key) {
            *track = Watched {
                usual: track.usual,
                learnt: track.learnt,
                is_alone: track.is_alone,
                windows: if track.is_moving { track.windows } else { LEARNT_IN_VAIN },
                slow_ppm: track.slow_ppm,
                trend: if track.is_moving { track.trend } else { Trend::default() },
                ..Watched::default()
            };
        }
    }

    /// Returns how much longer than stated the time of `micros` on the clock of a track is.
    pub(super) fn lengthened(&self, key: TrackKey, micros: i64) -> i64 {
        let ppm = self.tracks.get(key).map_or(0, |track| track.slow_ppm);
        (micros * ppm + 500_000).div_euclid(1_000_000)
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
        self.follow_drift(passed);
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
                // What is further apart is found in single frames.
                track.to_move = Some(behind.min(before).min(super::APART_MICROS));
                track.behind = 0;
            }
        }
    }

    /// Corrects the pace of a track whose clock drifts from that of the track that is most even.
    fn follow_drift(&mut self, passed: i64) {
        for track in self.tracks.values_mut() {
            track.windows = (track.windows + 1).min(LEARNT_IN_VAIN);
            // Windows of another length would bend the line.
            match track.frames >= FRAMES_MIN && passed < WINDOW_MICROS * 3 / 2 {
                true => track.trend.push(track.least),
                false => track.trend = Trend::default(),
            }
        }
        if self.is_off {
            return;
        }
        let means = self.tracks.iter().filter_map(|(key, track)| Some((key, track.trend.mean()?.abs(), track.trend)));
        let Some((most_even, _, trend)) = means.min_by_key(|(_, mean, _)| *mean) else { return };
        let mut found = false;
        for (_, track) in self.tracks.iter_mut().filter(|(key, _)| *key != most_even) {
            let Some(drift) = track.trend.drift(&trend) else { continue };
            found = true;
            // The part of its pace that is left, because `slow_ppm` of it has been corrected already.
            let left = WINDOW_MICROS - drift.min(WINDOW_MICROS / 2);
            let slow = (1_000_000 + track.slow_ppm) * WINDOW_MICROS / left - 1_000_000;
            track.slow_ppm = slow.clamp(-PACE_PPM_MAX, PACE_PPM_MAX);
            // The least lateness of a fast clock is that of the end of the last window. At the beginning it was later.
            let was_early = drift < 0 && track.windows < LEARNT_IN_VAIN && !track.is_alone;
            track.usual =
                track.usual.map(|usual| if was_early { usual - drift * i64::from(track.learnt) } else { usual });
        }
        if found {
            self.tracks.values_mut().for_each(|track| track.trend = Trend::default());
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
