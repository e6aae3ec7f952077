//! The main video: it decides where segments begin.
//!
//! A segment begins with a keyframe, but for two cases. A group of frames that is longer than the target duration is cut
//! into even pieces, at places that are counted from its keyframe: a place that is near the next keyframe would leave a
//! segment of a frame or two. Frames that come too slowly for parts are in segments of their own, which are listed whole
//! ([`Rendition::make_whole`]).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use onmic_media::{Frame, Ticks, TrackKey};

use super::composition::Composition;
use super::cuts::{Cut, Cuts};
use super::{GAP_MICROS, Ignored, Segmenter, frame_is_due, incoming};
use crate::error::PackagerError;
use crate::pace::Pace;
use crate::rendition::{Missed, Rendition};
use crate::settings::Settings;

/// A keyframe that is late by [`GAP_MICROS`] starts a new timeline if it is also late by this many usual intervals: a
/// screen is shared at one frame a second.
const GAP_INTERVALS: i64 = 3;

/// Video of a screen that stands still may come this rarely while the audio goes on.
const STILL_MICROS: i64 = 10_000_000;

#[derive(Debug)]
pub(super) struct Lead {
    pub(super) rendition: Rendition,
    pub(super) pace: Pace,
    group: Option<i64>,
    last_keyframe: Option<i64>,
    /// How late the newest frame was, if the publisher seemed to have been away before it.
    was_away: Option<i64>,
    /// Whether the segment began without a keyframe.
    headless: bool,
    /// Whether the source was asked for a keyframe for the next segment.
    keyframe_asked: bool,
    composition: Composition,
    /// The decoding time of the newest frame in µs. All cuts up to it are made.
    pub(super) newest_micros: i64,
    /// The newest keyframe of the publisher.
    pub(super) keyframe: Option<Arc<Frame>>,
    /// Whether that keyframe is repeated, because no frame comes.
    pub(super) stands_still: bool,
    /// How far the audio had come when the newest frame of the publisher came, and how far behind it that frame was.
    pub(super) heard_micros: i64,
    pub(super) behind_micros: i64,
}

impl Lead {
    fn new(rendition: Rendition) -> Self {
        Self {
            rendition,
            pace: Pace::default(),
            group: None,
            last_keyframe: None,
            was_away: None,
            headless: false,
            keyframe_asked: false,
            composition: Composition::default(),
            newest_micros: i64::MIN,
            keyframe: None,
            stands_still: false,
            heard_micros: 0,
            behind_micros: 0,
        }
    }

    /// Whether the open segment began without a keyframe.
    pub(super) fn is_headless(&self) -> bool {
        self.headless
    }

    pub(super) fn expected(&self) -> Option<i64> {
        self.pace.expected().or_else(|| declared_interval(&self.rendition))
    }

    /// Returns from which length on the open segment ends at a keyframe. If the stream `begins_short`, that of the first one is
    /// the distance that players keep from the live edge.
    fn shortest(&self, begins_short: bool, settings: &Settings) -> Duration {
        let is_first = begins_short && self.rendition.segments().len() == 0;
        if is_first { settings.short() } else { settings.segment }
    }

    /// Whether a frame at `dts` begins one of the even pieces of a group that is known to be longer than `limit`. None
    /// begins at the end of the group, because the next keyframe is due there.
    fn is_at_piece(&self, dts: i64, expected: i64, limit: i64) -> bool {
        let (Some(group), Some(keyframe)) = (self.group.filter(|group| *group > limit), self.last_keyframe) else {
            return false;
        };
        let pieces = (group as u64).div_ceil(limit.max(1) as u64) as i64;
        let place = |index: i64| keyframe + index * group / pieces - expected / 2; // The nearest frame.
        let reached = (1..pieces).rev().find(|index| dts >= place(*index));
        reached.is_some_and(|index| self.rendition.open_start() < place(index))
    }
}

impl Lead {
    /// Lists the segments that the audio has cut while no video came. They fill the time before `frame`.
    fn leave_out(
        &mut self,
        missing: Range<u64>,
        cuts: &Cuts,
        frame: &Frame,
        expected: i64,
    ) -> Result<(), PackagerError> {
        let hole = self.rendition.unlisted_before(frame.dts.0);
        let count = u32::try_from(missing.end - missing.start).unwrap_or(u32::MAX);
        for (msn, left) in missing.zip((1..=count).rev()) {
            let micros = i64::try_from((hole / count * left).as_micros()).unwrap_or(0);
            let (wall, broken) = (frame.wall.offset_micros(-micros), cuts.broken_at(msn));
            self.rendition.leave_out(Missed { msn, wall, duration: hole / count, broken }, expected)?;
        }
        Ok(())
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
    /// A cut after a hole that no player can play across.
    Jump,
    /// A cut with a discontinuity, or the first.
    Restart,
}

impl Segmenter {
    pub(super) fn push_lead(&mut self, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if self.lead.is_none() && !frame.keyframe {
            return Ok(Some(Ignored::NoKeyframe));
        }
        if let Some(lead) = self.lead.as_mut().filter(|lead| lead.stands_still) {
            if !frame.keyframe || frame.dts.0 < lead.rendition.due(0) {
                self.keyframe_wanted = true;
                return Ok(Some(Ignored::NoKeyframe));
            }
            lead.stands_still = false;
        }
        self.append_lead(frame, None)?;
        if let Some(lead) = &mut self.lead {
            if frame.keyframe {
                lead.keyframe = Some(frame.clone());
            }
            lead.heard_micros = self.heard_micros.max(lead.newest_micros);
            lead.behind_micros = lead.heard_micros - lead.newest_micros;
        }
        Ok(None)
    }

    /// Adds a frame to the main video. It lasts for `length`, or else as long as frames have lasted.
    pub(super) fn append_lead(&mut self, frame: &Arc<Frame>, length: Option<i64>) -> Result<(), PackagerError> {
        let micros = frame.pts_micros();
        let step = self.decide(frame)?;
        let broken = matches!(step, Step::Restart);
        self.apply(step, frame)?;
        let Some(lead) = &mut self.lead else { return Ok(()) };
        if length.is_none() {
            lead.pace.observe(frame.dts);
        }
        lead.newest_micros = frame.dts.micros(frame.parameters.clock_rate());
        if frame.keyframe {
            lead.group = lead.last_keyframe.map(|last| frame.dts.0 - last).filter(|_| !broken).or(lead.group);
            lead.last_keyframe = Some(frame.dts.0);
        }
        let expected = length.or(lead.expected());
        lead.rendition.append(incoming(frame), expected)?;
        let elapsed = Ticks(frame.dts.0 - lead.rendition.open_start()).duration(lead.rendition.rate());
        // A cut is made at a keyframe from here on, and a publisher needs a round trip to send one.
        if !lead.keyframe_asked && elapsed * 10 >= lead.shortest(self.begins_short, &self.settings) * 9 {
            lead.keyframe_asked = true;
            self.keyframe_wanted = true;
        }
        let passed_micros = lead.newest_micros;
        self.release_held()?;
        self.release_further(Some(passed_micros))?;
        self.fill_missing_audio(micros)
    }

    /// Decides how the lead goes on with `frame`.
    fn decide(&mut self, frame: &Frame) -> Result<Step, PackagerError> {
        let changes = self.audio.values().any(|audio| audio.changed)
            || self.further.values().any(|own| own.changed)
            || self.dates.step_is_due();
        let audio_flows = self.audio_has_come_to(frame.pts_micros());
        let Some(lead) = &mut self.lead else {
            self.lead = Some(Lead::new(Rendition::new(TrackKey::VIDEO, self.settings, &frame.parameters)?));
            return Ok(Step::Restart);
        };
        let rate = lead.rendition.rate();
        let expected = lead.expected().unwrap_or(0);
        let late = frame.dts.0 - lead.rendition.due(expected);
        let elapsed = frame.dts.0 - lead.rendition.open_start();
        // What a frame at this time tells of the pace. A slow frame from the start decides about parts, even at a keyframe.
        let pace = lead.pace.expected_from(frame.dts.0).unwrap_or(expected);
        let overruns = lead.rendition.overruns(frame.dts.0, pace);
        let (segment, limit) = (rate.ticks(self.settings.segment).0, rate.ticks(self.settings.longest()).0);
        let shortest = rate.ticks(lead.shortest(self.begins_short, &self.settings)).0;
        let before = lead.was_away.take();
        if frame.keyframe {
            let changed = *lead.rendition.init().parameters != *frame.parameters;
            // The publisher is there: its audio is, or its frames come that slowly.
            let slow = audio_flows && Ticks(late).micros(rate) <= STILL_MICROS
                || before.is_some_and(|before| late <= before * 2);
            let away = Ticks(late).micros(rate) > GAP_MICROS && late > GAP_INTERVALS * expected && !slow;
            lead.was_away = Some(late).filter(|_| away);
            if changed || away || changes {
                return Ok(Step::Restart);
            }
        }
        if overruns && !lead.rendition.make_whole() {
            return Ok(Step::Cut);
        }
        // Nine tenths, so that a keyframe that is a little early is not waited past. A segment that has just begun without a
        // keyframe may have one a little later: a segment of its own would be too short for players.
        if frame.keyframe && (elapsed * 10 >= shortest * 9 || (lead.headless && elapsed * 4 >= segment)) {
            return Ok(Step::Cut);
        }
        let slow_is_due = lead.rendition.is_whole() && elapsed * 2 >= segment;
        Ok(if elapsed > limit && late > segment && !audio_flows {
            // Nothing has come for longer than the target duration, even if the last frame lasted until now.
            Step::Jump
        } else if elapsed + expected > limit || slow_is_due || lead.is_at_piece(frame.dts.0, expected, limit) {
            Step::Cut
        } else {
            Step::GoOn
        })
    }

    fn apply(&mut self, step: Step, frame: &Frame) -> Result<(), PackagerError> {
        if matches!(step, Step::GoOn) {
            return Ok(());
        }
        let next_msn = self.next_msn();
        let restart = matches!(step, Step::Restart);
        let dates = if restart { self.dates.step() } else { self.dates.in_force() };
        let Some(lead) = &mut self.lead else { return Ok(()) };
        let own = lead.rendition.open().map(|open| open.msn);
        lead.composition.learn(frame, restart || own.is_none());
        let (micros, wall) = lead.composition.beginning(frame);
        let expected = lead.expected().unwrap_or(1);
        let interval = lead.pace.interval_to(frame.dts.0);
        let pace = lead.pace.expected_from(frame.dts.0).unwrap_or(expected);
        let mut ended = micros;
        // A cut that the audio made while it was ahead, or alone.
        let ahead = self.cuts.due(own, micros + GAP_MICROS).filter(|_| !restart || own.is_none());
        let discontinuities = self.cuts.discontinuities();
        let cut = Cut { msn: next_msn, micros, ended, discontinuity: restart, discontinuities, dates };
        let cut = ahead.unwrap_or(cut);
        if own.is_none() {
            lead.rendition.begin_after(cut.discontinuities);
        }
        let (msn, restart) = (cut.msn, restart || cut.discontinuity);
        if let Some(own) = own.filter(|own| own + 1 < msn) {
            match restart {
                true => lead.rendition.end_part_when_due(expected)?,
                false => lead.rendition.end_part(frame.dts.0, expected)?,
            }
            lead.leave_out(own + 1..msn, &self.cuts, frame, expected)?;
        }
        lead.rendition.redate(cut.dates);
        match step {
            _ if restart && own.is_some() && frame_is_due(&lead.rendition, frame, expected) => {
                lead.pace.forget_last();
                lead.rendition.go_over(&frame.parameters, msn, frame.dts.0, wall, expected)?;
                if lead.rendition.is_slow(interval, pace) {
                    lead.rendition.make_whole();
                }
            }
            _ if restart => {
                if *lead.rendition.init().parameters != *frame.parameters {
                    lead.rendition.close_segment(expected)?;
                    lead.rendition.adopt(&frame.parameters)?;
                }
                lead.pace.forget_last();
                ended = Ticks(lead.rendition.due(expected)).micros(lead.rendition.rate()).min(micros);
                lead.rendition.break_off(msn, frame.dts.0, wall, expected)?;
            }
            Step::Jump => {
                lead.rendition.note_hole(frame.dts.0);
                lead.rendition.cut(msn, frame.dts.0, wall, expected)?;
            }
            _ => {
                lead.rendition.cut(msn, frame.dts.0, wall, expected)?;
                if lead.rendition.is_slow(interval, pace) {
                    lead.rendition.make_whole();
                }
            }
        }
        let continues = matches!(step, Step::Cut) && !restart && own.is_some_and(|own| own + 1 == msn);
        lead.rendition.divide_from(lead.rendition.open_start(), continues);
        lead.headless = !frame.keyframe;
        lead.keyframe_asked = false;
        if ahead.is_none() {
            let discontinuity = lead.rendition.open().is_some_and(|open| open.discontinuity);
            self.cuts.note(Cut { discontinuity, ended, ..cut });
        }
        Ok(())
    }
}
