//! What the host program sees: events as differences, and views.

use embassy_time::{Duration, Instant};

use super::{Election, Peer, State};
use crate::{
    stats::Stats,
    time::millis_u32,
    types::{NodeId, Role, Saved, Suffrage, Term},
};

/// A change that the host program should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// Another leader, or none known.
    LeaderChanged {
        /// Term of the leader, or the latest term known.
        term: Term,
        /// Who leads.
        leader: Option<NodeId>,
    },
    /// This node leads, and until the lease ends it is certain that nobody else does.
    LeaseAcquired,
    /// It is no longer certain that nobody else leads.
    LeaseLost,
}

/// What has been reported so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    term: Term,
    leader: Option<NodeId>,
    lease: bool,
}

/// One peer, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PeerView {
    /// Its identity.
    pub id: NodeId,
    /// Its part in elections.
    pub suffrage: Suffrage,
    /// Milliseconds since the latest heartbeat that it answered was sent; only a leader knows.
    pub answered_ago_ms: Option<u32>,
}

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let now = self.advance(now);
        let (event, reported) = self.next_event(now)?;
        self.reported = reported;
        Some(event)
    }

    pub(super) fn event_waits(&self) -> bool {
        self.next_event(self.now).is_some()
    }

    /// Bad news goes out at once; news that rests on a promise waits until the promise is saved.
    fn next_event(&self, now: Instant) -> Option<(Event, Reported)> {
        let before = self.reported;
        let lease = self.lease(now).is_some();
        if before.lease && !lease {
            return Some((Event::LeaseLost, Reported { lease, ..before }));
        }
        let own = Some(self.config.own.id);
        if before.leader == own && self.leader != own {
            let event = Event::LeaderChanged { term: before.term, leader: None };
            return Some((event, Reported { leader: None, ..before }));
        }
        let durable = self.gate.durable()?;
        let term_matters = self.leader.is_some() && before.term != durable.term;
        if before.leader != self.leader || term_matters {
            let event = Event::LeaderChanged { term: durable.term, leader: self.leader };
            return Some((event, Reported { term: durable.term, leader: self.leader, ..before }));
        }
        (lease && !before.lease).then_some((Event::LeaseAcquired, Reported { lease, ..before }))
    }

    /// When the loss of a reported lease falls due.
    pub(super) fn lease_end_to_report(&self) -> Instant {
        if self.reported.lease { self.lease_end().unwrap_or(self.now) } else { Instant::MAX }
    }

    /// What is left of the lease.
    pub(crate) fn lease(&self, now: Instant) -> Option<Duration> {
        let left = self.lease_end()?.checked_duration_since(now)?;
        let whole = self.config.timing.election_timeout_min;
        (left > Duration::MIN).then_some(left.min(whole))
    }

    pub(crate) fn role(&self) -> Role {
        match self.state {
            State::Follower => Role::Follower,
            State::PreCandidate { .. } => Role::PreCandidate,
            State::Candidate { .. } => Role::Candidate,
            State::Leader { .. } => Role::Leader,
        }
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    pub(crate) fn saved(&self) -> &Saved {
        self.gate.saved()
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    pub(crate) fn config(&self) -> &crate::config::Config<PEERS_MAX> {
        &self.config
    }

    pub(crate) fn peers(&self, now: Instant) -> impl Iterator<Item = PeerView> + '_ {
        let leads = matches!(self.state, State::Leader { .. });
        let ago = move |peer: &Peer| leads.then(|| millis_u32(now.saturating_duration_since(peer.acked)));
        self.peers.iter().zip(&self.config.peers).map(move |(peer, member)| PeerView {
            id: member.id,
            suffrage: member.suffrage,
            answered_ago_ms: ago(peer),
        })
    }
}
