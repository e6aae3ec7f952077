//! Decides which lost packets a viewer gets again: each once per round trip, in as many copies as the [`Mix`] says, all
//! together within the [`Budget`](super::budget::Budget).
//!
//! Copies leave one after the other, [`Mix::spacing`] apart. Those that wait are [`WAITING_MAX`] at most. When there is no room,
//! or nothing left of the budget, a packet is sent in fewer copies, which is counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onmic_media::bucket::Bucket;

use super::super::recovery::{Mix, RTT_UNKNOWN};
use super::{Resend, SEQUENCE_START};

/// A request that comes this much earlier than a round trip after a repeat was sent before the repeat arrived, whatever the
/// variation of the round trip.
const INTERVAL_LEAST: Duration = Duration::from_millis(10);
/// The number of repairs that are remembered, by their number modulo this.
const REMEMBERED: usize = 256;
/// The most copies that wait: a second of 30 % loss at 2 Mbit/s, and some more.
const WAITING_MAX: usize = 128;
/// The most packets that are looked for in a second, and at once. The budget of bytes pays for 210 repairs of 1200 bytes, and a browser
/// asks for each packet up to ten times.
const LOOKUPS: f64 = 2000.0;

/// Why a packet is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Duplicate,
    OverBudget,
}

/// The counters of one viewer's repairs on one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairCounters {
    /// Packets that were asked for, each counted once.
    pub asked: u64,
    /// Those of them that were asked for again after a repeat could have arrived.
    pub asked_again: u64,
    /// Packets sent again, without further copies.
    pub repaired: u64,
    /// Further copies of packets sent again.
    pub copies: u64,
    /// Repairs that were refused because the packet is too old or was never sent.
    pub unknown: u64,
    /// Repairs that were refused because one is on its way already.
    pub duplicate: u64,
    /// Repairs and copies that were refused because they are over the budget, or too many wait.
    pub over_budget: u64,
}

/// The repair stream and the history of a viewer's repairs. The history is allocated with the first
/// loss.
#[derive(Debug)]
pub(super) struct Repairs {
    pub(super) counters: RepairCounters,
    stream: Option<Stream>,
    history: Option<Box<History>>,
    lookups: Option<Bucket>,
    mix: Plan,
    /// The time from the arrival of a frame to the repeat of a packet of it, for the packet that was repeated last.
    pub(super) age: Duration,
}

/// The part of the mix that repairs need.
#[derive(Clone, Copy, Debug)]
struct Plan {
    copies: u8,
    spacing: Duration,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    payload_type: u8,
    next: u16,
}

#[derive(Debug)]
struct History {
    recent: [Option<Asked>; REMEMBERED],
    waiting: VecDeque<Copy>,
}

/// A packet that was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    sequence: u64,
    repeated: Instant,
    is_again: bool,
}

/// A further copy of a packet.
#[derive(Clone, Copy, Debug)]
struct Copy {
    due: Instant,
    wire: u16,
    /// The copies that follow this one.
    left: u8,
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
        let mix = Plan::from(&Mix::default());
        Some(Box::new(Self {
            counters: RepairCounters::default(),
            stream,
            history: None,
            lookups: None,
            mix,
            age: Duration::ZERO,
        }))
    }

    pub(super) fn set_mix(&mut self, mix: &Mix) {
        self.mix = mix.into();
    }

    /// Returns whether a packet may be looked for now, and counts it.
    pub(super) fn looks(&mut self, now: Instant) -> bool {
        let lookups = self.lookups.get_or_insert_with(|| Bucket::new(LOOKUPS, LOOKUPS, now));
        lookups.try_take(1.0, now).is_ok()
    }

    /// Checks whether a packet that is asked for may go out again now. If so, remembers it, takes its bytes from the budget by
    /// `spend`, and notes its further copies. `wire` is its number on the wire, and `round_trip` has the smoothed round trip and
    /// its variation.
    pub(super) fn admit(
        &mut self,
        (sequence, wire): (u64, u16),
        spend: impl FnOnce() -> bool,
        round_trip: Option<(Duration, Duration)>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Self { history, counters, mix, .. } = self;
        let history = history.get_or_insert_default();
        let interval = round_trip.map_or(RTT_UNKNOWN, |(mean, variation)| mean.saturating_sub(variation * 2));
        let place = (sequence % REMEMBERED as u64) as usize;
        let known = history.recent[place].filter(|asked| asked.sequence == sequence);
        let since = known.map(|asked| now.saturating_duration_since(asked.repeated));
        if since.is_some_and(|since| since < interval.max(INTERVAL_LEAST)) {
            counters.duplicate += 1;
            return Err(Refusal::Duplicate);
        }
        if !spend() {
            counters.over_budget += 1;
            return Err(Refusal::OverBudget);
        }
        match known {
            Some(asked) => counters.asked_again += u64::from(!asked.is_again),
            None => counters.asked += 1,
        }
        history.recent[place] = Some(Asked { sequence, repeated: now, is_again: known.is_some() });
        counters.repaired += 1;
        if mix.copies > 1 {
            if history.waiting.len() < WAITING_MAX {
                history.waiting.push_back(Copy { due: now + mix.spacing, wire, left: mix.copies - 2 });
            } else {
                counters.over_budget += 1;
            }
        }
        Ok(())
    }

    /// Returns the number on the wire of a packet of which a further copy is due.
    pub(super) fn poll_copy(&mut self, now: Instant) -> Option<u16> {
        let waiting = &mut self.history.as_mut()?.waiting;
        let copy = waiting.pop_front_if(|copy| copy.due <= now)?;
        if copy.left > 0 {
            // Spacings differ where the mix has changed, and then a copy waits for one before it.
            let due = waiting.back().map_or(now, |last| last.due).max(now + self.mix.spacing);
            waiting.push_back(Copy { due, left: copy.left - 1, ..copy });
        }
        Some(copy.wire)
    }

    /// Counts a further copy, which the budget pays for or not.
    pub(super) fn count_copy(&mut self, is_paid: bool) {
        self.counters.copies += u64::from(is_paid);
        self.counters.over_budget += u64::from(!is_paid);
    }

    /// Returns when the next further copy is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.history.as_ref()?.waiting.front()?.due)
    }

    /// Returns the SSRC, the payload type and the next sequence number of the repair stream, if
    /// there is one.
    pub(super) fn next_in_stream(&mut self) -> Option<(u32, u8, u16)> {
        let stream = self.stream.as_mut()?;
        let sequence = stream.next;
        stream.next = sequence.wrapping_add(1);
        Some((stream.ssrc, stream.payload_type, sequence))
    }

    /// Returns whether repeats are the same bytes as before.
    pub(super) fn sends_the_same(&self) -> bool {
        self.stream.is_none()
    }
}

impl From<&Mix> for Plan {
    fn from(mix: &Mix) -> Self {
        Self { copies: mix.copies, spacing: mix.spacing }
    }
}

impl Default for History {
    fn default() -> Self {
        Self { recent: [None; REMEMBERED], waiting: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    #[test]
    fn a_packet_that_the_budget_refused_can_be_asked_for_at_once() {
        let (mut repairs, mut now) = (Repairs::new(Resend::AsSent).unwrap(), Instant::now());
        let round_trip = Some((Duration::from_millis(100), Duration::ZERO));
        let mut budget = Budget::default();
        let mut ask = |sequence, now| repairs.admit((sequence, 0), || budget.spend(100_000, 0, now), round_trip, now);
        assert_eq!((ask(1, now), ask(2, now)), (Ok(()), Ok(())));
        now += Duration::from_millis(150);
        assert_eq!(ask(1, now), Err(Refusal::OverBudget), "again, after a round trip");
        assert_eq!(ask(3, now), Err(Refusal::OverBudget), "for the first time");
        now += Duration::from_millis(900);
        assert_eq!(ask(1, now - Duration::from_millis(890)), Err(Refusal::OverBudget), "no repeat is on its way");
        assert_eq!(ask(1, now), Ok(()));
        let RepairCounters { asked, asked_again, repaired, .. } = repairs.counters;
        assert_eq!((asked, asked_again, repaired), (2, 1, 3));
    }
}
