//! How a node learns of the starts of its peers, and of its own from them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that goes wrong may panic")]

use crate::common::puppet::{Answer, HELLO_REPLY, MESSAGE, Puppet};
use crate::common::talk::{HEARTBEAT, OWN, Talk, text};
use symphony_core::{
    Alarm, Body, Boot, Command, CommandError, DatagramError, Duration, Event, Incarnation, Message, NodeId, Retirement,
    Role, Saved, Session, Stamp, Term, Verdict,
};

/// A start is taken over from an answer alone, and only from one to the latest hello of this start: an old hello or
/// answer says nothing of today.
#[test]
fn a_start_is_taken_over_from_a_fresh_answer_alone() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let old = two.incarnation;
    two.incarnation = Incarnation { boot: Boot(2), session: Session(99), ..old };
    let own = talk.node.incarnation();
    let early = talk.hello_to(&two);
    talk.get(&two.hello(OWN, 0)).unwrap();
    assert_eq!(talk.known(two.id), old, "a hello proves nothing");
    talk.pass(HEARTBEAT);
    let later = talk.hello_to(&two);
    assert!(later.counter > early.counter);
    for (name, echo) in
        [("an answer to an earlier hello", early.counter), ("to none", 0), ("to one to come", later.counter + 1)]
    {
        assert_eq!(talk.get(&two.reply(OWN, own, echo, Answer::default())), Err(DatagramError::Session), "{name}");
    }
    let another = Incarnation { boot: Boot(own.boot.0 + 1), ..own };
    assert_eq!(talk.get(&two.reply(OWN, another, later.counter, Answer::default())), Err(DatagramError::Forged));
    let another = Incarnation { session: Session(own.session.0 ^ 1), ..own };
    assert_eq!(talk.get(&two.reply(OWN, another, later.counter, Answer::default())), Err(DatagramError::Session));
    assert_eq!(talk.known(two.id), old);
    let reply = two.reply(OWN, own, later.counter, Answer::default());
    assert_eq!(talk.get(&reply), Ok(()));
    assert_eq!(talk.known(two.id), two.incarnation);
    assert!(talk.get(&reply).is_err());
    assert_eq!(talk.get(&two.reply(OWN, own, 0, Answer::default())), Err(DatagramError::Session), "nothing is asked");
    assert_eq!(talk.get(&two.message(OWN, own, &talk.question())), Ok(()));
}

/// Nothing is said, not even to the peer, before its start is on the disk.
#[test]
fn a_start_is_saved_before_anything_rests_on_it() {
    let mut talk = Talk::new();
    let mut two = Puppet::new(2);
    let hello = talk.hello_to(&two);
    let mut reply = two.reply(OWN, talk.node.incarnation(), hello.counter, Answer::default());
    talk.node.handle_datagram(talk.now, &mut reply).unwrap();
    let mut question = two.message(OWN, talk.node.incarnation(), &talk.question());
    talk.node.handle_datagram(talk.now, &mut question).unwrap();
    assert!(talk.sent().is_empty());
    talk.save();
    assert!(talk.speaks());
}

#[test]
fn a_copy_or_an_old_record_of_a_peer_is_not_taken_over_and_raises_an_alarm() {
    let known = Incarnation { install_salt: [2; 8], boot: Boot(5), session: Session(7) };
    let peer = NodeId(2);
    for (name, answers, taken_over, alarm) in [
        ("itself", known, true, None),
        ("a later start", Incarnation { boot: Boot(6), session: Session(3), ..known }, true, None),
        ("much later", Incarnation { boot: Boot(u32::MAX), session: Session(3), ..known }, true, None),
        (
            "the same boot again",
            Incarnation { session: Session(3), ..known },
            false,
            Some(Alarm::PeerRolledBack { peer }),
        ),
        ("an earlier one", Incarnation { boot: Boot(4), ..known }, false, Some(Alarm::PeerRolledBack { peer })),
        ("another installation", Incarnation { install_salt: [3; 8], ..known }, false, Some(Alarm::Impostor { peer })),
        (
            "another, later installation",
            Incarnation { install_salt: [3; 8], boot: Boot(9), session: Session(1) },
            false,
            Some(Alarm::Impostor { peer }),
        ),
    ] {
        let mut talk = Talk::acquainted();
        let members = talk.members();
        let mut two = Puppet { incarnation: known, ..Puppet::new(2) };
        talk.answer(&mut two, Answer { members, ..Answer::default() }).unwrap();
        assert_eq!(talk.known(peer), known);
        let mut other = Puppet { incarnation: answers, counter: 1000, ..two.clone() };
        talk.sent();
        talk.get(&other.hello(OWN, members)).unwrap();
        if answers != known {
            let asks = talk.said_to(&other).into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
            assert_eq!(asks.text[0], 1, "{name}");
            let answer = Answer { members, ..Answer::default() };
            talk.get(&other.reply(OWN, talk.node.incarnation(), asks.counter, answer)).unwrap();
        }
        assert_eq!(talk.known(peer), if taken_over { answers } else { known }, "{name}");
        assert_eq!(talk.alarms(), Vec::from_iter(alarm), "{name}");
        assert!(talk.alarms().is_empty(), "once");
    }
}

#[test]
fn members_that_differ_raise_an_alarm_until_they_agree() {
    let mut talk = Talk::new();
    let mut two = Puppet::new(2);
    let members = talk.members();
    talk.answer(&mut two, Answer { members: members ^ 1, ..Answer::default() }).unwrap();
    assert_eq!(talk.alarms(), [Alarm::MembersDiffer { peer: two.id }]);
    assert_eq!(talk.known(two.id), two.incarnation, "it is a member all the same");
    for (members, differ) in [(members, false), (members ^ 1, true)] {
        two.incarnation.boot.0 += 1;
        talk.get(&two.hello(OWN, members)).unwrap();
        let asks = talk.said_to(&two).into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
        let reply = two.reply(OWN, talk.node.incarnation(), asks.counter, Answer { members, ..Answer::default() });
        talk.get(&reply).unwrap();
        assert_eq!(talk.node.alarms().next(), differ.then_some(Alarm::MembersDiffer { peer: two.id }));
    }
    assert_eq!(talk.alarms(), [Alarm::MembersDiffer { peer: two.id }], "again");
}

/// What a peer knows of a node proves to it whether its own record is the latest.
#[test]
fn a_node_whose_record_is_not_the_latest_retires_for_good() {
    let by = NodeId(2);
    let (taken, rolled_back) = (Some(Retirement::IdTaken { by }), Some(Retirement::RolledBack { by }));
    let own = Talk::acquainted().node.incarnation();
    assert_eq!(own.boot, Boot(1));
    for (name, known, voted, retirement) in [
        ("nothing is known", Incarnation::default(), 0, None),
        ("this start", own, 0, None),
        ("an earlier start", Incarnation { boot: Boot(0), session: Session(5), ..own }, 0, None),
        ("a later start", Incarnation { boot: Boot(2), ..own }, 0, rolled_back),
        ("this boot in another start", Incarnation { session: Session(own.session.0 ^ 1), ..own }, 0, rolled_back),
        ("another installation", Incarnation { install_salt: [9; 8], ..own }, 0, taken),
        ("another, earlier one", Incarnation { install_salt: [9; 8], boot: Boot(0), ..own }, 0, taken),
        ("a vote that the record does not know", own, 1, rolled_back),
    ] {
        let mut talk = Talk::acquainted();
        let members = talk.members();
        let mut two = Puppet::new(2);
        talk.answer(&mut two, Answer { members, known, voted, ..Answer::default() }).unwrap();
        let alarm = retirement.map(Alarm::Retired);
        assert_eq!(talk.alarms(), Vec::from_iter(alarm), "{name}");
        assert_eq!(talk.disk.retired, retirement.is_some(), "{name}");
        if retirement.is_none() {
            continue;
        }
        for again in [false, true] {
            let question = two.message(OWN, talk.node.incarnation(), &talk.question());
            assert_eq!(talk.get(&question), Err(DatagramError::Retired), "{name}");
            talk.pass(10_000);
            assert!(talk.sent().is_empty(), "{name}");
            assert!(talk.node.next_deadline() > talk.now, "{name}");
            assert_eq!(talk.node.handle_command(talk.now, Command::Resume), Err(CommandError::Retired));
            assert_eq!((talk.node.role(), talk.node.leader()), (Role::Follower, None));
            if !again {
                talk.restart(talk.disk.clone());
                assert_eq!(talk.alarms(), [Alarm::Retired(Retirement::Earlier)], "{name}");
            }
        }
    }
}

/// A peer that is refused itself, as an installation of a copied cluster, says nothing that counts. It is told what it is.
#[test]
fn who_is_not_believed_makes_nobody_retire() {
    let own = Talk::acquainted().node.incarnation();
    let later = Incarnation { boot: Boot(9), ..own };
    let foreign = Incarnation { install_salt: [9; 8], ..own };
    let peer = NodeId(2);
    let trusted = Puppet::new(2).incarnation;
    for (start, alarm) in [
        (Incarnation { install_salt: [7; 8], ..trusted }, Alarm::Impostor { peer }),
        (Incarnation { install_salt: [7; 8], boot: Boot(9), ..trusted }, Alarm::Impostor { peer }),
        (Incarnation { session: Session(8), ..trusted }, Alarm::PeerRolledBack { peer }),
    ] {
        for (known, voted) in [(later, 0), (foreign, 0), (own, 9)] {
            let mut talk = Talk::acquainted();
            let members = talk.members();
            let mut two = Puppet { incarnation: start, ..Puppet::new(2) };
            talk.answer(&mut two, Answer { asks: true, members, known, voted }).unwrap();
            assert_eq!(talk.alarms(), [alarm]);
            assert!(!talk.disk.retired);
            let answer = talk.said_to(&two).into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
            assert_eq!(answer.text[5..13], trusted.install_salt, "it is told who is known under its id");
        }
    }
}

/// A vote that this node gave in its term is in its record; one that is not there was lost.
#[test]
fn a_lost_vote_is_found_out_in_the_same_term() {
    for (term, voted_for, voted, retires) in
        [(7, 2, 7, false), (7, 3, 7, true), (7, 2, 8, true), (7, 3, 6, false), (1, 3, 1, true)]
    {
        let mut talk = Talk::acquainted();
        let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
        talk.pass(200);
        talk.meet(&mut [&mut two, &mut three]);
        let candidate = if voted_for == 2 { &mut two } else { &mut three };
        let request = text(&Message { term: Term(term), body: Body::Vote { released: Term(0) } });
        talk.get(&candidate.message(OWN, talk.node.incarnation(), &request)).unwrap();
        assert_eq!(talk.disk.vote, Some(NodeId(voted_for)));
        two.incarnation.boot = Boot(9);
        talk.sent();
        talk.get(&two.hello(OWN, 0)).unwrap();
        let asks = talk.said_to(&two).into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
        let known = talk.node.incarnation();
        let reply = two.reply(OWN, known, asks.counter, Answer { known, voted, ..Answer::default() });
        talk.get(&reply).unwrap();
        assert_eq!(talk.disk.retired, retires, "vote for {voted_for} in {term}, node 2 has one of {voted}");
    }
}

/// The answer tells who asks what is known of it: its start, and the vote it gave.
#[test]
fn an_answer_tells_what_is_known() {
    let mut talk = Talk::acquainted();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    talk.meet(&mut [&mut two, &mut three]);
    let deadline = talk.now + Duration::from_secs(2);
    while talk.node.role() != Role::Candidate {
        assert!(talk.now < deadline, "it never campaigned");
        talk.pass(10);
        let own = talk.node.incarnation();
        let asked: Vec<_> =
            talk.said().into_iter().filter(|opened| opened.kind == MESSAGE && opened.to == two.id).collect();
        for opened in asked {
            let Message { term, body: Body::PreVote { round } } = postcard::from_bytes(&opened.text).unwrap() else {
                continue;
            };
            let granted = Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(1) };
            talk.get(&two.message(OWN, own, &text(&Message { term, body: granted }))).unwrap();
        }
    }
    let own = talk.node.incarnation();
    let refused = Body::VoteReply { verdict: Verdict::AlreadyVoted, sent: Stamp(1) };
    talk.get(&three.message(OWN, own, &text(&Message { term: Term(1), body: refused }))).unwrap();
    let granted = Body::VoteReply { verdict: Verdict::Granted, sent: Stamp(1) };
    talk.get(&two.message(OWN, own, &text(&Message { term: Term(1), body: granted }))).unwrap();
    assert_eq!(talk.node.role(), Role::Leader);
    let pre_vote = Body::PreVoteReply { round: Stamp(1), verdict: Verdict::Granted, sent: Stamp(1) };
    talk.get(&three.message(OWN, own, &text(&Message { term: Term(1), body: pre_vote }))).unwrap();
    talk.sent();
    for (peer, voted) in [(&mut two, 1), (&mut three, 0)] {
        let hello = peer.hello(OWN, 0);
        talk.get(&hello).unwrap();
        let reply = talk.said().into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
        let answer = Answer { asks: false, members: talk.members(), known: peer.incarnation, voted };
        assert_eq!((reply.to, reply.echo, &reply.text[..]), (peer.id, peer.counter, &answer.text()[..]));
    }
    two.incarnation = Incarnation { boot: Boot(2), session: Session(9), ..two.incarnation };
    talk.get(&two.hello(OWN, 0)).unwrap();
    let asks = talk.said_to(&two).into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
    talk.get(&two.reply(OWN, own, asks.counter, Answer { voted: 9, ..Answer::default() })).unwrap();
    assert_eq!((talk.node.role(), talk.node.lease(talk.now)), (Role::Follower, None), "a leader retires too");
}

#[test]
fn nothing_is_sent_to_a_peer_that_has_not_been_met() {
    let mut talk = Talk::new();
    let mut three = Puppet::new(3);
    talk.meet(&mut [&mut three]);
    let mut campaigns = 0;
    for _ in 0..100 {
        let before = talk.node.stats().pre_votes;
        talk.pass(10);
        let mut spoken_to = talk.said().into_iter().filter(|opened| opened.kind == MESSAGE).map(|opened| opened.to);
        if talk.node.stats().pre_votes > before {
            campaigns += 1;
            assert_eq!(spoken_to.next(), Some(three.id), "at once");
        }
        assert!(spoken_to.all(|to| to == three.id));
    }
    assert!(campaigns > 1);
}

/// The clock of a peer that has started anew may be behind: its first words as leader count all the same.
#[test]
fn the_clock_of_another_start_begins_anew() {
    let mut talk = Talk::acquainted();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    talk.meet(&mut [&mut two, &mut three]);
    let heartbeat = |talk: &Talk, sent: u64| {
        let echo = Stamp::of(talk.now);
        text(&Message { term: Term(3), body: Body::Heartbeat { sent: Stamp(sent), echo } })
    };
    talk.get(&two.message(OWN, talk.node.incarnation(), &heartbeat(&talk, 9_000_000))).unwrap();
    assert_eq!(talk.node.leader(), Some(two.id));
    two.incarnation = Incarnation { boot: Boot(2), session: Session(9), ..two.incarnation };
    talk.sent();
    talk.get(&two.hello(OWN, 0)).unwrap();
    let asks = talk.said_to(&two).into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
    talk.get(&two.reply(OWN, talk.node.incarnation(), asks.counter, Answer::default())).unwrap();
    talk.sent();
    talk.get(&two.message(OWN, talk.node.incarnation(), &heartbeat(&talk, 1))).unwrap();
    let answer = talk.said_to(&two).into_iter().find(|opened| opened.kind == MESSAGE).unwrap();
    let Message { body: Body::HeartbeatReply { echo, .. }, .. } = postcard::from_bytes(&answer.text).unwrap() else {
        panic!("an answer to the heartbeat");
    };
    assert_eq!(echo, Stamp(1));
}

/// What was told once is still wrong.
#[test]
fn alarms_stay_until_what_is_wrong_is_mended() {
    let mut talk = Talk::acquainted();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    two.incarnation.install_salt = [7; 8];
    three.incarnation.session = Session(8);
    talk.meet(&mut [&mut two, &mut three]);
    let wrong = [Alarm::Impostor { peer: two.id }, Alarm::PeerRolledBack { peer: three.id }];
    assert!(talk.node.next_deadline() <= talk.now, "there is something to tell");
    assert_eq!(talk.alarms(), wrong);
    assert!(talk.alarms().is_empty());
    assert_eq!(Vec::from_iter(talk.node.alarms()), wrong);

    // The first is itself again, and the other has started with its true record.
    two.incarnation = Puppet::new(2).incarnation;
    three.incarnation.boot = Boot(5);
    talk.pass(HEARTBEAT);
    talk.meet(&mut [&mut two, &mut three]);
    assert_eq!(talk.node.alarms().next(), None);
    two.incarnation.session = Session(8);
    talk.get(&two.hello(OWN, 0)).unwrap();
    talk.pass(HEARTBEAT);
    talk.meet(&mut [&mut two]);
    assert_eq!(talk.alarms(), [Alarm::PeerRolledBack { peer: two.id }], "it is told again");
}

/// Two starts with one record, as of a copy, still differ by their sessions.
#[test]
fn every_start_draws_a_session_of_its_own() {
    let session = |salt: u8, boot: u32, seed: u64| {
        let saved = Saved { boot: Boot(boot), ..Saved::provision([salt; 8]) };
        Talk::seeded(saved, seed).node.incarnation().session
    };
    let first = session(1, 1, 5);
    for (salt, boot, seed) in [(2, 1, 5), (1, 2, 5), (1, 1, 6)] {
        assert_ne!(session(salt, boot, seed), first, "salt {salt}, boot {boot}, seed {seed}");
    }
}

/// An alarm is for a person: it names the node, and says what to do about it.
#[test]
fn alarms_are_told_in_words() {
    let peer = NodeId(7);
    for (alarm, words) in [
        (Alarm::Impostor { peer }, "another installation uses the id 7; it is not listened to"),
        (Alarm::PeerRolledBack { peer }, "node 7 runs on an old copy of its record; it is not listened to"),
        (Alarm::MembersDiffer { peer }, "node 7 is configured with other members"),
        (
            Alarm::Retired(Retirement::IdTaken { by: peer }),
            "this node has retired, and needs a new id: node 7 knows another installation under its id",
        ),
        (
            Alarm::Retired(Retirement::RolledBack { by: peer }),
            "this node has retired, and needs a new id: its record is an old copy, as node 7 has shown",
        ),
        (
            Alarm::Retired(Retirement::Exhausted),
            "this node has retired, and needs a new id: it has counted all starts that a record can count",
        ),
        (Alarm::Retired(Retirement::Earlier), "this node has retired, and needs a new id: its record says so"),
    ] {
        assert_eq!(alarm.to_string(), words);
    }
}

#[test]
fn nothing_is_sent_before_the_boot_is_saved() {
    let mut talk = Talk::acquainted();
    talk.start(talk.disk.clone());
    assert!(talk.sent().is_empty());
    assert!(talk.node.poll_persist().is_some());
    assert!(talk.sent().is_empty());
    assert!(talk.node.next_deadline() > talk.now, "nothing is to be done until the record is saved");
    talk.restart(talk.disk.clone());
    assert_eq!(talk.sent().len(), 2);
}

/// An answer of the start that is known makes no counter new again.
#[test]
fn an_answer_of_the_known_start_leaves_the_window_as_it_is() {
    let mut talk = Talk::acquainted();
    let (mut two, own) = (Puppet::new(2), talk.node.incarnation());
    let early = two.message(OWN, own, &talk.question());
    talk.get(&early).unwrap();
    talk.sent();
    talk.pass(HEARTBEAT);
    talk.answer(&mut two, Answer::default()).unwrap();
    assert!(talk.node.poll_persist().is_none());
    assert_eq!(talk.get(&early), Err(DatagramError::Replayed));
}

/// Neither displaces the other.
#[test]
fn an_alarm_and_a_new_leader_are_both_told() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    talk.answer(&mut two, Answer::default()).unwrap();
    let body = Body::Heartbeat { sent: Stamp(1), echo: Stamp::of(talk.now) };
    talk.get(&two.message(OWN, talk.node.incarnation(), &text(&Message { term: Term(3), body }))).unwrap();
    let mut events = Vec::new();
    while let Some(event) = talk.node.poll_event(talk.now) {
        events.push(event);
    }
    let leader = Event::LeaderChanged { term: Term(3), leader: Some(two.id) };
    assert_eq!(events, [Event::Alarm(Alarm::MembersDiffer { peer: two.id }), leader]);
}
