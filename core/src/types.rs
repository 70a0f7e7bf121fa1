//! Identities, and the record that must survive a crash.

mod record;

use heapless::Vec;
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

/// Number of a start of a node, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Boot(pub u32);

/// Number of a start, drawn at random: tells two starts with one boot apart. Never 0, which stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Session(pub u32);

/// One start of one installation of a node. All zero if none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Incarnation {
    /// Random bytes of the installation.
    pub install_salt: [u8; 8],
    /// Number of the start.
    pub boot: Boot,
    /// Its random number.
    pub session: Session,
}

impl Incarnation {
    pub(crate) fn is_known(&self) -> bool {
        self.session != Session(0)
    }
}

/// The latest start of a peer that has proven itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KnownPeer {
    /// The peer.
    pub id: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
}

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

impl core::fmt::Display for Role {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        })
    }
}

/// The record that must survive a crash, whole: what a node has promised to others, and whom it has met.
///
/// Write it so that after a crash at any moment either the old or the new record is read, and hand it back to
/// [`crate::Endpoint::handle_persisted`] only when it is on stable storage. A node that has lost its record must not
/// start again under its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Saved<const PEERS_MAX: usize> {
    /// Random bytes drawn when the node was provisioned: tells two devices with one id apart.
    pub install_salt: [u8; 8],
    /// Number of this start.
    pub boot: Boot,
    /// Latest term seen; never falls.
    pub term: Term,
    /// Who got this node's vote in that term; never changes within a term.
    pub vote: Option<NodeId>,
    /// Peers have shown that this record is not the one they know of this node: it must never speak again.
    pub retired: bool,
    /// The peers' latest starts, in the order of the configuration.
    pub peers: Vec<KnownPeer, PEERS_MAX, u8>,
}

impl<const PEERS_MAX: usize> Saved<PEERS_MAX> {
    /// The record of a node that has never run.
    #[must_use]
    pub const fn provision(install_salt: [u8; 8]) -> Self {
        Self { install_salt, boot: Boot(0), term: Term(0), vote: None, retired: false, peers: Vec::new() }
    }

    /// Counts a start. A node that has no number left for it retires.
    pub(crate) const fn count_start(&mut self) {
        match self.boot.0.checked_add(1) {
            Some(boot) => self.boot.0 = boot,
            None => self.retired = true,
        }
    }
}
