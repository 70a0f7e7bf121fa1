//! A clock that falls back: the latest moment seen counts, for the channels as for the election.

#![allow(clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

use crate::common::puppet::{self, Answer, Puppet};
use symphony_core::{
    Boot, Config, DATAGRAM_SIZE_MAX, Duration, Endpoint, Instant, Member, NodeId, Saved, Session, Timing,
};

type Node = Endpoint<1>;

/// Saves, and takes out all that waits; returns the last datagram.
fn drain(node: &mut Node, now: Instant) -> Vec<u8> {
    let (mut buffer, mut last) = ([0; DATAGRAM_SIZE_MAX], Vec::new());
    while let Some(saved) = node.poll_persist() {
        node.handle_persisted(now, &saved);
    }
    while let Some(transmit) = node.poll_transmit(now, &mut buffer) {
        last = buffer[..transmit.len].to_vec();
    }
    while node.poll_event(now).is_some() {}
    last
}

#[test]
fn a_hello_heard_on_a_clock_that_fell_back_does_not_make_the_node_spin() {
    let members = [1, 2].map(Member::voter);
    let config = Config::new(puppet::CLUSTER, NodeId(1), &members, Timing::LOCAL, puppet::keys(), 5).unwrap();
    let seen = Instant::from_secs(10_000);
    let mut node = Node::new(config, Saved::provision([1; 8]), seen);
    let mut peer = Puppet::new(2);
    let hello = peer.open(node.incarnation(), &drain(&mut node, seen)).unwrap();
    let members = u32::from_le_bytes(hello.text[1..5].try_into().unwrap());
    let answer = Answer { members, ..Answer::default() };
    let mut reply = peer.reply(NodeId(1), node.incarnation(), hello.counter, answer);
    node.handle_datagram(seen, &mut reply).unwrap();
    drain(&mut node, seen);
    node.handle_timeout(seen + Duration::from_secs(1));
    drain(&mut node, seen + Duration::from_secs(1));

    let fallen = seen - Duration::from_secs(3600);
    (peer.incarnation.boot, peer.incarnation.session, peer.counter) = (Boot(2), Session(8), 0);
    node.handle_datagram(fallen, &mut peer.hello(NodeId(1), members)).unwrap();
    for _ in 0..3 {
        node.handle_timeout(fallen);
        drain(&mut node, fallen);
    }
    assert!(node.next_deadline() > seen + Duration::from_secs(1), "it wants to be called again at once");
}
