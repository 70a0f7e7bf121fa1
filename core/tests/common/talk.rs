//! Node 1 in conversation with members that the test plays, datagram by datagram.

#![allow(unreachable_pub, reason = "nothing is outside of a test program")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that goes wrong may panic")]

use symphony_core::{
    Alarm, Body, Config, DATAGRAM_SIZE_MAX, DatagramError, Duration, Endpoint, Event, Incarnation, Instant, KnownPeer,
    Member, Message, NodeId, Saved, Stamp, Term, Timing,
};

use super::puppet::{self, Answer, HELLO, MESSAGE, Opened, Puppet};

pub const OWN: NodeId = NodeId(1);
pub const HEARTBEAT: u64 = 50;

pub struct Talk {
    pub node: Endpoint<4>,
    pub now: Instant,
    pub disk: Saved<4>,
    members: Vec<Member>,
    timing: Timing,
}

impl Talk {
    /// Node 1 of three on its first start.
    pub fn new() -> Self {
        Self::with(Saved::provision([1; 8]))
    }

    /// Node 1 of three that has met the others.
    pub fn acquainted() -> Self {
        let peers = [2, 3].map(|id| KnownPeer { id: NodeId(id), incarnation: Puppet::new(id).incarnation });
        Self::with(Saved { peers: peers.into_iter().collect(), ..Saved::provision([1; 8]) })
    }

    pub fn with(disk: Saved<4>) -> Self {
        Self::seeded(disk, 5)
    }

    pub fn seeded(disk: Saved<4>, seed: u64) -> Self {
        Self::made(disk, seed, Timing::LOCAL)
    }

    /// The first start under another timing.
    pub fn timed(timing: Timing) -> Self {
        Self::made(Saved::provision([1; 8]), 5, timing)
    }

    fn made(disk: Saved<4>, seed: u64, timing: Timing) -> Self {
        let members = vec![Member::voter(1), Member::voter(2), Member::voter(3)];
        let now = Instant::from_millis(1_000_000);
        let node = Endpoint::new(config(&members, seed, timing), disk.clone(), now);
        let mut talk = Self { node, now, disk, members, timing };
        talk.save();
        talk
    }

    /// Stops it, and starts it with what its disk has, or had.
    pub fn restart(&mut self, disk: Saved<4>) {
        self.start(disk);
        self.save();
    }

    /// The same, but nothing has been saved yet.
    pub fn start(&mut self, disk: Saved<4>) {
        self.node = Endpoint::new(config(&self.members, self.now.as_ticks(), self.timing), disk, self.now);
    }

    pub fn save(&mut self) {
        while let Some(saved) = self.node.poll_persist() {
            self.node.handle_persisted(self.now, &saved);
            self.disk = saved;
        }
    }

    pub fn get(&mut self, datagram: &[u8]) -> Result<(), DatagramError> {
        let result = self.node.handle_datagram(self.now, &mut datagram.to_vec());
        self.save();
        result
    }

    pub fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.node.handle_timeout(self.now);
        self.save();
    }

    /// What it sends now, as bytes.
    pub fn sent(&mut self) -> Vec<(NodeId, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        while let Some(transmit) = self.node.poll_transmit(self.now, &mut buffer) {
            sent.push((transmit.to, buffer[..transmit.len].to_vec()));
        }
        sent
    }

    /// What it sends now to members on their first start.
    pub fn said(&mut self) -> Vec<Opened> {
        let own = self.node.incarnation();
        self.sent().iter().filter_map(|(to, datagram)| Puppet::new(to.0).open(own, datagram)).collect()
    }

    /// What it sends now to this peer.
    pub fn said_to(&mut self, peer: &Puppet) -> Vec<Opened> {
        let own = self.node.incarnation();
        let mut sent = self.sent();
        sent.retain(|(to, _)| *to == peer.id);
        sent.iter().filter_map(|(_, datagram)| peer.open(own, datagram)).collect()
    }

    /// The latest hello that it sends now to this peer.
    #[track_caller]
    pub fn hello_to(&mut self, peer: &Puppet) -> Opened {
        let said = self.said();
        said.into_iter().rfind(|opened| opened.to == peer.id && opened.kind == HELLO).unwrap()
    }

    /// Its digest of the members.
    pub fn members(&mut self) -> u32 {
        let mut twin = Self::with(Saved::provision([1; 8]));
        let said = twin.said();
        u32::from_le_bytes(said[0].text[1..5].try_into().unwrap())
    }

    /// Answers its latest hello to the peer.
    #[track_caller]
    pub fn answer(&mut self, peer: &mut Puppet, answer: Answer) -> Result<(), DatagramError> {
        let hello = self.hello_to(peer);
        let reply = peer.reply(OWN, self.node.incarnation(), hello.counter, answer);
        self.get(&reply)
    }

    /// Lets it meet the members that the test plays.
    pub fn meet(&mut self, peers: &mut [&mut Puppet]) {
        let members = self.members();
        let said = self.said();
        for peer in peers {
            let hello = said.iter().find(|opened| opened.to == peer.id && opened.kind == HELLO).unwrap();
            let reply =
                peer.reply(OWN, self.node.incarnation(), hello.counter, Answer { members, ..Answer::default() });
            self.get(&reply).unwrap();
        }
    }

    pub fn known(&self, peer: NodeId) -> Incarnation {
        self.disk.peers.iter().find(|known| known.id == peer).unwrap().incarnation
    }

    pub fn alarms(&mut self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        while let Some(event) = self.node.poll_event(self.now) {
            if let Event::Alarm(alarm) = event {
                alarms.push(alarm);
            }
        }
        alarms
    }

    /// A request for a pre-vote, which is always answered.
    pub fn question(&self) -> Vec<u8> {
        text(&Message { term: Term(0), body: Body::PreVote { round: Stamp(1) } })
    }

    /// Whether it says something of the election now.
    pub fn speaks(&mut self) -> bool {
        self.said().iter().any(|opened| opened.kind == MESSAGE)
    }
}

fn config(members: &[Member], seed: u64, timing: Timing) -> Config<4> {
    Config::new(puppet::CLUSTER, OWN, members, timing, puppet::keys(), seed).unwrap()
}

pub fn text(message: &Message) -> Vec<u8> {
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    postcard::to_slice(message, &mut buffer).unwrap().to_vec()
}
