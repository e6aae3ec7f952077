//! When whole frames are released: evenly, however late some of them were for packets that were lost and sent again.
//!
//! A frame that waits for a repair is late by a round trip or more, and those behind it wait with it. Released as they come, they
//! are a gap and then a burst for all viewers, whose own buffers are short. So each frame is released as long after the moment at
//! which it was ready as the latest of the last seconds waited: it is *ready* when it would have been whole had nothing been lost.
//!
//! - On a path that loses nothing, no frame waits, so all are released at once.
//! - The delay is one for audio and video, so they stay in step.
//! - It grows by a fifth of the time that passes, and shrinks by a fiftieth, so that audio that is played meanwhile is stretched and
//!   not cut. A single loss moves nothing: while few of the spans of [`SPAN`] within [`REMEMBERED`] have losses, it follows the second
//!   latest of them, and then the latest.
//! - Frames are placed in time by the moment at which they were ready. So losses move no clock of the publisher.
//!
//! Bounded in time by [`DELAY_MAX`], and by [`FRAMES_MAX`] and [`BYTES_MAX`]: the oldest is then released ahead of its turn, and
//! nothing is dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onmic_media::Arrival;

/// The longest delay. A frame that waited longer leaves a gap of the rest.
pub(super) const DELAY_MAX: Duration = Duration::from_millis(500);
/// Frames that waited for less are on time: the packets of a frame may overtake each other.
const ON_TIME: Duration = Duration::from_millis(10);
/// What was lost together is repaired within half a second, and counts once.
const SPAN: Duration = Duration::from_millis(500);
/// How long a frame that waited counts.
const REMEMBERED: Duration = Duration::from_secs(10);
/// With as many spans of losses one of them is no accident.
const SPANS_OF_A_LOSSY_PATH: usize = 5;
/// The delay grows by 200 ms and shrinks by 20 ms in a second. Receivers of audio stretch by as much without a gap.
const GROWS: u32 = 5;
const SHRINKS: u32 = 50;
/// A longer time between two frames is a pause, in which nothing was stretched.
const STEP_MAX: Duration = Duration::from_millis(100);
/// 500 ms of four renditions at 60 frames per second and of audio in packets of 5 ms are 220 frames.
const FRAMES_MAX: usize = 512;
/// 500 ms at 100 Mbit/s are 6 MB.
const BYTES_MAX: usize = 16 << 20;

/// A frame that is released.
#[derive(Debug)]
pub struct Released {
    /// The frame.
    pub arrival: Arrival,
    /// When it would have come if nothing had been lost. It never goes back from one frame to the next.
    pub ready: Instant,
}

/// The frames of one publisher that wait for their turn.
#[derive(Debug)]
pub(super) struct Release {
    delay: Delay,
    /// In the order in which they were ready.
    held: VecDeque<Released>,
    bytes: usize,
    /// When the last one that was released was ready.
    last: Option<Instant>,
}

impl Release {
    pub(super) fn new(now: Instant) -> Self {
        Self { delay: Delay::new(now), held: VecDeque::new(), bytes: 0, last: None }
    }

    /// Notes a frame that is whole and was ready at `ready`. The next one may wait longer by `spare`.
    pub(super) fn note(&mut self, ready: Instant, spare: Duration, now: Instant) {
        let waited = now.saturating_duration_since(ready);
        if waited >= ON_TIME {
            self.delay.note(waited + spare, now);
        }
    }

    /// Takes in a frame. Frames of a track keep their order, also where another stream has become the track.
    pub(super) fn push(&mut self, arrival: Arrival, ready: Instant) {
        self.bytes += arrival.payload.len();
        let track = |of: &Arrival| (of.parameters.kind(), of.rendition);
        let before = self.held.iter().rfind(|held| track(&held.arrival) == track(&arrival));
        let ready = before.map_or(ready, |before| before.ready.max(ready));
        let behind = self.held.iter().rposition(|held| held.ready <= ready).map_or(0, |index| index + 1);
        self.held.insert(behind, Released { arrival, ready });
    }

    /// Returns the next frame whose turn it is.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Released> {
        let is_full = self.held.len() > FRAMES_MAX || self.bytes > BYTES_MAX;
        let delay = self.delay.at(now);
        self.held.front().filter(|held| is_full || held.ready + delay <= now)?;
        self.pop()
    }

    /// Returns the next frame, whether or not it is its turn. The session has ended.
    pub(super) fn pop(&mut self) -> Option<Released> {
        let mut released = self.held.pop_front()?;
        self.bytes -= released.arrival.payload.len();
        released.ready = self.last.map_or(released.ready, |last| last.max(released.ready));
        self.last = Some(released.ready);
        Some(released)
    }

    /// Returns when it is the turn of the next frame.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.held.front().map(|held| held.ready + self.delay.now)
    }

    /// Returns the delay of frames that waited for nothing.
    pub(super) fn delay(&self) -> Duration {
        self.delay.now
    }
}

/// How long after it was ready a frame is released.
#[derive(Debug)]
struct Delay {
    now: Duration,
    target: Duration,
    changed: Instant,
    /// The longest waits of the spans in which a frame waited, and when these began, oldest first.
    spans: VecDeque<(Instant, Duration)>,
}

impl Delay {
    fn new(now: Instant) -> Self {
        Self { now: Duration::ZERO, target: Duration::ZERO, changed: now, spans: VecDeque::new() }
    }

    /// Notes that a frame waited for this long, or may.
    fn note(&mut self, waited: Duration, now: Instant) {
        match self.spans.back_mut().filter(|(began, _)| now.saturating_duration_since(*began) < SPAN) {
            Some((_, longest)) => *longest = waited.max(*longest),
            None => self.spans.push_back((now, waited)),
        }
        self.aim(now);
    }

    /// Returns the delay in force at `now`.
    fn at(&mut self, now: Instant) -> Duration {
        if self.spans.front().is_some_and(|(began, _)| now.saturating_duration_since(*began) >= REMEMBERED) {
            self.aim(now);
        }
        let passed = now.saturating_duration_since(self.changed);
        let step = passed.min(STEP_MAX);
        self.changed += passed;
        self.now = if self.now < self.target {
            self.target.min(self.now + step / GROWS)
        } else {
            self.target.max(self.now.saturating_sub(step / SHRINKS))
        };
        self.now
    }

    fn aim(&mut self, now: Instant) {
        self.spans.retain(|(began, _)| now.saturating_duration_since(*began) < REMEMBERED);
        let (mut longest, mut second) = (Duration::ZERO, Duration::ZERO);
        for (_, waited) in &self.spans {
            second = second.max(longest.min(*waited));
            longest = longest.max(*waited);
        }
        let one_may_be_later = self.spans.len() < SPANS_OF_A_LOSSY_PATH;
        self.target = if one_may_be_later { second } else { longest }.min(DELAY_MAX);
    }
}
