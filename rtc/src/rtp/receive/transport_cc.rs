//! Transport-wide feedback: when each packet arrived, for the publisher's congestion control
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! A packet that comes after a feedback which called it lost was only overtaken. The next feedback begins with it, and states once
//! more what came after it, so that a sender takes jitter for no loss.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::report;
use crate::rtp::sequence::Unwrap16;

/// The interval of feedback: Chromium's estimator was tuned for it.
const INTERVAL: Duration = Duration::from_millis(50);
/// The most packets in one feedback: at worst 2 bytes for each, and chunks.
const PACKETS_MAX: usize = 400;
/// The most numbers from the first that was not reported to the newest.
const WINDOW: usize = 4096;
const TICK_MICROS: i64 = 250;
const REFERENCE_MICROS: i64 = 64_000;

/// Packets that were reported on are remembered for this long, and this many of them: what comes later was lost.
const REMEMBERED: Duration = Duration::from_millis(500);
const REMEMBERED_MAX: usize = 300;

#[derive(Debug)]
pub(super) struct TransportRecorder {
    began: Instant,
    sequence: Unwrap16,
    /// The number that `arrivals[0]` stands for.
    base: i64,
    arrivals: VecDeque<Option<Instant>>,
    /// The number of arrivals in front that were reported.
    reported: usize,
    count: u8,
    next: Option<Instant>,
}

impl TransportRecorder {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            sequence: Unwrap16::default(),
            base: 0,
            arrivals: VecDeque::new(),
            reported: 0,
            count: 0,
            next: None,
        }
    }

    pub(super) fn packet(&mut self, sequence: u16, now: Instant) {
        let sequence = self.sequence.unwrap(sequence);
        if self.next.is_none() {
            self.base = sequence;
        }
        let Ok(mut ahead) = usize::try_from(sequence - self.base) else { return }; // It was reported as lost long ago.
        if ahead >= self.reported + WINDOW {
            self.arrivals.clear();
            (self.base, self.reported, ahead) = (sequence, 0, 0);
        }
        if self.arrivals.len() <= ahead {
            self.arrivals.resize(ahead + 1, None);
        }
        if self.arrivals[ahead].is_none() {
            self.arrivals[ahead] = Some(now);
            self.reported = self.reported.min(ahead);
        }
        self.next.get_or_insert(now + INTERVAL);
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.next.filter(|_| self.arrivals.len() > self.reported)
    }

    /// Appends the feedback that is due, and returns whether some was due. Call it until false.
    pub(super) fn poll(&mut self, now: Instant, sender: u32, media: u32, out: &mut Vec<u8>) -> bool {
        if self.timeout().is_none_or(|next| now < next) {
            return false;
        }
        let leading = self.arrivals.iter().skip(self.reported).take_while(|arrival| arrival.is_none()).count();
        let micros = |at: Instant| at.saturating_duration_since(self.began).as_micros() as i64;
        let Some(first) = self.arrivals.get(self.reported + leading).copied().flatten().map(micros) else {
            self.reported = self.arrivals.len();
            return false;
        };
        let start = out.len();
        let reference = first / REFERENCE_MICROS;
        let (mut symbols, mut deltas) = (Vec::with_capacity(64), Vec::with_capacity(64));
        let mut last_tick = reference * REFERENCE_MICROS / TICK_MICROS;
        // A long run of losses in front is cut. The feedback before ended with a packet that came.
        let skipped = self.reported + leading.saturating_sub(PACKETS_MAX / 2);
        for arrival in self.arrivals.iter().skip(skipped).take(PACKETS_MAX) {
            let Some(at) = arrival else {
                symbols.push(0_u8);
                continue;
            };
            let tick = micros(*at) / TICK_MICROS;
            match (tick - last_tick, i16::try_from(tick - last_tick)) {
                (delta @ 0..=255, _) => {
                    symbols.push(1);
                    deltas.push(delta as u8);
                }
                (_, Ok(delta)) => {
                    symbols.push(2);
                    deltas.extend_from_slice(&delta.to_be_bytes());
                }
                (_, Err(_)) => break, // More than eight seconds apart: it goes into the next feedback.
            }
            last_tick = tick;
        }
        while symbols.last() == Some(&0) {
            symbols.pop();
        }
        let base = self.base + skipped as i64;
        report::header(out, 15, 205, 0);
        report::put(out, sender);
        report::put(out, media);
        report::put(out, u32::from(base as u16) << 16 | symbols.len() as u32);
        report::put(out, (reference as u32 & 0xff_ffff) << 8 | u32::from(self.count));
        put_chunks(out, &symbols);
        out.extend_from_slice(&deltas);
        pad(out, start);
        report::finish(out, start);

        self.reported = skipped + symbols.len();
        self.count = self.count.wrapping_add(1);
        if self.arrivals.len() == self.reported {
            self.next = Some(now + INTERVAL);
        }
        self.forget(now);
        true
    }

    /// Forgets what was reported too long ago for a packet to be merely late.
    fn forget(&mut self, now: Instant) {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < REMEMBERED;
        let reported = self.arrivals.iter().take(self.reported);
        let old = reported.take_while(|arrival| !arrival.as_ref().is_some_and(is_recent)).count();
        let old = old.max(self.reported.saturating_sub(REMEMBERED_MAX));
        self.arrivals.drain(..old);
        self.base += old as i64;
        self.reported -= old;
    }
}

/// Writes the symbols as runs of one symbol, or as vectors of seven.
fn put_chunks(out: &mut Vec<u8>, mut symbols: &[u8]) {
    const VECTOR: u16 = 0xc000;
    const VECTOR_SYMBOLS: usize = 7;
    const RUN_MAX: usize = 0x1fff;
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take(RUN_MAX).take_while(|symbol| **symbol == first).count();
        let taken = if run > VECTOR_SYMBOLS { run } else { symbols.len().min(VECTOR_SYMBOLS) };
        let chunk = if run > VECTOR_SYMBOLS {
            u16::from(first) << 13 | run as u16
        } else {
            symbols[..taken]
                .iter()
                .enumerate()
                .fold(VECTOR, |chunk, (index, symbol)| chunk | u16::from(*symbol) << (2 * (VECTOR_SYMBOLS - 1 - index)))
        };
        out.extend_from_slice(&chunk.to_be_bytes());
        symbols = &symbols[taken..];
    }
}

fn pad(out: &mut Vec<u8>, start: usize) {
    let padding = (out.len() - start).next_multiple_of(4) - (out.len() - start);
    if padding > 0 {
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
        out[start] |= 0x20;
    }
}
