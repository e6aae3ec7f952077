//! Video that stands still while the audio goes on: a camera that is off, or a track that is replaced by nothing.
//!
//! Players need both kinds to play on: without video they stop, and the audio with it. So the last keyframe is repeated, one in each
//! part, while the audio goes on and no video comes. It shows what was there at most a segment before the end. Frames that come
//! again refer to frames that a player no longer has, so the video goes on with the next keyframe, and one is asked for. Only the
//! video of a publisher that answers is repeated: the others send video and audio, or nothing.
//!
//! Time is what the audio tells. The video keeps its distance from it, however large that is: a machine that is too slow for its
//! encoder is late with every frame, and has no video that stands still. Nor have frames that are slow by themselves. They are in
//! segments that are listed whole.

use std::sync::Arc;

use onmic_media::{Frame, Ticks};

use super::lead::Lead;
use super::{GAP_MICROS, Segmenter};
use crate::error::PackagerError;

/// Video of which nothing comes for this long stands still. Players are a second behind the present, so this leaves time for a
/// part, and it is longer than a publisher takes to answer after a lost frame.
const STOPPED_MICROS: i64 = 600_000;

/// The time by which the repeated video stays behind its place, so that frames that come again are later.
const BEHIND_MICROS: i64 = 300_000;

/// Where more than this is missing, the audio was away too, and the video is not repeated before it has come again.
const MISSING_MICROS_MAX: i64 = 2_000_000;

/// Video with more time than this between frames is slow.
const SLOW_MICROS: i64 = 250_000;

impl Segmenter {
    /// States whether the main video may be repeated while it stands still, because its publisher sends a keyframe when it is asked.
    pub fn repeat_still_video(&mut self, repeats: bool) {
        self.repeats = repeats;
    }

    /// Returns whether a keyframe is repeated in place of the main video now.
    pub fn video_stands_still(&self) -> bool {
        let is_filled = |lead: &Lead| {
            lead.stands_still && self.heard_micros - lead.behind_micros - lead.newest_micros < MISSING_MICROS_MAX
        };
        self.lead.as_ref().is_some_and(is_filled)
    }

    /// Notes that the audio has come to `micros`, and lets the video stand still if nothing comes of it.
    pub(super) fn hear(&mut self, micros: i64) -> Result<(), PackagerError> {
        let was_away = micros.saturating_sub(self.heard_micros) > GAP_MICROS;
        self.heard_micros = micros.max(self.heard_micros);
        match self.lead.as_mut().filter(|lead| was_away && !lead.stands_still) {
            Some(lead) => lead.heard_micros = micros,
            None => self.fill_still_video(micros)?,
        }
        Ok(())
    }

    /// Repeats the last keyframe up to shortly before the audio at `audio_micros`, if the video stands still.
    fn fill_still_video(&mut self, audio_micros: i64) -> Result<(), PackagerError> {
        let Some(lead) = self.lead.as_mut().filter(|lead| self.repeats && !lead.rendition.is_whole()) else {
            return Ok(());
        };
        let (rate, expected) = (lead.rendition.rate(), lead.expected().unwrap_or(0));
        let (Some(keyframe), Some(target)) = (lead.keyframe.clone(), lead.rendition.part_target()) else {
            return Ok(());
        };
        let is_slow = expected <= 0 || Ticks(expected).micros(rate) > SLOW_MICROS;
        if !lead.stands_still && (is_slow || audio_micros - lead.heard_micros < STOPPED_MICROS) {
            return Ok(());
        }
        let length = rate.ticks(target).0;
        let until = audio_micros - lead.behind_micros - BEHIND_MICROS;
        if until - Ticks(lead.rendition.due(expected)).micros(rate) > MISSING_MICROS_MAX {
            return Ok(());
        }
        while let Some(lead) = &mut self.lead {
            let at = lead.rendition.due(expected);
            if Ticks(at + length).micros(rate) > until {
                break;
            }
            lead.stands_still = true;
            lead.pace.forget_last(); // The time until the next frame does not count as a pace.
            let wall = keyframe.wall.offset_micros(Ticks(at - keyframe.pts.0).micros(rate));
            let repeated = Frame { dts: Ticks(at), pts: Ticks(at), wall, ..Frame::clone(&keyframe) };
            self.append_lead(&Arc::new(repeated), Some(length))?;
        }
        Ok(())
    }
}
