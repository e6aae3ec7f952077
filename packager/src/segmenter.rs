//! Frames of one video and one audio track in, two renditions in step out.
//!
//! The video leads: it cuts at keyframes, and each cut is a media sequence number and a time that the audio follows at its
//! next frame. So both renditions have the same numbers for the same time, and the same discontinuities. A cut without a
//! keyframe is made only when the group of pictures outgrows the target duration, which may never change.
//!
//! When one of the two stops, the other goes on. Sound that is missing becomes silence where that is known how to be
//! written; video that is missing leaves the audio to cut by itself, and comes back behind gap segments.

use std::collections::VecDeque;
use std::sync::Arc;

use onmic_media::{ClockRate, DropReason, Frame, MediaKind, Parameters, Ticks, WallTime};

use crate::dates::Dates;
use crate::error::PackagerError;
use crate::pace::{Cadence, Pace, Placed};
use crate::rendition::{FIRST_MSN, Incoming, Rendition};
use crate::settings::Settings;
use crate::silence;

/// A keyframe this far behind its time starts a new timeline: the publisher was away.
const GAP_MICROS: i64 = 500_000;
/// … if it is also so many usual intervals late: a screen is shared at one frame a second.
const GAP_INTERVALS: i64 = 3;
/// A frame so near to when it is due continues the timeline.
const DUE_MICROS: i64 = 200_000;
/// Sound so far behind the picture is missing, and not late.
const SOUND_PATIENCE_MICROS: i64 = 2_000_000;
/// Missing sound is filled up to here behind the picture.
const SOUND_BEHIND_MICROS: i64 = 500_000;
/// Longer holes in sound are not filled.
const SILENCE_MICROS_MAX: i64 = 10_000_000;
/// Cuts that the other rendition has not come to. Ten minutes of two-second segments.
const CUTS_MAX: usize = 300;
/// Sound that waits for the picture to say whether the publisher was away: ten seconds.
const HELD_MAX: usize = 512;

/// Why a frame was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Video before the first keyframe.
    NoKeyframe,
    /// Sound before the first picture, or before the first picture of a new publisher.
    BeforeVideo,
    /// Sound for a time that has sound already.
    Overlap,
    /// Sound with other parameters; it begins at the next cut.
    ParametersChanged,
}

impl Ignored {
    /// The reason that it is counted by.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::NoKeyframe => DropReason::HlsNoKeyframe,
            Self::BeforeVideo => DropReason::HlsBeforeVideo,
            Self::Overlap => DropReason::HlsOverlap,
            Self::ParametersChanged => DropReason::HlsParametersChanged,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    msn: u64,
    /// Presentation time in µs.
    micros: i64,
    discontinuity: bool,
}

#[derive(Debug)]
struct Pictures {
    rendition: Rendition,
    pace: Pace,
    group: Option<i64>,
    last_keyframe: Option<i64>,
    /// The segment began without a keyframe.
    headless: bool,
}

#[derive(Debug)]
struct Sound {
    rendition: Rendition,
    cadence: Cadence,
    silence: Option<bytes::Bytes>,
    /// The last frame's place and wall time: what silence is dated by.
    last: (i64, WallTime),
    /// Filled by silence since the last frame.
    missing: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Segmenter {
    settings: Settings,
    waits_for_video: bool,
    dates: Dates,
    video: Option<Pictures>,
    audio: Option<Sound>,
    cuts: VecDeque<Cut>,
    held: VecDeque<Arc<Frame>>,
    new_sound: Option<Arc<Parameters>>,
    keyframe_wanted: bool,
    keyframe_asked: bool,
    ended: bool,
}

impl Segmenter {
    /// One without segments. With `waits_for_video`, sound begins with the first picture.
    pub fn new(settings: Settings, waits_for_video: bool) -> Self {
        Self {
            settings,
            waits_for_video,
            dates: Dates::default(),
            video: None,
            audio: None,
            cuts: VecDeque::new(),
            held: VecDeque::new(),
            new_sound: None,
            keyframe_wanted: false,
            keyframe_asked: false,
            ended: false,
        }
    }

    /// The durations it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The rendition of this kind, once its first frame came.
    pub fn rendition(&self, kind: MediaKind) -> Option<&Rendition> {
        match kind {
            MediaKind::Video => self.video.as_ref().map(|video| &video.rendition),
            MediaKind::Audio => self.audio.as_ref().map(|audio| &audio.rendition),
        }
    }

    /// Mutable, to take what was evicted.
    pub fn rendition_mut(&mut self, kind: MediaKind) -> Option<&mut Rendition> {
        match kind {
            MediaKind::Video => self.video.as_mut().map(|video| &mut video.rendition),
            MediaKind::Audio => self.audio.as_mut().map(|audio| &mut audio.rendition),
        }
    }

    /// Whether [`Segmenter::finish`] was called.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether a segment is due and waits for a keyframe, since the last call. Asked for once per segment.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wanted)
    }

    /// Takes in the next frame of a track. Frames of one kind come in decoding order.
    pub fn push(&mut self, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if self.ended {
            return Ok(None);
        }
        let wall = self.dates.date(frame.pts.micros(frame.parameters.clock_rate()), frame.wall);
        let frame = Arc::new(Frame { wall, ..Frame::clone(frame) });
        let ignored = match frame.parameters.kind() {
            MediaKind::Video => self.push_video(&frame),
            MediaKind::Audio => self.push_audio(&frame),
        };
        self.shorten_sound();
        ignored
    }

    /// No frame will follow: everything is complete.
    pub fn finish(&mut self) -> Result<(), PackagerError> {
        self.release_held()?;
        self.ended = true;
        if let Some(video) = &mut self.video {
            let expected = video.expected().unwrap_or(1);
            video.rendition.close_segment(expected)?;
        }
        if let Some(audio) = &mut self.audio {
            let expected = audio.cadence.length();
            audio.rendition.close_segment(expected)?;
        }
        Ok(())
    }

    fn push_video(&mut self, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if self.video.is_none() && !frame.keyframe {
            return Ok(Some(Ignored::NoKeyframe));
        }
        let micros = frame.pts.micros(frame.parameters.clock_rate());
        let step = self.decide(frame)?;
        let broken = matches!(step, Step::Restart);
        self.apply(step, frame, micros)?;
        let Some(video) = &mut self.video else { return Ok(None) };
        video.pace.observe(frame.dts);
        if frame.keyframe {
            video.group = video.last_keyframe.map(|last| frame.dts.0 - last).filter(|_| !broken).or(video.group);
            video.last_keyframe = Some(frame.dts.0);
        }
        let expected = video.expected();
        let incoming = Incoming {
            dts: frame.dts.0,
            pts: frame.pts.0,
            keyframe: frame.keyframe,
            wall: frame.wall,
            payload: frame.payload.clone(),
        };
        video.rendition.append(incoming, expected)?;
        let elapsed = Ticks(frame.dts.0 - video.rendition.open_start()).duration(video.rendition.rate());
        if !self.keyframe_asked && elapsed >= self.settings.segment {
            self.keyframe_asked = true;
            self.keyframe_wanted = true;
        }
        self.release_held()?;
        self.fill_missing_sound(micros)?;
        Ok(None)
    }

    /// The list of sound never reaches back behind that of pictures, whatever the lengths of segments add up to and
    /// whichever of the two is ahead or was kept by a cache: players begin their timeline at the first picture listed, and
    /// hls.js has no room before it: it moved sound by what was missing, and then looked for it in the wrong place.
    fn shorten_sound(&mut self) {
        if let (Some(video), Some(audio)) = (&self.video, &mut self.audio)
            && let Some(first) = video.rendition.slid_to()
        {
            audio.rendition.let_go_before(first + 1);
        }
    }

    /// Whether the segment goes on with `frame`.
    fn decide(&mut self, frame: &Frame) -> Result<Step, PackagerError> {
        let Some(video) = &self.video else {
            let rendition = Rendition::new(self.settings, &frame.parameters)?;
            self.video =
                Some(Pictures { rendition, pace: Pace::default(), group: None, last_keyframe: None, headless: false });
            return Ok(Step::Restart);
        };
        let rate = video.rendition.rate();
        let expected = video.expected().unwrap_or(0);
        let late = frame.dts.0 - video.rendition.due(expected);
        let elapsed = frame.dts.0 - video.rendition.open_start();
        let ticks = |duration| rate.ticks(duration).0;
        if frame.keyframe {
            let changed = *video.rendition.init().parameters != *frame.parameters;
            let away = Ticks(late).micros(rate) > GAP_MICROS && late > GAP_INTERVALS * expected;
            if changed || away || self.new_sound.is_some() {
                return Ok(Step::Restart);
            }
            // Nine tenths, so that a keyframe that is a little early is not waited past.
            if video.headless || elapsed * 10 >= ticks(self.settings.segment) * 9 {
                return Ok(Step::Cut);
            }
        }
        let limit = ticks(self.settings.longest());
        let longest = match video.group {
            // Even pieces of a group that is known to be too long.
            Some(group) if group > limit => group / (group as u64).div_ceil(limit as u64) as i64,
            _ => limit,
        };
        Ok(if elapsed + expected <= longest {
            Step::GoOn
        } else if elapsed > limit && late > ticks(self.settings.segment) {
            // Nothing came for so long that even the last frame would outlast the target duration.
            Step::Jump
        } else {
            Step::Cut
        })
    }

    fn apply(&mut self, step: Step, frame: &Frame, micros: i64) -> Result<(), PackagerError> {
        if matches!(step, Step::GoOn) {
            return Ok(());
        }
        let last = self.msn();
        let Some(video) = &mut self.video else { return Ok(()) };
        let expected = video.expected().unwrap_or(1);
        let own = video.rendition.open().map(|open| open.msn);
        let restart = matches!(step, Step::Restart);
        // A cut that the audio made while it was ahead, or alone.
        let ahead =
            self.cuts.iter().rev().find(|cut| own.is_none_or(|own| cut.msn > own) && cut.micros <= micros + GAP_MICROS);
        let (msn, adopted) = match ahead.filter(|_| !restart || own.is_none()) {
            Some(cut) => (cut.msn, true),
            None => (last.map_or(FIRST_MSN, |last| last + 1), false),
        };
        if let Some(own) = own {
            for missing in own + 1..msn {
                video.rendition.leave_out(missing, frame.wall, self.settings.segment, expected)?;
            }
        }
        match step {
            Step::Restart if own.is_some() && frame_is_due(&video.rendition, frame, expected) => {
                video.pace.forget_last();
                video.rendition.go_over(&frame.parameters, msn, frame.dts.0, frame.wall, expected)?;
            }
            Step::Restart => {
                if *video.rendition.init().parameters != *frame.parameters {
                    video.rendition.close_segment(expected)?;
                    video.rendition.adopt(&frame.parameters)?;
                }
                video.pace.forget_last();
                video.rendition.break_off(msn, frame.dts.0, frame.wall, expected)?;
            }
            Step::Jump => {
                video.rendition.jump(frame.dts.0, expected)?;
                video.rendition.cut(msn, frame.dts.0, frame.wall, expected)?;
            }
            Step::Cut | Step::GoOn => video.rendition.cut(msn, frame.dts.0, frame.wall, expected)?,
        }
        let continues = matches!(step, Step::Cut) && own.is_some_and(|own| own + 1 == msn);
        video.rendition.divide_from(video.rendition.open_start(), continues);
        video.headless = !frame.keyframe;
        self.keyframe_asked = false;
        if !adopted {
            let discontinuity = video.rendition.open().is_some_and(|open| open.discontinuity);
            self.note(Cut { msn, micros, discontinuity });
        }
        Ok(())
    }

    /// The newest number of either rendition.
    fn msn(&self) -> Option<u64> {
        let open = |rendition: &Rendition| rendition.open().map(|open| open.msn);
        let video = self.video.as_ref().and_then(|video| open(&video.rendition));
        let audio = self.audio.as_ref().and_then(|audio| open(&audio.rendition));
        video.max(audio).max(self.cuts.back().map(|cut| cut.msn))
    }

    fn note(&mut self, cut: Cut) {
        if self.cuts.len() == CUTS_MAX {
            self.cuts.pop_front();
        }
        self.cuts.push_back(cut);
    }

    fn push_audio(&mut self, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if self.waits_for_video && self.video.is_none() {
            // Sound may be ahead of its picture. What is before the first one is left out then.
            if self.held.len() == HELD_MAX {
                self.held.pop_front();
            }
            self.held.push_back(frame.clone());
            return Ok(None);
        }
        if !self.held.is_empty() {
            self.hold(frame)?;
            return Ok(None);
        }
        self.take_sound(frame, true)
    }

    /// `may_wait`: a hole may turn out to be the publisher's absence, once the next picture comes.
    fn take_sound(&mut self, frame: &Arc<Frame>, may_wait: bool) -> Result<Option<Ignored>, PackagerError> {
        let rate = frame.parameters.clock_rate();
        let micros = frame.pts.micros(rate);
        if self.audio.is_none() && !self.begin_sound(frame, micros)? {
            return Ok(Some(Ignored::BeforeVideo));
        }
        let Some(audio) = &mut self.audio else { return Ok(None) };
        let own = audio.rendition.open().map_or(0, |open| open.msn);
        let broken = self.cuts.iter().rev().find(|cut| cut.msn > own && cut.discontinuity).copied();
        let half = Ticks(audio.cadence.length() / 2).micros(rate);
        let changed = audio.rendition.init().parameters.as_ref() != frame.parameters.as_ref();
        if let Some(cut) = broken {
            let rest = audio.cadence.next().map_or(0, |next| micros - Ticks(next).micros(audio.rendition.rate()));
            if micros + half >= cut.micros {
                self.restart_sound(cut, frame)?;
            } else if changed || rest > GAP_MICROS {
                return Ok(Some(Ignored::BeforeVideo));
            }
        } else if changed {
            if self.video.is_some() {
                self.new_sound = Some(frame.parameters.clone());
                return Ok(Some(Ignored::ParametersChanged));
            }
            let cut = Cut { msn: self.msn().map_or(FIRST_MSN, |last| last + 1), micros, discontinuity: true };
            self.note(cut);
            self.restart_sound(cut, frame)?;
        }
        let Some(audio) = &mut self.audio else { return Ok(None) };
        let due = audio.cadence.next().unwrap_or(frame.dts.0);
        match audio.cadence.place(frame.dts) {
            Placed::Overlap => return Ok(Some(Ignored::Overlap)),
            Placed::At(at) => self.append_sound(at, frame.wall, frame.payload.clone())?,
            Placed::After(at) => {
                let hole = Ticks(at - due).micros(rate);
                if may_wait && hole > GAP_MICROS && self.video_is_behind(micros) {
                    if let Some(audio) = &mut self.audio {
                        audio.cadence.return_to(due);
                    }
                    self.hold(frame)?;
                    return Ok(None);
                }
                self.fill_hole(due, at)?;
                self.append_sound(at, frame.wall, frame.payload.clone())?;
            }
        }
        if let Some(audio) = &mut self.audio {
            audio.missing = false;
        }
        Ok(None)
    }

    fn begin_sound(&mut self, frame: &Frame, micros: i64) -> Result<bool, PackagerError> {
        let half = 10_000; // About half a frame: the picture and its sound are rarely on the same tick.
        let cut = self.cuts.iter().rev().find(|cut| cut.micros <= micros + half).copied();
        let cut = match cut {
            Some(cut) => cut,
            None if self.waits_for_video || self.video.is_some() => return Ok(false),
            None => {
                let first = Cut { msn: FIRST_MSN, micros, discontinuity: false };
                self.note(first);
                first
            }
        };
        let mut rendition = Rendition::new(self.settings, &frame.parameters)?;
        rendition.break_off(cut.msn, frame.dts.0, frame.wall, 0)?;
        rendition.divide_from(Ticks(cut.micros).rescale(ClockRate::MICROS, rendition.rate()).0, false);
        self.audio = Some(Sound {
            rendition,
            cadence: cadence(&frame.parameters, &frame.payload),
            silence: silence::frame(&frame.parameters),
            last: (frame.dts.0, frame.wall),
            missing: false,
        });
        Ok(true)
    }

    /// Follows the video over a discontinuity.
    fn restart_sound(&mut self, cut: Cut, frame: &Frame) -> Result<(), PackagerError> {
        let Some(audio) = &mut self.audio else { return Ok(()) };
        let expected = audio.cadence.length();
        let own = audio.rendition.open().map_or(cut.msn, |open| open.msn);
        for missing in own + 1..cut.msn {
            audio.rendition.leave_out(missing, frame.wall, self.settings.segment, expected)?;
        }
        let changed = audio.rendition.init().parameters.as_ref() != frame.parameters.as_ref();
        let same_rate = audio.rendition.rate() == frame.parameters.clock_rate();
        let due = audio.cadence.next().filter(|_| same_rate && frame_is_due(&audio.rendition, frame, expected));
        if let Some(due) = due {
            audio.rendition.go_over(&frame.parameters, cut.msn, due, frame.wall, expected)?;
        } else if changed {
            audio.rendition.close_segment(expected)?;
            audio.rendition.adopt(&frame.parameters)?;
        }
        if changed {
            audio.cadence = cadence(&frame.parameters, &frame.payload);
            audio.silence = silence::frame(&frame.parameters);
        }
        self.new_sound = None;
        if let Some(due) = due {
            audio.cadence.return_to(due);
        } else {
            audio.cadence.restart();
            audio.rendition.break_off(cut.msn, frame.dts.0, frame.wall, expected)?;
        }
        audio
            .rendition
            .divide_from(Ticks(cut.micros).rescale(ClockRate::MICROS, frame.parameters.clock_rate()).0, false);
        self.cuts.retain(|other| other.msn >= cut.msn);
        Ok(())
    }

    /// Adds sound at its place, behind the cuts that are due before it.
    fn append_sound(&mut self, at: i64, wall: WallTime, payload: bytes::Bytes) -> Result<(), PackagerError> {
        self.cut_sound(at, wall)?;
        let Some(audio) = &mut self.audio else { return Ok(()) };
        audio.last = (at, wall);
        let length = audio.cadence.length();
        let incoming = Incoming { dts: at, pts: at, keyframe: true, wall, payload };
        audio.rendition.append(incoming, Some(length))
    }

    fn cut_sound(&mut self, at: i64, wall: WallTime) -> Result<(), PackagerError> {
        let alone = self.video.is_none();
        let Some(audio) = &mut self.audio else { return Ok(()) };
        let rate = audio.rendition.rate();
        let length = audio.cadence.length();
        let micros = Ticks(at).micros(rate);
        let nearest = Ticks(at + length / 2).micros(rate);
        let own = audio.rendition.open().map_or(0, |open| open.msn);
        let due = self.cuts.iter().rev().find(|cut| cut.msn > own && cut.micros <= nearest).copied();
        let cut = match due {
            Some(cut) => cut,
            None => {
                let longest = if alone { self.settings.segment } else { self.settings.longest() };
                if at + length - audio.rendition.open_start() <= rate.ticks(longest).0 {
                    return Ok(());
                }
                // Nobody else cuts: there is no video, or it is late.
                let cut = Cut { msn: own + 1, micros, discontinuity: false };
                self.note(cut);
                cut
            }
        };
        let Some(audio) = &mut self.audio else { return Ok(()) };
        for missing in own + 1..cut.msn {
            audio.rendition.leave_out(missing, wall, self.settings.segment, length)?;
        }
        let origin = Ticks(cut.micros).rescale(ClockRate::MICROS, rate).0;
        if cut.discontinuity {
            audio.rendition.break_off(cut.msn, at, wall, length)?;
        } else {
            audio.rendition.cut_back(cut.msn, origin, at, wall, length)?;
        }
        audio.rendition.divide_from(origin, !cut.discontinuity && own + 1 == cut.msn);
        let passed = match self.video.as_ref().and_then(|video| video.rendition.open()) {
            Some(open) => open.msn.min(cut.msn),
            None => cut.msn,
        };
        // The newest stays: it tells who begins late where it is.
        while self.cuts.len() > 1 && self.cuts.front().is_some_and(|first| first.msn < passed) {
            self.cuts.pop_front();
        }
        Ok(())
    }

    fn video_is_behind(&self, micros: i64) -> bool {
        self.video.as_ref().is_some_and(|video| {
            let due = video.rendition.due(video.expected().unwrap_or(0));
            micros - Ticks(due).micros(video.rendition.rate()) > GAP_MICROS
        })
    }

    fn hold(&mut self, frame: &Arc<Frame>) -> Result<(), PackagerError> {
        self.held.push_back(frame.clone());
        if self.held.len() >= HELD_MAX { self.release_held() } else { Ok(()) }
    }

    fn release_held(&mut self) -> Result<(), PackagerError> {
        while let Some(frame) = self.held.pop_front() {
            self.take_sound(&frame, false)?;
        }
        Ok(())
    }

    /// Silence from `due` to before `at`; a hole if there is none or it would be long.
    fn fill_hole(&mut self, due: i64, at: i64) -> Result<(), PackagerError> {
        let Some(audio) = &mut self.audio else { return Ok(()) };
        let length = audio.cadence.length();
        let long = Ticks(at - due).micros(audio.rendition.rate()) > SILENCE_MICROS_MAX;
        let Some(silence) = audio.silence.clone().filter(|_| !long) else {
            return audio.rendition.jump(at, length);
        };
        let mut place = due;
        while place + length <= at {
            self.append_silence(place, &silence)?;
            place += length;
        }
        Ok(())
    }

    fn append_silence(&mut self, at: i64, silence: &bytes::Bytes) -> Result<(), PackagerError> {
        let Some(audio) = &self.audio else { return Ok(()) };
        let (last, wall) = audio.last;
        let wall = wall.offset_micros(Ticks(at - last).micros(audio.rendition.rate()));
        self.append_sound(at, wall, silence.clone())
    }

    /// Keeps the audio rendition going when its track has stopped.
    fn fill_missing_sound(&mut self, video_micros: i64) -> Result<(), PackagerError> {
        let Some(audio) = &mut self.audio else { return Ok(()) };
        let rate = audio.rendition.rate();
        let (Some(silence), Some(due)) = (audio.silence.clone(), audio.cadence.next()) else { return Ok(()) };
        let own = audio.rendition.open().map_or(0, |open| open.msn);
        let broken = self.cuts.iter().rev().find(|cut| cut.msn > own && cut.discontinuity);
        let place = |micros| Ticks(micros).rescale(ClockRate::MICROS, rate).0;
        let due_micros = broken.map_or(Ticks(due).micros(rate), |cut| cut.micros);
        let behind = video_micros - due_micros;
        if behind <= if audio.missing { SOUND_BEHIND_MICROS } else { SOUND_PATIENCE_MICROS } {
            return Ok(());
        }
        audio.missing = true;
        let due = broken.map_or(due, |cut| place(cut.micros));
        let until = place(video_micros - SOUND_BEHIND_MICROS);
        let mut place = due.max(until - place(SILENCE_MICROS_MAX));
        if place > due {
            let length = audio.cadence.length();
            audio.rendition.jump(place, length)?;
        }
        while let Some(length) = self.audio.as_ref().map(|audio| audio.cadence.length())
            && place + length <= until
        {
            self.append_silence(place, &silence)?;
            place += length;
        }
        if let Some(audio) = &mut self.audio {
            audio.cadence.return_to(place);
        }
        Ok(())
    }
}

enum Step {
    GoOn,
    Cut,
    /// A cut behind a hole in decoding time.
    Jump,
    /// A cut with a discontinuity, or the first.
    Restart,
}

impl Pictures {
    fn expected(&self) -> Option<i64> {
        let declared = || {
            let rate = self.rendition.init().parameters.frame_rate()?;
            Some((f64::from(self.rendition.rate().hz()) / rate) as i64)
        };
        self.pace.expected().or_else(declared)
    }
}

/// Whether a frame of other parameters goes on in the timeline: takes of a program do, and a new publisher does not.
fn frame_is_due(rendition: &Rendition, frame: &Frame, expected: i64) -> bool {
    let late = Ticks(frame.dts.0 - rendition.due(expected)).micros(rendition.rate());
    late.abs() <= DUE_MICROS && rendition.rate() == frame.parameters.clock_rate()
}

/// Sound frames all have the length of the first.
fn cadence(parameters: &Parameters, first: &[u8]) -> Cadence {
    let length = match parameters {
        Parameters::Aac(aac) => aac.frame_length,
        _ => onmic_media::codec::opus::packet_duration(first).unwrap_or(960),
    };
    Cadence::new(length, parameters.clock_rate())
}
