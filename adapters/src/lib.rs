//! Adapters between Symphony and the outside world: one module per protocol.
//!
//! An adapter knows its own protocol and the core's types, and no other adapter. Roles in `node-linux` wire adapters
//! together.

pub mod broker;
pub mod database;
pub mod driver;
pub mod ftp;
pub mod ftp_server;
pub mod http;
pub mod item;
pub mod secret;
pub mod smtp;
pub mod store;
pub mod tls;
pub mod udp;
