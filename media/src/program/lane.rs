//! One track of a program. Takes fill it one after the other, and it decides when it goes over from one take to the
//! next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::next::AUDIO_MAX;
use super::{Keyframes, Take};
use crate::feed::Feed;
use crate::frame::Frame;
use crate::key::{MediaKind, TrackKey};
use crate::time::{ClockRate, Ticks, WallTime};
use crate::track::Track;

/// If the take before is further from the cut than this, it has died, and the lane does not wait for it.
const NEAR_MICROS: i64 = 300_000;

/// The most video frames that wait for the take before to reach the cut: 10 frames are a third of a second at 30 fps.
const VIDEO_HELD_MAX: usize = 10;

/// Is a track of a program.
#[derive(Debug)]
pub(super) struct Lane {
    key: TrackKey,
    pub(super) track: Option<Arc<Track>>,
    pub(super) last: Option<Last>,
    /// The most by which decoding ran ahead of presentation at a keyframe. It is kept over splices, so that decoding
    /// times go on evenly: a keyframe is preceded by all frames that are shown before it. As a time, and not a number of frames, it holds
    /// for takes of any frame rate.
    reorder: Ticks,
    /// The state while the lane goes over from the take before to the one that is on.
    pub(super) crossing: Option<Crossing>,
    /// Whether the take that is on follows another take and has not appended a frame yet.
    joins: bool,
    /// Whether the take that is on has brought a frame for the lane.
    brought: bool,
}

/// Holds the state in which the take before fills the lane up to the cut, and the one that is on waits.
#[derive(Debug)]
pub(super) struct Crossing {
    pub(super) at_micros: i64,
    held: VecDeque<Frame>,
}

/// Describes the end of the frames that a lane has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    dts: Ticks,
    /// The latest presentation time, and the wall clock at it.
    pub(super) pts_micros: i64,
    pub(super) wall: WallTime,
    /// The time between the last two presentations of one take: the length of an audio packet.
    step_micros: i64,
}

impl Lane {
    /// Makes a lane that no take has filled yet.
    pub(super) fn new(key: TrackKey) -> Self {
        Self { key, track: None, last: None, reorder: Ticks(0), crossing: None, joins: false, brought: false }
    }

    /// Ends the take that fills the lane at `at_micros`. `held` has the frames of the next one so far.
    pub(super) fn cut(&mut self, at_micros: i64, held: VecDeque<Frame>) {
        // A take begins with its main video, so that goes over at once unless the take before may still fill a gap.
        let crosses = self.key != TrackKey::VIDEO || self.is_near(at_micros);
        self.crossing = crosses.then_some(Crossing { at_micros, held });
        (self.joins, self.brought) = (true, false);
    }

    /// Returns whether the lane has frames up to `micros`, within half a packet.
    pub(super) fn reaches(&self, micros: i64) -> bool {
        self.last.is_none_or(|last| last.pts_micros + last.step_micros * 3 / 2 > micros)
    }

    /// Returns whether the lane is near enough to `micros` to wait for the missing frames.
    fn is_near(&self, micros: i64) -> bool {
        let near = |last: Last| last.step_micros > 0 && micros - last.pts_micros < NEAR_MICROS;
        self.last.is_some_and(near) && !self.reaches(micros)
    }

    /// Returns whether the take that is on has brought no frame for the lane.
    pub(super) fn is_left(&self) -> bool {
        self.joins && !self.brought
    }

    /// Takes in a frame of the take that is on while the lane crosses: the frame waits for the cut, if it is not from
    /// before it. Gives the frame back if the lane does not cross.
    pub(super) fn hold(&mut self, frame: Frame, take: Take) -> Option<Frame> {
        self.brought = true;
        let Some(crossing) = &mut self.crossing else { return Some(frame) };
        if frame.pts_micros() + take.shift_micros >= crossing.at_micros {
            crossing.held.push_back(frame);
        } // Otherwise the take before brings that time.
        None
    }

    /// Returns whether the lane crosses and need not wait any longer. `is_last` states that no frame of the take before
    /// will follow.
    pub(super) fn may_go_over(&self, is_last: bool) -> bool {
        let Some(crossing) = &self.crossing else { return false };
        let most = if self.key.kind == MediaKind::Video { VIDEO_HELD_MAX } else { AUDIO_MAX };
        // Messages do not follow each other closely, so they wait until no message of the take before can come.
        let filled = is_last || (self.key.kind != MediaKind::Data && self.reaches(crossing.at_micros));
        !crossing.held.is_empty() && (filled || crossing.held.len() > most)
    }

    /// Goes over to `take`, and appends the frames that waited.
    pub(super) fn go_over(&mut self, take: Take, feed: &Arc<Feed>) {
        let held = self.crossing.take().map(|crossing| crossing.held);
        held.into_iter().flatten().for_each(|frame| self.push(frame, take, feed));
    }

    /// Appends a frame of the take that is on. Its first frame must be later than the take before, and video begins
    /// with a keyframe.
    pub(super) fn push(&mut self, frame: Frame, take: Take, feed: &Arc<Feed>) {
        if self.joins {
            let at_micros = frame.pts_micros() + take.shift_micros;
            let is_filled = |last: Last| match self.key.kind {
                MediaKind::Video => at_micros <= last.pts_micros,
                MediaKind::Audio => at_micros < last.pts_micros + last.step_micros / 2,
                MediaKind::Data => at_micros < last.pts_micros,
            };
            if self.last.is_some_and(is_filled) || (self.key.kind == MediaKind::Video && !frame.keyframe) {
                return;
            }
            self.joins = false;
            // From the frame of the take before to this one may be a hole.
            let step_before = self.last.map(|last| last.step_micros);
            self.append(frame, take, feed);
            if let Some((last, step_micros)) = self.last.as_mut().zip(step_before) {
                last.step_micros = step_micros;
            }
            return;
        }
        self.append(frame, take, feed);
    }

    /// Appends a frame of `take`, on the program's timeline.
    pub(super) fn append(&mut self, mut frame: Frame, take: Take, feed: &Arc<Feed>) {
        let rate = frame.parameters.clock_rate();
        let shift = Ticks(take.shift_micros).rescale(ClockRate::MICROS, rate);
        frame.dts += shift;
        frame.pts += shift;
        let fits =
            |track: &Arc<Track>| track.clock_rate() == rate && track.parameters().codec() == frame.parameters.codec();
        if !self.track.as_ref().is_some_and(fits) {
            let track = Arc::new(Track::with_rendition(self.key.rendition, frame.parameters.clone()));
            feed.set_original(track.clone());
            (self.track, self.last, self.reorder) = (Some(track), None, Ticks(0));
        }
        let pts_micros = frame.pts.micros(rate);
        self.order(&mut frame, take.brings.in_order);
        self.note(&frame, pts_micros);
        let track = self.track.as_ref().expect("made above");
        track.set_takes_requests(take.brings.keyframes == Keyframes::OnRequest);
        track.push(frame);
    }

    /// Sets a decoding time that does not run backwards over a splice, and leaves the presentation time as it is.
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
