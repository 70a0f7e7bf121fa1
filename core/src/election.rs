//! The election: state, dispatch, and what every role shares. The roles' own transitions are in the submodules.
//!
//! Rules are those of Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014) without a log: terms and votes
//! (3.3, 3.4), persisted state (3.8), timing (3.9, 9.3), leadership transfer (3.10), leader stickiness (4.2.3), leases
//! and check-quorum (6.2, 6.4) and pre-vote (9.6).
//!
//! What is `inline(never)` is so on boards alone: inlined into each of its callers, or all into one, it takes a third more
//! text, and elsewhere half the time. What is `inline` elsewhere would be a call from whatever crate runs a node.

mod candidate;
mod follower;
mod leader;
mod peer;
mod view;

use embassy_time::Instant;
use heapless::Vec;

use crate::{
    config::{Config, Member, Settings, Ticks},
    gate::{Durable, Gate},
    quorum::{SELF, Tally},
    rng::Rng,
    stats::{Reason, Stats},
    time::{Timer, Timers, after, millis_since},
    types::{Incarnation, NodeId, Saved, Suffrage, Term},
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
    /// The world outside has seen this term, as a database whose fence outlived the records of all nodes: the next
    /// election is to be for a later one. A node in an earlier term enters it as if it had heard of it in a message, so
    /// at most one leader in a term stays true: it gives no vote, leads no longer, saves before it speaks, and campaigns
    /// no sooner than a node that hears no leader. The last term there is ends all elections; nothing raises less.
    RaiseTerm(Term),
}

/// State of a role, beyond what all roles have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Follower,
    PreCandidate { round: Stamp, granted: Tally },
    Candidate { released: Term, granted: Tally, answered: Tally },
    Leader { since: Instant, handover: Option<Handover> },
}

/// Who sent a message.
#[derive(Clone, Copy)]
struct Sender {
    /// Its place in the configuration.
    index: usize,
    member: Member,
    /// It was in this node's term.
    is_current: bool,
}

/// A leader's way out. Once it has begun, the lease of this term never comes back: a request to campaign may be under
/// way for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    to: NodeId,
}

/// The election without datagrams: messages go in and out as they are, and peers are told apart by their place in the
/// configuration. Its calls mean what those of [`crate::Endpoint`] mean.
///
/// Small fields come first, and what is used most: a short instruction of a Cortex-M does not reach further.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Election<const PEERS_MAX: usize> {
    paused: bool,
    /// This wait for a leader has been put off once in favour of another's campaign.
    gave_way: bool,
    /// Transfers to a preferred peer since one has proved itself: each doubles the wait before the next.
    transfers_unproved: u8,
    leader: Option<NodeId>,
    /// The preferred peer that got the latest of these transfers.
    preferred: NodeId,
    state: State,
    config: Settings,
    now: Instant,
    /// Until when this node stands by the leader it has heard; after a start also by one it may have forgotten, without
    /// end until it can first speak, and it does not campaign before either: a peer that knows better must have the time
    /// to say so, however slow the disk is.
    sticky_until: Instant,
    /// Term of that leader.
    sticky_term: Term,
    /// When the leader was heard for the last time.
    heard_at: Option<Instant>,
    timers: Timers,
    gate: Gate<PEERS_MAX>,
    peers: Vec<Peer, PEERS_MAX, u8>,
    reported: Reported,
    rng: Rng,
    stats: Stats,
}

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    /// Starts as a follower, with the boot counted up. It sends nothing before that is saved, and stands by an unknown
    /// leader for an election timeout from then on, because a leader may hold a lease by a promise that this node has
    /// forgotten.
    #[cfg(feature = "messages")]
    pub fn new(config: Config<PEERS_MAX>, mut saved: Saved<PEERS_MAX>, now: Instant) -> Self {
        saved.count_start();
        Self::of_start(config, saved, now)
    }

    /// The same with a record that counts this start.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn of_start(config: Config<PEERS_MAX>, saved: Saved<PEERS_MAX>, now: Instant) -> Self {
        let sticky_term = saved.term;
        let gate = Gate::changed(saved);
        let peers = config.map_peers(|peer| Peer::new(*peer, now));
        let Config { settings: config, seed, .. } = config;
        let rng = Rng::new([seed, u64::from(config.own.id.0), u64::from(gate.saved().boot.0)]);
        let preferred = config.own.id;
        let mut stats = Stats::new(now);
        if gate.saved().retired {
            stats.note(now, Reason::Retired);
        }
        Self {
            config,
            gate,
            state: State::Follower,
            leader: None,
            peers,
            timers: Timers::stopped(),
            rng,
            now,
            sticky_until: Instant::MAX,
            sticky_term,
            heard_at: None,
            paused: false,
            gave_way: false,
            transfers_unproved: 0,
            preferred,
            reported: Reported::default(),
            stats,
        }
    }

    /// Takes a message in from the peer at an index.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn handle_message(&mut self, now: Instant, from: usize, message: Message) {
        self.advance(now);
        let Message { term, body } = message;
        let Some(&Peer { member, .. }) = self.peers.get(from) else { return };
        if term > self.gate.term() && self.adopts_term_of(&body) {
            self.adopt_term(term, member.id, &body);
            if self.gate.term() > term {
                // It campaigns already, and this is no answer to that.
                return;
            }
        }
        let sender = Sender { index: from, member, is_current: term == self.gate.term() };
        match body {
            Body::Heartbeat { sent, echo } => self.handle_heartbeat(sender, sent, echo),
            Body::HeartbeatReply { echo, sent, promise_ms, available } => {
                self.handle_heartbeat_reply(sender, echo, sent, promise_ms, available);
            }
            Body::PreVote { round } => self.handle_pre_vote(sender, term, round),
            Body::PreVoteReply { round, verdict, sent } => self.handle_pre_vote_reply(sender, round, verdict, sent),
            Body::Vote { released } => self.handle_vote(sender, term, released),
            Body::VoteReply { verdict, sent } => self.handle_vote_reply(sender, verdict, sent),
            Body::TimeoutNow { echo } => self.handle_timeout_now(sender, echo),
        }
    }

    /// Lets time pass.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        for timer in Timer::ALL {
            if !self.timers.expire(timer, now) {
                continue;
            }
            match timer {
                Timer::Quorum => self.handle_quorum_timeout(),
                Timer::Transfer => self.handle_transfer_timeout(),
                Timer::Election => self.handle_election_timeout(),
                Timer::Pulse => self.handle_pulse(),
            }
        }
    }

    /// Notes that a record is on stable storage.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn handle_persisted(&mut self, now: Instant, saved: &Saved<PEERS_MAX>) {
        let now = self.advance(now);
        if self.gate.acknowledge(saved) {
            if self.sticky_until == Instant::MAX {
                self.sticky_until = after(now, self.config.timing.election_timeout_min);
                self.restart_election_timer();
            }
            self.count_own_vote();
        }
    }

    /// The record to save, once a change.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn poll_persist(&mut self) -> Option<Saved<PEERS_MAX>> {
        self.gate.poll()
    }

    /// Whether the record on stable storage is the one in memory.
    pub(crate) fn is_durable(&self) -> bool {
        self.gate.durable().is_some()
    }

    /// Notes a later start of a peer.
    pub(crate) fn meet(&mut self, peer: usize, incarnation: Incarnation) {
        self.gate.meet(peer, incarnation);
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.forget_clock();
        }
    }

    /// Takes the next boot without a new start; retires if there is none.
    pub(crate) fn raise_boot(&mut self, now: Instant) {
        if !self.gate.raise_boot() {
            self.retire(now);
        }
    }

    /// Gives up every role for good.
    pub(crate) fn retire(&mut self, now: Instant) {
        self.advance(now);
        self.gate.retire();
        self.become_follower(Reason::Retired);
    }

    /// Builds the next message, for the peer at the index returned.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn poll_message(&mut self, now: Instant) -> Option<(usize, Message)> {
        self.advance(now);
        let durable = self.gate.durable()?;
        loop {
            let index = self.peers.iter().position(Peer::owes_something)?;
            let owed = self.peers.get_mut(index)?.take_owed()?;
            let message = self.build(durable, index, owed);
            if message.is_some() {
                return message;
            }
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn next_deadline(&self) -> Instant {
        let message_waits = self.gate.durable().is_some() && self.peers.iter().any(Peer::owes_something);
        if self.gate.wants_saving() || message_waits || self.event_waits() {
            return self.now;
        }
        self.timers.next().min(self.lease_end_to_report())
    }

    /// What is owed to a peer, and its place in the configuration; none if it is no longer true.
    #[cfg_attr(target_os = "none", inline(never))]
    fn build(&self, durable: Durable<'_, PEERS_MAX>, index: usize, owed: Owed) -> Option<(usize, Message)> {
        let peer = self.peers.get(index)?;
        let (sent, echo) = (Stamp::of(self.now), peer.stamp);
        let body = match owed {
            Owed::HeartbeatReply => self.heartbeat_reply(peer, sent),
            Owed::VoteReply => Body::VoteReply { verdict: self.vote_verdict(durable, peer), sent },
            Owed::PreVoteReply => {
                let verdict = self.pre_vote_verdict(peer.member, peer.asked_term);
                Body::PreVoteReply { round: echo, verdict, sent }
            }
            Owed::TimeoutNow => match self.state {
                State::Leader { handover: Some(Handover { to }), .. } if to == peer.member.id => {
                    Body::TimeoutNow { echo }
                }
                _ => return None,
            },
            Owed::Heartbeat => match self.state {
                State::Leader { .. } => Body::Heartbeat { sent, echo },
                _ => return None,
            },
            Owed::Vote => match self.state {
                State::Candidate { released, .. } => Body::Vote { released },
                _ => return None,
            },
            Owed::PreVote => match self.state {
                State::PreCandidate { round, .. } => Body::PreVote { round },
                _ => return None,
            },
        };
        Some((index, Message { term: durable.term(), body }))
    }

    /// A candidate's request does not move a node that hears a leader (thesis, section 4.2.3).
    fn adopts_term_of(&self, body: &Body) -> bool {
        match body {
            Body::Vote { released } => !self.stands_by_leader(*released),
            Body::PreVote { .. } => !self.stands_by_leader(Term(0)),
            _ => true,
        }
    }

    /// Moves to a later term. A leader with a lease that is overtaken by a node which has lost an election elsewhere
    /// campaigns at once: it is healthy, and those who stand by it would refuse anyone else. Without a lease it does
    /// not: two that are elected one after the other would depose each other for ever.
    #[cfg_attr(target_os = "none", inline(never))]
    fn adopt_term(&mut self, term: Term, from: NodeId, body: &Body) {
        let own = self.gate.term();
        let had_lease = self.has_lease();
        self.enter_term(term, Reason::HigherTerm { from, term });
        let is_reply = matches!(body, Body::HeartbeatReply { .. } | Body::PreVoteReply { .. } | Body::VoteReply { .. });
        if had_lease && is_reply && self.may_campaign() {
            self.campaign(own);
        }
    }

    fn enter_term(&mut self, term: Term, reason: Reason) {
        self.gate.raise_term(term);
        for peer in &mut self.peers {
            peer.forget_clock();
        }
        self.become_follower(reason);
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn become_follower(&mut self, reason: Reason) {
        let was_waiting = matches!(self.state, State::Follower);
        self.state = State::Follower;
        self.leader = None;
        self.timers.stop(Timer::Pulse);
        self.timers.stop(Timer::Quorum);
        self.timers.stop(Timer::Transfer);
        if !was_waiting {
            self.restart_election_timer();
        }
        self.note(reason);
    }

    /// Whether this node stands by a leader whose leadership is not released.
    #[cfg_attr(target_os = "none", inline(never))]
    fn stands_by_leader(&self, released: Term) -> bool {
        match self.state {
            State::Leader { .. } => released < self.gate.term(),
            _ => self.now < self.sticky_until && (released == Term(0) || released < self.sticky_term),
        }
    }

    /// How long ago the leader was heard, milliseconds.
    #[cfg_attr(target_os = "none", inline(never))]
    fn heard_ago_ms(&self) -> u32 {
        match (self.state, self.heard_at) {
            (State::Leader { .. }, _) => 0,
            (_, Some(heard_at)) => millis_since(self.now, heard_at),
            (_, None) => u32::MAX,
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn restart_election_timer(&mut self) {
        self.gave_way = false;
        let wait = patience(&self.config.timing, &mut self.rng);
        self.timers.start(Timer::Election, after(self.now, wait));
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn may_campaign(&self) -> bool {
        self.config.own.suffrage == Suffrage::Voter && !self.paused && !self.gate.saved().retired
    }

    /// Index of a peer.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn peer_index(&self, id: NodeId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.member.id == id)
    }

    /// Owes a request to every voter but those who have answered.
    #[cfg_attr(target_os = "none", inline(never))]
    fn ask(&mut self, owed: Owed, answered: Tally) {
        for (index, peer) in self.peers.iter_mut().enumerate() {
            if peer.member.suffrage.votes() && !answered.contains(index) {
                peer.owe(owed);
            }
        }
    }

    /// Time never runs backwards here, whatever the caller's clock does.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn note(&mut self, reason: Reason) {
        debug!("term {}: {}", self.gate.term(), reason);
        self.stats.note(self.now, reason);
    }
}

/// How long to wait for a leader: drawn anew for every wait, so that two do not campaign at once for ever.
#[cfg_attr(not(target_os = "none"), inline)]
fn patience(timing: &Ticks, rng: &mut Rng) -> u32 {
    let Ticks { election_timeout_min, election_timeout_max, .. } = *timing;
    election_timeout_min.saturating_add(rng.up_to(election_timeout_max.saturating_sub(election_timeout_min)))
}
