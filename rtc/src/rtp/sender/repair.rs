//! Decides which lost packets a viewer gets again: each once per round trip, all together within a
//! budget.

use std::time::{Duration, Instant};

use onmic_media::bucket::Bucket;

use super::{Resend, SEQUENCE_START};

/// The budget of repairs: 2 Mbit/s, a third of the packets of a 6 Mbit/s stream.
const BYTES_PER_SECOND: u64 = 250_000;
/// The most that a viewer can ask for at once: a second of the budget.
const BURST_BYTES: u64 = BYTES_PER_SECOND;
/// The round trip that is assumed before one is measured.
const RTT_UNKNOWN: Duration = Duration::from_millis(50);
/// The number of repairs that are remembered, by their number modulo this.
const REMEMBERED: usize = 128;
/// The most packets that are looked for in a second, and at once. The budget of bytes pays for 210 repairs of 1200 bytes, and a browser
/// asks for each packet up to ten times.
const LOOKUPS: f64 = 2000.0;

/// Why a packet is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Duplicate,
    OverBudget,
}

/// The repair stream and the history of a viewer's repairs. The history is allocated with the first
/// loss.
#[derive(Debug)]
pub(super) struct Repairs {
    stream: Option<Stream>,
    history: Option<Box<History>>,
    lookups: Option<Bucket>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    payload_type: u8,
    next: u16,
}

#[derive(Debug)]
struct History {
    recent: [Option<(u64, Instant)>; REMEMBERED],
    budget: u64,
    refilled: Instant,
}

impl Repairs {
    pub(super) fn new(resend: Resend) -> Option<Box<Self>> {
        let stream = match resend {
            Resend::Never => return None,
            Resend::AsSent => None,
            Resend::Repair { ssrc, payload_type, sequence } => {
                Some(Stream { ssrc, payload_type: payload_type & 0x7f, next: sequence % SEQUENCE_START })
            }
        };
        Some(Box::new(Self { stream, history: None, lookups: None }))
    }

    /// Returns whether a packet may be looked for now, and counts it.
    pub(super) fn looks(&mut self, now: Instant) -> bool {
        let lookups = self.lookups.get_or_insert_with(|| Bucket::new(LOOKUPS, LOOKUPS, now));
        lookups.try_take(1.0, now).is_ok()
    }

    /// Checks whether a packet may go out again now. If so, remembers it and takes its bytes from
    /// the budget.
    pub(super) fn admit(
        &mut self,
        sequence: u64,
        bytes: usize,
        rtt: Option<Duration>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let history = self.history.get_or_insert_with(|| {
            Box::new(History { recent: [None; REMEMBERED], budget: BURST_BYTES, refilled: now })
        });
        history.refill(now);
        let slot = &mut history.recent[(sequence % REMEMBERED as u64) as usize];
        let interval = rtt.unwrap_or(RTT_UNKNOWN);
        if slot.is_some_and(|(of, then)| of == sequence && now.saturating_duration_since(then) < interval) {
            return Err(Refusal::Duplicate);
        }
        let bytes = bytes as u64;
        history.budget = history.budget.checked_sub(bytes).ok_or(Refusal::OverBudget)?;
        *slot = Some((sequence, now));
        Ok(())
    }

    /// Returns the SSRC, the payload type and the next sequence number of the repair stream, if
    /// there is one.
    pub(super) fn next_in_stream(&mut self) -> Option<(u32, u8, u16)> {
        let stream = self.stream.as_mut()?;
        let sequence = stream.next;
        stream.next = sequence.wrapping_add(1);
        Some((stream.ssrc, stream.payload_type, sequence))
    }
}

impl History {
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_micros();
        let earned = u64::try_from(elapsed * u128::from(BYTES_PER_SECOND) / 1_000_000).unwrap_or(u64::MAX);
        if earned > 0 {
            self.budget = self.budget.saturating_add(earned).min(BURST_BYTES);
            self.refilled = now;
        }
    }
}
