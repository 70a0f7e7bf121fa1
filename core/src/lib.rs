//! Leader election in fixed memory: a `no_std`, allocation-free, sans-IO Raft election state machine.
//!
//! Bytes and time go in; bytes, records to save and events come out. What the host program brings is three things:
//! datagrams, a monotonic clock, and a record that survives a crash. There is no unsafe code, no allocation and no
//! recursion, and no input makes it panic.
//!
//! # Example
//!
//! Three nodes in one program, whose network and disks are perfect:
//!
//! ```
//! use symphony_core::{ClusterId, Config, DATAGRAM_SIZE_MAX, Endpoint, Instant, Member, NodeId, Saved, Timing};
//!
//! let members = [Member::voter(1), Member::voter(2), Member::witness(3)];
//! let mut now = Instant::from_secs(1);
//! let mut nodes = [1, 2, 3].map(|id| {
//!     let config = Config::<2>::new(ClusterId(*b"an example, 16 b"), NodeId(id), &members, Timing::LOCAL, 42);
//!     // On its very first start a node is provisioned with random bytes; later it starts with what it saved last.
//!     Endpoint::new(config.expect("these members make a cluster"), Saved::provision([id as u8; 8]), now)
//! });
//!
//! while nodes.iter().any(|node| node.leader().is_none()) {
//!     now = nodes.iter().map(|node| node.next_deadline()).min().map_or(now, |deadline| now.max(deadline));
//!     for sender in 0..nodes.len() {
//!         nodes[sender].handle_timeout(now);
//!         if let Some(saved) = nodes[sender].poll_persist() {
//!             // Here the record goes to flash or disk. Nothing is sent before the next line.
//!             nodes[sender].handle_persisted(now, &saved);
//!         }
//!         let mut buffer = [0; DATAGRAM_SIZE_MAX];
//!         while let Some(transmit) = nodes[sender].poll_transmit(now, &mut buffer) {
//!             let receiver = usize::from(transmit.to.0 - 1);
//!             nodes[receiver].handle_datagram(now, &mut buffer[..transmit.len]).expect("nobody else sends");
//!         }
//!         while let Some(event) = nodes[sender].poll_event(now) {
//!             println!("node {}: {event:?}", sender + 1);
//!         }
//!     }
//! }
//! let leader = nodes[0].leader();
//! assert!(nodes.iter().all(|node| node.leader() == leader));
//! assert_ne!(leader, Some(NodeId(3)), "a witness votes and never leads");
//! ```
//!
//! # Features
//!
//! None by default. `defmt` logs every change of state and formats all public types. Capacities are const generics.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[macro_use]
mod fmt;

mod channel;
mod config;
mod election;
mod endpoint;
mod gate;
mod quorum;
mod rng;
mod stats;
mod time;
mod types;
mod wire;

pub use embassy_time::{Duration, Instant};

pub use channel::DatagramError;
pub use config::{Config, ConfigError, MEMBERS_MAX, Member, Timing};
pub use election::{Command, CommandError, Event, PeerView};
pub use endpoint::{Endpoint, Transmit};
pub use stats::{Reason, Stats};
pub use types::{Boot, ClusterId, NodeId, Role, Saved, Suffrage, Term};
pub use wire::{Body, DATAGRAM_SIZE_MAX, Message, Stamp, Verdict};
