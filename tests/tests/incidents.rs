//! What went wrong in other systems, replayed here. The simulator's invariants hold throughout.

use symphony_core::{Command, Duration, Endpoint, Member, NodeId, Role, Timing};
use symphony_tests::sim::{
    disk::SaveOutcome,
    network::Quality,
    plan::Plan,
    run::{led_by_all, led_by_majority},
    world::World,
};

/// The longest election timeout of [`Timing::LOCAL`], microseconds.
const TIMEOUT_US: u64 = 300_000;

fn voters(count: u16) -> Vec<Member> {
    (1..=count).map(Member::voter).collect()
}

fn world_of(seed: u64, members: &[Member], change: impl FnOnce(&mut Plan)) -> World {
    let mut plan = Plan::calm(seed, members, Timing::LOCAL);
    change(&mut plan);
    World::new(plan, false)
}

fn world(count: u16) -> World {
    world_of(1, &voters(count), |_| {})
}

/// Waits until everybody follows one leader that has a lease.
#[track_caller]
fn elect(world: &mut World) -> usize {
    let settled = |world: &World| led_by_all(world).filter(|leader| world.has_lease(*leader));
    assert!(world.run_until(TIMEOUT_US * 10, |world| settled(world).is_some()), "no leader: {:?}", broken(world));
    led_by_all(world).expect("there was one")
}

/// Waits until a majority follows a leader that is not `old`.
#[track_caller]
fn elect_another(world: &mut World, old: usize) -> usize {
    let another = |world: &World| led_by_majority(world).filter(|leader| *leader != old);
    assert!(world.run_until(TIMEOUT_US * 10, |world| another(world).is_some()), "no leader: {:?}", broken(world));
    led_by_majority(world).expect("there was one")
}

fn broken(world: &World) -> Option<String> {
    world.checker.violation().map(|violation| format!("{violation:?}"))
}

#[track_caller]
fn assert_whole(world: &World) {
    assert_eq!(broken(world), None);
}

fn others(world: &World, than: usize) -> Vec<usize> {
    (0..world.size()).filter(|node| *node != than).collect()
}

fn cut(world: &mut World, a: usize, b: usize) {
    world.network.set_cut(a, b, true);
    world.network.set_cut(b, a, true);
}

fn cut_off(world: &mut World, node: usize) {
    others(world, node).into_iter().for_each(|other| cut(world, node, other));
}

fn term(world: &World, node: usize) -> u64 {
    world.endpoint(node).map_or(0, |endpoint| endpoint.term().0)
}

fn role(world: &World, node: usize) -> Option<Role> {
    world.endpoint(node).map(Endpoint::role)
}

/// Cloudflare, 2020-11-02, "A Byzantine failure in the real world": a switch failed in part, two of three etcd nodes did
/// not hear each other, and the third, which heard both, was drawn into one election after another for six minutes.
#[test]
fn a_partial_switch_failure_between_one_pair_of_three_deposes_nobody() {
    let mut world = world(3);
    let leader = elect(&mut world);
    let (before, follower) = (term(&world, leader), others(&world, leader)[0]);
    cut(&mut world, leader, follower);
    world.run(TIMEOUT_US * 100);
    assert_eq!((role(&world, leader), term(&world, leader)), (Some(Role::Leader), before));
    world.network.mend();
    assert_eq!((elect(&mut world), term(&world, leader)), (leader, before));
    assert_whole(&world);
}

/// A node that votes, crashes and forgets could vote twice in a term (thesis, section 3.8; the first of the etcd-io/raft
/// contract's rules, etcd#4765): it crashes at each point between the decision and the reply.
#[test]
fn a_crash_between_a_vote_and_its_reply_makes_no_second_vote() {
    let crashes = [
        SaveOutcome::CrashBefore,
        SaveOutcome::CrashTorn,
        SaveOutcome::CrashUnheard,
        SaveOutcome::CrashHeard,
        SaveOutcome::CrashActed,
    ];
    for (seed, outcome) in (0..20).flat_map(|seed| crashes.map(|outcome| (seed, outcome))) {
        let mut world = world_of(seed, &voters(3), |_| {});
        let leader = elect(&mut world);
        world.run(TIMEOUT_US);
        world.crash(leader);
        others(&world, leader).into_iter().for_each(|node| world.decide_next_save(node, outcome));
        elect(&mut world);
        assert_whole(&world);
    }
}

/// "PostgreSQL's fsync() surprise" (LWN, 2018-04-18): a sync that failed once is reported as a success the next time,
/// though the pages are gone. What failed once is written anew, and nobody hears of it before.
#[test]
fn a_sync_that_fails_and_later_succeeds_breaks_no_promise() {
    for (seed, written) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = world_of(seed, &voters(3), |_| {});
        let leader = elect(&mut world);
        world.crash(leader);
        for node in others(&world, leader) {
            world.decide_next_save(node, SaveOutcome::SyncFailed { written });
        }
        elect(&mut world);
        assert_whole(&world);
    }
}

/// hashicorp/raft#503: a leader whose disk was dead kept its followers quiet by heartbeats. A leader needs no disk to
/// lead on; but once it has lost its office, it neither votes nor leads before a save succeeds.
#[test]
fn a_node_with_a_dead_disk_neither_votes_nor_leads_again() {
    let mut world = world_of(1, &voters(3), |plan| plan.disk_blocks = false);
    let leader = elect(&mut world);
    world.set_disk_dead(leader, true);
    cut_off(&mut world, leader);
    let next = elect_another(&mut world, leader);
    world.network.mend();
    world.run(TIMEOUT_US * 5);
    let third = 3 - leader - next;
    world.crash(next);
    world.run(TIMEOUT_US * 20);
    assert_eq!((role(&world, leader) == Some(Role::Leader), role(&world, third) == Some(Role::Leader)), (false, false));
    world.set_disk_dead(leader, false);
    elect(&mut world);
    assert_whole(&world);
}

/// etcd#20418: a leader that was paused for long acted on what it had believed before.
#[test]
fn a_leader_paused_for_ten_timeouts_has_no_lease_when_it_goes_on() {
    let mut world = world(5);
    let old = elect(&mut world);
    world.pause(old, u64::from(u32::MAX));
    let new = elect_another(&mut world, old);
    world.run(TIMEOUT_US * 10);
    assert!(world.has_lease(new));
    world.unpause(old);
    assert!(!world.has_lease(old));
    assert_ne!(role(&world, old), Some(Role::Leader));
    assert_eq!(elect(&mut world), new);
    assert_whole(&world);
}

/// Clocks that are set by an hour, forwards or back: elections do not depend on them, only the leases do.
#[test]
fn clocks_that_jump_by_an_hour_elect_no_two_leaders() {
    const HOUR_US: u64 = 3_600_000_000;
    for node in 0..3 {
        let mut world = world(3);
        elect(&mut world);
        world.disturb_clock(node, |clock, now_us| clock.leap(now_us, HOUR_US));
        world.run(TIMEOUT_US * 2);
        assert!(world.run_until(TIMEOUT_US * 10, |world| led_by_all(world).is_some()));
        world.disturb_clock(node, |clock, now_us| clock.fall_back(now_us, HOUR_US));
        world.run(TIMEOUT_US * 2);
        assert!(world.run_until(TIMEOUT_US * 10, |world| led_by_majority(world).is_some()));
        assert_whole(&world);
    }
}

/// etcd#8243 and #9586: with pre-vote, a node of a higher term and one of a lower term ignored each other for ever.
#[test]
fn two_nodes_of_different_terms_elect_a_leader_with_pre_vote() {
    for seed in 0..20 {
        let mut world = world_of(seed, &voters(3), |_| {});
        let leader = elect(&mut world);
        world.crash(leader);
        let campaigns = |world: &World| (0..3).find(|node| role(world, *node) == Some(Role::Candidate));
        assert!(world.run_until(TIMEOUT_US * 10, |world| campaigns(world).is_some()));
        let high = campaigns(&world).expect("there was one");
        let low = 3 - leader - high;
        cut(&mut world, high, low);
        world.run(TIMEOUT_US * 5);
        assert!(term(&world, high) > term(&world, low));
        world.network.mend();
        elect(&mut world);
        assert_whole(&world);
    }
}

/// etcd#8501: members were changed one after another to other timeouts. The lease rests on what each follower promises
/// by its own settings, so it holds while they differ.
#[test]
fn leases_hold_while_the_settings_are_changed_node_by_node() {
    for seed in 0..20 {
        let mut world = world_of(seed, &voters(3), |_| {});
        elect(&mut world);
        for node in [0, 1, 2, 2, 1, 0] {
            let slow = world.plan.timings[node] == Timing::LOCAL;
            world.plan.timings[node] = if slow { slower(3) } else { Timing::LOCAL };
            let promise_us = slower(3).election_timeout_min.as_micros();
            world.restart(node, promise_us);
            world.run(promise_us + TIMEOUT_US);
            let leader = elect(&mut world);
            cut_off(&mut world, leader);
            elect_another(&mut world, leader);
            world.network.mend();
            elect(&mut world);
        }
        assert_whole(&world);
    }
}

fn slower(times: u32) -> Timing {
    let Timing { election_timeout_min, election_timeout_max, .. } = Timing::LOCAL;
    let slow = |duration: Duration| duration.checked_mul(times).expect("short");
    Timing {
        election_timeout_min: slow(election_timeout_min),
        election_timeout_max: slow(election_timeout_max),
        ..Timing::LOCAL
    }
}

/// Thesis, section 9.6: a node that comes back after a partition deposes a leader that everybody else hears.
#[test]
fn an_isolated_minority_that_rejoins_changes_nothing() {
    let mut world = world(5);
    let leader = elect(&mut world);
    let (before, minority) = (term(&world, leader), others(&world, leader)[..2].to_vec());
    for node in &minority {
        others(&world, *node).into_iter().filter(|other| !minority.contains(other)).for_each(|other| {
            cut(&mut world, *node, other);
        });
    }
    world.run(TIMEOUT_US * 50);
    world.network.mend();
    world.run(TIMEOUT_US * 10);
    assert_eq!((elect(&mut world), term(&world, leader)), (leader, before));
    assert_whole(&world);
}

/// A peer library for microcontrollers counted vote replies, not voters: of five nodes, two and their repeated replies
/// made a leader.
#[test]
fn repeated_vote_replies_of_two_nodes_of_five_make_no_leader() {
    let mut world = world_of(1, &voters(5), |plan| {
        plan.healthy = Quality { duplicate_percent: 100, ..plan.healthy };
    });
    elect(&mut world);
    (0..3).for_each(|node| world.crash(node));
    world.run(TIMEOUT_US * 3);
    let terms = world.checker.leaders().len();
    world.run(TIMEOUT_US * 100);
    assert_eq!((world.checker.leaders().len(), world.leader()), (terms, None));
    world.start(0);
    elect(&mut world);
    assert_whole(&world);
}

/// raft-rs#234: a request to campaign that comes late makes its receiver an opponent of a leader with a lease.
#[test]
fn a_late_request_to_campaign_breaks_no_lease() {
    let mut world = world(3);
    let leader = elect(&mut world);
    let successor = others(&world, leader)[0];
    world.network.hold(leader, successor);
    let to = NodeId(u16::try_from(successor + 1).expect("small"));
    world.command(leader, Command::Transfer(Some(to))).expect("the successor is healthy");
    assert!(!world.has_lease(leader));
    world.run(TIMEOUT_US / 10);
    let mut late = world.network.take_held(leader, successor);
    world.run(TIMEOUT_US * 20);
    let leader = elect(&mut world);
    let before = term(&world, leader);
    while let Some(datagram) = late.pop() {
        world.inject(datagram);
        world.run(TIMEOUT_US);
        assert!(world.has_lease(leader));
    }
    assert_eq!((elect(&mut world), term(&world, leader)), (leader, before));
    assert_whole(&world);
}

/// openraft#1838: a timeout drawn once and kept lets the same nodes split the vote for ever. Here all delays are equal,
/// so that nothing but the nodes' own draws can break a tie.
#[test]
fn votes_are_not_split_for_ever() {
    for seed in 0..50 {
        let mut world = world_of(seed, &voters(7), |plan| {
            plan.healthy = Quality::clean((1_000, 1_000));
            plan.save_us = (200, 200);
        });
        let leader = elect(&mut world);
        world.crash(leader);
        elect(&mut world);
        assert_whole(&world);
    }
}

/// Omni-Paxos (Ng, Haridi and Carbone, EuroSys 2023), section 2, "quorum-loss scenario": everybody hears only the hub,
/// the leader is alive but has lost its quorum, and only the hub could lead.
#[test]
fn a_hub_takes_over_when_the_leader_has_lost_its_quorum() {
    let mut world = world(5);
    let leader = elect(&mut world);
    let hub = others(&world, leader)[0];
    for node in others(&world, hub) {
        others(&world, node).into_iter().filter(|other| *other != hub).for_each(|other| cut(&mut world, node, other));
    }
    assert_eq!(elect_another(&mut world, leader), hub);
    assert_whole(&world);
}

/// The same, "constrained election scenario": the leader is gone altogether as well.
#[test]
fn a_hub_takes_over_when_the_leader_is_cut_off_altogether() {
    let mut world = world(5);
    let leader = elect(&mut world);
    let hub = others(&world, leader)[0];
    for node in others(&world, hub) {
        others(&world, node).into_iter().filter(|other| *other != hub).for_each(|other| cut(&mut world, node, other));
    }
    cut_off(&mut world, leader);
    assert_eq!(elect_another(&mut world, leader), hub);
    assert_whole(&world);
}

/// The same, "chained scenario": the ends of a chain do not hear each other, and depose each other in turn. Here the one
/// that does not hear the leader stays quiet.
#[test]
fn the_far_end_of_a_chain_does_not_depose_the_leader() {
    let mut world = world(3);
    let leader = elect(&mut world);
    let (before, far) = (term(&world, leader), others(&world, leader)[1]);
    cut(&mut world, leader, far);
    world.run(TIMEOUT_US * 50);
    assert_eq!((role(&world, leader), term(&world, leader)), (Some(Role::Leader), before));
    assert_eq!(world.checker.leaders().len(), 1);
    assert_whole(&world);
}

/// Whoever holds back the last heartbeats of a leader that has died, and lets them go one by one, must not keep its
/// followers quiet.
#[test]
fn held_heartbeats_of_a_dead_leader_keep_nobody_quiet() {
    let mut world = world(3);
    let leader = elect(&mut world);
    let followers = others(&world, leader);
    followers.iter().for_each(|follower| world.network.hold(leader, *follower));
    world.run(TIMEOUT_US * 2 / 5);
    world.crash(leader);
    let mut held: Vec<_> = followers.iter().map(|follower| world.network.take_held(leader, *follower)).collect();
    held.iter_mut().for_each(|held| held.reverse());
    let begun_us = world.now_us;
    while world.leader().is_none() {
        for datagram in held.iter_mut().filter_map(Vec::pop).collect::<Vec<_>>() {
            world.inject(datagram);
        }
        world.run(TIMEOUT_US * 2 / 5);
        assert!(world.now_us - begun_us < TIMEOUT_US * 2, "{} and {} are left", held[0].len(), held[1].len());
    }
    assert_whole(&world);
}
