//! Leader election in fixed memory: a `no_std`, allocation-free, sans-IO Raft election state machine.
//!
//! Bytes and time go in; bytes, records to save and events come out. See [`Endpoint`].

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
