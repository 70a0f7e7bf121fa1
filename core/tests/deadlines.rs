//! When a node wants to be called, to the tick, and what it repeats.

use crate::common::solo::{GRANTED, HEARTBEAT, Solo, TIMEOUT_MAX, TIMEOUT_MIN, VOTE, config, only, saved, voters};
use symphony_core::{
    Body, Command, Duration, Election, Event, Instant, Member, NodeId, Role, Saved, Stamp, Term, Timing, Verdict,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const TICK: Duration = Duration::from_ticks(1);

#[test]
fn a_node_is_due_while_its_record_waits_and_idle_while_the_disk_is_slow() {
    let now = Instant::from_secs(9);
    let mut node = Election::<2>::new(config(&voters(3), Timing::LOCAL, 5), Saved::provision([1; 8]), now);
    assert_eq!(node.next_deadline(), now, "a record waits");
    let record = node.poll_persist().unwrap();
    assert_eq!(record.boot.0, 1);
    assert!(node.next_deadline() >= now + ms(TIMEOUT_MIN), "nothing to do before the disk has answered");
    node.handle_persisted(now, &record);
    assert!(node.next_deadline() >= now + ms(TIMEOUT_MIN) && node.next_deadline() <= now + ms(TIMEOUT_MAX));
}

#[test]
fn a_node_is_due_while_a_message_waits() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MIN);
    solo.get_unsaved(2, 4, Body::PreVote { round: Stamp(1) });
    assert_eq!(solo.node.next_deadline(), solo.now);
    assert_eq!(solo.said().len(), 1);
    assert!(solo.node.next_deadline() > solo.now);
    solo.get_unsaved(2, 5, VOTE);
    assert_eq!(solo.node.next_deadline(), solo.now, "a record waits");
    let record = solo.node.poll_persist().unwrap();
    assert!(solo.node.next_deadline() > solo.now, "the answer waits for the disk");
    solo.node.handle_persisted(solo.now, &record);
    assert_eq!(solo.node.next_deadline(), solo.now);
}

#[test]
fn a_node_is_due_while_an_event_waits() {
    let mut solo = Solo::voters(3);
    let echo = Stamp::of(solo.now);
    solo.get_unsaved(2, 4, Body::Heartbeat { sent: Stamp(5), echo });
    while solo.node.poll_message(solo.now).is_some() {}
    assert_eq!(solo.node.next_deadline(), solo.now);
    let heard = Event::LeaderChanged { term: Term(4), leader: Some(NodeId(2)) };
    assert_eq!(solo.node.poll_event(solo.now), Some(heard));
    assert_eq!(solo.node.poll_event(solo.now), None);
    assert!(solo.node.next_deadline() >= solo.now + ms(TIMEOUT_MIN));
}

#[test]
fn early_calls_have_no_effect_and_time_never_runs_back() {
    let mut solo = Solo::voters(3);
    let deadline = solo.node.next_deadline();
    solo.node.handle_timeout(deadline - TICK);
    assert_eq!((solo.node.next_deadline(), solo.role()), (deadline, Role::Follower));
    solo.node.handle_timeout(deadline);
    assert_eq!(solo.role(), Role::PreCandidate);
    let next = solo.node.next_deadline();
    assert_eq!(next, deadline, "requests wait");
    solo.node.handle_timeout(Instant::from_ticks(0));
    assert_eq!((solo.node.next_deadline(), solo.role()), (next, Role::PreCandidate));
}

#[test]
fn a_campaign_repeats_its_requests_with_every_heartbeat_interval() {
    let mut solo = Solo::voters(3);
    solo.wait_for_pre_votes();
    assert_eq!(solo.idle(), ms(HEARTBEAT));
    solo.campaign();
    assert_eq!((solo.role(), solo.idle()), (Role::Candidate, ms(HEARTBEAT)));
    solo.wait(HEARTBEAT);
    assert_eq!(solo.idle(), ms(HEARTBEAT));
}

/// Thesis, section 3.4: a candidate waits for an election timeout drawn at the start of its election.
#[test]
fn a_campaign_ends_after_an_election_timeout_of_its_own() {
    let mut solo = Solo::voters(3);
    let requests = solo.wait_for_pre_votes();
    solo.pass(TIMEOUT_MIN - 2);
    solo.pre_elect(&requests);
    assert_eq!(solo.role(), Role::Candidate);
    let begun = solo.now;
    while solo.role() == Role::Candidate {
        solo.wait_for_deadline();
    }
    assert!((ms(TIMEOUT_MIN)..=ms(TIMEOUT_MAX)).contains(&(solo.now - begun)));
    assert_eq!((solo.role(), solo.term()), (Role::PreCandidate, 5));
}

#[test]
fn a_follower_repeats_nothing() {
    let mut solo = Solo::voters(3);
    solo.campaign();
    solo.hear(2, 5);
    assert_eq!(solo.role(), Role::Follower);
    assert!(solo.idle() >= ms(TIMEOUT_MIN));
    solo.campaign();
    solo.get(2, 9, GRANTED);
    assert_eq!(solo.role(), Role::Follower);
    assert!(solo.idle() >= ms(TIMEOUT_MIN), "{}", solo.idle());
}

#[test]
fn who_led_waits_for_the_next_leader_and_for_nothing_else() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    solo.node.handle_command(solo.now, Command::Transfer(None)).unwrap();
    solo.settle();
    for _ in 0..4 {
        solo.wait(HEARTBEAT);
    }
    solo.get(3, 9, GRANTED);
    assert_eq!(solo.role(), Role::Follower);
    assert!(solo.idle() >= ms(TIMEOUT_MIN), "{}", solo.idle());
}

/// A leader has three clocks: heartbeats, contact with a quorum, and the end of a transfer.
#[test]
fn a_leader_is_due_for_heartbeats_for_its_quorum_and_for_the_end_of_a_transfer() {
    let timing = Timing {
        heartbeat_interval: ms(100),
        election_timeout_min: ms(200),
        election_timeout_max: ms(250),
        clock_drift_max_percent: 1,
    };
    let mut solo = Solo::with(&voters(3), timing, saved(4, None));
    solo.lead();
    let elected = solo.now;
    assert_eq!(solo.idle(), ms(100));
    solo.wait(100);
    assert_eq!(solo.idle(), ms(100));
    solo.wait(100);
    assert_eq!(solo.idle(), ms(50), "a quorum was last in contact when it elected");
    solo.get(2, 5, solo.promise(0, 0));
    solo.pass(49);
    solo.node.handle_timeout(elected + ms(250) - TICK);
    assert_eq!(solo.node.next_deadline(), elected + ms(250));
    solo.now = elected + ms(250);
    solo.wait(0);
    assert_eq!((solo.role(), solo.idle()), (Role::Leader, ms(50)));
    solo.wait(50);
    assert_eq!((solo.role(), solo.idle()), (Role::Leader, ms(100)));
    solo.wait(100);
    assert_eq!((solo.role(), solo.idle()), (Role::Leader, ms(50)), "an election timeout after the answered heartbeat");
    solo.now = elected + ms(450) - TICK;
    solo.wait(0);
    assert_eq!(solo.role(), Role::Leader);
    solo.now = elected + ms(450);
    solo.wait(0);
    assert_eq!(solo.role(), Role::Follower, "at the tick");
    assert!(solo.idle() >= ms(200));

    let mut solo = Solo::with(&voters(3), timing, saved(4, None));
    solo.lead();
    solo.pass(1);
    solo.get(2, 5, solo.promise(0, 0));
    solo.node.handle_command(solo.now, Command::Transfer(None)).unwrap();
    let begun = solo.now;
    solo.settle();
    solo.wait(99);
    solo.get(3, 5, solo.promise(0, 0));
    solo.wait(100);
    solo.now = begun + ms(250);
    assert_eq!((solo.node.next_deadline(), solo.role()), (begun + ms(249), Role::Leader), "the quorum is looked at");
    solo.node.handle_timeout(begun + ms(249));
    solo.settle();
    assert_eq!((solo.node.next_deadline(), solo.role()), (begun + ms(250), Role::Leader), "the transfer ends");
    solo.wait(0);
    assert_eq!((solo.role(), solo.term()), (Role::Candidate, 6));
}

#[test]
fn a_lease_that_is_reported_is_reported_lost_on_time() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.get_unsaved(2, 5, solo.promise(0, 20));
    assert_eq!(solo.node.poll_event(solo.now), Some(Event::LeaseAcquired));
    let worth = Duration::from_micros(20_000 * 99 / 101);
    assert_eq!(solo.node.lease(solo.now), Some(worth));
    assert_eq!(solo.node.next_deadline(), solo.now + worth);
    assert_eq!(solo.node.poll_event(solo.now + worth - TICK), None);
    assert_eq!(solo.node.poll_event(solo.now + worth), Some(Event::LeaseLost));
    assert_eq!(solo.node.poll_event(solo.now + worth), None);
}

/// The first answer of a follower cannot promise yet; the leader's next heartbeat goes at once, once.
#[test]
fn a_follower_that_cannot_promise_yet_gets_a_heartbeat_at_once() {
    let mut solo = Solo::voters(3);
    for term in [5, 9] {
        solo.lead();
        solo.pass(3);
        let sent = Stamp::of(solo.now);
        let said = solo.get(3, term, solo.promise(3, 0));
        let (to, message) = only(&said);
        assert_eq!((to, message.body), (3, Body::Heartbeat { sent, echo: Stamp(77) }), "in every leadership");
        assert_eq!(solo.get(3, term, solo.promise(0, 0)), [], "not for ever");
        assert_eq!(solo.answer(2, 0), []);
        solo.get(2, 8, Body::Heartbeat { sent: Stamp(1), echo: Stamp(0) });
    }
}

/// A heartbeat shows that its sender is alive by a young stamp of the receiver's; otherwise it is answered and no more.
#[test]
fn a_heartbeat_counts_only_with_a_young_stamp_of_the_receiver() {
    for (echo_ago, promise) in
        [(Some(0), 150), (Some(TIMEOUT_MIN - 1), 150), (Some(TIMEOUT_MIN), 0), (Some(1_000_000 - 1), 0), (None, 0)]
    {
        let mut solo = Solo::voters(3);
        let deadline = solo.node.next_deadline();
        let now = solo.now.as_millis();
        let echo = Stamp(echo_ago.map_or(0, |ago| now - ago));
        let (to, message) = only(&solo.get(2, 4, Body::Heartbeat { sent: Stamp(700), echo }));
        let reply = Body::HeartbeatReply { echo: Stamp(700), sent: Stamp(now), promise_ms: promise, available: true };
        assert_eq!((to, message.body), (2, reply), "{echo_ago:?}");
        assert_eq!(solo.node.leader().is_some(), promise > 0);
        assert_eq!(solo.node.next_deadline() != deadline, promise > 0);
    }
    let mut solo = Solo::voters(3);
    let echo = Stamp(solo.now.as_millis() + 1);
    solo.get(2, 4, Body::Heartbeat { sent: Stamp(700), echo });
    assert_eq!(solo.node.leader(), None, "a stamp that this clock has not made yet");
}

/// The stamp 0 says that the sender has none of the receiver's, also while the receiver's clock is young.
#[test]
fn no_stamp_is_never_a_young_one() {
    let mut solo = Solo::voters(3);
    solo.now = Instant::from_ticks(0);
    solo.restart();
    solo.settle();
    solo.pass(TIMEOUT_MIN - 1);
    for (stamp, leader) in [(0, None), (1, Some(NodeId(2)))] {
        solo.get(2, 4, Body::Heartbeat { sent: Stamp(700), echo: Stamp(stamp) });
        assert_eq!(solo.node.leader(), leader, "{stamp}");
    }
    for (stamp, role) in [(0, Role::Follower), (1, Role::Candidate)] {
        solo.get(2, 4, Body::TimeoutNow { echo: Stamp(stamp) });
        assert_eq!(solo.role(), role, "{stamp}");
    }
}

#[test]
fn an_older_heartbeat_of_the_same_leader_says_nothing() {
    let mut solo = Solo::voters(3);
    let echo = Stamp::of(solo.now);
    assert_eq!(solo.get(2, 4, Body::Heartbeat { sent: Stamp(700), echo }).len(), 1);
    solo.pass(5);
    let deadline = solo.node.next_deadline();
    assert_eq!(solo.get(2, 4, Body::Heartbeat { sent: Stamp(699), echo }), []);
    assert_eq!(solo.node.next_deadline(), deadline);
    assert_eq!(solo.get(2, 4, Body::Heartbeat { sent: Stamp(700), echo }).len(), 1, "the same one is answered again");
    assert_ne!(solo.node.next_deadline(), deadline);
    assert_eq!(solo.get(2, 5, Body::Heartbeat { sent: Stamp(3), echo }).len(), 1, "a new term, a new clock");
}

/// A leader that has stepped down asks for pre-votes; its last heartbeat, overtaken on the way, makes nobody follow it.
#[test]
fn a_heartbeat_overtaken_by_what_its_sender_said_later_says_nothing() {
    let mut solo = Solo::voters(3);
    let echo = Stamp::of(solo.now);
    solo.get(2, 4, Body::PreVote { round: Stamp(900) });
    assert_eq!(solo.get(2, 4, Body::Heartbeat { sent: Stamp(899), echo }), []);
    assert_eq!(solo.node.leader(), None);
    assert_eq!(solo.get(2, 4, Body::Heartbeat { sent: Stamp(901), echo }).len(), 1);
    assert_eq!(solo.node.leader(), Some(NodeId(2)));
}

#[test]
fn a_node_says_whether_it_would_take_the_leadership() {
    let available = |solo: &mut Solo| match only(&solo.hear(2, 4)).1.body {
        Body::HeartbeatReply { available, .. } => available,
        other => panic!("{other:?}"),
    };
    let mut solo = Solo::voters(3);
    assert!(available(&mut solo));
    solo.node.handle_command(solo.now, Command::Resign).unwrap();
    assert!(!available(&mut solo));
    solo.node.handle_command(solo.now, Command::Resume).unwrap();
    assert!(available(&mut solo));
    let mut witness = Solo::new(&[Member::witness(1), Member::voter(2), Member::voter(3)]);
    assert!(!available(&mut witness));
}

#[test]
fn what_a_new_leader_knows_of_an_older_term_is_forgotten() {
    let mut solo = Solo::voters(3);
    solo.hear(2, 4);
    solo.campaign();
    let said = solo.get(3, 5, GRANTED);
    let echoes: Vec<(u16, Stamp)> = said
        .iter()
        .map(|(to, message)| match message.body {
            Body::Heartbeat { echo, .. } => (*to, echo),
            other => panic!("{other:?}"),
        })
        .collect();
    let Body::VoteReply { sent, .. } = GRANTED else { unreachable!() };
    assert_eq!(echoes[1], (3, sent), "the voter's stamp makes the first heartbeat count");
    let later = solo.get(2, 9, Body::VoteReply { verdict: Verdict::StaleTerm, sent: Stamp(1) });
    assert_eq!(later, []);
    let reply = only(&solo.get(3, 9, Body::Heartbeat { sent: Stamp(0), echo: Stamp(0) })).1.body;
    assert!(matches!(reply, Body::HeartbeatReply { echo: Stamp(0), promise_ms: 0, .. }), "{reply:?}");
}

/// A heartbeat's time from the grant, and no more than once in a wait: a candidate that cannot win keeps nobody quiet.
#[test]
fn who_grants_a_pre_vote_gives_way_once() {
    let mut solo = Solo::voters(3);
    let due = solo.node.next_deadline();
    let before = due - solo.now - TICK;
    solo.now += before;
    solo.get(2, 4, Body::PreVote { round: Stamp(1) });
    let put_off = solo.now + ms(HEARTBEAT);
    assert_eq!(solo.node.next_deadline(), put_off);
    solo.pass(HEARTBEAT - 1);
    solo.get(3, 4, Body::PreVote { round: Stamp(1) });
    assert_eq!(solo.node.next_deadline(), put_off, "once");
    solo.wait_for_deadline();
    assert_eq!(solo.role(), Role::PreCandidate);
    assert!(solo.node.next_deadline() > solo.now);

    let mut again = Solo::voters(3);
    for leader in [2, 3] {
        again.hear(leader, 4);
        again.now = again.node.next_deadline() - TICK;
        again.get(2, 4, Body::PreVote { round: Stamp(1) });
        assert_eq!(again.node.next_deadline(), again.now + ms(HEARTBEAT), "once in every wait");
    }

    let mut early = Solo::voters(3);
    let due = early.node.next_deadline();
    early.pass(due.as_millis() - early.now.as_millis() - HEARTBEAT - 1);
    early.get(2, 4, Body::PreVote { round: Stamp(1) });
    assert_eq!(early.node.next_deadline(), due, "there is time enough");

    let mut refused = Solo::voters(3);
    let due = refused.node.next_deadline();
    refused.now = due - TICK;
    refused.get(2, 3, Body::PreVote { round: Stamp(1) });
    assert_eq!(refused.node.next_deadline(), due, "no grant, no way given");
}
