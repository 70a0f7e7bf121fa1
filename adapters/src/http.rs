//! HTTP: what all servers and clients here share.

pub mod api;
pub mod bearer;
pub mod client;
pub mod health;
pub mod listener;
pub mod metrics;
pub mod problem;
pub mod proxy;
pub mod server;
pub mod target;

pub use bearer::{Bearer, BearerError, closed, guarded};
pub use client::{ClientError, WebClient};
pub use health::{Dependency, Health};
pub use listener::Listener;
pub use problem::Problem;
pub use proxy::{Proxy, ProxyError};
pub use server::{operations, serve};
