//! Messages between nodes: postcard, from and into buffers of the caller.

use embassy_time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use crate::types::Term;

/// Bytes of the largest datagram.
pub const DATAGRAM_SIZE_MAX: usize = 128;

/// A moment on the clock of the node that made it, milliseconds since its start, rounded down. Others only echo it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stamp(pub u64);

impl Stamp {
    /// The stamp of `instant`.
    #[must_use]
    pub fn of(instant: Instant) -> Self {
        Self(instant.as_millis())
    }

    /// Its moment, up to a millisecond before the instant it was made from.
    pub(crate) fn instant(self) -> Instant {
        Instant::try_from_millis(self.0).unwrap_or(Instant::MAX)
    }

    /// Time since then on the same clock; none for a stamp of the future, which this clock did not make.
    pub(crate) fn age(self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.instant())
    }
}

/// What one node says to another, with its current term (thesis, figure 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Message {
    /// The sender's term.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// The kinds of message. The order is the wire's: new kinds go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Body {
    /// "I lead." Answered by [`Body::HeartbeatReply`].
    Heartbeat {
        /// Leader's clock.
        sent: Stamp,
        /// The receiver's latest stamp that the leader has: shows the receiver that the leader is alive now.
        echo: Stamp,
    },
    /// "I follow."
    HeartbeatReply {
        /// The heartbeat's `sent`.
        echo: Stamp,
        /// Follower's clock.
        sent: Stamp,
        /// For how long from the heartbeat's arrival the follower votes for nobody else, milliseconds of its clock; 0 if
        /// it promises nothing.
        promise_ms: u32,
        /// The follower would take the leadership over.
        available: bool,
    },
    /// "Would you vote for me in the next term?" (thesis, section 9.6.)
    PreVote {
        /// Candidate's clock at the start of this round.
        round: Stamp,
    },
    /// Answer to [`Body::PreVote`].
    PreVoteReply {
        /// The request's `round`.
        round: Stamp,
        /// Yes, or why not.
        verdict: Verdict,
    },
    /// "Vote for me in this term."
    Vote {
        /// Term whose leader has let go of its leadership in favour of this candidate; 0 if none has. Voters need not
        /// stand by a leader of that term or an earlier one (thesis, section 4.2.3).
        released: Term,
    },
    /// Answer to [`Body::Vote`].
    VoteReply {
        /// Yes, or why not.
        verdict: Verdict,
        /// Voter's clock, which the new leader's first heartbeat echoes.
        sent: Stamp,
    },
    /// "Campaign now, I let go" (thesis, section 3.10).
    TimeoutNow {
        /// The receiver's latest stamp that the leader has.
        echo: Stamp,
    },
}

/// Answer to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// Yes.
    Granted,
    /// No: the voter stands by a leader that it heard this long ago, milliseconds.
    HeardLeader {
        /// Milliseconds.
        ago_ms: u32,
    },
    /// No: the candidate's term is over.
    StaleTerm,
    /// No: the vote of this term is given to another.
    AlreadyVoted,
    /// No: the voter has no vote, or the candidate may not campaign.
    NotEligible,
}

/// Encodes a message into `buffer` and returns the bytes used.
pub(crate) fn encode(message: &Message, buffer: &mut [u8]) -> Option<usize> {
    postcard::to_slice(message, buffer).ok().map(|used| used.len())
}

/// Decodes a message, the whole of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Option<Message> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}
