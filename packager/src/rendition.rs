//! One rendition: the segments of one track, of which the newest still grows part by part.
//!
//! Invariants. Decoding times are continuous within a discontinuity: a part starts where the one before it ended. The
//! duration of a segment is the sum of its parts. All its segments are dated by one offset until a discontinuity. A part is never longer than the part target and at least 85 % of it,
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
//! **Frames that come slower than the part target.** A part is never longer than the target, and the target never changes:
//! Apple's player gives up for good when PART-HOLD-BACK does. Up to [`LAG_MICROS_MAX`] a part ends at its target and the
//! next one makes up for it. Beyond (a screen shared at one frame a second), no part can hold such a frame. Its segment
//! is then a **whole** one: listed when it is complete, without parts. A segment is never longer than the target duration
//! either. In both cases the last frame before the limit lasts in the media for as long as it is shown, so that players
//! have no hole, and the playlist has the next segment at its own date.

mod cut_back;
mod figures;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onmic_media::{ClockRate, DateOffset, Frame, MediaKind, Parameters, Ticks, TrackKey, WallTime};

use crate::division::{Grid, PartTarget, SAMPLES_MAX, least, millis_to_ticks};
use crate::error::PackagerError;
use crate::fragment::{Event, Sample, decode_when_shown, fragment};
use crate::init::init_section;
use crate::segment::{Init, Part, Segment};
use crate::settings::{PART_HOLD_BACK, Settings};
use crate::window::Window;

/// How far decoding times may trail behind the frames' own, for parts to make up for it.
const LAG_MICROS_MAX: i64 = 500_000;

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

/// A segment that a rendition has nothing for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    pub(crate) msn: u64,
    pub(crate) wall: WallTime,
    pub(crate) duration: Duration,
    /// What dates it, if a discontinuity begins it. All renditions have the same number of discontinuities.
    pub(crate) broken: Option<DateOffset>,
}

/// Holds the segments of one track, of which the newest is still open.
#[derive(Debug)]
pub struct Rendition {
    key: TrackKey,
    settings: Settings,
    rate: ClockRate,
    init: Arc<Init>,
    inits: u32,
    window: Window,
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
    next_part: u64,
    /// What its segments are dated by, and what they are dated by from the next discontinuity on.
    dates: DateOffset,
    next_dates: DateOffset,
    independent: bool,
    captions: Captions,
    /// Timed metadata for the next part.
    events: Vec<Event>,
    next_event: u32,
}

/// States whether the video has closed captions. An encoder that has some sends them with every frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Captions {
    #[default]
    Unknown,
    None,
    Seen,
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
            window: Window::default(),
            open: None,
            open_start: 0,
            grid: Grid { origin: 0, length: rate.ticks(settings.segment).0 },
            part: None,
            end: 0,
            resumed: None,
            part_target: None,
            sequence: 0,
            next_part: 0,
            dates: DateOffset::default(),
            next_dates: DateOffset::default(),
            independent: true,
            captions: Captions::default(),
            events: Vec::new(),
            next_event: 0,
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

    /// The place of the part that comes next, if its segment goes on.
    pub fn next(&self) -> Edge {
        match &self.open {
            Some(open) => Edge { msn: open.msn, part: open.listed().len() as u32 },
            None => Edge { msn: self.window.newest().map_or(FIRST_MSN, |last| last.msn + 1), part: 0 },
        }
    }

    /// The number of the part that comes next, which the preload hint names. It holds whichever segment that is in.
    pub fn next_part(&self) -> u64 {
        self.next_part
    }

    /// The newest part, where a whole segment counts as one; `None` before the first.
    pub fn newest(&self) -> Option<Edge> {
        let open = self.open.iter().filter(|open| !open.whole);
        let segments = open.chain(self.window.iter().rev().map(|segment| &**segment));
        let newest = segments.into_iter().find(|segment| !segment.parts.is_empty())?;
        Some(Edge { msn: newest.msn, part: newest.listed().len().saturating_sub(1) as u32 })
    }

    /// Whether frames come too slowly for the open segment to have parts.
    pub(crate) fn is_whole(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.whole)
    }

    /// Lists the open segment without parts, if none of them is listed. Returns whether that is so.
    pub(crate) fn make_whole(&mut self) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.parts.is_empty()) else { return self.is_whole() };
        open.whole = true;
        true
    }

    /// Whether no part can hold a frame that lasts for `interval`.
    pub(crate) fn is_slow(&self, interval: Option<i64>, expected: i64) -> bool {
        let lag = |target: PartTarget| interval.map_or(0, |interval| interval - target.ticks);
        self.part_target.is_some_and(|target| self.is_left_behind(lag(target), expected))
    }

    /// Whether the open part, or the next one, would have to be longer than its target if the newest frame lasted
    /// until `dts`.
    pub(crate) fn overruns(&mut self, dts: i64, expected: i64) -> bool {
        if self.open.as_ref().is_none_or(|open| open.whole) {
            return false;
        }
        if let Some(part) = self.part.as_ref().filter(|_| self.part_target.is_none()) {
            self.part_target =
                PartTarget::choose(&self.settings, dts - part.start, part.samples.len() as i64, self.rate)
                    .filter(|_| dts - part.last > self.rate.ticks(self.settings.segment).0 / 2);
        }
        let Some(target) = self.part_target else { return false };
        let start = self.part.as_ref().map_or(self.end, |part| part.start);
        self.is_left_behind(dts - start - target.ticks, expected)
    }

    /// Whether the parts that follow cannot make up for a part that ends `lag` too early. An eighth more than the target
    /// is made up for from time to time, because publishers round times and drift.
    fn is_left_behind(&self, lag: i64, expected: i64) -> bool {
        let slower = self.part_target.is_some_and(|target| expected > target.ticks + target.ticks / 8);
        lag > 0 && (slower || Ticks(lag).micros(self.rate) > LAG_MICROS_MAX)
    }

    /// How far the listed duration of the open segment falls behind `dts`, now that its last part has ended.
    pub(crate) fn unlisted_before(&self, dts: i64) -> Duration {
        let listed = self.open.as_ref().map_or(Duration::ZERO, |open| open.duration);
        Ticks(dts - self.open_start).duration(self.rate).saturating_sub(listed)
    }

    /// Sets the target duration, before any playlist has stated one.
    pub(crate) fn narrow(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Returns whether it holds parts back after a hole, until it has PART-HOLD-BACK of them, the distance that players
    /// keep. A player whose buffer ran dry jumps over the hole as soon as it sees a part after it. With a single part
    /// it would run dry again each time.
    pub fn is_gathering(&self) -> bool {
        let (Some(resumed), Some(target)) = (self.resumed, self.part_target) else { return false };
        self.end - resumed < target.ticks * i64::from(PART_HOLD_BACK)
    }

    /// Returns whether the newest part is a short one at the end of a segment. It is published with the part behind it: a
    /// player is still loading the part before. hls.js 1.7.4 then takes the segment for loaded, and stands still until the
    /// playlist lists its parts no longer, which is six seconds.
    pub fn ends_shortly(&self) -> bool {
        let begins = self.open.as_ref().is_some_and(|open| open.parts.is_empty() && !open.whole);
        let (Some(target), Some(last)) = (self.part_target, self.window.newest()) else { return false };
        let length = last.listed().last().filter(|_| last.parts.len() > 1).map(|part| part.duration);
        begins && length.is_some_and(|length| length * 2 < Duration::from_millis(target.millis.into()))
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

    /// Returns whether the video has no closed captions, as far as its frames have shown.
    pub fn is_without_captions(&self) -> bool {
        self.captions == Captions::None
    }

    /// Returns the value of EXT-X-DISCONTINUITY-SEQUENCE.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.window.discontinuity_sequence()
    }

    /// Returns the number of discontinuities before the newest part.
    pub fn discontinuities(&self) -> u64 {
        let open = self.open.as_ref().filter(|open| !open.listed().is_empty());
        let listed = self.window.iter().map(|segment| &**segment).chain(open);
        self.window.discontinuity_sequence() + listed.filter(|segment| segment.discontinuity).count() as u64
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
        self.window.take_evicted()
    }

    /// Returns the oldest listed segment, once the playlist has lost older ones.
    pub(crate) fn slid_to(&self) -> Option<u64> {
        self.window.slid_to()
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
            self.resumed = self.resumed.map(|resumed| Ticks(resumed).rescale(self.rate, rate).0);
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

    /// Begins after this many discontinuities of the stream, which it has not made itself. Players match segments of
    /// renditions by the number of discontinuities before them (rfc8216bis 6.2.4).
    pub(crate) fn begin_after(&mut self, discontinuities: u64) {
        self.window.begin_after(discontinuities);
    }

    /// Sets what its segments are dated by, from the next discontinuity on.
    pub(crate) fn redate(&mut self, dates: DateOffset) {
        self.next_dates = dates;
    }

    /// Returns the decoding time at which the open segment starts.
    pub(crate) fn open_start(&self) -> i64 {
        self.open_start
    }

    /// Returns how long the open segment is, with a frame of `expected` at its end.
    pub(crate) fn open_length(&self, expected: i64) -> Duration {
        let end = self.due(expected);
        self.open.as_ref().map_or(Duration::ZERO, |_| Ticks(end - self.open_start).duration(self.rate))
    }

    /// Notes that the open segment began with a cut at `origin`. If `continues`, the segment before it ended there, and
    /// the open one is expected to be as long, unless that was shorter than segments are.
    pub(crate) fn divide_from(&mut self, origin: i64, continues: bool) {
        let length = origin - self.grid.origin;
        let shortest = self.rate.ticks(self.settings.segment).0 * 9 / 10;
        if continues && (shortest..=self.rate.ticks(self.settings.longest()).0).contains(&length) {
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
        self.end_part(dts, expected)?;
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
        self.end_part(dts, expected)?;
        self.list_open();
        if *self.init.parameters != **parameters {
            self.adopt(parameters)?;
        }
        self.begin(msn, wall, true);
        Ok(())
    }

    /// Begins the open segment again with other parameters, without the frames that it has. Returns the decoding time at
    /// which it begins. `None` if it does not begin with a discontinuity, or a part of it is published.
    pub(crate) fn begin_again(&mut self, parameters: &Arc<Parameters>) -> Result<Option<i64>, PackagerError> {
        if self.open.as_ref().is_none_or(|open| !open.discontinuity || !open.parts.is_empty()) {
            return Ok(None);
        }
        self.part = None;
        self.end = self.open_start;
        self.grid.origin = Ticks(self.grid.origin).rescale(self.rate, parameters.clock_rate()).0;
        self.adopt(parameters)?;
        self.open_start = self.end;
        if let Some(open) = &mut self.open {
            open.init = self.init.clone();
        }
        Ok(Some(self.end))
    }

    /// Leaves a hole: the next frames are decoded from `dts` on. The open part ends where it is due.
    pub(crate) fn jump(&mut self, dts: i64, expected: i64) -> Result<(), PackagerError> {
        self.end_part_when_due(expected)?;
        self.note_hole(dts);
        self.end = self.end.max(dts);
        Ok(())
    }

    /// Remembers a hole that is longer than a part, because no player can play across it.
    pub(crate) fn note_hole(&mut self, dts: i64) {
        if self.part_target.is_some_and(|target| dts - self.end > target.ticks) {
            self.resumed = Some(dts);
        }
    }

    /// Lists a segment with nothing in it. No segment is listed as longer than the target duration allows.
    pub(crate) fn leave_out(&mut self, missed: Missed, expected: i64) -> Result<(), PackagerError> {
        self.close_segment(expected)?;
        self.dates = missed.broken.unwrap_or(self.dates);
        let gap = Segment {
            msn: missed.msn,
            program_date_time: self.dates.date(missed.wall),
            discontinuity: missed.broken.is_some(),
            gap: true,
            whole: false,
            init: self.init.clone(),
            duration: missed.duration.clamp(Duration::from_millis(1), self.settings.longest()),
            first_part: self.next_part,
            parts: Vec::new(),
        };
        self.list(gap);
        Ok(())
    }

    /// Ends the open part and segment.
    pub(crate) fn close_segment(&mut self, expected: i64) -> Result<(), PackagerError> {
        self.end_part_when_due(expected)?;
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
        if self.key.kind == MediaKind::Video && keyframe && self.captions != Captions::Seen {
            self.captions = match self.init.parameters.codec().has_captions(&payload) {
                Some(true) => Captions::Seen,
                Some(false) => Captions::None,
                None => Captions::Unknown,
            };
        }
        let is_whole = self.is_whole();
        let part = self.part.get_or_insert_with(|| OpenPart { start: at, last: at, wall, samples: Vec::new() });
        part.last = at;
        part.samples.push(Sample { duration: 0, composition: pts - at, keyframe, payload });
        if let (Some(target), Some(expected), false) = (self.part_target, expected, is_whole) {
            let due = (dts + expected).max(at + 1);
            let filled = due - part.start;
            let next_fits =
                filled + expected <= target.ticks && !self.grid.ends_part(part.start, due, expected, target);
            if !next_fits && (filled >= least(target.ticks) || filled >= target.ticks) {
                self.close_part(self.bounded_end(due))?;
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
        if self.open.as_ref().is_some_and(|open| open.whole) {
            return if full { self.end_part(at, expected.unwrap_or(1)) } else { Ok(()) };
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
            self.end_part(at, expected)?;
        }
        Ok(())
    }

    /// Ends the open part when its last frame is over, if that lasts for `expected`.
    pub(crate) fn end_part_when_due(&mut self, expected: i64) -> Result<(), PackagerError> {
        self.close_part(self.bounded_end(self.due(expected)))
    }

    /// Ends the open part before a frame at `dts`. Where the part ends too early for the next ones to make up for it, its
    /// last frame is shown until `dts` all the same, and the next part begins there.
    pub(crate) fn end_part(&mut self, dts: i64, expected: i64) -> Result<(), PackagerError> {
        if self.part.is_none() {
            return Ok(()); // The next frame is decoded where the part before it ended, and shown in time.
        }
        let end = self.bounded_end(dts);
        if !self.is_left_behind(dts - end, expected) {
            return self.close_part(end);
        }
        self.close_part_shown_until(end, dts)?;
        self.end = dts;
        Ok(())
    }

    /// The end of the open part if its last frame lasts until `wanted`: neither the part nor the segment is too long.
    fn bounded_end(&self, wanted: i64) -> i64 {
        let Some(part) = &self.part else { return wanted };
        let mut end = wanted.min(self.open_start + self.rate.ticks(self.settings.longest()).0);
        if let Some(target) = self.part_target.filter(|_| !self.is_whole()) {
            end = end.min(part.start + target.ticks);
        }
        end.max(part.last + 1)
    }

    fn close_part(&mut self, end: i64) -> Result<(), PackagerError> {
        self.close_part_shown_until(end, end)
    }

    /// Ends the open part at `end`, with a last frame that lasts until `shown_until`.
    fn close_part_shown_until(&mut self, end: i64, shown_until: i64) -> Result<(), PackagerError> {
        let Some(mut part) = self.part.take() else { return Ok(()) };
        let end = end.max(part.last + 1);
        if let Some(last) = part.samples.last_mut() {
            last.duration = (shown_until.max(end) - part.last).try_into().unwrap_or(u32::MAX);
        }
        // Everything ended before a part was full.
        self.part_target.get_or_insert_with(|| PartTarget::of((end - part.start) as f64, self.rate));
        let duration = Ticks(end).duration(self.rate).saturating_sub(Ticks(part.start).duration(self.rate));
        // A part that has its keyframe in the middle is not called independent: players would pass over what is before.
        let (samples, independent) = (part.samples.len(), part.samples.first().is_some_and(|first| first.keyframe));
        let start = u64::try_from(part.start).unwrap_or(0);
        let mut decoded = part.start;
        if self.open.as_ref().is_some_and(|open| open.discontinuity && open.parts.is_empty()) {
            decoded = decode_when_shown(part.start..shown_until.max(end), &mut part.samples);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let events = (std::mem::take(&mut self.events), self.rate);
        let body = fragment(self.sequence, decoded, self.dates.date(part.wall), events, part.samples)?;
        self.end = end;
        if let Some(open) = &mut self.open {
            open.duration += duration;
            open.parts.push(Arc::new(Part { duration, independent, samples, start, body }));
            self.next_part += u64::from(!open.whole);
            if open.parts.len() == 1 {
                self.independent &= independent;
            }
        }
        Ok(())
    }

    fn begin(&mut self, msn: u64, wall: WallTime, discontinuity: bool) {
        if let Some(first) = self.open.as_mut().filter(|_| self.window.is_empty() && !discontinuity) {
            // Nobody has seen its date: playlists are served from the first whole segment on. It knows better now.
            let micros = Ticks(self.end - self.open_start).micros(self.rate);
            first.program_date_time = self.dates.date(wall.offset_micros(-micros));
        }
        self.list_open();
        if discontinuity || self.window.is_empty() {
            self.dates = self.next_dates;
        }
        self.open_start = self.end;
        self.open = Some(Segment {
            msn,
            program_date_time: self.dates.date(wall),
            discontinuity,
            gap: false,
            whole: false,
            init: self.init.clone(),
            duration: Duration::ZERO,
            first_part: self.next_part,
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
        self.window.list(segment, &self.settings);
    }

    /// Removes segments older than the segment `msn`, as far as delta updates allow.
    pub(crate) fn let_go_before(&mut self, msn: u64) {
        self.window.let_go_before(msn, &self.settings);
    }
}
