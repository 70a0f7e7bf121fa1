//! The hello exchange: how members learn of each other's starts.

use super::words;
use crate::{
    config::Config,
    types::{Incarnation, NodeId, Session, Suffrage, Term},
};

/// The sealed part of a hello and of its answer. A hello tells nothing but its sender's members; the rest is zero, there
/// to make it as long as the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The answer wants an answer.
    pub asks: bool,
    /// Digest of the members that the sender knows.
    pub members: u32,
    /// The latest start of the receiver that the sender knows.
    pub known: Incarnation,
    /// The latest term in which the receiver gave the sender its vote.
    pub voted: Term,
}

impl Hello {
    /// Bytes of its encoding.
    pub(crate) const SIZE: usize = 1 + 4 + 8 + 4 + 4 + 8;

    /// Reads it, the whole of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::SIZE {
            return None;
        }
        let (asks, rest) = bytes.split_first()?;
        let [members, low, high, boot, session, voted_low, voted_high] = words::read(rest)?;
        let (install_salt, boot) = words::start([low, high, boot]);
        Some(Self {
            asks: *asks == 1,
            members,
            known: Incarnation { install_salt, boot, session: Session(session) },
            voted: Term(u64::from(voted_low) | u64::from(voted_high) << 32),
        })
    }

    /// Writes it to the beginning of `bytes`.
    pub(crate) fn write(&self, bytes: &mut [u8]) -> Option<()> {
        let (asks, rest) = bytes.split_first_mut()?;
        *asks = self.asks.into();
        let [low, high, boot] = words::of_start(self.known.install_salt, self.known.boot);
        let Term(voted) = self.voted;
        words::write(rest, [self.members, low, high, boot, self.known.session.0, voted as u32, (voted >> 32) as u32])
    }
}

/// A hello, or an answer that asks, which has not been answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) asker: Incarnation,
    pub(crate) counter: u32,
    /// The answer may ask in turn: there is no end to it otherwise.
    pub(crate) may_ask: bool,
}

/// The same number for the same members in any order: the sum of the FNV-1a digests (32 bits) of each member's id,
/// little-endian, and suffrage: 0 voter, 1 witness, 2 observer.
pub(super) fn members_digest<const PEERS_MAX: usize>(config: &Config<PEERS_MAX>) -> u32 {
    config.members().fold(0, |sum, member| sum.wrapping_add(digest(member.id, member.suffrage)))
}

#[cfg_attr(target_os = "none", inline(never))]
fn digest(id: NodeId, suffrage: Suffrage) -> u32 {
    let [low, high] = id.0.to_le_bytes();
    let suffrage = match suffrage {
        Suffrage::Voter => 0,
        Suffrage::Witness => 1,
        Suffrage::Observer => 2,
    };
    [low, high, suffrage]
        .into_iter()
        .fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of another implementation.
    #[test]
    fn the_digest_is_the_one_that_is_specified() {
        for (id, suffrage, expected) in [
            (0x0102, Suffrage::Voter, 0xA27B_E3E4),
            (3, Suffrage::Witness, 0x8A97_AC95),
            (4, Suffrage::Observer, 0x5116_2DB1),
        ] {
            assert_eq!(digest(NodeId(id), suffrage), expected);
        }
    }

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        let known = Incarnation {
            install_salt: *b"12345678",
            boot: crate::types::Boot(0x0102_0304),
            session: Session(0x0506_0708),
        };
        let hello = Hello { asks: true, members: 0x090A_0B0C, known, voted: Term(0x1112_1314_1516_1718) };
        let mut bytes = [0; Hello::SIZE];
        hello.write(&mut bytes).unwrap();
        assert_eq!(bytes[Hello::SIZE - 8..], hello.voted.0.to_le_bytes());
        assert_eq!(Hello::read(&bytes), Some(hello));
    }
}
