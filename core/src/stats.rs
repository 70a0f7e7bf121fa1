//! Counts, and the reason of the latest change of state.

use embassy_time::Instant;

use crate::{
    types::{NodeId, Term},
    wire::Verdict,
};

/// Why a node is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// It has just started.
    Started,
    /// It heard this leader.
    LeaderHeard {
        /// Who leads.
        leader: NodeId,
    },
    /// It heard no leader for an election timeout.
    LeaderSilent {
        /// Milliseconds since it heard one; the largest number if it never has.
        ago_ms: u32,
    },
    /// Its pre-vote was refused.
    PreVoteRefused {
        /// By whom.
        by: NodeId,
        /// Why.
        verdict: Verdict,
    },
    /// It asked for votes.
    Campaigned {
        /// Term whose leader let go in its favour; 0 if none did.
        released: Term,
    },
    /// Its request for a vote was refused.
    VoteRefused {
        /// By whom.
        by: NodeId,
        /// Why.
        verdict: Verdict,
    },
    /// Its election ended without a winner that it heard of.
    ElectionUndecided {
        /// Votes it got.
        votes: u32,
    },
    /// It gave its vote.
    VotedFor {
        /// To whom.
        candidate: NodeId,
    },
    /// It won an election.
    Elected {
        /// Votes that had been counted then.
        votes: u32,
    },
    /// It heard of a later term.
    HigherTerm {
        /// From whom.
        from: NodeId,
        /// The term.
        term: Term,
    },
    /// It led, and has not heard from a quorum for an election timeout.
    QuorumLost,
    /// It is handing its leadership over.
    HandingOver {
        /// To whom.
        to: NodeId,
    },
    /// The successor did not take over in time.
    HandoverFailed,
    /// It was told not to campaign.
    Paused,
}

/// Counts since the start; they stop at the largest number.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stats {
    /// The latest change or obstacle, and when it came.
    pub latest: (Instant, Reason),
    /// Pre-vote rounds begun.
    pub pre_votes: u32,
    /// Elections begun.
    pub elections: u32,
    /// Datagrams accepted.
    pub datagrams_accepted: u32,
    /// Datagrams refused.
    pub datagrams_refused: u32,
    /// Messages that no correct peer sends: a second leader in a term, a leader that is no voter.
    pub impossible: u32,
}

impl Stats {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            latest: (now, Reason::Started),
            pre_votes: 0,
            elections: 0,
            datagrams_accepted: 0,
            datagrams_refused: 0,
            impossible: 0,
        }
    }

    pub(crate) fn note(&mut self, now: Instant, reason: Reason) {
        self.latest = (now, reason);
    }
}
