//! What the simulator, the benches and the end-to-end tests share.

pub mod failover;
