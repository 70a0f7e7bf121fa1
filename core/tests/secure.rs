//! What somebody on the path can do to a node: nothing but drop its datagrams. One test for each hole that a protocol of
//! this kind may have.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

use crate::common::puppet::{self, Answer, HELLO, HELLO_REPLY, Puppet};
use crate::common::talk::{OWN, Talk};
use symphony_core::{Boot, DATAGRAM_SIZE_MAX, DatagramError, Duration, Incarnation, Key, KeyRing, Session};

#[test]
fn a_datagram_is_refused_for_its_first_mistake() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let receiver = talk.node.incarnation();
    let good = two.message(OWN, receiver, &talk.question());
    let with = |at: usize, byte: u8| {
        let mut datagram = good.clone();
        datagram[at] = byte;
        datagram
    };
    let long = |len: usize| {
        let mut datagram = good.clone();
        datagram.resize(len, 0);
        datagram
    };
    let hello = two.hello(OWN, 0);
    let other_suite = if cfg!(feature = "ascon") { 0x10 } else { 0x20 };
    for (name, datagram, error) in [
        ("empty", vec![], DatagramError::Malformed),
        ("shorter than a header", good[..19].to_vec(), DatagramError::Malformed),
        ("a header alone", good[..20].to_vec(), DatagramError::Malformed),
        ("shorter than a tag", good[..35].to_vec(), DatagramError::Malformed),
        ("a hello without its own header", hello[..35].to_vec(), DatagramError::Malformed),
        ("a hello without a tag", hello[..51].to_vec(), DatagramError::Malformed),
        ("cut", good[..good.len() - 1].to_vec(), DatagramError::Forged),
        ("a byte too many", long(good.len() + 1), DatagramError::Forged),
        ("as long as may be", long(DATAGRAM_SIZE_MAX), DatagramError::Forged),
        ("longer", long(DATAGRAM_SIZE_MAX + 1), DatagramError::Malformed),
        ("an unknown kind", with(0, good[0] | 3), DatagramError::Version),
        ("version 0", with(0, 0), DatagramError::Version),
        ("another cipher", with(0, other_suite), DatagramError::Version),
        ("another cluster", with(6, 2), DatagramError::Cluster),
        ("for another", with(4, 2), DatagramError::Receiver),
        ("from itself", with(2, 1), DatagramError::Sender),
        ("from a stranger", with(2, 4), DatagramError::Sender),
        ("another start of the sender", with(8, 9), DatagramError::Session),
        ("another start of the receiver", with(12, good[12] ^ 1), DatagramError::Session),
        ("counter 0", two.clone_at(u32::MAX).message(OWN, receiver, b""), DatagramError::Replayed),
        ("under another key", with(1, 2), DatagramError::Key),
        ("another counter", with(16, 77), DatagramError::Forged),
    ] {
        assert_eq!(talk.get(&datagram), Err(error), "{name}");
        assert!(!talk.speaks(), "{name}");
    }
    assert_eq!(talk.get(&good), Ok(()));
    assert!(talk.speaks());
    let (accepted, refused) = (talk.node.stats().datagrams_accepted, talk.node.stats().datagrams_refused);
    assert_eq!((accepted, refused), (1, 22));
}

/// What a member seals is a member's, but need not be a message.
#[test]
fn garbage_behind_a_right_seal_is_refused() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let receiver = talk.node.incarnation();
    for garbage in [&b""[..], &[0; 60], &[0xFF; 92], b"\x00\x09", b"\x00\x02\x01\x00"] {
        let datagram = two.message(OWN, receiver, garbage);
        assert_eq!(talk.get(&datagram), Err(DatagramError::Malformed));
        assert_eq!(talk.get(&datagram), Err(DatagramError::Replayed), "it was a member's all the same");
    }
    let short = two.seal(HELLO, OWN, Incarnation::default(), 0, &[0; 28]);
    assert_eq!(talk.get(&short), Err(DatagramError::Malformed));
}

#[test]
fn no_bit_of_a_datagram_can_be_changed() {
    let mut talk = Talk::new();
    let (mut two, mut three) = (Puppet::new(2), Puppet::new(3));
    talk.meet(&mut [&mut two, &mut three]);
    let own = talk.node.incarnation();
    let message = two.message(OWN, own, &talk.question());
    let hello = two.hello(OWN, 0);
    three.incarnation.boot = Boot(2);
    let other = three.hello(OWN, 0);
    talk.get(&other).unwrap();
    let asked = talk.said_to(&three).into_iter().find(|opened| opened.kind == HELLO_REPLY).unwrap();
    let reply = three.reply(OWN, own, asked.counter, Answer::default());
    for (datagram, has_budget) in [(hello, true), (message, false), (reply, true)] {
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let before = talk.disk.clone();
            if has_budget {
                // Few are opened in a short time.
                talk.now += Duration::from_millis(10);
            }
            let error = talk.get(&changed).unwrap_err();
            assert!(!matches!(error, DatagramError::Flood | DatagramError::Malformed), "bit {bit}: {error}");
            assert_eq!(talk.disk, before);
        }
        assert_eq!(talk.get(&datagram), Ok(()));
    }
}

#[test]
fn a_datagram_is_taken_once_and_late_ones_within_the_window() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let (own, question) = (talk.node.incarnation(), talk.question());
    let datagrams: Vec<_> = (0..70).map(|_| two.message(OWN, own, &question)).collect();
    assert_eq!(talk.get(&datagrams[69]), Ok(()));
    assert_eq!(talk.get(&datagrams[69]), Err(DatagramError::Replayed));
    assert_eq!(talk.get(&datagrams[6]), Ok(()), "63 behind");
    assert_eq!(talk.get(&datagrams[6]), Err(DatagramError::Replayed));
    assert_eq!(talk.get(&datagrams[5]), Err(DatagramError::Replayed), "64 behind: too old to tell");
    assert_eq!(talk.get(&datagrams[40]), Ok(()));
}

/// Whatever was decrypted of it.
#[test]
fn the_text_of_a_forgery_is_wiped() {
    let mut talk = Talk::acquainted();
    let mut forged = Puppet::new(2).message(OWN, talk.node.incarnation(), &talk.question());
    let (len, tag) = (forged.len(), forged[forged.len() - 1]);
    forged[len - 1] ^= 1;
    assert_eq!(talk.node.handle_datagram(talk.now, &mut forged), Err(DatagramError::Forged));
    assert!(forged[20..len - 16].iter().all(|byte| *byte == 0));
    assert_eq!(forged[len - 1], tag ^ 1);
}

/// A forged high counter would shut the true sender out, if the window moved before the tag was checked.
#[test]
fn a_forged_counter_does_not_move_the_window() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let (own, question) = (talk.node.incarnation(), talk.question());
    let mut forged = two.message(OWN, own, &question);
    forged[16..20].fill(0xFF);
    assert_eq!(talk.get(&forged), Err(DatagramError::Forged));
    assert_eq!(talk.get(&two.message(OWN, own, &question)), Ok(()));
}

#[test]
fn a_datagram_of_another_start_is_refused() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let question = talk.question();
    let early = two.message(OWN, talk.node.incarnation(), &question);
    talk.restart(talk.disk.clone());
    assert_eq!(talk.get(&early), Err(DatagramError::Session), "sealed for the start before this");
    let own = talk.node.incarnation();
    let same_session = Incarnation { boot: Boot(own.boot.0 - 1), ..own };
    assert_eq!(
        talk.get(&two.message(OWN, same_session, &question)),
        Err(DatagramError::Forged),
        "the boot is sealed in"
    );
    let same_start = Incarnation { install_salt: [7; 8], ..own };
    assert_eq!(talk.get(&two.message(OWN, same_start, &question)), Err(DatagramError::Forged), "and the salt");
    for incarnation in [
        Incarnation { session: Session(8), ..two.incarnation },
        Incarnation { boot: Boot(2), ..two.incarnation },
        Incarnation { install_salt: [7; 8], ..two.incarnation },
    ] {
        let mut other = Puppet { incarnation, ..two.clone() };
        assert!(
            talk.get(&other.message(OWN, own, &question)).is_err(),
            "of a start that has not been met: {incarnation:?}"
        );
    }
    assert_eq!(talk.get(&two.message(OWN, own, &question)), Ok(()));
}

#[test]
fn what_a_node_has_sent_does_not_reach_it_again() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet::new(2);
    let question = two.message(OWN, talk.node.incarnation(), &talk.question());
    talk.get(&question).unwrap();
    for (_, mut datagram) in talk.sent() {
        assert_eq!(talk.get(&datagram), Err(DatagramError::Receiver));
        datagram.copy_within(2..4, 4);
        assert_eq!(talk.get(&datagram), Err(DatagramError::Sender));
        datagram[2] = 2;
        assert!(talk.get(&datagram).is_err());
    }
}

#[test]
fn another_cluster_with_the_same_key_is_not_heard() {
    let mut talk = Talk::acquainted();
    let own = talk.node.incarnation();
    let question = talk.question();
    let mut other = puppet::CLUSTER;
    other.0[15] ^= 1;
    let mut two = Puppet { cluster: other, ..Puppet::new(2) };
    assert_eq!(talk.get(&two.message(OWN, own, &question)), Err(DatagramError::Forged), "the same two first bytes");
    assert_eq!(talk.get(&two.hello(OWN, 0)), Err(DatagramError::Forged));
    other.0[1] ^= 1;
    two.cluster = other;
    assert_eq!(talk.get(&two.hello(OWN, 0)), Err(DatagramError::Cluster));
}

#[test]
fn who_has_not_the_key_is_not_heard() {
    let mut talk = Talk::acquainted();
    let mut two = Puppet { key: (1, [8; 32]), ..Puppet::new(2) };
    let own = talk.node.incarnation();
    assert_eq!(talk.get(&two.message(OWN, own, &talk.question())), Err(DatagramError::Forged));
    assert_eq!(talk.get(&two.hello(OWN, 0)), Err(DatagramError::Forged));
    let hello = talk.hello_to(&two);
    assert_eq!(talk.get(&two.reply(OWN, own, hello.counter, Answer::default())), Err(DatagramError::Forged));
}

/// Receive everywhere, then send, then remove: at every step all are heard.
#[test]
fn keys_change_without_a_gap() {
    let (old, new) = (Key::new(puppet::KEY_ID, puppet::SECRET), Key::new(2, [4; 32]));
    let mut talk = Talk::acquainted();
    let own = talk.node.incarnation();
    let mut with_old = Puppet::new(2);
    let mut with_new = Puppet { key: (2, [4; 32]), ..Puppet::new(3) };
    let question = talk.question();
    let mut step = |keys: KeyRing, old_heard: bool, new_heard: bool, sends: u8| {
        talk.node.set_keys(keys);
        let key_unknown = Err(DatagramError::Key);
        let expected = |heard: bool| if heard { Ok(()) } else { key_unknown };
        assert_eq!(talk.get(&with_old.message(OWN, own, &question)), expected(old_heard));
        assert_eq!(talk.get(&with_new.message(OWN, own, &question)), expected(new_heard));
        let sent = talk.sent();
        assert!(!sent.is_empty() && sent.iter().all(|(_, datagram)| datagram[1] == sends));
    };
    step(KeyRing::new(old.clone()), true, false, 1);
    step(KeyRing::new(old.clone()).also_receiving(new.clone()), true, true, 1);
    step(KeyRing::new(new.clone()).also_receiving(old), true, true, 2);
    step(KeyRing::new(new), false, true, 2);
}

#[test]
fn a_key_is_not_shown() {
    let shown = format!("{:?}", KeyRing::new(Key::new(3, [0xAB; 32])));
    assert!(shown.contains("Key(3)") && !shown.to_lowercase().contains("ab") && !shown.contains("171"), "{shown}");
}

/// For counts by reason.
#[test]
fn a_mistake_is_named_by_one_word() {
    for error in [
        DatagramError::Malformed,
        DatagramError::Version,
        DatagramError::Cluster,
        DatagramError::Receiver,
        DatagramError::Sender,
        DatagramError::Key,
        DatagramError::Session,
        DatagramError::Replayed,
        DatagramError::Flood,
        DatagramError::Forged,
        DatagramError::Retired,
    ] {
        assert_eq!(error.name(), format!("{error:?}").to_lowercase());
    }
}
