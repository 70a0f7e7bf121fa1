//! HTTP: what all servers and clients here share.

pub mod api;
