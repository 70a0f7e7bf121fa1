//! What a node tells its host: why it is what it is, counts, views, and errors.

use std::collections::BTreeSet;

use crate::common::solo::{CLUSTER, GRANTED, HEARTBEAT, Solo, TIMEOUT_MAX, TIMEOUT_MIN, VOTE, keys, saved, voters};
use symphony_core::{
    Body, Command, CommandError, Config, ConfigError, DatagramError, Duration, Election, Event, Instant, Member,
    Message, NodeId, Reason, Role, Saved, Stamp, Suffrage, Term, Timing, Verdict,
};

fn reason(solo: &Solo) -> Reason {
    solo.node.stats().latest.1
}

#[test]
fn every_change_has_its_reason_and_its_moment() {
    let mut solo = Solo::voters(3);
    assert_eq!(solo.node.stats().latest, (solo.now, Reason::Started));
    solo.pass(5);
    solo.hear(2, 4);
    assert_eq!(solo.node.stats().latest, (solo.now, Reason::LeaderHeard { leader: NodeId(2) }));
    let heard = solo.now;
    solo.pass(5);
    solo.hear(2, 4);
    assert_eq!(solo.node.stats().latest.0, heard, "no change");
    solo.pass(TIMEOUT_MIN);
    solo.get(3, 5, VOTE);
    assert_eq!(solo.node.stats().latest, (solo.now, Reason::VotedFor { candidate: NodeId(3) }));
    solo.get(2, 7, GRANTED);
    assert_eq!(reason(&solo), Reason::HigherTerm { from: NodeId(2), term: Term(7) });
    solo.hear(3, 7);
    solo.hear(2, 8);
    assert_eq!(reason(&solo), Reason::LeaderHeard { leader: NodeId(2) });
}

#[test]
fn a_silent_leader_is_told_with_how_long_it_was_silent() {
    let mut solo = Solo::voters(3);
    solo.wait_for_pre_votes();
    assert_eq!(reason(&solo), Reason::LeaderSilent { ago_ms: u32::MAX });
    let mut solo = Solo::voters(3);
    solo.hear(2, 4);
    let heard = solo.now;
    solo.wait_for_pre_votes();
    let ago_ms = u32::try_from((solo.now - heard).as_millis()).unwrap();
    assert!(u64::from(ago_ms) >= TIMEOUT_MIN);
    assert_eq!((reason(&solo), solo.node.leader()), (Reason::LeaderSilent { ago_ms }, None));
}

#[test]
fn an_undecided_election_is_told_with_the_votes_it_got() {
    let mut solo = Solo::voters(5);
    solo.campaign();
    assert_eq!(reason(&solo), Reason::Campaigned { released: Term(0) });
    solo.get(2, 5, GRANTED);
    solo.get(4, 4, Body::VoteReply { verdict: Verdict::StaleTerm, sent: Stamp(1) });
    assert_eq!(reason(&solo), Reason::VoteRefused { by: NodeId(4), verdict: Verdict::StaleTerm });
    while solo.role() == Role::Candidate {
        solo.wait_for_deadline();
    }
    assert_eq!(reason(&solo), Reason::ElectionUndecided { votes: 2 });
}

#[test]
fn a_witness_waits_and_never_campaigns() {
    let mut solo = Solo::new(&[Member::witness(1), Member::voter(2), Member::voter(3)]);
    for _ in 0..10 {
        solo.wait_for_deadline();
        assert_eq!((solo.role(), reason(&solo)), (Role::Follower, Reason::LeaderSilent { ago_ms: u32::MAX }));
    }
    assert_eq!((solo.node.stats().pre_votes, solo.term()), (0, 4));
}

#[test]
fn a_pause_ends_campaigns_and_leaderships() {
    let mut follower = Solo::voters(3);
    let mut asking = follower.clone();
    asking.wait_for_pre_votes();
    let mut candidate = follower.clone();
    candidate.campaign();
    let mut leader = follower.clone();
    leader.lead();
    for (solo, told) in [(&mut follower, false), (&mut asking, true), (&mut candidate, true), (&mut leader, true)] {
        let before = reason(solo);
        assert_eq!(solo.node.handle_command(solo.now, Command::Pause), Ok(()));
        assert_eq!((solo.role(), solo.node.leader()), (Role::Follower, None));
        assert_eq!(reason(solo), if told { Reason::Paused } else { before });
        assert!(solo.settle().is_empty());
        for _ in 0..5 {
            solo.wait_for_deadline();
            assert_eq!(solo.role(), Role::Follower);
        }
        solo.node.handle_command(solo.now, Command::Resume).unwrap();
        solo.wait_for_deadline();
        assert_eq!(solo.role(), Role::PreCandidate);
    }
}

#[test]
fn a_leader_that_is_paused_hands_over_if_it_can_and_leaves_if_that_fails() {
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(3, 0);
    for (command, result) in [
        (Command::Resign, Ok(())),
        (Command::Pause, Ok(())),
        (Command::Transfer(None), Ok(())),
        (Command::Transfer(Some(NodeId(3))), Ok(())),
        (Command::Transfer(Some(NodeId(2))), Err(CommandError::HandingOver { to: NodeId(3) })),
    ] {
        assert_eq!(solo.node.handle_command(solo.now, command), result, "one transfer is under way");
        assert_eq!((solo.role(), reason(&solo)), (Role::Leader, Reason::HandingOver { to: NodeId(3) }));
    }
    let said = solo.settle();
    assert!(matches!(said[..], [(3, Message { body: Body::TimeoutNow { .. }, .. })]), "{said:?}");
    for _ in 0..6 {
        solo.answer(2, 0);
        solo.answer(3, 0);
        solo.wait(HEARTBEAT);
    }
    assert_eq!((solo.role(), reason(&solo), solo.term()), (Role::Follower, Reason::HandoverFailed, 5));
}

/// A leader with a lease that is overtaken by an answer of a later term campaigns at once, and says that it has let go
/// of its own; anyone else waits.
#[test]
fn an_overtaken_leader_with_a_lease_campaigns_at_once() {
    let refusal = Body::VoteReply { verdict: Verdict::StaleTerm, sent: Stamp(1) };
    let pre_vote = Body::PreVoteReply { round: Stamp(1), verdict: Verdict::StaleTerm, sent: Stamp(1) };
    let reply = Body::HeartbeatReply { echo: Stamp(0), sent: Stamp(1), promise_ms: 0, available: true };
    let heartbeat = Body::Heartbeat { sent: Stamp(1), echo: Stamp(0) };
    let request = Body::TimeoutNow { echo: Stamp(1) };
    for (body, lease, campaigns) in [
        (refusal, true, true),
        (pre_vote, true, true),
        (reply, true, true),
        (heartbeat, true, false),
        (request, true, false),
        (refusal, false, false),
        (reply, false, false),
    ] {
        let mut solo = Solo::voters(3);
        solo.lead();
        if lease {
            solo.answer(2, 0);
        }
        solo.get(3, 8, body);
        if campaigns {
            assert_eq!((solo.role(), solo.term()), (Role::Candidate, 9), "{body:?}");
            assert_eq!(reason(&solo), Reason::Campaigned { released: Term(5) });
        } else {
            assert_eq!((solo.role(), solo.term()), (Role::Follower, 8), "{body:?} {lease}");
        }
    }
    let mut solo = Solo::voters(3);
    solo.lead();
    solo.answer(2, 0);
    solo.node.handle_command(solo.now, Command::Transfer(None)).unwrap();
    solo.get(3, 8, refusal);
    assert_eq!((solo.role(), solo.term()), (Role::Follower, 8), "it is leaving anyway");
    let mut candidate = Solo::voters(3);
    candidate.campaign();
    candidate.get(3, 8, refusal);
    assert_eq!((candidate.role(), candidate.term()), (Role::Follower, 8));
}

#[test]
fn the_last_term_has_no_successor() {
    let mut solo = Solo::with(&voters(3), Timing::LOCAL, saved(u64::MAX, None));
    solo.campaign();
    assert_ne!(solo.role(), Role::Candidate);
    assert_eq!((solo.term(), solo.node.stats().elections), (u64::MAX, 0));
}

#[test]
fn counts_tell_what_has_happened() {
    let mut solo = Solo::voters(3);
    let stats = |solo: &Solo| {
        let stats = solo.node.stats();
        (stats.pre_votes, stats.elections, stats.impossible)
    };
    assert_eq!(stats(&solo), (0, 0, 0));
    solo.hear(2, 4);
    assert_eq!(stats(&solo), (0, 0, 0));
    solo.lead();
    assert_eq!(stats(&solo), (1, 1, 0));
    solo.hear(3, 5);
    assert_eq!((stats(&solo), solo.role()), ((1, 1, 1), Role::Leader), "a second leader of one term");
    let mut follower = Solo::new(&[Member::voter(1), Member::voter(2), Member::witness(3), Member::observer(4)]);
    follower.hear(3, 4);
    follower.hear(4, 4);
    assert_eq!((stats(&follower), follower.node.leader()), ((0, 0, 2), None), "they may not lead");
}

#[test]
fn a_leader_sees_when_its_peers_have_answered() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::witness(3), Member::observer(4)]);
    let views = |solo: &Solo| {
        let peers = solo.node.peers(solo.now);
        peers.map(|peer| (peer.id.0, peer.suffrage, peer.answered_ago_ms)).collect::<Vec<_>>()
    };
    let (voter, witness, observer) = (Suffrage::Voter, Suffrage::Witness, Suffrage::Observer);
    assert_eq!(views(&solo), [(2, voter, None), (3, witness, None), (4, observer, None)]);
    solo.lead();
    solo.pass(30);
    solo.answer(2, 10);
    solo.answer(2, 20);
    solo.answer(4, 0);
    solo.pass(5);
    assert_eq!(views(&solo), [(2, voter, Some(15)), (3, witness, Some(35)), (4, observer, Some(5))]);
}

#[test]
fn events_tell_bad_news_at_once_and_good_news_when_it_is_saved() {
    let mut solo = Solo::voters(3);
    let changed =
        |term, leader: Option<u16>| Some(Event::LeaderChanged { term: Term(term), leader: leader.map(NodeId) });
    let echo = Stamp::of(solo.now);
    solo.get_unsaved(2, 5, Body::Heartbeat { sent: Stamp(3), echo });
    assert_eq!(solo.node.poll_event(solo.now), None, "the term is not saved yet");
    solo.save();
    assert_eq!(solo.node.poll_event(solo.now), changed(5, Some(2)));
    solo.get_unsaved(2, 6, Body::Heartbeat { sent: Stamp(3), echo });
    solo.save();
    assert_eq!(solo.node.poll_event(solo.now), changed(6, Some(2)), "the same leader in another term");
    assert_eq!(solo.node.poll_event(solo.now), None);
    solo.lead();
    solo.answer(2, 0);
    solo.get_unsaved(3, 9, Body::Heartbeat { sent: Stamp(3), echo: Stamp(0) });
    assert_eq!(solo.node.poll_event(solo.now), Some(Event::LeaseLost), "at once");
    assert_eq!(solo.node.poll_event(solo.now), changed(7, None), "at once");
    assert_eq!(solo.node.poll_event(solo.now), None);
}

#[test]
fn only_its_own_record_opens_the_gate() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MAX);
    solo.get_unsaved(2, 5, VOTE);
    let first = solo.node.poll_persist().unwrap();
    solo.get_unsaved(2, 6, VOTE);
    solo.node.handle_persisted(solo.now, &first);
    assert_eq!(solo.said(), [], "the record has changed since");
    let second = solo.node.poll_persist().unwrap();
    solo.node.handle_persisted(solo.now, &second);
    assert_eq!(solo.said().len(), 1);
}

#[test]
fn timing_is_checked_to_the_tick() {
    let config = |heartbeat, min, max, drift| {
        let ticks = Duration::from_ticks;
        let timing = Timing {
            heartbeat_interval: ticks(heartbeat),
            election_timeout_min: ticks(min),
            election_timeout_max: ticks(max),
            clock_drift_max_percent: drift,
        };
        Config::<2>::new(CLUSTER, NodeId(1), &voters(3), timing, keys(), 1).err()
    };
    let (least, most) = (Duration::from_millis(2).as_ticks(), Duration::from_secs(3600).as_ticks());
    for (heartbeat, min, max, drift, error) in [
        (1, least, least, 0, None),
        (0, least, least, 0, Some(ConfigError::HeartbeatZero)),
        (1, least - 1, least, 0, Some(ConfigError::TimeoutOutOfRange)),
        (least / 2, least, most, 49, None),
        (least / 2 + 1, least, most, 0, Some(ConfigError::TimeoutBelowTwoHeartbeats)),
        (1, least, most + 1, 0, Some(ConfigError::TimeoutOutOfRange)),
        (1, least + 1, least, 0, Some(ConfigError::TimeoutRangeReversed)),
        (1, least, least, 50, Some(ConfigError::DriftTooLarge)),
    ] {
        assert_eq!(config(heartbeat, min, max, drift), error, "{heartbeat} {min} {max} {drift}");
    }
}

#[test]
fn a_cluster_has_64_members_at_most_and_all_are_counted() {
    let members = voters(64);
    let config = |members: &[Member]| Config::<63>::new(CLUSTER, NodeId(1), members, Timing::LOCAL, keys(), 1);
    assert!(config(&members).is_ok());
    assert_eq!(config(&voters(65)).err(), Some(ConfigError::TooManyMembers));
    let config = config(&members).unwrap();
    assert_eq!((config.id(), config.peers().len(), config.peers()[62]), (NodeId(1), 63, Member::voter(64)));
}

#[test]
fn every_error_says_something_of_its_own() {
    let texts = [
        DatagramError::Malformed.to_string(),
        DatagramError::Version.to_string(),
        DatagramError::Cluster.to_string(),
        DatagramError::Receiver.to_string(),
        DatagramError::Sender.to_string(),
        ConfigError::OwnIdMissing.to_string(),
        ConfigError::DuplicateId(NodeId(712)).to_string(),
        ConfigError::TooManyMembers.to_string(),
        ConfigError::NoVoter.to_string(),
        ConfigError::HeartbeatZero.to_string(),
        ConfigError::TimeoutBelowTwoHeartbeats.to_string(),
        ConfigError::TimeoutRangeReversed.to_string(),
        ConfigError::TimeoutOutOfRange.to_string(),
        ConfigError::DriftTooLarge.to_string(),
        CommandError::NotLeader.to_string(),
        CommandError::NoSuccessor.to_string(),
        CommandError::HandingOver { to: NodeId(713) }.to_string(),
    ];
    assert!(texts[6].contains("712"));
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len());
    assert!(texts.iter().all(|text| text.len() > 8), "{texts:?}");
}

#[test]
fn records_are_read_back_whole_or_not_at_all() {
    let record = saved(u64::MAX, Some(u16::MAX));
    let mut buffer = [0; Saved::<6>::SIZE_MAX];
    let bytes = record.encode(&mut buffer).unwrap().to_vec();
    assert_eq!(Saved::decode(&bytes), Ok(record));
    assert!(Saved::<6>::decode(&bytes[1..]).is_err());
    assert!(Saved::<6>::decode(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn two_nodes_that_start_at_once_wait_differently() {
    let wait = |id: u16, seed| {
        let config = Config::new(CLUSTER, NodeId(id), &voters(3), Timing::LOCAL, keys(), seed).unwrap();
        let mut node = Election::new(config, saved(1, None), Instant::from_ticks(0));
        let record = node.poll_persist().unwrap();
        node.handle_persisted(Instant::from_ticks(0), &record);
        node.next_deadline()
    };
    let waits: BTreeSet<Instant> = [(1, 7), (2, 7), (3, 7), (1, 8), (1, 9)].map(|(id, seed)| wait(id, seed)).into();
    assert_eq!(waits.len(), 5);
}

#[test]
fn a_reason_is_a_sentence_for_an_operator() {
    let mut solo = Solo::voters(3);
    solo.wait_for_pre_votes();
    let round = Stamp::of(solo.now);
    let verdict = Verdict::HeardLeader { ago_ms: 80 };
    solo.get(3, 4, Body::PreVoteReply { round, verdict, sent: Stamp(9) });
    assert_eq!(reason(&solo).to_string(), "pre-vote refused by 3: heard leader 80 ms ago");
    let change = solo.node.stats().change.1;
    assert_eq!(change, Reason::LeaderSilent { ago_ms: u32::MAX }, "what it is has not changed");
    assert_eq!(change.to_string(), "no leader heard since the start");
}

#[test]
fn no_reason_shows_a_number_that_stands_for_none() {
    let verdicts = [
        Verdict::Granted,
        Verdict::HeardLeader { ago_ms: u32::MAX },
        Verdict::HeardLeader { ago_ms: 80 },
        Verdict::StaleTerm,
        Verdict::AlreadyVoted,
        Verdict::NotEligible,
    ];
    let by = NodeId(3);
    let mut reasons = vec![
        Reason::Started,
        Reason::LeaderHeard { leader: by },
        Reason::LeaderSilent { ago_ms: u32::MAX },
        Reason::LeaderSilent { ago_ms: 80 },
        Reason::Campaigned { released: Term(0) },
        Reason::Campaigned { released: Term(4) },
        Reason::ElectionUndecided { votes: 2 },
        Reason::VotedFor { candidate: by },
        Reason::Elected { votes: 2 },
        Reason::HigherTerm { from: by, term: Term(4) },
        Reason::TermRaised { term: Term(4) },
        Reason::QuorumLost,
        Reason::HandingOver { to: by },
        Reason::HandoverFailed,
        Reason::Paused,
        Reason::Retired,
    ];
    reasons.extend(verdicts.map(|verdict| Reason::PreVoteRefused { by, verdict }));
    reasons.extend(verdicts.map(|verdict| Reason::VoteRefused { by, verdict }));
    let texts: BTreeSet<String> = reasons.iter().map(Reason::to_string).collect();
    assert_eq!(texts.len(), reasons.len(), "each says something of its own: {texts:?}");
    for text in texts {
        assert!(!text.contains(&u32::MAX.to_string()) && !text.contains(['{', '(']), "{text}");
    }
}

#[test]
fn a_node_that_has_retired_says_so_and_sleeps() {
    let record = Saved { retired: true, ..saved(4, None) };
    let mut solo = Solo::with(&voters(3), Timing::LOCAL, record);
    assert_eq!(reason(&solo), Reason::Retired);
    solo.wait_for_deadline();
    assert_eq!(
        (solo.role(), reason(&solo), solo.node.next_deadline()),
        (Role::Follower, Reason::Retired, Instant::MAX)
    );
}

#[test]
fn every_role_has_a_name() {
    let roles = [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader];
    assert_eq!(roles.map(|role| role.to_string()), ["follower", "pre-candidate", "candidate", "leader"]);
}
