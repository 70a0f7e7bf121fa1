//! Simulator, scenarios, benches and end-to-end tests of Symphony.

pub mod contract;
pub mod failover;
pub mod servers;
