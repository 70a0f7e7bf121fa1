//! From the configuration to a running election.

pub(crate) mod api;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use symphony_adapters::{
    driver::{Driver, DriverError, PEERS_MAX, Status},
    http::Health,
    store::{Store, StoreError},
    udp,
};
use symphony_core::{Alarm, ClusterId, Config, ConfigError, Duration, KeyRing, Member, NodeId, Suffrage, Timing};
use thiserror::Error;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    config,
    keys::{KeyFileError, LiveKeys},
};

/// How far the clocks of two machines may drift apart, per cent; crystals are a thousand times better.
const CLOCK_DRIFT_MAX_PERCENT: u8 = 1;

/// Why an election did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ElectionError {
    /// The members or the timing make no cluster.
    #[error("[node]: {0}")]
    Config(#[from] ConfigError),
    /// The cluster's keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The record that must survive a crash.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The number of this start: without it a record that was put back could repeat a datagram's nonce.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The UDP socket.
    #[error("cannot listen on UDP {address}: {source}")]
    Socket {
        /// `node.listen`.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Opens the record and the socket, and starts to take part in the election, with the keys that are returned.
///
/// # Errors
/// [`ElectionError`]: nothing was started.
pub async fn start(node: &config::Node) -> Result<(Driver, LiveKeys), ElectionError> {
    let keys = LiveKeys::load(&node.keys)?;
    let config = core_config(node, keys.ring(), getrandom::u64().map_err(ElectionError::Random)?)?;
    let socket =
        udp::bind(node.listen).await.map_err(|source| ElectionError::Socket { address: node.listen, source })?;
    let store = Store::open(&node.state)?;
    let names: BTreeMap<NodeId, String> =
        node.members.iter().map(|member| (NodeId(member.id), member.address.clone())).collect();
    Ok((Driver::start(config, store, socket, udp::resolve(names))?, keys))
}

/// Makes a role not ready, with the reason, for as long as this node can be no member of its cluster: it has retired.
/// The task ends with the driver.
pub(crate) fn report_membership(mut status: watch::Receiver<Status>, health: &Health) -> JoinHandle<()> {
    let membership = health.dependency("membership");
    membership.up();
    tokio::spawn(async move {
        loop {
            if let Some(why) = status.borrow_and_update().retirement() {
                membership.down(Alarm::Retired(why).to_string());
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    })
}

/// What the core makes of the section `[node]`, and of a seed that no other start had.
///
/// # Errors
/// [`ConfigError`]: the members or the timing make no cluster.
fn core_config(node: &config::Node, keys: KeyRing, seed: u64) -> Result<Config<PEERS_MAX>, ConfigError> {
    let mut members: Vec<Member> = node.members.iter().map(core_member).collect();
    if members.is_empty() {
        // Alone, as the configuration says: the only voter.
        members.push(Member::voter(node.id));
    }
    let timing = Timing {
        heartbeat_interval: core_duration(node.heartbeat),
        election_timeout_min: core_duration(node.election_timeout_min),
        election_timeout_max: core_duration(node.election_timeout_max),
        clock_drift_max_percent: CLOCK_DRIFT_MAX_PERCENT,
    };
    Config::new(cluster_id(&node.cluster), NodeId(node.id), &members, timing, keys, seed)
}

fn core_member(member: &config::Member) -> Member {
    let suffrage = match member.kind {
        config::MemberKind::Voter => Suffrage::Voter,
        config::MemberKind::Witness => Suffrage::Witness,
        config::MemberKind::Observer => Suffrage::Observer,
    };
    Member { id: NodeId(member.id), suffrage, priority: member.priority }
}

fn core_duration(duration: std::time::Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// A cluster is known by its name.
pub(crate) fn cluster_id(name: &str) -> ClusterId {
    let mut id = [0; 16];
    for (byte, hashed) in id.iter_mut().zip(Sha256::digest(name)) {
        *byte = hashed;
    }
    ClusterId(id)
}
