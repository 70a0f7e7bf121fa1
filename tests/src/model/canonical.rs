//! When two states of a node are the same: its fields with moments told as ages, and without what is never read again.
//!
//! A field that this module does not know is kept as it is: a new field of the core makes the model larger, never blind.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use symphony_core::Duration;

use super::debug::Tree;

/// The timer that ends a wait for a leader or a campaign: a node that is told the time waits for it where it must.
pub(super) const ELECTION_SLOT: usize = 2;

/// The timer that only repeats messages.
const PULSE_SLOT: usize = 3;

/// Instants as ages and waits, in steps of the node's clock.
pub(super) struct Clock {
    /// Steps since the start.
    pub(super) now: u64,
    /// Ticks of the start, and of a step.
    pub(super) start: u64,
    pub(super) step: u64,
    /// Steps of the longest wait: all that lies further back is one.
    pub(super) past_max: i64,
    /// Also tell apart timers, and what is owed to peers.
    pub(super) finer: bool,
}

/// A digest of an election's fields.
pub(super) fn digest(election: &Tree<'_>, clock: &Clock) -> u64 {
    let mut text = String::with_capacity(512);
    clock.write_election(election, &mut text);
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Clock {
    fn write_election(&self, election: &Tree<'_>, text: &mut String) {
        let sticky = self.steps(election.field("sticky_until").number()) > 0;
        let state = election.field("state");
        for (key, value) in &election.fields {
            match *key {
                // These never change, or are told to the host alone.
                "config" | "rng" | "now" | "stats" | "reported" => {}
                "gate" => write_gate(value, text),
                "timers" => self.write_timers(value, text),
                // Read for the milliseconds in a refusal, and where priorities differ.
                "heard_at" | "transfers_unproved" | "preferred" => {}
                // Read together with the moment that it belongs to.
                "sticky_term" if !sticky => {}
                "sticky_until" => self.write_deadline(value, text),
                "peers" => value.elements().for_each(|peer| self.write_peer(peer, state, text)),
                "state" => self.write_state(value, text),
                _ => self.write(value, text),
            }
            text.push(';');
        }
    }

    fn write_state(&self, state: &Tree<'_>, text: &mut String) {
        text.push_str(state.name);
        for (key, value) in &state.fields {
            match *key {
                // Spares repetitions, and the network repeats whatever it likes.
                "answered" => {}
                // Answers that the network brings are always to this leadership and to this round, or to nothing.
                "since" | "round" => {}
                // To whom: only repetitions go there.
                "handover" if !self.finer => text.push_str(value.name),
                _ => self.write(value, text),
            }
            text.push(',');
        }
    }

    fn write_peer(&self, peer: &Tree<'_>, state: &Tree<'_>, text: &mut String) {
        let leads = state.name == "Leader";
        let may_hand_over = leads && state.field("handover").name == "None";
        for (key, value) in &peer.fields {
            match *key {
                "owed" | "heartbeat_fresh" if self.finer => self.write(value, text),
                // What is owed decides which of the messages that the network has anyway are sent once more.
                "owed" | "stamp" | "heartbeat_fresh" | "asked_term" | "hurried" => {}
                // Read where priorities differ.
                "healthy_since" => {}
                // Read while there is a lease: an overtaken leader with one campaigns at once.
                "promised_until" if !may_hand_over => {}
                "promised_until" => self.write_deadline(value, text),
                // Written when a leadership begins, read when it is handed over.
                "available" if !may_hand_over => {}
                // Written when a leadership begins.
                "acked" if !leads => {}
                _ => self.write(value, text),
            }
            text.push(',');
        }
    }

    fn write_timers(&self, timers: &Tree<'_>, text: &mut String) {
        for (slot, deadline) in timers.inner().elements().enumerate() {
            if self.finer || slot != ELECTION_SLOT && slot != PULSE_SLOT {
                self.write_deadline(deadline, text);
                text.push(',');
            }
        }
    }

    /// A moment that matters only while it is to come.
    fn write_deadline(&self, instant: &Tree<'_>, text: &mut String) {
        text.push_str(&self.steps(instant.number()).max(0).to_string());
    }

    fn write(&self, tree: &Tree<'_>, text: &mut String) {
        text.push_str(tree.name);
        if tree.name == "Instant" {
            text.push_str(&self.steps(tree.number()).to_string());
            return;
        }
        if tree.name == "Stamp" {
            let ticks = Duration::from_millis(tree.number()).as_ticks();
            text.push_str(&self.steps(ticks).to_string());
            return;
        }
        for (key, value) in &tree.fields {
            text.push_str(key);
            text.push(':');
            self.write(value, text);
            text.push(',');
        }
    }

    /// Steps from now until the instant, rounded up; below zero if it is past.
    fn steps(&self, ticks: u64) -> i64 {
        let epochs = (i128::from(ticks) - i128::from(self.start) - 1).div_euclid(i128::from(self.step)) + 1;
        let steps = i64::try_from(epochs - i128::from(self.now)).unwrap_or(i64::MAX);
        if ticks == u64::MAX { i64::MAX } else { steps.max(-self.past_max) }
    }
}

/// The record, but for the count of starts: nothing is decided by it.
fn write_gate(gate: &Tree<'_>, text: &mut String) {
    let saved = gate.field("saved");
    text.push_str(&saved.field("term").number().to_string());
    text.push_str(&format!("{:?}", saved.field("vote")));
    text.push_str(gate.field("stage").name);
}
