//! The persist gate: what has not been saved cannot be sent.
//!
//! The promises of a node (its term, its vote, its boot) are reached for sending only through [`Durable`], which only
//! [`Gate::durable`] makes, and only while the record on stable storage is the one in memory. Messages and events are
//! built from a [`Durable`], so the order "save, then send" is a matter of types.

use crate::types::{NodeId, Saved, Term};

/// The record in memory, and how far it has come towards the disk.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    saved: Saved,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Changed, and not handed out yet.
    Changed,
    /// Handed out, and not acknowledged yet.
    Offered,
    /// On stable storage.
    Durable,
}

/// Evidence that the record is on stable storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durable {
    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
}

impl Gate {
    /// Starts with a record that differs from the one on the disk.
    pub(crate) const fn changed(saved: Saved) -> Self {
        Self { saved, stage: Stage::Changed }
    }

    pub(crate) const fn term(&self) -> Term {
        self.saved.term
    }

    pub(crate) const fn vote(&self) -> Option<NodeId> {
        self.saved.vote
    }

    pub(crate) const fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Moves to a later term, in which this node has not voted; an earlier or the same term changes nothing.
    pub(crate) fn raise_term(&mut self, term: Term) {
        if term > self.saved.term {
            self.saved.term = term;
            self.saved.vote = None;
            self.stage = Stage::Changed;
        }
    }

    /// Votes in the current term. `false` if the vote was given to another before.
    pub(crate) fn cast_vote(&mut self, candidate: NodeId) -> bool {
        match self.saved.vote {
            Some(earlier) => earlier == candidate,
            None => {
                self.saved.vote = Some(candidate);
                self.stage = Stage::Changed;
                true
            }
        }
    }

    /// The record to save, once a change.
    pub(crate) fn poll(&mut self) -> Option<Saved> {
        if self.stage != Stage::Changed {
            return None;
        }
        self.stage = Stage::Offered;
        Some(self.saved)
    }

    /// Notes what is on stable storage; anything but the latest record is stale. `true` if the gate opened.
    pub(crate) fn acknowledge(&mut self, saved: &Saved) -> bool {
        let opened = self.stage != Stage::Durable && *saved == self.saved;
        if opened {
            self.stage = Stage::Durable;
        }
        opened
    }

    /// Whether [`Self::poll`] would yield.
    pub(crate) fn wants_saving(&self) -> bool {
        self.stage == Stage::Changed
    }

    /// The promises that others may hear of; none while a change is on its way to the disk.
    pub(crate) fn durable(&self) -> Option<Durable> {
        (self.stage == Stage::Durable).then_some(Durable { term: self.saved.term, vote: self.saved.vote })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_durable_before_its_own_acknowledgement() {
        let mut gate = Gate::changed(Saved::provision([7; 8]));
        assert!(gate.durable().is_none());
        let first = gate.poll().unwrap();
        assert!(gate.poll().is_none());
        gate.raise_term(Term(3));
        assert!(!gate.acknowledge(&first));
        assert!(gate.durable().is_none());
        let second = gate.poll().unwrap();
        assert!(gate.acknowledge(&second));
        assert_eq!(gate.durable().unwrap().term, Term(3));
    }

    #[test]
    fn a_vote_is_given_once_in_a_term_and_terms_never_fall() {
        let mut gate = Gate::changed(Saved::provision([7; 8]));
        gate.raise_term(Term(3));
        assert!(gate.cast_vote(NodeId(1)));
        assert!(gate.cast_vote(NodeId(1)));
        assert!(!gate.cast_vote(NodeId(2)));
        gate.raise_term(Term(3));
        gate.raise_term(Term(2));
        assert_eq!((gate.term(), gate.vote()), (Term(3), Some(NodeId(1))));
        gate.raise_term(Term(4));
        assert!(gate.cast_vote(NodeId(2)));
    }
}
