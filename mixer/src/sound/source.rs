//! Reads one input's feed: it decodes the frames of the present audio track into the mix.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use onmic_media::time::{ClockRate, NodeClock, Ticks};
use onmic_media::{DropReason, Feed, Join, MediaKind, Read, Reader, Track};

use super::id::InputId;
use super::intake::Intake;
use super::mix::Mix;

/// How far in the past reading begins when an input joins. Its delay may need samples from there.
const HISTORY_MICROS: i64 = 500_000;

/// The largest backlog in frames. An input that is further behind continues at the present. The shortest usual frames
/// have 10 ms, so it is at least 2 s.
const MOST_BACKLOG: u64 = 200;

/// Reads one input's feed.
pub(crate) struct Source {
    pub(crate) id: InputId,
    pub(crate) feed: Arc<Feed>,
    reading: Option<(Arc<Track>, Reader)>,
    intake: Intake,
}

impl Source {
    /// Makes a source that reads no track yet.
    pub(crate) fn new(id: InputId, feed: Arc<Feed>) -> Self {
        Self { id, feed, reading: None, intake: Intake::default() }
    }

    /// Follows the feed to its present audio track.
    pub(crate) fn attach(&mut self) {
        let track = self.feed.original(MediaKind::Audio);
        let same = match (&track, &self.reading) {
            (Some(track), Some((reading, _))) => Arc::ptr_eq(track, reading),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.reading = track.map(|track| {
                let reader = present(&track);
                (track, reader)
            });
        }
    }

    /// Reads all frames that are there. The next frame wakes `waker`, if it is given.
    pub(crate) fn read(&mut self, clock: &NodeClock, waker: Option<&Waker>, mix: &mut Mix) {
        let Some((track, reader)) = &mut self.reading else { return };
        let backlog = reader.backlog();
        if backlog > MOST_BACKLOG {
            *reader = present(track);
            DropReason::BehindMix.count(backlog.saturating_sub(reader.backlog()));
        }
        loop {
            let read = match waker {
                Some(waker) => match reader.poll_read(&mut Context::from_waker(waker)) {
                    Poll::Ready(read) => read,
                    Poll::Pending => return,
                },
                None => match reader.try_read() {
                    Some(read) => read,
                    None => return,
                },
            };
            match read {
                Read::Frame(frame) => {
                    let (id, rate) = (self.id, track.clock_rate());
                    self.intake.take(&frame, rate, clock, |stamp, left, right| mix.push(id, stamp, left, right));
                }
                Read::Skipped(frames) => DropReason::BehindMix.count(frames),
                Read::Ended => return,
            }
        }
    }

    /// Returns the timestamp of the newest audio frame, with its clock rate.
    pub(crate) fn newest(&self) -> Option<(Ticks, ClockRate)> {
        let (track, _) = self.reading.as_ref()?;
        Some((track.newest()?.pts, track.clock_rate()))
    }
}

/// Makes a reader that begins a little before the present.
fn present(track: &Track) -> Reader {
    match track.newest() {
        Some(newest) => track.reader(Join::At(newest.wall.offset_micros(-HISTORY_MICROS))),
        None => track.reader(Join::Group),
    }
}
