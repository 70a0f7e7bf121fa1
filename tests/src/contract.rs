//! Promises that every implementation of a trait keeps, written once and held against each.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed step fails the test"
)]

pub mod broker;

/// Runs one test to its end on a runtime of its own.
///
/// # Panics
/// If there is no runtime to be had, or the test panics.
pub fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}
