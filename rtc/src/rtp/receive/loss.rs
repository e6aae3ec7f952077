//! Missing packets: when each is asked for (NACK, RFC 4585 6.2.1), how long it is waited for, and what the answers tell.
//!
//! A packet is asked for again when its answer is overdue. Where answers fail to come, a request is also repeated within the round
//! trip, because the request itself may be lost, and a publisher that repairs a packet once per round trip does nothing for a
//! request that comes a little too early. Publishers that answer each repetition are noticed by packets that come twice, and then
//! repetitions are left out.
//!
//! A packet is waited for as many rounds as make a loss for good rare, by the share of rounds that fail at present. All is bounded:
//! packets that are missing ([`MISSING_MAX`]), requests in a time ([`ASKED_MAX`]), and the time itself ([`WAIT_MAX`]).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::round_trip::RoundTrip;

/// The most missing packets that are tracked at one time. More mean a broken path, and then a
/// keyframe costs less.
pub(super) const MISSING_MAX: usize = 512;
/// The most packets that one NACK asks for: 800 bytes at worst.
pub(super) const ASKED_AT_ONCE: usize = 192;
/// The most requests of packets in [`ASKED_WINDOW`], 2560 in a second: 20 Mbit/s of which 30 % are lost have 600 packets to ask
/// for, each up to four times. What is over waits for the next window.
const ASKED_MAX: usize = 256;
const ASKED_WINDOW: Duration = Duration::from_millis(100);
/// The longest wait for a packet that may be repaired. A keyframe is there sooner.
const WAIT_MAX: Duration = Duration::from_secs(1);
const WAIT_LEAST: Duration = Duration::from_millis(50);
/// A packet that is waited for longer than the rounds take may still be in a pacer.
const WAIT_BEYOND: Duration = Duration::from_millis(20);
/// The wait before a packet is asked for, because it may only be late: as long as packets have been late, within these bounds.
const TOLERANCE_LEAST: Duration = Duration::from_millis(5);
const TOLERANCE_MOST: Duration = Duration::from_millis(30);
/// A request is repeated after a quarter of the round trip, and no sooner than 15 ms.
const REPEATED_IN_ROUND: u32 = 4;
const REPEATED_LEAST: Duration = Duration::from_millis(15);
/// Rounds of which fewer fail are not repeated within the round trip.
const FAILING: f32 = 0.03;
/// Of the packets that were asked for, a quarter may come twice before repetitions are left out.
const TWICE: f32 = 0.25;
/// The weight of one outcome: the last 32 or so count.
const WEIGHT: f32 = 1.0 / 32.0;
/// One lost packet in 100,000 may fail in all its rounds: one in an hour, where 250 packets in a second lose 10 %.
const FAILS_FOR_GOOD: f32 = 1e-5;
const ROUNDS_LEAST: u32 = 3;
const ROUNDS_MOST: u32 = 12;
/// The packets that were repaired last, which tell whether a packet comes twice.
const REPAIRED_KEPT: usize = 64;

/// The two moments between which a packet was ready: it came, or would have come if it had not been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between {
    pub(super) earliest: Instant,
    pub(super) latest: Instant,
}

impl Between {
    /// Returns the moment at which a packet came.
    pub(super) fn at(moment: Instant) -> Self {
        Self { earliest: moment, latest: moment }
    }

    /// Returns the moments of two packets together.
    pub(super) fn max(self, other: Self) -> Self {
        Self { earliest: self.earliest.max(other.earliest), latest: self.latest.max(other.latest) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: i64,
    /// When the packet before the gap came, and the one behind it.
    between: Between,
    asked: Option<Instant>,
    next: Instant,
}

/// How a packet came that is not in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was missing, and was asked for.
    Repaired(Between),
    /// It was late by itself, or was not missing.
    Late,
}

#[derive(Debug)]
pub(super) struct Losses {
    missing: VecDeque<Missing>,
    tolerance: Duration,
    /// The share of rounds that bring nothing.
    failing: f32,
    /// The share of repairs that come twice.
    twice: f32,
    repaired: VecDeque<i64>,
    /// When the window began in which requests are counted, and their number.
    window: Option<Instant>,
    asked: usize,
}

impl Default for Losses {
    fn default() -> Self {
        Self {
            missing: VecDeque::new(),
            tolerance: TOLERANCE_LEAST,
            failing: 0.0,
            twice: 0.0,
            repaired: VecDeque::new(),
            window: None,
            asked: 0,
        }
    }
}

impl Losses {
    /// Notes that the packets from `first` up to before `end` are missing. Returns false if they
    /// are too many to ask for.
    pub(super) fn note(&mut self, first: i64, end: i64, between: Between) -> bool {
        if self.missing.len() as i64 + (end - first) > MISSING_MAX as i64 {
            self.missing.clear();
            return false;
        }
        let next = between.latest + self.tolerance;
        self.missing.extend((first..end).map(|sequence| Missing { sequence, between, asked: None, next }));
        true
    }

    /// Notes that a packet came that is not the newest. `is_repair` tells whether it can be an answer to a request.
    pub(super) fn found(&mut self, sequence: i64, is_repair: bool, round_trip: &mut RoundTrip, now: Instant) -> Found {
        let Ok(index) = self.missing.binary_search_by_key(&sequence, |missing| missing.sequence) else {
            if is_repair && self.repaired.contains(&sequence) {
                self.twice += (1.0 - self.twice) * WEIGHT;
            }
            return Found::Late;
        };
        let Some(found) = self.missing.remove(index) else { return Found::Late };
        let late = now.saturating_duration_since(found.between.latest);
        let by_itself = found.asked.is_none() || !is_repair;
        let tolerance = if by_itself { late * 5 / 4 } else { TOLERANCE_LEAST };
        // It grows at once, and falls with the packets that were lost.
        self.tolerance = tolerance.max(self.tolerance - self.tolerance / 64).clamp(TOLERANCE_LEAST, TOLERANCE_MOST);
        let Some(asked) = found.asked.filter(|_| !by_itself) else { return Found::Late };
        let took = now.saturating_duration_since(asked);
        self.failed(took.as_secs_f32() / round_trip.overdue().as_secs_f32());
        self.failing -= self.failing * WEIGHT;
        self.twice -= self.twice * WEIGHT;
        round_trip.answered(took, now);
        self.repaired.push_back(sequence);
        if self.repaired.len() > REPAIRED_KEPT {
            self.repaired.pop_front();
        }
        Found::Repaired(found.between)
    }

    /// Forgets the missing packets before `sequence`, which were given up at `now`.
    pub(super) fn give_up_before(&mut self, sequence: i64, round_trip: &RoundTrip, now: Instant) {
        while let Some(missing) = self.missing.front().filter(|missing| missing.sequence < sequence) {
            let waited = missing.asked.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
            self.missing.pop_front();
            self.failed(waited.as_secs_f32() / round_trip.overdue().as_secs_f32());
        }
    }

    /// Forgets the missing packets before `sequence`, which were not waited for.
    pub(super) fn forget_before(&mut self, sequence: i64) {
        while self.missing.front().is_some_and(|missing| missing.sequence < sequence) {
            self.missing.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.missing.clear();
    }

    /// Asks for the packets that are due, oldest first.
    pub(super) fn poll(&mut self, round_trip: &RoundTrip, now: Instant, mut ask: impl FnMut(i64)) {
        let interval = self.interval(round_trip);
        if self.window.is_none_or(|began| now.saturating_duration_since(began) >= ASKED_WINDOW) {
            (self.window, self.asked) = (Some(now), 0);
        }
        let room = (ASKED_MAX - self.asked).min(ASKED_AT_ONCE);
        for missing in self.missing.iter_mut().filter(|missing| missing.next <= now).take(room) {
            missing.asked.get_or_insert(now);
            missing.next = now + interval;
            self.asked += 1;
            ask(missing.sequence);
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let next = self.missing.iter().map(|missing| missing.next).min()?;
        let is_spent = self.asked >= ASKED_MAX;
        Some(self.window.filter(|_| is_spent).map_or(next, |began| next.max(began + ASKED_WINDOW)))
    }

    /// Returns how long a missing packet is waited for.
    pub(super) fn wait(&self, round_trip: &RoundTrip) -> Duration {
        let rounds = (ROUNDS_LEAST..ROUNDS_MOST).find(|rounds| self.failing.powi(*rounds as i32) <= FAILS_FOR_GOOD);
        let rounds = round_trip.overdue() * rounds.unwrap_or(ROUNDS_MOST);
        (self.tolerance + rounds + WAIT_BEYOND).clamp(WAIT_LEAST, WAIT_MAX)
    }

    /// Returns how much longer than those before a packet may take, where requests fail: a round.
    pub(super) fn spare(&self, round_trip: &RoundTrip) -> Duration {
        if self.failing < FAILING { Duration::ZERO } else { round_trip.overdue() }
    }

    fn interval(&self, round_trip: &RoundTrip) -> Duration {
        if self.failing < FAILING || self.twice > TWICE {
            return round_trip.overdue();
        }
        (round_trip.get() / REPEATED_IN_ROUND).max(REPEATED_LEAST)
    }

    /// Notes that this many rounds have brought nothing.
    fn failed(&mut self, rounds: f32) {
        for _ in 0..(rounds as u32).min(ROUNDS_MOST) {
            self.failing += (1.0 - self.failing) * WEIGHT;
        }
    }
}
