//! One viewer on one track: its position, the headers of its packets, and the packets that it gets again.
//!
//! It holds no packets: they are shared, in [`Outgoing`]. A packet's header depends only on the packet and on choices
//! made before it was first sent. Therefore a repeat without a repair stream is the same bytes. Sealing other bytes
//! under the same sequence number would give the authentication key away.
//!
//! **How a viewer starts.** Video starts with the keyframe of the cached group and runs at [`CATCH_UP_SPEED`] times
//! real time, until it reaches the newest frame. If a new group begins meanwhile, the viewer goes there at once. Frames
//! that are sent like this get timestamps of the present ([`CatchUp`]). Audio is live from the first packet, with
//! nothing of the past. Old audio at five times its speed would fill the receiver's buffer. The receiver shortens that
//! buffer by time stretching, a few percent at a time, so the delay would stay for many seconds. Silence until the
//! video is live would be heard as a gap of up to a second. Live audio beside video that catches up has neither fault,
//! and both are in sync after a quarter of the backlog's duration. Until then the video has no sender report: with one,
//! the receiver would delay the live audio to match the late video.
//!
//! A viewer should not see the past. If the group is older than [`PAST_MAX`], the source is asked for a keyframe, and the
//! viewer waits for it as long as sources of this kind take ([`Outgoing::answer_patience`]). If none comes, the viewer
//! starts with the group and goes over to the keyframe once there is one. Of a source that cannot be asked, a viewer gets a
//! conversion with newer keyframes where one is possible ([`onmic_media::Track::starts_in_the_past`]).
//!
//! **What a viewer is told of dates.** Sender reports and abs-capture-time tell the receiver how timestamps run, so all
//! tracks of a session are dated by the offset that was in force when it began. If the system clock is set, a receiver
//! that was told would move its media. A session that begins afterwards has today's dates.
//!
//! **How a viewer goes over to another level.** The other track shows the same pictures at the same times, so the viewer goes on at a
//! keyframe of it, in the same stream (`switch`). Timestamps never go back: where they would, the viewer catches up as above.
//!
//! **How a viewer goes on when the publisher was away.** All frames that an encoder took in while it connected come at
//! once. Played from the first packet, audio would be late by their duration for many seconds, and video frames would
//! come faster than their timestamps say. So the viewer waits for the frames of the first [`COLLECT`], and then starts
//! as above.

mod budget;
mod guard;
mod hold;
mod repair;
mod resend;
mod span;
mod switch;

use std::time::{Duration, Instant};

use onmic_media::name::PLAYOUT_DELAY_MAX_MS;
use onmic_media::track::PAST_MAX;
use onmic_media::{AvSync, ClockRate, DateOffset, MediaKind, Ticks, WallTime};

use self::budget::Budget;
use self::guard::Guard;
pub use self::guard::{FecConfig, GuardConfig, Guarded};
use self::hold::Hold;
use self::repair::Repairs;
use self::span::{CatchUp, LEVEL, Span};
pub use self::switch::Stores;
use super::feedback::ReceptionBlock;
use super::outgoing::{Outgoing, Packet, Packets, PlayoutDelay};
use super::packet::{ExtensionIds, HeaderWriter, Mid};
use super::report;

pub use self::repair::RepairCounters;
pub use self::resend::{RepairScratch, Repaired};

/// Cached frames go out at this multiple of real time. Measurements show that it is fast enough to be live within a
/// second, and slow enough to lose nothing at a bottleneck of eight times the bitrate.
pub const CATCH_UP_SPEED: u32 = 5;
/// The size of a header buffer. The longest header has 12 fixed bytes, 4 of extension header, and 17 + 3 + 4 + 9 of
/// extensions, padded.
pub const HEADER_MAX: usize = 64;
/// A sequence number starts below this, so that a receiver that misses the first packets guesses the rollover right.
const SEQUENCE_START: u16 = 1 << 15;
/// A report shows a round trip of twice the mean and this many microseconds at most. One report from a receiver that stood still for
/// seconds made the round trip 0.7 s.
const RTT_STEP: u32 = 50_000;
/// The interval of sender reports, per track.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A peer that asks for a keyframe this long after its start gets the cached group once more, and again after two,
/// four, eight and sixteen times as long. Its keyframe was lost where no repair helps: a receiver asks for nothing
/// before the first packet that it got, and it gets none while the last DTLS flight is lost or late. Chromium asks
/// after 200 ms.
const START_AGAIN: Duration = Duration::from_millis(250);
/// The most times that a viewer is started again. After that it waits for the next keyframe as all others do, because
/// the path does not carry the stream.
const STARTS_AGAIN: u8 = 5;
/// The number of spans of sequence numbers that are remembered for repairs. A new span begins where a viewer skipped
/// frames.
const SPANS: usize = 3;

/// After this long, all frames that waited in an encoder and on its way have arrived.
pub const COLLECT: Duration = Duration::from_millis(100);

/// The way in which a viewer gets lost packets again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend {
    /// Lost packets are not sent again.
    Never,
    /// The same packet is sent once more, for peers without a repair stream. It has no transport-cc, because that
    /// number would differ.
    AsSent,
    /// The packet is sent in a stream of its own (RFC 4588).
    Repair {
        /// The SSRC of the repair stream.
        ssrc: u32,
        /// The payload type of the repair stream.
        payload_type: u8,
        /// The first sequence number of the repair stream, taken modulo 32768.
        sequence: u16,
    },
}

/// The negotiated values of one track of one viewer.
#[derive(Clone, Copy, Debug)]
pub struct SenderConfig {
    /// The synchronisation source, which no other track of this viewer uses.
    pub ssrc: u32,
    /// The payload type.
    pub payload_type: u8,
    /// The ids of the header extensions.
    pub extensions: ExtensionIds,
    /// The `mid` of the media section.
    pub mid: Mid,
    /// The way in which lost packets are sent again.
    pub resend: Resend,
    /// The first sequence number: random, taken modulo 32768.
    pub sequence: u16,
    /// The random offset that is added to every timestamp.
    pub timestamp: u32,
    /// Whether video waits for audio that comes later.
    pub sync: AvSync,
    /// The forms of redundancy that the peer takes.
    pub guard: GuardConfig,
}

/// The frame that [`Sender::start`] begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The next frame, whatever it is. Audio begins like this.
    Live,
    /// The keyframe of the cached group.
    Group {
        /// The number of frames in the group so far.
        frames: u64,
    },
    /// The keyframe of the cached group, which is old: a newer one should be asked for.
    OldGroup {
        /// The number of frames in the group so far.
        frames: u64,
    },
    /// The next keyframe, which should be asked for.
    NextKeyframe,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    WaitingForKeyframe,
    CatchingUp {
        began: Instant,
        origin: Ticks,
    },
    Live,
    /// The source was asked for a keyframe. If none comes until this time, the old group is the start.
    Asking {
        until: Instant,
    },
    /// The publisher is back. The first frames are collected until this time.
    Collecting {
        until: Instant,
    },
    /// The viewer gets no frames for now.
    Paused,
}

/// The counters of one viewer's track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderCounters {
    /// Frames that were passed over because the viewer or its thread was too slow.
    pub skipped_frames: u32,
    /// The number of times that the viewer was started again with the cached group.
    pub started_again: u8,
}

/// One viewer on one track.
#[derive(Debug)]
pub struct Sender {
    ssrc: u32,
    timestamp_offset: u32,
    extensions: ExtensionIds,
    mid: Mid,
    payload_type: u8,
    sync: AvSync,
    /// The least delay of playout, in ms.
    floor_ms: u16,
    is_video: bool,
    phase: Phase,
    /// When it was started first.
    started: Option<Instant>,
    /// The number of its first packet on the wire.
    first: u16,
    /// The number of the frame to send next.
    next_frame: u64,
    /// The track's number of the packet after the last frame that was polled.
    next_shared: u64,
    /// The spans, newest last. The first `SPANS - span_count` are unused.
    spans: [Span; SPANS],
    span_count: u8,
    /// The timestamps of the span that the next frame begins.
    starting: Option<CatchUp>,
    /// The `rebase` of spans that begin from now on.
    rebase: u32,
    /// Counts the tracks that it has watched. Spans from now on are of this one.
    generation: u8,
    /// The timestamp of the last frame, without the viewer's offset.
    reached: Option<u32>,
    /// Packets from this number on the wire on go without playout-delay, because the receiver has it.
    playout_delay_until: u64,
    packets: u32,
    octets: u32,
    last: Option<(WallTime, u32)>,
    dates: DateOffset,
    next_report: Option<Instant>,
    /// The smoothed round trip and its mean deviation, in microseconds.
    rtt_micros: Option<(u32, u32)>,
    repairs: Option<Box<Repairs>>,
    /// The delay for repairs, once there was one.
    hold: Option<Box<Hold>>,
    guard: Option<Box<Guard>>,
    /// What may be sent beside the stream. It is allocated with the first loss.
    budget: Option<Box<Budget>>,
    counters: SenderCounters,
}

impl Sender {
    /// Makes a viewer of the track behind `outgoing`. It has not started.
    pub fn new(config: SenderConfig, outgoing: &Outgoing) -> Self {
        let mut extensions = config.extensions.one_byte();
        if config.resend == Resend::AsSent {
            extensions.transport_cc = 0;
        }
        let first = u64::from(config.sequence % SEQUENCE_START);
        let mut spans = [Span::default(); SPANS];
        spans[SPANS - 1].viewer = first;
        Self {
            ssrc: config.ssrc,
            timestamp_offset: config.timestamp,
            extensions,
            mid: config.mid,
            payload_type: config.payload_type & 0x7f,
            sync: config.sync,
            floor_ms: 0,
            is_video: outgoing.codec().kind() == MediaKind::Video,
            phase: Phase::WaitingForKeyframe,
            started: None,
            first: first as u16,
            next_frame: outgoing.next_number(),
            next_shared: 0,
            spans,
            span_count: 0,
            starting: None,
            rebase: 0,
            generation: 0,
            reached: None,
            playout_delay_until: u64::MAX,
            packets: 0,
            octets: 0,
            last: None,
            dates: DateOffset::default(),
            next_report: None,
            rtt_micros: None,
            repairs: Repairs::new(config.resend),
            hold: None,
            guard: Guard::new(config.guard),
            budget: None,
            counters: SenderCounters::default(),
        }
    }

    /// States dates by `offset`, in reports and in abs-capture-time. Without this call it states the node's line.
    pub fn dated_by(self, offset: DateOffset) -> Self {
        Self { dates: offset, ..self }
    }

    /// Tells the receiver to play at least this many ms behind, up to [`PLAYOUT_DELAY_MAX_MS`].
    pub fn delayed_by(self, floor_ms: u16) -> Self {
        Self { floor_ms: floor_ms.min(PLAYOUT_DELAY_MAX_MS), ..self }
    }

    /// Begins to send. Call it once the peer is connected.
    pub fn start(&mut self, outgoing: &Outgoing, now: Instant) -> Start {
        self.started.get_or_insert(now);
        self.next_frame = outgoing.next_number();
        if !self.is_video {
            self.phase = Phase::Live;
            return Start::Live;
        }
        let patience = outgoing.answer_patience();
        if outgoing.past() > PAST_MAX && !patience.is_zero() {
            self.starting = None;
            self.phase = Phase::Asking { until: now + patience };
            return Start::NextKeyframe;
        }
        self.start_with_group(outgoing, now)
    }

    fn start_with_group(&mut self, outgoing: &Outgoing, now: Instant) -> Start {
        let Some(keyframe) = outgoing.group().and_then(|group| outgoing.frame(group)) else {
            self.starting = None;
            self.phase = Phase::WaitingForKeyframe;
            return Start::NextKeyframe;
        };
        self.phase = Phase::CatchingUp { began: now, origin: keyframe.pts };
        let frames = outgoing.next_number() - keyframe.number;
        let present = outgoing.newest().map_or(keyframe.pts, |newest| newest.pts) - ClockRate::VIDEO.ticks(LEVEL);
        self.starting = Some(CatchUp { origin: keyframe.pts, backlog: present - keyframe.pts });
        self.next_frame = keyframe.number;
        if outgoing.past() > PAST_MAX { Start::OldGroup { frames } } else { Start::Group { frames } }
    }

    /// Handles the peer's request for a keyframe. In its first seconds the peer may have lost the keyframe that it was
    /// started with, and the source may be unable to send another, so the peer is started again. Returns whether it
    /// was.
    pub fn keyframe_wanted(&mut self, outgoing: &Outgoing, now: Instant) -> bool {
        let again = self.counters.started_again;
        let wait = START_AGAIN * (1 << again.min(STARTS_AGAIN));
        let early = self.started.is_none_or(|started| now < started + wait) || self.is_paused();
        if early || again == STARTS_AGAIN || !self.is_video || outgoing.group().is_none() {
            return false;
        }
        self.counters.started_again += 1;
        self.start(outgoing, now);
        true
    }

    /// Returns the next frame to send now, with all its packets. Call it until `None`, after each push and at
    /// [`Sender::poll_timeout`].
    pub fn poll_frame<'o>(&mut self, outgoing: &'o Outgoing, now: Instant) -> Option<&'o Packets> {
        if self.is_paused() {
            return None;
        }
        self.follow(outgoing);
        let frame = loop {
            match self.phase {
                Phase::Collecting { until } if now < until => return None,
                Phase::Collecting { .. } => self.resume(outgoing, now),
                Phase::Asking { until } if now >= until => {
                    self.start_with_group(outgoing, now);
                }
                _ => {}
            }
            let frame = outgoing.frame(self.next_frame)?;
            if frame.resumes && self.is_live() {
                self.phase = Phase::Collecting { until: now + COLLECT };
                continue;
            }
            if !self.waits_for_keyframe() || frame.keyframe {
                break frame;
            }
            self.next_frame += 1;
            self.counters.skipped_frames += u32::from(self.packets > 0);
        };
        if self.due(frame).is_some_and(|due| due > now) {
            return None;
        }
        self.next_frame = frame.number + 1;
        let is_newest = self.next_frame == outgoing.next_number();
        if is_newest || self.waits_for_keyframe() {
            self.phase = Phase::Live;
        }
        let sequence = self.continue_at(frame);
        if let Some(hold) = &mut self.hold {
            hold.begin_frame(sequence);
        }
        Some(frame)
    }

    /// Returns the time at which [`Sender::poll_frame`] may return a frame without a push: while the viewer catches up
    /// or collects.
    pub fn poll_timeout(&self, outgoing: &Outgoing) -> Option<Instant> {
        match self.phase {
            Phase::Collecting { until } | Phase::Asking { until } => Some(until),
            Phase::Paused => None,
            _ => self.due(outgoing.frame(self.next_frame)?),
        }
    }

    /// Returns whether it has reached the newest frame and has followed it since.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Returns whether it sends frames as they come, or none, so that it needs no timer.
    pub fn needs_no_timer(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Paused)
    }

    /// Returns whether it can send nothing before a keyframe, which should be asked for.
    pub fn waits_for_keyframe(&self) -> bool {
        matches!(self.phase, Phase::WaitingForKeyframe | Phase::Asking { .. })
    }

    /// Writes the header of a packet of the frame polled last, and counts the packet as sent. `transport_sequence`
    /// numbers all packets of the viewer, over its tracks. It advances if the header states it.
    pub fn header<'b>(
        &mut self,
        packet: &Packet<'_>,
        transport_sequence: &mut u16,
        buffer: &'b mut [u8; HEADER_MAX],
    ) -> &'b [u8] {
        let span = self.spans[SPANS - 1];
        let sequence = span.on_wire(packet.sequence);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        self.last = Some((packet.frame.wall, packet.frame.timestamp.wrapping_add(span.rebase)));
        let stream = (self.ssrc, self.payload_type_of(packet), sequence as u16);
        self.write_header(stream, &span, packet, transport_sequence, buffer)
    }

    /// Takes in a report block of the receiver, if it is about this stream.
    pub fn handle_reception(&mut self, block: &ReceptionBlock, wall: WallTime) {
        if block.ssrc != self.ssrc {
            return;
        }
        if let Some(rtt) = block.round_trip(self.dates.date(wall)) {
            // The round trip is smoothed as in TCP (RFC 6298), so that one report delayed on its way does not stop repairs.
            let rtt = rtt.as_micros() as u32; // A round trip is less than 30 s.
            self.rtt_micros = Some(self.rtt_micros.map_or((rtt, 0), |(mean, variation)| {
                let rtt = rtt.min(mean * 2 + RTT_STEP);
                (mean - mean / 8 + rtt / 8, variation - variation / 4 + mean.abs_diff(rtt) / 4)
            }));
        }
        if let Some(hold) = &mut self.hold {
            let next = self.spans[SPANS - 1].on_wire(self.next_shared);
            let behind = (next as u16).wrapping_sub(block.highest_sequence as u16); // 1 stands for the last packet sent.
            hold.confirm(next.saturating_sub(behind.into()), next);
        }
        if self.packets > 0 && self.playout_delay_until == u64::MAX {
            // The receiver has it: frames from the next one on go without.
            self.playout_delay_until = self.spans[SPANS - 1].on_wire(self.next_shared);
        }
    }

    /// Writes a sender report and a source description to `out` if they are due, and returns whether they were. Call it
    /// after frames. Nothing is due before the track is live.
    pub fn poll_report(&mut self, now: Instant, wall: WallTime, cname: &str, out: &mut Vec<u8>) -> bool {
        let Some((last_wall, last_timestamp)) = self.last else { return false };
        if !self.is_live() || self.next_report.is_some_and(|next| now < next) {
            return false;
        }
        self.next_report = Some(now + REPORT_INTERVAL);
        let elapsed = Ticks(wall.micros_since(last_wall)).rescale(ClockRate::MICROS, self.clock_rate());
        let timestamp = last_timestamp.wrapping_add(elapsed.0 as u32).wrapping_add(self.timestamp_offset);
        report::sender_report(out, self.ssrc, self.dates.date(wall), timestamp, (self.packets, self.octets));
        report::source_description(out, self.ssrc, cname);
        true
    }

    /// Makes the next report due with the next frame.
    pub fn report_soon(&mut self) {
        self.next_report = None;
    }

    /// Returns the synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Returns the round trip as measured by reports. `None` before the first.
    pub fn round_trip(&self) -> Option<Duration> {
        self.rtt_micros.map(|(mean, _)| Duration::from_micros(mean.into()))
    }

    fn round_trip_variation(&self) -> Duration {
        self.rtt_micros.map_or(Duration::ZERO, |(_, variation)| Duration::from_micros(variation.into()))
    }

    /// Returns the numbers of packets and payload bytes sent, without repairs.
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// Returns the counts of skipped frames and starts.
    pub fn counters(&self) -> SenderCounters {
        self.counters
    }

    /// Starts anew with the frames that were collected.
    ///
    /// The track's timeline goes on from the arrival of the first frame, before it is known how long that frame had
    /// waited, so the timeline is ahead of the wall clock by that time. The wall clock of the frames is right already,
    /// so the timestamps of this viewer follow it. With the step of the timeline, the receiver would see a change of
    /// delay and hold video by it for seconds.
    fn resume(&mut self, outgoing: &Outgoing, now: Instant) {
        let before = self.next_frame;
        if let (Some((wall, timestamp)), Some(newest)) = (self.last, outgoing.newest()) {
            let away = Ticks(newest.wall.micros_since(wall)).rescale(ClockRate::MICROS, self.clock_rate());
            self.rebase = timestamp.wrapping_add(away.0 as u32).wrapping_sub(newest.timestamp);
        }
        self.start(outgoing, now);
        self.starting.get_or_insert_default(); // The frames get a span of their own.
        self.counters.skipped_frames += u32::try_from(self.next_frame.saturating_sub(before)).unwrap_or(u32::MAX);
    }

    /// Moves on if the next frame was evicted, and from an old group to a new one while catching up.
    fn follow(&mut self, outgoing: &Outgoing) {
        let newer = outgoing.group().filter(|group| *group > self.next_frame);
        let evicted = self.next_frame < outgoing.oldest_number();
        let target = match self.phase {
            Phase::CatchingUp { .. } => newer,
            _ if evicted => newer,
            _ => None,
        };
        if let Some(target) = target {
            self.pass_over(target);
            self.phase = Phase::Live; // The frames of the new group are at most as old as its keyframe.
        } else if evicted {
            self.pass_over(outgoing.oldest_number());
            if self.is_video {
                self.phase = Phase::WaitingForKeyframe;
            }
        }
    }

    fn pass_over(&mut self, target: u64) {
        if self.packets > 0 {
            self.counters.skipped_frames += u32::try_from(target - self.next_frame).unwrap_or(u32::MAX);
        }
        self.next_frame = target;
        self.starting = None;
    }

    fn clock_rate(&self) -> ClockRate {
        if self.is_video { ClockRate::VIDEO } else { ClockRate::OPUS }
    }

    fn due(&self, frame: &Packets) -> Option<Instant> {
        match self.phase {
            Phase::CatchingUp { began, origin } => {
                Some(began + (frame.pts - origin).duration(self.clock_rate()) / CATCH_UP_SPEED)
            }
            _ => None,
        }
    }

    /// Begins a new span if frames were passed over. Sequence numbers on the wire have no gap there, because the
    /// receiver would ask for the missing ones.
    ///
    /// Returns the number on the wire of the frame's first packet.
    fn continue_at(&mut self, frame: &Packets) -> u64 {
        let catch_up = self.starting.take();
        let redundancy = self.redundancy();
        let newest = self.spans[SPANS - 1];
        let follows = self.next_shared == frame.first_sequence
            && (newest.generation, newest.redundancy) == (self.generation, redundancy);
        if self.span_count == 0 || !follows || catch_up.is_some() {
            let (rebase, generation) = (self.rebase, self.generation);
            let catch_up = self.never_back(catch_up.unwrap_or_default(), frame);
            let viewer = newest.on_wire(self.next_shared);
            if self.span_count > 0 {
                self.spans.rotate_left(1);
            }
            self.spans[SPANS - 1] =
                Span { viewer, shared: frame.first_sequence, catch_up, rebase, redundancy, generation };
            self.span_count = (self.span_count + 1).min(SPANS as u8);
        }
        let span = self.spans[SPANS - 1];
        self.next_shared = frame.first_sequence + frame.len() as u64;
        self.reached = Some(span.timestamp(frame));
        span.on_wire(frame.first_sequence)
    }

    fn write_header<'b>(
        &self,
        (ssrc, payload_type, sequence): (u32, u8, u16),
        span: &Span,
        packet: &Packet<'_>,
        transport_sequence: &mut u16,
        buffer: &'b mut [u8; HEADER_MAX],
    ) -> &'b [u8] {
        let frame = packet.frame;
        let timestamp = span.timestamp(frame).wrapping_add(self.timestamp_offset);
        let mut writer = HeaderWriter::new(buffer, (packet.marker, payload_type), sequence, timestamp, ssrc);
        let ids = &self.extensions;
        writer.extension(ids.mid, self.mid.as_bytes());
        if ids.transport_cc != 0 {
            writer.extension(ids.transport_cc, &transport_sequence.to_be_bytes());
            *transport_sequence = transport_sequence.wrapping_add(1);
        }
        let on_wire = span.on_wire(packet.sequence);
        let hold = self.hold.as_ref().and_then(|hold| hold.stated(on_wire));
        if on_wire < self.playout_delay_until || frame.states_playout_delay || hold.is_some() {
            let delay = match self.sync {
                AvSync::LipSync => frame.playout_delay,
                AvSync::PictureFirst => PlayoutDelay::default(),
            };
            let delay = delay.at_least(PlayoutDelay::units(Duration::from_millis(self.floor_ms.into())));
            writer.extension(ids.playout_delay, &hold::at_least(delay, hold).bytes());
        }
        if frame.states_capture {
            writer.extension(ids.abs_capture_time, &self.dates.date(frame.wall).ntp().to_be_bytes());
        }
        writer.finish()
    }
}
