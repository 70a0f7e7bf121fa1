//! Bytes and operations from anywhere: nothing panics, and what is refused changes nothing.

mod common;

use common::Cluster;
use proptest::prelude::*;
use symphony_core::{ClusterId, Command, Config, DATAGRAM_SIZE_MAX, Duration, Instant, Member, NodeId, Saved, Timing};

/// One thing that can happen to a node.
#[derive(Clone, Debug)]
enum Operation {
    Datagram(Vec<u8>),
    Message { from: u16, body: Vec<u8> },
    Time(u64),
    Persist { acknowledge: bool },
    Command(u8, u16),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..=DATAGRAM_SIZE_MAX + 8).prop_map(Operation::Datagram),
        (0..6_u16, proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(from, body)| Operation::Message { from, body }),
        prop_oneof![0..400_000_u64, any::<u64>()].prop_map(Operation::Time),
        any::<bool>().prop_map(|acknowledge| Operation::Persist { acknowledge }),
        (0..5_u8, 0..6_u16).prop_map(|(command, to)| Operation::Command(command, to)),
    ]
}

/// A datagram with a header that passes and a message that may not.
fn datagram(from: u16, body: &[u8]) -> Vec<u8> {
    let mut datagram = vec![1, 1, 1, 1, 1];
    datagram.extend(from.to_le_bytes());
    datagram.extend(1_u16.to_le_bytes());
    datagram.extend(body);
    datagram
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_and_no_order_of_calls_make_a_node_panic_or_break_its_word(
        operations in proptest::collection::vec(operation(), 1..60),
        start in any::<u64>(),
    ) {
        let members = [Member::voter(1), Member::voter(2).with_priority(3), Member::voter(3), Member::witness(4)];
        let config = Config::<3>::new(ClusterId([1; 16]), NodeId(1), &members, Timing::LOCAL, 5).unwrap();
        let mut now = Instant::from_ticks(start);
        let mut node = symphony_core::Endpoint::new(config, Saved::provision([1; 8]), now);
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        let mut before = *node.saved();
        let mut on_disk = None;
        for operation in operations {
            match operation {
                Operation::Datagram(mut bytes) => drop(node.handle_datagram(now, &mut bytes)),
                Operation::Message { from, body } => drop(node.handle_datagram(now, &mut datagram(from, &body))),
                Operation::Time(ticks) => {
                    now = now.saturating_add(Duration::from_ticks(ticks));
                    node.handle_timeout(now);
                }
                Operation::Persist { acknowledge } => {
                    if let Some(saved) = node.poll_persist() && acknowledge {
                        node.handle_persisted(now, &saved);
                        on_disk = Some(saved);
                    }
                }
                Operation::Command(command, to) => {
                    let command = match command {
                        0 => Command::Transfer(None),
                        1 => Command::Transfer(Some(NodeId(to))),
                        2 => Command::Resign,
                        3 => Command::Pause,
                        _ => Command::Resume,
                    };
                    let _ = node.handle_command(now, command);
                }
            }
            let saved = *node.saved();
            prop_assert!(saved.term >= before.term, "a term fell");
            prop_assert!(saved.term > before.term || before.vote.is_none() || saved.vote == before.vote, "a vote changed");
            before = saved;
            let mut sent = 0;
            while let Some(transmit) = node.poll_transmit(now, &mut buffer) {
                sent += 1;
                prop_assert!(sent <= 3 * 7, "more messages than kinds for every peer");
                prop_assert_eq!(on_disk, Some(saved), "sent before it was saved");
                prop_assert!(transmit.len <= DATAGRAM_SIZE_MAX && transmit.to != NodeId(1));
            }
            while node.poll_event(now).is_some() {}
            let _ = (node.next_deadline(), node.lease(now), node.peers(now).count());
        }
    }

    #[test]
    fn a_datagram_that_is_refused_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut cluster = Cluster::voters(3);
        let leader = cluster.elect();
        let now = cluster.now;
        let node = cluster.node(leader);
        let (saved, deadline) = (*node.saved(), node.next_deadline());
        if node.handle_datagram(now, &mut bytes.clone()).is_err() {
            prop_assert_eq!(*node.saved(), saved);
            prop_assert_eq!(node.next_deadline(), deadline);
        }
    }
}
