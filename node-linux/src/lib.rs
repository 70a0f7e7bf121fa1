//! The `symphony` binary as a library: roles, configuration and command line.

mod backoff;
pub mod config;
pub mod manager;
pub mod web;
pub mod ftp;
