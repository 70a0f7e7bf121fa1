//! A leader: heartbeats, contact with a quorum, the lease, and the way out.

use embassy_time::{Duration, Instant};

use super::{Command, Election, Handover, Owed, State};
use crate::{
    stats::Reason,
    time::Timer,
    types::{NodeId, Suffrage, Term},
    wire::Stamp,
};

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CommandError {
    /// Only a leader can hand leadership over.
    NotLeader,
    /// The peer named is not a voter that answers and would lead; or there is none.
    NoSuccessor,
}

impl core::fmt::Display for CommandError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotLeader => "this node does not lead",
            Self::NoSuccessor => "no voter that could take over answers",
        })
    }
}

impl core::error::Error for CommandError {}

/// A preferred peer must answer without a gap for this many election timeouts before it is handed the leadership.
const PREFERRED_HEALTHY_TIMEOUTS: u32 = 10;

/// Doublings of that wait at most, one for each transfer that failed.
const PREFERRED_DOUBLINGS_MAX: u8 = 6;

impl<const PEERS_MAX: usize> Election<PEERS_MAX> {
    pub(super) fn become_leader(&mut self, now: Instant, votes: u32) {
        self.state = State::Leader { since: now, handover: None };
        self.leader = Some(self.config.own.id);
        for peer in &mut self.peers {
            peer.begin_leadership(now);
        }
        self.timers.stop(Timer::Election);
        self.timers.start(Timer::Quorum, now.saturating_add(self.config.timing.election_timeout_max));
        self.note(now, Reason::Elected { votes });
        self.send_heartbeats(now);
    }

    fn send_heartbeats(&mut self, now: Instant) {
        self.owe(Owed::Heartbeat, |_, _| true);
        self.restart_pulse(now);
    }

    pub(super) fn handle_pulse(&mut self, now: Instant) {
        let State::Leader { handover, .. } = self.state else {
            self.repeat_requests(now);
            return;
        };
        self.send_heartbeats(now);
        match handover {
            Some(Handover { to }) => self.owe_timeout_now(to),
            None => self.prefer_higher_priority(now),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn handle_heartbeat_reply(
        &mut self,
        now: Instant,
        from: usize,
        term: Term,
        echo: Stamp,
        sent: Stamp,
        promise_ms: u32,
        available: bool,
    ) {
        let State::Leader { since, .. } = self.state else { return };
        let sent_at = echo.instant();
        // Only a heartbeat of this leadership can be answered: its stamp is neither older than that nor of the future.
        if term != self.gate.term() || sent_at > now || echo < Stamp::of(since) {
            return;
        }
        let Timing { patience, promise } = self.timing_of(promise_ms);
        let Some(peer) = self.peers.get_mut(from) else { return };
        peer.stamp = sent;
        peer.available = available;
        if sent_at.saturating_duration_since(peer.acked) > patience {
            peer.healthy_since = sent_at;
        }
        peer.acked = peer.acked.max(sent_at);
        if promise > Duration::MIN {
            peer.promised_until = peer.promised_until.max(sent_at.saturating_add(promise));
        } else if !peer.hurried {
            // The peer does not know yet that we hear it: the next heartbeat, which shows it, goes at once.
            peer.hurried = true;
            peer.owe(Owed::Heartbeat);
        }
    }

    /// What a follower's promise is worth on this node's clock, if both clocks run as wrong as they may.
    fn timing_of(&self, promise_ms: u32) -> Timing {
        let drift = u64::from(self.config.timing.clock_drift_max_percent);
        let ticks = Duration::from_millis(u64::from(promise_ms)).as_ticks();
        let worth = ticks.saturating_mul(100_u64.saturating_sub(drift)) / (100_u64.saturating_add(drift));
        Timing { patience: self.config.timing.election_timeout_min, promise: Duration::from_ticks(worth) }
    }

    /// The latest moment that a quorum of voters has reached, this node included, of one moment for each peer. Goes from
    /// the latest moment to earlier ones; there are few, as peers answer the same heartbeats.
    fn quorum_moment(&self, of: impl Fn(&super::Peer) -> Instant) -> Instant {
        let mut reached = u32::from(self.config.own.suffrage.votes());
        let mut moment = Instant::MAX;
        while reached < self.quorum {
            let mut next = (Instant::MIN, 0_u32);
            for (peer, member) in self.peers.iter().zip(&self.config.peers) {
                let of_peer = of(peer);
                if !member.suffrage.votes() || of_peer >= moment || of_peer < next.0 {
                    continue;
                }
                let as_late = if of_peer == next.0 { next.1 } else { 0 };
                next = (of_peer, as_late.saturating_add(1));
            }
            if next.0 == Instant::MIN {
                return Instant::MIN;
            }
            moment = next.0;
            reached = reached.saturating_add(next.1);
        }
        moment
    }

    /// A leader that has not heard from a quorum for an election timeout steps down (thesis, section 6.2). The timer is
    /// not moved by every answer: when it ends, it is set again from what has been heard.
    pub(super) fn handle_quorum_timeout(&mut self, now: Instant) {
        if !matches!(self.state, State::Leader { .. }) {
            return;
        }
        let deadline = self.quorum_moment(|peer| peer.acked).saturating_add(self.config.timing.election_timeout_max);
        if deadline <= now {
            self.become_follower(now, Reason::QuorumLost);
        } else {
            self.timers.start(Timer::Quorum, deadline);
        }
    }

    /// When the lease ends: until then a quorum votes for nobody else, as each of its members has promised from the
    /// arrival of a heartbeat that was sent at a moment this node knows (thesis, section 6.4.1).
    pub(crate) fn lease_end(&self) -> Option<Instant> {
        match self.state {
            State::Leader { handover: None, .. } => Some(self.quorum_moment(|peer| peer.promised_until)),
            _ => None,
        }
    }

    pub(crate) fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        let now = self.advance(now);
        match command {
            Command::Transfer(to) => self.hand_over(now, to),
            Command::Resume => {
                self.paused = false;
                Ok(())
            }
            Command::Pause | Command::Resign => {
                self.paused = true;
                if matches!(self.state, State::PreCandidate { .. } | State::Candidate { .. }) {
                    self.become_follower(now, Reason::Paused);
                }
                if matches!(self.state, State::Leader { .. }) && self.hand_over(now, None).is_err() {
                    self.become_follower(now, Reason::Paused);
                }
                Ok(())
            }
        }
    }

    fn hand_over(&mut self, now: Instant, to: Option<NodeId>) -> Result<(), CommandError> {
        let State::Leader { ref handover, .. } = self.state else { return Err(CommandError::NotLeader) };
        if handover.is_some() {
            return Ok(());
        }
        let to = self.successor(now, to).ok_or(CommandError::NoSuccessor)?;
        if let State::Leader { ref mut handover, .. } = self.state {
            *handover = Some(Handover { to });
        }
        self.note(now, Reason::HandingOver { to });
        self.owe_timeout_now(to);
        self.timers.start(Timer::Transfer, now.saturating_add(self.config.timing.election_timeout_max));
        Ok(())
    }

    /// The peer named, or the best: of highest priority, heard most lately.
    fn successor(&self, now: Instant, to: Option<NodeId>) -> Option<NodeId> {
        let patience = self.config.timing.election_timeout_min;
        self.peers
            .iter()
            .zip(&self.config.peers)
            .filter(|(peer, member)| {
                member.suffrage == Suffrage::Voter
                    && peer.available
                    && now.saturating_duration_since(peer.acked) < patience
                    && to.is_none_or(|to| member.id == to)
            })
            .max_by_key(|(peer, member)| (member.priority, peer.acked))
            .map(|(_, member)| member.id)
    }

    fn owe_timeout_now(&mut self, to: NodeId) {
        let index = self.peer_index(to);
        if let Some(peer) = index.and_then(|index| self.peers.get_mut(index)) {
            peer.owe(Owed::TimeoutNow);
        }
    }

    /// The successor has not taken over in time. The lease of this term cannot come back, because the successor may
    /// still campaign on the strength of our request; so this node takes a new term, or steps down if it is leaving.
    pub(super) fn handle_transfer_timeout(&mut self, now: Instant) {
        if !matches!(self.state, State::Leader { .. }) {
            return;
        }
        self.transfers_failed = self.transfers_failed.saturating_add(1).min(PREFERRED_DOUBLINGS_MAX);
        let released = self.gate.term();
        self.become_follower(now, Reason::HandoverFailed);
        if self.may_campaign() {
            self.campaign(now, released);
        }
    }

    /// Hands the leadership to a healthy peer of higher priority, and waits longer after each failure.
    fn prefer_higher_priority(&mut self, now: Instant) {
        let own = self.config.own.priority;
        if self.config.peers.iter().all(|member| member.priority <= own) {
            return;
        }
        let doublings = u32::from(self.transfers_failed);
        let timeouts = PREFERRED_HEALTHY_TIMEOUTS.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        let Some(hold) = self.config.timing.election_timeout_max.checked_mul(timeouts) else { return };
        let preferred = self.successor(now, None).and_then(|id| {
            let index = self.peer_index(id)?;
            let healthy = now.saturating_duration_since(self.peers.get(index)?.healthy_since) >= hold;
            (healthy && self.config.peers.get(index)?.priority > own).then_some(id)
        });
        if preferred.is_some() && self.hand_over(now, preferred).is_err() {
            debug!("the preferred peer is gone");
        }
    }
}

struct Timing {
    patience: Duration,
    promise: Duration,
}
