//! What the tests of the manager's parts share.

pub(super) mod broker;
pub(super) mod web;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Waits until something has come to be.
pub(super) async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to be");
        sleep(Duration::from_millis(5)).await;
    }
}
