//! What must never happen, and what must happen in time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use symphony_core::{Alarm, Member, NodeId, Role, Suffrage};

use crate::{
    plan::Saved,
    wire::{Said, SaidBody, SaidVerdict},
};

/// A promise of the core that the simulator holds it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one leader in a term (thesis, figure 3.2, election safety): nobody else sends heartbeats or asks a peer to
    /// take over.
    OneLeaderPerTerm,
    /// At most one vote of a node in a term, across restarts.
    OneVotePerTerm,
    /// The term that a node tells never falls, across restarts.
    TermsNeverFall,
    /// While a node holds a lease, nobody else holds one or leads in a later term.
    OneLease,
    /// What a node says is on its disk, and so is the vote that it leads by.
    SavedBeforeSent,
    /// Witnesses and observers do not campaign, and observers have no vote.
    OnlyVotersCampaign,
    /// A healthy leader keeps its term when cut off nodes come back.
    HealthyLeaderStays,
    /// Nothing but a preferred peer ends the leadership in a healthy cluster.
    HealthyClusterIsQuiet,
    /// A healthy preferred peer gets the leadership, at one change of leader for each step up.
    PreferredTakesOver,
    /// Who was told not to campaign does not, and leads in no later term.
    PausedStandsBack,
    /// A leader that was told to hand over is out of that office within its election timeout, whoever takes over.
    TransferEnds,
    /// The peer that is asked to take over is the one that was named.
    TransferGoesWhereTold,
    /// What the events have told is what the node shows; only good news waits, for the record to be saved.
    EventsTellAll,
    /// Heartbeats of a dead leader, held back and let go one by one, keep nobody from asking for votes.
    HeldBackQuietsNobody,
    /// The deadline has come while there is something to poll, and lies ahead when there is nothing.
    HonestDeadline,
    /// Polling ends.
    PollingEnds,
    /// A message is accepted, if it was sealed for its receiver's present start by the start of its sender that the
    /// receiver has met, has not come before and is not overtaken by 64 others.
    MembersAreHeard,
    /// No other datagram is accepted: none forged, damaged, replayed, reflected, or meant for another start.
    OnlyTheGenuineCounts,
    /// A datagram that is refused, and a hello, leave a node as it was; a refused one puts off no deadline.
    RefusedChangesNothing,
    /// The start of a peer is replaced only by a later one of the same installation.
    LaterStartsOnly,
    /// A datagram is sealed as `symphony_core::secure` says.
    SealedAsSpecified,
    /// No two datagrams have the same nonce.
    NonceOnce,
    /// Only copies, old records and new installations raise alarms, and retire.
    NoFalseAlarm,
    /// A node that has retired says nothing.
    RetiredAreSilent,
    /// Copies, old records and new installations that reach those who know better retire.
    OldRecordsAreFoundOut,
    /// A healthy cluster has a leader within 50 election timeouts, and all nodes know it.
    LeaderInTime,
    /// A healthy cluster hardly ever needs more than 10 election timeouts: not judged by a single run.
    LeaderMostlyInTime,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// True time, microseconds.
    pub at_us: u64,
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
}

/// What a node shows at a moment, to be judged with the others.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Its term.
    pub term: u64,
    /// What it is.
    pub role: Role,
    /// It holds a lease, whether it could ask for it now or is paused: its clock goes on.
    pub lease: bool,
}

/// The memory of what has been said and done; it keeps the first violation.
#[derive(Clone, Debug)]
pub struct Checker {
    members: Vec<Member>,
    leaders: BTreeMap<u64, usize>,
    votes: BTreeMap<(usize, u64), NodeId>,
    terms_told: Vec<u64>,
    leases_hold: bool,
    /// Machines that run on another record than their peers know.
    suspects: BTreeSet<usize>,
    violation: Option<Violation>,
}

impl Checker {
    /// A checker that has seen nothing. Leases are judged only where the clocks keep to their bound.
    #[must_use]
    pub fn new(members: &[Member], leases_hold: bool) -> Self {
        Self {
            members: members.to_vec(),
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            terms_told: vec![0; members.len()],
            leases_hold,
            suspects: BTreeSet::new(),
            violation: None,
        }
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Terms that had a leader.
    #[must_use]
    pub fn leaders(&self) -> &BTreeMap<u64, usize> {
        &self.leaders
    }

    /// Another machine, with the identity of a member.
    pub fn add(&mut self, member: Member) {
        self.members.push(member);
        self.terms_told.push(0);
    }

    /// From here on, alarms about this machine are right.
    pub fn suspect(&mut self, machine: usize) {
        self.suspects.insert(machine);
        // Nothing that it says from here on is the word of the node that it stands for.
        self.terms_told[machine] = 0;
    }

    /// Machines that should retire.
    #[must_use]
    pub fn suspects(&self) -> &BTreeSet<usize> {
        &self.suspects
    }

    /// Judges an alarm.
    pub fn alarmed(&mut self, at_us: u64, machine: usize, alarm: Alarm) {
        let is_right = match alarm {
            Alarm::Retired(_) => self.suspects.contains(&machine),
            Alarm::Impostor { peer } | Alarm::PeerRolledBack { peer } => {
                self.suspects.iter().any(|suspect| self.members[*suspect].id == peer)
            }
            _ => false,
        };
        if !is_right {
            self.fail(at_us, Invariant::NoFalseAlarm, || format!("n{}: {alarm}", machine + 1));
        }
    }

    /// Leases are not judged from here on: a clock has left its bound.
    pub fn stop_judging_leases(&mut self) {
        self.leases_hold = false;
    }

    /// Notes a violation, if it is the first.
    pub fn fail(&mut self, at_us: u64, invariant: Invariant, detail: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { at_us, invariant, detail: detail() });
        }
    }

    /// Judges a datagram as it leaves: what it says against what is on the disk.
    pub fn sent(
        &mut self,
        at_us: u64,
        node: usize,
        to: NodeId,
        said: Option<Said>,
        memory: &Saved,
        disk: Option<Saved>,
    ) {
        let id = self.members[node].id;
        if memory.retired {
            self.fail(at_us, Invariant::RetiredAreSilent, || format!("n{} speaks to n{}", id.0, to.0));
        }
        if disk.as_ref() != Some(memory) {
            let invariant = Invariant::SavedBeforeSent;
            self.fail(at_us, invariant, || format!("n{} sends with {memory:?}, its disk has {disk:?}", id.0));
        }
        let Some(said) = said else { return };
        if said.term != memory.term.0 {
            self.fail(at_us, Invariant::SavedBeforeSent, || {
                format!("n{} says {said}, it is in {:?}", id.0, memory.term)
            });
        }
        if said.term < self.terms_told[node] {
            let before = self.terms_told[node];
            self.fail(at_us, Invariant::TermsNeverFall, || format!("n{} says {said}, after term {before}", id.0));
        }
        self.terms_told[node] = self.terms_told[node].max(said.term);
        match said.body {
            SaidBody::Vote { .. } => self.voted(at_us, node, said.term, id, memory),
            SaidBody::VoteReply { verdict: SaidVerdict::Granted } => self.voted(at_us, node, said.term, to, memory),
            SaidBody::Heartbeat { .. } | SaidBody::TimeoutNow { .. } => self.leads(at_us, node, said.term),
            _ => {}
        }
    }

    fn leads(&mut self, at_us: u64, node: usize, term: u64) {
        let first = *self.leaders.entry(term).or_insert(node);
        if first != node {
            self.fail(at_us, Invariant::OneLeaderPerTerm, || {
                format!("n{} and n{} lead in term {term}", self_id(first), self_id(node))
            });
        }
    }

    fn voted(&mut self, at_us: u64, node: usize, term: u64, candidate: NodeId, memory: &Saved) {
        let id = self.members[node].id;
        if memory.vote != Some(candidate) {
            let invariant = Invariant::SavedBeforeSent;
            self.fail(at_us, invariant, || format!("n{} votes for n{}, and has saved {memory:?}", id.0, candidate.0));
        }
        if self.members[node].suffrage == Suffrage::Observer {
            self.fail(at_us, Invariant::OnlyVotersCampaign, || format!("n{}, an observer, votes", id.0));
        }
        let earlier = *self.votes.entry((node, term)).or_insert(candidate);
        if earlier != candidate {
            let detail = || format!("n{} votes for n{} in term {term}, after n{}", id.0, candidate.0, earlier.0);
            self.fail(at_us, Invariant::OneVotePerTerm, detail);
        }
    }

    /// Judges all nodes at one moment; nodes that do not run show nothing.
    pub fn look(&mut self, at_us: u64, shown: &[Option<Shown>]) {
        for (node, shown) in shown.iter().enumerate() {
            let Some(Shown { term, role, .. }) = *shown else { continue };
            if role == Role::Follower {
                continue;
            }
            let member = self.members[node];
            if member.suffrage != Suffrage::Voter {
                self.fail(at_us, Invariant::OnlyVotersCampaign, || {
                    format!("n{}, a {:?}, is a {role:?}", member.id.0, member.suffrage)
                });
            }
            if role == Role::Leader {
                self.leads(at_us, node, term);
            }
        }
        if self.leases_hold {
            self.look_at_leases(at_us, shown);
        }
    }

    fn look_at_leases(&mut self, at_us: u64, shown: &[Option<Shown>]) {
        for (holder, held) in shown.iter().enumerate() {
            let Some(held) = held.filter(|held| held.lease) else { continue };
            for (other, seen) in shown.iter().enumerate().filter(|(other, _)| *other != holder) {
                let Some(seen) = seen else { continue };
                let leads_later = seen.role == Role::Leader && seen.term > held.term;
                if seen.lease || leads_later {
                    self.fail(at_us, Invariant::OneLease, || {
                        let what = if seen.lease { "holds one, too" } else { "leads" };
                        let (holder, other) = (self_id(holder), self_id(other));
                        format!("n{holder} holds a lease in term {}, n{other} {what} in term {}", held.term, seen.term)
                    });
                }
            }
        }
    }
}

/// The id of the node at an index.
fn self_id(index: usize) -> usize {
    index + 1
}
