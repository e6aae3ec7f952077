//! One timeline for all tracks of a publisher.
//!
//! The RTP timestamps of two streams are unrelated until a sender report of each states their time on the publisher's
//! wall clock (RFC 3550 6.4.1). Until then each stream counts from its first arrival. After that every video track is
//! moved to match the main audio, a little with every frame. The video moves, because steps in audio timestamps would
//! be heard, and a video frame some milliseconds off its grid is not noticed.
//!
//! A track whose clock stood still, as a microphone's does while it is off, is far behind the other afterwards. Then
//! that track moves, and at once, because it has just been interrupted.

use std::time::Instant;

use onmic_media::{ClockRate, Keyed, MediaKind, Ticks, TrackKey, WallTime};

use crate::rtp::sequence::Unwrap32;

/// Differences up to 1 ms (90 ticks of video) are left alone.
const TOLERANCE: i64 = 90;
/// A frame is moved by 10 ms (900 ticks) at most. This is less than the distance of frames at 60 per second, so time
/// does not run backwards.
const STEP_MAX: i64 = 900;
/// The tracks of one encoder are at most 700 ms (63,000 ticks) apart. If a track is further behind, its clock stood
/// still.
const STOOD: i64 = 63_000;
/// Reports that contradict the arrival by more than 5 s are of two clocks, and are not used.
const BELIEVED_MICROS: i64 = 5_000_000;

#[derive(Debug, Default)]
struct Clock {
    timestamp: Unwrap32,
    /// The offset from a timestamp to its place on the timeline.
    offset: Option<i64>,
    /// The same moment on the publisher's wall clock and on the stream's clock.
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

    /// Forgets the clock of a track whose stream starts over with unrelated timestamps.
    pub(super) fn restart(&mut self, key: TrackKey) {
        self.clocks.remove(key);
    }

    /// Takes a sender report: `timestamp` and `wall` are the same moment.
    pub(super) fn sender_report(&mut self, key: TrackKey, timestamp: u32, wall: WallTime) {
        let Some(clock) = self.clocks.get_mut(key) else { return };
        if clock.offset.is_some() {
            clock.report = Some((wall, clock.timestamp.peek(timestamp)));
            clock.reported_by_sender = true;
        }
    }

    /// Takes the capture time of a packet, which stands in for a sender report until one comes.
    pub(super) fn captured(&mut self, key: TrackKey, timestamp: u32, wall: WallTime) {
        let Some(clock) = self.clocks.get_mut(key) else { return };
        if clock.offset.is_some() && !clock.reported_by_sender {
            clock.report = Some((wall, clock.timestamp.peek(timestamp)));
        }
    }

    /// Returns the place of a frame on the timeline, in ticks of its track's clock.
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

    /// Returns how far a video frame at `place` must move to match the audio of its moment, in ticks of video.
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
