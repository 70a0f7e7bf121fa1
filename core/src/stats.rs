//! Counts, and the reasons of the latest change and of what stands in the way.

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
    /// It was told of a later term from outside the cluster.
    TermRaised {
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
    /// Its peers know another start of it than this one.
    Retired,
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Started => f.write_str("just started"),
            Self::LeaderHeard { leader } => write!(f, "heard leader {}", leader.0),
            Self::LeaderSilent { ago_ms: u32::MAX } => f.write_str("no leader heard since the start"),
            Self::LeaderSilent { ago_ms } => write!(f, "no leader heard for {ago_ms} ms"),
            Self::PreVoteRefused { by, verdict } => write!(f, "pre-vote refused by {}: {verdict}", by.0),
            Self::Campaigned { released: Term(0) } => f.write_str("asked for votes"),
            Self::Campaigned { released } => write!(f, "asked for votes, as the leader of term {} let go", released.0),
            Self::VoteRefused { by, verdict } => write!(f, "vote refused by {}: {verdict}", by.0),
            Self::ElectionUndecided { votes } => write!(f, "election undecided, votes: {votes}"),
            Self::VotedFor { candidate } => write!(f, "voted for {}", candidate.0),
            Self::Elected { votes } => write!(f, "elected, votes: {votes}"),
            Self::HigherTerm { from, term } => write!(f, "heard of term {} from {}", term.0, from.0),
            Self::TermRaised { term } => write!(f, "told of term {} from outside", term.0),
            Self::QuorumLost => f.write_str("lost contact with a quorum"),
            Self::HandingOver { to } => write!(f, "handing over to {}", to.0),
            Self::HandoverFailed => f.write_str("the successor did not take over in time"),
            Self::Paused => f.write_str("told not to campaign"),
            Self::Retired => f.write_str("retired"),
        }
    }
}

/// Counts since the start; they stop at the largest number.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stats {
    /// The latest change of what the node is, and when it came.
    pub change: (Instant, Reason),
    /// The latest change or obstacle: that change, or a refusal after it.
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
            change: (now, Reason::Started),
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
        if !matches!(reason, Reason::PreVoteRefused { .. } | Reason::VoteRefused { .. }) {
            self.change = self.latest;
        }
    }
}
