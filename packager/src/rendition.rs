//! One rendition: the segments of one track, of which the newest still grows part by part.
//!
//! Invariants. Decoding times are continuous within a discontinuity: a part starts where the one before it ended. The
//! duration of a segment is the sum of its parts. A part is never longer than the part target and at least 85 % of it,
//! but for the last of a segment and those that hold a keyframe (rfc8216bis 4.4.4.9). The exception is described below.
//!
//! **The last frame of a part.** How long it lasts is known when the next one comes, and waiting for that would hold
//! every part back for a frame. So its end is estimated, from the shortest of the last intervals, and the next part
//! starts at that end: its first frame is *decoded* there, and its composition offset takes the difference, so that it
//! is *shown* at exactly its own time. Errors do not add up, because the second frame of that part has its own time
//! again.
//!
//! **Where parts end.** A segment is divided evenly, on the assumption that it will be as long as the one before it.
//! Filled up one by one, parts would leave a last one of a frame or two, published right behind the one before it: a
//! player that is fetching that one then learns of the last part, the end of the segment and the next one at once.
//! hls.js passes over the last part in this case and asks for no more audio; round-trip times above 40 ms made it stand
//! still within seconds.
//!
//! **After a discontinuity** the first video frame is decoded when it is shown, and the next ones at once, until they
//! are decoded at their own times again. hls.js places frames after a discontinuity by the first decoding time, and
//! ends those before it by presentation times. With reordered frames that left a hole as long as they are decoded
//! ahead. Playlists are not concerned.
//!
//! **Frames that come slower than the part target**, after it was chosen: up to [`LAG_MICROS_MAX`] the part ends at its
//! target and the next one makes up for it. Beyond (a screen shared at one frame a second), the part is as long as its
//! frame: its duration is then true, which players need more than the limit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onmic_media::{ClockRate, Frame, MediaKind, Parameters, Ticks, TrackKey, WallTime};

use crate::error::PackagerError;
use crate::fragment::{Event, Sample, decode_when_shown, fragment};
use crate::init::init_section;
use crate::segment::{Init, Part, Segment};
use crate::settings::{PART_HOLD_BACK, Settings};

/// The most by which decoding times may trail the frames' own before a part is made longer instead.
const LAG_MICROS_MAX: i64 = 500_000;

/// The most samples of a part: 4 s at 240 fps. It bounds the memory of a part whatever its frames claim.
const SAMPLES_MAX: usize = 960;

/// The most messages of timed metadata in one part. 16 in a third of a second are more than a person can read, and they
/// bound a part's overhead to 1 MiB.
const EVENTS_MAX: usize = 16;

/// The first media sequence number. By rfc8216bis 4.4.3.2 any number would do. Some places of hls.js take a segment
/// of number 0 for no segment: hls.js forgot having loaded it and loaded it again and again over the parts after it,
/// and the browser then dropped video up to the next keyframe.
pub(crate) const FIRST_MSN: u64 = 1;

/// States a place in a rendition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The media sequence number.
    pub msn: u64,
    /// The part within the segment.
    pub part: u32,
}

/// Holds a frame in the form that a rendition takes.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) dts: i64,
    pub(crate) pts: i64,
    pub(crate) keyframe: bool,
    pub(crate) wall: WallTime,
    pub(crate) payload: Bytes,
}

/// Holds the segments of one track, of which the newest is still open.
#[derive(Debug)]
pub struct Rendition {
    key: TrackKey,
    settings: Settings,
    rate: ClockRate,
    init: Arc<Init>,
    inits: u32,
    window: VecDeque<Arc<Segment>>,
    open: Option<Segment>,
    open_start: i64,
    grid: Grid,
    part: Option<OpenPart>,
    /// The decoding time at which the next part starts.
    end: i64,
    /// The decoding time at which the rendition went on after the newest hole.
    resumed: Option<i64>,
    part_target: Option<PartTarget>,
    sequence: u32,
    discontinuity_sequence: u64,
    independent: bool,
    /// Timed metadata for the next part.
    events: Vec<Event>,
    next_event: u32,
    evicted: Vec<Arc<Segment>>,
    has_let_go: bool,
    long_parts: u64,
}

#[derive(Clone, Copy, Debug)]
struct PartTarget {
    millis: u32,
    ticks: i64,
}

/// Holds the places at which the parts of the open segment should end.
#[derive(Clone, Copy, Debug)]
struct Grid {
    /// The cut at which the segment began. Audio begins at the frame nearest to it.
    origin: i64,
    /// How long the segment is expected to be.
    length: i64,
}

#[derive(Debug)]
struct OpenPart {
    start: i64,
    /// The decoding time of the last sample.
    last: i64,
    wall: WallTime,
    samples: Vec<Sample>,
}

impl Rendition {
    pub(crate) fn new(key: TrackKey, settings: Settings, parameters: &Arc<Parameters>) -> Result<Self, PackagerError> {
        let rate = parameters.clock_rate();
        let body = init_section(parameters, rate)?;
        Ok(Self {
            key,
            settings,
            rate,
            init: Arc::new(Init { number: 0, body, parameters: parameters.clone() }),
            inits: 1,
            window: VecDeque::new(),
            open: None,
            open_start: 0,
            grid: Grid { origin: 0, length: rate.ticks(settings.segment).0 },
            part: None,
            end: 0,
            resumed: None,
            part_target: None,
            sequence: 0,
            discontinuity_sequence: 0,
            independent: true,
            events: Vec::new(),
            next_event: 0,
            evicted: Vec::new(),
            has_let_go: false,
            long_parts: 0,
        })
    }

    /// Returns the key of its track.
    pub fn key(&self) -> TrackKey {
        self.key
    }

    /// Returns the clock rate of its decoding times.
    pub fn rate(&self) -> ClockRate {
        self.rate
    }

    /// Returns the complete segments, the oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> + ExactSizeIterator {
        self.window.iter()
    }

    /// Returns the open segment, with the parts that are published.
    pub fn open(&self) -> Option<&Segment> {
        self.open.as_ref()
    }

    /// Returns the part that comes next, which the preload hint names.
    pub fn next(&self) -> Edge {
        match &self.open {
            Some(open) => Edge { msn: open.msn, part: open.parts.len() as u32 },
            None => Edge { msn: self.window.back().map_or(FIRST_MSN, |last| last.msn + 1), part: 0 },
        }
    }

    /// Returns the newest part, or `None` before the first.
    pub fn newest(&self) -> Option<Edge> {
        let segments = self.open.iter().chain(self.window.iter().rev().map(|segment| &**segment));
        let newest = segments.into_iter().find(|segment| !segment.parts.is_empty())?;
        Some(Edge { msn: newest.msn, part: newest.parts.len() as u32 - 1 })
    }

    /// Returns whether it holds parts back after a hole, until it has PART-HOLD-BACK of them, the distance that players
    /// keep. A player whose buffer ran dry jumps over the hole as soon as it sees a part after it. With a single part
    /// it would run dry again each time.
    pub fn is_gathering(&self) -> bool {
        let (Some(resumed), Some(target)) = (self.resumed, self.part_target) else { return false };
        self.end - resumed < target.ticks * i64::from(PART_HOLD_BACK)
    }

    /// Returns PART-TARGET, or `None` until the first frames have shown how far apart they are.
    pub fn part_target(&self) -> Option<Duration> {
        self.part_target.map(|target| Duration::from_millis(target.millis.into()))
    }

    /// Sets PART-TARGET before the first frame.
    pub(crate) fn declare_part_target(&mut self, target: Option<Duration>) {
        let millis = target.and_then(|target| u32::try_from(target.as_millis()).ok());
        self.part_target = millis.map(|millis| PartTarget { millis, ticks: millis_to_ticks(millis, self.rate) });
    }

    /// Returns the value of EXT-X-DISCONTINUITY-SEQUENCE.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.discontinuity_sequence
    }

    /// Returns whether every segment so far starts with a keyframe.
    pub fn independent(&self) -> bool {
        self.independent
    }

    /// Returns the initialisation section in force.
    pub fn init(&self) -> &Arc<Init> {
        &self.init
    }

    /// Returns the initialisation section of this number, as long as a listed segment needs it.
    pub fn init_numbered(&self, number: u32) -> Option<&Arc<Init>> {
        let listed = self.window.iter().map(|segment| &segment.init);
        listed.chain([&self.init]).find(|init| init.number == number)
    }

    /// Returns the segments that left the window since the last call. Players may still ask for them (rfc8216bis
    /// 6.2.2).
    pub fn take_evicted(&mut self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.evicted)
    }

    /// Returns the oldest listed segment, once the playlist has lost older ones.
    pub(crate) fn slid_to(&self) -> Option<u64> {
        self.window.front().filter(|_| self.has_let_go).map(|oldest| oldest.msn)
    }

    /// Returns the number of parts that a slow frame made longer than the target.
    pub fn long_parts(&self) -> u64 {
        self.long_parts
    }

    /// Returns the peak and the mean bitrate in bits per second, of complete segments or, before the first, of parts.
    pub fn bitrates(&self) -> Option<(u64, u64)> {
        let rate = |bytes: usize, duration: Duration| bytes as f64 * 8.0 / duration.as_secs_f64();
        let (mut bytes, mut duration, mut peak) = (0, Duration::ZERO, 0.0_f64);
        // A segment much shorter than the others does not show the peak.
        let long = |segment: &&Arc<Segment>| segment.duration * 2 >= self.settings.segment;
        for segment in self.window.iter().filter(long) {
            bytes += segment.bytes();
            duration += segment.duration;
            peak = peak.max(rate(segment.bytes(), segment.duration));
        }
        if duration.is_zero() {
            let open = self.open.as_ref().filter(|open| !open.duration.is_zero())?;
            (bytes, duration) = (open.bytes(), open.duration);
            peak = rate(bytes, duration);
        }
        Some((peak as u64, rate(bytes, duration) as u64))
    }

    /// Returns the frames per second of the last segment, or of the parts so far.
    pub fn frame_rate(&self) -> Option<f64> {
        let whole = self.window.iter().rev().find(|segment| !segment.gap).map(|segment| &**segment);
        let segment = whole.or(self.open.as_ref())?;
        let frames: usize = segment.parts.iter().map(|part| part.samples).sum();
        (!segment.duration.is_zero()).then(|| frames as f64 / segment.duration.as_secs_f64())
    }

    /// Makes the following samples need `parameters`. Call it between segments only.
    pub(crate) fn adopt(&mut self, parameters: &Arc<Parameters>) -> Result<(), PackagerError> {
        let rate = parameters.clock_rate();
        let body = init_section(parameters, rate)?;
        if rate != self.rate {
            for event in &mut self.events {
                event.pts = Ticks(event.pts).rescale(self.rate, rate).0;
            }
            self.end = Ticks(self.end).rescale(self.rate, rate).0;
            if let Some(target) = &mut self.part_target {
                target.ticks = millis_to_ticks(target.millis, rate);
            }
            self.grid.length = Ticks(self.grid.length).rescale(self.rate, rate).0;
            self.rate = rate;
        }
        self.init = Arc::new(Init { number: self.inits, body, parameters: parameters.clone() });
        self.inits += 1;
        Ok(())
    }

    /// Returns the decoding time at which the open segment starts.
    pub(crate) fn open_start(&self) -> i64 {
        self.open_start
    }

    /// Does what [`Rendition::cut`] does, for audio: a part that is not published, and does not begin before the cut at
    /// `origin`, goes to the segment `msn`. The cut is known when its video frame comes, and the audio may have come
    /// first.
    pub(crate) fn cut_back(
        &mut self,
        msn: u64,
        origin: i64,
        dts: i64,
        wall: WallTime,
        expected: i64,
    ) -> Result<(), PackagerError> {
        let whole = self.open.as_ref().is_some_and(|open| !open.parts.is_empty());
        match self.part.as_ref().filter(|part| whole && part.start >= origin - expected / 2).map(|part| part.wall) {
            Some(wall) => self.begin(msn, wall, false),
            None => self.cut(msn, dts, wall, expected)?,
        }
        Ok(())
    }

    /// Notes that the open segment began with a cut at `origin`. If `continues`, the segment before it ended there, and
    /// the open one is expected to be as long.
    pub(crate) fn divide_from(&mut self, origin: i64, continues: bool) {
        let length = origin - self.grid.origin;
        if continues && length > 0 && length <= self.rate.ticks(self.settings.longest()).0 {
            self.grid.length = length;
        }
        self.grid.origin = origin;
    }

    /// Returns the time at which the next frame is due, if the last one lasts for `expected`.
    pub(crate) fn due(&self, expected: i64) -> i64 {
        self.part.as_ref().map_or(self.end, |part| part.last + expected.max(1))
    }

    /// Ends the open part and segment before a frame at `dts`, and starts the segment `msn` there.
    pub(crate) fn cut(&mut self, msn: u64, dts: i64, wall: WallTime, expected: i64) -> Result<(), PackagerError> {
        if self.part.is_some() {
            let end = self.bounded_end(dts, expected);
            self.close_part(end)?;
        }
        self.begin(msn, wall, false);
        Ok(())
    }

    /// Ends the open part and segment where they are due, and starts the segment `msn` with a new timeline at `dts`.
    pub(crate) fn break_off(&mut self, msn: u64, dts: i64, wall: WallTime, expected: i64) -> Result<(), PackagerError> {
        let first = self.open.is_none() && self.window.is_empty();
        self.close_segment(expected)?;
        if !first {
            self.note_hole(dts);
        }
        self.end = dts.max(0);
        self.begin(msn, wall, !first);
        Ok(())
    }

    /// Ends the open part and segment before a frame at `dts`, and starts the segment `msn` there, after a
    /// discontinuity but on the same timeline. A playlist that states exactly what the timestamps state leaves a
    /// player nothing to correct.
    pub(crate) fn go_over(
        &mut self,
        parameters: &Arc<Parameters>,
        msn: u64,
        dts: i64,
        wall: WallTime,
        expected: i64,
    ) -> Result<(), PackagerError> {
        if self.part.is_some() {
            let end = self.bounded_end(dts, expected);
            self.close_part(end)?;
        }
        self.list_open();
        if *self.init.parameters != **parameters {
            self.adopt(parameters)?;
        }
        self.begin(msn, wall, true);
        Ok(())
    }

    /// Leaves a hole: the next frames are decoded from `dts` on. The open part ends where it is due.
    pub(crate) fn jump(&mut self, dts: i64, expected: i64) -> Result<(), PackagerError> {
        if self.part.is_some() {
            self.close_part(self.due(expected))?;
        }
        self.note_hole(dts);
        self.end = self.end.max(dts);
        Ok(())
    }

    /// Remembers a hole that is longer than a part, because no player can play across it.
    fn note_hole(&mut self, dts: i64) {
        if self.part_target.is_some_and(|target| dts - self.end > target.ticks) {
            self.resumed = Some(dts);
        }
    }

    /// Adds an empty segment.
    pub(crate) fn leave_out(
        &mut self,
        msn: u64,
        wall: WallTime,
        duration: Duration,
        expected: i64,
    ) -> Result<(), PackagerError> {
        self.close_segment(expected)?;
        let gap = Segment {
            msn,
            program_date_time: wall,
            discontinuity: false,
            gap: true,
            init: self.init.clone(),
            duration,
            parts: Vec::new(),
        };
        self.list(gap);
        Ok(())
    }

    /// Ends the open part and segment.
    pub(crate) fn close_segment(&mut self, expected: i64) -> Result<(), PackagerError> {
        if self.part.is_some() {
            self.close_part(self.due(expected))?;
        }
        self.list_open();
        Ok(())
    }

    /// Adds a frame to the open segment. `expected` is how long it will last, as far as can be told.
    pub(crate) fn append(&mut self, incoming: Incoming, expected: Option<i64>) -> Result<(), PackagerError> {
        let Incoming { dts, pts, keyframe, wall, payload } = incoming;
        // Every audio packet is a keyframe; only a keyframe of video is worth a part of its own.
        self.settle(dts, keyframe && self.key.kind == MediaKind::Video, expected)?;
        let at = match &self.part {
            Some(part) => dts.max(part.last + 1),
            None => self.end,
        };
        let part = self.part.get_or_insert_with(|| OpenPart { start: at, last: at, wall, samples: Vec::new() });
        part.last = at;
        part.samples.push(Sample { duration: 0, composition: pts - at, keyframe, payload });
        if let (Some(target), Some(expected)) = (self.part_target, expected) {
            let due = (dts + expected).max(at + 1);
            let filled = due - part.start;
            let next_fits =
                filled + expected <= target.ticks && !self.grid.ends_part(part.start, due, expected, target);
            if !next_fits && (filled >= least(target.ticks) || filled >= target.ticks) {
                let end = self.bounded_end(due, expected);
                self.close_part(end)?;
            }
        }
        Ok(())
    }

    /// Puts a message of timed metadata into the part that is published next. False if that part has as many messages
    /// as it may.
    pub(crate) fn add_event(&mut self, frame: &Frame) -> bool {
        if self.events.len() >= EVENTS_MAX {
            return false;
        }
        let pts = frame.pts.rescale(frame.parameters.clock_rate(), self.rate).0;
        let (id, parameters, message) = (self.next_event, frame.parameters.clone(), frame.payload.clone());
        self.next_event = id.wrapping_add(1);
        self.events.push(Event { id, pts, parameters, message });
        true
    }

    /// Closes the open part if a frame at `dts` does not belong into it, and gives its last sample its duration.
    fn settle(&mut self, dts: i64, keyframe: bool, expected: Option<i64>) -> Result<(), PackagerError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let at = dts.max(part.last + 1);
        let filled = at - part.start;
        let count = part.samples.len() as i64;
        let full = part.samples.len() >= SAMPLES_MAX;
        if let Some(last) = part.samples.last_mut() {
            last.duration = (at - part.last).try_into().unwrap_or(u32::MAX);
        }
        let target = match self.part_target {
            Some(target) => target,
            None => match PartTarget::choose(&self.settings, filled, count, self.rate) {
                Some(target) => *self.part_target.insert(target),
                None => return Ok(()),
            },
        };
        let expected = expected.unwrap_or(filled / count);
        let enough = filled >= least(target.ticks);
        let fits = filled + expected <= target.ticks && !self.grid.ends_part(part.start, at, expected, target);
        if filled >= target.ticks || full || (enough && (keyframe || !fits)) {
            let end = self.bounded_end(at, expected);
            self.close_part(end)?;
        }
        Ok(())
    }

    /// Returns the end of the open part if its last frame lasts until `wanted`.
    fn bounded_end(&self, wanted: i64, expected: i64) -> i64 {
        let Some(part) = &self.part else { return wanted };
        let wanted = wanted.max(part.last + 1);
        let Some(target) = self.part_target else { return wanted };
        let limit = part.start + target.ticks;
        let lag = wanted - limit;
        let caught_up_later = expected <= target.ticks && Ticks(lag).micros(self.rate) <= LAG_MICROS_MAX;
        if lag > 0 && caught_up_later && limit > part.last { limit } else { wanted }
    }

    fn close_part(&mut self, end: i64) -> Result<(), PackagerError> {
        let Some(mut part) = self.part.take() else { return Ok(()) };
        let end = end.max(part.last + 1);
        if let Some(last) = part.samples.last_mut() {
            last.duration = (end - part.last).try_into().unwrap_or(u32::MAX);
        }
        let target = self.part_target.get_or_insert_with(|| {
            // The stream ended before a part was full.
            PartTarget::of((end - part.start) as f64, self.rate)
        });
        self.long_parts += u64::from(end - part.start > target.ticks);
        let duration = Ticks(end).duration(self.rate).saturating_sub(Ticks(part.start).duration(self.rate));
        let (samples, independent) = (part.samples.len(), part.samples.iter().any(|sample| sample.keyframe));
        let start = u64::try_from(part.start).unwrap_or(0);
        let mut decoded = part.start;
        if self.open.as_ref().is_some_and(|open| open.discontinuity && open.parts.is_empty()) {
            decoded = decode_when_shown(part.start..end, &mut part.samples);
        }
        let decoded = u64::try_from(decoded).unwrap_or(0);
        self.sequence = self.sequence.wrapping_add(1);
        let events = (std::mem::take(&mut self.events), self.rate);
        let body = fragment(self.sequence, decoded, part.wall, events, part.samples)?;
        self.end = end;
        if let Some(open) = &mut self.open {
            open.duration += duration;
            open.parts.push(Arc::new(Part { duration, independent, samples, start, body }));
            if open.parts.len() == 1 {
                self.independent &= independent;
            }
        }
        Ok(())
    }

    fn begin(&mut self, msn: u64, wall: WallTime, discontinuity: bool) {
        if let Some(first) = self.open.as_mut().filter(|_| self.window.is_empty() && !discontinuity) {
            // No player has seen its date, because playlists are served from the first complete segment on. The date is
            // known better now.
            let duration = i64::try_from(first.duration.as_micros()).unwrap_or(i64::MAX);
            first.program_date_time = wall.offset_micros(-duration);
        }
        self.list_open();
        self.open_start = self.end;
        self.open = Some(Segment {
            msn,
            program_date_time: wall,
            discontinuity,
            gap: false,
            init: self.init.clone(),
            duration: Duration::ZERO,
            parts: Vec::new(),
        });
    }

    fn list_open(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if open.parts.is_empty() {
            // The numbers of the renditions must stay in step.
            open.gap = true;
            open.duration = self.settings.segment;
        }
        self.list(open);
    }

    fn list(&mut self, segment: Segment) {
        self.window.push_back(Arc::new(segment));
        let mut listed: Duration = self.window.iter().map(|segment| segment.duration).sum();
        while let Some(oldest) = self.window.front().filter(|oldest| listed - oldest.duration >= self.settings.window) {
            listed -= oldest.duration;
            self.let_go_oldest();
        }
    }

    /// Removes segments older than the segment `msn`, as far as delta updates allow.
    pub(crate) fn let_go_before(&mut self, msn: u64) {
        let mut listed: Duration = self.window.iter().map(|segment| segment.duration).sum();
        while let Some(oldest) = self.window.front().filter(|oldest| oldest.msn < msn) {
            listed = listed.saturating_sub(oldest.duration);
            if listed < self.settings.skip_until() {
                return;
            }
            self.let_go_oldest();
        }
    }

    fn let_go_oldest(&mut self) {
        if let Some(oldest) = self.window.pop_front() {
            self.discontinuity_sequence += u64::from(oldest.discontinuity);
            self.has_let_go = true;
            self.evicted.push(oldest);
        }
    }
}

impl Grid {
    /// Returns whether the part from `start` ends at `due` rather than a frame of `expected` later.
    fn ends_part(self, start: i64, due: i64, expected: i64, target: PartTarget) -> bool {
        let frame = expected.max(1);
        let parts = (self.length.max(1) as u64).div_ceil(target.ticks.max(1) as u64) as i64;
        let step = (self.length / parts).max(1);
        let next = (start - self.origin + step / 2).div_euclid(step) + 1;
        let goal = self.origin + next * self.length / parts;
        // The part ends at the nearest frame, as cuts do, but an eighth of a frame later, so that rounding does not
        // leave that frame alone.
        due >= goal - frame / 2 + frame / 8
    }
}

impl PartTarget {
    /// Chooses the number of frames that an evenly divided segment needs, once enough of them have come.
    fn choose(settings: &Settings, filled: i64, frames: i64, rate: ClockRate) -> Option<Self> {
        let count = (settings.segment.as_secs_f64() / settings.part.as_secs_f64()).round().max(1.0);
        let wished = rate.ticks(settings.segment).0 as f64 / count;
        let mean = filled as f64 / frames as f64;
        if filled as f64 + 2.0 * mean <= wished {
            return None;
        }
        // A tenth of a frame of grace: ten frames at 30 fps last 333.3 ms.
        let below = (wished / mean + 0.1).floor().max(1.0);
        // Parts of one frame more or less, to come out even, unless one less is below the 85 %.
        let uneven = wished / mean - below > 0.1;
        let whole = if uneven && below >= 0.85 * (below + 1.0) { below + 1.0 } else { below };
        Some(Self::of(whole * mean, rate))
    }

    /// Makes a part target of `ticks`, with half a millisecond of reserve for timestamps that were rounded to
    /// milliseconds.
    fn of(ticks: f64, rate: ClockRate) -> Self {
        let millis = (ticks * 1000.0 / f64::from(rate.hz()) + 0.5).ceil().clamp(1.0, 60_000.0) as u32;
        Self { millis, ticks: millis_to_ticks(millis, rate) }
    }
}

fn millis_to_ticks(millis: u32, rate: ClockRate) -> i64 {
    i64::from(millis) * i64::from(rate.hz()) / 1000
}

/// Returns 85 % of the part target (rfc8216bis 4.4.4.9).
fn least(target: i64) -> i64 {
    (target * 85 + 99) / 100
}
