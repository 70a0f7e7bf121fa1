//! The crate raft-io.

use std::hint::black_box;

use raft_io::{
    Action, AppendEntries, AppendEntriesReply, Event, Message, PreVote, PreVoteReply, RaftConfig, RaftNode,
    RequestVote, RequestVoteReply, framing,
};

use super::{
    Memory, Wired,
    cluster::{Node, Wire, case, elect},
    measure::Case,
};

pub const NAME: &str = "raft-io";

pub struct Placed {
    node: RaftNode,
    place: usize,
}

impl Placed {
    fn take(&self, actions: Vec<Action>, wire: &mut Wire<Message>) {
        for action in actions {
            if let Action::Send { to, message } = action {
                wire.push_back((self.place, to as usize - 1, message));
            }
        }
    }
}

impl Node for Placed {
    type Message = Message;

    fn time_out(&mut self, wire: &mut Wire<Message>) {
        let actions = self.node.step(Event::Tick).expect("in memory");
        self.take(actions, wire);
    }

    fn receive(&mut self, _from: usize, message: Message, wire: &mut Wire<Message>) {
        let actions = self.node.step(Event::Message(message)).expect("in memory");
        self.take(actions, wire);
    }

    fn leads(&self) -> bool {
        self.node.is_leader()
    }

    fn knows_a_leader(&self) -> bool {
        self.node.leader().is_some()
    }

    fn bytes(message: &Message) -> usize {
        framing::encode(message).expect("a message").len()
    }
}

fn node(id: usize, members: usize) -> RaftNode {
    let others = (1..=members as u64).filter(|other| *other != id as u64);
    let timeout = if id == 1 { 1 } else { u32::MAX };
    RaftNode::new(RaftConfig::new(id as u64, others).with_election_timeout(timeout, timeout).with_heartbeat_interval(1))
}

pub fn cluster(members: usize) -> Vec<Placed> {
    (1..=members).map(|id| Placed { node: node(id, members), place: id - 1 }).collect()
}

fn heartbeat(term: u64) -> Message {
    Message::AppendEntries(AppendEntries {
        term,
        leader: 1,
        prev_log_index: 0,
        prev_log_term: 0,
        entries: Vec::new(),
        leader_commit: 0,
    })
}

pub fn cases(members: usize) -> Vec<Case> {
    let elected = || {
        let mut nodes = cluster(members);
        elect(&mut nodes, &mut Wire::new());
        nodes
    };
    let mut follower = elected().remove(1).node;
    let typed = Case::new(NAME, "heartbeat", move || {
        let answer = follower.step(Event::Message(black_box(heartbeat(1)))).expect("in memory");
        debug_assert_eq!(answer.len(), 1);
        black_box(answer);
    });
    let mut follower = elected().remove(1).node;
    let bytes = framing::encode(&heartbeat(1)).expect("a message");
    let bytes = Case::new(NAME, "heartbeat_bytes", move || {
        let heard = framing::decode(black_box(&bytes)).expect("a message");
        for action in follower.step(Event::Message(heard)).expect("in memory") {
            if let Action::Send { message, .. } = action {
                black_box(framing::encode(&message).expect("a message"));
            }
        }
    });
    let mut leader = elected().remove(0).node;
    let tick = Case::new(NAME, "tick", move || {
        let sent = leader.step(Event::Tick).expect("in memory");
        debug_assert_eq!(sent.len(), members - 1);
        black_box(sent);
    });
    let mut leader = elected().remove(0).node;
    let tick_bytes = Case::new(NAME, "tick_bytes", move || {
        for action in leader.step(Event::Tick).expect("in memory") {
            if let Action::Send { message, .. } = action {
                black_box(framing::encode(&message).expect("a message"));
            }
        }
    });
    vec![typed, bytes, tick, tick_bytes, case(NAME, move || cluster(members))]
}

/// Bytes of each kind of message, in term 1000 after a million entries.
pub fn wire() -> Vec<Wired> {
    let (term, last_log_index, last_log_term) = (1000, 1_000_000, 1000);
    [
        ("pre_vote", Message::PreVote(PreVote { term, candidate: 1, last_log_index, last_log_term })),
        ("pre_vote_reply", Message::PreVoteReply(PreVoteReply { term, vote_granted: true, from: 2 })),
        ("vote", Message::RequestVote(RequestVote { term, candidate: 1, last_log_index, last_log_term, force: false })),
        ("vote_reply", Message::RequestVoteReply(RequestVoteReply { term, vote_granted: true, from: 2 })),
        (
            "heartbeat",
            Message::AppendEntries(AppendEntries {
                term,
                leader: 1,
                prev_log_index: last_log_index,
                prev_log_term: last_log_term,
                entries: Vec::new(),
                leader_commit: last_log_index,
            }),
        ),
        (
            "heartbeat_reply",
            Message::AppendEntriesReply(AppendEntriesReply {
                term,
                success: true,
                from: 2,
                match_index: last_log_index,
                conflict_index: 0,
                conflict_term: 0,
            }),
        ),
    ]
    .map(|(kind, message)| Wired { kind, message_bytes: Placed::bytes(&message), datagram_bytes: None })
    .into()
}

pub fn memory(members: usize) -> Memory {
    Memory::of(|| node(1, members))
}
