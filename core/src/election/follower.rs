//! A follower: heeds the leader, answers candidates.

use embassy_time::Instant;

use super::{Election, Owed, Peer, State};
use crate::{
    gate::Durable,
    stats::Reason,
    time::{Timer, millis_u32},
    types::{Suffrage, Term},
    wire::{Body, Stamp, Verdict},
};

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    /// A heartbeat counts only if it shows that the leader has lately heard this node: whoever holds back the last
    /// heartbeats of a dead leader and releases them one by one keeps nobody quiet.
    pub(super) fn handle_heartbeat(&mut self, now: Instant, from: usize, term: Term, sent: Stamp, echo: Stamp) {
        let patience = self.config.timing.election_timeout_min;
        let fresh = echo != Stamp(0) && echo.age(now).is_some_and(|age| age < patience);
        let leader = self.peer_id(from);
        let voter = self.peer_suffrage(from) == Suffrage::Voter;
        let Some(peer) = self.peers.get_mut(from) else { return };
        if term < self.gate.term() {
            peer.heartbeat_fresh = false;
            peer.owe(Owed::HeartbeatReply);
            return;
        }
        if matches!(self.state, State::Leader { .. }) || !voter {
            self.stats.impossible = self.stats.impossible.saturating_add(1);
            return;
        }
        // An older heartbeat of the same leader says nothing new. Of anyone else's clock nothing is known: it may have
        // begun anew.
        if self.leader == Some(leader) && sent < peer.stamp {
            return;
        }
        peer.stamp = sent;
        peer.heartbeat_fresh = fresh;
        peer.owe(Owed::HeartbeatReply);
        if !fresh {
            return;
        }
        self.heard_at = Some(now);
        self.sticky_until = now.saturating_add(patience);
        self.sticky_term = term;
        self.restart_election_timer(now);
        if self.leader != Some(leader) || !matches!(self.state, State::Follower) {
            self.state = State::Follower;
            self.leader = Some(leader);
            self.timers.stop(Timer::Pulse);
            self.note(now, Reason::LeaderHeard { leader });
        }
    }

    pub(super) fn heartbeat_reply(&self, now: Instant, peer: &Peer) -> Body {
        let promise = if peer.heartbeat_fresh { millis_u32(self.config.timing.election_timeout_min) } else { 0 };
        Body::HeartbeatReply {
            echo: peer.stamp,
            sent: Stamp::of(now),
            promise_ms: promise,
            available: self.may_campaign(),
        }
    }

    pub(super) fn handle_pre_vote(&mut self, from: usize, term: Term, round: Stamp) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.asked_term = term;
            peer.stamp = round;
            peer.owe(Owed::PreVoteReply);
        }
    }

    pub(super) fn pre_vote_verdict(&self, now: Instant, from: usize) -> Verdict {
        let asked_term = self.peers.get(from).map_or(Term(0), |peer| peer.asked_term);
        if !self.may_elect(from) {
            Verdict::NotEligible
        } else if self.stands_by_leader(now, Term(0)) {
            Verdict::HeardLeader { ago_ms: self.heard_ago_ms(now) }
        } else if asked_term < self.gate.term() {
            Verdict::StaleTerm
        } else {
            Verdict::Granted
        }
    }

    pub(super) fn handle_vote(&mut self, now: Instant, from: usize, term: Term, released: Term) {
        let candidate = self.peer_id(from);
        let may = term == self.gate.term()
            && self.may_elect(from)
            && matches!(self.state, State::Follower | State::PreCandidate { .. })
            && !self.stands_by_leader(now, released);
        let before = self.gate.vote();
        if may && self.gate.cast_vote(candidate) && before.is_none() {
            self.become_follower(now, Reason::VotedFor { candidate });
            self.restart_election_timer(now);
        }
        if let Some(peer) = self.peers.get_mut(from) {
            peer.owe(Owed::VoteReply);
        }
    }

    /// The truth about this node's vote at the moment of sending.
    pub(super) fn vote_verdict(&self, now: Instant, durable: Durable, from: usize) -> Verdict {
        if durable.vote == Some(self.peer_id(from)) {
            Verdict::Granted
        } else if !self.may_elect(from) {
            Verdict::NotEligible
        } else if self.stands_by_leader(now, Term(0)) {
            Verdict::HeardLeader { ago_ms: self.heard_ago_ms(now) }
        } else if durable.vote.is_some() {
            Verdict::AlreadyVoted
        } else {
            Verdict::StaleTerm
        }
    }

    /// The leader lets go in favour of this node, and does so now: its request echoes a young stamp of ours, so a late
    /// or repeated one is harmless.
    pub(super) fn handle_timeout_now(&mut self, now: Instant, from: usize, term: Term, echo: Stamp) {
        let fresh = echo != Stamp(0) && echo.age(now).is_some_and(|age| age < self.config.timing.election_timeout_min);
        let from_leader = term == self.gate.term() && self.leader == Some(self.peer_id(from));
        if fresh && from_leader && self.may_campaign() {
            self.campaign(now, term);
        }
    }

    fn may_elect(&self, candidate: usize) -> bool {
        self.config.own.suffrage.votes() && self.peer_suffrage(candidate) == Suffrage::Voter
    }
}
