//! What Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014) asks of a leader's contact with its majority and
//! of leases (chapter 6), rule by rule, and leases as tables.

#[path = "common/solo.rs"]
mod solo;

use solo::{HEARTBEAT, Solo, TIMEOUT_MAX, TIMEOUT_MIN, saved, voters};
use symphony_core::{Body, Command, Duration, Member, Reason, Role, Timing};

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
