//! A publisher's session: RTP comes in, frames go to its publication, RTCP goes back.

use std::time::{Duration, Instant};

use metrics::{Counter, counter};
use onmic_media::ended::{Ended, TakenOver};
use onmic_media::{DropReason, MediaKind, Publication, metric};

use super::outbox::Outbox;
use super::viewer::{Scratch, send_rtcp};
use crate::negotiate::Receiving;
use crate::rtp::receive::{Incoming, IncomingConfig, IncomingCounters, Released, StreamConfig};
use crate::rtp::{ExtensionIds, LayerIds, Mid};
use crate::transport::Peer;

/// Reads one of the counters of incoming media.
type Count = fn(&IncomingCounters) -> u64;

/// The part of a session that is a publisher's own.
pub(super) struct Publisher {
    publication: Publication,
    incoming: Incoming,
    frames: [Counter; MediaKind::ALL.len()],
    bytes: Counter,
    /// The bytes that came since they were counted last.
    received: u64,
    drops: Vec<(Counter, Count)>,
    /// The kinds of the media sections that the answer accepts.
    announced: Vec<MediaKind>,
    passed_on: IncomingCounters,
}

impl Publisher {
    pub(super) fn new(publication: Publication, receiving: Vec<Receiving>, now: Instant) -> Self {
        let frames = |kind: MediaKind| counter!(metric::FRAMES, "direction" => "in", "protocol" => "whip", "kind" => kind.name());
        Self {
            publication,
            announced: receiving.iter().map(|section| section.key.kind).collect(),
            incoming: Incoming::new(config(receiving), now),
            frames: MediaKind::ALL.map(frames),
            bytes: counter!(metric::BYTES, "direction" => "in", "protocol" => "whip"),
            received: 0,
            drops: drops(),
            passed_on: IncomingCounters::default(),
        }
    }

    /// Notes that the peer is connected.
    pub(super) fn connected(&mut self, now: Instant) {
        self.publication.arrived(now);
        for kind in self.announced.drain(..) {
            self.publication.announced(kind, now);
        }
    }

    /// Returns the name of the source that is published.
    pub(super) fn name(&self) -> String {
        self.publication.source().name().to_string()
    }

    /// Returns the counts of frames and losses so far.
    pub(super) fn counters(&self) -> IncomingCounters {
        self.incoming.counters()
    }

    /// Returns how long frames are held at present, and the round trip, for the log.
    pub(super) fn timing(&self) -> (Duration, Duration) {
        (self.incoming.held_for(), self.incoming.round_trip())
    }

    /// Takes one RTP packet, and publishes the frames that it completes. The publisher is charged for it, whatever it brings.
    pub(super) fn handle_rtp(&mut self, packet: &[u8], now: Instant) -> Result<(), Ended> {
        self.received += packet.len() as u64;
        self.publication.received(packet.len(), 1, now)?;
        self.incoming.handle_rtp(packet, now);
        self.publish(now)
    }

    /// Takes one RTCP datagram, which is charged in the same way.
    pub(super) fn handle_rtcp(&mut self, datagram: &[u8], now: Instant) -> Result<(), Ended> {
        self.received += datagram.len() as u64;
        self.publication.received(datagram.len(), 1, now)?;
        self.incoming.handle_rtcp(datagram, now);
        Ok(())
    }

    /// Gives up packets that will not come any more, and publishes the frames that this releases.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Ended> {
        self.incoming.handle_timeout(now);
        // A publisher that sends nothing would not learn this by pushing.
        if !self.is_current() {
            return Err(TakenOver.into());
        }
        self.publish(now)
    }

    /// Publishes what is whole when the session ends, and counts the rest.
    pub(super) fn end(&mut self, now: Instant) {
        self.incoming.end(now);
        let _ = self.publish(now); // Whoever has the name now, the session is over.
        self.bytes.increment(std::mem::take(&mut self.received));
    }

    /// Sends the reports and requests that are due, with the viewers' request for a keyframe.
    pub(super) fn send_feedback(
        &mut self,
        peer: &mut Peer,
        now: Instant,
        scratch: &mut Scratch,
        out: &mut impl Outbox,
    ) {
        if self.publication.take_keyframe_wanted() {
            self.incoming.request_keyframe();
        }
        scratch.rtcp.clear();
        while self.incoming.poll_rtcp(now, &mut scratch.rtcp) {
            send_rtcp(peer, scratch, out);
            scratch.rtcp.clear();
        }
    }

    /// Returns the time at which [`Publisher::handle_timeout`] or [`Publisher::send_feedback`] has
    /// work.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.incoming.poll_timeout().into_iter().chain(self.publication.advice_timeout()).min()
    }

    /// Returns whether the publication is still its own, and no other publisher took it over.
    pub(super) fn is_current(&self) -> bool {
        self.publication.is_current()
    }

    /// Returns the time since when the publisher has said goodbye to all that it sends, if it has.
    pub(super) fn goodbye(&self) -> Option<Instant> {
        self.incoming.goodbye()
    }

    fn publish(&mut self, now: Instant) -> Result<(), Ended> {
        self.publication.align(self.incoming.alignment(now));
        let mut outcome = Ok(());
        while let Some(Released { arrival, ready }) = self.incoming.poll_released() {
            if outcome.is_err() {
                DropReason::FrameAfterEnd.count(1);
                continue;
            }
            self.frames[arrival.parameters.kind() as usize].increment(1);
            self.bytes.increment(std::mem::take(&mut self.received));
            outcome = self.publication.push_held(arrival, ready, now);
        }
        while let Some(key) = self.incoming.poll_ended() {
            self.publication.end_track(key);
        }
        self.count(now);
        advise(&mut self.publication, now);
        outcome
    }

    fn count(&mut self, now: Instant) {
        let counters = self.incoming.counters();
        if counters != self.passed_on {
            if counters.left_out() != self.passed_on.left_out() {
                for (kind, cause) in self.incoming.left_out() {
                    self.publication.left_out(kind, cause.clone(), now);
                }
            }
            for (counter, value) in &self.drops {
                counter.increment(value(&counters) - value(&self.passed_on));
            }
            self.passed_on = counters;
        }
    }
}

/// Brings the advice up to date. WHIP has no message that could carry it, so the log, the API and the pages tell it.
pub(crate) fn advise(publication: &mut Publication, now: Instant) {
    for sentence in publication.poll_advice(now) {
        tracing::info!(source = %publication.source().name(), sentence, "a publisher is advised");
    }
}

fn drops() -> Vec<(Counter, Count)> {
    let reasons: [(DropReason, Count); 13] = [
        (DropReason::PacketLost, |counters| counters.lost),
        (DropReason::PacketLateOrDuplicate, |counters| counters.late_or_duplicate),
        (DropReason::RtpMalformed, |counters| counters.malformed),
        (DropReason::RtpUnknownStream, |counters| counters.unknown_stream),
        (DropReason::RtpUnknownPayloadType, |counters| counters.unknown_payload_type),
        (DropReason::PayloadMalformed, |counters| counters.malformed_payload),
        (DropReason::FrameTooLarge, |counters| counters.too_large),
        (DropReason::FrameWithoutParameters, |counters| counters.no_parameters),
        (DropReason::FrameIncomplete, |counters| counters.dropped_incomplete),
        (DropReason::FrameWaitingForKeyframe, |counters| counters.dropped_waiting),
        (DropReason::NackOverflow, |counters| counters.nack_overflow),
        (DropReason::FrameNotTaken, |counters| counters.not_taken),
        (DropReason::FrameOfOtherLayer, |counters| counters.other_layer),
    ];
    reasons.map(|(reason, value)| (reason.counter(), value)).into()
}

fn config(receiving: Vec<Receiving>) -> IncomingConfig {
    let extensions = receiving.iter().fold(ExtensionIds::default(), |ids, section| ExtensionIds {
        // With BUNDLE an extension has one id in all sections (RFC 8843 9.2).
        mid: ids.mid.max(section.extensions.mid),
        transport_cc: ids.transport_cc.max(if section.transport_cc { section.extensions.transport_cc } else { 0 }),
        playout_delay: 0,
        abs_capture_time: ids.abs_capture_time.max(section.extensions.abs_capture_time),
    });
    let layers = receiving.iter().fold(LayerIds::default(), |ids, section| LayerIds {
        rid: ids.rid.max(section.layers.rid),
        repaired_rid: ids.repaired_rid.max(section.layers.repaired_rid),
    });
    let reduced_size = receiving.iter().all(|section| section.reduced_size);
    let streams = receiving.into_iter().map(|section| StreamConfig {
        key: section.key,
        mid: Mid::new(&section.mid).unwrap_or_default(),
        formats: section.formats.iter().map(|format| (format.payload_type, format.codec)).collect(),
        repairs: section.formats.iter().filter_map(|format| Some((format.rtx?, format.payload_type))).collect(),
        ssrc: section.ssrc,
        repair_ssrc: section.rtx_ssrc,
        nack: section.nack,
        parameters: section.formats.into_iter().filter_map(|format| format.parameters).collect(),
    });
    IncomingConfig {
        ssrc: rand::random_range(1..=u32::MAX),
        cname: format!("{:016x}", rand::random::<u64>()),
        extensions,
        layers,
        reduced_size,
        streams: streams.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use onmic_media::hub::HubLimits;
    use onmic_media::{Hub, NodeClock, Protocol};

    use super::*;

    #[test]
    fn packets_that_bring_no_frame_and_reports_are_charged() {
        let start = Instant::now();
        let limits = HubLimits { bitrate: 1_000_000, ..HubLimits::default() };
        let padding = [&[0xa0, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9][..], &[0; 254], &[255]].concat();
        let report = [&[0x80, 200, 0, 6][..], &[0; 24]].concat();
        for (packet, is_rtp, least) in [(&padding, true, 267), (&report, false, 256)] {
            let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), limits, None);
            let publication = hub.publish(&"demo".parse().unwrap(), Protocol::Whip, start).unwrap();
            let mut publisher = Publisher::new(publication, Vec::new(), start);
            let mut take = |now| match is_rtp {
                true => publisher.handle_rtp(packet, now),
                false => publisher.handle_rtcp(packet, now),
            };
            let taken = (0..100_000).take_while(|_| take(start).is_ok()).count();
            // Four seconds: 128 kB and 400 times 256 bytes in each.
            assert!((4 * 230_000..4 * 233_000).contains(&(taken * least)), "{taken}");
            let later = take(start + Duration::from_secs(1));
            assert_eq!(later, Err(Ended::TooMuch(limits.bitrate)), "it is over");
        }
    }
}
