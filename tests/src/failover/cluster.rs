//! Drivers on loopback that can be stopped dead and started again.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use symphony_adapters::{
    driver::{Driver, Status},
    store::Store,
    udp::{self, AddressBook},
};
use symphony_core::{ClusterId, Config, Key, KeyRing, Member, NodeId, Timing};
use tokio::{net::UdpSocket, sync::watch};

use super::{Settings, relay};

const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of drivers.
#[derive(Debug)]
pub struct Cluster {
    folder: tempfile::TempDir,
    members: Vec<Member>,
    timing: Timing,
    secret: [u8; 32],
    sockets: BTreeMap<u16, SocketAddr>,
    book: watch::Sender<AddressBook>,
    drivers: BTreeMap<u16, Driver>,
}

impl Cluster {
    /// Starts all nodes.
    ///
    /// # Errors
    /// No socket, no file or no valid timing.
    pub async fn start(settings: &Settings) -> Result<Self, String> {
        let micros = |duration: Duration| symphony_core::Duration::from_micros(duration.as_micros() as u64);
        let mut cluster = Self {
            folder: tempfile::tempdir().map_err(|error| error.to_string())?,
            members: (1..=settings.nodes).map(Member::voter).collect(),
            timing: Timing {
                heartbeat_interval: micros(settings.heartbeat),
                election_timeout_min: micros(settings.timeout.0),
                election_timeout_max: micros(settings.timeout.1),
                clock_drift_max_percent: 1,
            },
            secret: rand::random(),
            sockets: BTreeMap::new(),
            book: watch::Sender::new(AddressBook::new()),
            drivers: BTreeMap::new(),
        };
        let mut sockets = Vec::new();
        let mut book = AddressBook::new();
        for id in 1..=settings.nodes {
            let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
            let address = socket.local_addr().map_err(|error| error.to_string())?;
            cluster.sockets.insert(id, address);
            let reached_at = match settings.loss_percent {
                0 => address,
                percent => relay::start(address, percent).await.map_err(|error| error.to_string())?,
            };
            book.insert(NodeId(id), reached_at);
            sockets.push((id, socket));
        }
        cluster.book.send_replace(book);
        for (id, socket) in sockets {
            cluster.start_node(id, socket)?;
        }
        Ok(cluster)
    }

    /// Stops a node without a word to the others.
    ///
    /// # Errors
    /// Its thread panicked.
    pub async fn kill(&mut self, id: u16) -> Result<(), String> {
        match self.drivers.remove(&id) {
            Some(driver) => driver.stop().await.map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// Starts a stopped node again, with what its disk has.
    ///
    /// # Errors
    /// Its socket or file cannot be opened.
    pub async fn revive(&mut self, id: u16) -> Result<(), String> {
        let address = *self.sockets.get(&id).ok_or("no such node")?;
        let socket = bind(address).await?;
        self.start_node(id, socket)
    }

    /// Waits until all nodes follow the same leader, which holds a lease.
    ///
    /// # Errors
    /// They do not within a minute.
    pub async fn agreement(&self) -> Result<(u16, u64), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen();
            let leader = seen.iter().find(|status| status.lease.is_some());
            if let Some(leader) = leader
                && seen.iter().all(|status| (status.leader, status.term) == (Some(leader.id), leader.term))
            {
                return Ok((leader.id.0, leader.term));
            }
            if Instant::now() > deadline {
                return Err(format!("no agreement within {PATIENCE:?}: {seen:?}"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for a leader of a later term, and tells when it was seen and its term.
    ///
    /// # Errors
    /// There is none within a minute.
    pub async fn next_leader(&self, term: u64) -> Result<(Instant, u64), String> {
        let (found, mut first) = tokio::sync::mpsc::channel(1);
        for driver in self.drivers.values() {
            let (mut status, found) = (driver.status(), found.clone());
            tokio::spawn(async move {
                let elected = status.wait_for(|status| status.is_leader() && status.term > term).await;
                let elected = elected.map(|status| status.term);
                if let Ok(term) = elected {
                    // Only the first is asked for.
                    let _ = found.try_send((Instant::now(), term));
                }
            });
        }
        drop(found);
        tokio::time::timeout(PATIENCE, first.recv()).await.ok().flatten().ok_or_else(|| "nobody was elected".into())
    }

    fn start_node(&mut self, id: u16, socket: UdpSocket) -> Result<(), String> {
        let keys = KeyRing::new(Key::new(1, self.secret));
        let config = Config::new(ClusterId([1; 16]), NodeId(id), &self.members, self.timing, keys, rand::random())
            .map_err(|error| error.to_string())?;
        let store = Store::open(&self.folder.path().join(id.to_string())).map_err(|error| error.to_string())?;
        let driver = Driver::start(config, store, socket, self.book.subscribe()).map_err(|error| error.to_string())?;
        self.drivers.insert(id, driver);
        Ok(())
    }

    fn seen(&self) -> Vec<Status> {
        self.drivers.values().map(|driver| driver.status().borrow().clone()).collect()
    }
}

async fn bind(address: SocketAddr) -> Result<UdpSocket, String> {
    udp::bind(address).await.map_err(|error| format!("{address}: {error}"))
}
