//! One stream of a publisher: packets in any order become frames in order.
//!
//! Packets are usually in order and complete. Then a packet is copied once, into its frame. A missing packet is asked
//! for and waited for, at most [`Stream::wait`]. After that the stream goes on behind the gap, and video pauses until a
//! keyframe, which is asked for. No reader gets a frame that refers to a lost one. The first packets of video may have overtaken
//! each other, so a first one that begins no frame waits a little for those before it.
//!
//! Each frame says when it was ready ([`Arrived::ready`]): when its last packet came, or would have come if it had not been lost.
//!
//! A frame of video ends with its marker bit while those of the stream are believed ([`Markers`]), and else with the first packet of
//! another timestamp. While they are believed, another picture of the same timestamp is a frame of its own. No marker ends a frame
//! inside of a NAL unit, so frames of a sender without the end bits of fragments end with the next one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::{Codec, LeftOut, MediaKind, Ticks};

use super::depacketize::{Assembled, Depacketizer, Unusable};
use super::layer::Layer;
use super::loss::{Between, Found, Losses};
use super::markers::Markers;
use super::reception::Reception;
use super::reorder::{Held, Place, Reorder};
use super::round_trip::RoundTrip;
use super::timeline::clock_rate;
use super::{IncomingCounters, StreamConfig};
use crate::rtp::ntp::Ntp;
use crate::rtp::packet::{Incoming as Packet, Mid};
use crate::rtp::sequence::Unwrap16;

/// The wait for packets before the first one that came. What it overtook is milliseconds away.
const WAIT_FIRST: Duration = Duration::from_millis(20);
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
    /// When it would have been whole if nothing had been lost.
    pub(super) ready: Instant,
}

/// What a stream shares with the other streams of its publisher, for one call.
pub(super) struct Path<'a> {
    pub(super) round_trip: &'a mut RoundTrip,
    pub(super) counters: &'a mut IncomingCounters,
    pub(super) now: Instant,
}

/// A packet and how it came.
#[derive(Clone, Copy)]
struct Came {
    sequence: i64,
    is_repair: bool,
    now: Instant,
}

/// What the number of a packet tells.
struct Noted {
    ready: Between,
    /// More are missing than are asked for.
    too_many: bool,
}

/// The parts of a packet that become a part of a frame.
#[derive(Clone, Copy)]
struct Piece<'a> {
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    payload: &'a [u8],
    ready: Between,
}

impl Held {
    fn piece(&self) -> Piece<'_> {
        let Self { timestamp, marker, payload_type, ref payload, ready } = *self;
        Piece { timestamp, marker, payload_type, payload, ready }
    }
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
    /// When the packet of the highest number came.
    highest_came: Option<Instant>,
    reorder: Reorder,
    losses: Losses,
    depacketizer: Option<Depacketizer>,
    /// Whether the first packet that came waits for those that it may have overtaken.
    beginning: bool,
    /// The timestamp of the frame that is being assembled.
    open: Option<u32>,
    /// When the last of its packets was ready, or of those before.
    ready: Option<Between>,
    /// The timestamp of the frame before, and when it was ready.
    before: Option<(u32, Instant)>,
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
            highest_came: None,
            reorder: Reorder::default(),
            losses: Losses::default(),
            depacketizer: None,
            beginning: false,
            open: None,
            ready: None,
            before: None,
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
        is_repair: bool,
        path: Path<'_>,
        mut emit: impl FnMut(Arrived),
    ) {
        let Path { round_trip, counters, now } = path;
        let sequence = self.sequence.peek(packet.sequence);
        self.notice_restart(sequence, counters, &mut emit);
        let sequence = self.sequence.unwrap(packet.sequence);
        let starts = self.kind() == MediaKind::Video && self.starts(packet);
        if self.highest.is_none() && self.kind() == MediaKind::Video && !starts {
            (self.beginning, self.reorder) = (true, Reorder::before(sequence));
        }
        let came = Came { sequence, is_repair, now };
        let Noted { ready, too_many } = self.note_losses(came, round_trip, counters);
        let Packet { timestamp, marker, payload_type, payload, .. } = *packet;
        let piece = Piece { timestamp, marker, payload_type, payload, ready };
        match self.reorder.place(sequence) {
            Place::Next => {
                self.reorder.pass(sequence);
                self.advance(piece, counters, &mut emit);
                self.release(counters, &mut emit);
            }
            Place::Early => {
                let payload = Bytes::copy_from_slice(payload);
                self.reorder.hold(sequence, Held { timestamp, marker, payload_type, payload, ready });
            }
            Place::Late => counters.late_or_duplicate += 1,
            Place::Far => {
                self.go_on_behind_all_gaps(counters, &mut emit);
                self.beginning = false;
                self.reorder.restart(sequence + 1);
                self.losses.clear();
                counters.gaps += 1;
                self.lose(timestamp, payload, counters);
                self.advance(piece, counters, &mut emit);
            }
        }
        if self.beginning && starts {
            self.begin(counters, &mut emit);
        }
        if too_many {
            self.go_on_behind_all_gaps(counters, &mut emit); // What is not asked for does not come.
        }
    }

    /// Gives up missing packets that were waited for long enough.
    pub(super) fn handle_timeout(&mut self, path: Path<'_>, mut emit: impl FnMut(Arrived)) {
        let Path { round_trip, counters, now } = path;
        while self.reorder.deadline(self.wait(round_trip)).is_some_and(|deadline| deadline <= now) {
            let goes_on = self.go_on_behind_gap(counters, &mut emit);
            if let Some(next) = self.reorder.next() {
                self.losses.give_up_before(next, round_trip, now);
            }
            if !goes_on {
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
        if let Some(next) = self.reorder.next() {
            self.losses.forget_before(next);
        }
    }

    /// Gives up the packets that are missing, and goes on with those behind them. Returns whether there are any.
    fn go_on_behind_gap(&mut self, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) -> bool {
        if self.beginning {
            return self.begin(counters, emit);
        }
        counters.lost += self.reorder.skip().unsigned_abs();
        counters.gaps += 1;
        let Some(first) = self.reorder.take() else { return false };
        self.lose(first.timestamp, &first.payload, counters);
        self.advance(first.piece(), counters, emit);
        self.release(counters, emit);
        true
    }

    /// Begins with the first packet that is held. Nothing is known to be missing before it. Returns whether there is one.
    fn begin(&mut self, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) -> bool {
        self.beginning = false;
        self.reorder.skip();
        self.release(counters, emit)
    }

    pub(super) fn poll_timeout(&self, round_trip: &RoundTrip) -> Option<Instant> {
        let nack = if self.config.nack { self.losses.timeout() } else { None };
        let picture_loss = self.picture_loss_due();
        [self.reorder.deadline(self.wait(round_trip)), nack, picture_loss].into_iter().flatten().min()
    }

    /// Appends the sequence numbers to ask for now.
    pub(super) fn poll_nack(&mut self, round_trip: &RoundTrip, now: Instant, out: &mut Vec<u16>) {
        if self.config.nack {
            self.losses.poll(round_trip, now, |sequence| out.push(sequence as u16));
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

    /// Returns how much longer than those before the next frame may wait for repairs. `None` if none are asked for.
    pub(super) fn spare(&self, round_trip: &RoundTrip) -> Option<Duration> {
        self.config.nack.then(|| self.losses.spare(round_trip))
    }

    /// Returns how long a missing packet is waited for.
    fn wait(&self, round_trip: &RoundTrip) -> Duration {
        match self.beginning {
            true => WAIT_FIRST,
            false if self.config.nack => self.losses.wait(round_trip),
            false => WAIT_REORDERED,
        }
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
            (self.highest, self.beginning) = (None, false);
            self.reorder = Reorder::default();
            self.losses.clear();
            counters.dropped_incomplete += u64::from(self.open.is_some());
            self.break_off();
        }
    }

    /// Notes what the number of a packet tells of others, and when the packet was ready.
    fn note_losses(&mut self, came: Came, round_trip: &mut RoundTrip, counters: &mut IncomingCounters) -> Noted {
        let Came { sequence, is_repair, now } = came;
        let mut noted = Noted { ready: Between::at(now), too_many: false };
        match self.highest {
            Some(highest) if sequence > highest => {
                let between = Between { earliest: self.highest_came.unwrap_or(now), latest: now };
                noted.too_many = sequence > highest + 1 && !self.losses.note(highest + 1, sequence, between);
                counters.nack_overflow += u64::from(noted.too_many);
                (self.highest, self.highest_came) = (Some(sequence), Some(now));
            }
            Some(_) => {
                // Publishers without a stream of repairs send the packet itself again.
                let is_repair = is_repair || self.config.repairs.is_empty();
                if let Found::Repaired(between) = self.losses.found(sequence, is_repair, round_trip, now) {
                    noted.ready = between;
                }
            }
            None => (self.highest, self.highest_came) = (Some(sequence), Some(now)),
        }
        noted
    }

    /// Returns whether a frame certainly begins with this packet.
    fn starts(&mut self, packet: &Packet<'_>) -> bool {
        if self.highest.is_some() && !self.beginning {
            return false; // It matters for the first packets alone.
        }
        let depacketizer = self.config.codec(packet.payload_type).and_then(|codec| self.depacketizer(codec));
        depacketizer.is_some_and(|depacketizer| depacketizer.is_start(packet.payload))
    }

    /// Goes on with all packets that are next. Returns whether there was one.
    fn release(&mut self, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) -> bool {
        let mut any = false;
        while let Some(held) = self.reorder.take() {
            self.advance(held.piece(), counters, emit);
            any = true;
        }
        any
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
    fn advance(&mut self, piece: Piece<'_>, counters: &mut IncomingCounters, emit: &mut impl FnMut(Arrived)) {
        let Piece { timestamp, marker, payload_type, payload, ready } = piece;
        if payload.is_empty() {
            return; // The packet is padding that probes for bandwidth.
        }
        let Some(codec) = self.config.codec(payload_type) else {
            counters.unknown_payload_type += 1;
            self.lacks = Some(LeftOut::UnsupportedCodec(format!("RTP payload type {payload_type}")));
            return;
        };
        if self.open.is_some_and(|open| open != timestamp) {
            self.note_ready(ready); // It was not known to be whole before.
            self.finish(counters, emit);
        }
        if self.open.is_none() {
            self.follows_marker = self.kind() == MediaKind::Video && self.markers.have_ended(timestamp);
        }
        let is_end = if self.kind() == MediaKind::Video { self.markers.is_end(timestamp, marker) } else { marker };
        if self.discarding == Some(timestamp) {
            return; // It was counted when it was given up.
        }
        self.note_ready(ready);
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
        let Some(timestamp) = self.open.take() else { return };
        let ready = self.ready_at(timestamp);
        let (Some(ready), Some(depacketizer)) = (ready, &mut self.depacketizer) else { return };
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
        emit(Arrived { assembled, timestamp, ready });
    }

    /// Notes when a packet of the open frame was ready. Packets may overtake each other, frames do not.
    fn note_ready(&mut self, ready: Between) {
        self.ready = Some(self.ready.map_or(ready, |before| before.max(ready)));
    }

    /// Returns when the open frame was ready. If its last packets were lost, it is as much after the frame before as its timestamp.
    fn ready_at(&mut self, timestamp: u32) -> Option<Instant> {
        let Between { earliest, latest } = self.ready?;
        let ready = self.before.map_or(earliest, |(before, ready)| {
            let ticks = Ticks(i64::from(timestamp.wrapping_sub(before) as i32));
            let after = ticks.duration(clock_rate(self.kind())).min(latest.saturating_duration_since(ready));
            (ready + after).clamp(earliest, latest)
        });
        self.before = Some((timestamp, ready));
        self.ready = Some(Between::at(ready));
        Some(ready)
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
