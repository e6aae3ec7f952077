//! A seeded world around [`Rooms`](crate::Rooms): people, publishers and a network that delays, doubles and reorders what they say.
//!
//! While the faults last, every step is checked against the [invariants](crate::Rooms::check_invariants), a client that knows
//! the events alone, and what the actor was allowed to change. Then the faults stop, the world says once more what is
//! true, and everything that waits must come to its end in its time. A failure panics with the seed and how to replay it.

mod random;
mod replica;
mod world;

use std::collections::BTreeMap;

use world::World;

/// What a run has done, to see that it did something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Inputs given.
    pub inputs: u64,
    /// How often each kind of event was heard.
    pub events: BTreeMap<&'static str, u64>,
    /// How often each refusal was given.
    pub refusals: BTreeMap<&'static str, u64>,
    /// How often publishers were revoked for which reason.
    pub revocations: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Both together.
    pub fn plus(mut self, other: Self) -> Self {
        self.inputs += other.inputs;
        let mine = [&mut self.events, &mut self.refusals, &mut self.revocations];
        for (mine, theirs) in mine.into_iter().zip([other.events, other.refusals, other.revocations]) {
            for (word, count) in theirs {
                *mine.entry(word).or_default() += count;
            }
        }
        self
    }
}

/// Runs the world of a seed for so many steps with faults, then until all is quiet. The same every time.
///
/// # Panics
/// When a rule is broken.
pub fn run(seed: u64, steps: u32) -> Report {
    let replay = Replay { seed, steps };
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.quieten();
    drop(replay);
    world.report
}

/// Says how to see it again, if the run panics.
struct Replay {
    seed: u64,
    steps: u32,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, steps } = self;
            eprintln!(
                "seed {seed} failed; replay: cargo run -p onmic-room --example simulate -- 1 --from {seed} --steps {steps} --trace"
            );
        }
    }
}

/// [`run`], with every input and effect told to `trace`.
pub fn run_traced(seed: u64, steps: u32, trace: fn(&str)) -> Report {
    let replay = Replay { seed, steps };
    let mut world = World::new(seed);
    world.trace = Some(trace);
    for _ in 0..steps {
        world.step();
    }
    world.quieten();
    drop(replay);
    world.report
}
