//! Whole elections between endpoints under virtual time.

use crate::common::Cluster;
use symphony_core::{Command, CommandError, Duration, Event, Member, NodeId, Role, Term};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn clusters_of_every_size_elect_one_leader_and_keep_it() {
    for size in 1..=7 {
        let mut cluster = Cluster::voters(size);
        let leader = cluster.elect();
        let term = cluster.node(leader).term();
        cluster.run(SECOND * 10);
        assert_eq!(cluster.leaders(), [leader], "{size} nodes");
        assert_eq!(cluster.node(leader).term(), term, "{size} nodes");
    }
}

#[test]
fn the_others_elect_a_leader_when_one_dies_and_it_follows_when_it_comes_back() {
    let mut cluster = Cluster::voters(3);
    let first = cluster.elect();
    cluster.stop(first);
    let second = cluster.elect();
    assert_ne!(first, second);
    cluster.start(first);
    cluster.run(SECOND);
    assert_eq!(cluster.elect(), second);
}

#[test]
fn a_minority_elects_nobody() {
    let mut cluster = Cluster::voters(3);
    let leader = cluster.elect();
    for id in [1, 2, 3].into_iter().filter(|id| *id != leader) {
        cluster.stop(id);
    }
    cluster.run(SECOND * 2);
    assert!(cluster.leaders().is_empty());
    assert_eq!(cluster.node(leader).leader(), None);
}

#[test]
fn a_rejoining_node_does_not_depose_a_healthy_leader() {
    let mut cluster = Cluster::voters(3);
    let leader = cluster.elect();
    let term = cluster.node(leader).term();
    let other = if leader == 1 { 2 } else { 1 };
    cluster.cut_off(other);
    cluster.run(SECOND * 5);
    cluster.heal();
    cluster.run(SECOND * 5);
    assert_eq!(cluster.elect(), leader);
    assert_eq!(cluster.node(leader).term(), term);
}

#[test]
fn a_witness_votes_and_never_leads_and_an_observer_only_hears() {
    let mut cluster = Cluster::new(&[Member::voter(1), Member::voter(2), Member::witness(3), Member::observer(4)]);
    for _ in 0..5 {
        let leader = cluster.elect();
        assert!(leader <= 2);
        cluster.stop(leader);
        let other = 3 - leader;
        cluster.run_until(|cluster| cluster.leaders() == [other]);
        cluster.stop(3);
        cluster.run(SECOND * 2);
        assert!(cluster.leaders().is_empty(), "one voter and an observer are no quorum");
        cluster.start(leader);
        cluster.start(3);
    }
}

#[test]
fn leadership_is_transferred_to_the_peer_named_without_a_timeout() {
    let mut cluster = Cluster::voters(5);
    let leader = cluster.elect();
    let to = if leader == 5 { 4 } else { 5 };
    let now = cluster.now;
    assert_eq!(cluster.node(to).handle_command(now, Command::Transfer(None)), Err(CommandError::NotLeader));
    cluster.run(SECOND);
    let before = cluster.now;
    cluster.node(leader).handle_command(before, Command::Transfer(Some(NodeId(to)))).unwrap();
    cluster.run_until(|cluster| cluster.leaders() == [to]);
    assert!(cluster.now - before < Duration::from_millis(20));
}

#[test]
fn a_transfer_to_a_peer_that_dies_leaves_a_leader() {
    let mut cluster = Cluster::voters(3);
    let leader = cluster.elect();
    cluster.run(SECOND);
    let to = if leader == 1 { 2 } else { 1 };
    let term = cluster.node(leader).term();
    let now = cluster.now;
    cluster.stop(to);
    cluster.node(leader).handle_command(now, Command::Transfer(Some(NodeId(to)))).unwrap();
    assert_eq!(cluster.node(leader).lease(now), None, "a lease that was let go never comes back in its term");
    cluster.run(SECOND);
    assert_eq!(cluster.elect(), leader);
    assert!(cluster.node(leader).term() > term);
}

#[test]
fn a_leader_that_resigns_is_followed_at_once_and_does_not_come_back() {
    let mut cluster = Cluster::voters(3);
    let leader = cluster.elect();
    cluster.run(SECOND);
    let now = cluster.now;
    cluster.node(leader).handle_command(now, Command::Resign).unwrap();
    cluster.run_until(|cluster| !cluster.leaders().contains(&leader));
    let next = cluster.elect();
    assert_ne!(next, leader);
    assert!(cluster.now - now < Duration::from_millis(20));
    cluster.stop(next);
    cluster.run(SECOND * 3);
    assert_ne!(cluster.leaders(), [leader]);
}

#[test]
fn a_healthy_peer_of_higher_priority_gets_the_leadership_back_once() {
    let mut cluster = Cluster::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    cluster.run(SECOND * 10);
    assert_eq!(cluster.elect(), 3);
    cluster.stop(3);
    cluster.elect();
    cluster.start(3);
    cluster.run(SECOND * 10);
    assert_eq!(cluster.elect(), 3);
    let term = cluster.node(3).term();
    cluster.run(SECOND * 30);
    assert_eq!((cluster.elect(), cluster.node(3).term()), (3, term));
}

#[test]
fn a_node_that_cannot_save_sends_nothing() {
    let mut cluster = Cluster::voters(3);
    cluster.elect();
    let (now, config) = (cluster.now, cluster.config(1));
    let mut node = crate::common::Node::new(config, symphony_core::Saved::provision([0; 8]), now);
    let mut buffer = [0; symphony_core::DATAGRAM_SIZE_MAX];
    for second in 1..100 {
        let now = now + SECOND * second;
        node.handle_timeout(now);
        assert!(node.poll_transmit(now, &mut buffer).is_none());
        assert_eq!(node.poll_event(now), None);
        assert_ne!(node.role(), Role::Leader);
    }
}

#[test]
fn events_tell_of_the_leader_and_of_the_lease() {
    let mut cluster = Cluster::voters(3);
    let leader = cluster.elect();
    cluster.run(SECOND);
    let term = cluster.node(leader).term();
    let elected = Event::LeaderChanged { term, leader: Some(NodeId(leader)) };
    assert_eq!(cluster.events[&leader], [elected, Event::LeaseAcquired]);
    cluster.cut_off(leader);
    cluster.run(SECOND);
    let lost = Event::LeaderChanged { term, leader: None };
    assert_eq!(cluster.events[&leader], [elected, Event::LeaseAcquired, Event::LeaseLost, lost]);
}

#[test]
fn the_lease_ends_before_anyone_else_can_be_elected() {
    let members: Vec<_> = (1..=5).map(Member::voter).collect();
    let mut first_to_lead = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut cluster = Cluster::seeded(&members, seed);
        let first = cluster.elect();
        first_to_lead.insert(first);
        cluster.run(SECOND + Duration::from_millis(seed));
        cluster.cut_off(first);
        cluster.run_until(|cluster| {
            let held = cluster.nodes[&first].lease(cluster.now).is_some();
            assert!(!held || cluster.leaders() == [first], "seed {seed}: another leads while the lease is held");
            !held
        });
        cluster.run(SECOND);
        assert_ne!(cluster.leaders(), [first]);
    }
    assert!(first_to_lead.len() == 5, "every seed is a run of its own: {first_to_lead:?}");
}

#[test]
fn a_single_voter_leads_alone() {
    let mut cluster = Cluster::voters(1);
    cluster.elect();
    assert_eq!(cluster.node(1).term(), Term(1));
    let now = cluster.now;
    assert!(cluster.node(1).lease(now).is_some());
}

/// A node that campaigned in the term that the other won has only its own word that it is the latest; what it heard of
/// the other's clock before that one started again says nothing.
#[test]
fn a_leader_whose_clock_began_anew_is_followed_by_the_candidate_that_lost_to_it() {
    let mut cluster = Cluster::new(&[Member::voter(1), Member::voter(2), Member::witness(3)]);
    let winner = cluster.elect();
    let loser = 3 - winner;
    cluster.run(SECOND * 100);
    cluster.stop(winner);
    cluster.run_until(|cluster| cluster.nodes[&loser].role() == Role::Candidate);
    cluster.cut_off(loser);
    cluster.behind.insert(winner, SECOND * 100);
    cluster.start(winner);
    cluster.run_until(|cluster| cluster.leaders() == [winner]);
    assert_eq!(cluster.node(winner).term(), cluster.node(loser).term());
    cluster.heal();
    assert_eq!(cluster.elect(), winner);
}

/// If it did, two that are elected one after the other could depose each other for ever.
#[test]
fn a_leader_that_no_quorum_stands_by_yet_gives_way_to_a_later_term() {
    let mut cluster = Cluster::new(&[Member::voter(1), Member::witness(2), Member::observer(3)]);
    cluster.stop(3);
    cluster.disks.get_mut(&3).unwrap().term = Term(50);
    cluster.run_until(|cluster| cluster.leaders() == [1]);
    cluster.cut(1, 2);
    cluster.start(3);
    cluster.run_until(|cluster| cluster.nodes[&1].term() >= Term(50));
    assert_eq!((cluster.node(1).term(), cluster.node(1).role()), (Term(50), Role::Follower));
}

#[test]
fn a_leader_that_a_quorum_stands_by_leads_again_at_once_in_a_later_term() {
    let mut cluster = Cluster::new(&[Member::voter(1), Member::witness(2), Member::observer(3)]);
    cluster.stop(3);
    cluster.disks.get_mut(&3).unwrap().term = Term(50);
    cluster.elect();
    cluster.run(SECOND);
    cluster.start(3);
    cluster.run_until(|cluster| cluster.nodes[&1].term() >= Term(50));
    assert_eq!((cluster.node(1).term(), cluster.node(1).role()), (Term(51), Role::Candidate));
    cluster.run(Duration::from_millis(5));
    assert_eq!(cluster.leaders(), [1]);
}
