//! The election: state, dispatch, and what every role shares. The roles' own transitions are in the submodules.
//!
//! Rules are those of Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014) without a log: terms and votes
//! (3.3, 3.4), persisted state (3.8), timing (3.9, 9.3), leadership transfer (3.10), leader stickiness (4.2.3), leases
//! and check-quorum (6.2, 6.4) and pre-vote (9.6).

mod candidate;
mod follower;
mod leader;
mod peer;
mod view;

use embassy_time::{Duration, Instant};
use heapless::Vec;

use crate::{
    config::{Config, Timing},
    gate::{Durable, Gate},
    quorum::{SELF, Tally, majority},
    rng::Rng,
    stats::{Reason, Stats},
    time::{Timer, Timers, millis_u32},
    types::{NodeId, Saved, Suffrage, Term},
    wire::{Body, Message, Stamp},
};

pub use leader::CommandError;
pub(crate) use peer::Owed;
use peer::Peer;
use view::Reported;
pub use view::{Event, PeerView};

/// What the operator, or the host program, asks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Command {
    /// Hand the leadership to this peer, or to the best one. Only a leader can.
    Transfer(Option<NodeId>),
    /// Before a shutdown: hand the leadership over if this node has it, and do not campaign again.
    Resign,
    /// Do not campaign, and hand the leadership over if this node has it.
    Pause,
    /// Campaign again when it is time to.
    Resume,
}

/// State of a role, beyond what all roles have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Follower,
    PreCandidate { round: Stamp, granted: Tally },
    Candidate { released: Term, granted: Tally, answered: Tally },
    Leader { since: Instant, handover: Option<Handover> },
}

/// A leader's way out. Once it has begun, the lease of this term never comes back: a request to campaign may be under
/// way for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    to: NodeId,
}

#[derive(Clone, Debug)]
pub(crate) struct Election<const PEERS_MAX: usize> {
    config: Config<PEERS_MAX>,
    gate: Gate,
    state: State,
    leader: Option<NodeId>,
    peers: Vec<Peer, PEERS_MAX, u8>,
    timers: Timers,
    rng: Rng,
    /// Votes that make a majority of the voters.
    quorum: u32,
    now: Instant,
    /// Until when this node stands by the leader it has heard; after a start also by one it may have forgotten.
    sticky_until: Instant,
    /// Term of that leader.
    sticky_term: Term,
    /// When the leader was heard for the last time.
    heard_at: Option<Instant>,
    paused: bool,
    /// Failed transfers to a preferred peer: each doubles the wait before the next.
    transfers_failed: u8,
    reported: Reported,
    stats: Stats,
}

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    /// Starts as a follower, with the boot counted up. It sends nothing before that is saved, and stands by an unknown
    /// leader for an election timeout, because a leader may hold a lease by a promise that this node has forgotten.
    pub(crate) fn new(config: Config<PEERS_MAX>, mut saved: Saved, now: Instant) -> Self {
        saved.boot.0 = saved.boot.0.saturating_add(1);
        let peers = config.peers.iter().map(|_| Peer::new(now)).collect();
        let voters = config.peers.iter().chain([&config.own]).filter(|member| member.suffrage.votes()).count();
        let quorum = majority(u32::try_from(voters).unwrap_or(u32::MAX));
        let rng = Rng::new([config.seed, u64::from(config.own.id.0), u64::from(saved.boot.0)]);
        let sticky_until = now.saturating_add(config.timing.election_timeout_min);
        let mut election = Self {
            config,
            gate: Gate::changed(saved),
            state: State::Follower,
            leader: None,
            peers,
            timers: Timers::stopped(),
            rng,
            quorum,
            now,
            sticky_until,
            sticky_term: saved.term,
            heard_at: None,
            paused: false,
            transfers_failed: 0,
            reported: Reported::default(),
            stats: Stats::new(now),
        };
        election.restart_election_timer(now);
        election
    }

    pub(crate) fn handle_message(&mut self, now: Instant, from: usize, message: Message) {
        let now = self.advance(now);
        let Message { term, body } = message;
        if term > self.gate.term() && self.adopts_term_of(now, &body) {
            self.adopt_term(now, term, from, &body);
            if self.gate.term() > term {
                // It campaigns already, and this is no answer to that.
                return;
            }
        }
        match body {
            Body::Heartbeat { sent, echo } => self.handle_heartbeat(now, from, term, sent, echo),
            Body::HeartbeatReply { echo, sent, promise_ms, available } => {
                self.handle_heartbeat_reply(now, from, term, echo, sent, promise_ms, available);
            }
            Body::PreVote { round } => self.handle_pre_vote(from, term, round),
            Body::PreVoteReply { round, verdict } => self.handle_pre_vote_reply(now, from, term, round, verdict),
            Body::Vote { released } => self.handle_vote(now, from, term, released),
            Body::VoteReply { verdict, sent } => self.handle_vote_reply(now, from, term, verdict, sent),
            Body::TimeoutNow { echo } => self.handle_timeout_now(now, from, term, echo),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        for timer in Timer::ALL {
            if !self.timers.expire(timer, now) {
                continue;
            }
            match timer {
                Timer::Quorum => self.handle_quorum_timeout(now),
                Timer::Transfer => self.handle_transfer_timeout(now),
                Timer::Election => self.handle_election_timeout(now),
                Timer::Pulse => self.handle_pulse(now),
            }
        }
    }

    pub(crate) fn handle_persisted(&mut self, now: Instant, saved: &Saved) {
        let now = self.advance(now);
        if self.gate.acknowledge(saved) {
            self.count_own_vote(now);
        }
    }

    pub(crate) fn poll_persist(&mut self) -> Option<Saved> {
        self.gate.poll()
    }

    /// Builds the next message, for the peer at the index returned.
    pub(crate) fn poll_message(&mut self, now: Instant) -> Option<(usize, Message)> {
        let now = self.advance(now);
        let durable = self.gate.durable()?;
        loop {
            let index = self.peers.iter().position(Peer::owes_something)?;
            let owed = self.peers.get_mut(index)?.take_owed()?;
            if let Some(body) = self.build(now, durable, index, owed) {
                return Some((index, Message { term: durable.term, body }));
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        let message_waits = self.gate.durable().is_some() && self.peers.iter().any(Peer::owes_something);
        if self.gate.wants_saving() || message_waits || self.event_waits() {
            return self.now;
        }
        self.timers.next().min(self.lease_end_to_report())
    }

    /// The body of what is owed to a peer; none if it is no longer true.
    fn build(&self, now: Instant, durable: Durable, index: usize, owed: Owed) -> Option<Body> {
        let peer = self.peers.get(index)?;
        match (owed, self.state) {
            (Owed::PreVoteReply, _) => {
                Some(Body::PreVoteReply { round: peer.stamp, verdict: self.pre_vote_verdict(now, index) })
            }
            (Owed::VoteReply, _) => {
                Some(Body::VoteReply { verdict: self.vote_verdict(now, durable, index), sent: Stamp::of(now) })
            }
            (Owed::HeartbeatReply, _) => Some(self.heartbeat_reply(now, peer)),
            (Owed::PreVote, State::PreCandidate { round, .. }) => Some(Body::PreVote { round }),
            (Owed::Vote, State::Candidate { released, .. }) => Some(Body::Vote { released }),
            (Owed::Heartbeat, State::Leader { .. }) => Some(Body::Heartbeat { sent: Stamp::of(now), echo: peer.stamp }),
            (Owed::TimeoutNow, State::Leader { handover: Some(_), .. }) => Some(Body::TimeoutNow { echo: peer.stamp }),
            (Owed::PreVote | Owed::Vote | Owed::Heartbeat | Owed::TimeoutNow, _) => None,
        }
    }

    /// A candidate's request does not move a node that hears a leader (thesis, section 4.2.3).
    fn adopts_term_of(&self, now: Instant, body: &Body) -> bool {
        match body {
            Body::Vote { released } => !self.stands_by_leader(now, *released),
            Body::PreVote { .. } => !self.stands_by_leader(now, Term(0)),
            _ => true,
        }
    }

    /// Moves to a later term. A leader with a lease that is overtaken by a node which has lost an election elsewhere
    /// campaigns at once: it is healthy, and those who stand by it would refuse anyone else. Without a lease it does
    /// not: two that are elected one after the other would depose each other for ever.
    fn adopt_term(&mut self, now: Instant, term: Term, from: usize, body: &Body) {
        let own = self.gate.term();
        let had_lease = self.lease(now).is_some();
        if matches!(self.state, State::Leader { handover: Some(_), .. }) {
            self.transfers_failed = 0;
        }
        self.gate.raise_term(term);
        for peer in &mut self.peers {
            peer.forget_term();
        }
        self.become_follower(now, Reason::HigherTerm { from: self.peer_id(from), term });
        let is_reply = matches!(body, Body::HeartbeatReply { .. } | Body::PreVoteReply { .. } | Body::VoteReply { .. });
        if had_lease && is_reply && self.may_campaign() {
            self.campaign(now, own);
        }
    }

    fn become_follower(&mut self, now: Instant, reason: Reason) {
        let was_waiting = matches!(self.state, State::Follower);
        self.state = State::Follower;
        self.leader = None;
        self.timers.stop(Timer::Pulse);
        self.timers.stop(Timer::Quorum);
        self.timers.stop(Timer::Transfer);
        if !was_waiting {
            self.restart_election_timer(now);
        }
        self.note(now, reason);
    }

    /// Whether this node stands by a leader whose leadership is not released.
    fn stands_by_leader(&self, now: Instant, released: Term) -> bool {
        match self.state {
            State::Leader { .. } => released < self.gate.term(),
            _ => now < self.sticky_until && (released == Term(0) || released < self.sticky_term),
        }
    }

    /// How long ago the leader was heard, milliseconds.
    fn heard_ago_ms(&self, now: Instant) -> u32 {
        match (self.state, self.heard_at) {
            (State::Leader { .. }, _) => 0,
            (_, Some(heard_at)) => millis_u32(now.saturating_duration_since(heard_at)),
            (_, None) => u32::MAX,
        }
    }

    fn restart_election_timer(&mut self, now: Instant) {
        let Timing { election_timeout_min, election_timeout_max, .. } = self.config.timing;
        let span = election_timeout_max.as_ticks().saturating_sub(election_timeout_min.as_ticks());
        let wait = Duration::from_ticks(election_timeout_min.as_ticks().saturating_add(self.rng.up_to(span)));
        self.timers.start(Timer::Election, now.saturating_add(wait));
    }

    fn may_campaign(&self) -> bool {
        self.config.own.suffrage == Suffrage::Voter && !self.paused
    }

    fn peer_id(&self, index: usize) -> NodeId {
        self.config.peers.get(index).map_or(self.config.own.id, |peer| peer.id)
    }

    pub(crate) fn peer_index(&self, id: NodeId) -> Option<usize> {
        self.config.peers.iter().position(|peer| peer.id == id)
    }

    fn peer_suffrage(&self, index: usize) -> Suffrage {
        self.config.peers.get(index).map_or(Suffrage::Observer, |peer| peer.suffrage)
    }

    /// Owes something to every peer that `which` accepts.
    fn owe(&mut self, owed: Owed, which: impl Fn(usize, Suffrage) -> bool) {
        for (index, (peer, member)) in self.peers.iter_mut().zip(&self.config.peers).enumerate() {
            if which(index, member.suffrage) {
                peer.owe(owed);
            }
        }
    }

    /// Time never runs backwards here, whatever the caller's clock does.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn note(&mut self, now: Instant, reason: Reason) {
        debug!("term {}: {}", self.gate.term(), reason);
        self.stats.note(now, reason);
    }
}
