//! What waits to be written to a TCP connection, in order. Nothing waits for more room.
//!
//! A run is written whole or not at all, because the peer could not find the next frame behind a part of one. Media that has waited for
//! [`AGE`] is dropped before its first byte is written. Checks, DTLS and reports are small and do not age. Where the bytes are full, the
//! oldest media makes room, and without any the newcomer is dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most bytes that wait. A keyframe of 720p at 2.5 Mbit/s is 100 kB, and all video of [`AGE`] at 5 Mbit/s is as much as this.
pub(super) const BYTES: usize = 256 << 10;
/// How long media may wait. One packet that TCP repeats costs a round trip or 200 ms, and players keep up with that; after two of these
/// the viewer is better served by what is newer.
pub(super) const AGE: Duration = Duration::from_millis(400);
/// What a run costs besides its bytes, so that many small ones are bounded too.
const OVERHEAD: usize = 64;

/// Frames that were sent in one go.
#[derive(Debug)]
pub(super) struct Run {
    /// The frames, back to back, each with its header.
    pub(super) bytes: Vec<u8>,
    pub(super) datagrams: u64,
    pub(super) is_media: bool,
}

#[derive(Debug)]
struct Waiting {
    run: Run,
    since: Instant,
}

/// The runs that wait.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    runs: VecDeque<Waiting>,
    /// What all runs cost.
    cost: usize,
    /// How much of the first run is written.
    written: usize,
    /// Datagrams that were dropped since [`Backlog::take_dropped`].
    dropped: u64,
}

impl Run {
    fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

impl Backlog {
    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Appends a run, of which nothing is written.
    pub(super) fn push(&mut self, run: Run, now: Instant) {
        while self.cost + run.cost() > BYTES {
            if !self.drop_oldest_media() {
                self.dropped += run.datagrams;
                return;
            }
        }
        self.cost += run.cost();
        self.runs.push_back(Waiting { run, since: now });
    }

    /// Appends a run to an empty backlog, of which the first bytes are written.
    pub(super) fn push_begun(&mut self, run: Run, written: usize, now: Instant) {
        debug_assert!(self.runs.is_empty() && written < run.bytes.len());
        (self.cost, self.written) = (run.cost(), written);
        self.runs.push_back(Waiting { run, since: now });
    }

    /// Returns the bytes to write next. Drops media that has waited too long.
    pub(super) fn next(&mut self, now: Instant) -> Option<&[u8]> {
        while let Some(first) = self.runs.front().filter(|_| self.written == 0) {
            if !first.run.is_media || now.saturating_duration_since(first.since) < AGE {
                break;
            }
            self.remove(0);
        }
        self.runs.front().map(|first| &first.run.bytes[self.written..])
    }

    /// Notes that so many bytes of [`Backlog::next`] are written. Returns the datagrams and bytes of the run if it is complete.
    pub(super) fn advance(&mut self, written: usize) -> Option<(u64, usize)> {
        self.written += written;
        let done = self.runs.front().is_some_and(|first| first.run.bytes.len() <= self.written);
        let Waiting { run, .. } = self.runs.pop_front_if(|_| done)?;
        (self.cost, self.written) = (self.cost - run.cost(), 0);
        Some((run.datagrams, run.bytes.len()))
    }

    /// Returns how many datagrams were dropped since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Returns how many datagrams wait, of which the first may be written in part.
    pub(super) fn datagrams(&self) -> u64 {
        self.runs.iter().map(|waiting| waiting.run.datagrams).sum()
    }

    /// Returns false if there is no media that is not begun.
    fn drop_oldest_media(&mut self) -> bool {
        let begun = usize::from(self.written > 0);
        let oldest = (begun..self.runs.len()).find(|at| self.runs[*at].run.is_media);
        oldest.inspect(|at| self.remove(*at)).is_some()
    }

    fn remove(&mut self, at: usize) {
        if let Some(Waiting { run, .. }) = self.runs.remove(at) {
            self.cost -= run.cost();
            self.dropped += run.datagrams;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(length: usize, datagrams: u64, is_media: bool) -> Run {
        Run { bytes: vec![datagrams as u8; length], datagrams, is_media }
    }

    /// Writes everything that is left, and returns how many datagrams the runs had.
    fn written(backlog: &mut Backlog, now: Instant) -> Vec<u64> {
        let mut all = Vec::new();
        while let Some(length) = backlog.next(now).map(<[u8]>::len) {
            all.extend(backlog.advance(length).map(|(datagrams, _)| datagrams));
        }
        all
    }

    #[test]
    fn media_that_has_waited_too_long_is_dropped_and_what_is_begun_is_finished() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        backlog.push(run(1000, 10, true), now);
        backlog.push(run(1000, 20, true), now);
        backlog.push(run(100, 1, false), now);
        backlog.push(run(1000, 30, true), now + AGE);
        assert_eq!(backlog.next(now).unwrap().len(), 1000);
        assert_eq!(backlog.advance(1), None);
        assert_eq!(backlog.next(now + AGE).unwrap().len(), 999, "the peer has its first byte");
        assert_eq!(written(&mut backlog, now + AGE), [10, 1, 30]);
        assert_eq!((backlog.take_dropped(), backlog.take_dropped(), backlog.cost), (20, 0, 0));
    }

    #[test]
    fn where_the_bytes_are_full_the_oldest_media_makes_room_and_checks_stay() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        backlog.push(run(100, 1, false), now);
        for datagrams in 2..40 {
            backlog.push(run(20_000, datagrams, true), now);
            assert!(backlog.cost <= BYTES);
        }
        let left = written(&mut backlog, now);
        assert_eq!((left[0], left.last(), left.len()), (1, Some(&39), 14));
        assert_eq!(backlog.take_dropped(), (2..40).sum::<u64>() - left[1..].iter().sum::<u64>());
    }

    #[test]
    fn a_peer_that_reads_nothing_and_asks_on_has_a_bound() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        for _ in 0..100_000 {
            backlog.push(run(90, 1, false), now);
        }
        assert!(backlog.cost <= BYTES && backlog.runs.len() < 2000);
        assert_eq!(backlog.take_dropped() + backlog.datagrams(), 100_000);
    }

    #[test]
    fn a_run_that_was_begun_is_never_cut() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        backlog.push_begun(run(BYTES - OVERHEAD, 5, true), 7, now);
        backlog.push(run(90, 1, false), now);
        assert_eq!((backlog.take_dropped(), backlog.next(now).map(<[u8]>::len)), (1, Some(BYTES - OVERHEAD - 7)));
        assert_eq!(backlog.advance(BYTES - OVERHEAD - 7), Some((5, BYTES - OVERHEAD)));
        assert!(backlog.is_empty());
    }
}
