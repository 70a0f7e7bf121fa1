//! What Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014) asks of elections, rule by rule. There is no
//! log here, so the rules of chapter 3 that compare logs do not apply. The rules are told in our own words.

use crate::common::Cluster;
use crate::common::solo::{
    CLUSTER, GRANTED, HEARTBEAT, Solo, TIMEOUT_MAX, TIMEOUT_MIN, VOTE, keys, only, saved, told, voters,
};
use symphony_core::{
    Body, Config, Duration, Election, Instant, Member, Message, NodeId, Reason, Role, Stamp, Term, Timing, Verdict,
};

const SECOND: Duration = Duration::from_secs(1);

/// Each kind of message, as a member that is up to date might send it.
fn any_kind(now: Instant) -> [Body; 7] {
    let stamp = Stamp::of(now);
    [
        Body::Heartbeat { sent: stamp, echo: stamp },
        Body::HeartbeatReply { echo: stamp, sent: stamp, promise_ms: 0, available: true },
        Body::PreVote { round: stamp },
        Body::PreVoteReply { round: stamp, verdict: Verdict::StaleTerm, sent: stamp },
        VOTE,
        GRANTED,
        Body::TimeoutNow { echo: stamp },
    ]
}

/// Section 3.3: whoever hears of a later term, in whatever message, moves to it; and a candidate or leader among them
/// is a follower from then on.
#[test]
fn a_later_term_makes_a_follower_of_everyone() {
    let follower = Solo::voters(5);
    let mut candidate = follower.clone();
    candidate.campaign();
    let mut leader = follower.clone();
    leader.lead();
    for mut solo in [follower, candidate, leader] {
        solo.pass(TIMEOUT_MAX);
        for body in any_kind(solo.now) {
            let mut solo = solo.clone();
            let asks = matches!(body, Body::Vote { .. } | Body::PreVote { .. });
            let before = solo.role();
            solo.get(2, 9, body);
            if asks && before == Role::Leader {
                assert_eq!(
                    (solo.term(), solo.role()),
                    (5, Role::Leader),
                    "a leader stands by itself (4.2.3): {body:?}"
                );
            } else {
                assert_eq!((solo.term(), solo.role()), (9, Role::Follower), "{body:?}");
                assert_eq!(solo.disk.term, Term(9), "and saves it");
            }
        }
    }
}

/// Section 3.3: a request of a term that is over is refused, with the term that is not.
#[test]
fn a_stale_request_is_refused_with_the_current_term() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MIN);
    let now = Stamp::of(solo.now);
    for (body, expected) in [
        (VOTE, Body::VoteReply { verdict: Verdict::StaleTerm, sent: now }),
        (
            Body::PreVote { round: Stamp(8) },
            Body::PreVoteReply { round: Stamp(8), verdict: Verdict::StaleTerm, sent: now },
        ),
        (
            Body::Heartbeat { sent: now, echo: now },
            Body::HeartbeatReply { echo: Stamp(8), sent: now, promise_ms: 0, available: true },
        ),
    ] {
        let answer = only(&solo.get(2, 3, body));
        assert_eq!(answer, (2, Message { term: Term(4), body: expected }));
        assert_eq!((solo.node.leader(), solo.term()), (None, 4));
    }
}

/// Section 3.3: an answer of a term that is over changes nothing.
#[test]
fn a_stale_answer_changes_nothing() {
    let mut solo = Solo::voters(3);
    solo.campaign();
    solo.get(2, 4, GRANTED);
    assert_eq!((solo.role(), solo.term()), (Role::Candidate, 5));
    solo.get(2, 5, GRANTED);
    let lease = solo.node.lease(solo.now);
    solo.get(2, 4, solo.promise(0, TIMEOUT_MIN));
    assert_eq!((solo.role(), solo.node.lease(solo.now)), (Role::Leader, lease));
}

/// Section 3.4: nodes start as followers, and stay so while a leader is heard.
#[test]
fn a_node_follows_while_it_hears_a_leader() {
    let mut solo = Solo::voters(3);
    assert_eq!((solo.role(), solo.node.leader()), (Role::Follower, None));
    for _ in 0..100 {
        solo.hear(2, 4);
        assert_eq!((solo.role(), solo.node.leader()), (Role::Follower, Some(NodeId(2))));
        assert!(solo.wait(TIMEOUT_MIN - 1).is_empty());
    }
    assert_eq!(solo.node.stats().pre_votes, 0);
}

/// Section 3.4: a leader keeps its authority by heartbeats to everyone, at once and then periodically.
#[test]
fn a_leader_sends_heartbeats_to_everyone_at_once_and_then_periodically() {
    let mut members = voters(3);
    members.extend([Member::witness(4), Member::observer(5)]);
    let mut solo = Solo::new(&members);
    let mut said = solo.lead();
    for _ in 0..3 {
        assert_eq!(said.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [2, 3, 4, 5]);
        let sent = Stamp::of(solo.now);
        assert!(said.iter().all(|(_, message)| {
            message.term == Term(5) && matches!(message.body, Body::Heartbeat { sent: at, .. } if at == sent)
        }));
        assert_eq!(solo.idle(), Duration::from_millis(HEARTBEAT));
        assert!(solo.wait(HEARTBEAT - 1).is_empty());
        said = solo.wait(1);
    }
}

/// Section 3.4: a follower that hears nobody for an election timeout begins an election: it moves to the next term,
/// votes for itself, and asks all other voters at once.
#[test]
fn an_election_begins_with_a_new_term_an_own_vote_and_a_request_to_every_voter() {
    let mut members = voters(4);
    members.extend([Member::witness(5), Member::observer(6)]);
    let mut solo = Solo::new(&members);
    let (to, message) = told(&solo.campaign());
    assert_eq!((to, message), (vec![2, 3, 4, 5], Message { term: Term(5), body: VOTE }));
    assert_eq!((solo.role(), solo.disk.term, solo.disk.vote), (Role::Candidate, Term(5), Some(NodeId(1))));
    assert_eq!(solo.node.leader(), None);
}

/// Section 3.4: the votes of a majority of all voters, in this term, win; one less does not, and no voter counts twice.
#[test]
fn a_majority_of_all_voters_wins() {
    for (size, needed) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
        let mut solo = Solo::voters(size);
        if size == 1 {
            solo.wait_for_deadline();
        } else {
            solo.campaign();
        }
        for voter in 2..2 + needed {
            assert_eq!(solo.role(), Role::Candidate, "{size} voters");
            for _ in 0..3 {
                let one_short = voter < 1 + needed;
                solo.get(voter, 5, GRANTED);
                assert_eq!(solo.role() == Role::Candidate, one_short, "{size} voters");
            }
        }
        assert_eq!((solo.role(), solo.node.leader()), (Role::Leader, Some(NodeId(1))), "{size} voters");
        assert_eq!(solo.node.stats().latest.1, Reason::Elected { votes: u32::from(needed) + 1 });
    }
}

/// Section 3.4: observers are no voters: their answers count nowhere.
#[test]
fn votes_of_those_who_have_none_do_not_count() {
    let mut solo = Solo::new(&[Member::voter(1), Member::voter(2), Member::voter(3), Member::observer(4)]);
    let requests = solo.wait_for_pre_votes();
    let Body::PreVote { round } = told(&requests).1.body else { panic!("{requests:?}") };
    solo.get(4, 4, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(9) });
    assert_eq!(solo.role(), Role::PreCandidate);
    solo.pre_elect(&requests);
    solo.get(4, 5, GRANTED);
    assert_eq!(solo.role(), Role::Candidate);
}

/// Section 3.4: one vote in a term, for whoever asks first; whoever has it gets the same answer again.
#[test]
fn the_first_to_ask_gets_the_only_vote_of_a_term() {
    let mut solo = Solo::voters(4);
    solo.pass(TIMEOUT_MIN);
    let verdict = |solo: &mut Solo, from| match only(&solo.get(from, 5, VOTE)).1 {
        Message { term: Term(5), body: Body::VoteReply { verdict, .. } } => verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!(verdict(&mut solo, 3), Verdict::Granted);
    assert_eq!(solo.disk.vote, Some(NodeId(3)));
    assert_eq!(verdict(&mut solo, 2), Verdict::AlreadyVoted);
    assert_eq!(verdict(&mut solo, 3), Verdict::Granted);
    assert_eq!(solo.disk.vote, Some(NodeId(3)));
}

/// Figure 3.1, rules for followers: who gives a vote waits a whole election timeout from then on.
#[test]
fn giving_a_vote_starts_the_wait_anew() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MIN - 1);
    assert!(solo.idle() <= Duration::from_millis(TIMEOUT_MAX - TIMEOUT_MIN + 1));
    solo.pass(1);
    solo.get(2, 5, VOTE);
    assert!(solo.idle() >= Duration::from_millis(TIMEOUT_MIN) && solo.idle() <= Duration::from_millis(TIMEOUT_MAX));
    let ends = solo.node.next_deadline();
    solo.pass(1);
    solo.get(3, 5, VOTE);
    solo.get(2, 5, VOTE);
    assert_eq!(solo.node.next_deadline(), ends, "a refusal, and a vote given before, leave the wait as it is");
}

/// Section 3.4: a candidate that hears a leader of its own or a later term follows it.
#[test]
fn a_candidate_follows_a_leader_of_its_term_or_a_later_one() {
    for term in [5, 6] {
        let mut solo = Solo::voters(5);
        solo.campaign();
        solo.hear(3, term);
        assert_eq!((solo.role(), solo.node.leader(), solo.term()), (Role::Follower, Some(NodeId(3)), term));
    }
    let mut solo = Solo::voters(5);
    solo.wait_for_pre_votes();
    solo.hear(3, 4);
    assert_eq!((solo.role(), solo.node.leader(), solo.term()), (Role::Follower, Some(NodeId(3)), 4));
}

/// Section 3.4: a candidate refuses a leader of an earlier term and goes on.
#[test]
fn a_candidate_refuses_a_leader_of_an_earlier_term() {
    let mut solo = Solo::voters(5);
    solo.campaign();
    let answer = only(&solo.hear(3, 4));
    assert!(matches!(answer, (3, Message { term: Term(5), body: Body::HeartbeatReply { promise_ms: 0, .. } })));
    assert_eq!((solo.role(), solo.node.leader()), (Role::Candidate, None));
}

/// Section 3.4: when votes are split, each candidate waits for a timeout and tries again in a term after this one.
#[test]
fn a_split_vote_is_followed_by_another_election() {
    let mut solo = Solo::voters(3);
    for term in 5..9 {
        solo.campaign();
        assert_eq!((solo.role(), solo.term()), (Role::Candidate, term));
        solo.get(2, term, Body::VoteReply { verdict: Verdict::AlreadyVoted, sent: Stamp(1) });
        assert_eq!(solo.node.stats().latest.1, Reason::VoteRefused { by: NodeId(2), verdict: Verdict::AlreadyVoted });
    }
    assert_eq!(solo.node.stats().elections, 4);
}

/// Section 3.4: timeouts are drawn at random from a fixed range, anew for each wait, and differently by different nodes.
#[test]
fn timeouts_are_drawn_anew_for_every_wait() {
    let mut solo = Solo::voters(3);
    let mut drawn = Vec::new();
    for _ in 0..200 {
        solo.hear(2, 4);
        drawn.push(solo.idle().as_millis());
        solo.pass(1);
    }
    let (least, most) = (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap());
    assert!((TIMEOUT_MIN..TIMEOUT_MIN + 15).contains(&least), "{least}");
    assert!((TIMEOUT_MAX - 15..=TIMEOUT_MAX).contains(&most), "{most}");
    drawn.sort_unstable();
    drawn.dedup();
    assert!(drawn.len() > 80, "{} of 151", drawn.len());
    let now = Instant::from_secs(1);
    let mut ends: Vec<Instant> = (1..=7)
        .map(|id| {
            let config = Config::<6>::new(CLUSTER, NodeId(id), &voters(7), Timing::LOCAL, keys(), 5).unwrap();
            let mut node = Election::new(config, saved(4, None), now);
            let saved = node.poll_persist().unwrap();
            node.handle_persisted(now, &saved);
            node.next_deadline()
        })
        .collect();
    ends.sort_unstable();
    ends.dedup();
    assert_eq!(ends.len(), 7);
}

/// Section 3.7: requests that get no answer are repeated for as long as they matter, and repetitions do no harm.
#[test]
fn requests_are_repeated_to_those_who_have_not_answered() {
    let mut solo = Solo::voters(5);
    let first = solo.wait_for_pre_votes();
    let Body::PreVote { round } = told(&first).1.body else { panic!("{first:?}") };
    solo.get(3, 4, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(9) });
    assert!(solo.wait(HEARTBEAT - 1).is_empty());
    assert_eq!(told(&solo.wait(1)), (vec![2, 4, 5], first[0].1));
    solo.get(2, 4, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(9) });
    assert_eq!(solo.role(), Role::Candidate);
    solo.get(4, 5, Body::VoteReply { verdict: Verdict::AlreadyVoted, sent: Stamp(1) });
    assert!(solo.wait(HEARTBEAT - 1).is_empty());
    assert_eq!(told(&solo.wait(1)), (vec![2, 3, 5], Message { term: Term(5), body: VOTE }));
    assert_eq!(told(&solo.wait(HEARTBEAT)).0, [2, 3, 5]);
}

/// Section 3.8: term and vote are on stable storage before anyone is told.
#[test]
fn nothing_is_answered_before_it_is_saved() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MIN);
    solo.get_unsaved(2, 5, VOTE);
    assert_eq!(solo.said(), []);
    let record = solo.node.poll_persist().unwrap();
    assert_eq!((record.term, record.vote), (Term(5), Some(NodeId(2))));
    assert_eq!(solo.node.poll_persist(), None, "asked for once");
    assert_eq!(solo.said(), []);
    let mut stale = record.clone();
    stale.vote = None;
    solo.node.handle_persisted(solo.now, &stale);
    assert_eq!(solo.said(), [], "another record is not this one");
    solo.node.handle_persisted(solo.now, &record);
    assert!(matches!(
        only(&solo.said()),
        (2, Message { term: Term(5), body: Body::VoteReply { verdict: Verdict::Granted, .. } })
    ));
}

/// Section 3.8: a candidate's own vote is a vote: it asks nobody, and wins nothing, before it is saved.
#[test]
fn the_own_vote_counts_when_it_is_saved() {
    let mut solo = Solo::voters(3);
    let (_, message) = told(&solo.wait_for_pre_votes());
    let Body::PreVote { round } = message.body else { panic!("{message:?}") };
    solo.get_unsaved(2, 4, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(9) });
    assert_eq!((solo.role(), solo.said()), (Role::Candidate, vec![]));
    for from in [2, 3] {
        solo.get_unsaved(from, 5, GRANTED);
        assert_eq!(solo.role(), Role::Candidate, "two votes of others and an own one in the air are no majority");
    }
    solo.save();
    assert_eq!(solo.role(), Role::Leader);
}

/// Section 3.8: who starts again has its term, and the vote it gave in it.
#[test]
fn a_restart_forgets_neither_term_nor_vote() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MIN);
    solo.get(2, 5, VOTE);
    solo.restart();
    assert_eq!((solo.term(), solo.node.saved().vote, solo.role()), (5, Some(NodeId(2)), Role::Follower));
    assert_eq!(solo.settle(), []);
    solo.pass(TIMEOUT_MIN);
    for (from, expected) in [(3, Verdict::AlreadyVoted), (2, Verdict::Granted)] {
        let (_, Message { body, .. }) = only(&solo.get(from, 5, VOTE));
        assert!(matches!(body, Body::VoteReply { verdict, .. } if verdict == expected), "{body:?}");
    }
}

/// Section 4.2.3: who has heard a leader within the shortest election timeout neither moves to a candidate's term nor
/// votes; a leader is always heard by itself. From then on it does.
#[test]
fn a_node_stands_by_a_leader_it_has_heard() {
    for asks in [VOTE, Body::PreVote { round: Stamp(3) }] {
        let mut solo = Solo::voters(3);
        solo.hear(2, 4);
        solo.pass(TIMEOUT_MIN - 1);
        let (to, message) = only(&solo.get(3, 5, asks));
        let heard = Verdict::HeardLeader { ago_ms: 149 };
        assert!((to, message.term) == (3, Term(4)), "{message:?}");
        assert!(
            matches!(message.body, Body::VoteReply { verdict, .. } | Body::PreVoteReply { verdict, .. } if verdict == heard),
            "{message:?}"
        );
        assert_eq!((solo.term(), solo.node.leader()), (4, Some(NodeId(2))));
        solo.pass(1);
        solo.get(3, 5, asks);
        assert_eq!(solo.term(), 5);
        let mut leader = Solo::voters(3);
        leader.lead();
        leader.pass(TIMEOUT_MAX);
        let (_, message) = only(&leader.get(3, 6, asks));
        let heard = Verdict::HeardLeader { ago_ms: 0 };
        assert!(
            matches!(message.body, Body::VoteReply { verdict, .. } | Body::PreVoteReply { verdict, .. } if verdict == heard),
            "{message:?}"
        );
        assert_eq!((leader.role(), leader.term()), (Role::Leader, 5));
    }
}

/// Section 4.2.3: a node that starts may have promised this before; it waits as if it had heard a leader just now.
#[test]
fn a_node_that_starts_stands_by_a_leader_it_may_have_forgotten() {
    let mut solo = Solo::voters(3);
    solo.pass(TIMEOUT_MIN - 1);
    let (_, Message { term, body }) = only(&solo.get(3, 5, VOTE));
    assert_eq!(term, Term(4));
    assert!(
        matches!(body, Body::VoteReply { verdict: Verdict::HeardLeader { ago_ms: u32::MAX }, .. }),
        "it has heard none: {body:?}"
    );
    solo.pass(1);
    solo.get(3, 5, VOTE);
    assert_eq!(solo.disk.vote, Some(NodeId(3)));
}

/// Section 4.2.3: the first term is a term like any other, and so is the one before it, in which a new node starts.
#[test]
fn a_node_stands_by_the_leader_of_the_first_term() {
    let first = |term| Solo::with(&voters(3), Timing::LOCAL, saved(term, None));
    let mut follower = first(1);
    follower.hear(2, 1);
    let mut leader = first(0);
    leader.lead();
    for (solo, term, ago_ms) in [(&follower, 1, 0), (&leader, 1, 0), (&first(0), 0, u32::MAX), (&first(1), 1, u32::MAX)]
    {
        for asks in [VOTE, Body::PreVote { round: Stamp(3) }] {
            for asked in [term, term + 1] {
                let mut solo = solo.clone();
                let state = |solo: &Solo| (solo.role(), solo.node.leader(), solo.disk.term, solo.disk.vote);
                let before = state(&solo);
                let answer = only(&solo.get(3, asked, asks)).1;
                let heard = Verdict::HeardLeader { ago_ms };
                assert_eq!(answer.term, Term(term), "{asks:?}");
                assert!(
                    matches!(answer.body, Body::VoteReply { verdict, .. } | Body::PreVoteReply { verdict, .. } if verdict == heard),
                    "{asks:?} {answer:?}"
                );
                assert_eq!(state(&solo), before, "{asks:?}");
            }
        }
    }
}

/// Section 4.2.3: a candidate that the leader has asked to campaign is voted for all the same, by the leader too; one
/// that an earlier leader asked is not.
#[test]
fn a_candidate_that_a_leader_has_let_go_for_is_voted_for() {
    for (released, votes) in [(3, false), (4, true), (5, true)] {
        for later in 0..3 {
            let mut solo = Solo::voters(3);
            solo.hear(2, 4 + later);
            solo.get(3, 5 + later, Body::Vote { released: Term(released + later) });
            assert_eq!(solo.disk.vote == Some(NodeId(3)), votes, "released {released}, {later} later");
        }
    }
    for (released, votes) in [(4, false), (5, true)] {
        let mut leader = Solo::voters(3);
        leader.lead();
        leader.get(3, 6, Body::Vote { released: Term(released) });
        assert_eq!(leader.disk.vote == Some(NodeId(3)), votes, "released {released}");
        assert_eq!(leader.role() == Role::Follower, votes);
    }
}

/// Section 3.9: an election takes a round trip or two, so the cluster keeps a leader if a message's way takes much less
/// time than an election timeout: here a round trip and the time between two heartbeats must fit in the shortest one. If
/// they do not, nobody leads for long; and no two ever do.
#[test]
fn a_leader_stays_where_messages_take_much_less_time_than_timeouts() {
    for (delay, stays) in [(1, true), (20, true), (45, true), (60, false), (140, false)] {
        let mut cluster = Cluster::voters(5);
        cluster.delay = Duration::from_millis(delay);
        cluster.run(SECOND * 10);
        let term = cluster.nodes.values().map(crate::common::Node::term).max();
        cluster.run(SECOND * 10);
        let later = cluster.nodes.values().map(crate::common::Node::term).max();
        assert_eq!(later == term && cluster.leaders().len() == 1, stays, "{delay} ms");
    }
}

/// Section 4.2.3: to stand by a leader does not slow down the election after its death: nobody asks before an election
/// timeout has passed, and by then nobody stands by it who has heard it as lately as the one that asks.
#[test]
fn the_election_after_a_leaders_death_takes_one_timeout() {
    for seed in 0..20 {
        let mut cluster = Cluster::seeded(&voters(3), seed);
        let dead = cluster.elect();
        cluster.run(SECOND + Duration::from_millis(seed * 7));
        cluster.stop(dead);
        let died = cluster.now;
        cluster.run_until(|cluster| !cluster.leaders().is_empty());
        let round_trips = cluster.delay * 4;
        let limit = Duration::from_millis(TIMEOUT_MAX) + round_trips;
        assert!(cluster.now - died <= limit, "seed {seed}: {}", cluster.now - died);
    }
}

/// Section 6.2: who tells others where the leader is forgets it when it begins an election, and when the term changes.
#[test]
fn a_follower_forgets_its_leader_when_it_asks_for_votes_and_when_the_term_changes() {
    let mut solo = Solo::voters(3);
    solo.hear(2, 4);
    assert_eq!(solo.node.leader(), Some(NodeId(2)));
    solo.wait_for_pre_votes();
    assert_eq!(solo.node.leader(), None);
    solo.hear(2, 4);
    assert_eq!(solo.node.leader(), Some(NodeId(2)), "it is heard again");
    solo.get(3, 5, Body::VoteReply { verdict: Verdict::AlreadyVoted, sent: Stamp(1) });
    assert_eq!((solo.term(), solo.node.leader()), (5, None));
}

/// Section 9.3: the range of timeouts is the operator's, and bounds every wait.
#[test]
fn every_wait_lies_in_the_range_of_the_configuration() {
    for (min, max) in [(10, 20), (12, 24), (150, 150), (1000, 60_000)] {
        let ms = Duration::from_millis;
        let timing = Timing {
            heartbeat_interval: ms(min / 2),
            election_timeout_min: ms(min),
            election_timeout_max: ms(max),
            ..Timing::LOCAL
        };
        let mut solo = Solo::with(&voters(3), timing, saved(4, None));
        for _ in 0..100 {
            solo.hear(2, 4);
            assert!((ms(min)..=ms(max)).contains(&solo.idle()), "{min}-{max}: {}", solo.idle());
            solo.pass(1);
        }
    }
}

/// Section 9.6: before an election a node asks whether it could be won; that moves nobody's term and takes nobody's
/// vote.
#[test]
fn a_pre_vote_asks_and_changes_nothing() {
    let mut asker = Solo::voters(3);
    let (to, message) = told(&asker.wait_for_pre_votes());
    assert_eq!((to, message.term), (vec![2, 3], Term(4)));
    assert_eq!((asker.role(), asker.disk.term, asker.disk.vote), (Role::PreCandidate, Term(4), None));
    let Body::PreVote { round } = message.body else { panic!("{message:?}") };
    let mut asked = Solo::voters(3);
    asked.pass(TIMEOUT_MIN);
    for from in [2, 3] {
        let granted = Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp::of(asked.now) };
        let answer = only(&asked.get(from, 4, Body::PreVote { round }));
        assert_eq!(answer, (from, Message { term: Term(4), body: granted }), "to as many as ask");
    }
    assert_eq!((asked.role(), asked.disk.term, asked.disk.vote), (Role::Follower, Term(4), None));
}

/// Section 9.6: the election begins when a majority would vote for the node; refusals, and answers to earlier rounds, do
/// not count.
#[test]
fn a_majority_of_pre_votes_of_this_round_begins_an_election() {
    let mut solo = Solo::voters(5);
    let (_, message) = told(&solo.wait_for_pre_votes());
    let Body::PreVote { round } = message.body else { panic!("{message:?}") };
    let granted = |round| Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(9) };
    solo.get(2, 4, granted(round));
    solo.get(2, 4, granted(round));
    solo.get(3, 4, granted(Stamp(round.0 - 1)));
    solo.get(4, 3, granted(round));
    solo.get(4, 4, Body::PreVoteReply { round, verdict: Verdict::HeardLeader { ago_ms: 80 }, sent: Stamp(9) });
    let refused = Reason::PreVoteRefused { by: NodeId(4), verdict: Verdict::HeardLeader { ago_ms: 80 } };
    assert_eq!(solo.node.stats().latest.1, refused);
    assert_eq!((solo.role(), solo.term()), (Role::PreCandidate, 4));
    solo.get(5, 4, granted(round));
    assert_eq!((solo.role(), solo.term()), (Role::Candidate, 5));
}

/// Section 9.6: a node that is cut off asks in vain and stays in its term; when it is back, it deposes nobody.
#[test]
fn a_node_that_was_cut_off_comes_back_in_the_same_term() {
    let mut cluster = Cluster::voters(5);
    let leader = cluster.elect();
    let term = cluster.node(leader).term();
    let other = if leader == 1 { 2 } else { 1 };
    cluster.cut_off(other);
    cluster.run(SECOND * 20);
    assert!(cluster.node(other).stats().pre_votes > 30);
    assert_eq!((cluster.node(other).term(), cluster.node(other).stats().elections), (term, 0));
    cluster.heal();
    cluster.run(SECOND * 5);
    assert_eq!((cluster.elect(), cluster.node(leader).term()), (leader, term));
}

/// Figure 3.2, election safety: a term has one leader at most, whatever is lost. (`tests/src/model.rs` looks at every
/// run; this is an example.)
#[test]
fn a_term_has_one_leader() {
    let mut cluster = Cluster::voters(5);
    let mut leaders = std::collections::BTreeMap::new();
    for round in 0..60_u16 {
        let leader = cluster.leaders().first().copied().unwrap_or(1);
        cluster.heal();
        cluster.cut(leader, leader % 5 + 1);
        match round % 3 {
            0 => cluster.cut_off(leader),
            1 => cluster.cut(leader % 5 + 1, (leader + 1) % 5 + 1),
            _ => {}
        }
        for _ in 0..20 {
            cluster.run(Duration::from_millis(25));
            for (id, node) in cluster.nodes.iter().filter(|(_, node)| node.role() == Role::Leader) {
                assert_eq!(leaders.entry(node.term()).or_insert(*id), id);
            }
        }
    }
    assert!(leaders.len() > 10, "{leaders:?}");
}
