//! Bytes and operations from anywhere: nothing panics, and what is refused changes nothing. The fuzz targets in
//! `tests/fuzz` hold the core to the same.

use crate::common::subject::{self, Conversation, Stage, Story, Subject};
use proptest::prelude::*;
use symphony_core::Role;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_node_panic_or_break_its_word(bytes in bytes(150)) {
        subject::hold_raw_bytes(&bytes);
    }

    #[test]
    fn no_messages_make_a_node_panic_or_break_its_word(
        conversation in bytes(1200).prop_filter_map("too short", |bytes| subject::read::<Conversation>(&bytes)),
    ) {
        subject::hold_messages(&conversation);
    }

    #[test]
    fn no_order_of_calls_makes_a_node_panic_or_break_its_word(
        story in bytes(1200).prop_filter_map("too short", |bytes| subject::read::<Story>(&bytes)),
    ) {
        subject::hold_operations(&story);
    }
}

/// The stages that the tests above start from are what they say.
#[test]
fn a_node_is_led_to_every_stage() {
    let roles = [
        (Stage::New, Role::Follower, false),
        (Stage::Follower, Role::Follower, false),
        (Stage::Free, Role::Follower, false),
        (Stage::PreCandidate, Role::PreCandidate, false),
        (Stage::Candidate, Role::Candidate, false),
        (Stage::Leader, Role::Leader, false),
        (Stage::LeaderWithLease, Role::Leader, true),
        (Stage::LeaderHandingOver, Role::Leader, false),
    ];
    for (stage, role, lease) in roles {
        let subject = Subject::at(1, 0, stage);
        assert_eq!((subject.role(), subject.has_lease()), (role, lease), "{stage:?}");
    }
}
