//! The faults.

/// A change of the core's text.
#[derive(Clone, Copy, Debug)]
pub struct Substitution {
    /// File, from `core/src` on.
    pub file: &'static str,
    /// Text that is there exactly once.
    pub from: &'static str,
    /// What comes in its place.
    pub to: &'static str,
}

/// A known fault.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Its name.
    pub name: &'static str,
    /// What it breaks.
    pub breaks: &'static str,
    /// The changes that make it.
    pub substitutions: &'static [Substitution],
}

pub(super) const fn change(file: &'static str, from: &'static str, to: &'static str) -> Substitution {
    Substitution { file, from, to }
}

/// All known faults of the election.
pub const ELECTION: &[Plant] = &[
    Plant {
        name: "vote-counted-twice",
        breaks: "a vote reply that comes twice counts twice",
        substitutions: &[change(
            "quorum.rs",
            "self.0 |= bit(voter);",
            "self.0 |= if self.contains(voter) { self.0.wrapping_add(1) } else { bit(voter) };",
        )],
    },
    Plant {
        name: "gate-always-open",
        breaks: "messages leave before what they say is saved",
        substitutions: &[change("gate.rs", "(self.stage == Stage::Durable).then_some(", "true.then_some(")],
    },
    Plant {
        name: "vote-forgotten",
        breaks: "a restart forgets the vote",
        substitutions: &[change(
            "election.rs",
            "let gate = Gate::changed(saved);",
            "let gate = Gate::changed(Saved { vote: None, ..saved });",
        )],
    },
    Plant {
        name: "term-not-saved",
        breaks: "a later term without a vote is not saved",
        substitutions: &[change(
            "gate.rs",
            "self.saved.vote = None;\n            self.stage = Stage::Changed;",
            "self.saved.vote = None;",
        )],
    },
    Plant {
        name: "two-votes-in-a-term",
        breaks: "a second candidate of a term gets the vote, too",
        substitutions: &[change(
            "gate.rs",
            "Some(earlier) => earlier == candidate,\n            None => {",
            "Some(earlier) if earlier == candidate => true,\n            _ => {",
        )],
    },
    Plant {
        name: "own-vote-unsaved",
        breaks: "a candidate counts its own vote before it is saved",
        substitutions: &[change(
            "election/candidate.rs",
            "self.restart_pulse();\n    }\n\n    pub(super) fn count_own_vote",
            "self.restart_pulse();\n        self.count_vote(SELF);\n    }\n\n    pub(super) fn count_own_vote",
        )],
    },
    Plant {
        name: "quorum-off-by-one",
        breaks: "half of the votes is a majority",
        substitutions: &[change("quorum.rs", "voters / 2 + 1", "if voters > 1 { voters.div_ceil(2) } else { 1 }")],
    },
    Plant {
        name: "stale-vote-reply",
        breaks: "a vote of an earlier term counts",
        substitutions: &[change(
            "election/candidate.rs",
            "if from.is_current && verdict == Verdict::Granted {\n            if let",
            "if verdict == Verdict::Granted {\n            if let",
        )],
    },
    Plant {
        name: "observer-votes",
        breaks: "an observer is asked for its vote, and gives it",
        substitutions: &[
            change(
                "election/follower.rs",
                "self.config.own.suffrage.votes() && candidate.suffrage",
                "candidate.suffrage",
            ),
            change(
                "election/candidate.rs",
                "self.ask(Owed::Vote, Tally::default());\n        self.restart_election",
                "for peer in &mut self.peers {\n            peer.owe(Owed::Vote);\n        }\n        self.restart_election",
            ),
        ],
    },
    Plant {
        name: "witness-campaigns",
        breaks: "a witness campaigns",
        substitutions: &[change(
            "election.rs",
            "self.config.own.suffrage == Suffrage::Voter && !self.paused",
            "self.config.own.suffrage.votes() && !self.paused",
        )],
    },
    Plant {
        name: "no-pre-vote",
        breaks: "a node that hears no leader enters a new term without asking",
        substitutions: &[change("election/candidate.rs", "self.ask_pre_votes();", "self.campaign(Term(0));")],
    },
    Plant {
        name: "pre-vote-ignores-leader",
        breaks: "a node that hears a leader grants pre-votes",
        substitutions: &[change(
            "election/follower.rs",
            "if let Some(refusal) = self.refusal(candidate) {\n            refusal\n        } else if asked",
            "if !self.may_elect(candidate) {\n            Verdict::NotEligible\n        } else if asked",
        )],
    },
    Plant {
        name: "vote-ignores-leader",
        breaks: "a node votes although it stands by a leader",
        substitutions: &[
            change("election/follower.rs", "&& !self.stands_by_leader(released);", ";"),
            change("election.rs", "Body::Vote { released } => !self.stands_by_leader(*released),", ""),
        ],
    },
    Plant {
        name: "no-wait-after-restart",
        breaks: "a node that has just started votes at once, whatever it promised before",
        substitutions: &[change(
            "election.rs",
            "self.sticky_until = after(now, self.config.timing.election_timeout_min);",
            "self.sticky_until = now;",
        )],
    },
    Plant {
        name: "lease-from-receipt",
        breaks: "the lease counts from the receipt of an answer, not from the heartbeat's sending",
        substitutions: &[change(
            "election/leader.rs",
            "peer.promised_until.max(after(sent_at, promise))",
            "peer.promised_until.max(after(self.now, promise))",
        )],
    },
    Plant {
        name: "lease-ignores-drift",
        breaks: "the lease takes all clocks for true",
        substitutions: &[change(
            "election/leader.rs",
            "let drift = self.config.timing.clock_drift_max_percent;",
            "let drift = 0_u8;",
        )],
    },
    Plant {
        name: "lease-survives-handover",
        breaks: "a leader keeps its lease while it hands its office over",
        substitutions: &[change(
            "election/leader.rs",
            "State::Leader { handover: None, .. } => self.quorum_moment(",
            "State::Leader { .. } => self.quorum_moment(",
        )],
    },
    Plant {
        name: "lease-comes-back",
        breaks: "a leader whose hand-over failed takes its lease up again in the same term",
        substitutions: &[change(
            "election/leader.rs",
            "self.become_follower(Reason::HandoverFailed);\n        if self.may_campaign() {\n            \
             self.campaign(released);\n        }",
            "let _ = released;\n        if let State::Leader { ref mut handover, .. } = self.state {\n            \
             *handover = None;\n        }",
        )],
    },
    Plant {
        name: "lease-of-observers",
        breaks: "the promises of observers count for the lease",
        substitutions: &[change(
            "election/leader.rs",
            "if !peer.member.suffrage.votes() || of_peer >= moment",
            "if peer.member.id.0 == 0 || of_peer >= moment",
        )],
    },
    Plant {
        name: "promise-unkept",
        breaks: "a follower promises for a heartbeat that it does not heed",
        substitutions: &[change("election/follower.rs", "if peer.heartbeat_fresh {", "if peer.stamp != Stamp(0) {")],
    },
    Plant {
        name: "promise-too-long",
        breaks: "a follower promises more time than it stands by its leader",
        substitutions: &[change(
            "election/follower.rs",
            "whole_millis(self.config.timing.election_timeout_min)",
            "whole_millis(self.config.timing.election_timeout_max)",
        )],
    },
    Plant {
        name: "late-timeout-now",
        breaks: "a request to campaign is heeded whenever it comes, as if the present leader had made it",
        substitutions: &[change(
            "election/follower.rs",
            "if self.is_fresh(echo) && from_leader && self.may_campaign() {\n            self.campaign(self.gate.term());",
            "let _ = (echo, from_leader);\n        if self.may_campaign() {\n            \
             self.campaign(self.gate.term());",
        )],
    },
    Plant {
        name: "check-quorum-never-fires",
        breaks: "a leader that hears no quorum stays in office",
        substitutions: &[change(
            "election/leader.rs",
            "if deadline <= self.now {\n            self.become_follower(Reason::QuorumLost);\n        } else {\n            \
             self.timers.start(Timer::Quorum, deadline);",
            "let _ = deadline;\n        {\n            let later = self.config.timing.election_timeout_max;\n            \
             self.timers.start(Timer::Quorum, after(self.now, later));",
        )],
    },
    Plant {
        name: "timeout-not-random",
        breaks: "all nodes wait equally long, so votes are split for ever",
        substitutions: &[change(
            "election.rs",
            "election_timeout_min.saturating_add(rng.up_to(election_timeout_max.saturating_sub(election_timeout_min)))",
            "let _ = rng;\n    election_timeout_max",
        )],
    },
    Plant {
        name: "clock-of-the-past",
        breaks: "a new leader is not heard until its clock passes what it showed before it started again",
        substitutions: &[change("election/peer.rs", "self.stamp = Stamp(0);", "")],
    },
    Plant {
        name: "heartbeats-after-office",
        breaks: "a leader that is overtaken sends the heartbeats it still owes, in the later term",
        substitutions: &[change(
            "election.rs",
            "State::Leader { .. } => Body::Heartbeat { sent, echo },\n                _ => return None,",
            "_ => Body::Heartbeat { sent, echo },",
        )],
    },
    Plant {
        name: "equals-preferred",
        breaks: "a leader hands its office to peers of its own priority, and they hand it back",
        substitutions: &[
            change(
                "election/leader.rs",
                "all(|peer| peer.member.priority <= own)",
                "all(|peer| peer.member.priority < own)",
            ),
            change("election/leader.rs", "priority > own)", "priority >= own)"),
        ],
    },
    Plant {
        name: "nobody-preferred",
        breaks: "a healthy peer of higher priority is never handed the office",
        substitutions: &[change("election/leader.rs", "priority > own)", "priority > u8::MAX - 1)")],
    },
    Plant {
        name: "pause-forgotten",
        breaks: "a node that was told not to campaign does",
        substitutions: &[change(
            "election.rs",
            "== Suffrage::Voter && !self.paused && !self",
            "== Suffrage::Voter && !self",
        )],
    },
    Plant {
        name: "transfer-without-end",
        breaks: "a leader waits for its successor for ever",
        substitutions: &[change(
            "election/leader.rs",
            "self.timers.start(Timer::Transfer, after(self.now, self.config.timing.election_timeout_max));",
            "self.timers.stop(Timer::Transfer);",
        )],
    },
    Plant {
        name: "transfer-to-anyone",
        breaks: "the office goes to the best peer, whoever was named",
        substitutions: &[change(
            "election/leader.rs",
            "&& to.is_none_or(|to| peer.member.id == to);",
            "&& to != Some(NodeId(0));",
        )],
    },
    Plant {
        name: "lease-lost-in-silence",
        breaks: "the host is not told that the lease is gone",
        substitutions: &[change(
            "election/view.rs",
            "if before.lease && !lease {",
            "if before.lease && !lease && self.leader.is_none() {",
        )],
    },
    Plant {
        name: "deadline-forgets-messages",
        breaks: "the deadline lies ahead although messages wait",
        substitutions: &[change(
            "election.rs",
            "if self.gate.wants_saving() || message_waits || self.event_waits() {",
            "if self.gate.wants_saving() || self.event_waits() {",
        )],
    },
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_plant_fits_the_core_as_it_is() {
        let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/src");
        let mut names = BTreeSet::new();
        for plant in super::super::plants() {
            assert!(names.insert(plant.name), "{} is there twice", plant.name);
            for substitution in plant.substitutions {
                let source = fs::read_to_string(core.join(substitution.file)).unwrap();
                let changed = super::super::build::substitute(&source, substitution);
                assert!(changed.is_ok_and(|changed| changed != source), "{}: {substitution:?}", plant.name);
            }
        }
        assert!(names.len() >= 15);
    }
}
