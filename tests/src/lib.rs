//! Simulator, scenarios, benches and end-to-end tests of Symphony.

pub mod database;
pub mod proxy;
pub mod servers;
