//! One timeline for all tracks of a publisher.
//!
//! The RTP timestamps of two streams are unrelated until a sender report of each states their time on the publisher's
//! wall clock (RFC 3550 6.4.1). Until then each stream counts from its arrival: from the least delayed of its first seconds, because
//! a stream may begin with a burst of what waited. After that every video track is moved to match the main audio, a little with every frame. The video moves, because steps in audio timestamps would
//! be heard, and a video frame some milliseconds off its grid is not noticed.
//!
//! The layers of simulcast are of the same pictures, so they lie where the stream lies that leads their section: reports tell which
//! moments are the same to a millisecond or so, and the timestamps of the frames of that moment tell it to the tick
//! ([`Timeline::place_layer`]).
//!
//! A track whose clock stood still, as a microphone's does while it is off, is far behind the other afterwards. Then
//! that track moves, and at once, because it has just been interrupted.
//!
//! Reports are believed while the wall clock in them keeps time ([`super::wall`]). Until it has shown that it does,
//! video moves by small differences alone, and moves back to where its arrival put it if the reports are not believed
//! any more. After [`PATIENCE`] without such reports of both, tracks are compared by their arrivals like those of protocols
//! without reports ([`Timeline::alignment`]).

use std::collections::VecDeque;
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
/// A burst at the start of a stream is over after 3 s. What comes earlier than expected later on is a step of the stream's clock.
const BURST: Duration = Duration::from_secs(3);
/// Frames that come earlier than expected by more than 250 ms show that those before had waited.
const WAITED: Duration = Duration::from_millis(250);
/// First frames are delayed by up to 50 ms more than others without a reason to move anything.
const JITTER: Duration = Duration::from_millis(50);
/// The first report comes after at most 7.5 s (RFC 3550 6.3.1), and is followed until the second one refutes it.
const PATIENCE: Duration = Duration::from_secs(8);

/// Frames of two layers whose reports state times up to 5 ms (450 ticks) apart are of one picture: less than half of the distance of
/// frames at 60 per second.
const ONE_PICTURE: i64 = 450;
/// A relation that reports contradict by more than 50 ms (4500 ticks) does not hold any more.
const UNRELATED: i64 = 4500;
/// The number of newest frames of a stream that are compared: half a second of 30 per second.
const COMPARED: usize = 16;

#[derive(Clone, Debug, Default)]
struct Clock {
    timestamp: Unwrap32,
    /// The offset from a timestamp to its place on the timeline.
    offset: Option<i64>,
    /// The offset by the least delayed of the first arrivals, until reports that have agreed take its place.
    arrived: Option<i64>,
    /// The moment of the first arrival, in ticks.
    began: i64,
    sender: Reports,
    /// The capture times of packets, which stand in for sender reports that are not there, or not believed.
    capture: Reports,
    /// The timestamps of its newest frames of video.
    newest: VecDeque<i64>,
    /// How far its timestamps are ahead of those of the stream that leads, if it is another layer.
    ahead_of_lead: Option<i64>,
}

impl Clock {
    fn report(&self) -> Option<Moment> {
        self.sender.believed().or_else(|| self.capture.believed())
    }

    /// Takes in the offset by an arrival at this moment, in ticks. Frames of a burst are placed where they arrive.
    fn arrive(&mut self, arrived: i64, since: i64, rate: ClockRate) {
        if self.offset.is_none() {
            (self.offset, self.arrived, self.began) = (Some(arrived), Some(arrived), since);
        }
        if since - self.began >= rate.ticks(BURST).0 {
            return;
        }
        if let Some(least) = self.arrived.filter(|least| least - arrived > rate.ticks(JITTER).0) {
            self.arrived = Some(least.min(arrived));
            self.offset =
                self.offset.map(|offset| if offset - arrived > rate.ticks(WAITED).0 { arrived } else { offset });
        }
    }

    fn note(&mut self, timestamp: i64) {
        if self.newest.len() == COMPARED {
            self.newest.pop_front();
        }
        self.newest.push_back(timestamp);
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
    fn restart(&mut self, key: TrackKey) {
        self.clocks.remove(key);
        self.forget_relations(key);
    }

    /// Lets another stream go on as the track `lead`, with a frame of this timestamp. If its report and that of a layer are believed, it
    /// lies where the layer lies.
    pub(super) fn restart_beside_layers(
        &mut self,
        lead: TrackKey,
        timestamp: u32,
        report: Option<(Ntp, u32)>,
        now: Instant,
    ) {
        self.restart(lead);
        let rate = clock_rate(lead.kind);
        let since = rate.ticks(now.saturating_duration_since(self.began)).0;
        let mut clock = Clock::default();
        let first = clock.timestamp.unwrap(timestamp);
        let Some((wall, reported)) = report.map(|(wall, reported)| (wall, clock.timestamp.peek(reported))) else {
            return;
        };
        let layers = self.clocks.iter().filter(|(key, _)| key.kind == lead.kind);
        let offset = layers.filter_map(|(_, layer)| {
            let (of_layer, of_offset) = (layer.report()?, layer.offset?);
            let since = Ticks(wall.micros_since(of_layer.wall)).rescale(ClockRate::MICROS, rate).0;
            let stated = (of_layer.timestamp + of_offset).checked_add(since)?.checked_sub(reported)?;
            // The layer has a frame of the same picture, or will have one.
            let exact = layer.newest.iter().map(|newest| newest + of_offset - first);
            let exact = exact.filter(|offset| (offset - stated).abs() <= ONE_PICTURE);
            Some(exact.min_by_key(|offset| (offset - stated).abs()).unwrap_or(stated))
        });
        let Some(offset) = offset.min_by_key(|offset| (since - first - offset).abs()) else { return };
        if (since - first - offset).abs() <= UNPROVED_MAX {
            (clock.offset, clock.arrived, clock.began) = (Some(offset), Some(offset), since - rate.ticks(BURST).0);
            self.clocks.insert(lead, clock);
        }
    }

    /// Forgets a layer that is not sent any more.
    pub(super) fn forget(&mut self, layer: TrackKey) {
        self.clocks.remove(layer);
    }

    /// Lets the stream of `layer` go on as the track `lead`, where it was as a layer.
    pub(super) fn take_over(&mut self, lead: TrackKey, layer: TrackKey) {
        let Some(mut clock) = self.clocks.get(layer).cloned() else { return };
        clock.arrived = clock.arrived.and(clock.offset); // It does not go back to where it arrived.
        self.clocks.insert(lead, clock);
        self.forget_relations(lead);
        if let Some(clock) = self.clocks.get_mut(layer) {
            clock.ahead_of_lead = Some(0);
        }
    }

    /// Forgets how layers lie beside the track `lead`, which another stream is now.
    fn forget_relations(&mut self, lead: TrackKey) {
        let layers = self.clocks.iter_mut().filter(|(key, _)| key.kind == lead.kind && *key != lead);
        layers.for_each(|(_, clock)| clock.ahead_of_lead = None);
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
        clock.arrive(arrived, since, rate);
        let offset = clock.offset.unwrap_or(arrived);
        clock.note(timestamp);
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

    /// Returns the place of a frame of a layer, as far as it is known beside the track that leads, and whether it is. A layer that has
    /// begun moves by a little with every frame.
    pub(super) fn place_layer(
        &mut self,
        (key, lead): (TrackKey, TrackKey),
        timestamp: u32,
        has_begun: bool,
        now: Instant,
    ) -> (Ticks, bool) {
        let rate = clock_rate(key.kind);
        let since = rate.ticks(now.saturating_duration_since(self.began)).0;
        let clock = self.clocks.get_or_insert_with(key, Clock::default);
        let timestamp = clock.timestamp.unwrap(timestamp);
        clock.arrive(since - timestamp, since, rate);
        clock.note(timestamp);
        let ahead = self.relation(key, lead);
        let leads = self.clocks.get(lead).and_then(|lead| lead.offset);
        let Some(clock) = self.clocks.get_mut(key) else { return (Ticks(since), false) };
        clock.ahead_of_lead = ahead;
        let offset = clock.offset.unwrap_or(since - timestamp);
        let target = ahead.zip(leads).map_or(offset, |(ahead, leads)| leads - ahead);
        let step = target - offset;
        let offset = offset + if has_begun { step.clamp(-STEP_MAX, STEP_MAX) } else { step };
        clock.offset = Some(offset);
        (Ticks(timestamp + offset), ahead.is_some() && leads.is_some())
    }

    /// Returns how far the timestamps of a layer are ahead of those of the track that leads.
    fn relation(&self, key: TrackKey, lead: TrackKey) -> Option<i64> {
        let (layer, lead) = (self.clocks.get(key)?, self.clocks.get(lead)?);
        let known = layer.ahead_of_lead;
        let Some((of_layer, of_lead)) = layer.report().zip(lead.report()) else { return known };
        let micros = of_layer.wall.micros_since(of_lead.wall);
        let stated =
            of_layer.timestamp - of_lead.timestamp - Ticks(micros).rescale(ClockRate::MICROS, ClockRate::VIDEO).0;
        if let Some(known) = known.filter(|known| (known - stated).abs() <= UNRELATED) {
            return Some(known);
        }
        let pairs = layer.newest.iter().flat_map(|own| lead.newest.iter().map(move |other| own - other));
        let nearest = pairs.min_by_key(|ahead| (ahead - stated).abs());
        nearest.filter(|ahead| (ahead - stated).abs() <= ONE_PICTURE)
    }

    /// Returns how far a video frame must move: to match the audio of its moment, as far as the reports of both are
    /// believed, or else to where its arrival put it.
    fn error_of_video(&mut self, key: TrackKey, timestamp: i64, offset: i64) -> Error {
        let stated = self.stated_error(key, timestamp, offset);
        let audio = self.clocks.get(TrackKey::AUDIO);
        let audio_agrees = audio.is_some_and(Clock::have_reports_agreed);
        // The audio stays where its first arrival put it, but for a burst, so the video is placed as much too late.
        let waited = audio.and_then(|audio| Some(audio.offset? - audio.arrived?)).unwrap_or(0);
        let waited = Ticks(waited).rescale(ClockRate::OPUS, ClockRate::VIDEO).0;
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
            _ => Error { ticks: video.arrived.map_or(0, |arrived| arrived + waited - offset), is_proved: false },
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Places 15 s of both kinds. The first frames of each wait for this many ms, and others are on time. Reports come once a
    /// second from the given one on, in ms. Returns how much later than the audio the video is at the end, and how far the later of
    /// them is ahead of its arrival, in ms.
    fn placed(video_waits: u64, audio_waits: u64, reports_from: Option<u64>) -> (i64, i64) {
        let began = Instant::now();
        let mut timeline = Timeline::new(began);
        let mut last = [0; 2];
        let mut frames: Vec<_> = (0..750_u64)
            .flat_map(|number| [(TrackKey::AUDIO, audio_waits), (TrackKey::VIDEO, video_waits)].map(|of| (number, of)))
            .map(|(number, (key, waits))| ((number * 20).max(waits), number, key))
            .collect();
        frames.sort_by_key(|(at, ..)| *at);
        for (at, number, key) in frames {
            let now = began + Duration::from_millis(at);
            let timestamp = match key.kind {
                MediaKind::Audio => 1_000_000 + number as u32 * 960,
                _ => 5_000 + number as u32 * 1800,
            };
            let place = timeline.place(key, timestamp, now).micros(clock_rate(key.kind)) / 1000;
            if number % 50 == 0 && reports_from.is_some_and(|from| at >= from) {
                let wall = Ntp((0xe000_0000 << 32) + ((number * 20) << 32) / 1000);
                timeline.sender_report(key, timestamp, wall, now);
            }
            last[key.kind as usize] = place - number as i64 * 20;
        }
        let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| last[kind as usize]);
        (video - audio, video.max(audio))
    }

    #[test]
    fn a_burst_at_the_start_of_a_stream_moves_nothing_for_long() {
        for (video, audio) in
            [(0, 0), (40, 0), (200, 0), (0, 200), (700, 0), (0, 700), (700, 300), (2_900, 0), (0, 2_900)]
        {
            for reports_from in [None, Some(0), Some(1_000), Some(5_000)] {
                let (apart, ahead) = placed(video, audio, reports_from);
                let case = format!("{video} {audio} {reports_from:?}: {apart} {ahead}");
                assert!(apart.abs() <= if reports_from.is_some() { 2 } else { 50 }, "{case}");
                assert!(ahead.abs() <= 250, "{case}");
            }
        }
    }

    #[test]
    fn a_step_of_a_streams_clock_is_passed_on() {
        let began = Instant::now();
        let mut timeline = Timeline::new(began);
        let mut place = |timestamp: u32, millis| {
            timeline.place(TrackKey::VIDEO, timestamp, began + Duration::from_millis(millis)).0
        };
        let first = place(0, 0);
        assert_eq!(place(270_000, 3_000) - first, 270_000);
        assert_eq!(place(900_000, 3_040) - first, 900_000);
    }
}
