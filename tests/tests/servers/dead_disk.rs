//! A disk that dies under a running node.

use std::{collections::BTreeMap, fs::File, net::SocketAddr, time::Duration};

use libtest_mimic::Trial;
use symphony_adapters::{
    driver::{Driver, Status},
    store::Store,
    udp,
};
use symphony_core::{ClusterId, Config, Key, KeyRing, Member, NodeId, Timing};
use symphony_tests::{
    database::run,
    servers::disk::{self, Disk},
    symphony::PATIENCE,
};
use tokio::time::timeout;

const IDS: [u16; 3] = [1, 2, 3];

const DISK_SIZE: usize = 1 << 20;

/// On a busy machine a heartbeat may be late.
const TIMING: Timing = Timing {
    heartbeat_interval: symphony_core::Duration::from_millis(100),
    election_timeout_min: symphony_core::Duration::from_millis(1000),
    election_timeout_max: symphony_core::Duration::from_millis(2000),
    ..Timing::LOCAL
};

pub(crate) fn trials() -> Vec<Trial> {
    let name = "dead_disk::a_leader_with_a_dead_disk_hands_over_and_stays_out_until_it_is_mended";
    vec![disk::trial(name, &[], || run(a_leader_with_a_dead_disk_hands_over()))]
}

/// hashicorp/raft#503: a leader whose disk was dead kept its followers quiet by heartbeats, and could not have led again.
async fn a_leader_with_a_dead_disk_hands_over() {
    let folder = tempfile::tempdir().unwrap();
    let disks = IDS.map(|id| Disk::mount(&folder.path().join(id.to_string()), DISK_SIZE));
    let mut drivers = start(&disks).await;
    let leads = |status: &Status| status.is_leader() && status.lease.is_some();
    let leader = first(&drivers, leads).await;

    let disk = &disks[usize::from(leader) - 1];
    // The record is written in place, where a full disk still has room for it: it must find no room of its own.
    File::options().write(true).open(disk.path().join("state")).unwrap().set_len(0).unwrap();
    disk.fill();
    see(&drivers, leader, |status| status.store_error.is_some() && !status.is_leader()).await;
    let next = first(&drivers, leads).await;
    assert_ne!(next, leader);

    // Of the two that are left, one has no disk: it does not vote, so nobody can lead.
    drivers.remove(&next).unwrap().stop().await.unwrap();
    let somebody = timeout(Duration::from_secs(10), first(&drivers, leads)).await;
    assert!(somebody.is_err(), "{somebody:?} leads, with {leader}'s disk dead");
    assert!(drivers[&leader].status().borrow().store_error.is_some());

    disk.free();
    see(&drivers, leader, |status| status.store_error.is_none()).await;
    first(&drivers, leads).await;
}

async fn start(disks: &[Disk; 3]) -> BTreeMap<u16, Driver> {
    let mut sockets = BTreeMap::new();
    for id in IDS {
        sockets.insert(id, udp::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap());
    }
    let names: BTreeMap<_, _> =
        sockets.iter().map(|(id, socket)| (NodeId(*id), socket.local_addr().unwrap().to_string())).collect();
    let start = |(id, socket)| {
        let keys = KeyRing::new(Key::new(1, [1; 32]));
        let config = Config::new(ClusterId([1; 16]), NodeId(id), &IDS.map(Member::voter), TIMING, keys, 1);
        let store = Store::open(&disks[usize::from(id) - 1].path().join("state")).unwrap();
        (id, Driver::start(config.unwrap(), store, socket, udp::resolve(names.clone())).unwrap())
    };
    sockets.into_iter().map(start).collect()
}

/// Waits until one of the nodes is as `condition` wants it.
async fn first(drivers: &BTreeMap<u16, Driver>, condition: impl Fn(&Status) -> bool) -> u16 {
    symphony_tests::symphony::until("a node as wanted", async || {
        drivers.iter().find(|(_, driver)| condition(&driver.status().borrow())).map(|(id, _)| *id)
    })
    .await
}

/// Waits until a node is as `condition` wants it.
async fn see(drivers: &BTreeMap<u16, Driver>, id: u16, condition: impl FnMut(&Status) -> bool) {
    let mut status = drivers[&id].status();
    timeout(PATIENCE, status.wait_for(condition)).await.unwrap().unwrap();
}
