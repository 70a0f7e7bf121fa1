//! What Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014) asks of leadership transfers (section 3.10), rule
//! by rule.

use crate::common::solo::{HEARTBEAT, Solo, TIMEOUT_MAX, TIMEOUT_MIN, only, told};
use symphony_core::{
    Body, Command, CommandError, Duration, Member, Message, NodeId, Reason, Role, Stamp, Term, Verdict,
};

/// Section 3.10: a leader that hands over asks its successor to campaign, and the successor does so without waiting, in
/// the next term; it says that the leader has let go.
#[test]
fn a_successor_campaigns_without_waiting() {
    let mut solo = Solo::voters(3);
    solo.hear(2, 4);
    solo.pass(10);
    let echo = Stamp(solo.now.as_millis() - 10);
    let said = solo.get(2, 4, Body::TimeoutNow { echo });
    assert_eq!(told(&said), (vec![2, 3], Message { term: Term(5), body: Body::Vote { released: Term(4) } }));
    assert_eq!(solo.node.stats().latest.1, Reason::Campaigned { released: Term(4) });
    assert_eq!((solo.role(), solo.node.leader()), (Role::Candidate, None));
}

/// Section 3.10, and why a late request is harmless: it counts only from the leader that the node follows, in its term,
/// with a young stamp of its own, and not at a node that may not lead.
#[test]
fn a_request_to_campaign_counts_only_now_and_from_the_leader() {
    let fresh = |solo: &Solo| Stamp::of(solo.now);
    type Echo = fn(&Solo) -> Stamp;
    let cases: [(u16, u64, Echo); 5] = [
        (3, 4, fresh),
        (2, 3, fresh),
        (2, 4, |_| Stamp(0)),
        (2, 4, |solo| Stamp(solo.now.as_millis() - TIMEOUT_MIN)),
        (2, 4, |solo| Stamp(solo.now.as_millis() + 1)),
    ];
    for (from, term, echo) in cases {
        let mut solo = Solo::voters(3);
        solo.hear(2, 4);
        let echo = echo(&solo);
        solo.get(from, term, Body::TimeoutNow { echo });
        assert_eq!((solo.role(), solo.term()), (Role::Follower, 4), "{from} {term} {echo:?}");
    }
    let mut witness = Solo::new(&[Member::witness(1), Member::voter(2), Member::voter(3)]);
    let mut paused = Solo::voters(3);
    paused.node.handle_command(paused.now, Command::Pause).unwrap();
    for solo in [&mut witness, &mut paused] {
        solo.hear(2, 4);
        solo.get(2, 4, Body::TimeoutNow { echo: fresh(solo) });
        assert_eq!((solo.role(), solo.term()), (Role::Follower, 4));
    }
    let mut solo = Solo::voters(3);
    solo.hear(2, 4);
    let echo = Stamp(solo.now.as_millis() - (TIMEOUT_MIN - 1));
    solo.get(2, 4, Body::TimeoutNow { echo });
    assert_eq!(solo.role(), Role::Candidate, "young enough");
}

/// Section 3.10: the leader asks until the successor's term ends its own; if that does not come within an election
/// timeout, it ends the transfer. (The thesis lets it go on in its term; here a lease may have been relied on that a late
/// campaign could break, so it goes on in a new term.)
#[test]
fn a_transfer_that_fails_ends_after_an_election_timeout() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    solo.answer(3, 0);
    assert_eq!(solo.node.handle_command(solo.now, Command::Transfer(Some(NodeId(2)))), Ok(()));
    let request = |solo: &Solo| (2, Message { term: Term(5), body: Body::TimeoutNow { echo: Stamp(77) } }, solo.now);
    let (to, message) = only(&solo.settle());
    assert_eq!((to, message, solo.now), request(&solo));
    for _ in 0..5 {
        let said = solo.wait(HEARTBEAT);
        assert_eq!(said[0], (2, Message { term: Term(5), body: Body::TimeoutNow { echo: Stamp(77) } }), "again");
        solo.answer(2, 0);
        solo.answer(3, 0);
        assert_eq!(solo.node.lease(solo.now), None);
    }
    solo.wait(HEARTBEAT - 1);
    assert_eq!((solo.role(), solo.term()), (Role::Leader, 5));
    let said = solo.wait(1);
    assert_eq!((solo.role(), solo.term()), (Role::Candidate, 6));
    assert_eq!(told(&said), (vec![2, 3], Message { term: Term(6), body: Body::Vote { released: Term(5) } }));
}

/// Section 3.10: only a leader can hand over, and only to a voter that answers it and would lead.
#[test]
fn leadership_goes_only_to_a_voter_that_answers() {
    let members = [Member::voter(1), Member::voter(2), Member::voter(3), Member::witness(4), Member::observer(5)];
    let mut solo = Solo::new(&members);
    let transfer = |solo: &mut Solo, to: u16| solo.node.handle_command(solo.now, Command::Transfer(Some(NodeId(to))));
    assert_eq!(transfer(&mut solo, 2), Err(CommandError::NotLeader));
    solo.lead();
    for peer in [2, 4, 5] {
        solo.answer(peer, 0);
    }
    for to in [1, 3, 4, 5, 9] {
        assert_eq!(transfer(&mut solo, to), Err(CommandError::NoSuccessor), "{to}");
    }
    assert_eq!(transfer(&mut solo.clone(), 2), Ok(()));
    solo.pass(TIMEOUT_MIN - 1);
    assert_eq!(transfer(&mut solo.clone(), 2), Ok(()));
    solo.pass(1);
    assert_eq!(transfer(&mut solo, 2), Err(CommandError::NoSuccessor), "silent for too long");
}

/// Section 3.10 with 6.4.1: what could not be sent in the term that was let go is not sent in the next, where it would
/// break the lease of a leader that lets nobody take over.
#[test]
fn a_request_to_campaign_does_not_outlive_its_term() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    solo.node.handle_command(solo.now, Command::Transfer(Some(NodeId(2)))).unwrap();
    let ends = solo.now + Duration::from_millis(TIMEOUT_MAX);
    solo.pass(HEARTBEAT);
    solo.get_unsaved(3, 5, solo.promise(0, TIMEOUT_MIN));
    solo.now = ends;
    solo.node.handle_timeout(solo.now);
    assert_eq!((solo.role(), solo.term()), (Role::Candidate, 6));
    solo.get_unsaved(3, 6, Body::VoteReply { verdict: Verdict::Granted, sent: Stamp(77) });
    solo.save();
    assert_eq!(solo.role(), Role::Leader);
    let (to, message) = told(&solo.said());
    let beat = Body::Heartbeat { sent: Stamp::of(solo.now), echo: Stamp(77) };
    assert_eq!((to, message), (vec![2, 3], Message { term: Term(6), body: beat }));
}

/// Section 3.10: whether a peer would take over is asked anew in every leadership.
#[test]
fn a_peer_that_has_not_answered_this_leadership_is_no_successor() {
    let mut solo = Solo::voters(3);
    let transfer = |solo: &mut Solo| solo.node.handle_command(solo.now, Command::Transfer(Some(NodeId(2))));
    solo.lead();
    solo.answer(2, 0);
    assert_eq!(transfer(&mut solo.clone()), Ok(()));
    solo.get(2, 8, Body::Heartbeat { sent: Stamp(1), echo: Stamp(0) });
    solo.lead();
    assert_eq!((transfer(&mut solo), solo.term()), (Err(CommandError::NoSuccessor), 9));
    solo.answer(2, 0);
    assert_eq!(transfer(&mut solo), Ok(()));
}

/// A request that could not be sent in an earlier term goes to nobody in a later one that hands over to another.
#[test]
fn a_request_to_campaign_goes_to_the_successor_alone() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    assert_eq!(solo.node.handle_command(solo.now, Command::Transfer(Some(NodeId(2)))), Ok(()));
    let ends = solo.now + Duration::from_millis(TIMEOUT_MAX);
    solo.pass(HEARTBEAT);
    solo.get_unsaved(3, 5, solo.promise(0, TIMEOUT_MIN));
    solo.now = ends;
    solo.node.handle_timeout(solo.now);
    solo.get_unsaved(3, 6, Body::VoteReply { verdict: Verdict::Granted, sent: Stamp(77) });
    solo.save();
    assert_eq!((solo.role(), solo.term()), (Role::Leader, 6));
    solo.get_unsaved(3, 6, solo.promise(0, TIMEOUT_MIN));
    assert_eq!(solo.node.handle_command(solo.now, Command::Transfer(Some(NodeId(3)))), Ok(()));
    let asked = |said: &(u16, Message)| matches!(said.1.body, Body::TimeoutNow { .. }).then_some(said.0);
    assert_eq!(solo.said().iter().filter_map(asked).collect::<Vec<_>>(), [3]);
}
