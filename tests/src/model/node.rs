//! One node of the model: a real election, its disk and its clock, driven by single steps.

use symphony_core::{
    Body, ClusterId, Command, Config, Duration, Election, Instant, Key, KeyRing, Member, Message, NodeId, Role, Stamp,
    Term, Timing, Verdict,
};

use super::{
    Bound, Fault, NODES, broken,
    canonical::{self, Clock, ELECTION_SLOT},
    debug::Tree,
    said::{Arrival, Kind, Shown},
};

/// Peers of a node.
const PEERS: usize = NODES - 1;

type Saved = symphony_core::Saved<PEERS>;

/// Step of a clock, milliseconds: any election timeout.
const STEP_MS: u64 = 100;

/// What clocks show at the start, steps.
const START: u64 = 1000;

/// The stamp that every sender's clock shows: whoever gets one can only give it back.
const SENT: Stamp = Stamp(1);

/// What can happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// Its clock moves on by a step; it is not told yet.
    ClockMoves,
    /// It is told the time when something is due.
    Timeout,
    /// The record on its way reaches the disk.
    Stored,
    /// It is told so.
    Acknowledged,
    /// It stops, and starts again with what the disk has.
    Restart,
    /// It is told to hand its leadership over to the node at this place.
    Transfer(usize),
    /// A message comes.
    Arrival(Arrival),
}

impl Event {
    /// All that can happen to the node at place `own`.
    pub(super) fn all(own: usize, term_max: u8) -> Vec<Self> {
        let mut all = vec![Self::ClockMoves, Self::Timeout, Self::Stored, Self::Acknowledged, Self::Restart];
        all.extend((0..NODES).filter(|to| *to != own).map(Self::Transfer));
        all.extend(Arrival::all(own, term_max).into_iter().map(Self::Arrival));
        all
    }
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    election: Election<PEERS>,
    own: usize,
    /// See [`Bound::finer`].
    finer: bool,
    clock: u64,
    disk: Saved,
    /// What it has been told is on the disk, or soon will be; a disk that lies has something else.
    told: Saved,
    flight: Option<Flight>,
    /// Stamp of its round of pre-votes, if it is in one.
    round: Stamp,
    /// When its election timeout is over, ticks.
    election_ends: u64,
    /// What tells this state from others.
    pub(super) digest: u64,
}

/// A record handed out and not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flight {
    record: Saved,
    stored: bool,
}

/// What came of an event.
pub(super) struct Outcome {
    pub(super) node: Node,
    pub(super) shown: Option<Shown>,
    pub(super) broken: u8,
}

impl Node {
    /// A node on its first start.
    pub(super) fn new(own: usize, finer: bool) -> Self {
        let disk = Saved::provision([0; 8]);
        let mut node = Self {
            election: Election::new(config(own), disk.clone(), instant(0)),
            own,
            finer,
            clock: 0,
            told: disk.clone(),
            disk,
            flight: None,
            round: Stamp(0),
            election_ends: 0,
            digest: 0,
        };
        node.settle();
        node
    }

    /// Lets an event happen, if it can.
    pub(super) fn after(&self, event: Event, bound: &Bound) -> Option<Outcome> {
        let mut node = self.clone();
        let now = instant(node.clock);
        let mut shown = None;
        match event {
            Event::ClockMoves => node.clock += 1,
            Event::Timeout => node.time_out(),
            Event::Stored => shown = node.store(bound)?,
            Event::Acknowledged => {
                let early = bound.fault == Some(Fault::AcknowledgedEarly);
                let flight = node.flight.take_if(|flight| flight.stored || early)?;
                node.election.handle_persisted(now, &flight.record);
            }
            Event::Restart => node.restart(now, bound),
            Event::Transfer(to) => node.election.handle_command(now, Command::Transfer(Some(id(to)))).ok()?,
            Event::Arrival(arrival) => node.get(now, arrival),
        }
        let mut broken = 0;
        if event != Event::Restart && node.election.saved().term < self.election.saved().term {
            broken |= broken::TERM_FELL;
        }
        broken |= node.settle();
        if node.leads() && !(self.leads() && self.election.saved().term == node.election.saved().term) {
            shown = Some(Shown::Leads { term: node.term() });
        }
        Some(Outcome { node, shown, broken })
    }

    pub(super) fn term(&self) -> u8 {
        u8::try_from(self.election.saved().term.0).unwrap_or(u8::MAX)
    }

    fn leads(&self) -> bool {
        self.election.role() == Role::Leader
    }

    /// Tells the election the time. A node that waits for its election timeout waits until it is over.
    fn time_out(&mut self) {
        if !self.leads() && self.election_ends > instant(self.clock).as_ticks() {
            self.clock += 1;
        }
        self.election.handle_timeout(instant(self.clock));
    }

    fn restart(&mut self, now: Instant, bound: &Bound) {
        let mut read = self.disk.clone();
        // The count of starts is not told apart, so it need not grow either.
        read.boot.0 = 0;
        if bound.fault == Some(Fault::VoteForgotten) {
            read.vote = None;
        }
        self.told = self.disk.clone();
        self.flight = None;
        self.election = Election::new(config(self.own), read, now);
    }

    fn store(&mut self, bound: &Bound) -> Option<Option<Shown>> {
        let flight = self.flight.as_mut().filter(|flight| !flight.stored)?;
        flight.stored = true;
        let record = flight.record.clone();
        let new = (record.term, record.vote) != (self.told.term, self.told.vote);
        let vote = record.vote.map(|vote| u8::try_from(place(vote)).unwrap_or(u8::MAX));
        let term = u8::try_from(record.term.0).unwrap_or(u8::MAX);
        if bound.fault != Some(Fault::NothingStored) {
            self.disk = record.clone();
        }
        self.told = record;
        Some(new.then_some(Shown::Saved { term, vote }))
    }

    /// Gives the election a message of the kind.
    fn get(&mut self, now: Instant, Arrival { from, term, kind }: Arrival) {
        let stamp = |fresh| if fresh { Stamp::of(now) } else { Stamp(0) };
        let body = match kind {
            Kind::Heartbeat { fresh } => Body::Heartbeat { sent: SENT, echo: stamp(fresh) },
            Kind::HeartbeatReply { steps_ago, promise, available } => Body::HeartbeatReply {
                echo: Stamp(Stamp::of(now).0 - u64::from(steps_ago) * STEP_MS),
                sent: SENT,
                promise_ms: if promise { 100 } else { 0 },
                available,
            },
            Kind::PreVote => Body::PreVote { round: SENT },
            Kind::PreVoteGranted => Body::PreVoteReply { round: self.round, verdict: Verdict::Granted, sent: SENT },
            Kind::Refused => Body::VoteReply { verdict: Verdict::StaleTerm, sent: SENT },
            Kind::Vote { released } => Body::Vote { released: Term(u64::from(released)) },
            Kind::VoteGranted => Body::VoteReply { verdict: Verdict::Granted, sent: SENT },
            Kind::TimeoutNow { fresh } => Body::TimeoutNow { echo: stamp(fresh) },
        };
        let from = self.election.peer_index(id(from)).expect("the sender is a peer");
        self.election.handle_message(now, from, Message { term: Term(u64::from(term)), body });
    }

    /// Takes out of the election what waits, as its contract asks after every call, and looks whether it may say so.
    fn settle(&mut self) -> u8 {
        let now = instant(self.clock);
        if self.flight.is_none() {
            self.flight = self.election.poll_persist().map(|record| Flight { record, stored: false });
        }
        let mut broken = 0;
        while let Some((to, message)) = self.election.poll_message(now) {
            let to = self.election.peers(now).nth(to).expect("a message is for a peer").id;
            if !self.may_say(&message, to) {
                broken |= broken::SAID_UNSAVED;
            }
        }
        while self.election.poll_event(now).is_some() {}
        let text = format!("{:?}", self.election);
        let election = &Tree::read(&text);
        let state = election.field("state");
        let own_vote_counted = match state.name {
            "Candidate" => state.field("granted").number() >> 63 != 0,
            name => name == "Leader",
        };
        if own_vote_counted && (self.told.term != self.election.saved().term || self.told.vote != Some(id(self.own))) {
            broken |= broken::COUNTED_EARLY;
        }
        self.round = if state.name == "PreCandidate" { Stamp(state.field("round").number()) } else { Stamp(0) };
        self.election_ends = election.field("timers").inner().elements().nth(ELECTION_SLOT).map_or(0, Tree::number);
        self.digest = self.digest_of(election);
        broken
    }

    fn digest_of(&self, election: &Tree<'_>) -> u64 {
        let clock = Clock {
            now: self.clock,
            start: instant(0).as_ticks(),
            step: Duration::from_millis(STEP_MS).as_ticks(),
            past_max: 1,
            finer: self.finer,
        };
        let record = |saved: &Saved| saved.term.0 << 2 | saved.vote.map_or(0, |vote| u64::from(vote.0));
        let flight = self.flight.as_ref().map_or(0, |flight| 1 + u64::from(flight.stored) + 4 * record(&flight.record));
        let around = record(&self.disk) << 8 | record(&self.told) << 16 | flight << 24;
        canonical::digest(election, &clock) ^ around.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Whether the network of [`super::said`] has this message: if all that nodes send passes here, it can bring all
    /// that nodes send, late, twice, out of order or never.
    fn may_say(&self, message: &Message, to: NodeId) -> bool {
        let word = match message.body {
            Body::Vote { released } => self.told.vote == Some(id(self.own)) && released < message.term,
            Body::VoteReply { verdict: Verdict::Granted, .. } => self.told.vote == Some(to),
            Body::Heartbeat { .. } | Body::TimeoutNow { .. } => self.leads(),
            Body::HeartbeatReply { .. } | Body::PreVote { .. } | Body::PreVoteReply { .. } | Body::VoteReply { .. } => {
                true
            }
        };
        word && message.term == self.told.term && message.term == self.election.saved().term
    }
}

fn id(place: usize) -> NodeId {
    NodeId(u16::try_from(place + 1).unwrap_or(u16::MAX))
}

fn place(id: NodeId) -> usize {
    usize::from(id.0) - 1
}

fn instant(clock: u64) -> Instant {
    Instant::from_millis((START + clock) * STEP_MS)
}

fn config(own: usize) -> Config<PEERS> {
    let timing = Timing {
        heartbeat_interval: Duration::from_millis(STEP_MS / 2),
        election_timeout_min: Duration::from_millis(STEP_MS),
        election_timeout_max: Duration::from_millis(STEP_MS),
        clock_drift_max_percent: 0,
    };
    let members = [1, 2, 3].map(Member::voter);
    let keys = KeyRing::new(Key::new(1, [1; 32]));
    Config::new(ClusterId([1; 16]), id(own), &members, timing, keys, 0).expect("the configuration is valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_in_a_node_that_may_speak_is_its_election_timer() {
        let bound = Bound { term_max: 1, finer: false, fault: None };
        let node = Node::new(0, false);
        let node = node.after(Event::Stored, &bound).unwrap().node.after(Event::Acknowledged, &bound).unwrap().node;
        let text = format!("{:?}", node.election);
        let timers = Tree::read(&text);
        let running: Vec<_> =
            timers.field("timers").inner().elements().map(|timer| timer.number() < u64::MAX).collect();
        assert_eq!(running.iter().position(|runs| *runs), Some(ELECTION_SLOT));
        assert_eq!(running.iter().filter(|runs| **runs).count(), 1);
    }
}
