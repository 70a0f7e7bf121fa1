//! What nodes have shown of themselves, and so what the network can carry.

use std::fmt;

use super::NODES;

/// What a node has shown to others: its word, which cannot be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Said {
    /// The latest term that it has saved.
    pub(super) term: u8,
    /// By term, a bit for each place of a node that it has voted for.
    pub(super) votes: [u8; TERMS_MAX + 1],
    /// A bit for each term that it has led.
    pub(super) led: u8,
}

/// The last term that can be looked at.
pub(super) const TERMS_MAX: usize = 6;

/// A step of a node that others can come to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Shown {
    /// A term or a vote, by the candidate's place, is on its disk.
    Saved { term: u8, vote: Option<u8> },
    /// It leads.
    Leads { term: u8 },
    /// It has broken these promises.
    Breaks(u8),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saved { term, vote: None } => write!(f, "saves term {term}"),
            Self::Saved { term, vote: Some(place) } => {
                write!(f, "saves its vote for node {} in term {term}", place + 1)
            }
            Self::Leads { term } => write!(f, "leads term {term}"),
            Self::Breaks(_) => f.write_str("breaks a promise"),
        }
    }
}

/// A message that comes in, by what matters of it to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Arrival {
    /// Place of the sender.
    pub(super) from: usize,
    pub(super) term: u8,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Heartbeat { fresh: bool },
    HeartbeatReply { steps_ago: u8, promise: bool, available: bool },
    PreVote,
    PreVoteGranted,
    Refused,
    Vote { released: u8 },
    VoteGranted,
    TimeoutNow { fresh: bool },
}

impl Arrival {
    /// All messages that can come to the node at place `to` in terms up to `term_max`.
    pub(super) fn all(to: usize, term_max: u8) -> Vec<Self> {
        let mut all = Vec::new();
        for from in (0..NODES).filter(|from| *from != to) {
            for term in 0..=term_max {
                all.extend(kinds(term).into_iter().map(|kind| Self { from, term, kind }));
            }
        }
        all
    }

    /// Whether a network that has all of `said` can bring this to the node at place `to`.
    ///
    /// Messages that promise nothing (that ask for a pre-vote or answer it, that refuse, that tell a term) can come
    /// whenever the sender has saved their term, whether it has sent them or not. The others need the word that they
    /// give: a vote that is saved, a term that is led.
    pub(super) const fn can_come(&self, to: usize, said: &[Said; NODES]) -> bool {
        let Said { term, votes, led } = said[self.from];
        let vote = votes[self.term as usize];
        self.term <= term
            && match self.kind {
                Kind::Heartbeat { .. } | Kind::TimeoutNow { .. } => led & (1 << self.term) != 0,
                Kind::Vote { .. } => vote & (1 << self.from) != 0,
                Kind::VoteGranted => vote & (1 << to) != 0,
                Kind::HeartbeatReply { .. } | Kind::PreVote | Kind::PreVoteGranted | Kind::Refused => true,
            }
    }
}

fn kinds(term: u8) -> Vec<Kind> {
    let mut kinds = vec![Kind::PreVote, Kind::PreVoteGranted, Kind::Refused, Kind::VoteGranted];
    for yes in [false, true] {
        kinds.extend([Kind::Heartbeat { fresh: yes }, Kind::TimeoutNow { fresh: yes }]);
        for promise in [false, true] {
            kinds.extend([0, 1].map(|steps_ago| Kind::HeartbeatReply { steps_ago, promise, available: yes }));
        }
    }
    kinds.extend((0..term).map(|released| Kind::Vote { released }));
    kinds
}
