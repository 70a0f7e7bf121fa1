//! The simulator itself, in the debug build: some seeds, those that once failed, and that runs repeat exactly.

use symphony_tests::sim::{
    batch::batch,
    cli::{parse_sizes, replay_command},
    network::Quality,
    plan::Plan,
    run::run,
    world::World,
};

#[test]
fn no_invariant_breaks_in_two_hundred_seeds() {
    for outcome in batch(0, 200, (1, 7), 2, true) {
        assert_eq!(outcome.violation, None, "{}", replay_command(outcome.seed, (1, 7)));
    }
}

#[test]
fn seeds_that_once_failed_do_not_fail_again() {
    for line in include_str!("../seeds/sim.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let seed = words.next().and_then(|word| word.parse().ok()).expect("a seed");
        let sizes = words.next().and_then(|word| parse_sizes(word).ok()).expect("sizes");
        assert_eq!(run(seed, sizes, false).violation, None, "{line}\n{}", replay_command(seed, sizes));
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1_000..1_020 {
        let (first, second) = (run(seed, (1, 7), false), run(seed, (1, 7), true));
        assert_eq!((first.hash, first.datagrams), (second.hash, second.datagrams), "seed {seed}");
        assert!(second.lines.len() > 10);
    }
    assert_ne!(run(1, (3, 3), false).hash, run(2, (3, 3), false).hash);
}

#[test]
fn links_lose_repeat_and_reorder_as_they_are_told() {
    let mut plan = Plan::calm(1, &[1, 2, 3].map(symphony_core::Member::voter), symphony_core::Timing::LOCAL);
    let bad = Quality { drop_percent: 100, ..plan.healthy };
    plan.healthy = bad;
    let mut world = World::new(plan, false);
    world.run(5_000_000);
    assert!(world.datagrams > 0 && world.checker.leaders().is_empty());
}
