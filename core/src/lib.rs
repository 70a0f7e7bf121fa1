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
//! use symphony_core::{
//!     ClusterId, Config, DATAGRAM_SIZE_MAX, Endpoint, Instant, Key, KeyRing, Member, NodeId, Saved, Timing,
//! };
//!
//! let members = [Member::voter(1), Member::voter(2), Member::witness(3)];
//! let mut now = Instant::from_secs(1);
//! let mut nodes = [1, 2, 3].map(|id| {
//!     let (cluster, keys) = (ClusterId(*b"an example, 16 b"), KeyRing::new(Key::new(1, [7; 32])));
//!     let config = Config::<2>::new(cluster, NodeId(id), &members, Timing::LOCAL, keys, 42);
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
//!             // Refused until the two have met, and if it was not a member who sent it.
//!             let _ = nodes[receiver].handle_datagram(now, &mut buffer[..transmit.len]);
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
//! # On a board
//!
//! Any target with `core` and 64-bit integers, down to Cortex-M0 (`thumbv6m-none-eabi`, no compare-and-swap); Rust 1.95.
//! Three things are the board's to bring:
//!
//! | | |
//! |---|---|
//! | datagrams | up to [`DATAGRAM_SIZE_MAX`] bytes, to and from each member: lost, doubled, late or forged as it may be |
//! | a timer | a monotonic clock as [`Instant`]s (microseconds), and a wake-up at [`Endpoint::next_deadline`] |
//! | a record that survives | [`Saved`], at most [`Saved::SIZE_MAX`] bytes, replaced whole at most twice in a term and at starts |
//!
//! and random bytes: a key that all members share, a salt for a new board, a seed for every start. Memory on a 32-bit
//! target, bytes:
//!
//! | peers | [`Endpoint`] | record |
//! |---|---|---|
//! | 1 | 568 | 50 |
//! | 2 | 712 | 71 |
//! | 4 | 1,008 | 113 |
//! | 8 | 1,600 | 197 |
//!
//! Beside it a buffer of [`DATAGRAM_SIZE_MAX`] bytes, and at most some 1.4 KB of stack in any call.
//!
//! # Features
//!
//! None by default. `defmt` logs every change of state and formats all public types; `ascon` takes another cipher
//! ([`secure`]). Capacities are const generics.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[macro_use]
mod fmt;

mod config;
#[cfg_attr(not(feature = "messages"), allow(unreachable_pub, reason = "the election itself is for tests and benches"))]
mod election;
mod endpoint;
mod gate;
mod numbers;
mod quorum;
mod rng;
pub mod secure;
mod stats;
mod time;
mod types;
#[cfg_attr(
    not(feature = "messages"),
    allow(unreachable_pub, reason = "the messages themselves are for tests and benches")
)]
mod wire;

pub use embassy_time::{Duration, Instant};

pub use config::{Config, ConfigError, MEMBERS_MAX, Member, Timing};
#[cfg(feature = "messages")]
pub use election::Election;
pub use election::{Command, CommandError, Event, PeerView};
pub use endpoint::{Endpoint, Transmit};
pub use secure::{Alarm, DatagramError, Key, KeyRing, Retirement};
pub use stats::{Reason, Stats};
pub use types::{Boot, ClusterId, Incarnation, KnownPeer, NodeId, Role, Saved, Session, Suffrage, Term};
pub use wire::{Body, DATAGRAM_SIZE_MAX, Message, Stamp, Verdict};
#[cfg(feature = "messages")]
pub use wire::{decode, encode};
