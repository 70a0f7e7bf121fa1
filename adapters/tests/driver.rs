//! Drivers with real sockets, files and clocks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::symlink,
    },
    path::Path,
    time::Duration,
};

use rustix::fs::{self, MemfdFlags, SealFlags};
use symphony_adapters::{
    driver::{Driver, DriverError, Status},
    http::metrics,
    store::{self, Store, StoreError},
    udp,
};
use symphony_core::{
    ClusterId, Command, CommandError, Config, Key, KeyRing, Member, NodeId, Retirement, Role, Term, Timing,
};
use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, timeout},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// So long that a leader stays one on a machine that stands still for half a second now and then.
const TIMING: Timing = Timing {
    heartbeat_interval: symphony_core::Duration::from_millis(100),
    election_timeout_min: symphony_core::Duration::from_millis(1000),
    election_timeout_max: symphony_core::Duration::from_millis(2000),
    ..Timing::LOCAL
};

struct Cluster {
    folder: tempfile::TempDir,
    names: BTreeMap<NodeId, String>,
    drivers: BTreeMap<u16, Driver>,
}

impl Cluster {
    async fn start(size: u16) -> Self {
        Self::start_from(1, size).await
    }

    async fn start_from(first: u16, size: u16) -> Self {
        let mut sockets = BTreeMap::new();
        for id in first..first + size {
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
        self.start_node_with(id, socket, &members, KeyRing::new(key(1)));
    }

    fn start_node_with(&mut self, id: u16, socket: UdpSocket, members: &[Member], keys: KeyRing) {
        let config = Config::new(ClusterId([9; 16]), NodeId(id), members, TIMING, keys, 1).unwrap();
        let store = Store::open(&self.state(id)).unwrap();
        let driver = Driver::start(config, store, socket, udp::resolve(self.names.clone())).unwrap();
        self.drivers.insert(id, driver);
    }

    fn state(&self, id: u16) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(id.to_string()).join("node.state")
    }

    async fn restart(&mut self, id: u16) {
        let socket = udp::bind(self.names[&NodeId(id)].parse().unwrap()).await.unwrap();
        self.start_node(id, socket);
    }

    /// Waits until a node's status is as `condition` wants it.
    async fn see(&self, id: u16, condition: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.drivers[&id].status();
        timeout(PATIENCE, status.wait_for(condition)).await.unwrap().unwrap().clone()
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

/// A record that can stop being writable: a file in memory, which can be sealed, behind a link in a folder that can go.
struct MortalDisk {
    folder: std::path::PathBuf,
    file: OwnedFd,
}

impl MortalDisk {
    /// Takes the place of the record of a node that does not run.
    fn replace(record: &Path) -> Self {
        let file = fs::memfd_create(c"record", MemfdFlags::ALLOW_SEALING).unwrap();
        let behind = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::copy(record, &behind).unwrap();
        std::fs::remove_file(record).unwrap();
        symlink(&behind, record).unwrap();
        Self { folder: record.parent().unwrap().to_owned(), file }
    }

    /// Nothing can be written from now on, here or anew.
    fn die(&self) {
        // In this order: who finds the record sealed would write it anew in a folder that is there.
        std::fs::remove_dir_all(&self.folder).unwrap();
        fs::fcntl_add_seals(&self.file, SealFlags::WRITE).unwrap();
    }

    /// A new record can be written.
    fn mend(&self) {
        std::fs::create_dir(&self.folder).unwrap();
    }
}

/// A key of the cluster.
fn key(id: u8) -> Key {
    Key::new(id, [id; 32])
}

/// Waits until something has come to be of which nobody is told.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time; {}", metrics::install().render());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the process has counted under `name`, for a node; 0 if nothing.
fn counted(name: &str, labels: &str) -> u64 {
    let metrics = metrics::install().render();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(labels));
    line.map_or(0, |count| count.trim().parse().unwrap())
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

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_changed_under_a_leader_that_stays() {
    let cluster = Cluster::start(3).await;
    let before = cluster.leader().await;
    let (old, new) = (key(1), key(2));
    let steps = [
        KeyRing::new(old.clone()).also_receiving(new.clone()),
        KeyRing::new(new.clone()).also_receiving(old),
        KeyRing::new(new),
    ];
    for keys in steps {
        for driver in cluster.drivers.values() {
            driver.set_keys(keys.clone()).await.unwrap();
            // The leader's lease is kept by answers that arrive.
            let lease = cluster.see(before.0, |status| status.lease.is_some()).await.lease.unwrap();
            let status = cluster.drivers[&before.0].status();
            until("a longer lease", || status.borrow().lease.is_some_and(|later| later != lease)).await;
        }
    }
    assert_eq!(cluster.leader().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_record_retires_for_good() {
    let mut cluster = Cluster::start(3).await;
    let before = cluster.leader().await;
    let lost = if before.0 == 1 { 2 } else { 1 };
    cluster.stop(lost).await;
    std::fs::remove_file(cluster.state(lost)).unwrap();
    cluster.restart(lost).await;
    let retired = cluster.see(lost, |status| status.retirement().is_some()).await;
    assert!(matches!(retired.retirement(), Some(Retirement::IdTaken { .. })), "{retired:?}");
    // It is known before it is saved.
    until("a record that says so", || store::read(&cluster.state(lost)).unwrap().retired).await;

    cluster.stop(lost).await;
    cluster.restart(lost).await;
    let retired = cluster.see(lost, |status| status.retirement().is_some()).await;
    assert_eq!(retired.retirement(), Some(Retirement::Earlier), "its record says so");
    let refused = cluster.drivers[&lost].command(Command::Resume).await;
    assert!(matches!(refused, Err(DriverError::Command(CommandError::Retired))));
    cluster.see(before.0, |status| status.is_leader() && status.term == before.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_wrong_key_is_refused_counted_and_disturbs_nobody() {
    metrics::install();
    let mut cluster = Cluster::start(3).await;
    let before = cluster.leader().await;
    // Other tests count for the nodes 1 to 3 too, but none of them has a stranger.
    let refused = |reason: &str| {
        counted("symphony_datagrams_refused_total", &format!("{{node=\"{}\",reason=\"{reason}\"}}", before.0))
    };
    let wrong = if before.0 == 1 { 2 } else { 1 };
    cluster.stop(wrong).await;
    let socket = udp::bind(cluster.names[&NodeId(wrong)].parse().unwrap()).await.unwrap();
    let members: Vec<Member> = cluster.names.keys().map(|id| Member::voter(id.0)).collect();
    cluster.start_node_with(wrong, socket, &members, KeyRing::new(Key::new(1, [0xEE; 32])));
    until("forged datagrams counted", || refused("forged") >= 3).await;
    let status = cluster.drivers[&wrong].status().borrow().clone();
    assert_eq!(status.leader, None, "it hears nobody");
    cluster.see(before.0, |status| status.is_leader() && status.term == before.1).await;
    assert!(counted("symphony_datagrams_accepted_total", &format!("{{node=\"{}\"}}", before.0)) > 0);
}

/// With ids of its own: the other tests measure the nodes 1 to 3.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_is_can_be_measured() {
    metrics::install();
    let measured = |name: &str, labels: &str| {
        let figures = metrics::install().render();
        let value = figures.lines().find_map(|line| line.strip_prefix(&format!("{name}{labels} ")));
        value.unwrap_or_else(|| panic!("{name}{labels}: {figures}")).parse::<f64>().unwrap()
    };
    let mut cluster = Cluster::start_from(41, 3).await;
    let (leader, term) = cluster.leader().await;
    for id in 41..=43 {
        let label = format!("{{node=\"{id}\"}}");
        let is_leader = if id == leader { 1.0 } else { 0.0 };
        assert_eq!(measured("symphony_leader", &label), is_leader, "{id}");
        assert_eq!(measured("symphony_term", &label), term as f64, "{id}");
        assert_eq!(measured("symphony_record_unsaved", &label), 0.0, "{id}");
    }
    cluster.stop(leader).await;
    assert_eq!(measured("symphony_leader", &format!("{{node=\"{leader}\"}}")), 0.0, "one that has ended");
    std::fs::remove_file(cluster.state(leader)).unwrap();
    cluster.restart(leader).await;
    cluster.see(leader, |status| status.retirement().is_some()).await;
    for (kind, stands) in [("retired", 1.0), ("impostor", 0.0), ("peer_rolled_back", 0.0), ("members_differ", 0.0)] {
        assert_eq!(measured("symphony_alarm", &format!("{{node=\"{leader}\",kind=\"{kind}\"}}")), stands, "{kind}");
    }
}

/// As a leader does whom the database tells of a term that no node remembers.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_from_outside_takes_the_cluster_there() {
    let mut cluster = Cluster::start(3).await;
    let (leader, _) = cluster.leader().await;
    cluster.drivers[&leader].command(Command::RaiseTerm(Term(1000))).await.unwrap();
    cluster.see(leader, |status| status.term > 1000 && status.leader.is_some()).await;
    let (next, term) = cluster.leader().await;
    assert!(term > 1000);
    cluster.stop(next).await;
    cluster.restart(next).await;
    assert!(cluster.leader().await.1 > 1000, "it is in the records");
}

/// A node that reaches a follower and not the leader is told by the follower that there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_leader_says_who_stands_in_its_way_and_why() {
    let mut cluster = Cluster::start(3).await;
    let (leader, _) = cluster.leader().await;
    let cut_off = if leader == 1 { 2 } else { 1 };
    let third = 6 - leader - cut_off;
    cluster.stop(cut_off).await;
    let nobody = udp::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = cluster.names.insert(NodeId(leader), nobody.local_addr().unwrap().to_string());
    cluster.restart(cut_off).await;
    cluster.names.insert(NodeId(leader), address.unwrap());
    let refused = format!("no leader heard since the start; pre-vote refused by {third}: heard leader ");
    let status = cluster.see(cut_off, |status| status.reason.starts_with(&refused)).await;
    let ago_ms = status.reason.strip_prefix(&refused).and_then(|rest| rest.strip_suffix(" ms ago")).unwrap();
    assert!(ago_ms.parse::<u64>().unwrap() < TIMING.election_timeout_min.as_millis(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_dies_hands_over_and_follows_again_when_it_is_mended() {
    let mut cluster = Cluster::start(3).await;
    let (first, _) = cluster.leader().await;
    let mortal = if first == 1 { 2 } else { 1 };
    cluster.stop(mortal).await;
    let disk = MortalDisk::replace(&cluster.state(mortal));
    cluster.restart(mortal).await;
    let deadline = Instant::now() + PATIENCE;
    while !cluster.drivers[&mortal].status().borrow().is_leader() {
        assert!(Instant::now() < deadline, "it is never handed the leadership");
        let leader = cluster.leader().await.0;
        let _ = cluster.drivers[&leader].command(Command::Transfer(Some(NodeId(mortal)))).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    disk.die();
    let broken = cluster.see(mortal, |status| status.store_error.is_some() && !status.is_leader()).await;
    let third = 6 - first - mortal;
    let next = cluster.see(third, |status| status.term > broken.term || status.leader != Some(NodeId(mortal))).await;
    assert_ne!(next.leader, Some(NodeId(mortal)));
    disk.mend();
    cluster.see(mortal, |status| status.store_error.is_none() && status.leader.is_some()).await;
    assert_ne!(cluster.leader().await.0, mortal);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_dead_disk_no_command_makes_a_node_campaign_before_it_is_mended() {
    let mut cluster = Cluster::start_from(61, 1).await;
    cluster.leader().await;
    cluster.stop(61).await;
    let disk = MortalDisk::replace(&cluster.state(61));
    cluster.restart(61).await;
    let led = cluster.see(61, |status| status.lease.is_some()).await;
    disk.die();
    cluster.see(61, |status| status.store_error.is_some() && !status.is_leader()).await;
    cluster.drivers[&61].command(Command::Resume).await.unwrap();
    let quiet = TIMING.election_timeout_max * 2;
    let campaign = timeout(
        Duration::from_micros(quiet.as_micros()),
        cluster.see(61, |status| status.role != Role::Follower || status.term != led.term),
    );
    assert!(campaign.await.is_err(), "it has campaigned");
    disk.mend();
    let again = cluster.see(61, Status::is_leader).await;
    assert_eq!((again.term, again.store_error), (led.term + 1, None));
}
