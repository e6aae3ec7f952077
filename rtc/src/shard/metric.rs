//! The metrics of a shard, each looked up once.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use onmic_media::metric::{self, Latency, LevelKind, LevelReason, Network, Repair};
use onmic_media::{DropReason, MediaKind};

use crate::rtp::choice::{Pick, Reason};
use crate::rtp::sender::{Guarded, RepairCounters};
use crate::transport::Dropped;
use crate::{tcp, udp};

/// The interval at which the socket's counts are passed on.
const INTERVAL: Duration = Duration::from_millis(200);

/// The forms of redundancy: FlexFEC of video, and RFC 2198 of audio.
const REDUNDANCY: [&str; 2] = ["fec", "red"];

pub(super) struct Metrics {
    dropped: [Counter; Dropped::ALL.len()],
    /// Datagrams that belong to no session.
    pub(super) unknown: Counter,
    /// Datagrams of other machines, where they are not taken.
    pub(super) foreign: Counter,
    /// Addresses that media of publishers came from before a check did.
    pub(super) new_addresses: Counter,
    /// Frames that a track evicted before the shard read them.
    pub(super) skipped: Counter,
    /// Frames that one viewer passed over.
    pub(super) passed_over: Counter,
    /// RTP packets that viewers sent.
    pub(super) from_viewers: Counter,
    /// RTCP packets that could not be parsed.
    pub(super) rtcp_malformed: Counter,
    /// Requests for packets that were cut short, because their viewer asks too fast.
    pub(super) nack_too_fast: Counter,
    /// Packets that a viewer asked for and that are not there.
    repair_unknown: Counter,
    /// Packets that a viewer asked for beyond its budget.
    repair_over_budget: Counter,
    networks: [OfNetwork; Network::ALL.len()],
    /// Packets that could not be sealed.
    pub(super) unsealed: Counter,
    sent_frames: [Counter; MediaKind::ALL.len()],
    redundant_packets: [Counter; 2],
    redundant_bytes: [Counter; 2],
    /// The time from a frame's arrival, or from its turn if it was held, until the kernel has the packets for the last viewer.
    pub(super) sending: Histogram,
    level_changes: [Counter; LevelReason::ALL.len()],
    levels: [Gauge; LevelKind::ALL.len()],
    sent_bytes: Counter,
    sent_packets: Counter,
    full: Counter,
    refused: Counter,
    tcp_full: Counter,
    passed_on: (udp::Counters, tcp::Counters),
    last: Option<Instant>,
}

/// What is counted apart for viewers whose networks lose as much.
pub(super) struct OfNetwork {
    pub(super) reports: Counter,
    pub(super) round_trip: Histogram,
    pub(super) hold: Histogram,
    pub(super) repair_age: Histogram,
    repairs: [Counter; Repair::ALL.len()],
}

impl OfNetwork {
    fn new(network: Network) -> Self {
        let name = network.name();
        let repairs =
            |index: usize| counter!(metric::WHEP_REPAIRS, "network" => name, "outcome" => Repair::ALL[index].name());
        Self {
            reports: counter!(metric::WHEP_REPORTS, "network" => name),
            round_trip: histogram!(metric::WHEP_ROUND_TRIP, "network" => name),
            hold: histogram!(metric::WHEP_HOLD, "network" => name),
            repair_age: histogram!(metric::WHEP_REPAIR_AGE, "network" => name),
            repairs: std::array::from_fn(repairs),
        }
    }

    /// Counts the repairs of a viewer from one moment to another.
    pub(super) fn repairs(&self, before: &RepairCounters, after: &RepairCounters) {
        for (counter, outcome) in self.repairs.iter().zip(Repair::ALL) {
            let count = |counters: &RepairCounters| match outcome {
                Repair::Asked => counters.asked,
                Repair::AskedAgain => counters.asked_again,
                Repair::Repeated => counters.repaired,
                Repair::Copied => counters.copies,
                Repair::Duplicate => counters.duplicate,
            };
            counter.increment(count(after) - count(before));
        }
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let frames = |kind: MediaKind| counter!(metric::FRAMES, "direction" => "out", "protocol" => "whep", "kind" => kind.name());
        Self {
            dropped: Dropped::ALL.map(|reason| reason.reason().counter()),
            unknown: DropReason::UnknownAddress.counter(),
            foreign: DropReason::OtherMachine.counter(),
            new_addresses: counter!(metric::RTC_NEW_ADDRESSES),
            skipped: DropReason::BehindWebrtc.counter(),
            passed_over: DropReason::BehindWhep.counter(),
            from_viewers: DropReason::RtpUnknownStream.counter(),
            rtcp_malformed: DropReason::RtcpMalformed.counter(),
            nack_too_fast: DropReason::NackTooFast.counter(),
            repair_unknown: DropReason::RepairUnknown.counter(),
            repair_over_budget: DropReason::RepairOverBudget.counter(),
            networks: std::array::from_fn(|index| OfNetwork::new(Network::ALL[index])),
            unsealed: DropReason::NotSealed.counter(),
            sent_frames: MediaKind::ALL.map(frames),
            redundant_packets: REDUNDANCY.map(|form| counter!(metric::RTC_REDUNDANT_PACKETS, "form" => form)),
            redundant_bytes: REDUNDANCY.map(|form| counter!(metric::RTC_REDUNDANT_BYTES, "form" => form)),
            sending: Latency::WhepSend.histogram(),
            level_changes: std::array::from_fn(
                |index| counter!(metric::WHEP_LEVEL_CHANGES, "reason" => LevelReason::ALL[index].name()),
            ),
            levels: std::array::from_fn(|index| gauge!(metric::WHEP_LEVELS, "level" => LevelKind::ALL[index].name())),
            sent_bytes: counter!(metric::BYTES, "direction" => "out", "protocol" => "rtc"),
            sent_packets: counter!(metric::PACKETS, "direction" => "out", "protocol" => "rtc"),
            full: DropReason::SocketFull.counter(),
            refused: DropReason::SocketRefused.counter(),
            tcp_full: DropReason::RtcTcpFull.counter(),
            passed_on: Default::default(),
            last: None,
        }
    }

    pub(super) fn dropped(&self, reason: Dropped) {
        let index = Dropped::ALL.iter().position(|known| *known == reason);
        self.dropped[index.expect("ALL lists every reason")].increment(1);
    }

    /// Counts the packets that a viewer did not get again, from one moment to another.
    pub(super) fn refused_repairs(&self, before: &RepairCounters, after: &RepairCounters) {
        self.repair_unknown.increment(after.unknown - before.unknown);
        self.repair_over_budget.increment(after.over_budget - before.over_budget);
    }

    pub(super) fn of(&self, network: Network) -> &OfNetwork {
        &self.networks[network as usize]
    }

    /// Counts that a viewer has another level than before.
    pub(super) fn level_changed(&self, reason: Reason) {
        let reason = match reason {
            Reason::Hand => LevelReason::Hand,
            Reason::Size => LevelReason::Size,
            Reason::Estimate => LevelReason::Estimate,
            Reason::Debt => LevelReason::Queue,
            Reason::Loss => LevelReason::Loss,
            Reason::Carried => LevelReason::Carried,
            Reason::Gone => LevelReason::Ended,
        };
        self.level_changes[reason as usize].increment(1);
    }

    /// Counts one more viewer of a level until the guard is dropped.
    pub(super) fn watches(&self, pick: Pick) -> Watching {
        let kind = match pick {
            Pick::AudioOnly => LevelKind::AudioOnly,
            Pick::Level(key) if key.leads() => LevelKind::Main,
            Pick::Level(key) if key.is_rung() => LevelKind::Rung,
            Pick::Level(_) => LevelKind::Rendition,
        };
        let gauge = self.levels[kind as usize].clone();
        gauge.increment(1);
        Watching(gauge)
    }

    pub(super) fn sent_frames(&self, kind: MediaKind, frames: u64) {
        self.sent_frames[kind as usize].increment(frames);
    }

    /// Counts what one track of a viewer sent beside its packets, between two states of its counters.
    pub(super) fn guarded(&self, now: Guarded, before: Guarded) {
        if now == before {
            return;
        }
        self.repair_over_budget.increment(now.fec_left_out - before.fec_left_out);
        let packets = [(now.fec_packets, before.fec_packets), (now.red_packets, before.red_packets)];
        let bytes = [(now.fec_octets, before.fec_octets), (now.red_octets, before.red_octets)];
        for (counter, (now, before)) in self.redundant_packets.iter().zip(packets) {
            counter.increment(now.wrapping_sub(before).into());
        }
        for (counter, (now, before)) in self.redundant_bytes.iter().zip(bytes) {
            counter.increment(now - before);
        }
    }

    /// Passes on what the ports counted since the last call. Does nothing within [`INTERVAL`] of
    /// it.
    pub(super) fn count(&mut self, new: (udp::Counters, tcp::Counters), now: Instant) {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            return;
        }
        self.last = Some(now);
        let ((udp, old_udp), (tcp, old_tcp)) = ((new.0, self.passed_on.0), (new.1, self.passed_on.1));
        self.sent_packets.increment(udp.sent - old_udp.sent + tcp.sent - old_tcp.sent);
        self.sent_bytes.increment(udp.sent_bytes - old_udp.sent_bytes + tcp.sent_bytes - old_tcp.sent_bytes);
        self.full.increment(udp.dropped_full - old_udp.dropped_full);
        self.refused.increment(udp.dropped_refused - old_udp.dropped_refused);
        self.tcp_full.increment(tcp.dropped - old_tcp.dropped);
        self.passed_on = new;
    }
}

/// Counts as one viewer of a level while it lives.
pub(super) struct Watching(Gauge);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
