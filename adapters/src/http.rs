//! HTTP: what all servers and clients here share.

pub mod api;
pub mod client;
pub mod health;
pub mod metrics;
pub mod problem;
pub mod server;

pub use client::{ClientError, WebClient};
pub use health::{Dependency, Health};
pub use problem::Problem;
pub use server::{operations, serve};
