//! Every test run simulates 400 seeds; `examples/simulate.rs` simulates any number.

use onmic_room::simulation::{Report, run};

#[test]
fn four_hundred_seeds_break_no_rule_and_give_every_event() {
    let total = (0..400).map(|seed| run(seed, 100)).fold(Report::default(), Report::plus);
    assert!(total.events.len() >= 28, "some kinds of events do not occur: {total:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(run(42, 500), run(42, 500));
}
