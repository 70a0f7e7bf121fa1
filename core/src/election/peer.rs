//! What a node keeps about one peer.

use embassy_time::Instant;

use crate::{types::Term, wire::Stamp};

/// A message owed to a peer, in the order of sending: answers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    HeartbeatReply,
    VoteReply,
    PreVoteReply,
    TimeoutNow,
    Heartbeat,
    Vote,
    PreVote,
}

impl Owed {
    const ALL: [Self; 7] = [
        Self::HeartbeatReply,
        Self::VoteReply,
        Self::PreVoteReply,
        Self::TimeoutNow,
        Self::Heartbeat,
        Self::Vote,
        Self::PreVote,
    ];

    const fn bit(self) -> u8 {
        match self {
            Self::HeartbeatReply => 1,
            Self::VoteReply => 2,
            Self::PreVoteReply => 4,
            Self::TimeoutNow => 8,
            Self::Heartbeat => 16,
            Self::Vote => 32,
            Self::PreVote => 64,
        }
    }
}

/// What a node keeps about one peer. Owed messages are a set: a second one of a kind replaces the first.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    owed: u8,
    /// The peer would take the leadership over.
    pub(crate) available: bool,
    /// The latest heartbeat was fresh, so that its answer may promise.
    pub(crate) heartbeat_fresh: bool,
    /// A heartbeat out of turn has been sent for the peer's stamp.
    pub(crate) hurried: bool,
    /// The peer's term when it last asked for a pre-vote.
    pub(crate) asked_term: Term,
    /// The peer's latest stamp.
    pub(crate) stamp: Stamp,
    /// When the latest heartbeat that the peer has answered was sent.
    pub(crate) acked: Instant,
    /// Until when, by this node's clock, the peer votes for nobody else.
    pub(crate) promised_until: Instant,
    /// Since when the peer has answered without a gap.
    pub(crate) healthy_since: Instant,
}

impl Peer {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            owed: 0,
            available: false,
            heartbeat_fresh: false,
            hurried: false,
            asked_term: Term(0),
            stamp: Stamp(0),
            acked: now,
            promised_until: Instant::MIN,
            healthy_since: now,
        }
    }

    pub(crate) const fn owe(&mut self, owed: Owed) {
        self.owed |= owed.bit();
    }

    pub(crate) const fn owes_something(&self) -> bool {
        self.owed != 0
    }

    pub(crate) fn take_owed(&mut self) -> Option<Owed> {
        let owed = Owed::ALL.into_iter().find(|owed| self.owed & owed.bit() != 0)?;
        self.owed &= !owed.bit();
        Some(owed)
    }

    /// A new term: its leader's clock is not known yet.
    pub(crate) const fn forget_term(&mut self) {
        self.stamp = Stamp(0);
        self.heartbeat_fresh = false;
    }

    /// A new leadership of this node.
    pub(crate) const fn begin_leadership(&mut self, now: Instant) {
        self.available = false;
        self.hurried = false;
        self.acked = now;
        self.promised_until = Instant::MIN;
        self.healthy_since = now;
    }
}
