//! Who asks whom, when and how often: hellos and their answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

use crate::common::puppet::{Answer, HELLO, HELLO_REPLY, Puppet};
use crate::common::talk::{HEARTBEAT, OWN, Talk, text};
use symphony_core::{
    Body, Boot, Command, DatagramError, Duration, Incarnation, Instant, Message, NodeId, Role, Session, Stamp, Term,
    Timing,
};

/// Anyone can send what looks like a hello, so few are opened; messages and answers are not held up by that.
#[test]
fn a_flood_of_hellos_costs_little_and_holds_nothing_up() {
    let mut talk = Talk::acquainted();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    let mut forged = two.hello(OWN, 0);
    forged[40] ^= 1;
    let results: Vec<_> = (0..1000).map(|_| talk.get(&forged).unwrap_err()).collect();
    assert_eq!(results.iter().filter(|error| **error == DatagramError::Forged).count(), 16);
    assert_eq!(results.iter().filter(|error| **error == DatagramError::Flood).count(), 984);
    assert_eq!(talk.get(&two.hello(OWN, 0)), Err(DatagramError::Flood));
    assert_eq!(talk.get(&three.hello(OWN, 0)), Ok(()), "the others' hellos have budgets of their own");
    let own = talk.node.incarnation();
    assert_eq!(talk.get(&two.message(OWN, own, &talk.question())), Ok(()));
    let members = talk.members();
    assert_eq!(talk.answer(&mut two, Answer { members, ..Answer::default() }), Ok(()));
    talk.pass(10);
    assert_eq!(talk.get(&two.hello(OWN, 0)), Ok(()));
    assert_eq!(talk.get(&two.hello(OWN, 0)), Err(DatagramError::Flood));
    let named = Incarnation { session: own.session, ..Incarnation::default() };
    let text = Answer { members, ..Answer::default() }.text();
    let hello = two.seal(HELLO, OWN, named, 0, &text);
    assert_eq!(talk.get(&hello), Ok(()), "who knows this start is not held up");
    talk.pass(160);
    assert_eq!((0..20).filter(|_| talk.get(&two.hello(OWN, 0)).is_ok()).count(), 16);
}

/// Whoever listens can name this start, and repeat or make up what another start of a peer would say.
#[test]
fn a_flood_in_the_name_of_starts_that_are_not_believed_costs_little_and_silences_nobody() {
    let named = |puppet: &mut Puppet, talk: &Talk| {
        let named = Incarnation { session: talk.node.incarnation().session, ..Incarnation::default() };
        puppet.seal(HELLO, OWN, named, 0, &Answer::default().text())
    };
    let two = Puppet::new(2);
    let start = |boot: u32, salt: u8| {
        let incarnation = Incarnation { install_salt: [salt; 8], boot: Boot(boot), session: Session(8) };
        Puppet { incarnation, ..two.clone() }
    };
    for mut other in [start(0, 2), start(1, 2), start(9, 7)] {
        let mut talk = Talk::acquainted();
        let old = named(&mut other, &talk);
        let mut forged = old.clone();
        forged[40] ^= 1;
        let results: Vec<_> = (0..1000).map(|turn| talk.get(if turn % 2 == 0 { &old } else { &forged })).collect();
        assert_eq!(results.iter().filter(|result| **result != Err(DatagramError::Flood)).count(), 16);
        assert_eq!(talk.get(&two.clone().hello(OWN, 0)), Ok(()), "strangers have a budget of their own");
        let restarted = named(&mut start(2, 2), &talk);
        assert_eq!(talk.get(&restarted), Ok(()), "a later start is heard");
        let asked = talk.said_to(&start(2, 2)).into_iter().rfind(|opened| opened.kind == HELLO).unwrap();
        let answer = |mut puppet: Puppet, talk: &Talk| {
            puppet.reply(OWN, talk.node.incarnation(), asked.counter, Answer::default())
        };
        assert_eq!(talk.get(&answer(other.clone(), &talk)), Err(DatagramError::Flood), "its answers count, too");
        assert_eq!(talk.get(&answer(start(2, 2), &talk)), Ok(()));
        talk.pass(10);
        assert_eq!(talk.get(&restarted), Err(DatagramError::Replayed), "its start is known now");
        assert_eq!(talk.get(&old), Ok(()), "one in 10 ms");
        assert_eq!(talk.get(&old), Err(DatagramError::Flood));
    }
}

/// Old hellos that an attacker puts between do not keep the latest from being answered.
#[test]
fn an_old_hello_does_not_displace_a_later_one() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let first = two.incarnation;
    let old = Puppet { incarnation: Incarnation { boot: Boot(0), session: Session(5), ..first }, ..two.clone() }
        .hello(OWN, 0);
    let foreign = Puppet {
        incarnation: Incarnation { install_salt: [8; 8], boot: Boot(99), session: Session(5) },
        ..two.clone()
    }
    .hello(OWN, 0);
    let latest = two.hello(OWN, 0);
    for order in [[&old, &foreign, &latest], [&latest, &old, &foreign], [&foreign, &latest, &old]] {
        let mut talk = Talk::acquainted();
        talk.sent();
        for hello in order {
            talk.get(hello).unwrap();
        }
        let replies: Vec<_> = talk.sent().into_iter().filter(|(_, datagram)| datagram[0] & 15 == HELLO_REPLY).collect();
        assert_eq!(replies.len(), 1);
        assert!(Puppet::new(2).open(talk.node.incarnation(), &replies[0].1).is_some(), "it is for the latest");
    }
    talk.get(&latest).unwrap();
}

/// Two members that begin at the same moment meet in one round, though their hellos cross.
#[test]
fn hellos_that_cross_are_both_answered() {
    let mut talk = Talk::new();
    let mut two = Puppet::new(2);
    let hello = talk.hello_to(&two);
    talk.get(&two.hello(OWN, 0)).unwrap();
    let answer = talk.said().into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
    assert_eq!(answer.text[0], 0, "it has asked already");
    let reply = two.reply(OWN, talk.node.incarnation(), hello.counter, Answer::default());
    assert_eq!(talk.get(&reply), Ok(()));
}

/// An answer asks in turn, once: two that never trust each other would go on for ever.
#[test]
fn an_answer_to_an_answer_asks_nothing() {
    let mut talk = Talk::new();
    let mut two = Puppet::new(2);
    let hello = talk.hello_to(&two);
    let reply = two.reply(OWN, talk.node.incarnation(), hello.counter, Answer { asks: true, ..Answer::default() });
    talk.get(&reply).unwrap();
    let answer = talk.said().into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
    assert_eq!((answer.text[0], answer.echo), (0, two.counter));
}

#[test]
fn hellos_come_at_growing_intervals_until_a_peer_is_met_and_after_eight_datagrams_without_an_answer() {
    let mut talk = Talk::new();
    let mut times = Vec::new();
    for ms in 0..2000 {
        if talk.said().iter().any(|opened| opened.kind == HELLO && opened.to == NodeId(3)) {
            times.push(ms);
        }
        talk.pass(1);
    }
    assert_eq!(times, [0, 50, 150, 350, 750, 1150, 1550, 1950]);

    let mut talk = Talk::acquainted();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    talk.meet(&mut [&mut two, &mut three]);
    let mut unanswered = 0;
    let mut asked_after = Vec::new();
    for _ in 0..3000 {
        talk.pass(10);
        for opened in talk.said().iter().filter(|opened| opened.to == two.id) {
            if opened.kind == HELLO {
                asked_after.push(unanswered);
                unanswered = 0;
            } else {
                unanswered += 1;
            }
        }
    }
    assert!(asked_after.len() > 3 && asked_after.iter().all(|count| *count == 8), "{asked_after:?}");
}

#[test]
fn hellos_and_answers_are_of_one_size_and_heartbeats_are_small() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    talk.get(&two.hello(OWN, 0)).unwrap();
    let sizes: Vec<_> = talk.sent().into_iter().map(|(_, datagram)| datagram.len()).collect();
    assert_eq!(sizes, [81, 81, 81], "an answer to 2, and hellos to both");
    for (bits_of_term, bits_of_clock, size) in [(0, 0, 40), (14, 35, 49), (28, 35, 51), (56, 56, 61), (63, 63, 64)] {
        let stamp = Stamp((1 << bits_of_clock) - 1);
        let heartbeat =
            Message { term: Term((1 << bits_of_term) - 1), body: Body::Heartbeat { sent: stamp, echo: stamp } };
        assert_eq!(two.message(OWN, talk.node.incarnation(), &text(&heartbeat)).len(), size);
    }
}

/// Where answers take longer than eight heartbeats, a hello must not outdate the one that is being answered.
#[test]
fn an_answer_is_waited_for_as_long_as_an_election_can_wait() {
    let timing = Timing {
        heartbeat_interval: Duration::from_millis(100),
        election_timeout_min: Duration::from_millis(5_000),
        election_timeout_max: Duration::from_millis(9_000),
        ..Timing::LOCAL
    };
    let mut talk = Talk::timed(timing);
    let mut two = Puppet::new(2);
    let (mut under_way, mut asked) = (Vec::new(), Vec::new());
    while talk.known(two.id) != two.incarnation {
        assert!(talk.now < Instant::from_millis(1_060_000), "they never meet: {asked:?}");
        for opened in talk.said_to(&two) {
            under_way.push((talk.now + Duration::from_millis(4_900), opened.counter));
            asked.push(talk.now.as_millis() - 1_000_000);
        }
        talk.pass(100);
        under_way.retain(|(arrives, counter)| {
            if *arrives == talk.now {
                let reply = two.reply(OWN, talk.node.incarnation(), *counter, Answer::default());
                let _ = talk.get(&reply);
            }
            *arrives > talk.now
        });
    }
    assert_eq!(asked, [0, 100, 300, 700, 1_500, 3_100, 6_300]);
}

/// So that a peer which has not restarted opens it whatever the flood.
#[test]
fn a_hello_names_the_start_that_is_known() {
    for (mut talk, session) in [(Talk::acquainted(), Puppet::new(2).incarnation.session), (Talk::new(), Session(0))] {
        let sent = talk.sent();
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|(_, datagram)| datagram[12..16] == session.0.to_le_bytes()));
    }
}

/// A host that sleeps until the deadline keeps no one waiting.
#[test]
fn a_hello_and_an_answer_are_due_at_once_and_another_hello_after_its_wait() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    assert_eq!(talk.node.next_deadline(), talk.now, "hellos to both");
    talk.sent();
    assert_eq!(talk.node.next_deadline(), talk.now + Duration::from_millis(HEARTBEAT));
    talk.get(&two.hello(OWN, 0)).unwrap();
    assert_eq!(talk.node.next_deadline(), talk.now, "an answer");
    talk.sent();
    assert!(talk.node.next_deadline() > talk.now);
}

/// Whoever repeats old hellos does not make a node ask more often.
#[test]
fn hellos_of_others_do_not_hasten_those_of_a_node_that_asks_already() {
    let mut talk = Talk::new();
    let mut two = Puppet::new(2);
    let mut times = Vec::new();
    for ms in 0..1000 {
        if ms % 20 == 0 {
            talk.get(&two.hello(OWN, 0)).unwrap();
        }
        if talk.said().iter().any(|opened| opened.kind == HELLO && opened.to == NodeId(3)) {
            times.push(ms);
        }
        talk.pass(1);
    }
    assert_eq!(times, [0, 50, 150, 350, 750]);
}

/// The answer that asks may be lost.
#[test]
fn a_peer_that_comes_back_is_asked_at_growing_intervals() {
    let mut talk = Talk::acquainted();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    talk.node.handle_command(talk.now, Command::Pause).unwrap();
    for _ in 0..5 {
        talk.pass(400);
    }
    talk.meet(&mut [&mut two, &mut three]);
    talk.pass(400);
    talk.sent();
    two.incarnation = Incarnation { boot: Boot(2), session: Session(9), ..two.incarnation };
    talk.get(&two.hello(OWN, 0)).unwrap();
    let mut times = Vec::new();
    for ms in 0..400 {
        if talk.sent().iter().any(|(to, datagram)| datagram[0] & 15 == HELLO && *to == two.id) {
            times.push(ms);
        }
        talk.pass(1);
    }
    assert_eq!(times, [50, 100, 200]);
}

/// A node that has met everybody is woken by its election alone.
#[test]
fn no_hello_is_due_when_everybody_has_been_met() {
    let mut talk = Talk::acquainted();
    talk.meet(&mut [&mut Puppet::new(2), &mut Puppet::new(3)]);
    talk.pass(HEARTBEAT);
    let deadline = talk.node.next_deadline();
    talk.pass((deadline - talk.now).as_millis() + 1);
    assert_eq!(talk.node.role(), Role::PreCandidate);
}

/// Eight since the peer was heard, not eight in all.
#[test]
fn a_peer_that_is_heard_is_not_asked() {
    let mut talk = Talk::acquainted();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    talk.meet(&mut [&mut two, &mut three]);
    let (own, mut unanswered, mut heard, mut hellos) = (talk.node.incarnation(), 0, false, 0);
    for _ in 0..3000 {
        talk.pass(10);
        for opened in talk.said().iter().filter(|opened| opened.to == two.id) {
            if opened.kind == HELLO {
                assert_eq!(unanswered, 8);
                (unanswered, heard, hellos) = (0, false, hellos + 1);
            } else {
                unanswered += 1;
            }
        }
        if unanswered == 3 && !heard {
            talk.get(&two.message(OWN, own, &talk.question())).unwrap();
            (unanswered, heard) = (0, true);
        }
    }
    assert!(hellos > 3);
}

#[test]
fn counters_begin_with_1() {
    let mut talk = Talk::new();
    let mut two = Puppet::new(2);
    talk.get(&two.hello(OWN, 0)).unwrap();
    let said = talk.said();
    assert!([2, 3].iter().all(|id| said.iter().find(|opened| opened.to.0 == *id).unwrap().counter == 1));
    assert_eq!((said[0].kind, said[0].text[0]), (HELLO_REPLY, 1), "it has not asked yet");
}

/// The sum of the digests of three voters, by another implementation.
#[test]
fn a_hello_tells_the_digest_of_the_members() {
    assert_eq!(Talk::new().members(), 0x5DE0_4DBB);
}
