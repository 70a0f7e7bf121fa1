//! The `symphony` binary as a library: roles, configuration and command line.

mod backoff;
pub mod config;
pub mod ftp;
pub mod manager;
pub mod web;
