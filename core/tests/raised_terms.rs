//! A term that a node learns from outside the cluster (`Command::RaiseTerm`) does what one heard in a message does.

use crate::common::Cluster;
use crate::common::solo::{Solo, TIMEOUT_MAX, TIMEOUT_MIN, VOTE};
use symphony_core::{Command, Duration, NodeId, Reason, Role, Term};

fn raise(solo: &mut Solo, term: u64) {
    assert_eq!(solo.node.handle_command(solo.now, Command::RaiseTerm(Term(term))), Ok(()));
}

#[test]
fn a_leader_that_learns_of_a_later_term_steps_down_into_it_and_votes_for_nobody() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    assert!(solo.node.lease(solo.now).is_some());
    raise(&mut solo, 40);
    assert_eq!((solo.role(), solo.node.leader(), solo.node.lease(solo.now)), (Role::Follower, None, None));
    assert_eq!((solo.term(), solo.node.saved().vote), (40, None));
    assert_eq!(solo.node.stats().latest.1, Reason::TermRaised { term: Term(40) });
    assert_eq!(solo.settle(), [], "it tells nobody, and asks for nothing");
    assert_eq!(solo.disk.term, Term(40));
}

#[test]
fn it_is_saved_before_anything_is_said_in_it() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MIN);
    raise(&mut solo, 40);
    solo.get_unsaved(2, 40, VOTE);
    assert_eq!(solo.said(), [], "nothing of it is on the disk");
    assert_eq!(solo.settle().len(), 1);
    assert_eq!((solo.disk.term, solo.disk.vote), (Term(40), Some(NodeId(2))));
}

#[test]
fn a_term_that_is_no_later_changes_nothing() {
    for term in [0, 4, 5] {
        let mut solo = Solo::voters(3);
        solo.lead();
        raise(&mut solo, term);
        assert_eq!((solo.role(), solo.term(), solo.node.poll_persist()), (Role::Leader, 5, None), "{term}");
        assert_eq!(solo.node.stats().latest.1, Reason::Elected { votes: 2 });
    }
}

#[test]
fn the_next_election_is_for_a_later_term_and_no_sooner_than_any_other() {
    for leads in [true, false] {
        let mut solo = Solo::voters(3);
        if leads {
            solo.lead();
        } else {
            solo.hear(2, 4);
        }
        let begun = solo.now;
        raise(&mut solo, 40);
        solo.settle();
        solo.campaign();
        assert_eq!((solo.role(), solo.term()), (Role::Candidate, 41));
        assert!(solo.now - begun >= Duration::from_millis(TIMEOUT_MIN), "it has waited for a leader");
        assert!(solo.now - begun <= Duration::from_millis(TIMEOUT_MAX + 1));
    }
}

/// A deposed leader learns of its successor's term from the database before it hears the successor.
#[test]
fn a_node_that_learns_its_leaders_term_does_not_disturb_it() {
    let mut solo = Solo::voters(3);
    solo.lead();
    raise(&mut solo, 6);
    for _ in 0..20 {
        solo.hear(2, 6);
        solo.wait(TIMEOUT_MIN / 3);
        assert_eq!((solo.role(), solo.node.leader(), solo.term()), (Role::Follower, Some(NodeId(2)), 6));
    }
    assert_eq!(solo.node.stats().elections, 1, "its own");
}

#[test]
fn one_leader_that_learns_of_it_takes_the_whole_cluster_there() {
    let mut cluster = Cluster::voters(3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let now = cluster.now;
    cluster.node(leader).handle_command(now, Command::RaiseTerm(Term(1000))).unwrap();
    assert!(cluster.leaders().is_empty());
    let next = cluster.elect();
    assert!(cluster.node(next).term() > Term(1000));
    assert!(cluster.now - now < Duration::from_secs(2));
}
