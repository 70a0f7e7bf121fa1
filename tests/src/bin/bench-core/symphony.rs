//! This project's core.

use std::hint::black_box;

use symphony_core::{
    Body, ClusterId, Config, DATAGRAM_SIZE_MAX, Duration, Endpoint, Instant, MEMBERS_MAX, Member, Message, NodeId,
    Role, Saved, Stamp, Term, Timing, Verdict,
};

use super::{Memory, Wired, measure::Case};

pub const NAME: &str = "symphony";

/// Bytes before the message in a datagram: version, cluster, sender, receiver.
const HEADER_SIZE: usize = 9;

fn timing() -> Timing {
    Timing { heartbeat_interval: Duration::from_millis(50), ..Timing::LOCAL }
}

/// A leader whose answers never fall due.
fn patient() -> Timing {
    let hour = Duration::from_secs(3600);
    Timing {
        heartbeat_interval: Duration::from_micros(100),
        election_timeout_min: hour,
        election_timeout_max: hour,
        ..timing()
    }
}

fn node<const PEERS: usize>(id: usize, timing: Timing) -> Endpoint<PEERS> {
    let members: [Member; MEMBERS_MAX] = std::array::from_fn(|place| Member::voter(place as u16 + 1));
    let config = Config::new(ClusterId([7; 16]), NodeId(id as u16), &members[..=PEERS], timing, 1);
    let config = config.expect("a sound configuration");
    let mut node = Endpoint::new(config, Saved::provision([id as u8; 8]), start());
    save(&mut node, start());
    node
}

/// A day after the start of the clock.
fn start() -> Instant {
    Instant::from_secs(86_400)
}

fn save<const PEERS: usize>(node: &mut Endpoint<PEERS>, now: Instant) {
    if let Some(saved) = node.poll_persist() {
        node.handle_persisted(now, &saved);
    }
}

/// A datagram from a peer.
fn datagram(from: usize, to: usize, message: &Message) -> ([u8; DATAGRAM_SIZE_MAX], usize) {
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    let [from, to] = [from, to].map(|id| (id as u16).to_le_bytes());
    buffer[..HEADER_SIZE].copy_from_slice(&[1, 7, 7, 7, 7, from[0], from[1], to[0], to[1]]);
    let used = postcard::to_slice(message, &mut buffer[HEADER_SIZE..]).expect("fits").len();
    (buffer, HEADER_SIZE + used)
}

fn receive<const PEERS: usize>(node: &mut Endpoint<PEERS>, now: Instant, from: usize, to: usize, message: &Message) {
    let (mut buffer, len) = datagram(from, to, message);
    node.handle_datagram(now, &mut buffer[..len]).expect("a sound datagram");
}

/// A node that has been elected, and the moment.
fn leader<const PEERS: usize>(timing: Timing) -> (Endpoint<PEERS>, Instant) {
    let mut node = node::<PEERS>(1, timing);
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    let now = node.next_deadline();
    node.handle_timeout(now);
    while node.poll_transmit(now, &mut buffer).is_some() {}
    for (body, term) in [
        (Body::PreVoteReply { round: Stamp::of(now), verdict: Verdict::Granted }, 0),
        (Body::VoteReply { verdict: Verdict::Granted, sent: Stamp::of(now) }, 1),
    ] {
        for peer in 2..=PEERS + 1 {
            receive(&mut node, now, peer, 1, &Message { term: Term(term), body });
        }
        save(&mut node, now);
        while node.poll_transmit(now, &mut buffer).is_some() {}
    }
    while node.poll_event(now).is_some() {}
    assert_eq!(node.role(), Role::Leader);
    (node, now)
}

/// Everything that the contract asks of a host after a call.
fn drain<const PEERS: usize>(node: &mut Endpoint<PEERS>, now: Instant, buffer: &mut [u8; DATAGRAM_SIZE_MAX]) {
    save(node, now);
    while let Some(transmit) = node.poll_transmit(now, buffer) {
        black_box((transmit, &buffer));
    }
    while let Some(event) = node.poll_event(now) {
        black_box(event);
    }
    black_box(node.next_deadline());
}

fn heartbeat(now: Instant) -> Message {
    Message { term: Term(1), body: Body::Heartbeat { sent: Stamp::of(now), echo: Stamp::of(now) } }
}

fn heartbeat_reply(now: Instant) -> Message {
    let (echo, sent) = (Stamp::of(now), Stamp::of(now));
    Message { term: Term(1), body: Body::HeartbeatReply { echo, sent, promise_ms: 150, available: true } }
}

/// A follower of node 2, which has heard it.
fn follower<const PEERS: usize>() -> (Endpoint<PEERS>, Instant) {
    let mut node = node::<PEERS>(1, timing());
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    let now = start() + Duration::from_millis(10);
    receive(&mut node, now, 2, 1, &heartbeat(now));
    drain(&mut node, now, &mut buffer);
    assert_eq!(node.leader(), Some(NodeId(2)));
    (node, now)
}

pub fn cases<const PEERS: usize>() -> Vec<Case> {
    let mut cases = vec![datagram_case::<PEERS>(), cycle_case::<PEERS>(), reply_case::<PEERS>()];
    cases.push(tick_case::<PEERS>());
    #[cfg(feature = "peers")]
    cases.extend(typed::cases::<PEERS>());
    cases
}

/// A heartbeat's datagram in, the answer's datagram out.
fn datagram_case<const PEERS: usize>() -> Case {
    let (mut node, mut now) = follower::<PEERS>();
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    let mut heard = datagram(2, 1, &heartbeat(now));
    let mut sent = now;
    Case::new(NAME, "heartbeat_bytes", move || {
        now += Duration::from_micros(10);
        if now.saturating_duration_since(sent) > Duration::from_millis(10) {
            sent = now;
            heard = datagram(2, 1, &heartbeat(now));
        }
        node.handle_datagram(now, black_box(&mut heard.0[..heard.1])).expect("a sound datagram");
        while let Some(transmit) = node.poll_transmit(now, &mut buffer) {
            black_box((transmit, &buffer));
        }
    })
}

/// The same, with everything else that a host does after a datagram.
fn cycle_case<const PEERS: usize>() -> Case {
    let (mut node, mut now) = follower::<PEERS>();
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    let mut heard = datagram(2, 1, &heartbeat(now));
    let mut sent = now;
    Case::new(NAME, "heartbeat_cycle", move || {
        now += Duration::from_micros(10);
        if now.saturating_duration_since(sent) > Duration::from_millis(10) {
            sent = now;
            heard = datagram(2, 1, &heartbeat(now));
        }
        node.handle_datagram(now, black_box(&mut heard.0[..heard.1])).expect("a sound datagram");
        node.handle_timeout(now);
        drain(&mut node, now, &mut buffer);
    })
}

/// A leader with a lease hears an answer, with everything that a host does after a datagram.
fn reply_case<const PEERS: usize>() -> Case {
    let (mut node, mut now) = leader::<PEERS>(timing());
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    let mut heard: Vec<_> = (2..=PEERS + 1).map(|peer| datagram(peer, 1, &heartbeat_reply(now))).collect();
    let (mut turn, mut sent) = (0, now);
    Case::new(NAME, "reply_cycle", move || {
        now += Duration::from_micros(10);
        turn = (turn + 1) % heard.len();
        if now.saturating_duration_since(sent) > Duration::from_millis(10) {
            sent = now;
            heard = (2..=PEERS + 1).map(|peer| datagram(peer, 1, &heartbeat_reply(now))).collect();
        }
        let (bytes, len) = &mut heard[turn];
        node.handle_datagram(now, black_box(&mut bytes[..*len])).expect("a sound datagram");
        node.handle_timeout(now);
        drain(&mut node, now, &mut buffer);
        debug_assert_eq!(node.role(), Role::Leader);
    })
}

/// A leader's timer ends: a datagram to every peer.
fn tick_case<const PEERS: usize>() -> Case {
    let (mut node, mut now) = leader::<PEERS>(patient());
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    Case::new(NAME, "tick_bytes", move || {
        now += Duration::from_micros(100);
        node.handle_timeout(now);
        while let Some(transmit) = node.poll_transmit(now, &mut buffer) {
            black_box((transmit, &buffer));
        }
    })
}

/// Bytes of each kind of message: a day after the start, in term 1000.
pub fn wire() -> Vec<Wired> {
    let stamp = Stamp(86_400_000);
    let verdict = Verdict::Granted;
    [
        ("pre_vote", Body::PreVote { round: stamp }),
        ("pre_vote_reply", Body::PreVoteReply { round: stamp, verdict }),
        ("vote", Body::Vote { released: Term(0) }),
        ("vote_reply", Body::VoteReply { verdict, sent: stamp }),
        ("heartbeat", Body::Heartbeat { sent: stamp, echo: stamp }),
        ("heartbeat_reply", Body::HeartbeatReply { echo: stamp, sent: stamp, promise_ms: 150, available: true }),
    ]
    .map(|(kind, body)| {
        let len = datagram(1, 2, &Message { term: Term(1000), body }).1;
        // Sender and receiver are part of the peers' messages, the cluster and the version are not.
        Wired { kind, message_bytes: len - HEADER_SIZE + 4, datagram_bytes: Some(len) }
    })
    .into()
}

pub fn memory<const PEERS: usize>() -> Memory {
    Memory::of(|| node::<PEERS>(1, timing()))
}

#[cfg(feature = "peers")]
pub mod typed {
    //! Messages in and out, without the codec.

    use super::{
        super::cluster::{Node, Wire, case},
        *,
    };

    pub fn cases<const PEERS: usize>() -> Vec<Case> {
        vec![heartbeat_case::<PEERS>(), tick_case::<PEERS>(), case(NAME, cluster::<PEERS>)]
    }

    fn heartbeat_case<const PEERS: usize>() -> Case {
        let (mut node, mut now) = follower::<PEERS>();
        Case::new(NAME, "heartbeat", move || {
            now += Duration::from_millis(50);
            let heard = black_box(heartbeat(now));
            node.handle_message(now, NodeId(2), heard).expect("a peer");
            while let Some(answer) = node.poll_message(now) {
                black_box(answer);
            }
        })
    }

    fn tick_case<const PEERS: usize>() -> Case {
        let (mut node, mut now) = leader::<PEERS>(patient());
        Case::new(NAME, "tick", move || {
            now += Duration::from_micros(100);
            node.handle_timeout(now);
            while let Some(heartbeat) = node.poll_message(now) {
                black_box(heartbeat);
            }
        })
    }

    /// A node that is told the time.
    #[derive(Clone)]
    pub struct Timed<const PEERS: usize> {
        node: Endpoint<PEERS>,
        now: Instant,
        place: usize,
    }

    impl<const PEERS: usize> Timed<PEERS> {
        fn take(&mut self, wire: &mut Wire<Message>) {
            save(&mut self.node, self.now);
            while let Some((to, message)) = self.node.poll_message(self.now) {
                wire.push_back((self.place, usize::from(to.0) - 1, message));
            }
        }
    }

    impl<const PEERS: usize> Node for Timed<PEERS> {
        type Message = Message;

        fn time_out(&mut self, wire: &mut Wire<Message>) {
            self.node.handle_timeout(self.now);
            self.take(wire);
        }

        fn receive(&mut self, from: usize, message: Message, wire: &mut Wire<Message>) {
            self.node.handle_message(self.now, NodeId(from as u16 + 1), message).expect("a peer");
            self.take(wire);
        }

        fn leads(&self) -> bool {
            self.node.role() == Role::Leader
        }

        fn knows_a_leader(&self) -> bool {
            self.node.leader().is_some()
        }

        fn bytes(message: &Message) -> usize {
            datagram(1, 2, message).1 - HEADER_SIZE + 4
        }
    }

    /// A cluster whose first node's timer ends now.
    pub fn cluster<const PEERS: usize>() -> Vec<Timed<PEERS>> {
        let nodes: Vec<_> = (1..=PEERS + 1).map(|id| node::<PEERS>(id, timing())).collect();
        let now = nodes[0].next_deadline();
        nodes.into_iter().enumerate().map(|(place, node)| Timed { node, now, place }).collect()
    }
}
