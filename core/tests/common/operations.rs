//! What can happen to a node, drawn from bytes: by the property tests, the fuzz targets and the replay of their corpus
//! alike. Moments and terms are drawn relative to the node's own, and mostly near them, or nearly every message would be
//! refused as stale.

#![allow(dead_code, unreachable_pub, reason = "every user of this module has its own part of it")]

use arbitrary::{Arbitrary, Result, Unstructured};
use symphony_core::{Body, Message, NodeId, Stamp, Term, Verdict};

/// One thing that can happen to a node.
#[derive(Clone, Debug)]
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
    RaiseTerm(When),
}

/// A member, or now and then a stranger or the node itself.
#[derive(Clone, Copy, Debug)]
pub struct Sender(pub NodeId);

/// A message and its sender.
#[derive(Clone, Debug, Arbitrary)]
pub struct Said {
    pub from: Sender,
    pub term: When,
    pub what: What,
}

/// A term, as seen from the node's own.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Now,
    Next,
    Before,
    Any(u64),
}

/// A stamp, as seen from the node's own clock.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The latest that the node has told this peer.
    Told,
    Now,
    Never,
    Ago(u8),
    Any(u64),
}

/// A verdict, with whatever a refusal says.
#[derive(Clone, Copy, Debug)]
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
    PreVoteReply { round: Moment, verdict: Answer, sent: Moment },
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

impl<'a> Arbitrary<'a> for Operation {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=99)? {
            0..=44 => Self::Message(u.arbitrary()?),
            45..=64 => Self::Disk(u.arbitrary()?),
            65..=79 => Self::Time { micros: u.arbitrary()?, times: u.arbitrary()? },
            80..=85 => Self::Deadline,
            86..=90 => Self::Command(u.arbitrary()?),
            91..=93 => Self::Restart,
            94..=95 => Self::Body { from: u.arbitrary()?, body: u.arbitrary()? },
            96 => Self::Datagram(u.arbitrary()?),
            97 => Self::Fallback(u.arbitrary()?),
            98 => Self::Jump(u.int_in_range(0..=10_000_000)?),
            _ => Self::Jump(u.arbitrary()?),
        })
    }
}

impl<'a> Arbitrary<'a> for Sender {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(NodeId(match u.int_in_range(0..=31)? {
            0 => 0,
            1 => 6,
            other => u16::from(other % 5_u8) + 1,
        })))
    }
}

impl<'a> Arbitrary<'a> for When {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=99)? {
            0..=59 => Self::Now,
            60..=84 => Self::Next,
            85..=98 => Self::Before,
            _ => Self::Any(u.arbitrary()?),
        })
    }
}

impl<'a> Arbitrary<'a> for Moment {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=99)? {
            0..=39 => Self::Told,
            40..=69 => Self::Now,
            70..=79 => Self::Never,
            80..=94 => Self::Ago(u.arbitrary()?),
            _ => Self::Any(u.arbitrary()?),
        })
    }
}

impl<'a> Arbitrary<'a> for Answer {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=7)? {
            0..=3 => Self::Granted,
            4 => Self::HeardLeader(u.arbitrary()?),
            5 => Self::StaleTerm,
            6 => Self::AlreadyVoted,
            _ => Self::NotEligible,
        })
    }
}

impl Said {
    pub fn message(&self, view: View) -> Message {
        let at = |moment: Moment| moment.stamp(view);
        let body = match self.what {
            What::Heartbeat { sent, echo } => Body::Heartbeat { sent: at(sent), echo: at(echo) },
            What::HeartbeatReply { echo, sent, promise_ms, available } => {
                Body::HeartbeatReply { echo: at(echo), sent: at(sent), promise_ms, available }
            }
            What::PreVote { round } => Body::PreVote { round: at(round) },
            What::PreVoteReply { round, verdict, sent } => {
                Body::PreVoteReply { round: at(round), verdict: verdict.verdict(), sent: at(sent) }
            }
            What::Vote { released } => Body::Vote { released: released.term(view.term) },
            What::VoteReply { verdict, sent } => Body::VoteReply { verdict: verdict.verdict(), sent: at(sent) },
            What::TimeoutNow { echo } => Body::TimeoutNow { echo: at(echo) },
        };
        Message { term: self.term.term(view.term), body }
    }
}

impl When {
    pub fn term(self, now: Term) -> Term {
        match self {
            Self::Now => now,
            Self::Next => Term(now.0.saturating_add(1)),
            Self::Before => Term(now.0.saturating_sub(1)),
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
