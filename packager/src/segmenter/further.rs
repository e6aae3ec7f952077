//! Further video renditions: they are cut where the main video is, so that a player changes between them at any
//! segment.
//!
//! A frame waits until the main video has passed its decoding time, because only then it is known whether a segment
//! begins with it. An encoder that makes several renditions has their keyframes at the same times; where it has not, a
//! segment begins without one and is not listed as independent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use onmic_media::{ClockRate, Frame, Ticks, TrackKey};

use super::composition::Composition;
use super::cuts::{Cut, Cuts};
use super::lead::declared_interval;
use super::left_out::LeftOut;
use super::{GAP_MICROS, Ignored, Segmenter, frame_is_due, incoming};
use crate::error::PackagerError;
use crate::pace::Pace;
use crate::rendition::Rendition;
use crate::settings::Settings;

/// The most frames that wait for the main video: 4 s at 30 fps. With more, the oldest goes on without it.
const WAITING_MAX: usize = 120;

/// Times that differ by up to this are the same moment, because encoders round the times of each rendition separately.
const SAME_MICROS: i64 = 2_000;

/// Holds the state of the main video that a further rendition follows.
#[derive(Clone, Copy)]
struct Main<'a> {
    cuts: &'a Cuts,
    settings: &'a Settings,
    part_target: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Further {
    key: TrackKey,
    rendition: Option<Rendition>,
    pace: Pace,
    composition: Composition,
    waiting: VecDeque<Arc<Frame>>,
    /// Whether its parameters changed. The new ones wait for a discontinuity, which the main video makes at its next
    /// keyframe.
    pub(super) changed: bool,
}

impl Further {
    fn new(key: TrackKey) -> Self {
        let (pace, composition) = (Pace::default(), Composition::default());
        Self { key, rendition: None, pace, composition, waiting: VecDeque::new(), changed: false }
    }

    pub(super) fn rendition(&self) -> Option<&Rendition> {
        self.rendition.as_ref()
    }

    pub(super) fn rendition_mut(&mut self) -> Option<&mut Rendition> {
        self.rendition.as_mut()
    }

    /// Returns what the frames that wait cost, in bytes.
    pub(super) fn waiting_cost(&self) -> usize {
        self.waiting.iter().map(|frame| frame.cost()).sum()
    }

    pub(super) fn close(&mut self) -> Result<(), PackagerError> {
        let expected = self.expected().unwrap_or(1);
        self.rendition.as_mut().map_or(Ok(()), |rendition| rendition.close_segment(expected))
    }

    fn expected(&self) -> Option<i64> {
        self.pace.expected().or_else(|| declared_interval(self.rendition.as_ref()?))
    }

    /// Returns the next frame that need not wait any longer.
    fn next(&mut self, passed_micros: Option<i64>) -> Option<Arc<Frame>> {
        let is_passed = |frame: &mut Arc<Frame>| {
            let micros = frame.dts.micros(frame.parameters.clock_rate());
            passed_micros.is_none_or(|passed| micros <= passed + SAME_MICROS)
        };
        match self.waiting.len() > WAITING_MAX {
            true => self.waiting.pop_front(),
            false => self.waiting.pop_front_if(is_passed),
        }
    }

    fn take(&mut self, frame: &Frame, main: Main<'_>) -> Result<Option<Ignored>, PackagerError> {
        self.composition.learn(frame, self.rendition.is_none());
        if let Some(ignored) = self.place(frame, main)? {
            return Ok(Some(ignored));
        }
        let Some(rendition) = &mut self.rendition else { return Ok(None) };
        self.pace.observe(frame.dts);
        let expected = self.pace.expected().or_else(|| declared_interval(rendition));
        rendition.append(incoming(frame), expected)?;
        Ok(None)
    }

    /// Makes the cut that is due before `frame`, if there is one.
    fn place(&mut self, frame: &Frame, main: Main<'_>) -> Result<Option<Ignored>, PackagerError> {
        let Main { cuts, settings, .. } = main;
        let expected = self.expected().unwrap_or(1);
        let (begins, wall) = self.composition.beginning(frame);
        let micros = begins + SAME_MICROS;
        let Some(rendition) = &mut self.rendition else { return self.begin(frame, micros, main) };
        let own = rendition.open().map_or(0, |open| open.msn);
        let parameters_differ = *rendition.init().parameters != *frame.parameters;
        let due = cuts.due(Some(own), micros);
        if let Some(broken) = cuts.broken(own).filter(|broken| due.is_some_and(|due| due.msn >= broken.msn)) {
            // No frame from before is left to wait for, and a decoder can only go on at a keyframe.
            if !frame.keyframe {
                return Ok(Some(Ignored::NoKeyframe));
            }
            let cut = due.unwrap_or(broken);
            return self.restart(cut, frame, main).map(|()| None);
        }
        if parameters_differ {
            self.changed = true;
            return Ok(Some(Ignored::ParametersChanged));
        }
        let late = Ticks(frame.dts.0 - rendition.due(expected)).micros(rendition.rate());
        let interval = self.pace.interval_to(frame.dts.0);
        if let Some(cut) = due {
            if late > GAP_MICROS {
                rendition.jump(frame.dts.0, expected)?; // The last frame before the hole must not fill the hole.
            }
            for missed in cuts.missed(own + 1..cut.msn, cut, (micros, wall), settings.segment) {
                rendition.leave_out(missed, expected)?;
            }
            rendition.cut(cut.msn, frame.dts.0, wall, expected)?;
            rendition.divide_from(rendition.open_start(), own + 1 == cut.msn);
            if rendition.is_slow(interval, expected) {
                rendition.make_whole();
            }
        } else if frame.dts.0 + expected - rendition.open_start() > rendition.rate().ticks(settings.longest()).0 {
            return Ok(Some(Ignored::Unaligned));
        } else if late > GAP_MICROS {
            rendition.jump(frame.dts.0, expected)?;
        } else if rendition.overruns(frame.dts.0, expected) {
            rendition.make_whole(); // If it has listed no part yet. Else its parts end too early until the next cut.
        }
        Ok(None)
    }

    /// Begins the rendition with a keyframe, in the segment of the keyframe's time.
    fn begin(&mut self, frame: &Frame, micros: i64, main: Main<'_>) -> Result<Option<Ignored>, PackagerError> {
        let Some(cut) = main.cuts.at(micros) else { return Ok(Some(Ignored::BeforeVideo)) };
        if !frame.keyframe {
            return Ok(Some(Ignored::NoKeyframe));
        }
        let mut rendition = Rendition::new(self.key, *main.settings, &frame.parameters)?;
        // The rest of its first segment may be too short to show the distance of frames.
        rendition.declare_part_target(main.part_target);
        rendition.begin_after(cut.discontinuities);
        rendition.redate(cut.dates);
        rendition.break_off(cut.msn, frame.dts.0, frame.wall, 0)?;
        rendition.divide_from(Ticks(cut.micros).rescale(ClockRate::MICROS, rendition.rate()).0, false);
        self.rendition = Some(rendition);
        Ok(None)
    }

    /// Follows the main video over a discontinuity.
    fn restart(&mut self, cut: Cut, frame: &Frame, main: Main<'_>) -> Result<(), PackagerError> {
        let expected = self.expected().unwrap_or(1);
        self.composition.learn(frame, true);
        let Some(rendition) = &mut self.rendition else { return Ok(()) };
        let own = rendition.open().map_or(cut.msn, |open| open.msn);
        for missed in main.cuts.missed(own + 1..cut.msn, cut, (frame.pts_micros(), frame.wall), main.settings.segment) {
            rendition.leave_out(missed, expected)?;
        }
        rendition.redate(cut.dates);
        self.pace.forget_last();
        self.changed = false;
        if frame_is_due(rendition, frame, expected) {
            rendition.go_over(&frame.parameters, cut.msn, frame.dts.0, frame.wall, expected)?;
        } else {
            if *rendition.init().parameters != *frame.parameters {
                rendition.close_segment(expected)?;
                rendition.adopt(&frame.parameters)?;
            }
            rendition.break_off(cut.msn, frame.dts.0, frame.wall, expected)?;
        }
        rendition.divide_from(rendition.open_start(), false);
        Ok(())
    }
}

impl Segmenter {
    pub(super) fn push_further(&mut self, key: TrackKey, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if !self.further.has_room_for(key) {
            return Ok(Some(Ignored::TooManyTracks));
        }
        let own = self.further.get_or_insert_with(key, || Further::new(key));
        own.waiting.push_back(frame.clone());
        let Some(lead) = &self.lead else {
            if own.waiting.len() > WAITING_MAX {
                own.waiting.pop_front();
                return Ok(Some(Ignored::BeforeVideo));
            }
            return Ok(None);
        };
        let part_target = lead.rendition.part_target();
        let main = Main { cuts: &self.cuts, settings: &self.settings, part_target };
        own.release(Some(lead.newest_micros), main, &mut self.left_out)?;
        Ok(None)
    }

    /// Notes that the main video has come up to `passed_micros`, or has ended.
    pub(super) fn release_further(&mut self, passed_micros: Option<i64>) -> Result<(), PackagerError> {
        let part_target = self.lead.as_ref().and_then(|lead| lead.rendition.part_target());
        let main = Main { cuts: &self.cuts, settings: &self.settings, part_target };
        for own in self.further.values_mut() {
            own.release(passed_micros, main, &mut self.left_out)?;
        }
        Ok(())
    }
}

impl Further {
    /// Takes in the frames that need not wait any longer.
    fn release(
        &mut self,
        passed_micros: Option<i64>,
        main: Main<'_>,
        left_out: &mut LeftOut,
    ) -> Result<(), PackagerError> {
        while let Some(frame) = self.next(passed_micros) {
            left_out.note(self.take(&frame, main)?);
        }
        Ok(())
    }
}
