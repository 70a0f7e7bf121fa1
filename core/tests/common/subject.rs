//! A node to which anything may happen, and what must hold whatever happens: nothing panics, terms never fall, a vote
//! never changes within a term, nothing is said before it is saved, and every poll comes to an end.
//!
//! The module knows nothing of the test that drives it: property tests, fuzz targets and the replay of their corpus
//! share it, and with it one meaning of the bytes in a corpus.

#![allow(dead_code, unreachable_pub, reason = "every user of this module has its own part of it")]
#![allow(clippy::expect_used, reason = "a test that goes wrong may panic")]

use std::{collections::BTreeMap, sync::LazyLock};

use arbitrary::{Arbitrary, Unstructured};
use symphony_core::{
    Body, Command, Config, DATAGRAM_SIZE_MAX, DatagramError, Duration, Endpoint, Event, Instant, KnownPeer, Member,
    Message, NodeId, Role, Saved, Stamp, Suffrage, Term, Timing, Verdict,
};

use super::{
    operations::{Answer, Disk, Moment, Operation, Order, Said, Sender, View, What, When},
    puppet::{self, Puppet},
};

const PEERS: usize = 4;
/// Kinds of message that may wait for one peer.
const KINDS: usize = 7;
/// A hello, and an answer to one, to every peer.
const HELLOS: usize = 2;
/// The leader is gone, another has come, and the lease with them.
const EVENTS_MAX: usize = 4;
const OPERATIONS_MAX: usize = 400;

/// A node with its disk, and what it has said so far.
#[derive(Clone, Debug)]
pub struct Subject {
    node: Endpoint<PEERS>,
    own: Member,
    now: Instant,
    before: Saved<PEERS>,
    on_disk: Option<Saved<PEERS>>,
    taken: Vec<Saved<PEERS>>,
    others: BTreeMap<NodeId, Puppet>,
    told: BTreeMap<NodeId, Stamp>,
    granted: BTreeMap<Term, NodeId>,
}

/// How far a node has come before the test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
pub enum Stage {
    New,
    /// Stands by a leader that it may have forgotten.
    Follower,
    /// Stands by nobody any more, and does not campaign yet.
    Free,
    PreCandidate,
    Candidate,
    Leader,
    LeaderWithLease,
    LeaderHandingOver,
}

impl Stage {
    const ALL: [Self; 8] = [
        Self::New,
        Self::Follower,
        Self::Free,
        Self::PreCandidate,
        Self::Candidate,
        Self::Leader,
        Self::LeaderWithLease,
        Self::LeaderHandingOver,
    ];
}

/// A node at some stage, and a sequence of operations.
#[derive(Clone, Debug, Arbitrary)]
pub struct Story {
    id: u8,
    start: u64,
    stage: Stage,
    operations: Vec<Operation>,
}

/// A node at some stage, and a sequence of messages.
#[derive(Clone, Debug, Arbitrary)]
pub struct Conversation {
    stage: Stage,
    messages: Vec<Said>,
}

/// Reads what a fuzzer has written; none where it is too short.
pub fn read<T: for<'a> Arbitrary<'a>>(bytes: &[u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// Bytes from anywhere reach a node at every stage, as a datagram and as a message behind a header that passes.
pub fn hold_raw_bytes(bytes: &[u8]) {
    static AT_EVERY_STAGE: LazyLock<[Subject; 8]> = LazyLock::new(|| Stage::ALL.map(|stage| Subject::at(1, 0, stage)));
    for subject in AT_EVERY_STAGE.iter() {
        subject.clone().apply(&Operation::Datagram(bytes.to_vec()));
        for from in [2, 4, 5] {
            let from = Sender(NodeId(from));
            subject.clone().apply(&Operation::Body { from, body: bytes.to_vec() });
        }
    }
}

/// Well-formed messages reach a node, in any order and from every member.
pub fn hold_messages(conversation: &Conversation) {
    let mut subject = Subject::at(1, 0, conversation.stage);
    for said in conversation.messages.iter().take(OPERATIONS_MAX) {
        subject.apply(&Operation::Message(said.clone()));
        subject.apply(&Operation::Disk(Disk::Save));
    }
}

/// Anything happens to a node.
pub fn hold_operations(story: &Story) {
    let mut subject = Subject::at(u16::from(story.id % 5) + 1, story.start, story.stage);
    for operation in story.operations.iter().take(OPERATIONS_MAX) {
        subject.apply(operation);
    }
}

impl Subject {
    fn new(id: u16, start: u64) -> Self {
        let members = members();
        let own = members.into_iter().find(|member| member.id == NodeId(id)).expect("one of the members");
        let now = Instant::from_ticks(start);
        let node = Endpoint::new(config(own.id), provisioned(own.id), now);
        let before = node.saved().clone();
        let (taken, told, granted) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { node, own, now, before, on_disk: None, taken, others: BTreeMap::new(), told, granted }
    }

    /// A node led to a stage by nothing but operations; one that may not go that far stays behind.
    pub fn at(id: u16, start: u64, stage: Stage) -> Self {
        let mut subject = Self::new(id, start);
        let steps_wanted = Stage::ALL.into_iter().position(|any| any == stage).unwrap_or(0);
        let from_all = |what: What| {
            [1, 2, 3, 4].map(|from| {
                Operation::Message(Said { from: Sender(NodeId(from)), term: When::Now, what: what.clone() })
            })
        };
        let granted = Answer::Granted;
        let steps = [
            vec![Operation::Disk(Disk::Save)],
            vec![Operation::Jump(timing().election_timeout_min.as_ticks())],
            vec![Operation::Deadline],
            from_all(What::PreVoteReply { round: Moment::Told, verdict: granted, sent: Moment::Now }).to_vec(),
            [Operation::Disk(Disk::Save)]
                .into_iter()
                .chain(from_all(What::VoteReply { verdict: granted, sent: Moment::Now }))
                .collect(),
            from_all(What::HeartbeatReply { echo: Moment::Told, sent: Moment::Now, promise_ms: 150, available: true })
                .to_vec(),
            vec![Operation::Command(Order::Transfer)],
        ];
        for operation in steps.iter().take(steps_wanted).flatten() {
            subject.apply(operation);
        }
        subject
    }

    /// What the node is.
    pub fn role(&self) -> Role {
        self.node.role()
    }

    /// Whether the node is certain to be the only leader.
    pub fn has_lease(&self) -> bool {
        self.node.lease(self.now).is_some()
    }

    /// Does one thing to the node and checks what must hold.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Datagram(bytes) => self.receive(bytes.clone()),
            Operation::Body { from, body } => self.hear(from.0, body),
            Operation::Message(said) => {
                let told = self.told.get(&said.from.0).copied().unwrap_or_default();
                let view = View { term: self.node.term(), now: Stamp::of(self.now), told };
                let mut buffer = [0; DATAGRAM_SIZE_MAX];
                let message = postcard::to_slice(&said.message(view), &mut buffer).expect("a message");
                self.hear(said.from.0, message);
            }
            Operation::Time { micros, times } => {
                self.wait(Duration::from_micros(u64::from(*micros) * (u64::from(*times % 8) + 1)));
            }
            Operation::Jump(ticks) => self.wait(Duration::from_ticks(*ticks)),
            Operation::Fallback(ticks) => {
                let earlier = Instant::from_ticks(self.now.as_ticks().saturating_sub(u64::from(*ticks)));
                self.node.handle_timeout(earlier);
            }
            Operation::Deadline => {
                self.now = self.now.max(self.node.next_deadline());
                self.node.handle_timeout(self.now);
            }
            Operation::Disk(disk) => self.use_disk(*disk),
            Operation::Command(order) => self.command(*order),
            Operation::Restart => {
                let saved = self.on_disk.clone().unwrap_or(provisioned(self.own.id));
                self.node = Endpoint::new(config(self.own.id), saved.clone(), self.now);
                self.before = self.node.saved().clone();
                self.taken.clear();
                self.told.clear();
                assert_eq!((self.before.term, self.before.vote), (saved.term, saved.vote), "a start forgets nothing");
            }
        }
        self.check();
    }

    /// Bytes reach the node behind a seal that is right, if the sender is a peer.
    fn hear(&mut self, from: NodeId, text: &[u8]) {
        let (to, receiver) = (self.own.id, self.node.incarnation());
        let datagram = self.other(from).message(to, receiver, text);
        self.receive(datagram);
    }

    fn other(&mut self, id: NodeId) -> &mut Puppet {
        self.others.entry(id).or_insert_with(|| Puppet::new(id.0))
    }

    fn receive(&mut self, mut datagram: Vec<u8>) {
        let view = |node: &Endpoint<PEERS>| (node.saved().clone(), node.role(), node.leader(), node.next_deadline());
        let (before, refused) = (view(&self.node), self.node.stats().datagrams_refused);
        let result = self.node.handle_datagram(self.now, &mut datagram);
        if result.is_err() {
            assert_eq!(view(&self.node), before, "a datagram that was refused has changed something");
        }
        assert_eq!(self.node.stats().datagrams_refused - refused, u32::from(result.is_err()));
        if datagram.len() > DATAGRAM_SIZE_MAX || datagram.is_empty() {
            assert_eq!(result, Err(DatagramError::Malformed));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.node.handle_timeout(self.now);
    }

    fn use_disk(&mut self, disk: Disk) {
        match disk {
            Disk::Save => {
                self.taken.extend(self.node.poll_persist());
                self.keep();
            }
            Disk::Take => self.taken.extend(self.node.poll_persist()),
            Disk::Done => self.keep(),
            Disk::Lose => {
                if self.taken.last() != self.on_disk.as_ref() {
                    self.taken.pop();
                }
            }
            Disk::Repeat(which) => {
                let stale = self.taken.iter().rev().skip(1).nth(usize::from(which)).cloned();
                if let Some(stale) = stale.filter(|stale| stale != self.node.saved()) {
                    self.node.handle_persisted(self.now, &stale);
                }
            }
        }
    }

    /// The record taken last is on the disk.
    fn keep(&mut self) {
        if let Some(saved) = self.taken.last() {
            self.on_disk = Some(saved.clone());
            self.node.handle_persisted(self.now, saved);
        }
    }

    fn command(&mut self, order: Order) {
        let command = match order {
            Order::Transfer => Command::Transfer(None),
            Order::TransferTo(peer) => Command::Transfer(Some(peer.0)),
            Order::Resign => Command::Resign,
            Order::Pause => Command::Pause,
            Order::Resume => Command::Resume,
            Order::RaiseTerm(term) => Command::RaiseTerm(term.term(self.node.term())),
        };
        let leads = self.node.role() == Role::Leader;
        let result = self.node.handle_command(self.now, command);
        assert!(result.is_ok() || matches!(command, Command::Transfer(_)), "only a transfer can be refused");
        assert!(leads || result.is_err() || !matches!(command, Command::Transfer(_)), "only a leader can transfer");
    }

    fn check(&mut self) {
        let saved = self.node.saved().clone();
        assert!(saved.term >= self.before.term, "a term fell");
        let same_term = saved.term == self.before.term;
        assert!(!same_term || self.before.vote.is_none() || saved.vote == self.before.vote, "a vote changed");
        assert_eq!((saved.install_salt, saved.boot), (self.before.install_salt, self.before.boot));
        self.check_messages(&saved);
        self.check_events(&saved);
        self.check_views(&saved);
        self.before = saved;
    }

    fn check_messages(&mut self, saved: &Saved<PEERS>) {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        let mut sent = 0;
        while let Some(transmit) = self.node.poll_transmit(self.now, &mut buffer) {
            sent += 1;
            assert!(sent <= PEERS * (KINDS + HELLOS), "more datagrams than kinds for every peer");
            assert_eq!(self.on_disk.as_ref(), Some(saved), "said before it was saved");
            assert!(transmit.to != self.own.id && members().iter().any(|member| member.id == transmit.to));
            let sender = self.node.incarnation();
            let datagram = buffer.get(..transmit.len).expect("within the buffer");
            let opened = self.other(transmit.to).open(sender, datagram).expect("sealed for the one it is sent to");
            assert_eq!(opened.to, transmit.to);
            if opened.kind == puppet::MESSAGE {
                let message: Message = postcard::from_bytes(&opened.text).expect("a message");
                self.check_message(saved, transmit.to, &message);
            } else if opened.kind == puppet::HELLO {
                let members = opened.text.get(1..5).and_then(|digest| digest.try_into().ok()).expect("a digest");
                let answer = puppet::Answer { members: u32::from_le_bytes(members), ..Default::default() };
                let own = self.own.id;
                let reply = self.other(transmit.to).reply(own, sender, opened.counter, answer);
                self.receive(reply);
            }
        }
    }

    fn check_message(&mut self, saved: &Saved<PEERS>, to: NodeId, message: &Message) {
        assert_eq!(message.term, saved.term, "of another term");
        let own = self.own.id;
        match message.body {
            Body::Heartbeat { sent, .. } => {
                assert_eq!((self.node.role(), self.node.leader()), (Role::Leader, Some(own)));
                self.told.insert(to, sent);
            }
            Body::HeartbeatReply { sent, .. } => {
                self.told.insert(to, sent);
            }
            Body::PreVote { round } => {
                assert_eq!(self.node.role(), Role::PreCandidate);
                self.told.insert(to, round);
            }
            Body::PreVoteReply { .. } => {}
            Body::Vote { .. } => assert_eq!((self.node.role(), saved.vote), (Role::Candidate, Some(own))),
            Body::VoteReply { verdict, sent } => {
                self.told.insert(to, sent);
                if verdict == Verdict::Granted {
                    assert!(self.own.suffrage != Suffrage::Observer, "an observer has voted");
                    assert_eq!(saved.vote, Some(to), "a vote that was not given");
                    assert_eq!(*self.granted.entry(saved.term).or_insert(to), to, "two votes in one term");
                }
            }
            Body::TimeoutNow { .. } => assert_eq!(self.node.role(), Role::Leader),
        }
    }

    fn check_events(&mut self, saved: &Saved<PEERS>) {
        let mut events = 0;
        while let Some(event) = self.node.poll_event(self.now) {
            events += 1;
            assert!(events <= EVENTS_MAX, "events without end");
            match event {
                Event::LeaderChanged { term, leader } => {
                    assert!(term <= saved.term);
                    assert!(leader.is_none() || self.on_disk.as_ref() == Some(saved), "told before it was saved");
                }
                Event::LeaseAcquired => assert!(self.node.lease(self.now).is_some()),
                Event::LeaseLost => assert!(self.node.lease(self.now).is_none()),
                _ => {}
            }
        }
    }

    fn check_views(&self, saved: &Saved<PEERS>) {
        let (role, lease) = (self.node.role(), self.node.lease(self.now));
        if role == Role::Leader {
            assert_eq!(self.on_disk.as_ref(), Some(saved), "leads on the strength of a vote that is not saved");
            assert_eq!((saved.vote, self.node.leader()), (Some(self.own.id), Some(self.own.id)));
        }
        assert!(role == Role::Follower || self.own.suffrage == Suffrage::Voter, "campaigns without the right to");
        assert!(lease.is_none() || role == Role::Leader, "a lease without leadership");
        assert!(lease.is_none_or(|lease| lease <= timing().election_timeout_min));
        assert_eq!(self.node.peers(self.now).count(), PEERS);
        let wants_saving = self.node.clone().poll_persist().is_some();
        let at_the_end_of_time = self.now.checked_add(timing().election_timeout_max).is_none();
        let deadline = self.node.next_deadline();
        assert!(wants_saving || at_the_end_of_time || deadline > self.now, "wants to be called without end");
    }
}

/// Every kind of member, so that a node of each kind meets peers of each kind.
fn members() -> [Member; PEERS + 1] {
    [Member::voter(1), Member::voter(2).with_priority(3), Member::voter(3), Member::witness(4), Member::observer(5)]
}

fn timing() -> Timing {
    Timing::LOCAL
}

fn config(own: NodeId) -> Config<PEERS> {
    Config::new(puppet::CLUSTER, own, &members(), timing(), puppet::keys(), 5).expect("a sound configuration")
}

/// The record of a node that has met everybody, and has never run.
fn provisioned(own: NodeId) -> Saved<PEERS> {
    let others = members().into_iter().filter(|member| member.id != own);
    let peers = others.map(|member| KnownPeer { id: member.id, incarnation: Puppet::new(member.id.0).incarnation });
    Saved { peers: peers.collect(), ..Saved::provision([1; 8]) }
}
