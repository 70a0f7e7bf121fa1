//! A member in this process, whose clock and network the test controls.

use std::{
    net::{SocketAddr, UdpSocket},
    time,
};

use symphony_core::{Config, DATAGRAM_SIZE_MAX, Duration, Endpoint, Instant, Member, NodeId, Saved, Timing};
use symphony_tests::board::{BOARD, Cluster, PATIENCE};

/// Longest wait for a datagram.
const PAUSE: time::Duration = time::Duration::from_millis(10);

pub(crate) struct Peer {
    endpoint: Endpoint<4>,
    socket: UdpSocket,
    board: SocketAddr,
    started: time::Instant,
    skipped: Duration,
}

impl Peer {
    pub(crate) fn start(cluster: &Cluster, id: u16, timing: Timing) -> Self {
        let members: Vec<Member> = cluster.members.iter().map(|(member, _)| *member).collect();
        let config = Config::new(cluster.id(), NodeId(id), &members, timing, cluster.keys(), rand::random()).unwrap();
        let socket = UdpSocket::bind(cluster.address(id)).unwrap();
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        let endpoint = Endpoint::new(config, Saved::provision(rand::random()), Instant::from_ticks(0));
        let board = cluster.address(BOARD);
        Self { endpoint, socket, board, started: time::Instant::now(), skipped: Duration::from_ticks(0) }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint<4> {
        &self.endpoint
    }

    /// Puts its clock forward.
    pub(crate) fn skip(&mut self, time: Duration) {
        self.skipped += time;
    }

    /// Takes part until `done`; only while `may_speak` does the board hear of it.
    pub(crate) fn run_until(&mut self, may_speak: impl Fn(&Endpoint<4>) -> bool, done: impl Fn(&Endpoint<4>) -> bool) {
        let start = time::Instant::now();
        while !done(&self.endpoint) {
            assert!(start.elapsed() < PATIENCE, "{:?}: {:?}", self.endpoint.role(), self.endpoint.stats());
            self.work(&may_speak);
            let _ = self.receive();
        }
    }

    /// Takes in what has arrived.
    pub(crate) fn hear(&mut self) {
        while self.receive() {}
        self.work(|_| false);
    }

    /// Whether a datagram has come.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        let Ok((length, _)) = self.socket.recv_from(&mut buffer) else { return false };
        let _ = self.endpoint.handle_datagram(self.now(), &mut buffer[..length]);
        true
    }

    fn work(&mut self, may_speak: impl Fn(&Endpoint<4>) -> bool) {
        self.endpoint.handle_timeout(self.now());
        if let Some(saved) = self.endpoint.poll_persist() {
            // Whoever owns this peer never restarts it.
            self.endpoint.handle_persisted(self.now(), &saved);
        }
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        while let Some(transmit) = self.endpoint.poll_transmit(self.now(), &mut buffer) {
            if transmit.to == NodeId(BOARD) && may_speak(&self.endpoint) {
                self.socket.send_to(&buffer[..transmit.len], self.board).unwrap();
            }
        }
    }

    fn now(&self) -> Instant {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap();
        Instant::from_micros(elapsed) + self.skipped
    }
}
