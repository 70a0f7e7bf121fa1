//! What the host program sees: events as differences, and views.

use embassy_time::{Duration, Instant};

use super::{Election, Peer, State};
use crate::{
    secure::{Alarm, KeyRing, Own},
    stats::Stats,
    time::{millis_since, since},
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
    /// This node leads, and until the lease ends or is lost it is certain that nobody else does.
    LeaseAcquired,
    /// It is no longer certain that nobody else leads.
    LeaseLost,
    /// Something that a person should know of.
    Alarm(Alarm),
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
    /// The next change that the host program should know of.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        self.advance(now);
        let event = self.news()?;
        match event {
            Event::LeaderChanged { term, leader } => (self.reported.term, self.reported.leader) = (term, leader),
            Event::LeaseAcquired => self.reported.lease = true,
            Event::LeaseLost => self.reported.lease = false,
            Event::Alarm(_) => {}
        }
        Some(event)
    }

    pub(super) fn event_waits(&self) -> bool {
        self.news().is_some()
    }

    /// Bad news goes out at once; news that rests on a promise waits until the promise is saved.
    #[cfg_attr(target_os = "none", inline(never))]
    fn news(&self) -> Option<Event> {
        let before = &self.reported;
        let lease = self.has_lease();
        if before.lease && !lease {
            return Some(Event::LeaseLost);
        }
        let own = Some(self.config.own.id);
        if before.leader == own && self.leader != own {
            // Whoever leads now rests on a promise.
            return Some(Event::LeaderChanged { term: before.term, leader: None });
        }
        let term = self.gate.durable()?.term();
        if before.leader != self.leader || self.leader.is_some() && before.term != term {
            return Some(Event::LeaderChanged { term, leader: self.leader });
        }
        (lease && !before.lease).then_some(Event::LeaseAcquired)
    }

    /// When the loss of a reported lease falls due.
    pub(super) fn lease_end_to_report(&self) -> Instant {
        if self.reported.lease { self.lease_end() } else { Instant::MAX }
    }

    /// What is left of the lease.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn lease(&self, now: Instant) -> Option<Duration> {
        let left = since(self.lease_end(), self.now.max(now));
        let whole = self.config.timing.election_timeout_min;
        (left > 0).then_some(Duration::from_ticks(left.min(whole).into()))
    }

    /// The latest moment it has heard of.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        match self.state {
            State::Follower => Role::Follower,
            State::PreCandidate { .. } => Role::PreCandidate,
            State::Candidate { .. } => Role::Candidate,
            State::Leader { .. } => Role::Leader,
        }
    }

    /// Who leads, as far as it knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// The record as it is in memory.
    pub fn saved(&self) -> &Saved<PEERS_MAX> {
        self.gate.saved()
    }

    /// Counts, and the reasons of the latest change and of what stands in the way.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// What the channels need to know of it.
    pub(crate) const fn own(&self) -> Own<'_, PEERS_MAX> {
        Own { config: &self.config, saved: self.gate.saved() }
    }

    pub(crate) fn set_keys(&mut self, keys: KeyRing) {
        self.config.keys = keys;
    }

    /// The other members, as this node sees them.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerView> + '_ {
        let (leads, now) = (matches!(self.state, State::Leader { .. }), self.now.max(now));
        let ago = move |peer: &Peer| leads.then(|| millis_since(now, peer.acked));
        self.peers.iter().map(move |peer| PeerView {
            id: peer.member.id,
            suffrage: peer.member.suffrage,
            answered_ago_ms: ago(peer),
        })
    }
}
