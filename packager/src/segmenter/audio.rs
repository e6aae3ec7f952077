//! Audio renditions: their packets are laid end to end and cut where the main video is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use onmic_media::{ClockRate, Frame, Parameters, Ticks, TrackKey, WallTime};

use super::cuts::Cut;
use super::{DUE_MICROS, HELD_MAX, Ignored, Segmenter, frame_is_due};
use crate::error::PackagerError;
use crate::pace::{Cadence, Placed};
use crate::rendition::{FIRST_MSN, Incoming, Rendition};
use crate::silence;

/// Audio that is further behind the video than this counts as missing and not as late.
const AUDIO_PATIENCE_MICROS: i64 = 2_000_000;
/// How far behind the video silence fills missing audio.
const AUDIO_BEHIND_MICROS: i64 = 500_000;
/// The longest hole in audio that is filled.
const SILENCE_MICROS_MAX: i64 = 10_000_000;

#[derive(Debug)]
pub(super) struct Audio {
    pub(super) rendition: Rendition,
    pub(super) cadence: Cadence,
    silence: Option<bytes::Bytes>,
    /// The place and wall time of the last packet, which date silence.
    last: (i64, WallTime),
    /// Whether silence has been filled in since the last packet.
    missing: bool,
    /// Whether its parameters changed. The new ones wait for a discontinuity, which the main video makes at its next
    /// keyframe.
    pub(super) changed: bool,
}

impl Audio {
    /// Goes on with the parameters of `frame`.
    fn adopt(&mut self, frame: &Frame) {
        self.cadence = cadence(&frame.parameters, &frame.payload);
        self.silence = silence::frame(&frame.parameters);
        self.last = (frame.dts.0, frame.wall);
    }

    /// The time at which its newest packet ends, silence not counted.
    pub(super) fn newest_micros(&self) -> Option<i64> {
        (!self.missing).then_some(Ticks(self.cadence.next()?).micros(self.rendition.rate()))
    }
}

impl Segmenter {
    pub(super) fn push_audio(&mut self, key: TrackKey, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if !self.audio.has_room_for(key) || !self.held.has_room_for(key) {
            return Ok(Some(Ignored::TooManyTracks));
        }
        if self.waits_for_video && self.lead.is_none() {
            // Audio may be ahead of its video. Audio from before the first keyframe is left out then.
            let held = self.held.get_or_insert_with(key, VecDeque::new);
            if held.len() == HELD_MAX {
                held.pop_front();
            }
            held.push_back(frame.clone());
            return Ok(None);
        }
        if self.held.get(key).is_some_and(|held| !held.is_empty()) {
            self.hold(key, frame)?;
            return Ok(None);
        }
        self.take_audio(key, frame, true)
    }

    /// Takes in a packet. If `may_wait`, a packet after a hole waits, because the next video frame tells whether the
    /// publisher was away.
    fn take_audio(
        &mut self,
        key: TrackKey,
        frame: &Arc<Frame>,
        may_wait: bool,
    ) -> Result<Option<Ignored>, PackagerError> {
        let rate = frame.parameters.clock_rate();
        let micros = frame.pts_micros();
        if !self.audio.contains(key) && !self.begin_audio(key, frame, micros)? {
            return Ok(Some(Ignored::BeforeVideo));
        }
        let Some(audio) = self.audio.get_mut(key) else { return Ok(None) };
        let own = audio.rendition.open().map_or(0, |open| open.msn);
        let broken = self.cuts.broken(own);
        let half = Ticks(audio.cadence.length() / 2).micros(rate);
        let changed = audio.rendition.init().parameters.as_ref() != frame.parameters.as_ref();
        if let Some(cut) = broken {
            let rest = audio.cadence.next().map_or(0, |next| micros - Ticks(next).micros(audio.rendition.rate()));
            // The audio of another take begins a few packets before or after its video.
            let is_near = changed && cut.micros - micros <= DUE_MICROS && rest <= cut.hole_max();
            if micros + half >= cut.micros || is_near {
                self.restart_audio(key, cut, frame)?;
            } else if changed || rest > cut.hole_max() {
                return Ok(Some(Ignored::BeforeVideo));
            }
        } else if changed {
            if self.lead.is_some() {
                return self.change_audio(key, frame, may_wait);
            }
            let dates = self.dates.step();
            let cut =
                Cut { msn: self.next_msn(), micros, ended: micros, discontinuity: true, discontinuities: 0, dates };
            let cut = self.cuts.note(cut);
            self.restart_audio(key, cut, frame)?;
        }
        let Some(audio) = self.audio.get_mut(key) else { return Ok(None) };
        let due = audio.cadence.next().unwrap_or(frame.dts.0);
        match audio.cadence.place(frame.dts) {
            Placed::Overlap => return Ok(Some(Ignored::Overlap)),
            Placed::At(at) => self.append_audio(key, at, frame.wall, frame.payload.clone())?,
            Placed::After(at) => {
                let hole = Ticks(at - due).micros(rate);
                if may_wait && hole > DUE_MICROS && self.lead_is_behind(micros) {
                    if let Some(audio) = self.audio.get_mut(key) {
                        audio.cadence.return_to(due);
                    }
                    self.hold(key, frame)?;
                    return Ok(None);
                }
                self.fill_hole(key, due, at)?;
                self.append_audio(key, at, frame.wall, frame.payload.clone())?;
            }
        }
        if let Some(audio) = self.audio.get_mut(key) {
            audio.missing = false;
        }
        Ok(None)
    }

    /// Takes in a packet with other parameters, for which the main video has made no discontinuity. The video may make one
    /// with its next frame, or may have made it a few packets ago. Otherwise it makes one at its next keyframe.
    fn change_audio(
        &mut self,
        key: TrackKey,
        frame: &Arc<Frame>,
        may_wait: bool,
    ) -> Result<Option<Ignored>, PackagerError> {
        if may_wait {
            self.hold(key, frame)?;
            return Ok(None);
        }
        let Some(audio) = self.audio.get_mut(key) else { return Ok(None) };
        let Some(start) = audio.rendition.begin_again(&frame.parameters)? else {
            audio.changed = true;
            return Ok(Some(Ignored::ParametersChanged));
        };
        audio.adopt(frame);
        audio.cadence.return_to(start);
        self.take_audio(key, frame, false)
    }

    fn begin_audio(&mut self, key: TrackKey, frame: &Frame, micros: i64) -> Result<bool, PackagerError> {
        let half = 10_000; // This is about half a packet: video and audio are rarely on the same tick.
        let cut = match self.cuts.at(micros + half) {
            Some(cut) => cut,
            None if self.waits_for_video || self.lead.is_some() => return Ok(false),
            None => {
                let dates = self.dates.step();
                let (discontinuity, discontinuities) = (false, 0);
                self.cuts.note(Cut { msn: FIRST_MSN, micros, ended: micros, discontinuity, discontinuities, dates })
            }
        };
        let mut rendition = Rendition::new(key, self.settings, &frame.parameters)?;
        rendition.begin_after(cut.discontinuities);
        rendition.redate(cut.dates);
        rendition.break_off(cut.msn, frame.dts.0, frame.wall, 0)?;
        rendition.divide_from(Ticks(cut.micros).rescale(ClockRate::MICROS, rendition.rate()).0, false);
        let audio = Audio {
            rendition,
            cadence: cadence(&frame.parameters, &frame.payload),
            silence: silence::frame(&frame.parameters),
            last: (frame.dts.0, frame.wall),
            missing: false,
            changed: false,
        };
        self.audio.insert(key, audio);
        Ok(true)
    }

    /// Follows the video over a discontinuity. The media goes on where it ended, or at the video's cut if the publisher
    /// was away: what comes later is silence up to there ([`Segmenter::fill_hole`]), because a player that waits for
    /// audio shows no video.
    fn restart_audio(&mut self, key: TrackKey, cut: Cut, frame: &Frame) -> Result<(), PackagerError> {
        self.fill_up(key, cut)?;
        let Some(audio) = self.audio.get_mut(key) else { return Ok(()) };
        let expected = audio.cadence.length();
        let own = audio.rendition.open().map_or(cut.msn, |open| open.msn);
        for missed in self.cuts.missed(own + 1..cut.msn, cut, (frame.pts_micros(), frame.wall), self.settings.segment) {
            audio.rendition.leave_out(missed, expected)?;
        }
        audio.rendition.redate(cut.dates);
        let changed = audio.rendition.init().parameters.as_ref() != frame.parameters.as_ref();
        let (before, rate) = (audio.rendition.rate(), frame.parameters.clock_rate());
        let end = audio.cadence.next().map(|next| Ticks(next).rescale(before, rate).0);
        let late = |due: i64| Ticks(frame.dts.0 - due).micros(rate).abs();
        let is_due = before == rate && frame_is_due(&audio.rendition, frame, expected);
        let due = audio.cadence.next().filter(|due| is_due && late(*due) <= cut.hole_max());
        if let Some(due) = due {
            audio.rendition.go_over(&frame.parameters, cut.msn, due, frame.wall, expected)?;
        } else if changed {
            audio.rendition.close_segment(expected)?;
            audio.rendition.adopt(&frame.parameters)?;
        }
        if changed {
            audio.adopt(frame);
        }
        audio.changed = false;
        audio.last = (frame.dts.0, frame.wall);
        let origin = Ticks(cut.micros).rescale(ClockRate::MICROS, rate).0;
        if let Some(due) = due {
            audio.cadence.return_to(due);
        } else {
            let first = frame.dts.0;
            let went_on = end.filter(|end| Ticks(origin.min(first) - end).micros(rate).abs() <= cut.hole_max());
            let start = went_on.unwrap_or(origin.min(first));
            let is_short = Ticks(first - start).micros(rate) <= SILENCE_MICROS_MAX;
            let start = if audio.silence.is_some() && is_short { start } else { first };
            let wall = frame.wall.offset_micros(Ticks(start - first).micros(rate));
            audio.rendition.break_off(cut.msn, start, wall, expected)?;
            audio.cadence.return_to(start);
        }
        audio.rendition.divide_from(origin, false);
        Ok(())
    }

    /// Fills the end of the segment before a discontinuity with silence, up to where the video ended.
    fn fill_up(&mut self, key: TrackKey, cut: Cut) -> Result<(), PackagerError> {
        let Some(audio) = self.audio.get(key) else { return Ok(()) };
        let ended = Ticks(cut.ended.min(cut.micros)).rescale(ClockRate::MICROS, audio.rendition.rate()).0;
        match audio.cadence.next() {
            Some(next) if audio.silence.is_some() && next < ended => {
                self.fill_hole(key, next, ended)?;
                if let Some(audio) = self.audio.get_mut(key) {
                    let filled = (ended - next) / audio.cadence.length() * audio.cadence.length();
                    audio.cadence.return_to(next + filled);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds a packet at its place, after the cuts that are due before it.
    fn append_audio(
        &mut self,
        key: TrackKey,
        at: i64,
        wall: WallTime,
        payload: bytes::Bytes,
    ) -> Result<(), PackagerError> {
        self.cut_audio(key, at, wall)?;
        let Some(audio) = self.audio.get_mut(key) else { return Ok(()) };
        audio.last = (at, wall);
        let length = audio.cadence.length();
        let incoming = Incoming { dts: at, pts: at, keyframe: true, wall, payload };
        audio.rendition.append(incoming, Some(length))
    }

    fn cut_audio(&mut self, key: TrackKey, at: i64, wall: WallTime) -> Result<(), PackagerError> {
        let alone = self.lead.is_none();
        let Some(audio) = self.audio.get_mut(key) else { return Ok(()) };
        let rate = audio.rendition.rate();
        let length = audio.cadence.length();
        let micros = Ticks(at).micros(rate);
        let nearest = Ticks(at + length / 2).micros(rate);
        let own = audio.rendition.open().map_or(0, |open| open.msn);
        let cut = match self.cuts.due(Some(own), nearest) {
            Some(cut) => cut,
            None => {
                let longest = if alone { self.settings.segment } else { self.settings.longest() };
                if at + length - audio.rendition.open_start() <= rate.ticks(longest).0 {
                    return Ok(());
                }
                // No other rendition cuts: there is no video, or it is late.
                let (discontinuity, dates) = (self.dates.step_is_due(), self.dates.step());
                self.cuts.note(Cut { msn: own + 1, micros, ended: micros, discontinuity, discontinuities: 0, dates })
            }
        };
        let Some(audio) = self.audio.get_mut(key) else { return Ok(()) };
        for missed in self.cuts.missed(own + 1..cut.msn, cut, (micros, wall), self.settings.segment) {
            audio.rendition.leave_out(missed, length)?;
        }
        audio.rendition.redate(cut.dates);
        let origin = Ticks(cut.micros).rescale(ClockRate::MICROS, rate).0;
        if cut.discontinuity {
            audio.rendition.break_off(cut.msn, at, wall, length)?;
        } else {
            audio.rendition.cut_back(cut.msn, origin, at, wall, length)?;
        }
        audio.rendition.divide_from(origin, !cut.discontinuity && own + 1 == cut.msn);
        Ok(())
    }

    /// Makes the cuts of the main video in audio whose open segment is longer than `longest`, before its next packet comes.
    pub(super) fn cut_audio_above(&mut self, longest: Duration) -> Result<(), PackagerError> {
        for key in self.audio.keys().collect::<Vec<_>>() {
            let Some(audio) = self.audio.get(key) else { continue };
            let (rendition, length, (last, wall)) = (&audio.rendition, audio.cadence.length(), audio.last);
            let next = audio.cadence.next().filter(|_| rendition.open_length(length) > longest);
            if let Some(next) = next {
                let wall = wall.offset_micros(Ticks(next - last).micros(rendition.rate()));
                self.cut_audio(key, next, wall)?;
            }
        }
        Ok(())
    }

    /// Whether the main video has a hole as well, so that its next frame tells whether the publisher was away.
    fn lead_is_behind(&self, micros: i64) -> bool {
        self.lead.as_ref().is_some_and(|lead| {
            let due = lead.rendition.due(lead.expected().unwrap_or(0));
            micros - Ticks(due).micros(lead.rendition.rate()) > DUE_MICROS
        })
    }

    fn hold(&mut self, key: TrackKey, frame: &Arc<Frame>) -> Result<(), PackagerError> {
        let held = self.held.get_or_insert_with(key, VecDeque::new);
        held.push_back(frame.clone());
        if held.len() >= HELD_MAX { self.release_held() } else { Ok(()) }
    }

    /// Takes in the audio that waited for the main video.
    pub(super) fn release_held(&mut self) -> Result<(), PackagerError> {
        for (key, held) in std::mem::take(&mut self.held) {
            for frame in held {
                let ignored = self.take_audio(key, &frame, false)?;
                self.left_out.note(ignored);
            }
        }
        Ok(())
    }

    /// Fills the time from `due` to before `at` with silence. Leaves a hole if the silence cannot be written or would
    /// be long.
    fn fill_hole(&mut self, key: TrackKey, due: i64, at: i64) -> Result<(), PackagerError> {
        let Some(audio) = self.audio.get_mut(key) else { return Ok(()) };
        let length = audio.cadence.length();
        let long = Ticks(at - due).micros(audio.rendition.rate()) > SILENCE_MICROS_MAX;
        let Some(silence) = audio.silence.clone().filter(|_| !long) else {
            return audio.rendition.jump(at, length);
        };
        let mut place = due;
        while place + length <= at {
            self.append_silence(key, place, &silence)?;
            place += length;
        }
        Ok(())
    }

    fn append_silence(&mut self, key: TrackKey, at: i64, silence: &bytes::Bytes) -> Result<(), PackagerError> {
        let Some(audio) = self.audio.get(key) else { return Ok(()) };
        let (last, wall) = audio.last;
        let wall = wall.offset_micros(Ticks(at - last).micros(audio.rendition.rate()));
        self.append_audio(key, at, wall, silence.clone())
    }

    /// Keeps the audio renditions going when their tracks have stopped.
    pub(super) fn fill_missing_audio(&mut self, video_micros: i64) -> Result<(), PackagerError> {
        for key in self.audio.keys().collect::<Vec<_>>() {
            self.fill_missing(key, video_micros)?;
        }
        Ok(())
    }

    fn fill_missing(&mut self, key: TrackKey, video_micros: i64) -> Result<(), PackagerError> {
        let Some(audio) = self.audio.get_mut(key) else { return Ok(()) };
        let rate = audio.rendition.rate();
        let (Some(silence), Some(due)) = (audio.silence.clone(), audio.cadence.next()) else { return Ok(()) };
        let own = audio.rendition.open().map_or(0, |open| open.msn);
        let broken = self.cuts.broken(own);
        let place = |micros| Ticks(micros).rescale(ClockRate::MICROS, rate).0;
        let due_micros = broken.map_or(Ticks(due).micros(rate), |cut| cut.micros);
        let behind = video_micros - due_micros;
        if behind <= if audio.missing { AUDIO_BEHIND_MICROS } else { AUDIO_PATIENCE_MICROS } {
            return Ok(());
        }
        audio.missing = true;
        let due = broken.map_or(due, |cut| place(cut.micros));
        let until = place(video_micros - AUDIO_BEHIND_MICROS);
        let mut place = due.max(until - place(SILENCE_MICROS_MAX));
        if place > due {
            let length = audio.cadence.length();
            audio.rendition.jump(place, length)?;
        }
        while let Some(length) = self.audio.get(key).map(|audio| audio.cadence.length())
            && place + length <= until
        {
            self.append_silence(key, place, &silence)?;
            place += length;
        }
        if let Some(audio) = self.audio.get_mut(key) {
            audio.cadence.return_to(place);
        }
        Ok(())
    }
}

/// Makes the cadence of a track whose packets all have the length of the first.
fn cadence(parameters: &Parameters, first: &[u8]) -> Cadence {
    let length = match parameters {
        Parameters::Aac(aac) => aac.frame_length,
        _ => onmic_media::codec::opus::packet_duration(first).unwrap_or(960),
    };
    Cadence::new(length, parameters.clock_rate())
}
