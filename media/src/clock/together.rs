//! Watches whether the tracks of one publisher stay together.
//!
//! A network delays all tracks alike, and encoders delay each track by a time of its own, which stays. So how much
//! later one track arrives than another, by its stated times, stays as well. If it changes for good, then the clock of
//! one of them has stepped or stood still, by too little to be seen in a single frame. Nothing tells which of the two
//! it was. The later one is moved ahead, because a track cannot go back.
//!
//! If it changes by the same in each half second, then the clock of one is fast or slow ([`Trend`]). Moves would follow it
//! too late, and would drag the other track after a fast one, ahead of the node's clock for good. So the pace of that track is
//! corrected, and one move makes up for what is left between the two. Of the two it is the one whose lateness changes more, because lateness is
//! against the node's clock.
//!
//! Where sender reports tell how tracks lie beside each other, the session follows those, and nothing is done here. Until it
//! is clear whether they do, tracks are watched ([`Alignment`]).
//!
//! Invariant: no track is moved or slowed for what all tracks do.

use super::Alignment;
use super::drift::{KEPT, RATE_MAX, SLOT_MICROS, Trend};
use crate::key::{Keyed, MediaKind, TrackKey};
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

/// What a drift has moved tracks apart is made up for from here on. A line tells it better than two windows do.
const DRIFTED_MICROS: i64 = 50_000;

/// The pace of a track is corrected by no more than this in all.
const PACE_PPM_MAX: i64 = (RATE_MAX * 1e6) as i64;

#[derive(Clone, Debug, Default)]
pub(super) struct Together {
    alignment: Alignment,
    /// Whether tracks may have been moved here since the session placed them last.
    has_moved: bool,
    /// The beginning of the present window.
    since: Option<WallTime>,
    /// The beginning of the first slot, and the present one, by the places of frames.
    began: Option<WallTime>,
    slot: i64,
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
    /// The last frame: how late it was, and when it came.
    last: Option<(i64, WallTime)>,
    /// The slot in which the track began. `None` once it was placed anew, or its drift was found: what was learnt of it holds.
    first_slot: Option<i64>,
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
            last: None,
            first_slot: None,
            trend: Trend::default(),
            slow_ppm: 0,
            behind: 0,
            to_move: None,
            is_moving: false,
        }
    }
}

impl Together {
    /// Notes what tells how tracks lie beside each other. Returns whether tracks have to be placed on one line, because the session places
    /// them from now on, and they were moved here before.
    pub(super) fn align(&mut self, alignment: Alignment) -> bool {
        let before = std::mem::replace(&mut self.alignment, alignment);
        if before == alignment {
            return false;
        }
        let has_moved = self.has_moved || before == Alignment::Unreported;
        match alignment {
            // The session moves tracks, so nothing that is known holds.
            Alignment::Reported => *self = Self { alignment, ..Self::default() },
            // What was measured while the session moved them does not count.
            _ if matches!(before, Alignment::Reported | Alignment::Supposed) => {
                self.since = None;
                self.tracks.values_mut().for_each(|track| (track.least, track.frames) = (i64::MAX, 0));
            }
            _ => {}
        }
        self.has_moved = has_moved && alignment != Alignment::Reported;
        has_moved && alignment == Alignment::Reported
    }

    /// Takes in the lateness of a frame. `is_alone` states that its track has a clock of its own: what its encoder
    /// delays cannot be told from the difference of the clocks, so the track is expected beside the others.
    pub(super) fn observe(&mut self, key: TrackKey, late: i64, is_alone: bool, arrival: WallTime) {
        self.close_slot(arrival.offset_micros(-late));
        self.close_window(arrival);
        let ruler = self.ruler();
        let (slot, is_watched) = (self.slot, self.is_watched());
        let track = self.tracks.get_or_insert_with(key, || Watched { first_slot: Some(slot), ..Watched::default() });
        track.is_alone = is_alone;
        track.least = track.least.min(late);
        track.frames += 1;
        track.last = Some((late, arrival));
        if self.ruler() != ruler {
            self.tracks.values_mut().for_each(|track| track.trend.forget_apart());
        }
        if is_watched {
            let beside = self.ruler().filter(|ruler| *ruler != key).and_then(|ruler| self.tracks.get(ruler));
            let beside = beside.and_then(|ruler| ruler.late_at(arrival));
            if let Some(track) = self.tracks.get_mut(key) {
                track.trend.take(slot, late, beside.map(|beside| late - beside));
            }
        }
    }

    /// Returns by how much a track has to be moved ahead to be beside the others again. It is told once.
    pub(super) fn take_move(&mut self, key: TrackKey) -> Option<i64> {
        let track = self.tracks.get_mut(key)?;
        let by = track.to_move.take()?;
        track.trend.shift(-by);
        track.is_moving = true;
        if self.ruler() == Some(key) {
            self.tracks.values_mut().for_each(|track| track.trend.shift_apart(by));
        }
        Some(by)
    }

    /// Moves a track ahead with its next frame.
    pub(super) fn move_ahead(&mut self, key: TrackKey, micros: i64) {
        self.tracks.get_or_insert_with(key, Watched::default).to_move = Some(micros);
    }

    /// Notes that a track was placed anew, so that what was measured of it does not count. A move was counted when it was told.
    pub(super) fn restart(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let is_moving = track.is_moving;
        *track = Watched {
            usual: track.usual,
            learnt: track.learnt,
            is_alone: track.is_alone,
            first_slot: track.first_slot.filter(|_| is_moving),
            slow_ppm: track.slow_ppm,
            trend: if is_moving { track.trend } else { Trend::default() },
            ..Watched::default()
        };
        if !is_moving && self.ruler() == Some(key) {
            self.tracks.values_mut().for_each(|track| track.trend.forget_apart());
        }
    }

    /// Takes in that what a track told was not true. How late it usually is holds if it was learnt before.
    pub(super) fn forget_what_is_new(&mut self, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key).filter(|track| track.learnt < LEARNING_WINDOWS) {
            (track.usual, track.learnt) = (None, 0);
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

    /// Returns the track that others are compared with.
    fn ruler(&self) -> Option<TrackKey> {
        self.tracks.of_kind(MediaKind::Audio).map(|(key, _)| key).next().or_else(|| self.tracks.keys().next())
    }

    /// Whether the session leaves tracks where they are beside each other.
    fn is_watched(&self) -> bool {
        matches!(self.alignment, Alignment::Awaited | Alignment::Unreported)
    }

    /// Takes in that a frame has this place. What comes late, and at once after a stall, is measured as if it had come in time.
    fn close_slot(&mut self, place: WallTime) {
        let slot = place.micros_since(*self.began.get_or_insert(place)).div_euclid(SLOT_MICROS).max(self.slot);
        if std::mem::replace(&mut self.slot, slot) < slot && self.alignment == Alignment::Unreported {
            self.follow_drift();
        }
    }

    /// Corrects the pace of a track whose clock drifts from that of another, and makes up for what it has drifted.
    fn follow_drift(&mut self) {
        let Some((key, ruler)) = self.ruler().and_then(|key| Some((key, *self.tracks.get(key)?))) else { return };
        let found = self.tracks.iter().filter(|(other, _)| *other != key).find_map(|(other, track)| {
            let is_known = track.slow_ppm != 0 || ruler.slow_ppm != 0;
            Some((other, *track, track.trend.drift(&ruler.trend, self.slot, is_known)?))
        });
        let Some((other, track, drift)) = found else { return };
        let Some(usual) = track.usual.zip(ruler.usual).map(|(own, ruler)| own - ruler) else { return };
        // A track that was corrected before has still the clock that needs it.
        let is_rulers = match (track.slow_ppm != 0, ruler.slow_ppm != 0) {
            (false, true) => true,
            (true, false) => false,
            _ => drift.is_rulers,
        };
        // How late they usually are was learnt while they drifted, unless it was learnt long ago.
        let first = track.first_slot.zip(ruler.first_slot).map(|(own, ruler)| own.max(ruler));
        let is_new = first.is_some_and(|first| self.slot - first <= KEPT) && !track.is_alone && !ruler.is_alone;
        let usual = if is_new { drift.first } else { usual };
        let behind = (drift.last - usual).clamp(-super::APART_MICROS, super::APART_MICROS);
        let (drifting, rate) = if is_rulers { (key, -drift.rate) } else { (other, drift.rate) };
        for (each, track) in self.tracks.iter_mut() {
            if each == drifting {
                // What is left of its pace, which has been corrected by so much already.
                let slow = (1e6 + track.slow_ppm as f64) / (1.0 - rate) - 1e6;
                track.slow_ppm = (slow.round() as i64).clamp(-PACE_PPM_MAX, PACE_PPM_MAX);
            }
            if each == other {
                track.usual = ruler.usual.map(|ruler| ruler + usual);
            }
            // The tracks that the drifting one fell behind, or got ahead of, are where they belong.
            let is_late = if is_rulers { (each == key) == (behind < 0) } else { (each == other) == (behind > 0) };
            if is_late && behind.abs() >= DRIFTED_MICROS {
                track.to_move = Some(behind.abs());
            }
            (track.first_slot, track.trend, track.behind) = (None, Trend::default(), 0);
            track.learnt = if track.usual.is_some() { LEARNING_WINDOWS } else { 0 };
        }
    }

    fn close_window(&mut self, now: WallTime) {
        let passed = now.micros_since(*self.since.get_or_insert(now));
        let slow = self.tracks.values().any(|track| (1..FRAMES_MIN).contains(&track.frames));
        if passed < WINDOW_MICROS || (slow && passed < WINDOW_MAX_MICROS) {
            return;
        }
        self.since = Some(now);
        let measured = |track: &&Watched| track.frames >= FRAMES_MIN;
        let is_compared = self.alignment == Alignment::Unreported;
        self.learn(passed);
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
            if is_compared && behind.min(before) > APART_MICROS {
                // What is further apart is found in single frames.
                track.to_move = Some(behind.min(before).min(super::APART_MICROS));
                track.behind = 0;
            }
        }
    }

    /// Learns from the window how late new tracks usually are.
    fn learn(&mut self, passed: i64) {
        if !self.is_watched() {
            return;
        }
        let tracks = self.tracks.values();
        let known = tracks.filter(|track| track.frames >= FRAMES_MIN && track.learnt >= LEARNING_WINDOWS);
        let together = known.filter_map(|track| Some(track.least - track.usual?)).min().unwrap_or(0);
        // A clock that has run ahead of the others by more than a drift does tells nothing.
        let change = |track: &Watched| track.usual.map_or(0, |usual| track.least - together - usual);
        let measured = self.tracks.values().filter(|track| track.frames >= FRAMES_MIN);
        let earliest = measured.map(change).max().unwrap_or(0) - (passed as f64 * RATE_MAX) as i64 - APART_MICROS;
        for track in self.tracks.values_mut().filter(|track| track.frames >= FRAMES_MIN && !track.is_alone) {
            if track.learnt < LEARNING_WINDOWS && change(track) >= earliest {
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

impl Watched {
    /// Returns how late a frame would be that states the time which the track has got to, if it sends.
    fn late_at(&self, now: WallTime) -> Option<i64> {
        let (late, at) = self.last?;
        let passed = now.micros_since(at);
        (0..=super::FRESH_MICROS).contains(&passed).then(|| late + passed)
    }
}
