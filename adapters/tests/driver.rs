//! Drivers with real sockets, files and clocks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use symphony_adapters::{
    driver::{Driver, DriverError, Status},
    store::{Store, StoreError},
    udp,
};
use symphony_core::{ClusterId, Command, CommandError, Config, Member, NodeId, Timing};
use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    folder: tempfile::TempDir,
    names: BTreeMap<NodeId, String>,
    drivers: BTreeMap<u16, Driver>,
}

impl Cluster {
    async fn start(size: u16) -> Self {
        let mut sockets = BTreeMap::new();
        for id in 1..=size {
            sockets.insert(id, udp::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap());
        }
        let names =
            sockets.iter().map(|(id, socket)| (NodeId(*id), socket.local_addr().unwrap().to_string())).collect();
        let mut cluster = Self { folder: tempfile::tempdir().unwrap(), names, drivers: BTreeMap::new() };
        for (id, socket) in sockets {
            cluster.start_node(id, socket);
        }
        cluster
    }

    fn start_node(&mut self, id: u16, socket: UdpSocket) {
        let members: Vec<Member> = self.names.keys().map(|id| Member::voter(id.0)).collect();
        let config = Config::new(ClusterId([9; 16]), NodeId(id), &members, Timing::LOCAL, 1).unwrap();
        let store = Store::open(&self.state(id)).unwrap();
        let driver = Driver::start(config, store, socket, udp::resolve(self.names.clone())).unwrap();
        self.drivers.insert(id, driver);
    }

    fn state(&self, id: u16) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(format!("{id}.state"))
    }

    async fn restart(&mut self, id: u16) {
        let socket = udp::bind(self.names[&NodeId(id)].parse().unwrap()).await.unwrap();
        self.start_node(id, socket);
    }

    async fn stop(&mut self, id: u16) {
        self.drivers.remove(&id).unwrap().stop().await.unwrap();
    }

    /// Waits until all that run agree on a leader among themselves.
    async fn leader(&self) -> (u16, u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen: Vec<Status> = self.drivers.values().map(|driver| driver.status().borrow().clone()).collect();
            let first = seen[0].clone();
            if let Some(leader) = first.leader
                && self.drivers.contains_key(&leader.0)
                && seen.iter().all(|status| (status.leader, status.term) == (first.leader, first.term))
            {
                return (leader.0, first.term);
            }
            assert!(Instant::now() < deadline, "no leader: {seen:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_elected_and_replaced_when_it_stops() {
    let mut cluster = Cluster::start(3).await;
    let (first, term) = cluster.leader().await;
    cluster.stop(first).await;
    let (second, later) = cluster.leader().await;
    assert_ne!(first, second);
    assert!(later > term);
    cluster.restart(first).await;
    assert_eq!(cluster.leader().await, (second, later));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_holds_a_lease_and_a_follower_none() {
    let cluster = Cluster::start(3).await;
    let (leader, _) = cluster.leader().await;
    let mut status: watch::Receiver<Status> = cluster.drivers[&leader].status();
    timeout(PATIENCE, status.wait_for(|status| status.lease.is_some())).await.unwrap().unwrap();
    let follower = cluster.drivers.iter().find(|(id, _)| **id != leader).unwrap().1;
    assert_eq!(follower.status().borrow().lease, None);
    let refused = follower.command(Command::Transfer(None)).await;
    assert!(matches!(refused, Err(DriverError::Command(CommandError::NotLeader))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_resigns_is_replaced_before_it_goes() {
    let mut cluster = Cluster::start(3).await;
    let (leader, _) = cluster.leader().await;
    let mut status = cluster.drivers[&leader].status();
    timeout(PATIENCE, status.wait_for(|status| status.lease.is_some())).await.unwrap().unwrap();
    cluster.drivers[&leader].resign(PATIENCE).await;
    assert!(!status.borrow().is_leader());
    timeout(PATIENCE, status.wait_for(|status| status.leader.is_some_and(|next| next.0 != leader)))
        .await
        .unwrap()
        .unwrap();
    cluster.stop(leader).await;
    assert_ne!(cluster.leader().await.0, leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_term_survives_a_restart_of_every_node() {
    let mut cluster = Cluster::start(3).await;
    let (_, term) = cluster.leader().await;
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    assert!(cluster.leader().await.1 > term);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_running_node_cannot_be_opened_again() {
    let mut cluster = Cluster::start(1).await;
    cluster.leader().await;
    assert!(matches!(Store::open(&cluster.state(1)), Err(StoreError::InUse(_))));
    cluster.stop(1).await;
    assert!(Store::open(&cluster.state(1)).is_ok());
}
