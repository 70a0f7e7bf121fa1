//! What Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014) asks of a leader's contact with its majority and
//! of leases (chapter 6), rule by rule, and leases as tables.

use crate::common::solo::{GRANTED, HEARTBEAT, Said, Solo, TIMEOUT_MAX, TIMEOUT_MIN, only, saved, voters};
use symphony_core::{Body, Command, Duration, Member, Message, Reason, Role, Stamp, Term, Timing, Verdict};

/// Section 6.2: a leader steps down when an election timeout passes without a round of heartbeats that a majority
/// answers; it counts from when the heartbeats were sent.
#[test]
fn a_leader_without_a_majority_steps_down() {
    let mut solo = Solo::voters(5);
    solo.lead();
    let elected = solo.now;
    solo.wait(HEARTBEAT);
    solo.answer(2, 0);
    solo.pass(10);
    solo.answer(3, 10);
    let ends = elected + Duration::from_millis(HEARTBEAT + TIMEOUT_MAX);
    while solo.node.next_deadline() < ends {
        solo.answer(2, 0);
        solo.wait_for_deadline();
        assert_eq!(solo.role(), Role::Leader);
    }
    solo.wait_for_deadline();
    assert_eq!((solo.now, solo.role(), solo.node.leader()), (ends, Role::Follower, None));
    assert_eq!((solo.node.stats().latest.1, solo.term()), (Reason::QuorumLost, 5));
}

/// Section 6.2: a leader that is answered goes on for ever.
#[test]
fn a_leader_with_a_majority_goes_on() {
    let mut solo = Solo::voters(5);
    solo.lead();
    for _ in 0..100 {
        solo.answer(2, 0);
        solo.answer(4, 0);
        solo.wait(HEARTBEAT);
        assert_eq!(solo.role(), Role::Leader);
    }
}

/// Section 6.4.1: the lease runs from when the heartbeats that a majority has answered were sent, not from when the
/// answers came, for the shortest election timeout, less what clocks may be wrong by; votes are no heartbeats.
#[test]
fn the_lease_counts_from_the_sending_of_heartbeats() {
    let ms = Duration::from_millis;
    for (drift, lease_us) in [(0, 150_000), (1, 147_029), (10, 122_727), (49, 51_342)] {
        let timing = Timing { clock_drift_max_percent: drift, ..Timing::LOCAL };
        let mut solo = Solo::with(&voters(3), timing, saved(4, None));
        solo.lead();
        assert_eq!(solo.node.lease(solo.now), None);
        solo.pass(7);
        solo.answer(2, 7);
        assert_eq!(solo.node.lease(solo.now), Some(Duration::from_micros(lease_us) - ms(7)), "drift {drift}");
        let end = solo.now - ms(7) + Duration::from_micros(lease_us);
        assert_eq!(solo.node.lease(end - Duration::from_ticks(1)), Some(Duration::from_ticks(1)));
        assert_eq!(solo.node.lease(end), None);
    }
}

/// Section 6.4.1: only the answers of voters make a lease, and the own clock alone when the node is its own majority.
#[test]
fn a_lease_is_as_old_as_the_heartbeat_that_a_majority_has_answered() {
    use Member as M;
    // Each member besides node 1, a voter, with the number of the heartbeat that it answered (of 3, the last is 3; 0 is
    // none); then the heartbeat that the lease runs from.
    let table: [(&[(Member, u64)], u64); 16] = [
        (&[(M::voter(2), 3)], 3),
        (&[(M::voter(2), 1)], 1),
        (&[(M::voter(2), 0)], 0),
        (&[(M::voter(2), 1), (M::voter(3), 3)], 3),
        (&[(M::voter(2), 0), (M::voter(3), 2)], 2),
        (&[(M::voter(2), 0), (M::witness(3), 2)], 2),
        (&[(M::voter(2), 0), (M::observer(3), 3)], 0),
        (&[(M::witness(2), 1), (M::observer(3), 3)], 1),
        (&[(M::voter(2), 1), (M::voter(3), 2), (M::voter(4), 3)], 2),
        (&[(M::voter(2), 1), (M::voter(3), 2), (M::voter(4), 3), (M::voter(5), 0)], 2),
        (&[(M::voter(2), 2), (M::voter(3), 2), (M::voter(4), 3), (M::voter(5), 1)], 2),
        (&[(M::voter(2), 3), (M::witness(3), 3), (M::voter(4), 1), (M::voter(5), 1)], 3),
        (&[(M::voter(2), 3), (M::observer(3), 3), (M::voter(4), 1), (M::voter(5), 1)], 1),
        (&[(M::voter(2), 3), (M::voter(3), 2), (M::voter(4), 1), (M::voter(5), 0), (M::voter(6), 0)], 1),
        (&[(M::voter(2), 3), (M::voter(3), 2), (M::voter(4), 1), (M::voter(5), 1), (M::voter(6), 0)], 1),
        (
            &[
                (M::voter(2), 3),
                (M::voter(3), 2),
                (M::voter(4), 2),
                (M::voter(5), 1),
                (M::voter(6), 0),
                (M::voter(7), 0),
            ],
            2,
        ),
    ];
    for (row, from) in table {
        let members: Vec<Member> = std::iter::once(M::voter(1)).chain(row.iter().map(|(member, _)| *member)).collect();
        let timing = Timing { clock_drift_max_percent: 0, ..Timing::LOCAL };
        let mut solo = Solo::with(&members, timing, saved(4, None));
        solo.lead();
        for heartbeat in 1..=3 {
            solo.wait(10);
            for (member, _) in row.iter().filter(|(_, answered)| *answered == heartbeat) {
                solo.answer(member.id.0, 0);
            }
        }
        let expected = (from > 0).then(|| Duration::from_millis(TIMEOUT_MIN - 10 * (3 - from)));
        assert_eq!(solo.node.lease(solo.now), expected, "{row:?}");
    }
    let mut alone = Solo::new(&[M::voter(1), M::observer(2)]);
    alone.wait_for_deadline();
    assert_eq!(alone.node.lease(alone.now), Some(Duration::from_millis(TIMEOUT_MIN)));
}

/// Section 6.4.1: a promise is what a lease rests on; an answer without one, or for another leadership, gives none.
#[test]
fn only_promises_to_this_leadership_make_a_lease() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.pass(20);
    solo.get(2, 5, solo.promise(0, 0));
    assert_eq!(solo.node.lease(solo.now), None, "no promise");
    solo.get(2, 5, solo.promise(21, TIMEOUT_MIN));
    assert_eq!(solo.node.lease(solo.now), None, "to a heartbeat from before the election");
    let mut future = solo.promise(0, TIMEOUT_MIN);
    if let Body::HeartbeatReply { echo, .. } = &mut future {
        echo.0 += 1;
    }
    solo.get(2, 5, future);
    assert_eq!(solo.node.lease(solo.now), None, "to a heartbeat that is not sent yet");
    for end_of_time in [u64::MAX / 1000, u64::MAX] {
        let mut never = solo.promise(0, u64::from(u32::MAX));
        if let Body::HeartbeatReply { echo, .. } = &mut never {
            echo.0 = end_of_time;
        }
        solo.get(2, 5, never);
        assert_eq!(solo.node.lease(solo.now), None, "to a heartbeat that no clock can send");
    }
    solo.get(2, 5, solo.promise(0, TIMEOUT_MIN));
    assert!(solo.node.lease(solo.now).is_some());
    solo.get(3, 5, solo.promise(0, 3_600_000));
    assert_eq!(solo.node.lease(solo.now), Some(Duration::from_millis(TIMEOUT_MIN)), "never more than a timeout");
}

/// Section 6.4.1 with 3.10: who hands leadership over has no lease any more, at once and for the rest of its term.
#[test]
fn a_leader_that_hands_over_has_no_lease() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    assert!(solo.node.lease(solo.now).is_some());
    solo.node.handle_command(solo.now, Command::Transfer(None)).unwrap();
    assert_eq!(solo.node.lease(solo.now), None);
    solo.pass(HEARTBEAT);
    solo.answer(2, 0);
    solo.answer(3, 0);
    assert_eq!(solo.node.lease(solo.now), None);
}

/// A voter whose vote is still under way when the others' votes win has shown its clock in its answer to the pre-vote: the
/// first heartbeat is fresh to it.
#[test]
fn the_first_heartbeat_echoes_the_clock_of_a_late_voter() {
    let mut solo = Solo::voters(3);
    let asked = solo.wait_for_pre_votes();
    let Body::PreVote { round } = asked[0].1.body else { panic!("{asked:?}") };
    solo.pre_elect(&asked);
    solo.get(3, 4, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(77) });
    let said = solo.get(2, 5, GRANTED);
    assert_eq!(echo_to(3, &said), Some(Stamp(77)), "{said:?}");
}

#[test]
fn a_heartbeat_to_a_peer_that_was_never_heard_echoes_no_stamp() {
    let said = Solo::voters(3).lead();
    assert_eq!((echo_to(2, &said), echo_to(3, &said)), (Some(Stamp(9)), Some(Stamp(0))), "{said:?}");
}

/// The stamp that a heartbeat to this peer echoes.
fn echo_to(peer: u16, said: &Said) -> Option<Stamp> {
    said.iter().find_map(|(to, message)| match message.body {
        Body::Heartbeat { echo, .. } if *to == peer => Some(echo),
        _ => None,
    })
}

/// The answer to a pre-vote may be overtaken by the vote: the vote shows the later moment.
#[test]
fn an_answer_that_was_overtaken_moves_no_clock_back() {
    let mut solo = Solo::voters(5);
    let asked = solo.wait_for_pre_votes();
    let Body::PreVote { round } = asked[0].1.body else { panic!("{asked:?}") };
    solo.pre_elect(&asked);
    solo.get(4, 5, Body::VoteReply { verdict: Verdict::Granted, sent: Stamp(80) });
    solo.get(4, 4, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(77) });
    let said = solo.get(2, 5, GRANTED);
    assert_eq!(echo_to(4, &said), Some(Stamp(80)), "{said:?}");
    assert_eq!(echo_to(3, &said), Some(Stamp(9)), "known from the answer that let the election begin: {said:?}");
}

/// An answer to its own pre-vote, from the leader that it has come to follow, is no heartbeat: those sent before it that
/// come after it still count.
#[test]
fn a_follower_does_not_take_an_answer_to_its_pre_vote_for_a_heartbeat() {
    let mut solo = Solo::voters(3);
    let asked = solo.wait_for_pre_votes();
    let Body::PreVote { round } = asked[0].1.body else { panic!("{asked:?}") };
    let echo = Stamp::of(solo.now);
    solo.get(2, 4, Body::Heartbeat { sent: Stamp(700), echo });
    solo.get(2, 4, Body::PreVoteReply { round, verdict: Verdict::HeardLeader { ago_ms: 0 }, sent: Stamp(702) });
    let said = solo.get(2, 4, Body::Heartbeat { sent: Stamp(701), echo });
    assert!(matches!(only(&said).1.body, Body::HeartbeatReply { echo: Stamp(701), .. }), "{said:?}");
}

/// Section 6.4.1: a promise is made to the leader of a term. Who moves on before it has answered promises nothing in the
/// term that it has moved to.
#[test]
fn a_heartbeat_of_an_earlier_term_is_promised_nothing() {
    let mut solo = Solo::voters(3);
    let echo = Stamp::of(solo.now);
    solo.get_unsaved(2, 4, Body::Heartbeat { sent: Stamp(700), echo });
    solo.get_unsaved(3, 5, Body::VoteReply { verdict: Verdict::StaleTerm, sent: Stamp(1) });
    let body = Body::HeartbeatReply { echo: Stamp(0), sent: Stamp::of(solo.now), promise_ms: 0, available: true };
    assert_eq!(only(&solo.settle()), (2, Message { term: Term(5), body }));
    solo.hear(2, 5);
    let late = only(&solo.hear(2, 4));
    assert!(matches!(late.1, Message { term: Term(5), body: Body::HeartbeatReply { promise_ms: 0, .. } }), "{late:?}");
}

/// A peer's clock may have begun anew between two terms: the stamps of the earlier one say nothing of it.
#[test]
fn a_clock_is_learnt_anew_in_every_term() {
    let mut solo = Solo::voters(3);
    solo.get(3, 4, Body::Heartbeat { sent: Stamp(700), echo: Stamp(0) });
    solo.get(2, 5, Body::VoteReply { verdict: Verdict::StaleTerm, sent: Stamp(1) });
    let asked = solo.wait_for_pre_votes();
    let Body::PreVote { round } = asked[0].1.body else { panic!("{asked:?}") };
    solo.pre_elect(&asked);
    solo.get(3, 5, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(77) });
    let said = solo.get(2, 6, GRANTED);
    assert_eq!(echo_to(3, &said), Some(Stamp(77)), "{said:?}");
}

#[test]
fn a_lease_does_not_grow_when_the_clock_falls_back() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    solo.wait(100);
    let left = solo.node.lease(solo.now);
    assert!(left.is_some_and(|left| left < Duration::from_millis(50)), "{left:?}");
    assert_eq!(solo.node.lease(solo.now - Duration::from_millis(90)), left);
    let answered = |solo: &Solo, now| solo.node.peers(now).map(|peer| peer.answered_ago_ms).collect::<Vec<_>>();
    assert_eq!(answered(&solo, solo.now - Duration::from_millis(90)), answered(&solo, solo.now));
}

/// A node that has started may have promised to stand by a leader. It says so for a shortest timeout from when it could
/// first speak, so that a peer who knows better can answer, however long its disk takes.
#[test]
fn the_grace_after_a_start_counts_from_the_first_save() {
    let mut solo = Solo::voters(3);
    solo.restart();
    solo.pass(TIMEOUT_MAX * 3);
    solo.save();
    solo.pass(TIMEOUT_MIN - 1);
    let verdict = |said: &Said| match only(said).1.body {
        Body::VoteReply { verdict, .. } => Some(verdict),
        _ => None,
    };
    let vote = Body::Vote { released: Term(0) };
    assert_eq!(verdict(&solo.get(2, 5, vote)), Some(Verdict::HeardLeader { ago_ms: u32::MAX }));
    assert_eq!(solo.disk.term, Term(4));
    solo.pass(1);
    assert_eq!(verdict(&solo.get(2, 5, vote)), Some(Verdict::Granted));
    solo.pass(1);
    assert_eq!(verdict(&solo.get(3, 6, vote)), Some(Verdict::Granted), "later saves give no more grace");
}

/// Nor does it ask for votes before: its own record may be the old one.
#[test]
fn a_node_does_not_campaign_before_that_grace_is_over() {
    let mut solo = Solo::voters(3);
    solo.restart();
    for _ in 0..TIMEOUT_MAX * 3 {
        solo.pass(1);
        solo.node.handle_timeout(solo.now);
    }
    solo.save();
    for _ in 1..TIMEOUT_MIN {
        assert_eq!(solo.wait(1), []);
    }
    assert_eq!((solo.role(), solo.node.stats().pre_votes), (Role::Follower, 0));
    solo.wait_for_pre_votes();
}
