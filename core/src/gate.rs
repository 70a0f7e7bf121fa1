//! The persist gate: what has not been saved cannot be sent.
//!
//! The promises of a node (its term, its vote, its boot) are reached for sending only through [`Durable`], which only
//! [`Gate::durable`] makes, and only while the record on stable storage is the one in memory. Messages and events are
//! built from a [`Durable`], so the order "save, then send" is a matter of types.

use crate::types::{Incarnation, NodeId, Saved, Term};

/// The record in memory, and how far it has come towards the disk.
#[derive(Clone, Debug)]
pub(crate) struct Gate<const PEERS_MAX: usize> {
    saved: Saved<PEERS_MAX>,
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
pub(crate) struct Durable<'a, const PEERS_MAX: usize>(&'a Saved<PEERS_MAX>);

impl<const PEERS_MAX: usize> Durable<'_, PEERS_MAX> {
    pub(crate) const fn term(self) -> Term {
        self.0.term
    }

    pub(crate) const fn vote(self) -> Option<NodeId> {
        self.0.vote
    }
}

impl<const PEERS_MAX: usize> Gate<PEERS_MAX> {
    /// Starts with a record that differs from the one on the disk.
    pub(crate) const fn changed(saved: Saved<PEERS_MAX>) -> Self {
        Self { saved, stage: Stage::Changed }
    }

    pub(crate) const fn term(&self) -> Term {
        self.saved.term
    }

    pub(crate) const fn vote(&self) -> Option<NodeId> {
        self.saved.vote
    }

    pub(crate) const fn saved(&self) -> &Saved<PEERS_MAX> {
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

    /// Moves to the next term and votes for this node there. `false` if there is none.
    pub(crate) fn stand_for_next_term(&mut self, own: NodeId) -> bool {
        let next = self.saved.term.0.checked_add(1);
        if let Some(term) = next {
            self.saved.term = Term(term);
            self.saved.vote = Some(own);
            self.stage = Stage::Changed;
        }
        next.is_some()
    }

    /// Moves to the next boot. `false` if there is none.
    pub(crate) fn raise_boot(&mut self) -> bool {
        let next = self.saved.boot.0.checked_add(1);
        if let Some(boot) = next {
            self.saved.boot.0 = boot;
            self.stage = Stage::Changed;
        }
        next.is_some()
    }

    /// Notes a later start of a peer.
    pub(crate) fn meet(&mut self, peer: usize, incarnation: Incarnation) {
        if let Some(known) = self.saved.peers.get_mut(peer) {
            known.incarnation = incarnation;
            self.stage = Stage::Changed;
        }
    }

    /// Notes that this node must never speak again.
    pub(crate) fn retire(&mut self) {
        self.saved.retired = true;
        self.stage = Stage::Changed;
    }

    /// The record to save, once a change.
    pub(crate) fn poll(&mut self) -> Option<Saved<PEERS_MAX>> {
        if self.stage != Stage::Changed {
            return None;
        }
        self.stage = Stage::Offered;
        Some(self.saved.clone())
    }

    /// Notes what is on stable storage; anything but the latest record is stale. `true` if the gate opened.
    pub(crate) fn acknowledge(&mut self, saved: &Saved<PEERS_MAX>) -> bool {
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
    pub(crate) fn durable(&self) -> Option<Durable<'_, PEERS_MAX>> {
        (self.stage == Stage::Durable).then_some(Durable(&self.saved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_durable_before_its_own_acknowledgement() {
        let mut gate = Gate::<2>::changed(Saved::provision([7; 8]));
        assert!(gate.durable().is_none());
        let first = gate.poll().unwrap();
        assert!(gate.poll().is_none());
        gate.raise_term(Term(3));
        assert!(!gate.acknowledge(&first));
        assert!(gate.durable().is_none());
        let second = gate.poll().unwrap();
        assert!(gate.acknowledge(&second));
        assert_eq!(gate.durable().unwrap().term(), Term(3));
    }

    #[test]
    fn a_vote_is_given_once_in_a_term_and_terms_never_fall() {
        let mut gate = Gate::<2>::changed(Saved::provision([7; 8]));
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
