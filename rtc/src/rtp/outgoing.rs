//! The packets of one track, which its viewers share: numbered once, kept for viewers who start and for repairs.
//!
//! Keeps the current group from its keyframe, so that a viewer can start at once, and all packets younger than
//! [`Limits::repair`]. Both are bounded in bytes: a group that outgrows [`Limits::group_bytes`] is no longer offered,
//! and viewers who come then wait for the next keyframe.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onmic_media::{ClockRate, Codec, Frame, MediaKind, Ticks, WallTime};

use super::fec::{Parities, Protection};
use super::packetize::{Packetizer, Payloads};
use super::red::{Redundancy, Redundant};

/// The longest time between two statements of the capture time. Every keyframe states it too.
const CAPTURE_TIME_INTERVAL_MICROS: i64 = 1_000_000;
/// All viewers together cause at most one keyframe request in this time.
const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);

/// A source that can be asked has its keyframe here this long after the request: a round trip across an ocean, and some
/// frames.
const KEYFRAME_ANSWER: Duration = Duration::from_millis(600);
/// The wait for a keyframe of a source of H.264 or H.265 that has not been asked before: a round trip of 100 ms, and some frames. Not
/// every encoder answers, so viewers should not wait for long.
const KEYFRAME_ANSWER_UNKNOWN: Duration = Duration::from_millis(250);

/// The longest delay of video that waits for its audio: two frames at 25 per second (80 ms), and some more.
pub(super) const HOLD_MAX: Duration = Duration::from_millis(100);
/// The delay changes only if it is off by more than this, because each change bends the receiver's time a little. The
/// extension states steps of 10 ms.
const HOLD_TOLERANCE: Duration = Duration::from_millis(8);
/// Video does not wait for audio that is later by less than this. Low latency counts more, and a microphone's packets
/// of 20 ms are this much later than its video.
const IN_STEP: Duration = Duration::from_millis(25);
/// A receiver plays audio this long after its packets, which leave at even intervals ([`super::Pace`]), and shows video at
/// once. Measured with Chromium (docs/PERFORMANCE.md, "From RTMP's audio to a WHEP viewer").
const SOUND_BUFFER: Duration = Duration::from_millis(40);
/// The delay that a receiver may add by itself to keep audio and video in sync, if its audio buffer is longer. The buffer
/// is long when a session begins, and becomes shorter within seconds. Chromium did not take back what it had added by then.
const HOLD_ADJUSTMENT: Duration = Duration::from_millis(20);
/// The delay that a receiver may add by itself while frames are held back for repairs: the jitter of a network that loses
/// packets.
const JITTER_ADJUSTMENT: Duration = Duration::from_millis(100);
/// The newest frames that have repair packets (FEC). Those of older ones are forgotten, so that they take little memory. A viewer
/// who catches up goes without.
const PROTECTED: usize = 8;
/// A step of the timestamps by more than this means that the publisher was away.
const AWAY: Duration = Duration::from_millis(500);

/// The least and the greatest time for which the receiver should hold a frame, as the playout-delay extension has it:
/// 12 bits each, in 10 ms. Zero for both means "show it at once", and then a receiver does not keep audio and video in
/// sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutDelay {
    min: u16,
    max: u16,
}

impl PlayoutDelay {
    /// Returns the delay of video whose audio comes later by `late`.
    fn hold(late: Duration) -> Self {
        if late < IN_STEP {
            return Self::default();
        }
        let min = Self::units(late.min(HOLD_MAX) + SOUND_BUFFER);
        Self { min, max: min + Self::units(HOLD_ADJUSTMENT) }
    }

    /// Returns a duration in the units of the extension: 10 ms, 40.95 s at most.
    pub fn units(duration: Duration) -> u16 {
        const UNIT: u128 = 10;
        const MAX: u128 = 0xfff;
        ((duration.as_millis() + UNIT / 2) / UNIT).min(MAX) as u16
    }

    /// Returns this delay for a viewer that has to hold frames back by `hold` at least, in units: for repairs, or because it
    /// asked. The receiver may add [`JITTER_ADJUSTMENT`] by itself, for jitter.
    pub fn at_least(self, hold: u16) -> Self {
        if hold <= self.min {
            return self;
        }
        let max = self.max.max(hold + Self::units(JITTER_ADJUSTMENT));
        Self { min: hold, max: max.min(0xfff) }
    }

    /// Returns the value of the extension.
    pub fn bytes(self) -> [u8; 3] {
        let [a, b] = self.min.to_be_bytes();
        let [c, d] = self.max.to_be_bytes();
        [a << 4 | b >> 4, b << 4 | c, d]
    }
}

/// The bounds of the packets that are kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of a payload.
    pub max_payload: usize,
    /// The most bytes of the current group: 8 MB are 4 s at 16 Mbit/s.
    pub group_bytes: usize,
    /// The time for which a packet can be asked for again.
    pub repair: Duration,
    /// The most bytes that are kept for repairs alone.
    pub repair_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: super::MAX_PAYLOAD,
            group_bytes: 8 << 20,
            repair: Duration::from_millis(1500),
            repair_bytes: 8 << 20,
        }
    }
}

/// The packets of one frame.
#[derive(Debug)]
pub struct Packets {
    /// The position of the frame on the track, from 0.
    pub number: u64,
    /// The number of the first packet. The packets of the next frame follow without a gap.
    pub first_sequence: u64,
    /// The RTP timestamp without a viewer's offset.
    pub timestamp: u32,
    /// The presentation time on the track's clock.
    pub pts: Ticks,
    /// The time on the program clock at `pts`.
    pub wall: WallTime,
    /// The time when the frame reached this process.
    pub arrived: Instant,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Whether this is the keyframe that comes first after a pause of the publisher. Frames that had to wait come with
    /// it.
    pub resumes: bool,
    /// Whether all its packets state the capture time. It is all or none, because segments of one send must have one
    /// length.
    pub states_capture: bool,
    /// The time for which the receiver should hold the frame.
    pub playout_delay: PlayoutDelay,
    /// Whether all its packets state the playout delay, to every viewer. It is all or none.
    pub states_playout_delay: bool,
    is_video: bool,
    payloads: Payloads,
    /// The repair packets (FEC) of each level, made when the first viewer of the level asks.
    parities: [OnceCell<Parities>; Protection::ALL.len()],
    /// The packet with some of those before it. It is kept as long as the frame, because a packet that is sent again as it was
    /// must have the same bytes.
    redundant: OnceCell<Box<[OnceCell<Option<Redundant>>; Redundancy::ALL]>>,
}

/// One packet as all viewers share it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The frame it belongs to.
    pub frame: &'a Packets,
    /// The packet's number on the track.
    pub sequence: u64,
    /// Whether it is the last packet of a video frame.
    pub marker: bool,
    /// The bytes after the header.
    pub payload: &'a [u8],
    /// Whether the payload repeats earlier packets (RFC 2198).
    pub is_redundant: bool,
}

impl Packets {
    /// Returns the number of packets.
    pub fn len(&self) -> usize {
        self.payloads.len()
    }

    /// Returns whether there are no packets. Such a frame is not kept.
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Returns the number of bytes of the payloads.
    pub fn bytes(&self) -> usize {
        self.payloads.bytes()
    }

    /// Returns what keeping them costs, in bytes, as a frame counts.
    fn cost(&self) -> usize {
        self.bytes() + Frame::OVERHEAD
    }

    /// Returns the packets in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Packet<'_>> {
        self.payloads.iter().enumerate().map(|(index, payload)| self.packet(index, payload))
    }

    pub(super) fn get(&self, index: usize) -> Option<Packet<'_>> {
        Some(self.packet(index, self.payloads.get(index)?))
    }

    fn packet<'a>(&'a self, index: usize, payload: &'a [u8]) -> Packet<'a> {
        let marker = self.is_video && index + 1 == self.payloads.len();
        let sequence = self.first_sequence + index as u64;
        Packet { frame: self, sequence, marker, payload, is_redundant: false }
    }
}

/// The counters of a track's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutgoingCounters {
    /// Frames that were made into packets.
    pub frames: u64,
    /// Packets that were made.
    pub packets: u64,
    /// Frames that were overwritten in the track's ring before they were read.
    pub skipped: u64,
    /// Frames of another codec than the track began with.
    pub foreign: u64,
    /// Frames that gave no packets.
    pub empty: u64,
    /// Groups that became too large to start viewers from.
    pub overgrown_groups: u64,
    /// Keyframes that the source was asked for.
    pub keyframe_requests: u64,
}

/// The packets of one track.
#[derive(Debug)]
pub struct Outgoing {
    packetizer: Packetizer,
    limits: Limits,
    frames: VecDeque<Packets>,
    next_number: u64,
    next_sequence: u64,
    bytes: usize,
    group: Option<Group>,
    capture_stated: Option<WallTime>,
    held_for: Duration,
    playout_delay_stated: PlayoutDelay,
    keyframe_requested: Option<Instant>,
    /// Whether the source can be asked for a keyframe.
    takes_requests: bool,
    /// Whether the last request for a keyframe was answered in time. `None` before that is known.
    answers: Option<bool>,
    /// Whether the last request still waits for its answer.
    awaits_answer: bool,
    /// Whether frames were skipped since the newest one. Then a gap before the next frame is not the publisher's.
    has_skipped: bool,
    counters: OutgoingCounters,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first: u64,
    bytes: usize,
}

impl Outgoing {
    /// Makes packets for a track of `codec`. `None` for a codec that WebRTC does not have.
    pub fn new(codec: Codec, limits: Limits) -> Option<Self> {
        Some(Self {
            packetizer: Packetizer::new(codec, limits.max_payload)?,
            limits,
            frames: VecDeque::new(),
            next_number: 0,
            next_sequence: 0,
            bytes: 0,
            group: None,
            capture_stated: None,
            held_for: Duration::ZERO,
            playout_delay_stated: PlayoutDelay::default(),
            keyframe_requested: None,
            takes_requests: true,
            answers: None,
            awaits_answer: false,
            has_skipped: false,
            counters: OutgoingCounters::default(),
        })
    }

    /// Returns the codec of the track.
    pub fn codec(&self) -> Codec {
        self.packetizer.codec()
    }

    /// Returns the clock rate of RTP timestamps.
    pub fn clock_rate(&self) -> ClockRate {
        match self.codec().kind() {
            MediaKind::Video | MediaKind::Data => ClockRate::VIDEO,
            MediaKind::Audio => ClockRate::OPUS,
        }
    }

    /// Makes packets of the next frame, and evicts frames that are too old. `None` if the frame gave no packets.
    pub fn push(&mut self, frame: &Frame) -> Option<&Packets> {
        if frame.parameters.codec() != self.codec() {
            self.counters.foreign += 1;
            return None;
        }
        let payloads = self.packetizer.packetize(frame);
        if payloads.is_empty() {
            self.counters.empty += 1;
            return None;
        }
        let is_video = self.codec().kind() == MediaKind::Video;
        let states_capture = self.states_capture(frame, is_video);
        let playout_delay = PlayoutDelay::hold(self.held_for);
        let is_new = std::mem::replace(&mut self.playout_delay_stated, playout_delay) != playout_delay;
        let skipped = std::mem::take(&mut self.has_skipped);
        let away = self.clock_rate().ticks(AWAY);
        let packets = Packets {
            number: self.next_number,
            first_sequence: self.next_sequence,
            timestamp: frame.pts.rescale(frame.parameters.clock_rate(), self.clock_rate()).0 as u32,
            pts: frame.pts,
            wall: frame.wall,
            arrived: frame.arrived,
            keyframe: frame.keyframe,
            resumes: frame.keyframe && !skipped && self.newest().is_some_and(|newest| frame.pts - newest.pts > away),
            states_capture,
            playout_delay,
            states_playout_delay: is_video && (states_capture || is_new),
            is_video,
            payloads,
            parities: Default::default(),
            redundant: Default::default(),
        };
        self.next_number += 1;
        self.next_sequence += packets.len() as u64;
        self.bytes += packets.cost();
        self.counters.frames += 1;
        self.counters.packets += packets.len() as u64;
        if is_video {
            self.note_answer(&packets);
            self.follow_group(&packets);
        }
        self.frames.push_back(packets);
        if let Some(old) = self.frames.len().checked_sub(PROTECTED + 1) {
            self.frames[old].parities = Default::default();
        }
        self.evict(frame.arrived);
        self.frames.back()
    }

    /// Returns the repair packets (FEC) of one of the newest frames of video, without the headers of a viewer.
    pub fn parities<'o>(&self, packets: &'o Packets, protection: Protection) -> Option<&'o Parities> {
        let is_new = packets.number + PROTECTED as u64 >= self.next_number;
        let cell = packets.parities.get(protection.index()?).filter(|_| is_new && packets.is_video)?;
        Some(cell.get_or_init(|| Parities::new(packets.payloads.iter(), protection)))
    }

    /// Returns a packet of audio together with packets before it. `None` if there are none that it could repeat.
    pub fn redundant<'o>(&self, packets: &'o Packets, redundancy: Redundancy) -> Option<&'o Redundant> {
        let index = redundancy.index().filter(|_| !packets.is_video && packets.len() == 1)?;
        let made = packets.redundant.get_or_init(Box::default)[index].get_or_init(|| {
            let earlier = redundancy.distances().map_while(|back| self.frame(packets.number.checked_sub(back)?));
            let earlier = earlier.map_while(|frame| Some((frame.timestamp, frame.payloads.get(0)?)));
            Redundant::new((packets.timestamp, packets.payloads.get(0)?), earlier, self.limits.max_payload)
        });
        made.as_ref()
    }

    /// Notes that the reader of the track was too slow and lost this many frames. Its next frame is a keyframe.
    pub fn skipped(&mut self, frames: u64) {
        self.counters.skipped += frames;
        self.group = None; // The group has a gap now.
        self.has_skipped = true;
    }

    /// Notes that the audio of this video comes later by `late`. Viewers are told to delay frames from the next one on.
    pub fn hold_for_sound(&mut self, late: Duration) {
        if late.min(HOLD_MAX).abs_diff(self.held_for) > HOLD_TOLERANCE {
            self.held_for = late.min(HOLD_MAX);
        }
    }

    /// Returns the number of the frame that will be pushed next.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Returns the number of the oldest frame kept.
    pub fn oldest_number(&self) -> u64 {
        self.next_number - self.frames.len() as u64
    }

    /// Returns the number of the keyframe that begins the current group, if all frames of the group are kept.
    pub fn group(&self) -> Option<u64> {
        self.group.map(|group| group.first)
    }

    /// Returns the frame with this number, if it is kept.
    pub fn frame(&self, number: u64) -> Option<&Packets> {
        let index = number.checked_sub(self.oldest_number())?;
        self.frames.get(usize::try_from(index).ok()?)
    }

    /// Returns the newest frame.
    pub fn newest(&self) -> Option<&Packets> {
        self.frames.back()
    }

    /// Returns the packet with this number, if it is kept.
    pub fn packet(&self, sequence: u64) -> Option<Packet<'_>> {
        let after = self.frames.partition_point(|frame| frame.first_sequence <= sequence);
        let frame = self.frames.get(after.checked_sub(1)?)?;
        frame.get(usize::try_from(sequence - frame.first_sequence).ok()?)
    }

    /// Notes that a viewer needs a keyframe, and returns whether the source should be asked now. It should not if a
    /// request or a keyframe came just before.
    pub fn want_keyframe(&mut self, now: Instant) -> bool {
        let near = |then: Instant| now.saturating_duration_since(then) < KEYFRAME_REQUEST_INTERVAL;
        let requested = self.keyframe_requested.is_some_and(near);
        let passed = self.group().and_then(|group| self.frame(group)).is_some_and(|frame| near(frame.arrived));
        if requested || passed {
            return false;
        }
        self.keyframe_requested = Some(now);
        self.awaits_answer = true;
        self.counters.keyframe_requests += 1;
        true
    }

    /// States whether the source can be asked for a keyframe. RTMP has no such request.
    pub fn set_takes_requests(&mut self, takes: bool) {
        self.takes_requests = takes;
    }

    /// Returns how far the current group reaches into the past: from its keyframe to the newest frame.
    pub fn past(&self) -> Duration {
        let keyframe = self.group().and_then(|group| self.frame(group));
        let (Some(keyframe), Some(newest)) = (keyframe, self.newest()) else { return Duration::ZERO };
        (newest.pts - keyframe.pts).duration(self.clock_rate())
    }

    /// Returns how long the keyframe of a request is worth waiting for. Until a request has shown it, sources of the
    /// codecs that come by WebRTC are expected to answer.
    pub fn answer_patience(&self) -> Duration {
        let by_webrtc = || matches!(self.codec(), Codec::Vp8 | Codec::Vp9 | Codec::Av1).then_some(true);
        let never = (!self.takes_requests).then_some(false);
        match never.or(self.answers).or_else(by_webrtc) {
            Some(true) => KEYFRAME_ANSWER,
            Some(false) => Duration::ZERO,
            None => KEYFRAME_ANSWER_UNKNOWN,
        }
    }

    /// Returns what the frames that are kept cost, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the counters.
    pub fn counters(&self) -> OutgoingCounters {
        self.counters
    }

    fn states_capture(&mut self, frame: &Frame, is_video: bool) -> bool {
        let due = |stated| frame.wall.micros_since(stated).abs() >= CAPTURE_TIME_INTERVAL_MICROS;
        let states = (is_video && frame.keyframe) || self.capture_stated.is_none_or(due);
        if states {
            self.capture_stated = Some(frame.wall);
        }
        states
    }

    fn note_answer(&mut self, packets: &Packets) {
        let Some(requested) = self.keyframe_requested.filter(|_| self.awaits_answer) else { return };
        let in_time = packets.arrived.saturating_duration_since(requested) <= KEYFRAME_ANSWER;
        if packets.keyframe || !in_time {
            self.answers = Some(packets.keyframe && in_time);
            self.awaits_answer = false;
        }
    }

    fn follow_group(&mut self, packets: &Packets) {
        if packets.keyframe {
            self.group = Some(Group { first: packets.number, bytes: 0 });
        }
        if let Some(group) = &mut self.group {
            group.bytes += packets.cost();
            if group.bytes > self.limits.group_bytes {
                self.group = None;
                self.counters.overgrown_groups += 1;
            }
        }
    }

    fn evict(&mut self, now: Instant) {
        let most = self.limits.repair_bytes + self.group.map_or(0, |group| group.bytes);
        while self.frames.len() > 1 {
            let Some(oldest) = self.frames.front() else { return };
            let in_group = self.group.is_some_and(|group| oldest.number >= group.first);
            let young = now.saturating_duration_since(oldest.arrived) <= self.limits.repair;
            if in_group || (young && self.bytes <= most) {
                return;
            }
            self.bytes -= oldest.cost();
            self.frames.pop_front();
        }
    }
}
