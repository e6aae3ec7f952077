//! A viewer's session: its place on each track, its frames, and the reports that it sends back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::metric::Network;
use onmic_media::{Codec, DateOffset, DropReason, Feed, MediaKind, NodeClock, TrackId, TrackKey, ViewerKind, Viewing};

use super::levels::{Going, Levels};
use super::metric::Metrics;
use super::outbox::Outbox;
use super::track::SharedTrack;
use crate::negotiate::Sending;
use crate::rtp::feedback::{self, Feedback, Nack, ReceptionBlock};
use crate::rtp::recovery::{Allowed, Recovery};
use crate::rtp::reference::References;
use crate::rtp::sender::RepairScratch;
use crate::rtp::{HEADER_MAX, Outgoing, Packets, Repaired, Sender, Start, Stores, report};
use crate::streams::Streams;
use crate::transport::{Peer, Route, SealError};
use crate::udp::Batch;

/// The buffers that all sessions of a shard use in turn.
pub(super) struct Scratch {
    pub(super) batch: Batch,
    pub(super) repair: RepairScratch,
    /// The payload of a packet that is made for one viewer: of audio that repeats earlier packets, or of a repair packet.
    pub(super) payload: Vec<u8>,
    pub(super) rtcp: Vec<u8>,
    pub(super) sealed: Box<[u8; 2048]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            batch: Batch::new(),
            repair: RepairScratch::default(),
            payload: Vec::new(),
            rtcp: Vec::new(),
            sealed: Box::new([0; 2048]),
        }
    }
}

/// What a shard lends a session for one call.
pub(super) struct Turn<'a, O> {
    pub(super) now: Instant,
    pub(super) clock: NodeClock,
    /// The longest time for which viewers hold frames back for repairs.
    pub(super) repair_hold: Duration,
    pub(super) scratch: &'a mut Scratch,
    pub(super) metrics: &'a Metrics,
    pub(super) out: &'a mut O,
}

impl<'a, O> Turn<'a, O> {
    pub(super) fn new(
        now: Instant,
        (clock, repair_hold): (NodeClock, Duration),
        scratch: &'a mut Scratch,
        metrics: &'a Metrics,
        out: &'a mut O,
    ) -> Self {
        Self { now, clock, repair_hold, scratch, metrics, out }
    }
}

/// The part of a session that is a viewer's own.
pub(super) struct Viewer {
    pub(super) feed: Arc<Feed>,
    /// The tracks that it watches, in the order of their keys.
    pub(super) tracks: Vec<ViewerTrack>,
    /// The plans for tracks that the feed does not have yet.
    pub(super) awaited: Vec<Sending>,
    /// The levels of its video. `None` if no level can be chosen.
    pub(super) levels: Option<Box<Levels>>,
    streams: Streams,
    /// What its reports are dated by. All its tracks keep this for the whole session (see [`Sender`]).
    dates: DateOffset,
    transport_sequence: u16,
    /// What its network loses, and what is done about it. `None` before the first loss.
    recovery: Option<Box<Recovery>>,
    references: References,
    _viewing: Viewing,
}

/// One track of a viewer.
pub(super) struct ViewerTrack {
    pub(super) id: TrackId,
    pub(super) key: TrackKey,
    pub(super) sender: Sender,
    /// Whether the track was given back, because the viewer wants audio alone. Its id may be that of another reading of it by now.
    pub(super) is_given_back: bool,
    /// The level that it goes over to.
    pub(super) going: Option<Going>,
    /// The track that it has left, which is kept until then so that packets of it can be asked for again.
    pub(super) left: Option<(TrackId, Instant)>,
}

impl ViewerTrack {
    pub(super) fn new(planned: &Sending, dates: DateOffset, id: TrackId, outgoing: &Outgoing) -> Self {
        let sender = Sender::new(planned.config, outgoing).dated_by(dates).delayed_by(planned.delay_ms);
        Self { id, key: planned.key, sender, is_given_back: false, going: None, left: None }
    }

    pub(super) fn is_video(&self) -> bool {
        self.key.kind == MediaKind::Video
    }

    /// Begins to send. If the track has no keyframe to begin with, or an old one, it asks for one.
    pub(super) fn start(&mut self, track: &mut SharedTrack, now: Instant) {
        track.look_at_source();
        if matches!(self.sender.start(&track.outgoing, now), Start::NextKeyframe | Start::OldGroup { .. }) {
            track.want_keyframe(now);
        }
    }

    /// Returns the packets that the viewer may ask for again. `track` is the one that it watches.
    fn stores<'t>(&self, track: &'t SharedTrack, tracks: &'t HashMap<TrackId, SharedTrack>) -> Stores<'t> {
        Stores::new(&track.outgoing, self.left.and_then(|(left, _)| Some(&tracks.get(&left)?.outgoing)))
    }
}

impl Viewer {
    pub(super) fn new(
        feed: Arc<Feed>,
        (streams, dates): (Streams, DateOffset),
        mut tracks: Vec<ViewerTrack>,
        awaited: Vec<Sending>,
    ) -> Self {
        tracks.sort_by_key(|own| own.key);
        let viewing = feed.viewers().join(ViewerKind::Whep);
        Self {
            feed,
            tracks,
            awaited,
            levels: None,
            streams,
            dates,
            transport_sequence: 0,
            recovery: None,
            references: References::default(),
            _viewing: viewing,
        }
    }

    /// Returns the id of the track that it watches under a key.
    pub(super) fn track(&self, key: TrackKey) -> Option<TrackId> {
        self.tracks.iter().find(|own| own.key == key).map(|own| own.id)
    }

    /// Returns its video, if the level of that can be chosen.
    pub(super) fn video(&self) -> Option<&ViewerTrack> {
        self.tracks.iter().find(|own| own.is_video()).filter(|_| self.levels.is_some())
    }

    /// Returns the same for changes.
    pub(super) fn video_mut(&mut self) -> Option<&mut ViewerTrack> {
        self.tracks.iter_mut().find(|own| own.is_video()).filter(|_| self.levels.is_some())
    }

    /// Begins to watch the track `key` in `codec`, which it waited for.
    pub(super) fn attach(&mut self, (key, codec): (TrackKey, Codec), id: TrackId, outgoing: &Outgoing) {
        if let Some(index) = self.awaited.iter().position(|planned| (planned.key, planned.codec) == (key, codec)) {
            self.tracks.push(ViewerTrack::new(&self.awaited.swap_remove(index), self.dates, id, outgoing));
            self.tracks.sort_by_key(|own| own.key);
        }
    }

    /// Sends the frames that are due on one track, and returns their number. Reports follow frames: they need no timer,
    /// and a track without frames has nothing to report.
    pub(super) fn pump(
        &mut self,
        peer: &mut Peer,
        track: &SharedTrack,
        id: TrackId,
        turn: &mut Turn<'_, impl Outbox>,
    ) -> u64 {
        let mut frames = 0;
        let Some(own) = self.tracks.iter_mut().find(|own| own.id == id) else { return 0 };
        let passed_over = own.sender.counters().skipped_frames;
        let guarded = own.sender.guarded();
        while let Some(packets) = own.sender.poll_frame(&track.outgoing, turn.now) {
            frames += 1;
            if let Err((error, unsent)) =
                send(peer, &mut own.sender, &track.outgoing, packets, &mut self.transport_sequence, turn)
            {
                turn.metrics.unsealed.increment(unsent);
                tracing::debug!(%error, "a frame could not be sealed");
            }
        }
        let passed_over = own.sender.counters().skipped_frames.wrapping_sub(passed_over);
        if passed_over > 0 {
            turn.metrics.passed_over.increment(passed_over.into());
        }
        if frames > 0 {
            turn.metrics.guarded(own.sender.guarded(), guarded);
            turn.metrics.sent_frames(own.key.kind, frames);
            self.report(peer, turn);
        }
        frames
    }

    /// Begins to send on one track, unless the viewer wants none of it.
    pub(super) fn start(&mut self, id: TrackId, track: &mut SharedTrack, now: Instant) {
        if let Some(own) = self.tracks.iter_mut().find(|own| own.id == id && !own.sender.is_paused()) {
            own.start(track, now);
        }
    }

    /// Returns whether it needs no timer on one track, because it sends each frame when the frame is pushed.
    pub(super) fn is_live(&self, id: TrackId) -> bool {
        self.tracks.iter().find(|own| own.id == id).is_none_or(|own| own.sender.needs_no_timer())
    }

    /// Acts on the peer's RTCP: reports, and requests for packets and keyframes.
    pub(super) fn handle_rtcp(
        &mut self,
        rtcp: &[u8],
        peer: &mut Peer,
        tracks: &mut HashMap<TrackId, SharedTrack>,
        turn: &mut Turn<'_, impl Outbox>,
    ) {
        let now = turn.now;
        let outcome = feedback::read(rtcp, |statement| match statement {
            Feedback::Reception(block) => self.handle_reception(&block, peer, turn),
            Feedback::Nack(nack) => self.handle_nack(&nack, peer, tracks, turn),
            Feedback::Reference(stated) => {
                // The first answer goes with the next frame, because the receiver paces its requests by it.
                if self.references.note(stated, now) {
                    self.tracks.iter_mut().for_each(|own| own.sender.report_soon());
                }
            }
            Feedback::KeyframeWanted { ssrc } => {
                let Some(own) = self.tracks.iter_mut().find(|own| own.sender.ssrc() == ssrc) else { return };
                if let Some(track) = tracks.get_mut(&own.id) {
                    track.look_at_source();
                    own.sender.keyframe_wanted(&track.outgoing, now);
                    track.want_keyframe(now);
                }
            }
            Feedback::Sender(_)
            | Feedback::Bitrate { .. }
            | Feedback::Transport { .. }
            | Feedback::Answer(_)
            | Feedback::Goodbye { .. } => {}
        });
        if outcome.is_err() {
            turn.metrics.rtcp_malformed.increment(1);
        }
    }

    /// Acts on a report about one of its streams.
    fn handle_reception(&mut self, block: &ReceptionBlock, peer: &Peer, turn: &Turn<'_, impl Outbox>) {
        let Some(index) = self.tracks.iter().position(|own| own.sender.ssrc() == block.ssrc) else { return };
        let has_video = self.tracks.iter().any(|own| own.is_video() && !own.sender.is_paused());
        let own = &mut self.tracks[index];
        own.sender.handle_reception(block, turn.clock.wall(turn.now));
        // Repeats of audio without a repair stream count as received, and its reports are rare.
        if own.key.kind == MediaKind::Audio && has_video {
            return;
        }
        if self.recovery.is_none() && block.fraction_lost > 0 {
            self.recovery = Some(Box::default());
        }
        if let Some(recovery) = &mut self.recovery {
            // What a connection of TCP loses did not fit into it, and more packets would fit even less.
            let is_udp = peer.remote_addr().is_none_or(|to| to.connection().is_none());
            let (repairs, hold) = (own.sender.repairs() && is_udp, turn.repair_hold);
            let known = own.sender.known(self.references.is_known());
            let (protection, redundancy) = self.tracks.iter().fold((false, false), |(fec, red), own| {
                let guards = own.sender.guards();
                (fec || guards.0, red || guards.1)
            });
            let allowed = Allowed { repairs, protection: protection && is_udp, redundancy: redundancy && is_udp, hold };
            let Some(mix) = recovery.handle_report(block, &known, &allowed, turn.now).copied() else { return };
            self.tracks.iter_mut().for_each(|own| own.sender.set_mix(&mix));
        }
        let of_network = turn.metrics.of(self.network());
        of_network.reports.increment(1);
        if let Some(rtt) = self.tracks[index].sender.round_trip() {
            of_network.round_trip.record(rtt);
        }
        of_network.hold.record(self.hold());
    }

    /// Sends the packets again that the peer asks for.
    fn handle_nack(
        &mut self,
        nack: &Nack<'_>,
        peer: &mut Peer,
        tracks: &HashMap<TrackId, SharedTrack>,
        turn: &mut Turn<'_, impl Outbox>,
    ) {
        let network = self.network();
        let Some(own) = self.tracks.iter_mut().find(|own| own.sender.ssrc() == nack.ssrc) else { return };
        let Some(track) = tracks.get(&own.id) else { return };
        let before = own.sender.repair_counters();
        let of_network = turn.metrics.of(network);
        for lost in nack.lost() {
            if !own.sender.looks(turn.now) {
                turn.metrics.nack_too_fast.increment(1);
                break;
            }
            let (sequence, scratch) = (&mut self.transport_sequence, &mut turn.scratch.repair);
            let repaired = own.sender.repair(lost, own.stores(track, tracks), turn.now, sequence, scratch);
            if let Some(repaired) = repaired {
                send_again(peer, repaired, &mut turn.scratch.sealed, turn.metrics, turn.out);
                of_network.repair_age.record(own.sender.repair_age());
            }
        }
        let after = own.sender.repair_counters();
        turn.metrics.refused_repairs(&before, &after);
        of_network.repairs(&before, &after);
    }

    /// Sends the further copies of repeats that are due on one track.
    pub(super) fn send_copies(
        &mut self,
        peer: &mut Peer,
        tracks: &HashMap<TrackId, SharedTrack>,
        id: TrackId,
        turn: &mut Turn<'_, impl Outbox>,
    ) {
        let network = self.network();
        let Some(own) = self.tracks.iter_mut().find(|own| own.id == id) else { return };
        let Some(track) = tracks.get(&id) else { return };
        if own.sender.copy_timeout().is_none_or(|due| due > turn.now) {
            return;
        }
        let before = own.sender.repair_counters();
        let (sequence, scratch) = (&mut self.transport_sequence, &mut turn.scratch.repair);
        let stores = own.stores(track, tracks);
        while let Some(copy) = own.sender.poll_copy(stores, turn.now, sequence, scratch) {
            send_again(peer, copy, &mut turn.scratch.sealed, turn.metrics, turn.out);
        }
        let after = own.sender.repair_counters();
        turn.metrics.refused_repairs(&before, &after);
        turn.metrics.of(network).repairs(&before, &after);
    }

    /// Returns how much longer its round trips are than the shortest one was: the queue on its path.
    pub(super) fn queue(&self) -> Duration {
        self.recovery.as_ref().map_or(Duration::ZERO, |recovery| recovery.queued())
    }

    /// Returns what its network loses.
    pub(super) fn loss(&self) -> f32 {
        self.recovery.as_ref().map_or(0.0, |recovery| recovery.loss())
    }

    /// Returns the time for which it is told to hold frames back for repairs.
    pub(super) fn hold(&self) -> Duration {
        self.recovery.as_ref().map_or(Duration::ZERO, |recovery| recovery.mix().hold)
    }

    fn network(&self) -> Network {
        Network::of_loss(self.loss())
    }

    fn report(&mut self, peer: &mut Peer, turn: &mut Turn<'_, impl Outbox>) {
        turn.scratch.rtcp.clear();
        let mut reported = None;
        for own in &mut self.tracks {
            let cname = self.streams.cname(own.key.kind);
            if own.sender.poll_report(turn.now, turn.clock.wall(turn.now), cname, &mut turn.scratch.rtcp) {
                reported = Some(own.sender.ssrc());
            }
        }
        if let Some(ssrc) = reported {
            self.references.answer(ssrc, turn.now, &mut turn.scratch.rtcp);
        }
        send_rtcp(peer, turn.scratch, turn.out);
    }

    /// Tells the peer that the streams end.
    pub(super) fn goodbye(&self, peer: &mut Peer, scratch: &mut Scratch, out: &mut impl Outbox) {
        scratch.rtcp.clear();
        let ssrcs: Vec<_> = self.tracks.iter().map(|own| own.sender.ssrc()).collect();
        if let Some(first) = ssrcs.first() {
            report::receiver_report(&mut scratch.rtcp, *first, &[]); // A compound packet starts with a report.
            report::goodbye(&mut scratch.rtcp, &ssrcs);
            send_rtcp(peer, scratch, out);
        }
    }
}

/// Seals the packets in `scratch.rtcp` and sends them as one datagram, which is counted where it cannot be sent.
pub(super) fn send_rtcp(peer: &mut Peer, scratch: &mut Scratch, out: &mut impl Outbox) {
    if scratch.rtcp.is_empty() {
        return;
    }
    let Some(to) = peer.remote_addr() else { return DropReason::NoConsent.count(1) };
    let sealed = scratch.sealed.as_mut_slice();
    match peer.seal_rtcp(&scratch.rtcp, sealed) {
        Ok(length) => out.send(to, &sealed[..length]),
        Err(_) => DropReason::NotSealed.count(1),
    }
}

/// Sends a packet once more, which is counted where it cannot be sent.
fn send_again(
    peer: &mut Peer,
    repaired: Repaired<'_>,
    sealed: &mut [u8; 2048],
    metrics: &Metrics,
    out: &mut impl Outbox,
) {
    let length = match repaired {
        Repaired::New { header, payload } => peer.seal_rtp(header, payload, sealed),
        Repaired::Again { header, payload } => peer.seal_rtp_again(header, payload, sealed),
    };
    match (length, peer.remote_addr()) {
        (Ok(length), Some(to)) => out.send(to, &sealed[..length]),
        (Ok(_), None) => DropReason::NoConsent.count(1),
        _ => metrics.unsealed.increment(1),
    }
}

/// Sends one frame to one viewer: a header and a seal per packet, and one send per run of equal lengths. Repair packets
/// (FEC) follow the packets that they cover. An error comes with the number of packets that are not sent for it.
fn send(
    peer: &mut Peer,
    sender: &mut Sender,
    outgoing: &Outgoing,
    packets: &Packets,
    transport_sequence: &mut u16,
    turn: &mut Turn<'_, impl Outbox>,
) -> Result<(), (SealError, u64)> {
    let Scratch { batch, payload: scratch, .. } = &mut *turn.scratch;
    let out = &mut *turn.out;
    let mut buffer = [0; HEADER_MAX];
    let Some(to) = peer.remote_addr() else {
        // The numbers are used up, so that the peer sees a loss when media goes on.
        for packet in packets.iter() {
            sender.header(&packet, transport_sequence, &mut buffer);
            DropReason::NoConsent.count(1);
        }
        return Ok(());
    };
    let parities = outgoing.parities(packets, sender.protection());
    for (index, packet) in packets.iter().enumerate() {
        let packet = sender.dressed(packet, outgoing, turn.now, scratch);
        let header = sender.header(&packet, transport_sequence, &mut buffer);
        put(peer, to, (header, packet.payload), batch, out).map_err(|error| (error, (packets.len() - index) as u64))?;
        for parity in parities.into_iter().flat_map(|parities| parities.after(index)) {
            let header = sender.repair_header(parity, packets, (transport_sequence, turn.now), &mut buffer, scratch);
            let Some(header) = header else { continue };
            let rest = (packets.len() - index) as u64; // The repair packet is one of them.
            put(peer, to, (header, scratch), batch, out).map_err(|error| (error, rest))?;
        }
    }
    out.send_batch(to, batch);
    Ok(())
}

/// Seals one packet into the batch, which is sent before if the packet does not fit.
fn put(
    peer: &mut Peer,
    to: Route,
    (header, payload): (&[u8], &[u8]),
    batch: &mut Batch,
    out: &mut impl Outbox,
) -> Result<(), SealError> {
    let length = peer.sealed_rtp_len(header.len() + payload.len());
    if !batch.takes(length) {
        out.send_batch(to, batch);
    }
    batch.push(length, |room| peer.seal_rtp(header, payload, room)).inspect_err(|_| {
        out.send_batch(to, batch); // The next viewer would get packets that stay in the shared batch.
    })
}
