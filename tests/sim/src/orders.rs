//! What a node was told to do, and what its events have told: both are held against what it shows.

use symphony_core::{Command, Duration, Endpoint, Event, Instant, NodeId, Role, Term};

use crate::{
    invariant::{Invariant, Violation},
    plan::PEERS_MAX,
};

/// A hand-over that an operator has asked for.
#[derive(Clone, Copy, Debug)]
struct Handover {
    term: Term,
    to: Option<NodeId>,
    /// By when it must have ended, by the node's clock.
    ends: Instant,
}

/// One process: what it was told, and what it told.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    id: NodeId,
    /// Told not to campaign, in this term.
    standing_back: Option<Term>,
    handover: Option<Handover>,
    told: (Term, Option<NodeId>),
    told_lease: bool,
}

impl Orders {
    pub(super) fn new(id: NodeId) -> Self {
        Self { id, standing_back: None, handover: None, told: (Term(0), None), told_lease: false }
    }

    /// Notes a command that was accepted, with the state that it has led to.
    pub(super) fn given(&mut self, command: Command, timeout: Duration, now: Instant, node: &Endpoint<PEERS_MAX>) {
        let to = match command {
            Command::Transfer(to) => to,
            Command::Resign | Command::Pause => {
                self.standing_back = self.standing_back.or(Some(node.term()));
                None
            }
            Command::Resume => {
                self.standing_back = None;
                return;
            }
            _ => return,
        };
        let under_way = self.handover.is_some_and(|handover| handover.term == node.term());
        if node.role() == Role::Leader && !under_way {
            self.handover = Some(Handover { term: node.term(), to, ends: now.saturating_add(timeout) });
        }
    }

    /// Notes an event.
    pub(super) fn heard(&mut self, event: Event) {
        match event {
            Event::LeaderChanged { term, leader } => self.told = (term, leader),
            Event::LeaseAcquired => self.told_lease = true,
            Event::LeaseLost => self.told_lease = false,
            _ => {}
        }
    }

    /// Whom a leader asks to take over, if it was told whom.
    pub(super) fn names_another(&self, term: u64, to: NodeId) -> bool {
        let named = self.handover.filter(|handover| handover.term.0 == term).and_then(|handover| handover.to);
        named.is_some_and(|named| named != to)
    }

    /// Judges a node that has nothing more to say at `now`; `durable` if it has heard that its record is saved.
    pub(super) fn judge(
        &self,
        at_us: u64,
        now: Instant,
        durable: bool,
        node: &Endpoint<PEERS_MAX>,
    ) -> Option<Violation> {
        let (role, term, leader) = (node.role(), node.term(), node.leader());
        let lease = node.lease(now).is_some();
        let shown = (term, leader);
        let bad_news_waits = (self.told_lease && !lease) || (self.told.1 == Some(self.id) && leader != self.told.1);
        let same = self.told_lease == lease && self.told.1 == leader && (leader.is_none() || self.told == shown);
        let broken = if bad_news_waits || (durable && !same) {
            Invariant::EventsTellAll
        } else if self.standing_back.is_some_and(|since| campaigns(role) || (role == Role::Leader && term > since)) {
            Invariant::PausedStandsBack
        } else if self.handover.is_some_and(|it| it.term == term && role == Role::Leader && now > it.ends) {
            Invariant::TransferEnds
        } else {
            return None;
        };
        let detail = format!("n{} is a {role:?}, shows {shown:?}, lease {lease}; {self:?}", self.id.0);
        Some(Violation { at_us, invariant: broken, detail })
    }
}

fn campaigns(role: Role) -> bool {
    matches!(role, Role::PreCandidate | Role::Candidate)
}
