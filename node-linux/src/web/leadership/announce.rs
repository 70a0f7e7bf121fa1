//! Telling the managers who leads, again and again: a manager that was restarted has forgotten.

use std::time::Duration;

use futures_util::future::join_all;
use symphony_adapters::http::{WebClient, api::LeaderInfo};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::backoff::Backoff;

/// Time between two announcements that arrived.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Shortest wait after one that did not.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait after one that did not.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Whom to tell, and by what means.
pub(super) struct Announcement {
    pub(super) managers: Vec<String>,
    pub(super) client: WebClient,
}

impl Announcement {
    /// Tells every manager that `leader` leads, until dropped.
    pub(super) async fn repeat(&self, leader: &LeaderInfo) {
        join_all(self.managers.iter().map(|manager| self.repeat_to(manager, leader))).await;
    }

    async fn repeat_to(&self, manager: &str, leader: &LeaderInfo) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        // Only a change is worth a line in the log.
        let mut heard = None;
        loop {
            let result = self.client.announce(manager, leader).await;
            if heard != Some(result.is_ok()) {
                match &result {
                    Ok(()) => info!(manager, term = leader.term, "manager knows the leader"),
                    Err(error) => warn!(manager, term = leader.term, %error, "manager does not know the leader yet"),
                }
            }
            heard = Some(result.is_ok());
            if result.is_ok() {
                backoff.reset();
                sleep(AGAIN_AFTER).await;
            } else {
                sleep(backoff.next_wait()).await;
            }
        }
    }
}
