//! What was sealed, for people.

use symphony_core::{
    Body, Incarnation, Message, Stamp, Verdict,
    secure::{Hello, Text},
};

use super::line;

pub(super) fn describe(text: &mut String, opened: &Text) {
    match opened {
        Text::Message(message) => describe_message(text, message),
        Text::Hello(hello) => describe_hello(text, hello),
    }
}

fn describe_message(text: &mut String, Message { term, body }: &Message) {
    line(text, "term", term.0);
    let name = match body {
        Body::Heartbeat { .. } => "heartbeat",
        Body::HeartbeatReply { .. } => "answer to a heartbeat",
        Body::PreVote { .. } => "request for a pre-vote",
        Body::PreVoteReply { .. } => "answer to a request for a pre-vote",
        Body::Vote { .. } => "request for a vote",
        Body::VoteReply { .. } => "answer to a request for a vote",
        Body::TimeoutNow { .. } => "request to take over",
    };
    line(text, "message", name);
    match body {
        Body::Heartbeat { sent, echo } => stamps(text, &[("sent at", *sent), ("echo", *echo)]),
        Body::HeartbeatReply { echo, sent, promise_ms, available } => {
            stamps(text, &[("sent at", *sent), ("echo", *echo)]);
            line(text, "promise", format_args!("{promise_ms} ms"));
            line(text, "available", available);
        }
        Body::PreVote { round } => stamps(text, &[("round", *round)]),
        Body::PreVoteReply { round, verdict, sent } => {
            line(text, "verdict", verdict_text(*verdict));
            stamps(text, &[("round", *round), ("sent at", *sent)]);
        }
        Body::Vote { released } => line(text, "released term", released.0),
        Body::VoteReply { verdict, sent } => {
            line(text, "verdict", verdict_text(*verdict));
            stamps(text, &[("sent at", *sent)]);
        }
        Body::TimeoutNow { echo } => stamps(text, &[("echo", *echo)]),
    }
}

/// Milliseconds since the start of the node that made the stamp.
fn stamps(text: &mut String, stamps: &[(&str, Stamp)]) {
    for (name, stamp) in stamps {
        line(text, name, format_args!("{} ms", stamp.0));
    }
}

fn verdict_text(verdict: Verdict) -> String {
    match verdict {
        Verdict::Granted => "granted".into(),
        Verdict::HeardLeader { ago_ms } => format!("refused: heard a leader {ago_ms} ms ago"),
        Verdict::StaleTerm => "refused: the term is over".into(),
        Verdict::AlreadyVoted => "refused: voted for another".into(),
        Verdict::NotEligible => "refused: not eligible".into(),
    }
}

fn describe_hello(text: &mut String, Hello { asks, members, known, voted }: &Hello) {
    line(text, "asks", asks);
    line(text, "members' digest", format_args!("{members:08x}"));
    match known {
        Incarnation { session, .. } if session.0 == 0 => line(text, "knows receiver", "no"),
        Incarnation { install_salt, boot, session } => line(
            text,
            "knows receiver",
            format_args!("salt {}, boot {}, session {:08x}", hex::encode(install_salt), boot.0, session.0),
        ),
    }
    line(text, "got its vote in", format_args!("term {}", voted.0));
}
