//! A campaign: the question whether it could be won, then the votes.

use embassy_time::Instant;

use super::{Election, Owed, SELF, State, Tally};
use crate::{
    stats::Reason,
    time::Timer,
    types::Term,
    wire::{Stamp, Verdict},
};

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    /// The wait is over, and no leader was heard nor an election won.
    pub(super) fn handle_election_timeout(&mut self, now: Instant) {
        if matches!(self.state, State::Leader { .. }) {
            return;
        }
        let reason = match self.state {
            State::Candidate { granted, .. } => Reason::ElectionUndecided { votes: granted.count() },
            _ => Reason::LeaderSilent { ago_ms: self.heard_ago_ms(now) },
        };
        self.become_follower(now, reason);
        self.restart_election_timer(now);
        if self.may_campaign() {
            self.ask_pre_votes(now);
        }
    }

    /// Asks whether an election could be won, in the term after this one, without entering it (thesis, section 9.6).
    fn ask_pre_votes(&mut self, now: Instant) {
        let mut granted = Tally::default();
        granted.insert(SELF);
        self.state = State::PreCandidate { round: Stamp::of(now), granted };
        self.stats.pre_votes = self.stats.pre_votes.saturating_add(1);
        self.owe(Owed::PreVote, |_, suffrage| suffrage.votes());
        self.restart_pulse(now);
        self.count_pre_votes(now);
    }

    pub(super) fn handle_pre_vote_reply(
        &mut self,
        now: Instant,
        from: usize,
        term: Term,
        round: Stamp,
        verdict: Verdict,
    ) {
        let suffrage = self.peer_suffrage(from);
        let State::PreCandidate { round: current, ref mut granted } = self.state else { return };
        if round != current || !suffrage.votes() {
            return;
        }
        if verdict == Verdict::Granted && term == self.gate.term() {
            granted.insert(from);
            self.count_pre_votes(now);
        } else {
            let by = self.peer_id(from);
            self.note(now, Reason::PreVoteRefused { by, verdict });
        }
    }

    fn count_pre_votes(&mut self, now: Instant) {
        let State::PreCandidate { granted, .. } = self.state else { return };
        if granted.count() >= self.quorum {
            self.campaign(now, Term(0));
        }
    }

    /// Enters the next term and asks for votes (thesis, section 3.4). The own vote counts when it is saved.
    pub(super) fn campaign(&mut self, now: Instant, released: Term) {
        let term = self.gate.term().next();
        if term == self.gate.term() {
            return;
        }
        self.gate.raise_term(term);
        self.gate.cast_vote(self.config.own.id);
        self.leader = None;
        self.state = State::Candidate { released, granted: Tally::default(), answered: Tally::default() };
        self.stats.elections = self.stats.elections.saturating_add(1);
        self.note(now, Reason::Campaigned { released });
        self.owe(Owed::Vote, |_, suffrage| suffrage.votes());
        self.restart_election_timer(now);
        self.restart_pulse(now);
    }

    pub(super) fn count_own_vote(&mut self, now: Instant) {
        let own = self.config.own.id;
        if self.gate.durable().is_some_and(|durable| durable.vote == Some(own)) {
            self.count_vote(now, SELF);
        }
    }

    pub(super) fn handle_vote_reply(&mut self, now: Instant, from: usize, term: Term, verdict: Verdict, sent: Stamp) {
        let suffrage = self.peer_suffrage(from);
        let State::Candidate { ref mut answered, .. } = self.state else { return };
        if !suffrage.votes() {
            return;
        }
        if term == self.gate.term() {
            answered.insert(from);
        }
        if term == self.gate.term() && verdict == Verdict::Granted {
            if let Some(peer) = self.peers.get_mut(from) {
                peer.stamp = sent;
            }
            self.count_vote(now, from);
        } else {
            let by = self.peer_id(from);
            self.note(now, Reason::VoteRefused { by, verdict });
        }
    }

    fn count_vote(&mut self, now: Instant, voter: usize) {
        let quorum = self.quorum;
        let State::Candidate { ref mut granted, .. } = self.state else { return };
        granted.insert(voter);
        // Without the own vote saved, the promise behind this term could be lost in a crash.
        if granted.contains(SELF) && granted.count() >= quorum {
            let votes = granted.count();
            self.become_leader(now, votes);
        }
    }

    /// Repeats what has not been answered: datagrams get lost.
    pub(super) fn repeat_requests(&mut self, now: Instant) {
        match self.state {
            State::PreCandidate { granted, .. } => {
                self.owe(Owed::PreVote, |index, suffrage| suffrage.votes() && !granted.contains(index));
            }
            State::Candidate { answered, .. } => {
                self.owe(Owed::Vote, |index, suffrage| suffrage.votes() && !answered.contains(index));
            }
            State::Follower | State::Leader { .. } => return,
        }
        self.restart_pulse(now);
    }

    pub(super) fn restart_pulse(&mut self, now: Instant) {
        self.timers.start(Timer::Pulse, now.saturating_add(self.config.timing.heartbeat_interval));
    }
}
