//! Faults in the authentication of datagrams.

use super::table::{Plant, Substitution, change};

const fn fault(name: &'static str, breaks: &'static str, substitutions: &'static [Substitution]) -> Plant {
    Plant { name, breaks, substitutions }
}

/// All known faults of the channels.
pub const SECURE: &[Plant] = &[
    fault(
        "window-before-tag",
        "a forged counter moves the window, so that real datagrams are taken for old ones",
        &[change(
            "secure/open.rs",
            "let receiver = match header.kind {",
            "if sender == known {\n            channel.window.note(header.counter);\n        }\n        \
             let receiver = match header.kind {",
        )],
    ),
    fault(
        "window-not-checked",
        "a datagram counts as often as it comes",
        &[change(
            "secure/open.rs",
            "if sender == known && !channel.window.is_new(header.counter) {",
            "if header.counter == 0 {",
        )],
    ),
    fault(
        "receiver-not-bound",
        "a datagram is not bound to the receiver's boot",
        &[change(
            "secure/seal.rs",
            "words::of_start(receiver.install_salt, receiver.boot)",
            "words::of_start(receiver.install_salt, crate::types::Boot(0))",
        )],
    ),
    fault(
        "cluster-not-bound",
        "a datagram is not bound to the cluster",
        &[change("secure/seal.rs", "*of_cluster = cluster.0;", "let _ = cluster;\n    *of_cluster = [0; 16];")],
    ),
    fault(
        "echo-not-compared",
        "an answer to an earlier hello is believed",
        &[change(
            "secure/open.rs",
            "&& echo == channel.asked && echo != 0",
            "&& echo != 0 && channel.asked != u32::MAX",
        )],
    ),
    fault(
        "met-by-hello",
        "a start is taken over from a hello, which may be an old one",
        &[change(
            "endpoint.rs",
            "self.channels.handle_hello(now, self.election.own(), from, question);",
            "self.channels.handle_hello(now, self.election.own(), from, question);\n                \
             self.election.meet(from, question.asker);",
        )],
    ),
    fault(
        "earlier-start-met",
        "an earlier start of a peer is taken over",
        &[change("secure.rs", "start != known && start.boot <= known.boot {", "start != known && start.boot.0 == 0 {")],
    ),
    fault(
        "session-not-checked",
        "a message for another start of the same number is taken",
        &[change(
            "secure/open.rs",
            "Kind::Message => header.to_session == own && header.from_session == known.session,",
            "Kind::Message => own != known.session,",
        )],
    ),
    fault(
        "counter-not-raised",
        "all datagrams have the same number",
        &[change("secure/channel.rs", "self.sent = self.sent.checked_add(1)?;", "self.sent = self.sent.max(1);")],
    ),
    fault(
        "nonce-without-receiver",
        "datagrams for two receivers have the same nonce",
        &[change("secure/nonce.rs", "words::joined(from.0, to.0)", "words::joined(from.0, to.0 & 0)")],
    ),
    fault(
        "old-record-goes-on",
        "a node that is told that its record is old goes on",
        &[change(
            "secure.rs",
            "if let Some(retirement) = judge_self(own, self.session, id, hello) {",
            "if let Some(retirement) = judge_self(own, self.session, id, hello).filter(|_| false) {",
        )],
    ),
    fault(
        "flood-shuts-messages-out",
        "messages are paid for like hellos",
        &[change("secure/open.rs", "if header.to_session != self.session {", "if header.kind != Kind::HelloReply {")],
    ),
    fault(
        "copy-met",
        "another installation under a peer's id is taken over",
        &[change(
            "secure.rs",
            "if known.is_known() && start.install_salt != known.install_salt {",
            "if known.is_known() && start.boot.0 == 0 {",
        )],
    ),
    fault(
        "stale-heartbeat-heeded",
        "a heartbeat that was held back keeps a follower quiet",
        &[change("election/follower.rs", "let fresh = self.is_fresh(echo);", "let fresh = true;")],
    ),
];
