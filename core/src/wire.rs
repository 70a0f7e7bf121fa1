//! Messages between nodes: postcard, from and into buffers of the caller.

mod message;

use embassy_time::Instant;
use serde::{Deserialize, Serialize};

use crate::{
    numbers::{Reader, Writer},
    time::millis,
    types::Term,
};

/// Bytes of the largest datagram.
pub const DATAGRAM_SIZE_MAX: usize = 128;

/// A moment on the clock of the node that made it, milliseconds since its start, rounded down. Others only echo it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stamp(pub u64);

impl Stamp {
    /// The stamp of `instant`.
    #[must_use]
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn of(instant: Instant) -> Self {
        Self(millis(instant.as_ticks()))
    }

    /// Its moment, up to a millisecond before the instant it was made from.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn instant(self) -> Instant {
        Instant::from_millis(self.0.min(Instant::MAX.as_millis()))
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
        /// Voter's clock, which a new leader's first heartbeat echoes if the voter's answer to the request for its vote
        /// is still under way.
        sent: Stamp,
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
    /// No: the voter stands by a leader that it heard this long ago.
    HeardLeader {
        /// Milliseconds; the largest number if it has just started, and may have made a promise before.
        ago_ms: u32,
    },
    /// No: the candidate's term is over.
    StaleTerm,
    /// No: the vote of this term is given to another.
    AlreadyVoted,
    /// No: the voter has no vote, or the candidate may not campaign.
    NotEligible,
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Granted => f.write_str("granted"),
            Self::HeardLeader { ago_ms: u32::MAX } => {
                f.write_str("may have promised to follow another before its start")
            }
            Self::HeardLeader { ago_ms } => write!(f, "heard leader {ago_ms} ms ago"),
            Self::StaleTerm => f.write_str("that term is over"),
            Self::AlreadyVoted => f.write_str("voted for another"),
            Self::NotEligible => f.write_str("has no vote, or the candidate may not lead"),
        }
    }
}

/// Encodes a message into `buffer` and returns the bytes used.
#[cfg_attr(target_os = "none", inline(never))]
pub fn encode(message: &Message, buffer: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(buffer);
    writer.put_message(message);
    writer.finish().map(|used| used.len())
}

/// Decodes a message, the whole of `bytes`.
#[cfg_attr(target_os = "none", inline(never))]
pub fn decode(bytes: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(bytes);
    let message = reader.take_message();
    reader.ends_well().then_some(message)
}
