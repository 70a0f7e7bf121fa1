//! tikv's crate raft: its `Raft`, below the `RawNode` with its `Ready`, which costs more.

use std::hint::black_box;

use protobuf::Message as _;
use raft::{
    Config, Raft, StateRole,
    eraftpb::{ConfState, Message, MessageType},
    storage::MemStorage,
};

use super::{
    Memory, Wired,
    cluster::{Node, Wire, case, elect},
    measure::Case,
};

pub const NAME: &str = "raft-rs";

/// Ticks that never come.
const NEVER: usize = 1 << 40;

pub struct Placed {
    raft: Raft<MemStorage>,
    place: usize,
}

impl Placed {
    fn take(&mut self, wire: &mut Wire<Message>) {
        let place = self.place;
        wire.extend(self.raft.msgs.drain(..).map(|message| (place, message.to as usize - 1, message)));
    }
}

impl Node for Placed {
    type Message = Message;

    fn time_out(&mut self, wire: &mut Wire<Message>) {
        self.raft.step(message(MessageType::MsgHup, 0, self.raft.id, 0)).expect("in memory");
        self.take(wire);
    }

    fn receive(&mut self, _from: usize, message: Message, wire: &mut Wire<Message>) {
        self.raft.step(message).expect("in memory");
        self.take(wire);
    }

    fn leads(&self) -> bool {
        self.raft.state == StateRole::Leader
    }

    fn knows_a_leader(&self) -> bool {
        self.raft.leader_id != 0
    }

    fn bytes(message: &Message) -> usize {
        message.compute_size() as usize
    }
}

fn message(kind: MessageType, from: u64, to: u64, term: u64) -> Message {
    let mut message = Message::default();
    message.set_msg_type(kind);
    message.from = from;
    message.to = to;
    message.term = term;
    message
}

fn node(id: usize, members: usize) -> Raft<MemStorage> {
    let state = ConfState { voters: (1..=members as u64).collect(), ..ConfState::default() };
    let config = Config {
        id: id as u64,
        election_tick: NEVER,
        heartbeat_tick: 1,
        pre_vote: true,
        check_quorum: true,
        max_inflight_msgs: 1,
        ..Config::default()
    };
    let silent = slog::Logger::root(slog::Discard, slog::o!());
    Raft::new(&config, MemStorage::new_with_conf_state(state), &silent).expect("a sound configuration")
}

pub fn cluster(members: usize) -> Vec<Placed> {
    (1..=members).map(|id| Placed { raft: node(id, members), place: id - 1 }).collect()
}

pub fn cases(members: usize) -> Vec<Case> {
    let elected = || {
        let mut nodes = cluster(members);
        elect(&mut nodes, &mut Wire::new());
        nodes
    };
    let heartbeat = || message(MessageType::MsgHeartbeat, 1, 2, 1);
    let mut follower = elected().remove(1).raft;
    let typed = Case::new(NAME, "heartbeat", move || {
        follower.step(black_box(heartbeat())).expect("in memory");
        for answer in follower.msgs.drain(..) {
            black_box(answer);
        }
    });
    let mut follower = elected().remove(1).raft;
    let bytes = heartbeat().write_to_bytes().expect("a message");
    let mut buffer = Vec::new();
    let bytes = Case::new(NAME, "heartbeat_bytes", move || {
        let mut heard = Message::default();
        heard.merge_from_bytes(black_box(&bytes)).expect("a message");
        follower.step(heard).expect("in memory");
        for answer in follower.msgs.drain(..) {
            buffer.clear();
            answer.write_to_vec(&mut buffer).expect("a message");
            black_box(&buffer);
        }
    });
    let mut leader = elected().remove(0).raft;
    leader.set_check_quorum(false);
    leader.msgs.clear();
    let tick = Case::new(NAME, "tick", move || {
        leader.tick();
        debug_assert_eq!(leader.msgs.len(), members - 1);
        for sent in leader.msgs.drain(..) {
            black_box(sent);
        }
    });
    let mut leader = elected().remove(0).raft;
    leader.set_check_quorum(false);
    let mut buffer = Vec::new();
    let tick_bytes = Case::new(NAME, "tick_bytes", move || {
        leader.tick();
        for sent in leader.msgs.drain(..) {
            buffer.clear();
            sent.write_to_vec(&mut buffer).expect("a message");
            black_box(&buffer);
        }
    });
    vec![typed, bytes, tick, tick_bytes, case(NAME, move || cluster(members))]
}

/// Bytes of each kind of message, in term 1000 after a million entries.
pub fn wire() -> Vec<Wired> {
    [
        ("pre_vote", MessageType::MsgRequestPreVote),
        ("pre_vote_reply", MessageType::MsgRequestPreVoteResponse),
        ("vote", MessageType::MsgRequestVote),
        ("vote_reply", MessageType::MsgRequestVoteResponse),
        ("heartbeat", MessageType::MsgHeartbeat),
        ("heartbeat_reply", MessageType::MsgHeartbeatResponse),
    ]
    .map(|(kind, msg_type)| {
        let mut message = message(msg_type, 1, 2, 1000);
        match msg_type {
            MessageType::MsgRequestPreVote | MessageType::MsgRequestVote => {
                message.log_term = 1000;
                message.index = 1_000_000;
                message.commit = 1_000_000;
                message.commit_term = 1000;
            }
            MessageType::MsgHeartbeat => message.commit = 1_000_000,
            MessageType::MsgHeartbeatResponse => message.commit = 1_000_000,
            _ => {}
        }
        Wired { kind, message_bytes: Placed::bytes(&message), datagram_bytes: None }
    })
    .into()
}

pub fn memory(members: usize) -> Memory {
    Memory::of(|| node(1, members))
}
