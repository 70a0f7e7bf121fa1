//! A follower: heeds the leader, answers candidates.

use super::{Election, Owed, Peer, Sender, State, leader::preferred_hold};
use crate::{
    config::Member,
    gate::Durable,
    stats::Reason,
    time::{Timer, after, since, whole_millis},
    types::{Suffrage, Term},
    wire::{Body, Stamp, Verdict},
};

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    /// A heartbeat counts only if it shows that the leader has lately heard this node: whoever holds back the last
    /// heartbeats of a dead leader and releases them one by one keeps nobody quiet.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn handle_heartbeat(&mut self, from: Sender, sent: Stamp, echo: Stamp) {
        let patience = self.config.timing.election_timeout_min;
        let fresh = self.is_fresh(echo);
        let Member { id: leader, suffrage, .. } = from.member;
        let Some(peer) = self.peers.get_mut(from.index) else { return };
        if !from.is_current {
            peer.heartbeat_fresh = false;
            peer.owe(Owed::HeartbeatReply);
            return;
        }
        if matches!(self.state, State::Leader { .. }) || suffrage != Suffrage::Voter {
            self.stats.impossible = self.stats.impossible.saturating_add(1);
            return;
        }
        // What was sent before something that has arrived says nothing new. A clock that may have begun anew is forgotten.
        if sent < peer.stamp {
            return;
        }
        peer.stamp = sent;
        peer.heartbeat_fresh = fresh;
        peer.owe(Owed::HeartbeatReply);
        if !fresh {
            return;
        }
        let is_news = self.leader != Some(leader) || !matches!(self.state, State::Follower);
        if is_news {
            peer.healthy_since = self.now;
        } else if leader == self.preferred
            && since(self.now, peer.healthy_since) >= preferred_hold(&self.config.timing, 0)
        {
            self.transfers_unproved = 0;
        }
        self.heard_at = Some(self.now);
        self.sticky_until = after(self.now, patience);
        self.sticky_term = self.gate.term();
        self.restart_election_timer();
        if is_news {
            self.state = State::Follower;
            self.leader = Some(leader);
            self.timers.stop(Timer::Pulse);
            self.note(Reason::LeaderHeard { leader });
        }
    }

    pub(super) fn heartbeat_reply(&self, peer: &Peer, sent: Stamp) -> Body {
        let promise_ms = if peer.heartbeat_fresh { whole_millis(self.config.timing.election_timeout_min) } else { 0 };
        Body::HeartbeatReply { echo: peer.stamp, sent, promise_ms, available: self.may_campaign() }
    }

    /// Who grants a pre-vote gives the other a heartbeat's time to win before it campaigns itself, once in a wait: two
    /// candidates that meet while their records are being saved would split the vote.
    pub(super) fn handle_pre_vote(&mut self, from: Sender, term: Term, round: Stamp) {
        let Some(peer) = self.peers.get_mut(from.index) else { return };
        peer.asked_term = term;
        peer.stamp = round;
        peer.owe(Owed::PreVoteReply);
        let waits = matches!(self.state, State::Follower) && !self.gave_way;
        if waits && self.pre_vote_verdict(from.member, term) == Verdict::Granted {
            self.gave_way = true;
            self.timers.put_off(Timer::Election, after(self.now, self.config.timing.heartbeat_interval));
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn pre_vote_verdict(&self, candidate: Member, asked: Term) -> Verdict {
        if let Some(refusal) = self.refusal(candidate) {
            refusal
        } else if asked < self.gate.term() {
            Verdict::StaleTerm
        } else {
            Verdict::Granted
        }
    }

    pub(super) fn handle_vote(&mut self, from: Sender, term: Term, released: Term) {
        let candidate = from.member.id;
        let may = from.is_current
            && self.may_elect(from.member)
            && matches!(self.state, State::Follower | State::PreCandidate { .. })
            && !self.stands_by_leader(released);
        let before = self.gate.vote();
        if may && self.gate.cast_vote(candidate) && before.is_none() {
            self.become_follower(Reason::VotedFor { candidate });
            self.restart_election_timer();
        }
        if let Some(peer) = self.peers.get_mut(from.index) {
            peer.asked_term = term;
            peer.owe(Owed::VoteReply);
        }
    }

    /// The truth about this node's vote in the term asked for, at the moment of sending.
    pub(super) fn vote_verdict(&self, durable: Durable<'_, PEERS_MAX>, candidate: &Peer) -> Verdict {
        let vote = if candidate.asked_term == durable.term() { durable.vote() } else { None };
        if vote == Some(candidate.member.id) {
            Verdict::Granted
        } else if let Some(refusal) = self.refusal(candidate.member) {
            refusal
        } else if vote.is_some() {
            Verdict::AlreadyVoted
        } else {
            Verdict::StaleTerm
        }
    }

    /// The leader lets go in favour of this node, and does so now: its request echoes a young stamp of ours, so a late
    /// or repeated one is harmless.
    pub(super) fn handle_timeout_now(&mut self, from: Sender, echo: Stamp) {
        let from_leader = from.is_current && self.leader == Some(from.member.id);
        if self.is_fresh(echo) && from_leader && self.may_campaign() {
            self.campaign(self.gate.term());
        }
    }

    /// Why this node votes for nobody, or never for this candidate.
    #[cfg_attr(target_os = "none", inline(never))]
    fn refusal(&self, candidate: Member) -> Option<Verdict> {
        if !self.may_elect(candidate) {
            Some(Verdict::NotEligible)
        } else if self.stands_by_leader(Term(0)) {
            Some(Verdict::HeardLeader { ago_ms: self.heard_ago_ms() })
        } else {
            None
        }
    }

    /// Whether an echo shows that its sender has lately heard this node.
    #[cfg_attr(target_os = "none", inline(never))]
    fn is_fresh(&self, echo: Stamp) -> bool {
        let sent_at = echo.instant();
        // A stamp of the future is none that this clock made.
        echo != Stamp(0) && sent_at <= self.now && since(self.now, sent_at) < self.config.timing.election_timeout_min
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn may_elect(&self, candidate: Member) -> bool {
        self.config.own.suffrage.votes() && candidate.suffrage == Suffrage::Voter
    }
}
