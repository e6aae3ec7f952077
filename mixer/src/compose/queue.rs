//! The decoded pictures of one input, and which of them is shown when.
//!
//! Bounded: an input that runs ahead of the program shows what would have been dropped, instead of nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ffmpeg_next::frame;
use onmic_media::{Ticks, WallTime};

/// The most pictures that wait: a quarter of a second at 30 per second, 11 MB of 720p.
pub(crate) const WAITING_MAX: usize = 8;

/// A decoded picture.
pub(crate) struct Decoded {
    pub(crate) picture: frame::Video,
    /// On its track's clock.
    pub(crate) pts: Ticks,
    pub(crate) wall: WallTime,
    pub(crate) arrived: Instant,
    /// Counts up; another for each picture of an input.
    pub(crate) number: u64,
}

/// See the module.
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
        if self.waiting.len() >= WAITING_MAX
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

    /// The next one is shown; when more than `behind` wait, the newest.
    pub(crate) fn advance_one(&mut self, behind: usize) -> Dropped {
        let waiting = self.waiting.len();
        self.skip_to(if waiting > behind { waiting } else { waiting.min(1) })
    }

    fn skip_to(&mut self, due: usize) -> Dropped {
        let last = self.waiting.drain(..due).last();
        if let Some(last) = last {
            self.show(last);
        }
        Dropped { full: 0, superseded: (due as u64).saturating_sub(1) }
    }

    /// The next one that was not shown.
    pub(crate) fn next(&self) -> Option<&Decoded> {
        self.waiting.front().map(|(decoded, _)| decoded)
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
            picture: frame::Video::empty(),
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
        assert_eq!((shown(&queue), queue.next().map(|next| next.number)), (Some(3), Some(4)));
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
        (1..=2).for_each(|number| drop(queue.push(decoded(number, 0), now)));
        assert_eq!(queue.advance_one(2), Dropped::default());
        assert_eq!(shown(&queue), Some(1));
        (3..=4).for_each(|number| drop(queue.push(decoded(number, 0), now)));
        assert_eq!(queue.advance_one(2), Dropped { full: 0, superseded: 2 });
        assert_eq!(shown(&queue), Some(4));
        assert_eq!(queue.advance_one(2), Dropped::default());
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
