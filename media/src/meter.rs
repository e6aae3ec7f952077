//! Measures a track from its frames: its frame rate, bitrate, keyframes, reordering and fields.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::frame::Frame;
use crate::time::{ClockRate, Ticks};

/// The time over which rates are means.
const WINDOW: Duration = Duration::from_secs(4);
/// A new viewer of a stream whose keyframes are further apart than this waits too long, or decodes this much of the past.
const SPARSE: Duration = Duration::from_secs(4);
/// No more than this of the time between two frames counts for the length of a group. A screen that stands still, or a camera that
/// is off, has no keyframe that its encoder failed to send.
const STILL: Duration = Duration::from_millis(500);
/// The most samples: 4 s at 240 fps. It bounds the memory whatever the frame rate.
const SAMPLES_MAX: usize = 960;

/// Holds a track's figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// The frames per second.
    pub frame_rate: f64,
    /// The payload bits per second.
    pub bitrate_bps: u64,
    /// The time between the last two keyframes. `None` before the second one.
    pub keyframe_interval: Option<Duration>,
    /// The number of frames since the track began.
    pub frames: u64,
    /// The number of payload bytes since the track began.
    pub bytes: u64,
}

/// Keeps the figures of one track up to date, frame by frame.
#[derive(Debug)]
pub struct Meter {
    rate: ClockRate,
    samples: VecDeque<(Instant, Ticks, usize)>,
    last_keyframe: Option<Ticks>,
    last_dts: Option<Ticks>,
    last_pts: Option<Ticks>,
    /// The lengths of the group that is coming and of the one before it.
    group: Duration,
    last_group: Duration,
    /// How long a request for a keyframe has waited for it.
    unanswered: Option<Duration>,
    reordered: bool,
    has_lone_fields: bool,
    /// Whether a recovery point came after the last keyframe.
    recovered: bool,
    enters_by_recovery: bool,
    measured: Measured,
}

impl Meter {
    /// Makes a meter for a track whose clock runs at `rate`.
    pub fn new(rate: ClockRate) -> Self {
        Self {
            rate,
            samples: VecDeque::new(),
            last_keyframe: None,
            last_dts: None,
            last_pts: None,
            group: Duration::ZERO,
            last_group: Duration::ZERO,
            unanswered: None,
            reordered: false,
            has_lone_fields: false,
            recovered: false,
            enters_by_recovery: false,
            measured: Measured::default(),
        }
    }

    /// Takes in the next frame in decoding order. `recovers` says that it is a recovery point.
    pub fn observe(&mut self, frame: &Frame, recovers: bool) {
        self.measured.frames += 1;
        self.measured.bytes += frame.payload.len() as u64;
        self.samples.push_back((frame.arrived, frame.dts, frame.payload.len()));
        self.forget(frame.arrived);
        if frame.keyframe
            && let Some(last) = self.last_keyframe.replace(frame.dts)
        {
            self.measured.keyframe_interval = Some((frame.dts - last).duration(self.rate));
        }
        self.observe_group(frame);
        self.recovered = !frame.keyframe && (self.recovered || recovers);
        let since_keyframe = self.last_keyframe.map_or(SPARSE, |last| (frame.dts - last).duration(self.rate));
        self.enters_by_recovery |= self.recovered && since_keyframe >= SPARSE;
        // A constant offset of presentation to decoding is not reordering. A step back is.
        self.reordered |= !frame.keyframe && self.last_pts.is_some_and(|last| frame.pts < last);
        self.last_pts = Some(frame.pts);
        self.has_lone_fields |= frame.parameters.is_lone_field(&frame.payload);
    }

    fn observe_group(&mut self, frame: &Frame) {
        let last = self.last_dts.replace(frame.dts).unwrap_or(frame.dts);
        if frame.keyframe {
            self.last_group = std::mem::take(&mut self.group);
            self.unanswered = None;
        } else {
            let step = (frame.dts - last).duration(self.rate).min(STILL);
            self.group += step;
            self.unanswered = self.unanswered.map(|unanswered| unanswered + step);
        }
    }

    /// Notes that a keyframe was asked for.
    pub fn note_request(&mut self) {
        self.unanswered.get_or_insert(Duration::ZERO);
    }

    /// Returns for how long frames have come without the keyframe that was asked for.
    pub fn unanswered(&self) -> Duration {
        self.unanswered.unwrap_or_default()
    }

    /// Returns for how long frames come from one keyframe to the next, by this group and the one before it.
    pub fn group(&self) -> Duration {
        self.group.max(self.last_group)
    }

    /// Returns whether a frame has ever been shown before a frame that was sent before it.
    pub fn reordered(&self) -> bool {
        self.reordered
    }

    /// Returns whether a field has ever come without the other one of its frame.
    pub fn has_lone_fields(&self) -> bool {
        self.has_lone_fields
    }

    /// Returns whether the encoder sends recovery points, and keyframes more than 4 s apart. Once seen, it holds until
    /// [`Meter::restart`].
    pub fn enters_by_recovery(&self) -> bool {
        self.enters_by_recovery
    }

    /// Notes that a publisher reconnected, perhaps with other encoder settings.
    pub fn restart(&mut self) {
        self.samples.clear();
        (self.last_keyframe, self.measured.keyframe_interval) = (None, None);
        (self.last_dts, self.last_pts) = (None, None);
        (self.group, self.last_group, self.unanswered) = (Duration::ZERO, Duration::ZERO, None);
        self.reordered = false;
        self.has_lone_fields = false;
        self.recovered = false;
        self.enters_by_recovery = false;
    }

    /// Returns the figures as of `now`. The rates of a silent track are zero.
    pub fn measured(&mut self, now: Instant) -> Measured {
        self.forget(now);
        let mut measured = self.measured;
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return measured };
        let seconds = (last.1 - first.1).duration(self.rate).as_secs_f64();
        if seconds > 0.0 {
            let bytes: usize = self.samples.iter().take(self.samples.len() - 1).map(|sample| sample.2).sum();
            measured.frame_rate = (self.samples.len() - 1) as f64 / seconds;
            measured.bitrate_bps = (bytes as f64 * 8.0 / seconds) as u64;
        }
        measured
    }

    fn forget(&mut self, now: Instant) {
        while self.samples.len() > SAMPLES_MAX
            || self.samples.front().is_some_and(|sample| now.saturating_duration_since(sample.0) > WINDOW)
        {
            self.samples.pop_front();
        }
    }
}
