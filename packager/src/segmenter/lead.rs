//! The main video: it decides where segments begin.

use std::sync::Arc;

use onmic_media::{Frame, Ticks, TrackKey};

use super::cuts::Cut;
use super::{GAP_MICROS, Ignored, Segmenter, frame_is_due, incoming};
use crate::error::PackagerError;
use crate::pace::Pace;
use crate::rendition::Rendition;

/// A keyframe that is late by [`GAP_MICROS`] starts a new timeline if it is also late by this many usual intervals: a
/// screen is shared at one frame a second.
const GAP_INTERVALS: i64 = 3;

#[derive(Debug)]
pub(super) struct Lead {
    pub(super) rendition: Rendition,
    pace: Pace,
    group: Option<i64>,
    last_keyframe: Option<i64>,
    /// Whether the segment began without a keyframe.
    headless: bool,
    /// Whether the source was asked for a keyframe for the next segment.
    keyframe_asked: bool,
    /// The decoding time of the newest frame in µs. All cuts up to it are made.
    pub(super) newest_micros: i64,
}

impl Lead {
    fn new(rendition: Rendition) -> Self {
        Self {
            rendition,
            pace: Pace::default(),
            group: None,
            last_keyframe: None,
            headless: false,
            keyframe_asked: false,
            newest_micros: i64::MIN,
        }
    }

    pub(super) fn expected(&self) -> Option<i64> {
        self.pace.expected().or_else(|| declared_interval(&self.rendition))
    }
}

/// Returns the interval of frames that their parameters declare.
pub(super) fn declared_interval(rendition: &Rendition) -> Option<i64> {
    let rate = rendition.init().parameters.frame_rate()?;
    Some((f64::from(rendition.rate().hz()) / rate) as i64)
}

/// States how the lead goes on with a frame.
enum Step {
    GoOn,
    Cut,
    /// A cut after a hole in decoding time.
    Jump,
    /// A cut with a discontinuity, or the first.
    Restart,
}

impl Segmenter {
    pub(super) fn push_lead(&mut self, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if self.lead.is_none() && !frame.keyframe {
            return Ok(Some(Ignored::NoKeyframe));
        }
        let micros = frame.pts_micros();
        let step = self.decide(frame)?;
        let broken = matches!(step, Step::Restart);
        self.apply(step, frame, micros)?;
        let Some(lead) = &mut self.lead else { return Ok(None) };
        lead.pace.observe(frame.dts);
        lead.newest_micros = frame.dts.micros(frame.parameters.clock_rate());
        if frame.keyframe {
            lead.group = lead.last_keyframe.map(|last| frame.dts.0 - last).filter(|_| !broken).or(lead.group);
            lead.last_keyframe = Some(frame.dts.0);
        }
        let expected = lead.expected();
        lead.rendition.append(incoming(frame), expected)?;
        let elapsed = Ticks(frame.dts.0 - lead.rendition.open_start()).duration(lead.rendition.rate());
        if !lead.keyframe_asked && elapsed >= self.settings.segment {
            lead.keyframe_asked = true;
            self.keyframe_wanted = true;
        }
        let passed_micros = lead.newest_micros;
        self.release_held()?;
        self.release_further(Some(passed_micros))?;
        self.fill_missing_audio(micros)?;
        Ok(None)
    }

    /// Decides how the lead goes on with `frame`.
    fn decide(&mut self, frame: &Frame) -> Result<Step, PackagerError> {
        let changes = self.audio.values().any(|audio| audio.changed) || self.further.values().any(|own| own.changed);
        let Some(lead) = &self.lead else {
            self.lead = Some(Lead::new(Rendition::new(TrackKey::VIDEO, self.settings, &frame.parameters)?));
            return Ok(Step::Restart);
        };
        let rate = lead.rendition.rate();
        let expected = lead.expected().unwrap_or(0);
        let late = frame.dts.0 - lead.rendition.due(expected);
        let elapsed = frame.dts.0 - lead.rendition.open_start();
        let ticks = |duration| rate.ticks(duration).0;
        if frame.keyframe {
            let changed = *lead.rendition.init().parameters != *frame.parameters;
            let away = Ticks(late).micros(rate) > GAP_MICROS && late > GAP_INTERVALS * expected;
            if changed || away || changes {
                return Ok(Step::Restart);
            }
            // Nine tenths are enough, so that a keyframe that is slightly early is used.
            if lead.headless || elapsed * 10 >= ticks(self.settings.segment) * 9 {
                return Ok(Step::Cut);
            }
        }
        let limit = ticks(self.settings.longest());
        let longest = match lead.group {
            // A group that is known to be too long is cut in even pieces.
            Some(group) if group > limit => group / (group as u64).div_ceil(limit as u64) as i64,
            _ => limit,
        };
        Ok(if elapsed + expected <= longest {
            Step::GoOn
        } else if elapsed > limit && late > ticks(self.settings.segment) {
            // Nothing has come for longer than the target duration, even if the last frame lasted until now.
            Step::Jump
        } else {
            Step::Cut
        })
    }

    fn apply(&mut self, step: Step, frame: &Frame, micros: i64) -> Result<(), PackagerError> {
        if matches!(step, Step::GoOn) {
            return Ok(());
        }
        let next_msn = self.next_msn();
        let Some(lead) = &mut self.lead else { return Ok(()) };
        let expected = lead.expected().unwrap_or(1);
        let own = lead.rendition.open().map(|open| open.msn);
        let restart = matches!(step, Step::Restart);
        // A cut that the audio made while it was ahead, or alone.
        let ahead = self.cuts.due(own, micros + GAP_MICROS).filter(|_| !restart || own.is_none());
        let (msn, adopted) = ahead.map_or((next_msn, false), |cut| (cut.msn, true));
        if let Some(own) = own {
            for missing in own + 1..msn {
                lead.rendition.leave_out(missing, frame.wall, self.settings.segment, expected)?;
            }
        }
        match step {
            Step::Restart if own.is_some() && frame_is_due(&lead.rendition, frame, expected) => {
                lead.pace.forget_last();
                lead.rendition.go_over(&frame.parameters, msn, frame.dts.0, frame.wall, expected)?;
            }
            Step::Restart => {
                if *lead.rendition.init().parameters != *frame.parameters {
                    lead.rendition.close_segment(expected)?;
                    lead.rendition.adopt(&frame.parameters)?;
                }
                lead.pace.forget_last();
                lead.rendition.break_off(msn, frame.dts.0, frame.wall, expected)?;
            }
            Step::Jump => {
                lead.rendition.jump(frame.dts.0, expected)?;
                lead.rendition.cut(msn, frame.dts.0, frame.wall, expected)?;
            }
            Step::Cut | Step::GoOn => lead.rendition.cut(msn, frame.dts.0, frame.wall, expected)?,
        }
        let continues = matches!(step, Step::Cut) && own.is_some_and(|own| own + 1 == msn);
        lead.rendition.divide_from(lead.rendition.open_start(), continues);
        lead.headless = !frame.keyframe;
        lead.keyframe_asked = false;
        if !adopted {
            let discontinuity = lead.rendition.open().is_some_and(|open| open.discontinuity);
            self.cuts.note(Cut { msn, micros, discontinuity });
        }
        Ok(())
    }
}
