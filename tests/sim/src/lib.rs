//! The simulator: real endpoints under virtual time, on networks, disks and clocks that fail as one seed decides.
//!
//! The same seed always gives the same run. Only `symphony_core` is under test here; this crate depends on nothing
//! else of the workspace, so that it can be built together with a changed copy of the core (see [`plant`]).

pub mod attacker;
pub mod attacks;
pub mod batch;
pub mod chaos;
pub mod cli;
pub mod clock;
mod delivery;
pub mod disk;
pub mod invariant;
pub mod ledger;
pub mod network;
mod node;
mod ordeal;
mod orders;
pub mod plan;
pub mod plant;
pub mod report;
pub mod rng;
pub mod run;
mod saving;
pub mod sealed;
pub mod trace;
pub mod wire;
pub mod world;
