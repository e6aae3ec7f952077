//! One timeline for all tracks of a publisher.
//!
//! RTP timestamps of two streams have nothing to do with each other until a sender report of each says what they meant
//! on the publisher's wall clock (RFC 3550 6.4.1). Until then each counts from its first arrival. After that every video is
//! moved to where the main audio is, a little with every frame: audio with steps in its timestamps would be heard, and a
//! video frame some milliseconds off its grid is not seen.
//!
//! A track whose clock stood still, as that of a microphone does that was off, is far behind the other after that. Then it
//! is the one that moves, and at once: it has just been interrupted.

use std::time::Instant;

use onmic_media::{ClockRate, Keyed, MediaKind, Ticks, TrackKey, WallTime};

use crate::rtp::sequence::Unwrap32;

/// Smaller differences are left alone: 1 ms of video.
const TOLERANCE: i64 = 90;
/// The most a frame is moved: 10 ms. Below the distance of frames at 60 per second, so that time does not run back.
const STEP_MAX: i64 = 900;
/// Tracks of one encoder are at most 700 ms apart. One that is further behind has a clock that stood still.
const STOOD: i64 = 63_000;
/// Reports that contradict the arrival by more are of two clocks, and of no use.
const BELIEVED_MICROS: i64 = 5_000_000;

#[derive(Debug, Default)]
struct Clock {
    timestamp: Unwrap32,
    /// Added to a timestamp for its place on the timeline.
    offset: Option<i64>,
    /// The same moment on the publisher's wall clock and on the stream's.
    report: Option<(WallTime, i64)>,
    reported_by_sender: bool,
}

#[derive(Debug)]
pub(super) struct Timeline {
    began: Instant,
    clocks: Keyed<Clock>,
}

impl Timeline {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, clocks: Keyed::new() }
    }

    /// The stream of a track starts over with timestamps that have nothing to do with those before.
    pub(super) fn restart(&mut self, key: TrackKey) {
        self.clocks.remove(key);
    }

    /// A sender report: `timestamp` and `wall` are the same moment.
    pub(super) fn sender_report(&mut self, key: TrackKey, timestamp: u32, wall: WallTime) {
        let Some(clock) = self.clocks.get_mut(key) else { return };
        if clock.offset.is_some() {
            clock.report = Some((wall, clock.timestamp.peek(timestamp)));
            clock.reported_by_sender = true;
        }
    }

    /// A packet states its capture time: as good as a report until there is one.
    pub(super) fn captured(&mut self, key: TrackKey, timestamp: u32, wall: WallTime) {
        let Some(clock) = self.clocks.get_mut(key) else { return };
        if clock.offset.is_some() && !clock.reported_by_sender {
            clock.report = Some((wall, clock.timestamp.peek(timestamp)));
        }
    }

    /// Where a frame stands, on the clock of its track.
    pub(super) fn place(&mut self, key: TrackKey, timestamp: u32, now: Instant) -> Ticks {
        let rate = clock_rate(key.kind);
        let clock = self.clocks.get_or_insert_with(key, Clock::default);
        let timestamp = clock.timestamp.unwrap(timestamp);
        let since = rate.ticks(now.saturating_duration_since(self.began)).0;
        let offset = *clock.offset.get_or_insert(since - timestamp);
        if key.kind == MediaKind::Video
            && let Some(error) = self.error_of_video(key, timestamp + offset, timestamp)
            && error.abs() > TOLERANCE
        {
            if error < -STOOD {
                let behind = Ticks(-error).rescale(ClockRate::VIDEO, ClockRate::OPUS).0;
                let audio = self.clocks.get_or_insert_with(TrackKey::AUDIO, Clock::default);
                audio.offset = audio.offset.map(|offset| offset + behind);
                return Ticks(timestamp + offset);
            }
            let step = (error / 8).clamp(-STEP_MAX, STEP_MAX);
            let step = match step {
                _ if error > STOOD => error,
                0 => error.signum(),
                step => step,
            };
            self.clocks.get_or_insert_with(key, Clock::default).offset = Some(offset + step);
            return Ticks(timestamp + offset + step);
        }
        Ticks(timestamp + offset)
    }

    /// How far a video frame at `place` must move to stand beside the audio of its moment, in ticks of video.
    fn error_of_video(&self, key: TrackKey, place: i64, timestamp: i64) -> Option<i64> {
        let (video, audio) = (self.clocks.get(key)?, self.clocks.get(TrackKey::AUDIO)?);
        let ((video_wall, video_report), (audio_wall, audio_report)) = (video.report?, audio.report?);
        let since_report = Ticks(timestamp - video_report).micros(ClockRate::VIDEO);
        let micros = video_wall.micros_since(audio_wall).checked_add(since_report)?;
        let sound = audio_report + audio.offset? + Ticks(micros).rescale(ClockRate::MICROS, ClockRate::OPUS).0;
        let target = Ticks(sound).rescale(ClockRate::OPUS, ClockRate::VIDEO).0;
        let error = target.checked_sub(place)?;
        (Ticks(error).micros(ClockRate::VIDEO).abs() < BELIEVED_MICROS).then_some(error)
    }
}

pub(super) fn clock_rate(kind: MediaKind) -> ClockRate {
    match kind {
        MediaKind::Video | MediaKind::Data => ClockRate::VIDEO,
        MediaKind::Audio => ClockRate::OPUS,
    }
}
