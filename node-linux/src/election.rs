//! From the configuration to a running election.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use symphony_adapters::{
    driver::{Driver, DriverError, PEERS_MAX},
    store::{Store, StoreError},
    udp,
};
use symphony_core::{ClusterId, Config, ConfigError, Duration, Member, NodeId, Suffrage, Timing};
use thiserror::Error;

use crate::config;

/// How far the clocks of two machines may drift apart, per cent; crystals are a thousand times better.
const CLOCK_DRIFT_MAX_PERCENT: u8 = 1;

/// Why an election did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ElectionError {
    /// The members or the timing make no cluster.
    #[error("[node]: {0}")]
    Config(#[from] ConfigError),
    /// The record that must survive a crash.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// Opens the record and the socket, and starts to take part in the election.
///
/// # Errors
/// [`ElectionError`]: nothing was started.
pub async fn start(node: &config::Node) -> Result<Driver, ElectionError> {
    let config = core_config(node)?;
    let socket =
        udp::bind(node.listen).await.map_err(|source| ElectionError::Socket { address: node.listen, source })?;
    let store = Store::open(&node.state)?;
    let names: BTreeMap<NodeId, String> =
        node.members.iter().map(|member| (NodeId(member.id), member.address.clone())).collect();
    Ok(Driver::start(config, store, socket, udp::resolve(names))?)
}

/// What the core makes of the section `[node]`.
///
/// # Errors
/// [`ConfigError`]: the members or the timing make no cluster.
pub fn core_config(node: &config::Node) -> Result<Config<PEERS_MAX>, ConfigError> {
    let members: Vec<Member> = node.members.iter().map(core_member).collect();
    let timing = Timing {
        heartbeat_interval: core_duration(node.heartbeat),
        election_timeout_min: core_duration(node.election_timeout_min),
        election_timeout_max: core_duration(node.election_timeout_max),
        clock_drift_max_percent: CLOCK_DRIFT_MAX_PERCENT,
    };
    Config::new(cluster_id(&node.cluster), NodeId(node.id), &members, timing, seed())
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
fn cluster_id(name: &str) -> ClusterId {
    let mut id = [0; 16];
    for (byte, hashed) in id.iter_mut().zip(Sha256::digest(name)) {
        *byte = hashed;
    }
    ClusterId(id)
}

/// Spreads election timeouts. Without entropy the id of the node spreads them too.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}
