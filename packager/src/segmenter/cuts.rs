//! The cuts that all renditions follow: where each segment begins.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use onmic_media::{DateOffset, WallTime};

use super::{DUE_MICROS, GAP_MICROS};
use crate::rendition::Missed;

/// The most cuts that are kept for a rendition that has not come to them: ten minutes of two-second segments.
const CUTS_MAX: usize = 300;

/// Audio with a hole of up to this has none: so far its times are shaken.
const WENT_ON_MICROS: i64 = 60_000;

/// Is the beginning of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) msn: u64,
    /// The presentation time in µs.
    pub(super) micros: i64,
    /// The time in µs at which the segment before it ended, which is earlier if the publisher was away.
    pub(super) ended: i64,
    pub(super) discontinuity: bool,
    /// The number of discontinuities up to this cut and with it, once it is noted.
    pub(super) discontinuities: u64,
    /// What the segment is dated by. It differs from that of the segment before only at a discontinuity.
    pub(super) dates: DateOffset,
}

impl Cut {
    /// Returns the longest hole that other renditions fill at this cut in order to go on where they ended. Where the main video left
    /// a hole, they leave it too, unless they went on themselves: players place all renditions by the main video, and by the sums of the
    /// lengths before.
    pub(super) fn hole_max(&self) -> i64 {
        if self.micros - self.ended > DUE_MICROS { WENT_ON_MICROS } else { GAP_MICROS }
    }
}

/// Holds cuts in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    kept: VecDeque<Cut>,
    discontinuities: u64,
}

impl Cuts {
    /// Keeps a cut, and returns it with the number of discontinuities up to it.
    pub(super) fn note(&mut self, cut: Cut) -> Cut {
        if self.kept.len() == CUTS_MAX {
            self.kept.pop_front();
        }
        self.discontinuities += u64::from(cut.discontinuity);
        let cut = Cut { discontinuities: self.discontinuities, ..cut };
        self.kept.push_back(cut);
        cut
    }

    /// Returns the number of discontinuities so far.
    pub(super) fn discontinuities(&self) -> u64 {
        self.discontinuities
    }

    /// Returns the largest number of a cut. It need not be that of the last cut, because audio that is alone for long
    /// makes cuts of its own.
    pub(super) fn largest_msn(&self) -> Option<u64> {
        self.kept.iter().map(|cut| cut.msn).max()
    }

    /// Returns the newest cut at or before `micros`.
    pub(super) fn at(&self, micros: i64) -> Option<Cut> {
        self.kept.iter().rev().find(|cut| cut.micros <= micros).copied()
    }

    /// Returns the newest cut at or before `micros` that a rendition whose segment is `own` has not made.
    pub(super) fn due(&self, own: Option<u64>, micros: i64) -> Option<Cut> {
        self.kept.iter().rev().find(|cut| own.is_none_or(|own| cut.msn > own) && cut.micros <= micros).copied()
    }

    /// Returns the newest discontinuity that a rendition whose segment is `own` has not made.
    pub(super) fn broken(&self, own: u64) -> Option<Cut> {
        self.kept.iter().rev().find(|cut| cut.msn > own && cut.discontinuity).copied()
    }

    /// Returns the segments `missed` of a rendition that goes on at `to`, where a frame at `micros` has the date `wall`. They
    /// are as long as in the other renditions, because players place segments by the sums of their lengths. A segment of
    /// which no cut is known is taken to be `usual`.
    pub(super) fn missed(
        &self,
        missed: Range<u64>,
        to: Cut,
        (micros, wall): (i64, WallTime),
        usual: Duration,
    ) -> impl Iterator<Item = Missed> {
        let mut next = to.ended.min(to.micros); // The hole before a discontinuity is in no segment.
        let backwards = missed.rev().map(move |msn| {
            let known = self.kept.iter().rev().find(|cut| cut.msn == msn);
            let usual = i64::try_from(usual.as_micros()).unwrap_or(0);
            let start = known.map_or(next - usual, |cut| cut.micros.min(next));
            let duration = Duration::from_micros(u64::try_from(next - start).unwrap_or(0));
            next = start;
            Missed { msn, wall: wall.offset_micros(start - micros), duration, broken: self.broken_at(msn) }
        });
        backwards.collect::<Vec<_>>().into_iter().rev()
    }

    /// Returns what dates the segment `msn`, if a discontinuity begins it.
    pub(super) fn broken_at(&self, msn: u64) -> Option<DateOffset> {
        self.kept.iter().find(|cut| cut.msn == msn && cut.discontinuity).map(|cut| cut.dates)
    }

    /// Forgets the cuts that all renditions have passed. The newest one stays: it tells a rendition that begins late
    /// where it is.
    pub(super) fn forget_before(&mut self, msn: u64) {
        while self.kept.len() > 1 && self.kept.front().is_some_and(|first| first.msn < msn) {
            self.kept.pop_front();
        }
    }
}
