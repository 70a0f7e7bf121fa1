//! This project's core: the election alone, in messages, and the whole of it, in sealed datagrams.

use std::hint::black_box;

use symphony_core::{
    Body, Boot, Config, DATAGRAM_SIZE_MAX, DatagramError, Duration, Election, Endpoint, Incarnation, Instant,
    KnownPeer, MEMBERS_MAX, Member, Message, NodeId, Role, Saved, Session, Stamp, Term, Timing, Verdict,
};
use symphony_sim::sealed::{
    CLUSTER, HEADER_SIZE, HELLO_TEXT_SIZE, Kind, Speaker, TAG_SIZE,
    cipher::{decrypt, encrypt},
    keys,
};

use super::{
    Memory, Wired,
    cluster::{Node, Wire, case},
    measure::{Case, Took},
};

pub const NAME: &str = "symphony";

/// The election without channels, as the other libraries are; an [`Endpoint`] holds one.
pub const ELECTION: &str = "election";

/// Datagrams that are sealed before the clock of a measurement starts.
const BATCH: u32 = 256;

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

fn config<const PEERS: usize>(id: usize, timing: Timing) -> Config<PEERS> {
    let members: [Member; MEMBERS_MAX] = std::array::from_fn(|place| Member::voter(place as u16 + 1));
    Config::new(CLUSTER, NodeId(id as u16), &members[..=PEERS], timing, keys(), 1).expect("a sound configuration")
}

/// The first start of the member that the bench plays.
fn speaker(id: usize) -> Speaker {
    let incarnation = Incarnation { install_salt: [id as u8; 8], boot: Boot(1), session: Session(7) };
    Speaker::new(NodeId(id as u16), incarnation)
}

/// The record of a node that has met everybody.
fn saved<const PEERS: usize>(id: usize) -> Saved<PEERS> {
    let others = (1..=PEERS + 1).filter(|other| *other != id).map(speaker);
    let peers = others.map(|other| KnownPeer { id: other.id, incarnation: other.incarnation });
    Saved { peers: peers.collect(), ..Saved::provision([id as u8; 8]) }
}

/// A day after the start of the clock.
fn start() -> Instant {
    Instant::from_secs(86_400)
}

fn heartbeat(now: Instant) -> Message {
    Message { term: Term(1), body: Body::Heartbeat { sent: Stamp::of(now), echo: Stamp::of(now) } }
}

fn heartbeat_reply(now: Instant) -> Message {
    let (echo, sent) = (Stamp::of(now), Stamp::of(now));
    Message { term: Term(1), body: Body::HeartbeatReply { echo, sent, promise_ms: 150, available: true } }
}

/// What makes a leader of node 1: its peers' votes, and the terms that they are in.
fn votes(now: Instant) -> [Message; 2] {
    let (verdict, sent) = (Verdict::Granted, Stamp::of(now));
    let pre_vote = Body::PreVoteReply { round: sent, verdict, sent };
    [Message { term: Term(0), body: pre_vote }, Message { term: Term(1), body: Body::VoteReply { verdict, sent } }]
}

fn encode(message: &Message) -> Vec<u8> {
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    postcard::to_slice(message, &mut buffer).expect("fits").to_vec()
}

/// A node and the members that it has met.
struct Sealed<const PEERS: usize> {
    node: Endpoint<PEERS>,
    speakers: Vec<Speaker>,
    now: Instant,
    buffer: [u8; DATAGRAM_SIZE_MAX],
}

impl<const PEERS: usize> Sealed<PEERS> {
    fn new(timing: Timing) -> Self {
        let node = Endpoint::new(config(1, timing), saved(1), start());
        let speakers = (2..=PEERS + 1).map(speaker).collect();
        let mut sealed = Self { node, speakers, now: start(), buffer: [0; DATAGRAM_SIZE_MAX] };
        sealed.cycle();
        sealed
    }

    /// A follower of node 2, which has heard it.
    fn follower() -> Self {
        let mut sealed = Self::new(timing());
        sealed.now += Duration::from_millis(10);
        sealed.hear(0, &heartbeat(sealed.now));
        assert_eq!(sealed.node.leader(), Some(NodeId(2)));
        sealed
    }

    /// A node that has been elected.
    fn leader(timing: Timing) -> Self {
        let mut sealed = Self::new(timing);
        while sealed.node.role() != Role::PreCandidate {
            sealed.now = sealed.now.max(sealed.node.next_deadline());
            sealed.cycle();
        }
        for message in votes(sealed.now) {
            (0..PEERS).for_each(|peer| sealed.hear(peer, &message));
        }
        assert_eq!(sealed.node.role(), Role::Leader);
        sealed
    }

    /// A datagram of the peer at an index.
    fn datagram(&mut self, peer: usize, message: &Message) -> Vec<u8> {
        let receiver = self.node.incarnation();
        self.speakers[peer].seal(Kind::Message, NodeId(1), &receiver, 0, &encode(message))
    }

    fn hear(&mut self, peer: usize, message: &Message) {
        let mut datagram = self.datagram(peer, message);
        // Those who are heard twice are refused nothing: every datagram is another.
        self.node.handle_datagram(self.now, &mut datagram).expect("a sound datagram");
        self.cycle();
    }

    fn answer(&mut self) {
        while let Some(transmit) = self.node.poll_transmit(self.now, &mut self.buffer) {
            black_box((transmit, &self.buffer));
        }
    }

    /// Everything that the contract asks of a host after a call.
    fn cycle(&mut self) {
        self.node.handle_timeout(self.now);
        while let Some(saved) = self.node.poll_persist() {
            self.node.handle_persisted(self.now, &saved);
        }
        self.answer();
        while let Some(event) = self.node.poll_event(self.now) {
            black_box(event);
        }
        black_box(self.node.next_deadline());
    }
}

/// Measures what a node does with datagrams that are sealed in advance, some at a time.
fn received<const PEERS: usize>(
    what: &'static str,
    mut sealed: Sealed<PEERS>,
    message: fn(Instant) -> Message,
    mut take: impl FnMut(&mut Sealed<PEERS>, &mut [u8]) + 'static,
) -> Case {
    let run = move |times: u32| {
        let (mut took, mut left) = (Took::default(), times);
        while left > 0 {
            let batch = left.min(BATCH);
            sealed.now += Duration::from_millis(10);
            let said = message(sealed.now);
            let peers = sealed.speakers.len() as u32;
            let mut heard: Vec<_> = (0..batch).map(|turn| sealed.datagram((turn % peers) as usize, &said)).collect();
            took += Took::by(|| heard.iter_mut().for_each(|datagram| take(&mut sealed, black_box(datagram))));
            left -= batch;
        }
        took
    };
    Case { library: NAME, what, run: Box::new(run) }
}

/// The same, from the leader alone.
fn from_leader<const PEERS: usize>(mut sealed: Sealed<PEERS>) -> Sealed<PEERS> {
    sealed.speakers.truncate(1);
    sealed
}

pub fn cases<const PEERS: usize>() -> Vec<Case> {
    let follower = || from_leader(Sealed::<PEERS>::follower());
    let take = |sealed: &mut Sealed<PEERS>, datagram: &mut [u8]| {
        sealed.node.handle_datagram(sealed.now, datagram).expect("a sound datagram");
    };
    vec![
        typed::heartbeat_case::<PEERS>(),
        typed::tick_case::<PEERS>(),
        case(NAME, typed::cluster::<PEERS>),
        cipher_case(),
        received("heartbeat_bytes", follower(), heartbeat, move |sealed, datagram| {
            take(sealed, datagram);
            sealed.answer();
        }),
        received("heartbeat_cycle", follower(), heartbeat, move |sealed, datagram| {
            take(sealed, datagram);
            sealed.cycle();
        }),
        received("reply_cycle", Sealed::<PEERS>::leader(timing()), heartbeat_reply, move |sealed, datagram| {
            take(sealed, datagram);
            sealed.cycle();
            debug_assert_eq!(sealed.node.role(), Role::Leader);
        }),
        tick_case::<PEERS>(),
        spoofed_case::<PEERS>("refuse_session", |datagram| datagram[12] ^= 1),
        spoofed_case::<PEERS>("refuse_stranger", |datagram| datagram[2] ^= 0x80),
        spoofed_case::<PEERS>("refuse_old", |datagram| datagram[16..20].copy_from_slice(&1_u32.to_le_bytes())),
        spoofed_case::<PEERS>("refuse_cluster", |datagram| datagram[6] ^= 1),
        spoofed_case::<PEERS>("refuse_key", |datagram| datagram[1] ^= 0x80),
        flood_case::<PEERS>(),
    ]
}

/// The cipher alone, with the library that the core uses: opens a heartbeat, and seals an answer, in place.
fn cipher_case() -> Case {
    let (key, nonce, associated) = (black_box([9; 32]), [7; 24], [3; HEADER_SIZE + 16 + 8 + 4]);
    let plain = encode(&heartbeat(start()));
    let answer = encode(&heartbeat_reply(start()));
    let mut sealed = plain.clone();
    let tag = encrypt(&key, &nonce, &associated, &mut sealed);
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    Case::new(NAME, "heartbeat_cipher", move || {
        let text = &mut buffer[..sealed.len()];
        text.copy_from_slice(&sealed);
        assert!(decrypt(black_box(&key), &nonce, &associated, text, &tag), "a right tag");
        let text = &mut buffer[..answer.len()];
        text.copy_from_slice(&answer);
        let tag = encrypt(black_box(&key), &nonce, &associated, text);
        black_box((tag, &buffer));
    })
}

/// A leader's timer ends: a datagram to every peer.
fn tick_case<const PEERS: usize>() -> Case {
    let mut sealed = Sealed::<PEERS>::leader(patient());
    Case::new(NAME, "tick_bytes", move || {
        sealed.now += Duration::from_micros(100);
        sealed.node.handle_timeout(sealed.now);
        sealed.answer();
    })
}

/// A datagram that somebody has spoofed, and that is refused before the cipher.
fn spoofed_case<const PEERS: usize>(what: &'static str, spoof: fn(&mut [u8])) -> Case {
    let mut sealed = Sealed::<PEERS>::follower();
    let mut datagram = sealed.datagram(0, &heartbeat(sealed.now));
    spoof(&mut datagram);
    refused_case(what, sealed, datagram)
}

/// A hello more than is opened, where made-up ones have used the budget up.
fn flood_case<const PEERS: usize>() -> Case {
    let mut sealed = Sealed::<PEERS>::follower();
    let mut hello = sealed.speakers[0].seal(Kind::Hello, NodeId(1), &Incarnation::default(), 0, &[0; HELLO_TEXT_SIZE]);
    hello.iter_mut().rev().take(TAG_SIZE).for_each(|byte| *byte ^= 1);
    while sealed.node.handle_datagram(sealed.now, &mut hello.clone()) != Err(DatagramError::Flood) {}
    refused_case("refuse_flood", sealed, hello)
}

fn refused_case<const PEERS: usize>(what: &'static str, mut sealed: Sealed<PEERS>, mut datagram: Vec<u8>) -> Case {
    let before = sealed.node.stats().datagrams_refused;
    let (now, mut heard) = (sealed.now, datagram.clone());
    assert!(sealed.node.handle_datagram(now, &mut heard).is_err() && heard == datagram, "refused as it came");
    assert_eq!(sealed.node.stats().datagrams_refused, before + 1);
    Case::new(NAME, what, move || {
        let _ = black_box(sealed.node.handle_datagram(now, black_box(&mut datagram)));
    })
}

/// Bytes of each kind of message: a day after the start, in term 1000.
pub fn wire() -> Vec<Wired> {
    let stamp = Stamp(86_400_000);
    let verdict = Verdict::Granted;
    [
        ("pre_vote", Body::PreVote { round: stamp }),
        ("pre_vote_reply", Body::PreVoteReply { round: stamp, verdict, sent: stamp }),
        ("vote", Body::Vote { released: Term(0) }),
        ("vote_reply", Body::VoteReply { verdict, sent: stamp }),
        ("heartbeat", Body::Heartbeat { sent: stamp, echo: stamp }),
        ("heartbeat_reply", Body::HeartbeatReply { echo: stamp, sent: stamp, promise_ms: 150, available: true }),
    ]
    .map(|(kind, body)| {
        let message_bytes = encode(&Message { term: Term(1000), body }).len();
        // Sender and receiver are part of the peers' messages; what protects ours is not.
        Wired { kind, message_bytes: message_bytes + 4, datagram_bytes: Some(HEADER_SIZE + message_bytes + TAG_SIZE) }
    })
    .into()
}

pub fn memory<const PEERS: usize>() -> Memory {
    Memory::of(|| Endpoint::<PEERS>::new(config(1, timing()), saved(1), start()))
}

/// What nodes that have never met exchange before everybody knows everybody.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Introductions {
    /// Hellos and answers, each of which carries one half of what a pair must know.
    pub datagrams: usize,
    pub bytes: usize,
    /// Bytes of the record that a node saves.
    pub saved_bytes_max: usize,
    /// Its size in memory.
    pub saved_size: usize,
}

/// Starts a cluster of nodes that have never met, in memory; records count as saved at once.
pub fn introductions<const PEERS: usize>() -> Introductions {
    let node = |id| Endpoint::<PEERS>::new(config(id, timing()), Saved::provision([id as u8; 8]), start());
    let mut nodes: Vec<_> = (1..=PEERS + 1).map(node).collect();
    let (mut buffer, mut datagrams, mut bytes) = ([0; DATAGRAM_SIZE_MAX], 0, 0);
    loop {
        let before = datagrams;
        for sender in 0..nodes.len() {
            while let Some(saved) = nodes[sender].poll_persist() {
                nodes[sender].handle_persisted(start(), &saved);
            }
            while let Some(transmit) = nodes[sender].poll_transmit(start(), &mut buffer) {
                (datagrams, bytes) = (datagrams + 1, bytes + transmit.len);
                let receiver = usize::from(transmit.to.0) - 1;
                nodes[receiver].handle_datagram(start(), &mut buffer[..transmit.len]).expect("a member's");
            }
        }
        if datagrams == before {
            break;
        }
    }
    let met = |node: &Endpoint<PEERS>| node.saved().peers.iter().all(|peer| peer.incarnation.boot == Boot(1));
    assert!(nodes.iter().all(met), "everybody knows everybody");
    let (saved_bytes_max, saved_size) = (Saved::<PEERS>::SIZE_MAX, size_of::<Saved<PEERS>>());
    Introductions { datagrams, bytes, saved_bytes_max, saved_size }
}

pub mod typed {
    //! Messages in and out, without channels.

    use super::*;

    fn node<const PEERS: usize>(id: usize, timing: Timing) -> Election<PEERS> {
        let mut node = Election::new(config(id, timing), Saved::provision([id as u8; 8]), start());
        save(&mut node, start());
        node
    }

    fn save<const PEERS: usize>(node: &mut Election<PEERS>, now: Instant) {
        if let Some(saved) = node.poll_persist() {
            node.handle_persisted(now, &saved);
        }
    }

    pub fn memory<const PEERS: usize>() -> Memory {
        Memory::of(|| node::<PEERS>(1, timing()))
    }

    /// A node that has been elected, and the moment.
    fn leader<const PEERS: usize>(timing: Timing) -> (Election<PEERS>, Instant) {
        let mut node = node::<PEERS>(1, timing);
        let now = node.next_deadline();
        node.handle_timeout(now);
        while node.poll_message(now).is_some() {}
        for message in votes(now) {
            (0..PEERS).for_each(|peer| node.handle_message(now, peer, message));
            save(&mut node, now);
            while node.poll_message(now).is_some() {}
        }
        assert_eq!(node.role(), Role::Leader);
        (node, now)
    }

    pub fn heartbeat_case<const PEERS: usize>() -> Case {
        let mut node = node::<PEERS>(1, timing());
        let mut now = start() + Duration::from_millis(10);
        Case::new(NAME, "heartbeat", move || {
            now += Duration::from_millis(50);
            let heard = black_box(heartbeat(now));
            node.handle_message(now, 0, heard);
            save(&mut node, now);
            while let Some(answer) = node.poll_message(now) {
                black_box(answer);
            }
        })
    }

    pub fn tick_case<const PEERS: usize>() -> Case {
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
        node: Election<PEERS>,
        now: Instant,
        place: usize,
    }

    impl<const PEERS: usize> Timed<PEERS> {
        fn take(&mut self, wire: &mut Wire<Message>) {
            save(&mut self.node, self.now);
            while let Some((peer, message)) = self.node.poll_message(self.now) {
                // Peers are counted without the node itself.
                wire.push_back((self.place, peer + usize::from(peer >= self.place), message));
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
            self.node.handle_message(self.now, from - usize::from(from > self.place), message);
            self.take(wire);
        }

        fn leads(&self) -> bool {
            self.node.role() == Role::Leader
        }

        fn knows_a_leader(&self) -> bool {
            self.node.leader().is_some()
        }

        fn bytes(message: &Message) -> usize {
            encode(message).len() + 4
        }
    }

    /// A cluster whose first node's timer ends now.
    pub fn cluster<const PEERS: usize>() -> Vec<Timed<PEERS>> {
        let nodes: Vec<_> = (1..=PEERS + 1).map(|id| node::<PEERS>(id, timing())).collect();
        let now = nodes[0].next_deadline();
        nodes.into_iter().enumerate().map(|(place, node)| Timed { node, now, place }).collect()
    }
}
