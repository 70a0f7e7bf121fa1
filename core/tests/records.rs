//! The record on the disk: its size.

#![allow(clippy::unwrap_used, reason = "a test that goes wrong may panic")]

use symphony_core::{Boot, Incarnation, KnownPeer, NodeId, Saved, Session, Term};

#[test]
fn the_largest_record_fills_its_buffer() {
    let incarnation = Incarnation { install_salt: [u8::MAX; 8], boot: Boot(u32::MAX), session: Session(u32::MAX) };
    let record = Saved::<63> {
        boot: Boot(u32::MAX),
        term: Term(u64::MAX),
        vote: Some(NodeId(u16::MAX)),
        retired: true,
        peers: [KnownPeer { id: NodeId(u16::MAX), incarnation }; 63].into(),
        ..Saved::provision([u8::MAX; 8])
    };
    let mut buffer = [0; Saved::<63>::SIZE_MAX];
    assert_eq!(record.encode(&mut buffer).unwrap().len(), Saved::<63>::SIZE_MAX);
}
