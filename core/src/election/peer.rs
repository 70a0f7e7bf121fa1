//! What a node keeps about one peer.

use embassy_time::Instant;

use crate::{config::Member, types::Term, wire::Stamp};

/// A message owed to a peer, as the place of a bit, in the order of sending: answers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    HeartbeatReply = 0,
    VoteReply = 1,
    PreVoteReply = 2,
    TimeoutNow = 3,
    Heartbeat = 4,
    Vote = 5,
    PreVote = 6,
}

impl Owed {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The first of those whose bits these are.
    const fn first_of(bits: u8) -> Option<Self> {
        Some(match bits.trailing_zeros() {
            0 => Self::HeartbeatReply,
            1 => Self::VoteReply,
            2 => Self::PreVoteReply,
            3 => Self::TimeoutNow,
            4 => Self::Heartbeat,
            5 => Self::Vote,
            6 => Self::PreVote,
            _ => return None,
        })
    }
}

/// What a node keeps about one peer. Owed messages are a set: a second one of a kind replaces the first. Small fields come
/// first, as in [`super::Election`].
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Peer {
    /// What the configuration says of it.
    pub(crate) member: Member,
    owed: u8,
    /// The peer would take the leadership over.
    pub(crate) available: bool,
    /// The latest heartbeat was fresh, so that its answer may promise.
    pub(crate) heartbeat_fresh: bool,
    /// A heartbeat out of turn has been sent for the peer's stamp.
    pub(crate) hurried: bool,
    /// The peer's term when it last asked for a vote or a pre-vote.
    pub(crate) asked_term: Term,
    /// The peer's latest stamp.
    pub(crate) stamp: Stamp,
    /// When the latest heartbeat that the peer has answered was sent.
    pub(crate) acked: Instant,
    /// Until when, by this node's clock, the peer votes for nobody else.
    pub(crate) promised_until: Instant,
    /// Since when the peer has answered without a gap; if it leads, since when it has been heard without one.
    pub(crate) healthy_since: Instant,
}

impl Peer {
    pub(crate) const fn new(member: Member, now: Instant) -> Self {
        Self {
            member,
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

    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn take_owed(&mut self) -> Option<Owed> {
        let owed = Owed::first_of(self.owed)?;
        self.owed &= !owed.bit();
        Some(owed)
    }

    /// Notes a stamp of the peer, which may have come late.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn learn(&mut self, stamp: Stamp) {
        self.stamp = self.stamp.max(stamp);
    }

    /// A new term, whose leader's clock is not known yet; or a new start, whose clock may have begun anew.
    pub(crate) const fn forget_clock(&mut self) {
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
