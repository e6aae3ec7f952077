//! One input's feed being read: frames of the audio track it has now, decoded into the mix.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use onmic_media::time::{ClockRate, NodeClock, Ticks};
use onmic_media::{DropReason, Feed, Join, MediaKind, Read, Reader, Track};

use super::id::InputId;
use super::intake::Intake;
use super::mix::Mix;

/// How far back an input is read when it joins: what its delay may ask for.
const HISTORY_MICROS: i64 = 500_000;

/// An input further behind (two seconds of the shortest usual frames) is read from the present again.
const MOST_BACKLOG: u64 = 200;

/// An input's feed being read.
pub(crate) struct Source {
    pub(crate) id: InputId,
    pub(crate) feed: Arc<Feed>,
    reading: Option<(Arc<Track>, Reader)>,
    intake: Intake,
}

impl Source {
    /// Reads nothing yet.
    pub(crate) fn new(id: InputId, feed: Arc<Feed>) -> Self {
        Self { id, feed, reading: None, intake: Intake::default() }
    }

    /// Follows the feed to the audio track it has now.
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

    /// Reads all there is, and is woken by the next with `waker`, if there is one.
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

    /// The timestamp of the newest frame of sound, with its clock.
    pub(crate) fn newest(&self) -> Option<(Ticks, ClockRate)> {
        let (track, _) = self.reading.as_ref()?;
        Some((track.newest()?.pts, track.clock_rate()))
    }
}

/// A reader a little before now.
fn present(track: &Track) -> Reader {
    match track.newest() {
        Some(newest) => track.reader(Join::At(newest.wall.offset_micros(-HISTORY_MICROS))),
        None => track.reader(Join::Group),
    }
}
