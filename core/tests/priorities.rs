//! Who gets the leadership: the best peer, and a preferred one that has proved healthy.

#![allow(clippy::panic, reason = "a test that goes wrong may panic")]

use crate::common::solo::{self, HEARTBEAT, Solo, TIMEOUT_MAX, TIMEOUT_MIN};
use symphony_core::{
    Body, Command, CommandError, Duration, Instant, Member, NodeId, Reason, Role, Stamp, Term, Verdict,
};

/// How long a preferred peer must answer without a gap, in longest election timeouts.
const HOLD: u64 = 10;

/// A peer's priority, and how long ago the heartbeat was sent that it has answered, milliseconds.
type Peer = (u8, Option<u64>);

fn handing_over_to(solo: &Solo) -> Option<u16> {
    match solo.node.stats().latest.1 {
        Reason::HandingOver { to } => Some(to.0),
        _ => None,
    }
}

/// Lets time pass by heartbeats, each answered by all of `peers`, until leadership is handed over.
fn until_handed_over(solo: &mut Solo, peers: &[u16]) -> Duration {
    let begun = solo.now;
    for _ in 0..10_000 {
        for peer in peers {
            solo.answer(*peer, 0);
        }
        solo.wait(HEARTBEAT);
        if handing_over_to(solo).is_some() {
            return solo.now - begun;
        }
    }
    panic!("never handed over")
}

#[test]
fn the_best_successor_has_the_highest_priority_and_has_answered_most_lately() {
    let table: [(&[Peer], Option<u16>); 8] = [
        (&[(0, Some(0)), (0, Some(5))], Some(2)),
        (&[(0, Some(5)), (0, Some(0))], Some(3)),
        (&[(1, Some(5)), (0, Some(0))], Some(2)),
        (&[(0, Some(0)), (1, Some(5)), (2, Some(9))], Some(4)),
        (&[(0, Some(0)), (1, Some(5)), (2, None)], Some(3)),
        (&[(0, None), (0, Some(TIMEOUT_MIN - 1))], Some(3)),
        (&[(0, None), (0, Some(TIMEOUT_MIN))], None),
        (&[(0, None), (0, None)], None),
    ];
    for (peers, expected) in table {
        let mut members = vec![Member::voter(1).with_priority(9)];
        members.extend((2..).zip(peers).map(|(id, (priority, _))| Member::voter(id).with_priority(*priority)));
        let mut solo = Solo::new(&members);
        solo.lead();
        solo.pass(TIMEOUT_MIN);
        for (id, (_, answered_ago)) in (2..).zip(peers) {
            if let Some(ago) = answered_ago {
                solo.answer(id, *ago);
            }
        }
        let result = solo.node.handle_command(solo.now, Command::Transfer(None));
        assert_eq!(result, expected.map(|_| ()).ok_or(CommandError::NoSuccessor), "{peers:?}");
        assert_eq!(handing_over_to(&solo), expected, "{peers:?}");
    }
}

#[test]
fn a_peer_that_would_not_lead_is_no_successor() {
    let mut solo = Solo::voters(3);
    solo.lead();
    let mut reply = solo.promise(0, TIMEOUT_MIN);
    if let Body::HeartbeatReply { available, .. } = &mut reply {
        *available = false;
    }
    solo.get(2, 5, reply);
    for to in [None, Some(NodeId(2))] {
        assert_eq!(solo.node.handle_command(solo.now, Command::Transfer(to)), Err(CommandError::NoSuccessor));
    }
    solo.answer(2, 0);
    assert_eq!(solo.node.handle_command(solo.now, Command::Transfer(None)), Ok(()));
}

#[test]
fn a_preferred_peer_gets_the_leadership_when_it_has_been_healthy_for_ten_timeouts() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    solo.lead();
    let hold = Duration::from_millis(TIMEOUT_MAX * HOLD);
    assert_eq!(until_handed_over(&mut solo, &[2, 3]), hold);
    assert_eq!(handing_over_to(&solo), Some(3));
}

#[test]
fn a_gap_in_its_answers_starts_the_wait_of_a_preferred_peer_anew() {
    for (gap, anew) in [(TIMEOUT_MIN, false), (TIMEOUT_MIN + HEARTBEAT, true)] {
        let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
        solo.lead();
        let elected = solo.now;
        for _ in 0..40 {
            solo.answer(2, 0);
            solo.answer(3, 0);
            solo.wait(HEARTBEAT);
        }
        let last = solo.now - Duration::from_millis(HEARTBEAT);
        for _ in 0..gap / HEARTBEAT - 1 {
            solo.answer(2, 0);
            solo.wait(HEARTBEAT);
        }
        assert_eq!(solo.now - last, Duration::from_millis(gap));
        let healthy = if anew { solo.now } else { elected };
        until_handed_over(&mut solo, &[2, 3]);
        assert_eq!(solo.now - healthy, Duration::from_millis(TIMEOUT_MAX * HOLD), "gap {gap}");
    }
}

#[test]
fn equals_and_lower_ones_get_nothing() {
    let members =
        [Member::voter(1).with_priority(2), Member::voter(2).with_priority(2), Member::voter(3).with_priority(1)];
    let mut solo = Solo::new(&members);
    solo.lead();
    for _ in 0..200 {
        solo.answer(2, 0);
        solo.answer(3, 0);
        solo.wait(HEARTBEAT);
    }
    assert_eq!((solo.role(), solo.node.stats().latest.1), (Role::Leader, Reason::Elected { votes: 2 }));
}

#[test]
fn a_leader_that_all_others_are_preferred_to_hands_over() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2).with_priority(1), Member::voter(3).with_priority(2)]);
    solo.lead();
    assert_eq!(until_handed_over(&mut solo, &[2, 3]), Duration::from_millis(TIMEOUT_MAX * HOLD));
    assert_eq!(handing_over_to(&solo), Some(3));
}

#[test]
fn an_equal_gets_nothing_while_the_preferred_peer_is_silent() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    solo.lead();
    for _ in 0..200 {
        solo.answer(2, 0);
        solo.wait(HEARTBEAT);
    }
    assert_eq!((solo.role(), solo.node.stats().latest.1), (Role::Leader, Reason::Elected { votes: 2 }));
}

/// Leads, hands over to node 3 in vain, and returns how long it waited before that.
fn failed_transfer(solo: &mut Solo) -> Duration {
    let waited = until_handed_over(solo, &[2, 3]);
    let begun = solo.now;
    while solo.role() == Role::Leader {
        solo.answer(2, 0);
        solo.wait_for_deadline();
    }
    assert_eq!(solo.now - begun, Duration::from_millis(TIMEOUT_MAX));
    solo.now = Instant::from_millis(solo.now.as_millis() + 1);
    let term = solo.term();
    solo.get(2, term, solo::GRANTED);
    assert_eq!(solo.role(), Role::Leader);
    waited
}

#[test]
fn each_failed_transfer_doubles_the_wait_for_the_next_up_to_a_limit() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    solo.lead();
    for doublings in [0, 1, 2, 3, 4, 5, 6, 6] {
        let waited = failed_transfer(&mut solo);
        assert_eq!(waited, Duration::from_millis((TIMEOUT_MAX * HOLD) << doublings), "{doublings}");
    }
}

/// Hands over to node 3, which asks for this node's vote and gets it.
fn voted_transfer(solo: &mut Solo) -> Duration {
    let waited = until_handed_over(solo, &[2, 3]);
    let term = solo.term();
    solo.get(3, term + 1, Body::Vote { released: Term(term) });
    assert_eq!((solo.role(), solo.node.saved().vote), (Role::Follower, Some(NodeId(3))));
    waited
}

/// Hears node 3 lead for so long.
fn follow(solo: &mut Solo, ms: u64) {
    let term = solo.term();
    solo.hear(3, term);
    for _ in 0..ms / HEARTBEAT {
        solo.wait(HEARTBEAT);
        solo.hear(3, term);
    }
    assert_eq!((solo.role(), solo.node.leader()), (Role::Follower, Some(NodeId(3))));
    solo.pass(TIMEOUT_MAX);
}

/// A request for a vote is no success: who is heard by a minority alone asks for votes, and wins nothing.
#[test]
fn a_successor_that_is_voted_for_and_never_heard_doubles_the_wait() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    for doublings in [0, 1, 2, 3, 4, 5, 6, 6] {
        solo.lead();
        let waited = voted_transfer(&mut solo);
        assert_eq!(waited, Duration::from_millis((TIMEOUT_MAX * HOLD) << doublings), "{doublings}");
        solo.pass(TIMEOUT_MAX);
    }
}

#[test]
fn a_successor_that_leads_for_ten_timeouts_ends_the_doubling_and_no_earlier() {
    for (led, doublings) in [(TIMEOUT_MAX * HOLD - HEARTBEAT, 2), (TIMEOUT_MAX * HOLD, 0)] {
        let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
        solo.lead();
        failed_transfer(&mut solo);
        voted_transfer(&mut solo);
        follow(&mut solo, led);
        solo.lead();
        assert_eq!(
            until_handed_over(&mut solo, &[2, 3]),
            Duration::from_millis((TIMEOUT_MAX * HOLD) << doublings),
            "{led}"
        );
    }
}

/// Two short leaderships do not add up.
#[test]
fn a_successor_that_cannot_stay_does_not_end_the_doubling() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    solo.lead();
    voted_transfer(&mut solo);
    for _ in 0..2 {
        follow(&mut solo, TIMEOUT_MAX * HOLD * 2 / 3);
        solo.wait_for_pre_votes();
    }
    solo.lead();
    assert_eq!(until_handed_over(&mut solo, &[2, 3]), Duration::from_millis(TIMEOUT_MAX * HOLD * 2));
}

#[test]
fn another_leader_however_lasting_does_not_end_the_doubling() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    solo.lead();
    voted_transfer(&mut solo);
    let term = solo.term() + 1;
    for _ in 0..TIMEOUT_MAX * HOLD * 2 / HEARTBEAT {
        solo.hear(2, term);
        solo.wait(HEARTBEAT);
    }
    solo.pass(TIMEOUT_MAX);
    solo.lead();
    assert_eq!(until_handed_over(&mut solo, &[2, 3]), Duration::from_millis(TIMEOUT_MAX * HOLD * 2));
}

/// Node 4 is the more preferred and comes and goes; node 3 is healthy.
#[test]
fn a_preferred_peer_that_flaps_keeps_no_healthy_one_out() {
    let mut solo = Solo::new(&[
        Member::voter(1),
        Member::voter(2),
        Member::voter(3).with_priority(1),
        Member::voter(4).with_priority(2),
    ]);
    solo.lead();
    let begun = solo.now;
    for beat in 0_u64.. {
        for peer in [2, 3] {
            solo.answer(peer, 0);
        }
        if beat % 20 < 10 {
            solo.answer(4, 0);
        }
        solo.wait(HEARTBEAT);
        if handing_over_to(&solo).is_some() {
            break;
        }
        assert!(solo.now - begun < Duration::from_millis(TIMEOUT_MAX * HOLD * 2), "it never hands over");
    }
    assert_eq!(handing_over_to(&solo), Some(3));
}

#[test]
fn being_overtaken_without_a_transfer_does_not_end_the_doubling() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3).with_priority(1)]);
    solo.lead();
    failed_transfer(&mut solo);
    let term = solo.term();
    solo.get(3, term + 1, Body::VoteReply { verdict: Verdict::StaleTerm, sent: Stamp(1) });
    assert_eq!(solo.role(), Role::Follower);
    solo.pass(TIMEOUT_MAX);
    solo.lead();
    assert_eq!(until_handed_over(&mut solo, &[2, 3]), Duration::from_millis(TIMEOUT_MAX * HOLD * 2));
}
