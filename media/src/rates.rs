//! Rates: how fast each principal may do one kind of thing.
//!
//! A principal has a [`Bucket`] until that is full again. It is forgotten then, and nothing is lost by that: the table holds those alone
//! that did something lately, [`PRINCIPALS_MAX`] of them. One that comes beyond goes uncounted until others are forgotten. If newcomers
//! were refused instead, somebody with many addresses would keep out everybody else, and what all do together has limits of its own.
//!
//! Rates are asked for each request and connection, and never for each frame or packet. Each call costs the same few steps,
//! whoever comes: nothing looks at the whole table.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;

use crate::bucket::Bucket;
use crate::name::Principal;

/// The most principals of one kind of rate: 15 MB.
pub const PRINCIPALS_MAX: usize = 100_000;

/// How many others are looked at for each newcomer. Two, so that the table becomes smaller where most have gone.
const LOOKED_AT: usize = 2;

/// How fast one principal may do something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How often in each second. It is above zero.
    pub each_second: f64,
    /// How often at once.
    pub burst: f64,
}

impl Pace {
    /// Returns the pace of `each_second`, of which as many may be done at once as in `seconds`. `None` for zero, which stands for no
    /// limit.
    pub fn of(each_second: u32, seconds: u32) -> Option<Self> {
        let each_second = (each_second > 0).then_some(f64::from(each_second))?;
        Some(Self { each_second, burst: each_second * f64::from(seconds) })
    }
}

/// Somebody asks faster than one may. Display is a sentence for the client.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{who} asks faster than one may here; try again in {} s", self.seconds())]
pub struct TooFast {
    /// Who asks.
    pub who: Principal,
    /// How long to wait.
    pub wait: Duration,
}

impl TooFast {
    /// Returns the wait in whole seconds, at least one.
    pub fn seconds(&self) -> u64 {
        u64::try_from(self.wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
    }
}

/// The rates of all principals in one kind of thing.
#[derive(Debug, Default)]
pub struct Rates {
    /// `None` if there is no limit.
    pace: Option<Pace>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    own: HashMap<Principal, Bucket>,
    /// Each principal of the table once, in the order in which they are looked at.
    turns: VecDeque<Principal>,
}

impl Rates {
    /// Lets each principal go at `pace`, or as fast as it likes without one.
    pub fn new(pace: Option<Pace>) -> Self {
        Self { pace, table: Mutex::default() }
    }

    /// Counts an amount of what `who` does. If it is too much, nothing is counted. Of more than a burst no more than a burst counts,
    /// because nobody could ever do it otherwise.
    pub fn take(&self, who: &Principal, amount: f64, now: Instant) -> Result<(), TooFast> {
        let Some(pace) = self.pace else { return Ok(()) };
        let amount = amount.min(pace.burst);
        let taken = self.table.lock().with(who, pace, now, |bucket| bucket.try_take(amount, now));
        taken.unwrap_or(Ok(())).map_err(|wait| TooFast { who: who.clone(), wait })
    }

    /// Counts an amount of what `who` has done already, before it may do more.
    pub fn owe(&self, who: &Principal, amount: f64, now: Instant) {
        let Some(pace) = self.pace else { return };
        self.table.lock().with(who, pace, now, |bucket| bucket.owe(amount, now));
    }

    /// Refuses somebody who owes something yet. Nothing is counted.
    pub fn must_owe_nothing(&self, who: &Principal, now: Instant) -> Result<(), TooFast> {
        self.may_take(who, 0.0, now)
    }

    /// Refuses somebody who could not do this amount now. Nothing is counted.
    pub fn may_take(&self, who: &Principal, amount: f64, now: Instant) -> Result<(), TooFast> {
        let mut copy = self.table.lock().own.get(who).copied();
        let taken = copy.as_mut().map(|bucket| bucket.try_take(amount, now));
        taken.unwrap_or(Ok(())).map_err(|wait| TooFast { who: who.clone(), wait })
    }
}

impl Table {
    /// Does something with the bucket of a principal. `None` if it goes uncounted.
    fn with<T>(&mut self, who: &Principal, pace: Pace, now: Instant, work: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        if let Some(own) = self.own.get_mut(who) {
            return Some(work(own));
        }
        for _ in 0..LOOKED_AT {
            self.look_at_the_next(now);
        }
        if self.own.len() >= PRINCIPALS_MAX {
            return None;
        }
        self.turns.push_back(who.clone());
        let fresh = Bucket::new(pace.each_second, pace.burst, now);
        Some(work(self.own.entry(who.clone()).or_insert(fresh)))
    }

    /// Forgets the principal whose turn it is if its bucket is full.
    fn look_at_the_next(&mut self, now: Instant) {
        let Some(next) = self.turns.pop_front() else { return };
        if self.own.get_mut(&next).is_some_and(|bucket| !bucket.is_full(now)) {
            self.turns.push_back(next);
        } else {
            self.own.remove(&next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { each_second: 100.0, burst: 500.0 };

    fn rates() -> (Rates, Instant) {
        (Rates::new(Some(PACE)), Instant::now())
    }

    fn who(id: impl ToString) -> Principal {
        Principal::Token(id.to_string().into())
    }

    fn known(rates: &Rates) -> usize {
        let table = rates.table.lock();
        assert_eq!(table.own.len(), table.turns.len(), "each has one turn");
        table.own.len()
    }

    fn taken(rates: &Rates, who: &Principal, now: Instant) -> usize {
        (0..1000).filter(|_| rates.take(who, 1.0, now).is_ok()).count()
    }

    #[test]
    fn a_principal_that_is_too_fast_waits_and_others_do_not() {
        let (rates, start) = rates();
        let [anna, ben] = ["anna", "ben"].map(who);
        assert_eq!(taken(&rates, &anna, start), 500);
        assert_eq!(taken(&rates, &ben, start), 500);
        assert_eq!(taken(&rates, &anna, start + Duration::from_secs(2)), 200);
        let refused = rates.take(&anna, 50.0, start + Duration::from_secs(2)).unwrap_err();
        assert_eq!((refused.wait, refused.seconds()), (Duration::from_millis(500), 1));
        assert_eq!(refused.to_string(), "this token asks faster than one may here; try again in 1 s");
    }

    #[test]
    fn what_is_owed_is_waited_for_and_more_than_a_burst_can_be_had() {
        let (rates, start) = rates();
        let anna = who("anna");
        assert_eq!(rates.must_owe_nothing(&anna, start), Ok(()));
        assert_eq!(known(&rates), 0, "a question makes no entry");
        assert_eq!(rates.take(&anna, 1e9, start), Ok(()), "a burst is the most that counts");
        assert_eq!(rates.must_owe_nothing(&anna, start), Ok(()));
        rates.owe(&anna, 100.0, start);
        assert_eq!(rates.must_owe_nothing(&anna, start).unwrap_err().wait, Duration::from_secs(1));
        assert_eq!(rates.must_owe_nothing(&anna, start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn without_a_pace_nothing_is_counted() {
        let (rates, start) = (Rates::new(Pace::of(0, 10)), Instant::now());
        assert_eq!(taken(&rates, &who("anna"), start), 1000);
        rates.owe(&who("anna"), 1e9, start);
        assert_eq!((known(&rates), rates.must_owe_nothing(&who("anna"), start)), (0, Ok(())));
        assert_eq!(Pace::of(20, 10), Some(Pace { each_second: 20.0, burst: 200.0 }));
    }

    #[test]
    fn principals_that_rest_are_forgotten_when_others_need_the_room() {
        let (rates, start) = rates();
        for number in 0..PRINCIPALS_MAX {
            rates.take(&who(number), 1.0, start).unwrap();
        }
        let late = who(PRINCIPALS_MAX);
        assert_eq!(taken(&rates, &late, start), 1000, "one too many goes uncounted");
        assert_eq!(known(&rates), PRINCIPALS_MAX);
        let later = start + Duration::from_secs(1);
        for newcomer in 0..10 {
            rates.take(&who(PRINCIPALS_MAX + newcomer), 1.0, later).unwrap();
        }
        assert_eq!(known(&rates), PRINCIPALS_MAX - 10 * LOOKED_AT + 10, "each newcomer makes room for another");
        assert_eq!(taken(&rates, &late, later), 499, "and is counted");
    }

    #[test]
    fn a_principal_that_goes_on_is_not_forgotten_whoever_comes() {
        let (rates, start) = rates();
        let greedy = who("greedy");
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            assert_eq!(taken(&rates, &greedy, now), if second == 0 { 500 } else { 100 }, "{second} s");
            for number in 0..100 {
                rates.take(&who(second * 100 + number), 1.0, now).unwrap();
            }
        }
        assert!(known(&rates) <= 300, "those that came a second ago have full buckets again");
    }
}
