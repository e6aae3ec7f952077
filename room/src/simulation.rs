//! A simulated world around [`Rooms`](crate::Rooms), the same for the same seed: people, publishers, and a network that
//! delays, doubles and reorders what they send.
//!
//! While the network is faulty, every step is checked against the [invariants](crate::Rooms::check_invariants), against
//! a client that knows the events alone, and against what the actor may change. Then the faults stop, the world states
//! once more what is true, and everything that waits must end in time. A failure panics, and tells the seed and how to
//! replay it.

mod random;
mod replica;
mod world;

use std::collections::BTreeMap;

pub use random::Random;
use world::World;

/// What happened in a run, to see that it tried everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of inputs.
    pub inputs: u64,
    /// The number of events of each kind.
    pub events: BTreeMap<&'static str, u64>,
    /// The number of refusals of each code.
    pub refusals: BTreeMap<&'static str, u64>,
    /// The number of revoked publishers for each reason.
    pub revocations: BTreeMap<&'static str, u64>,
    /// The number of people who were sent out of a room.
    pub kicked: u64,
}

impl Report {
    /// Returns the sum of two reports.
    pub fn plus(mut self, other: Self) -> Self {
        self.inputs += other.inputs;
        self.kicked += other.kicked;
        let mine = [&mut self.events, &mut self.refusals, &mut self.revocations];
        for (mine, theirs) in mine.into_iter().zip([other.events, other.refusals, other.revocations]) {
            for (word, count) in theirs {
                *mine.entry(word).or_default() += count;
            }
        }
        self
    }
}

/// Runs the world of `seed` for `steps` steps with faults, and then until nothing waits. The same seed gives the same
/// run.
///
/// # Panics
/// Panics when a rule is broken.
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

/// Prints how to replay the run if it panics.
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

/// Runs as [`run`] does, and tells `trace` every input and effect.
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
