//! The number that is used once.

use super::words;
use crate::types::{Incarnation, NodeId};

/// `install_salt 8 | boot 4 | from 2 | to 2 | session 4 | counter 4`, little-endian: who sends to whom, in which start,
/// and how many datagrams before. No two datagrams under a key share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// What stays the same for a pair of nodes and a boot: its first 16 bytes, as words.
    pub(super) same: [u32; 4],
    /// What changes: its last 8 bytes, as words.
    pub(super) changing: [u32; 2],
}

impl Nonce {
    pub(crate) fn new(sender: &Incarnation, from: NodeId, to: NodeId, counter: u32) -> Self {
        let [low, high, boot] = words::of_start(sender.install_salt, sender.boot);
        Self { same: [low, high, boot, words::joined(from.0, to.0)], changing: [sender.session.0, counter] }
    }
}
