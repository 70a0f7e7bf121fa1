//! Simulator, scenarios, benches and end-to-end tests of Symphony.

pub mod contract;
pub mod database;
pub mod failover;
pub mod model;
pub mod proxy;
pub mod servers;
pub mod sim;
pub mod symphony;
