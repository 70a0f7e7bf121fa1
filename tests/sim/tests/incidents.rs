//! What went wrong in other systems, replayed here. The simulator's invariants hold throughout.
//!
//! | where | what | test |
//! |---|---|---|
//! | Cloudflare 2020-11-02 | a switch cut one pair of three | `a_partial_switch_failure_between_one_pair_of_three_deposes_nobody` |
//! | etcd#4765 | term or vote not saved before the reply | `a_crash_between_a_vote_and_its_reply_makes_no_second_vote` |
//! | PostgreSQL 2018 | a failed sync, later reported as a success | `a_sync_that_fails_and_later_succeeds_breaks_no_promise` |
//! | hashicorp/raft#503 | a leader with a dead disk that still heartbeats | `a_node_with_a_dead_disk_neither_votes_nor_leads_again`; on a real disk `servers/dead_disk.rs` |
//! | etcd#20418 | a leader paused for ten timeouts | `a_leader_paused_for_ten_timeouts_has_no_lease_when_it_goes_on` |
//! | many | clocks that jump by an hour | `clocks_that_jump_by_an_hour_elect_no_two_leaders` |
//! | etcd#8243, #9586 | pre-vote deadlock with a low-term node | `two_nodes_of_different_terms_elect_a_leader_with_pre_vote` |
//! | etcd#8501 | a rolling change of settings | `leases_hold_while_the_settings_are_changed_node_by_node` |
//! | thesis 9.6 | an isolated minority rejoins | `an_isolated_minority_that_rejoins_changes_nothing` |
//! | many | one id on two machines | `one_id_on_two_machines_is_found_out` |
//! | hashicorp/raft#643 | two clusters on one network | `two_clusters_on_one_network_do_not_mix` |
//! | sliding windows | a forged high counter | `a_forged_high_counter_shuts_no_member_out` |
//! | replay attacks | held heartbeats, dripped | `held_heartbeats_of_a_dead_leader_keep_nobody_quiet` |
//! | a no_std peer | duplicated vote replies | `repeated_vote_replies_of_two_nodes_of_five_make_no_leader` |
//! | raft-rs#234 | a late TimeoutNow breaks a lease | `a_late_request_to_campaign_breaks_no_lease` |
//! | openraft#1838 | a timeout drawn once: split votes for ever | `votes_are_not_split_for_ever` |
//! | Omni-Paxos, EuroSys 2023 | quorum loss | `a_hub_takes_over_when_the_leader_has_lost_its_quorum` |
//! | the same | constrained election | `a_hub_takes_over_when_the_leader_is_cut_off_altogether` |
//! | the same | chained cuts | `the_far_end_of_a_chain_does_not_depose_the_leader` |

use symphony_core::{Command, Duration, Endpoint, Member, NodeId, Role, Timing};
use symphony_sim::{
    attacks::ATTACKS,
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

fn cut(world: &mut World, a: usize, b: usize) {
    world.network.set_cut(a, b, true);
    world.network.set_cut(b, a, true);
}

fn cut_off(world: &mut World, node: usize) {
    world.others(node).into_iter().for_each(|other| cut(world, node, other));
}

fn term(world: &World, node: usize) -> u64 {
    world.endpoint(node).map_or(0, |endpoint| endpoint.term().0)
}

/// Datagrams that a node has taken in.
fn accepted(world: &World, node: usize) -> u32 {
    world.endpoint(node).map_or(0, |endpoint| endpoint.stats().datagrams_accepted)
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
    let (before, follower) = (term(&world, leader), world.others(leader)[0]);
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
    for (seed, outcome) in (0..20).flat_map(|seed| SaveOutcome::CRASHES.map(|outcome| (seed, outcome))) {
        let mut world = world_of(seed, &voters(3), |_| {});
        let leader = elect(&mut world);
        world.run(TIMEOUT_US);
        world.crash(leader);
        world.others(leader).into_iter().for_each(|node| world.decide_next_save(node, outcome));
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
        for node in world.others(leader) {
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
        // One alone: two that campaign at once are in the same term.
        let campaigns = |world: &World| {
            let alone = |node: &usize| role(world, 3 - leader - node) == Some(Role::Follower);
            (0..3).find(|node| role(world, *node) == Some(Role::Candidate) && alone(node))
        };
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
    let (before, minority) = (term(&world, leader), world.others(leader)[..2].to_vec());
    for node in &minority {
        world.others(*node).into_iter().filter(|other| !minority.contains(other)).for_each(|other| {
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
/// made a leader. Answers take longer here than a request's repetition, so the one voter that is left answers each of
/// them, and every answer arrives as a datagram of its own.
#[test]
fn repeated_vote_replies_of_two_nodes_of_five_make_no_leader() {
    for seed in 0..20 {
        let mut world = world_of(seed, &voters(5), |plan| {
            plan.healthy = Quality { duplicate_percent: 100, ..Quality::clean((30_000, 32_000)) };
            for timing in &mut plan.timings {
                timing.heartbeat_interval = Duration::from_millis(10);
            }
        });
        let leader = elect(&mut world);
        world.crash(leader);
        let campaigns = |world: &World| (0..5).find(|node| role(world, *node) == Some(Role::Candidate));
        assert!(world.run_until(TIMEOUT_US * 10, |world| campaigns(world).is_some()));
        let candidate = campaigns(&world).expect("there was one");
        let others: Vec<_> = world.others(candidate).into_iter().filter(|node| *node != leader).collect();
        others[1..].iter().for_each(|node| world.crash(*node));
        // Answers to the question before this one have arrived by then.
        world.run(35_000);
        let (before, terms) = (accepted(&world, candidate), world.checker.leaders().len());
        world.run(100_000);
        assert!(accepted(&world, candidate) >= before + 5, "seed {seed}: the voter has answered once");
        world.run(TIMEOUT_US * 20);
        assert_eq!((world.checker.leaders().len(), world.leader()), (terms, None), "seed {seed}");
        world.start(leader);
        elect(&mut world);
        assert_whole(&world);
    }
}

/// raft-rs#234: a request to campaign that comes late makes its receiver an opponent of a leader with a lease.
#[test]
fn a_late_request_to_campaign_breaks_no_lease() {
    for seed in 0..20 {
        let mut world = world_of(seed, &voters(3), |_| {});
        let leader = elect(&mut world);
        world.run(TIMEOUT_US);
        let successor = world.others(leader)[0];
        let let_go = term(&world, leader);
        world.network.hold(leader, successor);
        let to = NodeId(u16::try_from(successor + 1).expect("small"));
        world.command(leader, Command::Transfer(Some(to))).expect("the successor is healthy");
        assert!(!world.has_lease(leader));
        let again = |world: &World| world.has_lease(leader) && term(world, leader) > let_go;
        assert!(world.run_until(TIMEOUT_US * 2, again), "the transfer ends: {:?}", broken(&world));
        let late = world.network.take_held(leader, successor);
        assert_eq!(elect(&mut world), leader);
        let before = term(&world, leader);
        assert!(late.len() >= 10, "heartbeats and requests to campaign, not {}", late.len());
        for datagram in late {
            let heard = accepted(&world, successor);
            world.inject(datagram);
            world.run(0);
            assert_eq!(accepted(&world, successor), heard + 1, "the core, not the replay window, decides");
            assert!(world.has_lease(leader));
            world.run(1_000);
        }
        world.run(TIMEOUT_US * 2);
        assert_eq!((elect(&mut world), term(&world, leader)), (leader, before), "seed {seed}");
        assert_whole(&world);
    }
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
    let hub = world.others(leader)[0];
    for node in world.others(hub) {
        world.others(node).into_iter().filter(|other| *other != hub).for_each(|other| cut(&mut world, node, other));
    }
    assert_eq!(elect_another(&mut world, leader), hub);
    assert_whole(&world);
}

/// The same, "constrained election scenario": the leader is gone altogether as well.
#[test]
fn a_hub_takes_over_when_the_leader_is_cut_off_altogether() {
    let mut world = world(5);
    let leader = elect(&mut world);
    let hub = world.others(leader)[0];
    for node in world.others(hub) {
        world.others(node).into_iter().filter(|other| *other != hub).for_each(|other| cut(&mut world, node, other));
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
    let (before, far) = (term(&world, leader), world.others(leader)[1]);
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
    let mut held = world.crash_held_back(leader, TIMEOUT_US * 2 / 5);
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

/// Runs attacks of [`ATTACKS`] by name.
#[track_caller]
fn withstands(names: &[&str]) {
    for name in names {
        let (_, attack) = ATTACKS.iter().find(|attack| attack.0 == *name).expect("an attack of this name");
        assert_eq!(attack(), Ok(()), "{name}");
    }
}

/// A virtual machine is cloned with its disk, or a board is set up with an id that is taken: two processes vote under one
/// identity. The one that the others do not know retires; one that runs on the same record is refused.
#[test]
fn one_id_on_two_machines_is_found_out() {
    withstands(&["copy-that-comes-second", "copy-that-comes-first", "copy-of-the-disk"]);
}

/// hashicorp/raft#643: nodes of one cluster got the addresses of another's, joined its elections and unseated its leader.
#[test]
fn two_clusters_on_one_network_do_not_mix() {
    withstands(&["other-cluster", "other-cluster-of-the-same-tag"]);
}

/// A window that moves before the tag is checked is shut by one forged datagram with a counter far ahead (RFC 4303,
/// section 3.4.3, checks first).
#[test]
fn a_forged_high_counter_shuts_no_member_out() {
    withstands(&["forged", "forged-high-counter"]);
}
