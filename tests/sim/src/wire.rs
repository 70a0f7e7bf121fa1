//! Reads the messages that nodes send, without the core's own decoder: what a node says is what it is held to.

use std::fmt;

/// What a message says, as far as the invariants and the trace need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The sender's term.
    pub term: u64,
    /// What it says.
    pub body: SaidBody,
}

/// The kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of symphony_core::Body")]
pub enum SaidBody {
    /// "I lead."
    Heartbeat { sent_ms: u64, echo_ms: u64 },
    /// "I follow."
    HeartbeatReply { echo_ms: u64, sent_ms: u64, promise_ms: u64 },
    /// "Would you vote for me?"
    PreVote { round_ms: u64 },
    /// The answer.
    PreVoteReply { verdict: SaidVerdict },
    /// "Vote for me."
    Vote { released: u64 },
    /// The answer.
    VoteReply { verdict: SaidVerdict },
    /// "Campaign now."
    TimeoutNow { echo_ms: u64 },
}

/// Answer to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of symphony_core::Verdict")]
pub enum SaidVerdict {
    Granted,
    HeardLeader { ago_ms: u64 },
    StaleTerm,
    AlreadyVoted,
    NotEligible,
}

/// Reads a message's text; none if it is of another form.
#[must_use]
pub fn read(text: &[u8]) -> Option<Said> {
    let mut rest = text;
    let rest = &mut rest;
    let term = varint(rest)?;
    let body = match varint(rest)? {
        0 => SaidBody::Heartbeat { sent_ms: varint(rest)?, echo_ms: varint(rest)? },
        1 => SaidBody::HeartbeatReply { echo_ms: varint(rest)?, sent_ms: varint(rest)?, promise_ms: varint(rest)? },
        2 => SaidBody::PreVote { round_ms: varint(rest)? },
        3 => {
            varint(rest)?;
            SaidBody::PreVoteReply { verdict: verdict(rest)? }
        }
        4 => SaidBody::Vote { released: varint(rest)? },
        5 => SaidBody::VoteReply { verdict: verdict(rest)? },
        6 => SaidBody::TimeoutNow { echo_ms: varint(rest)? },
        _ => return None,
    };
    Some(Said { term, body })
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {} {:?}", self.term, self.body)
    }
}

fn verdict(rest: &mut &[u8]) -> Option<SaidVerdict> {
    Some(match varint(rest)? {
        0 => SaidVerdict::Granted,
        1 => SaidVerdict::HeardLeader { ago_ms: varint(rest)? },
        2 => SaidVerdict::StaleTerm,
        3 => SaidVerdict::AlreadyVoted,
        4 => SaidVerdict::NotEligible,
        _ => return None,
    })
}

/// LEB128, as postcard writes integers and the numbers of variants.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
