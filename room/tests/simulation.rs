//! Some seeds of the simulation with every test run; `examples/simulate.rs` runs many more.

use onmic_room::simulation::{Report, run};

#[test]
fn three_hundred_seeds_are_clean_and_get_somewhere() {
    let total = (0..300).map(|seed| run(seed, 100)).fold(Report::default(), Report::plus);
    assert!(total.events.len() >= 28, "the world is too quiet to find anything: {total:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_eq!(run(42, 500), run(42, 500));
}
