//! The decoded pictures of one input, and which of them is shown when.
//!
//! Bounded: an input that runs ahead of the program shows what would have been dropped, instead of nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Ticks, WallTime};

use crate::codec::RawVideo;

/// The most pictures that wait: a quarter of a second at 30 per second.
const WAITING_MAX: usize = 8;
/// And the most pixels: seven pictures of 1080p, two of 4K.
const PIXELS_MAX: usize = 16_000_000;

/// A decoded picture.
pub(crate) struct Decoded {
    pub(crate) picture: Arc<RawVideo>,
    /// Its timestamp on the video clock.
    pub(crate) pts: Ticks,
    pub(crate) wall: WallTime,
    pub(crate) arrived: Instant,
    /// Counts up; another for each picture of an input.
    pub(crate) number: u64,
}

/// The pictures of one input.
#[derive(Default)]
pub(crate) struct Queue {
    shown: Option<Decoded>,
    /// When the one that is shown was decoded.
    since: Option<Instant>,
    waiting: VecDeque<(Decoded, Instant)>,
}

/// Pictures that nobody saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// There was no room.
    pub(crate) full: u64,
    /// A newer one was due as well.
    pub(crate) superseded: u64,
}

impl Queue {
    /// Takes in what was decoded at `now`.
    pub(crate) fn push(&mut self, decoded: Decoded, now: Instant) -> Dropped {
        let mut dropped = Dropped::default();
        let pixels = decoded.picture.width() as usize * decoded.picture.height() as usize;
        if self.waiting.len() >= (PIXELS_MAX / pixels.max(1)).clamp(2, WAITING_MAX)
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.show(oldest);
            dropped.full = 1;
        }
        self.waiting.push_back((decoded, now));
        dropped
    }

    fn show(&mut self, (decoded, at): (Decoded, Instant)) {
        (self.shown, self.since) = (Some(decoded), Some(at));
    }

    /// The newest of the times that are not later than `until` becomes the one shown.
    pub(crate) fn advance(&mut self, until: WallTime) -> Dropped {
        let due = self.waiting.iter().take_while(|(decoded, _)| decoded.wall <= until).count();
        self.skip_to(due)
    }

    /// The next picture of an input that leads. Pictures of times up to `shown` have been missed, and so have all but the
    /// newest when there are more than `behind`.
    pub(crate) fn next_to_lead(&self, shown: Option<WallTime>, behind: usize) -> Option<&Decoded> {
        self.lead_at(shown, behind).map(|at| &self.waiting[at].0)
    }

    /// Shows what [`Queue::next_to_lead`] gives.
    pub(crate) fn lead(&mut self, shown: Option<WallTime>, behind: usize) -> Dropped {
        let due = self.lead_at(shown, behind).map_or(0, |at| at + 1);
        self.skip_to(due)
    }

    fn lead_at(&self, shown: Option<WallTime>, behind: usize) -> Option<usize> {
        let newest = self.waiting.len().checked_sub(1)?;
        let later = |(decoded, _): &(Decoded, Instant)| shown.is_none_or(|shown| decoded.wall > shown);
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

    /// The times of the pictures that wait and have a higher number.
    pub(crate) fn later_than(&self, number: u64) -> impl Iterator<Item = &Decoded> {
        self.waiting.iter().map(|(decoded, _)| decoded).filter(move |decoded| decoded.number > number)
    }

    /// The one that is shown.
    pub(crate) fn shown(&self) -> Option<&Decoded> {
        self.shown.as_ref()
    }

    /// The one that is shown, unless nothing came for `stale_after`.
    pub(crate) fn fresh(&self, now: Instant, stale_after: Duration) -> Option<&Decoded> {
        let newest = self.waiting.back().map(|(_, at)| *at).or(self.since)?;
        (now.saturating_duration_since(newest) < stale_after).then_some(self.shown.as_ref()?)
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
    fn the_newest_picture_that_is_due_is_shown_and_the_others_are_counted() {
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
    fn an_input_that_is_ahead_of_time_is_seen_all_the_same() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let full: u64 = (1..=10).map(|number| queue.push(decoded(number, 1_000_000), now).full).sum();
        queue.advance(WallTime(0));
        assert_eq!((full, shown(&queue), queue.waiting.len()), (2, Some(2), WAITING_MAX));
    }

    #[test]
    fn the_lead_is_shown_picture_by_picture_until_it_is_too_far_behind() {
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
    fn pictures_of_a_lead_that_have_been_missed_are_left_for_the_one_on_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        (1..=2).for_each(|number| _ = queue.push(decoded(number, 40 * number), now));
        assert_eq!(queue.lead(Some(WallTime(60_000)), 3), Dropped { full: 0, superseded: 1 });
        assert_eq!(shown(&queue), Some(2));
        queue.push(decoded(3, 100), now);
        queue.lead(Some(WallTime(500_000)), 3);
        assert_eq!(shown(&queue), Some(3), "behind for good, it is still what is newest");
    }

    #[test]
    fn a_picture_grows_stale_when_nothing_follows_it() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (stale_after, later) = (Duration::from_secs(3), |seconds| now + Duration::from_secs(seconds));
        assert!(queue.fresh(now, stale_after).is_none());
        queue.push(decoded(1, 0), now);
        queue.advance(WallTime(0));
        assert!(queue.fresh(later(2), stale_after).is_some());
        assert!(queue.fresh(later(3), stale_after).is_none());
        queue.push(decoded(2, 9), later(3));
        assert_eq!(queue.fresh(later(4), stale_after).map(|decoded| decoded.number), Some(1), "the next one comes");
    }
}
