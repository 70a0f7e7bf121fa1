//! A handful of endpoints on one virtual clock, with a network and disks that do as the test says.

#![allow(unreachable_pub, reason = "nothing is outside of a test program")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

pub mod door;
pub mod operations;
pub mod puppet;
pub mod solo;
pub mod subject;
pub mod talk;

use std::collections::BTreeMap;

use symphony_core::{
    ClusterId, Config, DATAGRAM_SIZE_MAX, Duration, Endpoint, Event, Instant, Key, KeyRing, Member, NodeId, Role,
    Saved, Timing,
};

pub type Node = Endpoint<6>;

/// Endpoints by id, with the datagrams under way between them.
pub struct Cluster {
    pub now: Instant,
    pub nodes: BTreeMap<u16, Node>,
    pub events: BTreeMap<u16, Vec<Event>>,
    pub delay: Duration,
    members: Vec<Member>,
    pub disks: BTreeMap<u16, Saved<6>>,
    cut: Vec<(u16, u16)>,
    wire: Vec<(Instant, u16, u16, Vec<u8>)>,
    /// Seed of the latest start.
    boots: u64,
    pub datagrams: usize,
    /// How far behind a node's clock is: clocks have nothing in common.
    pub behind: BTreeMap<u16, Duration>,
}

impl Cluster {
    pub fn new(members: &[Member]) -> Self {
        Self::seeded(members, 0)
    }

    /// A cluster whose nodes draw their waits from another seed.
    pub fn seeded(members: &[Member], seed: u64) -> Self {
        let mut cluster = Self {
            now: Instant::from_millis(1000),
            nodes: BTreeMap::new(),
            events: BTreeMap::new(),
            delay: Duration::from_millis(1),
            members: members.to_vec(),
            disks: BTreeMap::new(),
            cut: Vec::new(),
            wire: Vec::new(),
            boots: seed << 16,
            datagrams: 0,
            behind: BTreeMap::new(),
        };
        for member in members {
            cluster.disks.insert(member.id.0, Saved::provision([u8::try_from(member.id.0).unwrap(); 8]));
            cluster.start(member.id.0);
        }
        cluster
    }

    pub fn voters(count: u16) -> Self {
        Self::new(&(1..=count).map(Member::voter).collect::<Vec<_>>())
    }

    pub fn config(&self, id: u16) -> Config<6> {
        let keys = KeyRing::new(Key::new(1, [1; 32]));
        Config::new(ClusterId([1; 16]), NodeId(id), &self.members, Timing::LOCAL, keys, self.boots).unwrap()
    }

    /// Starts a node with what its disk has.
    pub fn start(&mut self, id: u16) {
        self.boots += 1;
        let node = Node::new(self.config(id), self.disks[&id].clone(), self.now - self.behind_by(id));
        self.nodes.insert(id, node);
        self.events.insert(id, Vec::new());
    }

    pub fn stop(&mut self, id: u16) {
        self.nodes.remove(&id);
    }

    /// Cuts the link both ways.
    pub fn cut(&mut self, a: u16, b: u16) {
        self.cut.extend([(a, b), (b, a)]);
    }

    pub fn cut_off(&mut self, id: u16) {
        for other in self.members.clone() {
            self.cut(id, other.id.0);
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn behind_by(&self, id: u16) -> Duration {
        self.behind.get(&id).copied().unwrap_or(Duration::MIN)
    }

    pub fn node(&mut self, id: u16) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Lets `time` pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until `done`, for ten seconds at most.
    #[track_caller]
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(10);
        while !done(self) {
            assert!(self.step(end), "not within ten seconds");
        }
    }

    /// Ids of those who lead in the latest term that anyone leads in.
    pub fn leaders(&self) -> Vec<u16> {
        self.nodes.iter().filter(|(_, node)| node.role() == Role::Leader).map(|(id, _)| *id).collect()
    }

    /// Lets time pass until all running nodes that can hear anyone agree on a leader, and returns it.
    #[track_caller]
    pub fn elect(&mut self) -> u16 {
        self.run_until(|cluster| {
            let leaders = cluster.leaders();
            leaders.len() == 1 && cluster.nodes.values().all(|node| node.leader() == Some(NodeId(leaders[0])))
        });
        self.leaders()[0]
    }

    fn step(&mut self, end: Instant) -> bool {
        self.flush();
        let behind = self.behind.clone();
        let behind = |id: &u16| behind.get(id).copied().unwrap_or(Duration::MIN);
        let deadline = |(id, node): (&u16, &Node)| node.next_deadline().saturating_add(behind(id));
        let timer = self.nodes.iter().map(deadline).min().unwrap_or(Instant::MAX);
        let arrival = self.wire.iter().map(|(at, ..)| *at).min().unwrap_or(Instant::MAX);
        let next = timer.min(arrival);
        if next > end {
            return false;
        }
        self.now = self.now.max(next);
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.wire).into_iter().partition(|(at, ..)| *at <= now);
        self.wire = later;
        for (_, _, to, mut datagram) in due {
            if let Some(node) = self.nodes.get_mut(&to) {
                // Refused until the two have met.
                let _ = node.handle_datagram(now - behind(&to), &mut datagram);
            }
        }
        for (id, node) in &mut self.nodes {
            node.handle_timeout(now - behind(id));
        }
        true
    }

    fn flush(&mut self) {
        let true_now = self.now;
        for (id, node) in &mut self.nodes {
            let now = true_now - self.behind.get(id).copied().unwrap_or(Duration::MIN);
            while let Some(saved) = node.poll_persist() {
                node.handle_persisted(now, &saved);
                self.disks.insert(*id, saved);
            }
            let mut buffer = [0; DATAGRAM_SIZE_MAX];
            while let Some(transmit) = node.poll_transmit(now, &mut buffer) {
                self.datagrams += 1;
                if !self.cut.contains(&(*id, transmit.to.0)) {
                    self.wire.push((true_now + self.delay, *id, transmit.to.0, buffer[..transmit.len].to_vec()));
                }
            }
            while let Some(event) = node.poll_event(now) {
                self.events.get_mut(id).unwrap().push(event);
            }
        }
    }
}
