//! Media of a publisher: the RTP of one stream for each track becomes frames, and RTCP goes back.
//!
//! A stream is known by the SSRC that its offer names, or else by the `mid` extension, or else by a payload type that
//! only one media section has. Simulcast is not accepted: a second SSRC in a media section counts once the first is
//! silent.

pub mod depacketize;
mod loss;
mod reception;
mod reorder;
mod stream;
mod timeline;
mod transport_cc;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Arrival, Codec, Parameters, TrackKey, WallTime};

use self::depacketize::Unusable;
use self::reception::Reception;
use self::stream::{Arrived, Stream};
use self::timeline::Timeline;
use self::transport_cc::TransportRecorder;
use super::feedback::{self, Feedback};
use super::packet::{ExtensionIds, Incoming as Packet, Mid};
use super::report;

/// After this long without a packet, another SSRC may take over a stream.
const SILENCE: Duration = Duration::from_secs(1);
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
    /// The codec parameters that are known beforehand (`sprop-parameter-sets`), if any.
    pub parameters: Option<Arc<Parameters>>,
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
    /// Packets that were asked for.
    pub nacked: u64,
    /// Keyframes that were asked for.
    pub picture_losses: u64,
}

impl IncomingCounters {
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
    streams: Vec<Stream>,
    timeline: Timeline,
    transport: TransportRecorder,
    arrivals: VecDeque<Arrival>,
    next_report: Instant,
    nacks: Vec<u16>,
    counters: IncomingCounters,
}

impl Incoming {
    /// Makes the streams. If several are for one track, only the first is kept.
    pub fn new(mut config: IncomingConfig, now: Instant) -> Self {
        let mut streams: Vec<Stream> = Vec::new();
        for stream in std::mem::take(&mut config.streams) {
            if streams.iter().all(|known| known.config.key != stream.key) {
                streams.push(Stream::new(stream));
            }
        }
        Self {
            config,
            streams,
            timeline: Timeline::new(now),
            transport: TransportRecorder::new(now),
            arrivals: VecDeque::new(),
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
        let Some(index) = self.attribute(&packet, extensions.mid, now) else {
            self.counters.unknown_stream += 1;
            return;
        };
        self.counters.packets += 1;
        let Self { streams, timeline, arrivals, counters, .. } = self;
        let stream = &mut streams[index];
        match stream.config.repaired(packet.payload_type) {
            Some(repaired) => {
                let Some((original, payload)) = packet.payload.split_first_chunk::<2>() else { return };
                packet.sequence = u16::from_be_bytes(*original);
                packet.payload = payload;
                packet.payload_type = repaired;
                counters.repaired += 1;
            }
            None => {
                let rate = timeline::clock_rate(stream.kind());
                let reception = stream.reception.get_or_insert_with(|| Reception::new(packet.ssrc, rate, now));
                reception.packet(packet.sequence, packet.timestamp, now);
            }
        }
        let key = stream.config.key;
        stream.handle(&packet, now, counters, |arrived| keep(arrivals, timeline, key, arrived, now));
        if let Some(captured) = extensions.captured {
            timeline.captured(key, packet.timestamp, captured);
        }
        let dropped = arrivals.len().saturating_sub(ARRIVALS_MAX);
        counters.not_taken += dropped as u64;
        arrivals.drain(..dropped);
    }

    /// Takes one opened RTCP datagram.
    pub fn handle_rtcp(&mut self, datagram: &[u8], now: Instant) {
        let Self { streams, timeline, counters, .. } = self;
        let read = feedback::read(datagram, |statement| match statement {
            Feedback::Sender(information) => {
                let Some(stream) = streams.iter_mut().find(|stream| stream.ssrc == Some(information.ssrc)) else {
                    return;
                };
                let wall = WallTime::from_ntp(information.ntp);
                timeline.sender_report(stream.config.key, information.timestamp, wall);
                if let Some(reception) = &mut stream.reception {
                    reception.sender_report(&information, now);
                }
            }
            Feedback::Goodbye { ssrc } => {
                streams.iter_mut().filter(|stream| stream.ssrc == Some(ssrc)).for_each(|stream| stream.ended = true);
            }
            _ => {}
        });
        counters.malformed += u64::from(read.is_err());
    }

    /// Gives up packets that are too late. Call it at [`Incoming::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let Self { streams, timeline, arrivals, counters, .. } = self;
        for stream in streams {
            let key = stream.config.key;
            stream.handle_timeout(now, counters, |arrived| keep(arrivals, timeline, key, arrived, now));
        }
    }

    /// Returns the next frame.
    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }

    /// Appends one RTCP datagram that is due to `out`, which must be empty, and returns whether one was due. Call it
    /// until false.
    pub fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let ssrc = self.config.ssrc;
        if now >= self.next_report && self.streams.iter().any(|stream| stream.reception.is_some()) {
            self.next_report = now + REPORT_INTERVAL;
            let receptions = self.streams.iter_mut().filter_map(|stream| stream.reception.as_mut());
            let blocks: Vec<_> = receptions.filter_map(|reception| reception.block(now)).collect();
            report::receiver_report(out, ssrc, &blocks);
            report::source_description(out, ssrc, &self.config.cname);
            return true;
        }
        for index in 0..self.streams.len() {
            if self.poll_stream_rtcp(index, now, out) {
                return true;
            }
        }
        let media = self.streams.iter().find_map(|stream| stream.ssrc).unwrap_or(0);
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
        let report = self.streams.iter().any(|stream| stream.reception.is_some()).then_some(self.next_report);
        let streams = self.streams.iter().filter_map(Stream::poll_timeout);
        streams.chain(report).chain(self.transport.timeout()).min()
    }

    /// Asks for a keyframe of the video for a viewer: at once, but at most every 500 ms.
    pub fn request_keyframe(&mut self) {
        self.streams.iter_mut().for_each(Stream::want_keyframe);
    }

    /// Returns whether the publisher said goodbye to every stream that it sent.
    pub fn is_ended(&self) -> bool {
        let mut heard = self.streams.iter().filter(|stream| stream.reception.is_some()).peekable();
        heard.peek().is_some() && heard.all(|stream| stream.ended)
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

    fn poll_stream_rtcp(&mut self, index: usize, now: Instant, out: &mut Vec<u8>) -> bool {
        let ssrc = self.config.ssrc;
        let stream = &mut self.streams[index];
        let Some(media) = stream.ssrc else { return false };
        if stream.poll_picture_loss(now) {
            self.counters.picture_losses += 1;
            self.begin_feedback(out);
            report::picture_loss(out, ssrc, media);
            return true;
        }
        self.nacks.clear();
        stream.poll_nack(now, &mut self.nacks);
        if self.nacks.is_empty() {
            return false;
        }
        self.counters.nacked += self.nacks.len() as u64;
        self.begin_feedback(out);
        report::nack(out, ssrc, media, self.nacks.iter().copied());
        true
    }

    /// Returns the index of the stream that a packet belongs to.
    fn attribute(&mut self, packet: &Packet<'_>, mid: Option<&[u8]>, now: Instant) -> Option<usize> {
        let ssrc = Some(packet.ssrc);
        if let Some(index) = self.streams.iter().position(|stream| stream.ssrc == ssrc || stream.repair_ssrc == ssrc) {
            return Some(index);
        }
        let index = match mid {
            Some(mid) => self.streams.iter().position(|stream| stream.config.mid.as_bytes() == mid)?,
            None => {
                let mut having = (0..self.streams.len()).filter(|i| self.streams[*i].config.has(packet.payload_type));
                let index = having.next()?;
                if having.next().is_some() {
                    return None; // Two sections have this payload type, so it does not tell them apart.
                }
                index
            }
        };
        let stream = &mut self.streams[index];
        if stream.config.repaired(packet.payload_type).is_some() {
            stream.repair_ssrc = ssrc;
        } else if stream.config.codec(packet.payload_type).is_some() {
            if let Some(reception) = &stream.reception {
                if now.saturating_duration_since(reception.heard()) < SILENCE {
                    return None;
                }
                stream.restart(packet.ssrc);
                self.timeline.restart(stream.config.key);
            }
            stream.ssrc = ssrc;
        }
        Some(index)
    }
}

fn keep(arrivals: &mut VecDeque<Arrival>, timeline: &mut Timeline, key: TrackKey, arrived: Arrived, now: Instant) {
    let place = timeline.place(key, arrived.timestamp, now);
    let assembled = arrived.assembled;
    arrivals.push_back(Arrival {
        rendition: key.rendition,
        dts: place,
        pts: place,
        keyframe: assembled.keyframe,
        parameters: assembled.parameters,
        payload: assembled.payload,
    });
}
