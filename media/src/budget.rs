//! Budgets: how much of a thing the whole node spends at once, in the unit of its cost, and what is refused first.
//!
//! Several works share a budget. Each may fill it up to a line of its own ([`Work::line`]), so that what is given up first finds the
//! budget spent first, and leaves the rest to what is given up last. Invariant: what a work holds is never taken from it, so
//! a later one does not slow an earlier one. The later one is refused, or does with less.
//!
//! [`Ledger`] is the pure core. [`Budget`] shares it, and keeps the metrics of what is held and what is refused.

use std::sync::Arc;

use metrics::gauge;
use parking_lot::Mutex;
use thiserror::Error;

use crate::metric;

metric::label_values! {
    /// Names what spends a budget of the node: these are the values of the label `kind` of [`OVERLOAD`](metric::OVERLOAD). Those of
    /// one budget stand in the order in which they are refused.
    #[derive(PartialOrd, Ord, Hash)]
    Work:
    /// Smaller forms of a program's video, up to 70 % of the pixels per second. Over it: 503, and viewers have the larger one.
    Rung => "rung",
    /// Conversions of video that can be watched without one by LL-HLS, up to 70 % of the pixels per second. Over it: 503.
    SpareConversion => "spare_conversion",
    /// Other conversions of video, up to 85 % of the pixels per second. Over it: 503.
    Conversion => "conversion",
    /// Mixed programs, up to all of the pixels per second. Over it a mix has fewer frames, then a smaller size, then fewer
    /// inputs with video. Last, the program does not change to the mix.
    Mix => "mix",
    /// Pictures of overlays as files and pixels, in bytes. Over it: 503.
    Picture => "picture",
    /// Segments in playlists of LL-HLS, in bytes. Over it a stream that grows keeps fewer of them, and one that cannot ends. A new
    /// one does not begin (503).
    Window => "window",
}

impl Work {
    /// Returns up to which part of its budget this work may fill it, in percent.
    const fn line(self) -> u64 {
        match self {
            Self::Rung | Self::SpareConversion => 70,
            Self::Conversion => 85,
            Self::Mix | Self::Picture | Self::Window => 100,
        }
    }
}

/// The budget is spent, as far as this work may spend it. Display is a sentence for the one who wanted it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{}", .0.refusal())]
pub struct Spent(pub Work);

impl Work {
    /// Returns all works that share its budget.
    const fn of_budget(self) -> &'static [Self] {
        match self {
            Self::Rung | Self::SpareConversion | Self::Conversion | Self::Mix => {
                &[Self::Rung, Self::SpareConversion, Self::Conversion, Self::Mix]
            }
            Self::Picture => &[Self::Picture],
            Self::Window => &[Self::Window],
        }
    }

    const fn refusal(self) -> &'static str {
        match self {
            Self::Rung => "this server converts as much video as it can; watch another quality, or try again later",
            Self::SpareConversion => {
                "this server converts as much video as it can; watch by LL-HLS, which needs no conversion here, or try again later"
            }
            Self::Conversion => "this server converts as much video as it can; try again later",
            Self::Mix => "this server mixes as much video as it can; try again later",
            Self::Picture => {
                "The pictures of all rooms take as much memory as they may. Send smaller ones, or try again later."
            }
            Self::Window => "this server keeps as much video as it may; try again later",
        }
    }
}

/// What is held of one budget, by work.
#[derive(Debug)]
pub struct Ledger {
    most: u64,
    held: [u64; Work::ALL.len()],
    /// How many hold less than they want.
    lacking: [u64; Work::ALL.len()],
    /// The amount that was refused last, until it would not be any more. More than there can ever be counts as all of it.
    refused: [Option<u64>; Work::ALL.len()],
}

impl Ledger {
    /// Returns a ledger of `most`, of which nothing is held.
    pub const fn new(most: u64) -> Self {
        const ALL: usize = Work::ALL.len();
        Self { most, held: [0; ALL], lacking: [0; ALL], refused: [None; ALL] }
    }

    /// Returns how much one that holds `own` may hold at most.
    pub fn room(&self, work: Work, own: u64) -> u64 {
        let spent: u64 = self.held.iter().fold(0, |sum, held| sum.saturating_add(*held));
        self.line(work).saturating_sub(spent.saturating_sub(own))
    }

    /// Returns how much there is for this work while nothing is held.
    fn line(&self, work: Work) -> u64 {
        let line = u128::from(self.most) * u128::from(work.line()) / 100;
        u64::try_from(line).unwrap_or(self.most)
    }

    /// Changes what one holds. More has to fit. Less always does.
    pub fn change(&mut self, work: Work, from: u64, to: u64) -> Result<(), Spent> {
        if to > from && to > self.room(work, from) {
            self.refused[work as usize] = Some((to - from).min(self.line(work)));
            return Err(Spent(work));
        }
        let held = &mut self.held[work as usize];
        *held = held.saturating_sub(from).saturating_add(to);
        for work in work.of_budget() {
            let room = self.room(*work, 0);
            self.refused[*work as usize].take_if(|refused| *refused <= room);
        }
        Ok(())
    }

    /// Notes that one holds less than it wants, or not any more.
    pub fn set_lacking(&mut self, work: Work, before: bool, now: bool) {
        let lacking = &mut self.lacking[work as usize];
        *lacking = lacking.saturating_sub(u64::from(before)) + u64::from(now);
    }

    /// Returns how many hold less than they want; one more, if what was refused last would be refused now.
    pub fn overload(&self, work: Work) -> u64 {
        self.lacking[work as usize] + u64::from(self.refused[work as usize].is_some())
    }

    /// Returns how much the work holds.
    pub fn held(&self, work: Work) -> u64 {
        self.held[work as usize]
    }
}

/// A budget of the node. Share it behind an `Arc`.
#[derive(Debug)]
pub struct Budget(Mutex<Ledger>);

impl Budget {
    /// Returns a budget of `most`.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Ledger::new(most))))
    }

    /// Returns a budget that nothing spends.
    pub fn unlimited() -> Arc<Self> {
        Self::new(u64::MAX)
    }

    /// Takes an amount, which is free again when it is dropped.
    pub fn take(self: &Arc<Self>, work: Work, amount: u64) -> Result<Held, Spent> {
        let mut held = Held { budget: self.clone(), work, amount: 0, lacks: false };
        held.change(amount)?;
        Ok(held)
    }

    fn tell(ledger: &Ledger, work: Work) {
        gauge!(metric::BUDGET_HELD, "kind" => work.name()).set(ledger.held(work) as f64);
        for work in work.of_budget() {
            gauge!(metric::OVERLOAD, "kind" => work.name()).set(ledger.overload(*work) as f64);
        }
    }
}

/// An amount of a budget that is held.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    work: Work,
    amount: u64,
    lacks: bool,
}

/// What somebody settles for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The amount.
    pub amount: u64,
    /// Whether it is less than wanted.
    pub lacks: bool,
}

impl Held {
    /// Returns the amount.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Holds another amount. If it is refused, the one before stays.
    pub fn change(&mut self, amount: u64) -> Result<(), Spent> {
        let mut ledger = self.budget.0.lock();
        let changed = ledger.change(self.work, self.amount, amount);
        if changed.is_ok() {
            self.amount = amount;
        }
        Budget::tell(&ledger, self.work);
        changed
    }

    /// Holds what `choose` makes of the amount that it may have at most. It may not choose more.
    pub fn settle<T>(&mut self, choose: impl FnOnce(u64) -> (Settled, T)) -> T {
        let mut ledger = self.budget.0.lock();
        let (Settled { amount, lacks }, chosen) = choose(ledger.room(self.work, self.amount));
        debug_assert!(amount <= ledger.room(self.work, self.amount).max(self.amount), "more than there is");
        if ledger.change(self.work, self.amount, amount).is_ok() {
            self.amount = amount;
        }
        ledger.set_lacking(self.work, std::mem::replace(&mut self.lacks, lacks), lacks);
        Budget::tell(&ledger, self.work);
        chosen
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.settle(|_| (Settled { amount: 0, lacks: false }, ()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_first_finds_the_budget_spent_first() {
        let budget = Budget::new(100);
        let spare = budget.take(Work::SpareConversion, 70).unwrap();
        assert_eq!(budget.take(Work::SpareConversion, 1).unwrap_err(), Spent(Work::SpareConversion));
        let needed = budget.take(Work::Conversion, 15).unwrap();
        assert_eq!(budget.take(Work::Conversion, 1).unwrap_err(), Spent(Work::Conversion));
        let mut mix = budget.take(Work::Mix, 10).unwrap();
        assert_eq!(mix.change(16), Err(Spent(Work::Mix)));
        assert_eq!(mix.amount(), 10, "what was refused changes nothing");
        mix.change(15).unwrap();
        drop(spare);
        assert!(budget.take(Work::SpareConversion, 41).is_err(), "other work counts too");
        budget.take(Work::SpareConversion, 40).unwrap();
        drop((needed, mix));
        budget.take(Work::SpareConversion, 70).unwrap();
        assert_eq!(Work::ALL.iter().map(|work| budget.0.lock().held(*work)).sum::<u64>(), 0);
    }

    #[test]
    fn an_overload_lasts_until_what_was_refused_would_be_taken() {
        let budget = Budget::new(100);
        let overload = |work| budget.0.lock().overload(work);
        let first = budget.take(Work::Conversion, 50).unwrap();
        let second = budget.take(Work::Conversion, 30).unwrap();
        budget.take(Work::Conversion, 40).unwrap_err();
        assert_eq!((overload(Work::Conversion), overload(Work::Mix)), (1, 0));
        drop(second);
        assert_eq!(overload(Work::Conversion), 1, "40 of 35");
        drop(first);
        assert_eq!(overload(Work::Conversion), 0);
        let mut mix = budget.take(Work::Mix, 10).unwrap();
        mix.settle(|room| (Settled { amount: room, lacks: true }, ()));
        assert_eq!((mix.amount(), overload(Work::Mix)), (100, 1));
        mix.settle(|_| (Settled { amount: 5, lacks: false }, ()));
        assert_eq!(overload(Work::Mix), 0);
        mix.settle(|_| (Settled { amount: 5, lacks: true }, ()));
        drop(mix);
        assert_eq!(overload(Work::Mix), 0);
    }

    #[test]
    fn an_overload_ends_with_what_is_held_though_more_was_refused_than_there_can_be() {
        let budget = Budget::new(100);
        let overload = || budget.0.lock().overload(Work::Conversion);
        let held = budget.take(Work::Conversion, 1).unwrap();
        budget.take(Work::Conversion, 1000).unwrap_err();
        assert_eq!(overload(), 1);
        drop(held);
        assert_eq!(overload(), 0);
    }

    /// xorshift: enough for draws that differ by seed.
    struct Draws(u64);

    impl Draws {
        fn below(&mut self, most: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % most
        }
    }

    #[test]
    fn no_order_of_taking_and_leaving_overdraws_a_line_or_takes_anything_from_anybody() {
        const COMPUTING: [Work; 3] = [Work::SpareConversion, Work::Conversion, Work::Mix];
        for seed in 1..500 {
            let mut draws = Draws(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
            let most = draws.below(10_000);
            let budget = Budget::new(most);
            let mut all: Vec<Held> = Vec::new();
            for _ in 0..200 {
                let amount = draws.below(most / 3 + 2);
                let before: Vec<_> = all.iter().map(Held::amount).collect();
                let mut changed = None;
                match (draws.below(4), all.len() as u64) {
                    (0, 1..) => drop(all.swap_remove(draws.below(before.len() as u64) as usize)),
                    (1, count @ 1..) => {
                        let at = draws.below(count) as usize;
                        _ = all[at].change(amount);
                        changed = Some(at);
                    }
                    (2, count @ 1..) => {
                        let at = draws.below(count) as usize;
                        all[at].settle(|room| (Settled { amount: amount.min(room), lacks: room < amount }, ()));
                        changed = Some(at);
                    }
                    _ => {
                        let work = COMPUTING[draws.below(3) as usize];
                        let room = budget.0.lock().room(work, 0);
                        let taken = budget.take(work, amount);
                        assert_eq!(taken.is_ok(), amount == 0 || amount <= room, "seed {seed}");
                        all.extend(taken);
                    }
                }
                if all.len() >= before.len() {
                    let same = |(at, amount): (usize, &u64)| changed == Some(at) || all[at].amount() == *amount;
                    assert!(before.iter().enumerate().all(same), "seed {seed}: somebody lost what they held");
                }
                let held = |work: Work| all.iter().filter(move |held| held.work == work).map(Held::amount).sum::<u64>();
                let ledger = budget.0.lock();
                assert!(COMPUTING.iter().all(|work| ledger.held(*work) == held(*work)), "seed {seed}");
                // Each line holds for what is refused before and up to it: a later one cannot make it break.
                assert!(COMPUTING.iter().map(|work| held(*work)).sum::<u64>() <= most, "seed {seed}");
                assert!(held(Work::SpareConversion) <= most * 70 / 100, "seed {seed}");
                assert!(held(Work::SpareConversion) + held(Work::Conversion) <= most * 85 / 100, "seed {seed}");
            }
            drop(all);
            let ledger = budget.0.lock();
            assert!(COMPUTING.iter().all(|work| ledger.held(*work) == 0 && ledger.lacking[*work as usize] == 0));
        }
    }
}
