//! HTTP: what all servers and clients here share.

pub mod api;
pub mod client;
pub mod health;
pub mod metrics;
pub mod problem;
pub mod proxy;
pub mod server;
pub mod target;

pub use client::{ClientError, WebClient};
pub use health::{Dependency, Health};
pub use problem::Problem;
pub use proxy::{Proxy, ProxyError};
pub use server::{operations, serve};
