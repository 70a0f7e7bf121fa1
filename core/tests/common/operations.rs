//! What can happen to a node, drawn from bytes: by the property tests, the fuzz targets and the replay of their corpus
//! alike. Moments and terms are drawn relative to the node's own, or nearly every message would be refused as stale.

#![allow(dead_code, unreachable_pub, reason = "every user of this module has its own part of it")]

use arbitrary::Arbitrary;
use symphony_core::{Body, Message, NodeId, Stamp, Term, Verdict};

/// One thing that can happen to a node.
#[derive(Clone, Debug, Arbitrary)]
pub enum Operation {
    /// Bytes from anywhere.
    Datagram(Vec<u8>),
    /// Bytes with a header that passes.
    Body { from: Sender, body: Vec<u8> },
    /// A well-formed message.
    Message(Said),
    /// Time passes, up to an election timeout and a bit, microseconds.
    Time { micros: u16, times: u8 },
    /// Time jumps ahead, by any number of ticks.
    Jump(u64),
    /// The clock falls back, by any number of ticks.
    Fallback(u32),
    /// The timer fires when the node wants it to.
    Deadline,
    /// The disk does something.
    Disk(Disk),
    /// The host program asks for something.
    Command(Order),
    /// The node is switched off, and on again with what its disk has.
    Restart,
}

/// What a disk does.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Disk {
    /// Takes the record and keeps it.
    Save,
    /// Takes the record, and will be done with it later.
    Take,
    /// Has kept the record that it took last.
    Done,
    /// Loses the record that it took last.
    Lose,
    /// Says again that it has kept one of the records before.
    Repeat(u8),
}

/// What a host program asks for.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Order {
    Transfer,
    TransferTo(Sender),
    Resign,
    Pause,
    Resume,
}

/// A member, or now and then a stranger or the node itself.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub struct Sender(u8);

impl Sender {
    pub fn of(id: u8) -> Self {
        Self(id)
    }

    pub fn id(self) -> u16 {
        u16::from(self.0 % 7)
    }
}

/// A message and its sender.
#[derive(Clone, Debug, Arbitrary)]
pub struct Said {
    pub from: Sender,
    pub term: When,
    pub what: What,
}

/// A term, as seen from the node's own.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum When {
    Now,
    Next,
    Before,
    Any(u64),
}

/// A stamp, as seen from the node's own clock.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Moment {
    /// The latest that the node has told this peer.
    Told,
    Now,
    Never,
    Ago(u8),
    Any(u64),
}

/// A verdict, with whatever a refusal says.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Answer {
    Granted,
    HeardLeader(u32),
    StaleTerm,
    AlreadyVoted,
    NotEligible,
}

/// A message's body before its terms and moments are settled.
#[derive(Clone, Debug, Arbitrary)]
pub enum What {
    Heartbeat { sent: Moment, echo: Moment },
    HeartbeatReply { echo: Moment, sent: Moment, promise_ms: u32, available: bool },
    PreVote { round: Moment },
    PreVoteReply { round: Moment, verdict: Answer },
    Vote { released: When },
    VoteReply { verdict: Answer, sent: Moment },
    TimeoutNow { echo: Moment },
}

/// What a node's terms and moments are relative to.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub term: Term,
    pub now: Stamp,
    pub told: Stamp,
}

impl Said {
    pub fn from(&self) -> NodeId {
        NodeId(self.from.id())
    }

    pub fn message(&self, view: View) -> Message {
        let at = |moment: Moment| moment.stamp(view);
        let body = match self.what {
            What::Heartbeat { sent, echo } => Body::Heartbeat { sent: at(sent), echo: at(echo) },
            What::HeartbeatReply { echo, sent, promise_ms, available } => {
                Body::HeartbeatReply { echo: at(echo), sent: at(sent), promise_ms, available }
            }
            What::PreVote { round } => Body::PreVote { round: at(round) },
            What::PreVoteReply { round, verdict } => {
                Body::PreVoteReply { round: at(round), verdict: verdict.verdict() }
            }
            What::Vote { released } => Body::Vote { released: released.term(view) },
            What::VoteReply { verdict, sent } => Body::VoteReply { verdict: verdict.verdict(), sent: at(sent) },
            What::TimeoutNow { echo } => Body::TimeoutNow { echo: at(echo) },
        };
        Message { term: self.term.term(view), body }
    }
}

impl When {
    fn term(self, view: View) -> Term {
        match self {
            Self::Now => view.term,
            Self::Next => Term(view.term.0.saturating_add(1)),
            Self::Before => Term(view.term.0.saturating_sub(1)),
            Self::Any(term) => Term(term),
        }
    }
}

impl Moment {
    fn stamp(self, view: View) -> Stamp {
        match self {
            Self::Told => view.told,
            Self::Now => view.now,
            Self::Never => Stamp(0),
            Self::Ago(ms) => Stamp(view.now.0.saturating_sub(u64::from(ms))),
            Self::Any(stamp) => Stamp(stamp),
        }
    }
}

impl Answer {
    fn verdict(self) -> Verdict {
        match self {
            Self::Granted => Verdict::Granted,
            Self::HeardLeader(ago_ms) => Verdict::HeardLeader { ago_ms },
            Self::StaleTerm => Verdict::StaleTerm,
            Self::AlreadyVoted => Verdict::AlreadyVoted,
            Self::NotEligible => Verdict::NotEligible,
        }
    }
}
