//! Identities, and the record that must survive a crash.

use serde::{Deserialize, Serialize};

/// Identity of a node, unique in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NodeId(pub u16);

/// Identity of a cluster: datagrams of any other are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClusterId(pub [u8; 16]);

/// Number of an election; at most one leader is elected in each (thesis, section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Term(pub u64);

impl Term {
    /// The term after this one; the last one follows itself.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Number of a start of a node, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Boot(pub u32);

/// Part a member plays in elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Suffrage {
    /// Votes and campaigns.
    Voter,
    /// Votes and never campaigns: the third member that two servers need.
    Witness,
    /// Hears who leads and never votes.
    Observer,
}

impl Suffrage {
    /// Whether its vote counts towards a quorum.
    pub(crate) const fn votes(self) -> bool {
        matches!(self, Self::Voter | Self::Witness)
    }
}

/// What a node is at the moment (thesis, figure 3.3; pre-candidate: section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether an election could be won, without disturbing anyone.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// The record that must survive a crash, whole: what a node has promised to others.
///
/// Write it so that after a crash at any moment either the old or the new record is read, and hand it back to
/// [`crate::Endpoint::handle_persisted`] only when it is on stable storage. A node that has lost its record must not
/// start again under its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Saved {
    /// Random bytes drawn when the node was provisioned: tells two devices with one id apart.
    pub install_salt: [u8; 8],
    /// Number of this start.
    pub boot: Boot,
    /// Latest term seen; never falls.
    pub term: Term,
    /// Who got this node's vote in that term; never changes within a term.
    pub vote: Option<NodeId>,
}

impl Saved {
    /// Largest encoding, bytes.
    pub const SIZE_MAX: usize = 8 + 5 + 10 + 4;

    /// The record of a node that has never run.
    #[must_use]
    pub const fn provision(install_salt: [u8; 8]) -> Self {
        Self { install_salt, boot: Boot(0), term: Term(0), vote: None }
    }

    /// Encodes the record into `buffer` and returns the part used.
    ///
    /// # Errors
    /// None that a record can cause: the buffer holds the largest.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; Self::SIZE_MAX]) -> Result<&'a mut [u8], postcard::Error> {
        postcard::to_slice(self, buffer)
    }

    /// Decodes a record, the whole of `bytes`.
    ///
    /// # Errors
    /// The bytes are not a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        match postcard::take_from_bytes(bytes)? {
            (saved, []) => Ok(saved),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}
