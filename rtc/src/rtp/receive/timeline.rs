//! One timeline for all tracks of a publisher.
//!
//! The RTP timestamps of two streams are unrelated until a sender report of each states their time on the publisher's
//! wall clock (RFC 3550 6.4.1). Until then each stream counts from its first arrival. After that every video track is
//! moved to match the main audio, a little with every frame. The video moves, because steps in audio timestamps would
//! be heard, and a video frame some milliseconds off its grid is not noticed.
//!
//! A track whose clock stood still, as a microphone's does while it is off, is far behind the other afterwards. Then
//! that track moves, and at once, because it has just been interrupted.
//!
//! Reports are believed while the wall clock in them keeps time ([`super::wall`]). Until it has shown that it does,
//! video moves by small differences alone, and moves back to where its arrival put it if the reports are not believed
//! any more. After [`PATIENCE`] without such reports of both, tracks are compared by their arrivals like those of protocols
//! without reports ([`Timeline::alignment`]).

use std::time::{Duration, Instant};

use onmic_media::{Alignment, ClockRate, Keyed, MediaKind, Ticks, TrackKey};

use super::wall::{Moment, Reports};
use crate::rtp::ntp::Ntp;
use crate::rtp::sequence::Unwrap32;

/// Differences up to 1 ms (90 ticks of video) are left alone.
const TOLERANCE: i64 = 90;
/// A frame is moved by 10 ms (900 ticks) at most. This is less than the distance of frames at 60 per second, so time
/// does not run backwards.
const STEP_MAX: i64 = 900;
/// The tracks of one encoder are at most 700 ms (63,000 ticks) apart. If a track is further behind, its clock stood
/// still.
const STOOD: i64 = 63_000;
/// The tracks of one publisher arrive less than 250 ms (22,500 ticks) apart. A larger difference is taken from a wall
/// clock only when it has shown that it keeps time.
const UNPROVED_MAX: i64 = 22_500;
/// Reports that contradict the arrival by more than 5 s are of two clocks, and are not used.
const BELIEVED_MICROS: i64 = 5_000_000;
/// The first report comes after at most 7.5 s (RFC 3550 6.3.1), and is followed until the second one refutes it.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
struct Clock {
    timestamp: Unwrap32,
    /// The offset from a timestamp to its place on the timeline.
    offset: Option<i64>,
    /// The offset by the first arrival, until reports that have agreed take its place.
    arrived: Option<i64>,
    sender: Reports,
    /// The capture times of packets, which stand in for sender reports that are not there, or not believed.
    capture: Reports,
}

impl Clock {
    fn report(&self) -> Option<Moment> {
        self.sender.believed().or_else(|| self.capture.believed())
    }

    fn have_reports_agreed(&self) -> bool {
        if self.sender.believed().is_some() { self.sender.have_agreed() } else { self.capture.have_agreed() }
    }
}

#[derive(Debug)]
pub(super) struct Timeline {
    began: Instant,
    clocks: Keyed<Clock>,
    /// What reports told of the last frame of video.
    told: Told,
    /// Since when audio and video come without reports that have shown that they are true.
    untold: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    /// It was moved by reports that have not shown yet that they are true, or back.
    Unproved,
    Proved,
}

impl Timeline {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, clocks: Keyed::new(), told: Told::default(), untold: None }
    }

    /// Returns what tells at present how the tracks lie beside each other.
    pub(super) fn alignment(&mut self, now: Instant) -> Alignment {
        let has_begun = |key| self.clocks.get(key).is_some_and(|clock: &Clock| clock.offset.is_some());
        let is_untold = self.told != Told::Proved && has_begun(TrackKey::AUDIO) && has_begun(TrackKey::VIDEO);
        let since = if is_untold { Some(self.untold.unwrap_or(now)) } else { None };
        self.untold = since;
        match self.told {
            Told::Proved => Alignment::Reported,
            Told::Unproved => Alignment::Supposed,
            Told::Nothing if since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE) => {
                Alignment::Unreported
            }
            Told::Nothing => Alignment::Awaited,
        }
    }

    /// Forgets the clock of a track whose stream starts over with unrelated timestamps.
    pub(super) fn restart(&mut self, key: TrackKey) {
        self.clocks.remove(key);
    }

    /// Takes a sender report: `timestamp` and `wall` are the same moment.
    pub(super) fn sender_report(&mut self, key: TrackKey, timestamp: u32, wall: Ntp, now: Instant) {
        self.report(key, (timestamp, wall), now, |clock| &mut clock.sender);
    }

    /// Takes the capture time of a packet.
    pub(super) fn captured(&mut self, key: TrackKey, timestamp: u32, wall: Ntp, now: Instant) {
        self.report(key, (timestamp, wall), now, |clock| &mut clock.capture);
    }

    fn report(
        &mut self,
        key: TrackKey,
        (timestamp, wall): (u32, Ntp),
        now: Instant,
        reports: impl Fn(&mut Clock) -> &mut Reports,
    ) {
        if let Some(clock) = self.clocks.get_mut(key).filter(|clock| clock.offset.is_some()) {
            let moment = Moment { wall, timestamp: clock.timestamp.peek(timestamp) };
            reports(clock).take(moment, clock_rate(key.kind), now);
        }
    }

    /// Returns the place of a frame on the timeline, in ticks of its track's clock.
    pub(super) fn place(&mut self, key: TrackKey, timestamp: u32, now: Instant) -> Ticks {
        let rate = clock_rate(key.kind);
        let clock = self.clocks.get_or_insert_with(key, Clock::default);
        let timestamp = clock.timestamp.unwrap(timestamp);
        let since = rate.ticks(now.saturating_duration_since(self.began)).0;
        let arrived = since - timestamp;
        if clock.offset.is_none() {
            (clock.offset, clock.arrived) = (Some(arrived), Some(arrived));
        }
        let offset = clock.offset.unwrap_or(arrived);
        if key.kind != MediaKind::Video {
            return Ticks(timestamp + offset);
        }
        let Error { ticks: error, is_proved } = self.error_of_video(key, timestamp, offset);
        if error.abs() <= TOLERANCE {
            return Ticks(timestamp + offset);
        }
        if self.told == Told::Nothing {
            self.told = Told::Unproved; // It moves back.
        }
        if error < -STOOD && is_proved {
            let behind = Ticks(-error).rescale(ClockRate::VIDEO, ClockRate::OPUS).0;
            let audio = self.clocks.get_or_insert_with(TrackKey::AUDIO, Clock::default);
            audio.offset = audio.offset.map(|offset| offset + behind);
            return Ticks(timestamp + offset);
        }
        let step = match (error / 8).clamp(-STEP_MAX, STEP_MAX) {
            _ if error > STOOD && is_proved => error,
            0 => error.signum(),
            step => step,
        };
        self.clocks.get_or_insert_with(key, Clock::default).offset = Some(offset + step);
        Ticks(timestamp + offset + step)
    }

    /// Returns how far a video frame must move: to match the audio of its moment, as far as the reports of both are
    /// believed, or else to where its arrival put it.
    fn error_of_video(&mut self, key: TrackKey, timestamp: i64, offset: i64) -> Error {
        let stated = self.stated_error(key, timestamp, offset);
        let audio_agrees = self.clocks.get(TrackKey::AUDIO).is_some_and(Clock::have_reports_agreed);
        let Some(video) = self.clocks.get_mut(key) else { return Error::default() };
        let is_proved = audio_agrees && video.have_reports_agreed();
        self.told = match stated {
            Some(_) if is_proved => Told::Proved,
            Some(ticks) if ticks.abs() < UNPROVED_MAX => Told::Unproved,
            _ => Told::Nothing,
        };
        match stated {
            Some(ticks) if is_proved => {
                video.arrived = None;
                Error { ticks, is_proved }
            }
            Some(ticks) if ticks.abs() < UNPROVED_MAX => Error { ticks, is_proved },
            _ => Error { ticks: video.arrived.map_or(0, |arrived| arrived - offset), is_proved: false },
        }
    }

    /// Returns how far a video frame must move to match the audio of its moment, in ticks of video. `None` if no reports
    /// of both are believed, or they are of two clocks.
    fn stated_error(&self, key: TrackKey, timestamp: i64, offset: i64) -> Option<i64> {
        let (video, audio) = (self.clocks.get(key)?, self.clocks.get(TrackKey::AUDIO)?);
        let (of_video, of_audio) = (video.report()?, audio.report()?);
        let since_report = Ticks(timestamp - of_video.timestamp).micros(ClockRate::VIDEO);
        let micros = of_video.wall.micros_since(of_audio.wall).checked_add(since_report)?;
        let heard = of_audio.timestamp + audio.offset? + Ticks(micros).rescale(ClockRate::MICROS, ClockRate::OPUS).0;
        let target = Ticks(heard).rescale(ClockRate::OPUS, ClockRate::VIDEO).0;
        let error = target.checked_sub(timestamp + offset)?;
        (Ticks(error).micros(ClockRate::VIDEO).abs() < BELIEVED_MICROS).then_some(error)
    }
}

/// How far a video frame must move, in ticks, and whether the clocks that say so have shown that they keep time.
#[derive(Clone, Copy, Default)]
struct Error {
    ticks: i64,
    is_proved: bool,
}

pub(super) fn clock_rate(kind: MediaKind) -> ClockRate {
    match kind {
        MediaKind::Video | MediaKind::Data => ClockRate::VIDEO,
        MediaKind::Audio => ClockRate::OPUS,
    }
}
