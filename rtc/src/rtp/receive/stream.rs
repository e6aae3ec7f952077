//! One stream of a publisher: packets in any order become frames in order.
//!
//! Packets are usually in order and complete. Then a packet is copied once, into its frame. A missing packet is asked
//! for and waited for, at most [`Stream::wait`]. After that the stream goes on behind the gap, and video pauses until a
//! keyframe, which is asked for. No reader gets a frame that refers to a lost one.
//!
//! A frame of video ends with its marker bit while those of the stream are believed ([`Markers`]), and else with the first packet of
//! another timestamp. While they are believed, another picture of the same timestamp is a frame of its own. No marker ends a frame
//! inside of a NAL unit, so frames of a sender without the end bits of fragments end with the next one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::{Codec, LeftOut, MediaKind};

use super::depacketize::{Assembled, Depacketizer, Unusable};
use super::loss::Losses;
use super::markers::Markers;
use super::reception::Reception;
use super::reorder::{Held, Place, Reorder};
use super::section::Layer;
use super::{IncomingCounters, StreamConfig};
use crate::rtp::ntp::Ntp;
use crate::rtp::packet::{Incoming as Packet, Mid};
use crate::rtp::sequence::Unwrap16;

/// The longest wait for a packet that may be repaired.
const WAIT_MAX: Duration = Duration::from_millis(200);
const WAIT_LEAST: Duration = Duration::from_millis(50);
/// The wait for a packet that can only be late, because it cannot be asked for.
const WAIT_REORDERED: Duration = Duration::from_millis(30);
/// The interval at which a keyframe is asked for while one is missing.
const PICTURE_LOSS_INTERVAL: Duration = Duration::from_millis(500);
/// After this many packets in a row from far behind, the publisher has begun anew.
const RESTART_AFTER: u8 = 3;

/// A frame with its timestamp on the wire.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) assembled: Assembled,
    pub(super) timestamp: u32,
}

#[derive(Debug)]
pub(super) struct Stream {
    config: Arc<StreamConfig>,
    pub(super) ssrc: u32,
    pub(super) repair_ssrc: Option<u32>,
    /// The name of its simulcast layer. Empty if it has none.
    pub(super) layer: Mid,
    /// The further rendition that the layer is.
    pub(super) further: Option<Layer>,
    pub(super) reception: Option<Reception>,
    /// The time of the goodbye that no packet has followed.
    pub(super) ended: Option<Instant>,
    /// The last sender report: a moment on the publisher's wall clock, and the same on the stream's.
    pub(super) report: Option<(Ntp, u32)>,
    /// The size of its pictures, 0 before the first and for audio.
    pub(super) pixels: u64,
    /// Whether it has had a keyframe, with which a new stream may take the lead of its section.
    pub(super) has_tried: bool,
    /// The number of its frames since the last one of its section that was published.
    pub(super) alone: u8,
    sequence: Unwrap16,
    highest: Option<i64>,
    reorder: Reorder,
    losses: Losses,
    depacketizer: Option<Depacketizer>,
    /// The timestamp of the frame that is being assembled.
    open: Option<u32>,
    /// The timestamp of a frame that lost its first packets. Its other packets are discarded.
    discarding: Option<u32>,
    markers: Markers,
    /// Whether the open frame has the timestamp of one that a marker ended.
    follows_marker: bool,
    /// Whether every frame since the last keyframe was whole.
    whole: bool,
    keyframe_wanted: bool,
    picture_loss_sent: Option<Instant>,
    behind: u8,
    /// What the frames since the last whole one lack, for the publisher's advice.
    pub(super) lacks: Option<LeftOut>,
}

impl Stream {
    pub(super) fn new(config: Arc<StreamConfig>, ssrc: u32, repair_ssrc: Option<u32>, layer: Mid) -> Self {
        Self {
            config,
            ssrc,
            repair_ssrc,
            layer,
            further: None,
            reception: None,
            ended: None,
            report: None,
            pixels: 0,
            has_tried: false,
            alone: 0,
            sequence: Unwrap16::default(),
            highest: None,
            reorder: Reorder::default(),
            losses: Losses::default(),
            depacketizer: None,
            open: None,
            discarding: None,
            markers: Markers::default(),
            follows_marker: false,
            whole: false,
            keyframe_wanted: false,
            picture_loss_sent: None,
            behind: 0,
            lacks: None,
        }
    }

    pub(super) fn kind(&self) -> MediaKind {
        self.config.key.kind
    }

    /// Returns the time of its last packet, if one has come.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.reception.as_ref().map(Reception::heard)
    }

    /// Returns whether it goes on: a packet came within `silence`, and no goodbye after it.
    pub(super) fn is_heard(&self, now: Instant, silence: Duration) -> bool {
        self.ended.is_none() && self.heard().is_some_and(|heard| now.saturating_duration_since(heard) < silence)
    }

    /// Returns whether a packet came within `time`, whatever goodbye there was.
    pub(super) fn was_heard(&self, now: Instant, time: Duration) -> bool {
        self.heard().is_some_and(|heard| now.saturating_duration_since(heard) < time)
    }

    /// Asks for nothing more until something is missing again.
    pub(super) fn rest(&mut self) {
        self.keyframe_wanted = false;
        self.losses.clear();
    }

    /// Takes a packet of this stream, or one unwrapped from its repairs.
    pub(super) fn handle(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        counters: &mut IncomingCounters,
        mut emit: impl FnMut(Arrived),
    ) {
        let sequence = self.sequence.peek(packet.sequence);
        self.notice_restart(sequence, counters, &mut emit);
        let sequence = self.sequence.unwrap(packet.sequence);
        self.note_losses(sequence, now, counters);
        match self.reorder.place(sequence) {
            Place::Next => {
                self.reorder.pass(sequence);
                self.advance(
                    (packet.timestamp, packet.marker, packet.payload_type),
                    packet.payload,
                    counters,
                    &mut emit,
                );
                self.release(counters, &mut emit);
            }
            Place::Early => {
                let held = Held {
                    timestamp: packet.timestamp,
                    marker: packet.marker,
                    payload_type: packet.payload_type,
                    payload: Bytes::copy_from_slice(packet.payload),
                };
                self.reorder.hold(sequence, held, now);
            }
            Place::Late => counters.late_or_duplicate += 1,
            Place::Far => {
                self.go_on_behind_all_gaps(counters, &mut emit);
                self.reorder.restart(sequence + 1);
                self.losses.clear();
                counters.gaps += 1;
                self.lose(packet.timestamp, packet.payload, counters);
                self.advance(
                    (packet.timestamp, packet.marker, packet.payload_type),
                    packet.payload,
                    counters,
                    &mut emit,
                );
            }
        }
    }

    /// Gives up missing packets that were waited for long enough.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        counters: &mut IncomingCounters,
        mut emit: impl FnMut(Arrived),
    ) {
        while self.reorder.deadline(self.wait()).is_some_and(|deadline| deadline <= now) {
            if !self.go_on_behind_gap(counters, &mut emit) {
                return;
            }
        }
    }

    /// Takes in that no packet follows. What waits for missing packets goes on without them, and the last frame as it came, if its
    /// end can only be told by a next one.
    pub(super) fn end(&mut self, counters: &mut IncomingCounters, mut emit: impl FnMut(Arrived)) {
        self.go_on_behind_all_gaps(counters, &mut emit);
        if !self.markers.tell() || self.open.is_some_and(|open| self.markers.have_ended(open)) {
            self.finish(counters, &mut emit);
        }
        counters.dropped_incomplete += u64::from(self.open.take().is_some());
    }

    /// Gives up all packets that are missing before one that is held, and goes on with all that are held.
    fn go_on_behind_all_gaps(&mut self, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) {
        while self.reorder.deadline(Duration::ZERO).is_some() && self.go_on_behind_gap(counters, emit) {}
    }

    /// Gives up the packets that are missing, and goes on with those behind them. Returns whether there are any.
    fn go_on_behind_gap(&mut self, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) -> bool {
        counters.lost += self.reorder.skip().unsigned_abs();
        counters.gaps += 1;
        if let Some(next) = self.reorder.next() {
            self.losses.give_up_before(next);
        }
        let Some(first) = self.reorder.take() else { return false };
        self.lose(first.timestamp, &first.payload, counters);
        self.advance((first.timestamp, first.marker, first.payload_type), &first.payload, counters, emit);
        self.release(counters, emit);
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let nack = if self.config.nack { self.losses.timeout() } else { None };
        let picture_loss = self.picture_loss_due();
        [self.reorder.deadline(self.wait()), nack, picture_loss].into_iter().flatten().min()
    }

    /// Appends the sequence numbers to ask for now.
    pub(super) fn poll_nack(&mut self, now: Instant, out: &mut Vec<u16>) {
        if self.config.nack {
            self.losses.poll(now, |sequence| out.push(sequence as u16));
        }
    }

    /// Returns whether to ask for a keyframe now.
    pub(super) fn poll_picture_loss(&mut self, now: Instant) -> bool {
        let due = self.picture_loss_due().is_some_and(|due| due <= now);
        if due {
            self.picture_loss_sent = Some(now);
        }
        due
    }

    /// Notes that a viewer needs a keyframe. Does nothing for audio.
    pub(super) fn want_keyframe(&mut self) {
        self.keyframe_wanted = self.kind() == MediaKind::Video;
    }

    /// Returns how long a missing packet is waited for: three round trips, which are two tries.
    pub(super) fn wait(&self) -> Duration {
        if !self.config.nack {
            return WAIT_REORDERED;
        }
        (self.losses.round_trip() * 3 + Duration::from_millis(20)).clamp(WAIT_LEAST, WAIT_MAX)
    }

    fn picture_loss_due(&self) -> Option<Instant> {
        if !self.keyframe_wanted {
            return None;
        }
        // If none was sent yet, the time is in the past, because the reception began before.
        let reception = self.reception.as_ref()?;
        Some(self.picture_loss_sent.map_or(reception.began(), |sent| sent + PICTURE_LOSS_INTERVAL))
    }

    /// Notices a new beginning: several packets in a row whose numbers are far below all others are not late packets.
    fn notice_restart(&mut self, sequence: i64, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) {
        let far_behind = self.highest.is_some_and(|highest| highest - sequence > super::reorder::HELD_MAX);
        self.behind = if far_behind { self.behind + 1 } else { 0 };
        if self.behind >= RESTART_AFTER {
            self.go_on_behind_all_gaps(counters, emit);
            counters.gaps += 1;
            self.behind = 0;
            self.sequence = Unwrap16::default();
            self.highest = None;
            self.reorder = Reorder::default();
            self.losses.clear();
            counters.dropped_incomplete += u64::from(self.open.is_some());
            self.break_off();
        }
    }

    fn note_losses(&mut self, sequence: i64, now: Instant, counters: &mut IncomingCounters) {
        match self.highest {
            Some(highest) if sequence > highest => {
                if sequence > highest + 1 && !self.losses.note(highest + 1, sequence, now) {
                    counters.nack_overflow += 1;
                }
                self.highest = Some(sequence);
            }
            Some(_) => self.losses.found(sequence, now),
            None => self.highest = Some(sequence),
        }
    }

    fn release(&mut self, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) {
        while let Some(held) = self.reorder.take() {
            self.advance((held.timestamp, held.marker, held.payload_type), &held.payload, counters, emit);
        }
    }

    /// Notes that packets before this one are lost. Counts the frames that they belong to: the open one, and that of this packet.
    fn lose(&mut self, timestamp: u32, payload: &[u8], counters: &mut IncomingCounters) {
        let (open, counted) = (self.open, self.discarding);
        self.break_off();
        let starts = self.depacketizer.as_ref().is_some_and(|depacketizer| depacketizer.is_start(payload));
        self.discarding = (!starts && self.kind() == MediaKind::Video).then_some(timestamp);
        counters.dropped_incomplete += u64::from(open.is_some() && open != self.discarding);
        counters.dropped_incomplete += u64::from(self.discarding.is_some() && self.discarding != counted);
    }

    /// Drops the open frame, which cannot be finished. Frames that refer to it cannot be used either.
    fn break_off(&mut self) {
        if let Some(depacketizer) = &mut self.depacketizer {
            depacketizer.clear();
        }
        self.open = None;
        if self.kind() == MediaKind::Video {
            self.whole = false;
            self.keyframe_wanted = true;
        }
    }

    /// Takes the next packet in order.
    fn advance(
        &mut self,
        (timestamp, marker, payload_type): (u32, bool, u8),
        payload: &[u8],
        counters: &mut IncomingCounters,
        emit: &mut impl FnMut(Arrived),
    ) {
        if payload.is_empty() {
            return; // The packet is padding that probes for bandwidth.
        }
        let Some(codec) = self.config.codec(payload_type) else {
            counters.unknown_payload_type += 1;
            self.lacks = Some(LeftOut::UnsupportedCodec(format!("RTP payload type {payload_type}")));
            return;
        };
        if self.open.is_some_and(|open| open != timestamp) {
            self.finish(counters, emit);
        }
        if self.open.is_none() {
            self.follows_marker = self.kind() == MediaKind::Video && self.markers.have_ended(timestamp);
        }
        let is_end = if self.kind() == MediaKind::Video { self.markers.is_end(timestamp, marker) } else { marker };
        if self.discarding == Some(timestamp) {
            return; // It was counted when it was given up.
        }
        (self.discarding, self.open) = (None, Some(timestamp));
        let Some(depacketizer) = self.depacketizer(codec) else { return };
        let pushed = depacketizer.push(payload);
        let is_inside_unit = depacketizer.is_inside_unit();
        if let Err(reason) = pushed {
            if self.follows_marker {
                self.markers.refute();
            }
            self.note_unusable(reason, codec, counters);
            self.break_off();
            self.discarding = Some(timestamp);
            return;
        }
        if (is_end && !is_inside_unit) || self.kind() == MediaKind::Audio {
            self.finish(counters, emit);
        }
    }

    fn depacketizer(&mut self, codec: Codec) -> Option<&mut Depacketizer> {
        if self.depacketizer.as_ref().is_none_or(|depacketizer| depacketizer.codec() != codec) {
            let stated = self.config.parameters.iter().find(|parameters| parameters.codec() == codec);
            self.depacketizer = Depacketizer::new(codec, stated.cloned());
            self.whole = false;
        }
        self.depacketizer.as_mut()
    }

    fn finish(&mut self, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) {
        let (Some(timestamp), Some(depacketizer)) = (self.open.take(), &mut self.depacketizer) else { return };
        let is_video = self.config.key.kind == MediaKind::Video;
        let assembled = match depacketizer.finish() {
            Ok(assembled) => assembled,
            Err(Unusable::Empty) => return,
            Err(reason) => {
                let codec = depacketizer.codec();
                self.note_unusable(reason, codec, counters);
                return self.break_off();
            }
        };
        if self.follows_marker && depacketizer.codec().continues_picture(&assembled.payload) {
            self.markers.refute();
        }
        if is_video && !self.whole && !assembled.keyframe {
            counters.dropped_waiting += 1;
            self.lacks = Some(LeftOut::NoKeyframe);
            self.keyframe_wanted = true;
            return;
        }
        if assembled.keyframe {
            self.whole = true;
            self.keyframe_wanted = false;
        }
        self.lacks = None;
        emit(Arrived { assembled, timestamp });
    }

    fn note_unusable(&mut self, reason: Unusable, codec: Codec, counters: &mut IncomingCounters) {
        counters.count(reason);
        if reason == Unusable::NoParameters {
            // By RTP a keyframe of VP8 or VP9 is its own header (RFC 7741, RFC 9628).
            let is_own_header = matches!(codec, Codec::Vp8 | Codec::Vp9);
            self.lacks = Some(if is_own_header { LeftOut::NoKeyframe } else { LeftOut::NoParameters(codec) });
        }
    }
}
