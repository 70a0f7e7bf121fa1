//! The simulator itself, in the debug build: some seeds, those that once failed, and that runs repeat exactly.

use symphony_sim::{
    batch::batch,
    cli::{parse_sizes, replay_command},
    network::{Datagram, Network, Quality},
    plan::Plan,
    rng::Rng,
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
    for line in include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#')) {
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

/// The copies, by number in the order of arrival, of a hundred datagrams sent 10 ms apart over a link of this quality.
fn arrivals(quality: Quality) -> Vec<u8> {
    let (mut network, mut rng, mut arrivals) = (Network::new(2, quality), Rng::new(1, 1), Vec::new());
    for number in 0..100_u8 {
        let datagram = Datagram { from: 0, to: 1, injected: false, bytes: vec![number] };
        network.send(&mut rng, u64::from(number) * 10_000, datagram, &mut arrivals);
    }
    network.release(&mut rng, 1_000_000, &mut arrivals);
    arrivals.sort_by_key(|(at_us, _)| *at_us);
    arrivals.into_iter().map(|(_, datagram)| datagram.bytes[0]).collect()
}

#[test]
fn links_lose_repeat_and_reorder_as_they_are_told() {
    let clean = Quality::clean((800, 1_200));
    let sent: Vec<u8> = (0..100).collect();
    assert_eq!(arrivals(clean), sent, "a clean link only takes its time");
    assert!(arrivals(Quality { drop_percent: 100, ..clean }).is_empty());
    let some = arrivals(Quality { drop_percent: 40, ..clean });
    assert!((40..80).contains(&some.len()) && some.is_sorted(), "{some:?}");
    let twice: Vec<u8> = sent.iter().flat_map(|number| [*number, *number]).collect();
    assert_eq!(arrivals(Quality { duplicate_percent: 100, ..clean }), twice);
    let mut mixed = arrivals(Quality { reorder_percent: 30, ..clean });
    assert!(!mixed.is_sorted(), "{mixed:?}");
    mixed.sort_unstable();
    assert_eq!(mixed, sent, "what is overtaken arrives all the same, once");
    let damaged = arrivals(Quality { corrupt_percent: 50, ..clean });
    let changed = damaged.iter().zip(&sent).filter(|(arrived, sent)| arrived != sent).count();
    assert!((20..80).contains(&changed) && damaged.len() == sent.len(), "{damaged:?}");
}

#[test]
fn nobody_leads_where_every_datagram_is_lost() {
    let mut plan = Plan::calm(1, &[1, 2, 3].map(symphony_core::Member::voter), symphony_core::Timing::LOCAL);
    plan.healthy = Quality { drop_percent: 100, ..plan.healthy };
    let mut world = World::new(plan, false);
    world.run(5_000_000);
    assert!(world.datagrams > 0 && world.checker.leaders().is_empty());
}
