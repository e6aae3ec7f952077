//! Holds the raw frames of one input, and decides which of them is shown when.
//!
//! The queue is bounded. If an input runs ahead of the program, the oldest frame is shown before its time instead of
//! being dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::playback::STILL;
use onmic_media::{Ticks, WallTime};

use crate::codec::RawVideo;

/// The most frames that wait: a quarter of a second at 30 fps.
const WAITING_MAX: usize = 8;
/// The most pixels that wait: seven frames of 1080p, or two of 4K.
const PIXELS_MAX: usize = 16_000_000;

/// Holds one raw frame.
pub(crate) struct Decoded {
    pub(crate) picture: Arc<RawVideo>,
    /// The timestamp at the video clock rate.
    pub(crate) pts: Ticks,
    pub(crate) wall: WallTime,
    pub(crate) arrived: Instant,
    /// The number of the frame. It increases from each frame of an input to the next.
    pub(crate) number: u64,
}

/// Holds the raw frames of one input.
#[derive(Default)]
pub(crate) struct Queue {
    shown: Option<Decoded>,
    waiting: VecDeque<Decoded>,
    /// When the newest frame was decoded.
    newest: Option<Instant>,
    /// The time between the newest frames. A still screen is sent every few seconds.
    pause: Duration,
}

/// Counts frames that were shown before their time, or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Frames shown before their time, because the queue was full.
    pub(crate) full: u64,
    /// Frames not shown, because a newer one was due as well.
    pub(crate) superseded: u64,
}

impl Queue {
    /// Takes in a frame that was decoded at `now`.
    pub(crate) fn push(&mut self, decoded: Decoded, now: Instant) -> Dropped {
        let pause = self.newest.replace(now).map_or(Duration::ZERO, |newest| now.saturating_duration_since(newest));
        self.pause = pause.max(self.pause / 2);
        let mut dropped = Dropped::default();
        let pixels = decoded.picture.width() as usize * decoded.picture.height() as usize;
        if self.waiting.len() >= (PIXELS_MAX / pixels.max(1)).clamp(2, WAITING_MAX)
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.show(oldest);
            dropped.full = 1;
        }
        self.waiting.push_back(decoded);
        dropped
    }

    fn show(&mut self, decoded: Decoded) {
        self.shown = Some(decoded);
    }

    /// Shows the newest frame whose time is not later than `until`.
    pub(crate) fn advance(&mut self, until: WallTime) -> Dropped {
        let due = self.waiting.iter().take_while(|decoded| decoded.wall <= until).count();
        self.skip_to(due)
    }

    /// Returns the frame that a leading input shows next. Frames with times up to `shown` are skipped if a later one
    /// waits. If more than `behind` frames wait, all but the newest are skipped.
    pub(crate) fn next_to_lead(&self, shown: Option<WallTime>, behind: usize) -> Option<&Decoded> {
        self.lead_at(shown, behind).map(|at| &self.waiting[at])
    }

    /// Shows the frame that [`Queue::next_to_lead`] returns.
    pub(crate) fn lead(&mut self, shown: Option<WallTime>, behind: usize) -> Dropped {
        let due = self.lead_at(shown, behind).map_or(0, |at| at + 1);
        self.skip_to(due)
    }

    fn lead_at(&self, shown: Option<WallTime>, behind: usize) -> Option<usize> {
        let newest = self.waiting.len().checked_sub(1)?;
        let later = |decoded: &Decoded| shown.is_none_or(|shown| decoded.wall > shown);
        let next = if newest >= behind { None } else { self.waiting.iter().position(later) };
        Some(next.unwrap_or(newest))
    }

    fn skip_to(&mut self, due: usize) -> Dropped {
        let last = self.waiting.drain(..due).next_back();
        if let Some(last) = last {
            self.show(last);
        }
        Dropped { full: 0, superseded: (due as u64).saturating_sub(1) }
    }

    /// Returns the waiting frames that have a higher number.
    pub(crate) fn later_than(&self, number: u64) -> impl Iterator<Item = &Decoded> {
        self.waiting.iter().filter(move |decoded| decoded.number > number)
    }

    /// Returns the frame that is shown.
    pub(crate) fn shown(&self) -> Option<&Decoded> {
        self.shown.as_ref()
    }

    /// Returns the frame that is shown, unless no frame came for `stale_after`. An input whose frames come further apart
    /// than that has twice as long, up to [`STILL`].
    pub(crate) fn fresh(&self, now: Instant, stale_after: Duration) -> Option<&Decoded> {
        let patience = (self.pause * 2).min(STILL).max(stale_after);
        (now.saturating_duration_since(self.newest?) < patience).then_some(self.shown.as_ref()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(number: u64, wall_millis: u64) -> Decoded {
        Decoded {
            picture: Arc::new(RawVideo::empty()),
            pts: Ticks(0),
            wall: WallTime(wall_millis * 1000),
            arrived: Instant::now(),
            number,
        }
    }

    fn shown(queue: &Queue) -> Option<u64> {
        queue.shown().map(|decoded| decoded.number)
    }

    #[test]
    fn the_newest_frame_that_is_due_is_shown_and_the_skipped_ones_are_counted() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for number in 1..=4 {
            queue.push(decoded(number, number * 40), now);
        }
        assert_eq!(queue.advance(WallTime(39_000)), Dropped::default());
        assert_eq!(shown(&queue), None);
        assert_eq!(queue.advance(WallTime(120_000)), Dropped { full: 0, superseded: 2 });
        assert_eq!(shown(&queue), Some(3));
        queue.advance(WallTime(159_999));
        assert_eq!((shown(&queue), queue.waiting.len()), (Some(3), 1));
    }

    #[test]
    fn frames_of_an_input_that_runs_ahead_are_shown_before_their_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let full: u64 = (1..=10).map(|number| queue.push(decoded(number, 1_000_000), now).full).sum();
        queue.advance(WallTime(0));
        assert_eq!((full, shown(&queue), queue.waiting.len()), (2, Some(2), WAITING_MAX));
    }

    #[test]
    fn the_lead_is_shown_frame_by_frame_until_it_is_too_far_behind() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        (1..=2).for_each(|number| _ = queue.push(decoded(number, 40 * number), now));
        assert_eq!(queue.next_to_lead(None, 3).map(|next| next.number), Some(1));
        assert_eq!(queue.lead(None, 3), Dropped::default());
        assert_eq!(shown(&queue), Some(1));
        (3..=5).for_each(|number| _ = queue.push(decoded(number, 40 * number), now));
        assert_eq!(queue.lead(None, 3), Dropped { full: 0, superseded: 3 });
        assert_eq!(shown(&queue), Some(5));
        assert_eq!(queue.lead(None, 3), Dropped::default());
    }

    #[test]
    fn a_late_frame_of_the_lead_is_skipped_if_a_later_one_waits() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        (1..=2).for_each(|number| _ = queue.push(decoded(number, 40 * number), now));
        assert_eq!(queue.lead(Some(WallTime(60_000)), 3), Dropped { full: 0, superseded: 1 });
        assert_eq!(shown(&queue), Some(2));
        queue.push(decoded(3, 100), now);
        queue.lead(Some(WallTime(500_000)), 3);
        assert_eq!(shown(&queue), Some(3), "if all frames are late, the newest is shown");
    }

    #[test]
    fn a_frame_becomes_stale_if_none_follows_it() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (stale_after, later) = (Duration::from_secs(3), |seconds| now + Duration::from_secs(seconds));
        assert!(queue.fresh(now, stale_after).is_none());
        queue.push(decoded(1, 0), now);
        queue.advance(WallTime(0));
        assert!(queue.fresh(later(2), stale_after).is_some());
        assert!(queue.fresh(later(3), stale_after).is_none());
        queue.push(decoded(2, 9), later(3));
        assert_eq!(queue.fresh(later(4), stale_after).map(|decoded| decoded.number), Some(1), "the next frame waits");
    }

    #[test]
    fn a_still_screen_that_is_sent_every_5_s_stays_and_a_stall_is_forgotten() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (stale_after, later) = (Duration::from_secs(3), |seconds| now + Duration::from_secs_f32(seconds));
        (0..3).for_each(|number| _ = queue.push(decoded(number, 0), later(5.0 * number as f32)));
        queue.advance(WallTime(0));
        assert!(queue.fresh(later(19.9), stale_after).is_some());
        assert!(queue.fresh(later(20.0), stale_after).is_none());
        (0..10).for_each(|number| _ = queue.push(decoded(3 + number, 0), later(15.0 + number as f32 / 30.0)));
        assert!(queue.fresh(later(18.4), stale_after).is_none(), "the frames come fast again");
    }
}
