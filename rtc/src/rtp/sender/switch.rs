//! How a viewer goes over from one level to another, which is another track with the same pictures at the same times.
//!
//! Frames of the first go on until there is a keyframe of the second that the viewer can go on with: one that it has not been shown
//! yet, or one that is so little of the past that nobody minds. In the latter case the frames up to the present are sent faster than
//! real time, as to a viewer who starts ([`CatchUp`]), so the receiver gets a timestamp later than all before.
//!
//! Numbers and timestamps on the wire go on, and packets of the first track can be asked for again as long as it is kept ([`Stores`]).
//! The shard decides when to go over, and keeps both tracks.

use std::time::{Duration, Instant};

use onmic_media::track::PAST_MAX;
use onmic_media::{ClockRate, Ticks};

use super::super::outgoing::{Outgoing, Packets};
use super::span::{CatchUp, LEVEL};
use super::{Phase, Sender};

/// The least step from one timestamp to the next, in ticks of 90 kHz: 1 ms. Receivers take frames with equal ones for one.
const STEP: i64 = 90;
/// With a backlog of this much the frames are sent at once: three at 30 per second.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The tracks whose packets a viewer may ask for again: the one that it watches, and the one that it left last.
#[derive(Clone, Copy, Debug)]
pub struct Stores<'o> {
    current: &'o Outgoing,
    left: Option<&'o Outgoing>,
}

impl<'o> Stores<'o> {
    /// Makes the tracks of a viewer that has left another one, if it is still kept.
    pub fn new(current: &'o Outgoing, left: Option<&'o Outgoing>) -> Self {
        Self { current, left }
    }

    /// Returns the track of a generation.
    pub(super) fn of(self, generation: u8, newest: u8) -> Option<&'o Outgoing> {
        match newest.wrapping_sub(generation) {
            0 => Some(self.current),
            1 => self.left,
            _ => None,
        }
    }
}

impl<'o> From<&'o Outgoing> for Stores<'o> {
    fn from(current: &'o Outgoing) -> Self {
        Self { current, left: None }
    }
}

impl Sender {
    /// Goes on with another track of the same codec and timeline in place of one that is over, as a viewer who starts there.
    pub fn move_to(&mut self, outgoing: &Outgoing, now: Instant) {
        self.leave();
        self.next_frame = outgoing.group().unwrap_or_else(|| outgoing.next_number());
        if self.started.is_some() && !self.is_paused() {
            self.start(outgoing, now);
        }
    }

    /// Returns whether the viewer can go over to this track of the same codec now. `past_max` is the most of the past that it may be
    /// shown again.
    pub fn can_cross(&self, to: &Outgoing, past_max: Duration) -> bool {
        if self.started.is_none() {
            return true;
        }
        let Some(keyframe) = to.group().and_then(|group| to.frame(group)) else { return false };
        let is_new = self.reached.is_none_or(|reached| behind(reached, self.present(keyframe)) < 0);
        to.past() <= if is_new { PAST_MAX } else { past_max }
    }

    /// Goes over to another track of the same codec, where [`Sender::can_cross`] says that it can.
    pub fn cross(&mut self, to: &Outgoing, now: Instant) {
        self.leave();
        self.next_frame = to.next_number();
        self.phase = Phase::WaitingForKeyframe;
        let keyframe = to.group().and_then(|group| to.frame(group)).filter(|_| self.started.is_some());
        let (Some(keyframe), Some(newest)) = (keyframe, to.newest()) else { return };
        self.next_frame = keyframe.number;
        let backlog = newest.pts - keyframe.pts;
        self.phase = Phase::Live;
        if backlog > ClockRate::VIDEO.ticks(AT_ONCE) {
            let backlog = Ticks((backlog - ClockRate::VIDEO.ticks(LEVEL)).0.max(0));
            self.starting = Some(CatchUp { origin: keyframe.pts, backlog });
            self.phase = Phase::CatchingUp { began: now, origin: keyframe.pts };
        }
    }

    /// Sends no frames from now on. Packets can be asked for again.
    pub fn pause(&mut self) {
        self.phase = Phase::Paused;
        self.starting = None;
    }

    /// Sends no frames from now on, and keeps nothing of its track: no packet of it can be asked for again.
    pub fn give_back(&mut self) {
        self.pause();
        self.leave();
    }

    /// Returns whether it has begun to send.
    pub fn has_started(&self) -> bool {
        self.started.is_some()
    }

    /// Waits for its start again, where it was paused before that.
    pub fn unpause(&mut self) {
        self.phase = Phase::WaitingForKeyframe;
    }

    /// Returns whether it sends no frames.
    pub fn is_paused(&self) -> bool {
        matches!(self.phase, Phase::Paused)
    }

    fn leave(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.starting = None;
    }

    /// Returns the timestamp that a frame would have by itself, without the viewer's offset.
    fn present(&self, frame: &Packets) -> u32 {
        frame.timestamp.wrapping_add(self.rebase)
    }

    /// Returns the timestamps of a span that begins with `frame`, moved so far that they do not go back.
    pub(super) fn never_back(&self, catch_up: CatchUp, frame: &Packets) -> CatchUp {
        let timestamp = self.present(frame).wrapping_add(catch_up.ahead(frame.pts));
        match self.reached.map(|reached| behind(reached, timestamp)).filter(|behind| self.is_video && *behind > -STEP) {
            Some(behind) => {
                let ahead = i64::from(catch_up.ahead(frame.pts)) + behind + STEP;
                CatchUp { origin: frame.pts, backlog: Ticks(ahead) }
            }
            None => catch_up,
        }
    }
}

/// Returns by how much a timestamp is behind the one that was reached, in ticks.
fn behind(reached: u32, timestamp: u32) -> i64 {
    i64::from(reached.wrapping_sub(timestamp) as i32)
}
