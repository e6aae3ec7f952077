//! Reads one track for one player: it decides where the player starts, and when each frame is due.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Placed;
use crate::feed::{Demand, Known};
use crate::frame::Frame;
use crate::key::MediaKind;
use crate::ring::{Join, Read, Reader};
use crate::time::{ClockRate, WallTime};
use crate::track::TrackId;

/// The distance between the decoding times of frames that are older than the pre-roll, in µs: the smallest step of FLV
/// and RTMP.
const CATCH_UP_STEP_MICROS: i64 = 1_000;

/// A conversion that ended by itself after fewer frames than this (about a second) failed, and would fail again at once.
const LIVED_FRAMES: u32 = 30;

/// Is the cursor of one player in one track.
#[derive(Debug)]
pub(super) struct Reading {
    /// Keeps a derived track alive.
    pub(super) demand: Demand,
    /// The original track that it is, or is derived from.
    pub(super) original: Option<TrackId>,
    /// Whether the player was given this track though it does not suit it, because nothing else can be had.
    pub(super) makes_do: bool,
    reader: Reader,
    rate: ClockRate,
    pub(super) pending: Option<Placed>,
    /// Frames due before this are in the past for the player.
    floor_micros: i64,
    last_micros: i64,
    /// The number of frames that were read.
    frames: u32,
}

impl Reading {
    /// Reads the track of `demand`, which is the `original` one or is derived from it.
    pub(super) fn new(demand: Demand, original: Option<TrackId>, makes_do: bool) -> Self {
        let (reader, rate) = (demand.track().reader(Join::Group), demand.track().clock_rate());
        Self {
            demand,
            original,
            makes_do,
            reader,
            rate,
            pending: None,
            floor_micros: i64::MIN,
            last_micros: i64::MIN,
            frames: 0,
        }
    }

    /// Starts at the first frame of this wall time or later, but none that is due before `floor_micros`.
    pub(super) fn join_at(&mut self, wall: WallTime, floor_micros: i64) {
        self.join(Join::At(self.not_before(wall, floor_micros)), floor_micros);
    }

    /// Starts there. Frames due before `floor_micros` are in the past.
    pub(super) fn join(&mut self, join: Join, floor_micros: i64) {
        self.reader = self.demand.track().reader(join);
        (self.pending, self.floor_micros) = (None, floor_micros);
        self.want_keyframe_to_start();
    }

    /// Leaves out all that the track has.
    pub(super) fn go_behind(&mut self) {
        self.reader.go_behind();
        self.pending = None;
        if self.demand.track().kind() == MediaKind::Video {
            self.demand.track().want_keyframe();
        }
    }

    /// The decoding time of the last frame that it gave out, as the player has it.
    pub(super) fn last_micros(&self) -> i64 {
        self.last_micros
    }

    /// How much newer the newest frame of the track is than the last one that was read.
    pub(super) fn behind_micros(&self) -> i64 {
        let newest = self.demand.track().newest().map(|newest| newest.dts.micros(self.rate));
        newest.map_or(0, |newest| newest.saturating_sub(self.last_micros))
    }

    /// Returns what the player need not ask for again, now that the track has ended. A conversion may end by itself and be made
    /// anew.
    pub(super) fn known_at_end(&self) -> Option<Known> {
        let begins_anew = self.demand.is_derived() && self.frames >= LIVED_FRAMES;
        self.original.filter(|_| !begins_anew).map(|original| Known::given(original, &self.demand))
    }

    /// Makes the next frame pending, if there is one. Returns `None` if there is nothing to read, or a frame is
    /// pending.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Read> {
        while self.pending.is_none() {
            let Poll::Ready(read) = self.reader.poll_read(cx) else { return None };
            let Read::Frame(frame) = read else { return Some(read) };
            self.frames = self.frames.saturating_add(1);
            self.pending = self.place(frame);
        }
        None
    }

    /// Reads like [`Reading::poll`] while the player does not want this track: it leaves frames out, and notices the
    /// end.
    pub(super) fn poll_muted(&mut self, cx: &mut Context<'_>) -> Option<Read> {
        self.pending = None;
        loop {
            let Poll::Ready(read) = self.reader.poll_read(cx) else { return None };
            if matches!(read, Read::Ended) {
                return Some(read);
            }
        }
    }

    /// Asks for a keyframe if the ring has none that a decoder could start from. The publisher may be able to send one.
    pub(super) fn want_keyframe_to_start(&self) {
        let track = self.demand.track();
        if track.kind() == MediaKind::Video && track.newest_keyframe().is_none() {
            track.want_keyframe();
        }
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

    /// Returns `wall`, or the wall time at `floor_micros` if that is later, by the track's newest frame.
    fn not_before(&self, wall: WallTime, floor_micros: i64) -> WallTime {
        let Some(newest) = self.demand.track().newest() else { return wall };
        let since_newest = floor_micros.checked_sub(newest.pts.micros(self.rate));
        since_newest.map_or(wall, |since| wall.max(newest.wall.offset_micros(since)))
    }
}
