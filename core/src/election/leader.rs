//! A leader: heartbeats, contact with a quorum, the lease, and the way out.

use embassy_time::{Duration, Instant};

use super::{Command, Election, Handover, Owed, Peer, Sender, State};
use crate::{
    config::{Member, Ticks},
    stats::Reason,
    time::{Timer, after, clamp, divide, since},
    types::{NodeId, Suffrage},
    wire::Stamp,
};

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CommandError {
    /// Only a leader can hand leadership over.
    NotLeader,
    /// This node has retired.
    Retired,
    /// The peer named is not a voter that answers and would lead; or there is none.
    NoSuccessor,
    /// Another peer has been asked to take over, and that cannot be taken back.
    HandingOver {
        /// Who has been asked.
        to: NodeId,
    },
}

impl core::fmt::Display for CommandError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotLeader => f.write_str("this node does not lead"),
            Self::Retired => f.write_str("this node has retired"),
            Self::NoSuccessor => f.write_str("no voter that could take over answers"),
            Self::HandingOver { to } => write!(f, "leadership is being handed over to node {}", to.0),
        }
    }
}

impl core::error::Error for CommandError {}

/// A preferred peer must answer without a gap for this many election timeouts before it is handed the leadership, and
/// lead for as many before the transfer counts as a success.
const PREFERRED_HEALTHY_TIMEOUTS: u32 = 10;

/// Doublings of that wait at most, one for each transfer that has not succeeded.
const PREFERRED_DOUBLINGS_MAX: u8 = 6;

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    pub(super) fn become_leader(&mut self, votes: u32) {
        self.state = State::Leader { since: self.now, handover: None };
        self.leader = Some(self.config.own.id);
        for peer in &mut self.peers {
            peer.begin_leadership(self.now);
        }
        self.timers.stop(Timer::Election);
        self.timers.start(Timer::Quorum, after(self.now, self.config.timing.election_timeout_max));
        self.note(Reason::Elected { votes });
        self.send_heartbeats();
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn send_heartbeats(&mut self) {
        for peer in &mut self.peers {
            peer.owe(Owed::Heartbeat);
        }
        self.restart_pulse();
    }

    pub(super) fn handle_pulse(&mut self) {
        let State::Leader { handover, .. } = self.state else {
            self.repeat_requests();
            return;
        };
        self.send_heartbeats();
        match handover {
            Some(Handover { to }) => self.owe_timeout_now(to),
            None => self.prefer_higher_priority(),
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn handle_heartbeat_reply(
        &mut self,
        from: Sender,
        echo: Stamp,
        sent: Stamp,
        promise_ms: u32,
        available: bool,
    ) {
        let State::Leader { since: elected_at, .. } = self.state else { return };
        let sent_at = echo.instant();
        // Only a heartbeat of this leadership can be answered: its stamp is neither older than that nor of the future.
        if !from.is_current || sent_at > self.now || echo < Stamp::of(elected_at) {
            return;
        }
        let patience = self.config.timing.election_timeout_min;
        let promise = self.worth_of(promise_ms);
        let Some(peer) = self.peers.get_mut(from.index) else { return };
        peer.learn(sent);
        peer.available = available;
        if since(sent_at, peer.acked) > patience {
            peer.healthy_since = sent_at;
        }
        peer.acked = peer.acked.max(sent_at);
        if promise > 0 {
            peer.promised_until = peer.promised_until.max(after(sent_at, promise));
        } else if !peer.hurried {
            // The peer does not know yet that we hear it: the next heartbeat, which shows it, goes at once.
            peer.hurried = true;
            peer.owe(Owed::Heartbeat);
        }
    }

    /// What a follower's promise is worth on this node's clock, in ticks, if both clocks run as wrong as they may.
    fn worth_of(&self, promise_ms: u32) -> u32 {
        let drift = self.config.timing.clock_drift_max_percent;
        let ticks = Duration::from_millis(u64::from(promise_ms)).as_ticks();
        clamp(divide(ticks * u64::from(100 - drift), 100 + u16::from(drift)))
    }

    /// The latest moment that a quorum of voters has reached, this node included, of one moment for each peer. Goes from
    /// the latest moment to earlier ones; there are few, as peers answer the same heartbeats.
    #[cfg_attr(target_os = "none", inline(never))]
    fn quorum_moment(&self, moment_of: Moment) -> Instant {
        let mut reached = u32::from(self.config.own.suffrage.votes());
        let mut moment = Instant::MAX;
        while reached < self.config.quorum {
            let mut next = (Instant::MIN, 0_u32);
            for peer in &self.peers {
                let of_peer = match moment_of {
                    Moment::Acked => peer.acked,
                    Moment::PromisedUntil => peer.promised_until,
                };
                if !peer.member.suffrage.votes() || of_peer >= moment || of_peer < next.0 {
                    continue;
                }
                let as_late = if of_peer == next.0 { next.1 } else { 0 };
                next = (of_peer, as_late + 1);
            }
            if next.0 == Instant::MIN {
                return Instant::MIN;
            }
            moment = next.0;
            reached += next.1;
        }
        moment
    }

    /// A leader that has not heard from a quorum for an election timeout steps down (thesis, section 6.2). The timer is
    /// not moved by every answer: when it ends, it is set again from what has been heard.
    pub(super) fn handle_quorum_timeout(&mut self) {
        if !matches!(self.state, State::Leader { .. }) {
            return;
        }
        let deadline = after(self.quorum_moment(Moment::Acked), self.config.timing.election_timeout_max);
        if deadline <= self.now {
            self.become_follower(Reason::QuorumLost);
        } else {
            self.timers.start(Timer::Quorum, deadline);
        }
    }

    /// When the lease ends: until then a quorum votes for nobody else, as each of its members has promised from the
    /// arrival of a heartbeat that was sent at a moment this node knows (thesis, section 6.4.1). The first moment there is
    /// if there is no lease.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn lease_end(&self) -> Instant {
        match self.state {
            State::Leader { handover: None, .. } => self.quorum_moment(Moment::PromisedUntil),
            _ => Instant::MIN,
        }
    }

    pub(super) fn has_lease(&self) -> bool {
        self.lease_end() > self.now
    }

    /// Carries out a command.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        self.advance(now);
        match command {
            Command::Transfer(to) => self.hand_over(to),
            Command::Resume => {
                self.paused = false;
                Ok(())
            }
            Command::Pause | Command::Resign => {
                self.paused = true;
                let steps_down = match self.state {
                    State::Follower => false,
                    State::PreCandidate { .. } | State::Candidate { .. } => true,
                    State::Leader { .. } => self.hand_over(None).is_err(),
                };
                if steps_down {
                    self.become_follower(Reason::Paused);
                }
                Ok(())
            }
            Command::RaiseTerm(term) => {
                if term > self.gate.term() {
                    self.enter_term(term, Reason::TermRaised { term });
                }
                Ok(())
            }
        }
    }

    fn hand_over(&mut self, to: Option<NodeId>) -> Result<(), CommandError> {
        let State::Leader { ref handover, .. } = self.state else { return Err(CommandError::NotLeader) };
        if let Some(Handover { to: successor }) = *handover {
            let is_the_same = to.is_none_or(|to| to == successor);
            return if is_the_same { Ok(()) } else { Err(CommandError::HandingOver { to: successor }) };
        }
        let to = self.successor(to, 0).ok_or(CommandError::NoSuccessor)?.id;
        self.begin_handover(to);
        Ok(())
    }

    fn begin_handover(&mut self, to: NodeId) {
        if let State::Leader { ref mut handover, .. } = self.state {
            *handover = Some(Handover { to });
        }
        self.note(Reason::HandingOver { to });
        self.owe_timeout_now(to);
        self.timers.start(Timer::Transfer, after(self.now, self.config.timing.election_timeout_max));
    }

    /// The peer named, or the best of those that have been healthy for so many ticks: of highest priority, and heard last.
    #[cfg_attr(target_os = "none", inline(never))]
    fn successor(&self, to: Option<NodeId>, healthy: u32) -> Option<&Member> {
        let patience = self.config.timing.election_timeout_min;
        let mut best: Option<&Peer> = None;
        for peer in &self.peers {
            let may = peer.member.suffrage == Suffrage::Voter
                && peer.available
                && since(self.now, peer.acked) < patience
                && since(self.now, peer.healthy_since) >= healthy
                && to.is_none_or(|to| peer.member.id == to);
            let rank = |peer: &Peer| (peer.member.priority, peer.acked);
            if may && best.is_none_or(|other| rank(other) <= rank(peer)) {
                best = Some(peer);
            }
        }
        best.map(|peer| &peer.member)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn owe_timeout_now(&mut self, to: NodeId) {
        let index = self.peer_index(to);
        if let Some(peer) = index.and_then(|index| self.peers.get_mut(index)) {
            peer.owe(Owed::TimeoutNow);
        }
    }

    /// The successor has not taken over in time. The lease of this term cannot come back, because the successor may
    /// still campaign on the strength of our request; so this node takes a new term, or steps down if it is leaving.
    pub(super) fn handle_transfer_timeout(&mut self) {
        if !matches!(self.state, State::Leader { .. }) {
            return;
        }
        let released = self.gate.term();
        self.become_follower(Reason::HandoverFailed);
        if self.may_campaign() {
            self.campaign(released);
        }
    }

    /// Hands the leadership to a healthy peer of higher priority, and waits twice as long the next time, unless that peer
    /// proves itself: one that cannot win, or cannot stay, would take the leadership for ever.
    fn prefer_higher_priority(&mut self) {
        let own = self.config.own.priority;
        if self.peers.iter().all(|peer| peer.member.priority <= own) {
            return;
        }
        let hold = preferred_hold(&self.config.timing, self.transfers_unproved);
        let Some(preferred) = self.successor(None, hold).filter(|member| member.priority > own) else { return };
        self.preferred = preferred.id;
        self.transfers_unproved = PREFERRED_DOUBLINGS_MAX.min(self.transfers_unproved + 1);
        self.begin_handover(self.preferred);
    }
}

/// For how many ticks a preferred peer must be healthy, or lead: an hour and some minutes at most.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn preferred_hold(timing: &Ticks, doublings: u8) -> u32 {
    timing.election_timeout_max.saturating_mul(PREFERRED_HEALTHY_TIMEOUTS << doublings)
}

/// Which moment of a peer counts.
#[derive(Clone, Copy)]
enum Moment {
    Acked,
    PromisedUntil,
}
