//! A campaign: the question whether it could be won, then the votes.

use super::{Election, Owed, SELF, Sender, State, Tally};
use crate::{
    stats::Reason,
    time::{Timer, after},
    types::Term,
    wire::{Stamp, Verdict},
};

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    /// The wait is over, and no leader was heard nor an election won.
    pub(super) fn handle_election_timeout(&mut self) {
        if matches!(self.state, State::Leader { .. }) || self.gate.saved().retired {
            return;
        }
        let reason = match self.state {
            State::Candidate { granted, .. } => Reason::ElectionUndecided { votes: granted.count() },
            _ => Reason::LeaderSilent { ago_ms: self.heard_ago_ms() },
        };
        self.become_follower(reason);
        self.restart_election_timer();
        if self.may_campaign() {
            self.ask_pre_votes();
        }
    }

    /// Asks whether an election could be won, in the term after this one, without entering it (thesis, section 9.6).
    fn ask_pre_votes(&mut self) {
        self.state = State::PreCandidate { round: Stamp::of(self.now), granted: Tally::OWN };
        self.stats.pre_votes = self.stats.pre_votes.saturating_add(1);
        self.ask(Owed::PreVote, Tally::default());
        self.restart_pulse();
        self.count_pre_votes();
    }

    pub(super) fn handle_pre_vote_reply(&mut self, from: Sender, round: Stamp, verdict: Verdict, sent: Stamp) {
        // An answer that comes when the votes are asked for already still shows the voter's clock.
        let asks = matches!(self.state, State::PreCandidate { .. } | State::Candidate { .. });
        if asks && let Some(peer) = self.peers.get_mut(from.index) {
            peer.learn(sent);
        }
        let State::PreCandidate { round: current, ref mut granted } = self.state else { return };
        if round != current || !from.member.suffrage.votes() {
            return;
        }
        if verdict == Verdict::Granted && from.is_current {
            granted.insert(from.index);
            self.count_pre_votes();
        } else {
            let by = from.member.id;
            self.note(Reason::PreVoteRefused { by, verdict });
        }
    }

    fn count_pre_votes(&mut self) {
        let State::PreCandidate { granted, .. } = self.state else { return };
        if granted.count() >= self.config.quorum {
            self.campaign(Term(0));
        }
    }

    /// Enters the next term and asks for votes (thesis, section 3.4). The own vote counts when it is saved.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn campaign(&mut self, released: Term) {
        if !self.gate.stand_for_next_term(self.config.own.id) {
            return;
        }
        self.leader = None;
        self.state = State::Candidate { released, granted: Tally::default(), answered: Tally::default() };
        self.stats.elections = self.stats.elections.saturating_add(1);
        self.note(Reason::Campaigned { released });
        self.ask(Owed::Vote, Tally::default());
        self.restart_election_timer();
        self.restart_pulse();
    }

    pub(super) fn count_own_vote(&mut self) {
        let own = self.config.own.id;
        if self.gate.durable().is_some_and(|durable| durable.vote() == Some(own)) {
            self.count_vote(SELF);
        }
    }

    pub(super) fn handle_vote_reply(&mut self, from: Sender, verdict: Verdict, sent: Stamp) {
        let State::Candidate { ref mut answered, .. } = self.state else { return };
        if !from.member.suffrage.votes() {
            return;
        }
        if from.is_current {
            answered.insert(from.index);
        }
        if from.is_current && verdict == Verdict::Granted {
            if let Some(peer) = self.peers.get_mut(from.index) {
                peer.learn(sent);
            }
            self.count_vote(from.index);
        } else {
            let by = from.member.id;
            self.note(Reason::VoteRefused { by, verdict });
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn count_vote(&mut self, voter: usize) {
        let quorum = self.config.quorum;
        let State::Candidate { ref mut granted, .. } = self.state else { return };
        granted.insert(voter);
        // Without the own vote saved, the promise behind this term could be lost in a crash.
        if granted.has_own() && granted.count() >= quorum {
            let votes = granted.count();
            self.become_leader(votes);
        }
    }

    /// Repeats what has not been answered: datagrams get lost.
    pub(super) fn repeat_requests(&mut self) {
        match self.state {
            State::PreCandidate { granted, .. } => self.ask(Owed::PreVote, granted),
            State::Candidate { answered, .. } => self.ask(Owed::Vote, answered),
            State::Follower | State::Leader { .. } => return,
        }
        self.restart_pulse();
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn restart_pulse(&mut self) {
        self.timers.start(Timer::Pulse, after(self.now, self.config.timing.heartbeat_interval));
    }
}
