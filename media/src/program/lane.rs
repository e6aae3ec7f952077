//! One kind of media of a program: the track that takes fill one after the other, and where it ends.

use std::sync::Arc;

use super::Take;
use crate::feed::Feed;
use crate::frame::Frame;
use crate::time::{ClockRate, Ticks, WallTime};
use crate::track::Track;

/// A take before that is further from the cut is not waited for: it died.
const NEAR_MICROS: i64 = 300_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) track: Option<Arc<Track>>,
    pub(super) last: Option<Last>,
    /// The most that decoding ran ahead of presentation at a keyframe; kept over splices, so that decoding times go on evenly:
    /// a keyframe is preceded by all that is shown before it.
    reorder: Ticks,
    /// Sound of a new take is about to follow that of another.
    pub(super) joins: bool,
}

/// The end of what a lane has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    dts: Ticks,
    /// The latest presentation time, and the wall clock at it.
    pub(super) pts_micros: i64,
    pub(super) wall: WallTime,
    /// From the presentation before to this one: how long a packet of sound is.
    step_micros: i64,
}

impl Lane {
    /// Whether there is something up to `micros`, give or take half a packet.
    pub(super) fn reaches(&self, micros: i64) -> bool {
        self.last.is_none_or(|last| last.pts_micros + last.step_micros * 3 / 2 > micros)
    }

    /// Whether so little is missing up to `micros` that it is worth waiting for.
    pub(super) fn is_near(&self, micros: i64) -> bool {
        let near = |last: Last| last.step_micros > 0 && micros - last.pts_micros < NEAR_MICROS;
        self.last.is_some_and(near) && !self.reaches(micros)
    }

    /// Puts a frame of `take` behind what there is, on the program's timeline.
    pub(super) fn append(&mut self, mut frame: Frame, take: Take, feed: &Arc<Feed>) {
        let rate = frame.parameters.clock_rate();
        let shift = Ticks(take.shift_micros).rescale(ClockRate::MICROS, rate);
        frame.dts += shift;
        frame.pts += shift;
        let fits =
            |track: &Arc<Track>| track.clock_rate() == rate && track.parameters().codec() == frame.parameters.codec();
        if !self.track.as_ref().is_some_and(fits) {
            let track = Arc::new(Track::new(frame.parameters.clone()));
            feed.set_original(track.clone());
            *self = Self { track: Some(track), ..Self::default() };
        }
        let pts_micros = frame.pts.micros(rate);
        if std::mem::take(&mut self.joins)
            && self.last.is_some_and(|last| pts_micros < last.pts_micros + last.step_micros / 2)
        {
            self.joins = true;
            return; // The take before has filled that time.
        }
        self.order(&mut frame, take.brings.in_order);
        self.note(&frame, pts_micros);
        self.track.as_ref().expect("made above").push(frame);
    }

    /// Decoding times that do not run backwards over a splice, and presentation times as they are.
    fn order(&mut self, frame: &mut Frame, in_order: bool) {
        if in_order {
            frame.dts = frame.pts - self.reorder;
        }
        if frame.keyframe {
            self.reorder = self.reorder.max(frame.pts - frame.dts);
        }
        if let Some(last) = self.last
            && frame.dts <= last.dts
            && frame.pts > last.dts
        {
            frame.dts = last.dts + Ticks(1);
        }
    }

    fn note(&mut self, frame: &Frame, pts_micros: i64) {
        let Some(last) = &mut self.last else {
            self.last = Some(Last { dts: frame.dts, pts_micros, wall: frame.wall, step_micros: 0 });
            return;
        };
        last.dts = frame.dts;
        if pts_micros > last.pts_micros {
            last.step_micros = pts_micros - last.pts_micros;
            (last.pts_micros, last.wall) = (pts_micros, frame.wall);
        }
    }
}
