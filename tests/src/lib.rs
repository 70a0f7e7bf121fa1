//! Simulator, scenarios, benches and end-to-end tests of Symphony.

pub mod servers;
