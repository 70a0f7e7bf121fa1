//! Model, benches, contracts, faults and end-to-end tests of Symphony.

pub mod board;
pub mod chaos;
pub mod cluster;
pub mod contract;
pub mod database;
pub mod failover;
pub mod footprint;
pub mod model;
pub mod nodes;
pub mod proxy;
pub mod servers;
pub mod symphony;
pub mod terms;
pub mod throughput;
