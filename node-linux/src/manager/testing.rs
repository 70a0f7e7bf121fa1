//! What the tests of the manager's parts share.

pub(super) mod broker;
pub(super) mod web;

use std::time::Duration;

use symphony_adapters::http::{Bearer, WebClient};
use tokio::time::{Instant, sleep};

/// The token of every test's HTTP interface.
pub(super) fn bearer() -> Bearer {
    Bearer::new("token-of-the-tests").unwrap()
}

/// A client that knows the token.
pub(super) fn client() -> WebClient {
    WebClient::new(bearer()).unwrap()
}

/// Waits until something has come to be.
pub(super) async fn wait_until(condition: impl Fn() -> bool) {
    eventually(async || condition()).await;
}

/// Waits until something has come to be that takes a moment to look at.
pub(super) async fn eventually(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !condition().await {
        assert!(Instant::now() < deadline, "it did not come to be");
        sleep(Duration::from_millis(5)).await;
    }
}
