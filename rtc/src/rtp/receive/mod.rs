//! Media of a publisher: the RTP of one stream for each track becomes frames, and RTCP goes back.
//!
//! A stream is known by the SSRC that its offer names, or else by the `mid` extension, or else by a payload type that
//! only one media section has. Of several streams of a section one is its track, and simulcast layers are further renditions
//! ([`section`]). The codec of a stream is that of the payload type that arrives, which may change with every frame.

pub mod depacketize;
mod layer;
mod loss;
mod markers;
mod reception;
mod release;
mod reorder;
mod round_trip;
mod section;
mod stream;
mod timeline;
mod transport_cc;
mod wall;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Alignment, Arrival, Codec, LeftOut, MediaKind, Parameters, Ticks, TrackKey};

use self::depacketize::Unusable;
use self::reception::Reception;
use self::release::Release;
pub use self::release::Released;
use self::round_trip::RoundTrip;
pub use self::section::LAYERS_MAX;
use self::section::{Section, Verdict};
use self::stream::{Arrived, Path, Stream};
use self::timeline::Timeline;
use self::transport_cc::TransportRecorder;
use super::feedback::{self, Feedback};
use super::ntp::Ntp;
use super::packet::{ExtensionIds, Incoming as Packet, LayerIds, Mid};
use super::report;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The most frames that wait to be taken. The driver takes them after every packet.
const ARRIVALS_MAX: usize = 4096;

/// The values that were negotiated with a publisher.
#[derive(Clone, Debug, Default)]
pub struct IncomingConfig {
    /// Our SSRC in reports and feedback.
    pub ssrc: u32,
    /// Our canonical name in reports.
    pub cname: String,
    /// The ids of the header extensions.
    pub extensions: ExtensionIds,
    /// The ids of the header extensions that name simulcast layers.
    pub layers: LayerIds,
    /// Whether feedback may go without a report in front (`a=rtcp-rsize`).
    pub reduced_size: bool,
    /// The streams, one for each track.
    pub streams: Vec<StreamConfig>,
}

/// The negotiated values of one media section.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// The key of the track that the stream becomes.
    pub key: TrackKey,
    /// The `mid` of the section.
    pub mid: Mid,
    /// The payload types, each with its codec.
    pub formats: Vec<(u8, Codec)>,
    /// The payload types of repairs, each with the one that it repairs (RFC 4588 `apt`).
    pub repairs: Vec<(u8, u8)>,
    /// The SSRC from `a=ssrc`, if the offer has one.
    pub ssrc: Option<u32>,
    /// The SSRC of repairs from `a=ssrc-group:FID`, if the offer has one.
    pub repair_ssrc: Option<u32>,
    /// Whether lost packets may be asked for.
    pub nack: bool,
    /// The codec parameters that are known beforehand (`sprop-parameter-sets`). The first of a codec count.
    pub parameters: Vec<Arc<Parameters>>,
}

impl StreamConfig {
    fn codec(&self, payload_type: u8) -> Option<Codec> {
        let format = self.formats.iter().find(|format| format.0 == payload_type)?;
        (format.1.kind() == self.key.kind).then_some(format.1)
    }

    fn repaired(&self, payload_type: u8) -> Option<u8> {
        self.repairs.iter().find(|repair| repair.0 == payload_type).map(|repair| repair.1)
    }

    fn has(&self, payload_type: u8) -> bool {
        self.codec(payload_type).is_some() || self.repaired(payload_type).is_some()
    }
}

/// The counters of incoming media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncomingCounters {
    /// RTP packets of a known stream.
    pub packets: u64,
    /// Frames handed out.
    pub frames: u64,
    /// Packets that came as repairs.
    pub repaired: u64,
    /// Packets that were given up.
    pub lost: u64,
    /// Places where packets were given up.
    pub gaps: u64,
    /// Packets that came twice or after they were given up.
    pub late_or_duplicate: u64,
    /// RTP packets and RTCP datagrams that do not parse.
    pub malformed: u64,
    /// Packets of a stream that was not announced.
    pub unknown_stream: u64,
    /// Packets of a payload type that was not announced.
    pub unknown_payload_type: u64,
    /// Payloads that break the rules of their format.
    pub malformed_payload: u64,
    /// Frames that are larger than the cap.
    pub too_large: u64,
    /// Frames that came before any codec parameters.
    pub no_parameters: u64,
    /// Frames that lost a packet.
    pub dropped_incomplete: u64,
    /// Whole frames that refer to a lost frame.
    pub dropped_waiting: u64,
    /// Losses that are too large to ask for.
    pub nack_overflow: u64,
    /// Frames that the driver did not take.
    pub not_taken: u64,
    /// Frames of streams that are not published, because another of their section is.
    pub other_layer: u64,
    /// Packets that were asked for.
    pub nacked: u64,
    /// Keyframes that were asked for.
    pub picture_losses: u64,
}

impl IncomingCounters {
    /// Returns the number of frames and packets that [`Incoming::left_out`] tells of.
    pub fn left_out(&self) -> u64 {
        self.no_parameters + self.dropped_waiting + self.unknown_payload_type
    }

    fn count(&mut self, reason: Unusable) {
        match reason {
            Unusable::Malformed => self.malformed_payload += 1,
            Unusable::TooLarge => self.too_large += 1,
            Unusable::NoParameters => self.no_parameters += 1,
            Unusable::Empty => {}
        }
    }
}

/// The incoming media of one publisher.
#[derive(Debug)]
pub struct Incoming {
    config: IncomingConfig,
    sections: Vec<Section>,
    timeline: Timeline,
    transport: TransportRecorder,
    round_trip: RoundTrip,
    release: Release,
    arrivals: VecDeque<Released>,
    /// The further renditions that have ended. There are no more than sections have layers.
    ended: Vec<TrackKey>,
    /// The frames that one packet completed. Empty between calls, and kept for its capacity.
    completed: Vec<Arrived>,
    began: Instant,
    next_report: Instant,
    nacks: Vec<u16>,
    counters: IncomingCounters,
}

impl Incoming {
    /// Makes the sections. If several are for one track, only the first is kept.
    pub fn new(mut config: IncomingConfig, now: Instant) -> Self {
        let mut sections: Vec<Section> = Vec::new();
        // Layers are numbered behind the sections of video.
        let streams = std::mem::take(&mut config.streams);
        let mut first = streams.iter().map(|stream| stream.key.rendition.0).max().unwrap_or(0).saturating_add(1);
        for stream in streams {
            if sections.iter().all(|known| known.config.key != stream.key) {
                sections.push(Section::new(stream, first));
                first = first.saturating_add(LAYERS_MAX as u8 - 1);
            }
        }
        Self {
            config,
            sections,
            completed: Vec::new(),
            timeline: Timeline::new(now),
            transport: TransportRecorder::new(now),
            round_trip: RoundTrip::default(),
            release: Release::new(now),
            arrivals: VecDeque::new(),
            ended: Vec::new(),
            began: now,
            next_report: now + REPORT_INTERVAL,
            nacks: Vec::new(),
            counters: IncomingCounters::default(),
        }
    }

    /// Takes one opened RTP packet. [`Incoming::poll_arrival`] returns the frames that it completes.
    pub fn handle_rtp(&mut self, packet: &[u8], now: Instant) {
        let Some(mut packet) = Packet::parse(packet) else {
            self.counters.malformed += 1;
            return;
        };
        let extensions = packet.extensions(&self.config.extensions);
        if let Some(sequence) = extensions.transport_sequence {
            self.transport.packet(sequence, now);
        }
        let Some((at, index)) = self.attribute(&packet, extensions.mid, now) else { return };
        self.counters.packets += 1;
        let Self { sections, completed, counters, round_trip, .. } = self;
        let section = &mut sections[at];
        let stream = &mut section.streams[index];
        let repaired = section.config.repaired(packet.payload_type);
        match repaired {
            Some(repaired) => {
                let Some((original, payload)) = packet.payload.split_first_chunk::<2>() else {
                    counters.malformed += u64::from(!packet.payload.is_empty()); // Else it is padding that probes for bandwidth.
                    return;
                };
                packet.sequence = u16::from_be_bytes(*original);
                packet.payload = payload;
                packet.payload_type = repaired;
                counters.repaired += 1;
            }
            None => {
                stream.ended = None;
                let rate = timeline::clock_rate(stream.kind());
                let reception = stream.reception.get_or_insert_with(|| Reception::new(packet.ssrc, rate, now));
                reception.packet(packet.sequence, packet.timestamp, now);
            }
        }
        let path = Path { round_trip, counters, now };
        stream.handle(&packet, repaired.is_some(), path, |arrived| completed.push(arrived));
        self.deliver((at, index), now);
        let section = &self.sections[at];
        if let Some(captured) = extensions.captured
            && section.is_leader(index)
        {
            self.timeline.captured(section.config.key, packet.timestamp, captured, now);
        }
        self.take_due(now);
    }

    /// Takes one opened RTCP datagram.
    pub fn handle_rtcp(&mut self, datagram: &[u8], now: Instant) {
        let Self { sections, timeline, counters, round_trip, began, config, .. } = self;
        let read = feedback::read(datagram, |statement| match statement {
            Feedback::Sender(information) => {
                let known =
                    |section: &Section| section.streams.iter().position(|stream| stream.ssrc == information.ssrc);
                let found = sections.iter_mut().find_map(|section| Some((known(section)?, section)));
                let Some((index, section)) = found else { return };
                let wall = Ntp(information.ntp);
                if section.is_leader(index) {
                    timeline.sender_report(section.config.key, information.timestamp, wall, now);
                }
                let stream = &mut section.streams[index];
                if let Some(layer) = stream.further {
                    let key = TrackKey::new(section.config.key.kind, layer.rendition);
                    timeline.sender_report(key, information.timestamp, wall, now);
                }
                stream.report = Some((wall, information.timestamp));
                if let Some(reception) = &mut stream.reception {
                    reception.sender_report(&information, now);
                }
            }
            Feedback::Answer(answer) if answer.ssrc == config.ssrc => {
                if let Some(sample) = answer.round_trip(reference_time(*began, now)) {
                    round_trip.reported(sample, now);
                }
            }
            Feedback::Goodbye { ssrc } => {
                let streams = sections.iter_mut().flat_map(|section| &mut section.streams);
                streams.filter(|stream| stream.ssrc == ssrc).for_each(|stream| {
                    stream.ended.get_or_insert(now);
                });
            }
            _ => {}
        });
        counters.malformed += u64::from(read.is_err());
    }

    /// Gives up packets that are too late, and releases frames whose turn it is. Call it at [`Incoming::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.sections.len() {
            for index in 0..self.sections[at].streams.len() {
                let Self { sections, completed, counters, round_trip, .. } = self;
                let path = Path { round_trip, counters, now };
                sections[at].streams[index].handle_timeout(path, |arrived| completed.push(arrived));
                self.deliver((at, index), now);
            }
            for key in self.sections[at].end_layers(now) {
                self.timeline.forget(key);
                self.ended.push(key);
            }
        }
        self.take_due(now);
    }

    /// Takes in that the session has ended. [`Incoming::poll_arrival`] returns the frames that are whole without a further packet.
    pub fn end(&mut self, now: Instant) {
        for at in 0..self.sections.len() {
            for index in 0..self.sections[at].streams.len() {
                let Self { sections, completed, counters, .. } = self;
                sections[at].streams[index].end(counters, |arrived| completed.push(arrived));
                self.deliver((at, index), now);
            }
        }
        self.arrivals.extend(std::iter::from_fn(|| self.release.pop()));
    }

    /// Returns the next frame, and when it was ready.
    pub fn poll_released(&mut self) -> Option<Released> {
        self.arrivals.pop_front()
    }

    /// Returns the next frame.
    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        Some(self.poll_released()?.arrival)
    }

    /// Returns how long frames are held at present, so that those which waited for repairs are no later than others.
    pub fn held_for(&self) -> Duration {
        self.release.delay()
    }

    /// Returns the round trip to the publisher, as far as it is known.
    pub fn round_trip(&self) -> Duration {
        self.round_trip.get()
    }

    /// Returns the next further rendition that has ended. It may begin again.
    pub fn poll_ended(&mut self) -> Option<TrackKey> {
        self.ended.pop()
    }

    /// Appends one RTCP datagram that is due to `out`, which must be empty, and returns whether one was due. Call it
    /// until false.
    pub fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let ssrc = self.config.ssrc;
        if now >= self.next_report && self.streams().any(|stream| stream.reception.is_some()) {
            self.next_report = now + REPORT_INTERVAL;
            let streams = self.sections.iter_mut().flat_map(|section| &mut section.streams);
            let receptions = streams.filter_map(|stream| stream.reception.as_mut());
            let blocks: Vec<_> = receptions.filter_map(|reception| reception.block(now)).collect();
            report::receiver_report(out, ssrc, &blocks);
            report::source_description(out, ssrc, &self.config.cname);
            report::reference_time(out, ssrc, reference_time(self.began, now));
            return true;
        }
        for at in 0..self.sections.len() {
            for index in 0..self.sections[at].streams.len() {
                if self.poll_stream_rtcp((at, index), now, out) {
                    return true;
                }
            }
        }
        let media = self.streams().next().map_or(0, |stream| stream.ssrc);
        let start = out.len();
        self.begin_feedback(out);
        if self.transport.poll(now, ssrc, media, out) {
            return true;
        }
        out.truncate(start);
        false
    }

    /// Returns the time at which [`Incoming::handle_timeout`] and [`Incoming::poll_rtcp`] have work.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let report = self.streams().any(|stream| stream.reception.is_some()).then_some(self.next_report);
        let streams = self.streams().filter_map(|stream| stream.poll_timeout(&self.round_trip));
        streams.chain(report).chain(self.transport.timeout()).chain(self.release.poll_timeout()).min()
    }

    /// Asks for a keyframe of the video for a viewer: at once, but at most every 500 ms.
    pub fn request_keyframe(&mut self) {
        self.sections.iter_mut().for_each(Section::want_keyframe);
    }

    /// Returns the time since when the publisher has said goodbye to every stream that is published. `None` while one
    /// goes on, and before the first.
    pub fn goodbye(&self) -> Option<Instant> {
        let ended = self.sections.iter().filter_map(Section::leader).map(|stream| stream.ended);
        ended.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Returns what the newest frames of each kind lack, so that they are left out.
    pub fn left_out(&self) -> impl Iterator<Item = (MediaKind, &LeftOut)> {
        self.sections.iter().filter_map(|section| {
            let stream = section.leader().or_else(|| section.streams.first())?;
            Some((stream.kind(), stream.lacks.as_ref()?))
        })
    }

    /// Returns what tells at present how the tracks lie beside each other.
    pub fn alignment(&mut self, now: Instant) -> Alignment {
        self.timeline.alignment(now)
    }

    /// Returns the counters.
    pub fn counters(&self) -> IncomingCounters {
        self.counters
    }

    fn begin_feedback(&self, out: &mut Vec<u8>) {
        if !self.config.reduced_size {
            report::receiver_report(out, self.config.ssrc, &[]);
        }
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.sections.iter().flat_map(|section| &section.streams)
    }

    /// Publishes the frames that a stream has completed: as the track of its section if it leads or takes the lead, and as a further
    /// rendition if it is another layer.
    fn deliver(&mut self, (at, index): (usize, usize), now: Instant) {
        let Self { sections, timeline, round_trip, release, completed, counters, .. } = self;
        let section = &mut sections[at];
        let key = section.config.key;
        for arrived in completed.drain(..) {
            let verdict = section.judge(index, &arrived, now);
            let (ready, report) = (arrived.ready.min(now), section.streams[index].report);
            let spare = section.streams[index].spare(round_trip);
            let mut publish = |key, place| {
                counters.frames += 1;
                spare.inspect(|spare| release.note(ready, *spare, now));
                release.push(arrival(key, place, &arrived), ready);
            };
            let mut is_left_out = verdict == Verdict::LeftOut;
            let layer = section.layer(index, now);
            if let Some(layer) = layer {
                let own = TrackKey::new(key.kind, layer.rendition);
                let (place, is_related) = timeline.place_layer((own, key), arrived.timestamp, layer.has_begun, ready);
                if let Some((wall, timestamp)) = report.filter(|_| !layer.has_begun) {
                    timeline.sender_report(own, timestamp, wall, now);
                }
                if section.begin_layer(index, arrived.assembled.keyframe, is_related, now) {
                    publish(own, place);
                    is_left_out = false;
                }
                if verdict == Verdict::TakesLead && layer.has_begun {
                    timeline.take_over(key, own); // It leads where it was.
                    publish(key, place);
                    continue;
                }
            }
            if verdict == Verdict::LeftOut {
                counters.other_layer += u64::from(is_left_out);
                continue;
            }
            if verdict == Verdict::TakesLead {
                timeline.restart_beside_layers(key, arrived.timestamp, report, ready);
            }
            publish(key, timeline.place(key, arrived.timestamp, ready));
            if let (Verdict::TakesLead, Some((wall, timestamp))) = (verdict, report) {
                timeline.sender_report(key, timestamp, wall, now);
            }
        }
        section.rest(index, now);
    }

    /// Hands out the frames whose turn it is.
    fn take_due(&mut self, now: Instant) {
        let Self { release, arrivals, counters, .. } = self;
        arrivals.extend(std::iter::from_fn(|| release.poll(now)));
        let dropped = arrivals.len().saturating_sub(ARRIVALS_MAX);
        counters.not_taken += dropped as u64;
        arrivals.drain(..dropped);
    }

    fn poll_stream_rtcp(&mut self, (at, index): (usize, usize), now: Instant, out: &mut Vec<u8>) -> bool {
        let ssrc = self.config.ssrc;
        let stream = &mut self.sections[at].streams[index];
        let media = stream.ssrc;
        if stream.poll_picture_loss(now) {
            self.counters.picture_losses += 1;
            self.begin_feedback(out);
            report::picture_loss(out, ssrc, media);
            return true;
        }
        self.nacks.clear();
        stream.poll_nack(&self.round_trip, now, &mut self.nacks);
        if self.nacks.is_empty() {
            return false;
        }
        self.counters.nacked += self.nacks.len() as u64;
        self.begin_feedback(out);
        report::nack(out, ssrc, media, self.nacks.iter().copied());
        true
    }

    /// Returns the section and the stream that a packet belongs to. Counts a packet that belongs to none.
    fn attribute(&mut self, packet: &Packet<'_>, mid: Option<&[u8]>, now: Instant) -> Option<(usize, usize)> {
        let mut sections = self.sections.iter().enumerate();
        let known = sections.find_map(|(at, section)| Some((at, section.stream_of(packet.ssrc)?)));
        if known.is_some() {
            return known;
        }
        let having = |section: &&Section| section.config.has(packet.payload_type);
        let at = match mid {
            Some(mid) => self.sections.iter().position(|section| section.config.mid.as_bytes() == mid),
            // A payload type that two sections have does not tell them apart.
            None if self.sections.iter().filter(having).count() > 1 => None,
            None => self.sections.iter().position(|section| having(&section)),
        };
        let layer = packet.layer(&self.config.layers);
        let Some(section) = at.and_then(|at| self.sections.get_mut(at)) else {
            self.counters.unknown_stream += 1;
            return None;
        };
        if !section.config.has(packet.payload_type) {
            self.counters.unknown_payload_type += 1;
            return None;
        }
        let adopted = section.adopt(packet, layer, now, &mut self.counters);
        self.counters.unknown_stream += u64::from(adopted.is_none());
        Some((at?, adopted?))
    }
}

/// Returns the moment as reference times have it. They say how much time passed for us, and no date.
fn reference_time(began: Instant, now: Instant) -> Ntp {
    let since = now.saturating_duration_since(began);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    Ntp((since.as_secs() + 1) << 32 | fraction)
}

fn arrival(key: TrackKey, place: Ticks, arrived: &Arrived) -> Arrival {
    let assembled = &arrived.assembled;
    Arrival {
        rendition: key.rendition,
        dts: place,
        pts: place,
        keyframe: assembled.keyframe,
        parameters: assembled.parameters.clone(),
        payload: assembled.payload.clone(),
    }
}
