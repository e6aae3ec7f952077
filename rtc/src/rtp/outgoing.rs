//! What viewers of one track share: its frames as packets, numbered once, kept for those who start and for repairs.
//!
//! Keeps the current group from its keyframe, so that a viewer can start at once, and everything younger than
//! [`Limits::repair`]. Both bounded in bytes: a group that outgrows [`Limits::group_bytes`] is not offered any more,
//! and viewers who come then wait for the next keyframe.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onmic_media::{ClockRate, Codec, Frame, MediaKind, Ticks, WallTime};

use super::packetize::{Packetizer, Payloads};

/// The capture time is stated with every keyframe and at least this often.
const CAPTURE_TIME_INTERVAL_MICROS: i64 = 1_000_000;
/// Viewers together cause at most one keyframe in this time.
const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);

/// The most a picture is held for sound: the wait for two pictures at 25 per second, and some.
const HOLD_MAX: Duration = Duration::from_millis(100);
/// The hold is changed when it is off by more: each change bends the receiver's time a little.
const HOLD_TOLERANCE: Duration = Duration::from_millis(15);
/// Sound that is later by less is not waited for: closeness counts more, and this is what a microphone's packets of 20 ms
/// are later than its pictures.
const IN_STEP: Duration = Duration::from_millis(25);
/// A receiver plays sound so much after the latest of its packets; pictures it shows at once. Measured with Chromium.
const SOUND_BUFFER: Duration = Duration::from_millis(40);
/// What a receiver that compares sound and picture itself may add, should its buffer for sound be longer.
const HOLD_ADJUSTMENT: Duration = Duration::from_millis(50);
/// A step of the timestamps by more is a publisher who was away.
const AWAY: Duration = Duration::from_millis(500);

/// How long the receiver should hold a picture, at least and at most, as the playout-delay extension has it: 12 bits each,
/// in 10 ms. Zero for both is "show it at once", and a receiver that is told so does not keep sound and picture in step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutDelay {
    min: u16,
    max: u16,
}

impl PlayoutDelay {
    /// Held for sound that comes later by `late`.
    fn hold(late: Duration) -> Self {
        const UNIT: u128 = 10;
        let units = |duration: Duration| ((duration.as_millis() + UNIT / 2) / UNIT) as u16; // HOLD_MAX bounds it.
        if late < IN_STEP {
            return Self::default();
        }
        let min = units(late.min(HOLD_MAX) + SOUND_BUFFER);
        Self { min, max: min + units(HOLD_ADJUSTMENT) }
    }

    /// The extension's value.
    pub fn bytes(self) -> [u8; 3] {
        let [a, b] = self.min.to_be_bytes();
        let [c, d] = self.max.to_be_bytes();
        [a << 4 | b >> 4, b << 4 | c, d]
    }
}

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of a payload, in bytes.
    pub max_payload: usize,
    /// Of the current group: 8 MB are 4 s at 16 Mbit/s.
    pub group_bytes: usize,
    /// How long a packet can be asked for again.
    pub repair: Duration,
    /// Of what is kept for repairs alone.
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
    /// Position of the frame on the track, from 0.
    pub number: u64,
    /// Number of the first packet; those of the next frame follow without a gap.
    pub first_sequence: u64,
    /// RTP time without a viewer's offset.
    pub timestamp: u32,
    /// Presentation time on the track's clock.
    pub pts: Ticks,
    /// The program clock at `pts`.
    pub wall: WallTime,
    /// When the frame reached this process.
    pub arrived: Instant,
    /// Decoding can start here.
    pub keyframe: bool,
    /// The first after a time without any, and one to start with: what had to wait comes with it.
    pub resumes: bool,
    /// All its packets state the capture time. All or none: segments of one send must have one length.
    pub states_capture: bool,
    /// How long to hold it.
    pub playout_delay: PlayoutDelay,
    /// All its packets state it, whoever they go to. All or none.
    pub states_playout_delay: bool,
    is_video: bool,
    payloads: Payloads,
}

/// One packet as all viewers share it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The frame it belongs to.
    pub frame: &'a Packets,
    /// Its number on the track.
    pub sequence: u64,
    /// The last of a video frame.
    pub marker: bool,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Packets {
    /// How many.
    pub fn len(&self) -> usize {
        self.payloads.len()
    }

    /// Whether there are none; such a frame is not kept.
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Bytes of their payloads.
    pub fn bytes(&self) -> usize {
        self.payloads.bytes()
    }

    /// The packets in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Packet<'_>> {
        self.payloads.iter().enumerate().map(|(index, payload)| self.packet(index, payload))
    }

    fn get(&self, index: usize) -> Option<Packet<'_>> {
        Some(self.packet(index, self.payloads.get(index)?))
    }

    fn packet<'a>(&'a self, index: usize, payload: &'a [u8]) -> Packet<'a> {
        let marker = self.is_video && index + 1 == self.payloads.len();
        Packet { frame: self, sequence: self.first_sequence + index as u64, marker, payload }
    }
}

/// What was not sent, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutgoingCounters {
    /// Frames made into packets.
    pub frames: u64,
    /// Packets made.
    pub packets: u64,
    /// Frames that were overwritten in the track's ring before they were read.
    pub skipped: u64,
    /// Frames of another codec than the track began with.
    pub foreign: u64,
    /// Frames with nothing to send.
    pub empty: u64,
    /// Groups too large to start viewers from.
    pub overgrown_groups: u64,
    /// Keyframes asked of the source.
    pub keyframe_requests: u64,
}

/// See the module.
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
    /// Since the newest frame: what follows has a gap that is not the publisher's.
    has_skipped: bool,
    counters: OutgoingCounters,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first: u64,
    bytes: usize,
}

impl Outgoing {
    /// For a track of `codec`; `None` for AAC.
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
            has_skipped: false,
            counters: OutgoingCounters::default(),
        })
    }

    /// The codec it is for.
    pub fn codec(&self) -> Codec {
        self.packetizer.codec()
    }

    /// Ticks per second of RTP timestamps.
    pub fn clock_rate(&self) -> ClockRate {
        match self.codec().kind() {
            MediaKind::Video | MediaKind::Data => ClockRate::VIDEO,
            MediaKind::Audio => ClockRate::OPUS,
        }
    }

    /// Makes packets of the next frame and forgets what is too old. `None` if the frame gave none.
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
        };
        self.next_number += 1;
        self.next_sequence += packets.len() as u64;
        self.bytes += packets.bytes();
        self.counters.frames += 1;
        self.counters.packets += packets.len() as u64;
        if is_video {
            self.follow_group(&packets);
        }
        self.frames.push_back(packets);
        self.evict(frame.arrived);
        self.frames.back()
    }

    /// The reader of the track was too slow and lost so many frames; its next is a keyframe.
    pub fn skipped(&mut self, frames: u64) {
        self.counters.skipped += frames;
        self.group = None; // It has a hole now.
        self.has_skipped = true;
    }

    /// The sound that belongs to these pictures comes so much later than they do. They are held for it, from the next on.
    pub fn hold_for_sound(&mut self, late: Duration) {
        if late.min(HOLD_MAX).abs_diff(self.held_for) > HOLD_TOLERANCE {
            self.held_for = late.min(HOLD_MAX);
        }
    }

    /// Number of the frame that will be pushed next.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Number of the oldest frame kept.
    pub fn oldest_number(&self) -> u64 {
        self.next_number - self.frames.len() as u64
    }

    /// Number of the keyframe that starts the current group, if all of the group is here.
    pub fn group(&self) -> Option<u64> {
        self.group.map(|group| group.first)
    }

    /// The frame with this number, if it is kept.
    pub fn frame(&self, number: u64) -> Option<&Packets> {
        let index = number.checked_sub(self.oldest_number())?;
        self.frames.get(usize::try_from(index).ok()?)
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<&Packets> {
        self.frames.back()
    }

    /// The packet with this number, if it is kept.
    pub fn packet(&self, sequence: u64) -> Option<Packet<'_>> {
        let after = self.frames.partition_point(|frame| frame.first_sequence <= sequence);
        let frame = self.frames.get(after.checked_sub(1)?)?;
        frame.get(usize::try_from(sequence - frame.first_sequence).ok()?)
    }

    /// A viewer needs a keyframe. Whether the source should be asked now: requests close to another, or to a keyframe
    /// that just passed, are left out.
    pub fn want_keyframe(&mut self, now: Instant) -> bool {
        let near = |then: Instant| now.saturating_duration_since(then) < KEYFRAME_REQUEST_INTERVAL;
        let requested = self.keyframe_requested.is_some_and(near);
        let passed = self.group().and_then(|group| self.frame(group)).is_some_and(|frame| near(frame.arrived));
        if requested || passed {
            return false;
        }
        self.keyframe_requested = Some(now);
        self.counters.keyframe_requests += 1;
        true
    }

    /// Payload bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was sent and what was not.
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

    fn follow_group(&mut self, packets: &Packets) {
        if packets.keyframe {
            self.group = Some(Group { first: packets.number, bytes: 0 });
        }
        if let Some(group) = &mut self.group {
            group.bytes += packets.bytes();
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
            self.bytes -= oldest.bytes();
            self.frames.pop_front();
        }
    }
}
