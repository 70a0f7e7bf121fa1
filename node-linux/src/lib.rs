//! The `symphony` binary as a library: roles, configuration and command line.

pub mod config;
pub mod scraper;
pub mod shop;
