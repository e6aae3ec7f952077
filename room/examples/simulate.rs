//! Runs the simulation of rooms for many seeds: `cargo run --release -p onmic-room --example simulate -- 10000`.
//!
//! `--from SEED` sets the first seed, `--steps N` the length of a run, and `--trace` prints every input and effect.

use std::time::Instant;

use onmic_room::simulation::{Report, run, run_traced};

fn main() -> Result<(), std::num::ParseIntError> {
    let (mut seeds, mut from, mut steps, mut trace) = (10_000u64, 0u64, 1_000u32, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--from" => from = arguments.next().unwrap_or_default().parse()?,
            "--steps" => steps = arguments.next().unwrap_or_default().parse()?,
            "--trace" => trace = true,
            count => seeds = count.parse()?,
        }
    }
    let begin = Instant::now();
    let mut total = Report::default();
    for seed in from..from.saturating_add(seeds) {
        let report = if trace { run_traced(seed, steps, |line| eprintln!("{line}")) } else { run(seed, steps) };
        total = total.plus(report);
    }
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!("{seeds} seeds from {from} clean in {seconds:.1} s: {steps} steps each, {} inputs", total.inputs);
    eprintln!("events: {:?}", total.events);
    eprintln!("refusals: {:?}", total.refusals);
    eprintln!("revocations: {:?}", total.revocations);
    Ok(())
}
