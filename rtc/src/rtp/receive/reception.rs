//! The statistics of one incoming stream for receiver reports (RFC 3550 6.4.1, A.3, A.8).

use std::time::Instant;

use onmic_media::{ClockRate, Ticks};

use crate::rtp::feedback::{ReceptionBlock, SenderInformation};
use crate::rtp::sequence::Unwrap16;

#[derive(Debug)]
pub(super) struct Reception {
    ssrc: u32,
    rate: ClockRate,
    began: Instant,
    heard: Instant,
    sequence: Unwrap16,
    first: Option<i64>,
    highest: i64,
    received: i64,
    expected_before: i64,
    received_before: i64,
    transit: Option<u32>,
    /// The jitter times 16, as in A.8.
    jitter: u32,
    sender_report: Option<(u32, Instant)>,
}

impl Reception {
    pub(super) fn new(ssrc: u32, rate: ClockRate, now: Instant) -> Self {
        Self {
            ssrc,
            rate,
            began: now,
            heard: now,
            sequence: Unwrap16::default(),
            first: None,
            highest: 0,
            received: 0,
            expected_before: 0,
            received_before: 0,
            transit: None,
            jitter: 0,
            sender_report: None,
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Returns the time when the last packet came.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    pub(super) fn packet(&mut self, sequence: u16, timestamp: u32, now: Instant) {
        let sequence = self.sequence.unwrap(sequence);
        self.first.get_or_insert(sequence);
        self.highest = self.highest.max(sequence);
        self.received += 1;
        self.heard = now;
        let micros = now.saturating_duration_since(self.began).as_micros() as i64;
        let arrival = Ticks(micros).rescale(ClockRate::MICROS, self.rate).0 as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let distance = (transit.wrapping_sub(before) as i32).unsigned_abs();
            self.jitter =
                self.jitter.saturating_add(distance) - ((self.jitter.saturating_add(8)) >> 4).min(self.jitter);
        }
    }

    pub(super) fn sender_report(&mut self, information: &SenderInformation, now: Instant) {
        self.sender_report = Some(((information.ntp >> 16) as u32, now));
    }

    /// Returns the block for a report that is sent now. `None` before the first packet.
    pub(super) fn block(&mut self, now: Instant) -> Option<ReceptionBlock> {
        let expected = self.highest - self.first? + 1;
        let (expected_now, received_now) = (expected - self.expected_before, self.received - self.received_before);
        (self.expected_before, self.received_before) = (expected, self.received);
        let lost_now = (expected_now - received_now).max(0);
        let fraction_lost = if expected_now > 0 { (lost_now * 256 / expected_now).min(255) as u8 } else { 0 };
        let cumulative = (expected - self.received).clamp(-0x80_0000, 0x7f_ffff) as i32;
        let (last_sender_report, delay) = self.sender_report.map_or((0, 0), |(ntp, then)| {
            let since = now.saturating_duration_since(then).as_micros();
            (ntp, ((since << 16) / 1_000_000) as u32)
        });
        Some(ReceptionBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: cumulative,
            highest_sequence: self.highest as u32,
            jitter: self.jitter >> 4,
            last_sender_report,
            delay,
        })
    }
}
