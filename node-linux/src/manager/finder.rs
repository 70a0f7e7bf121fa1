//! Finds the leader when nobody tells: in the fence row, then at the web nodes.

use std::time::Duration;

use futures_util::future::join_all;
use symphony_adapters::{
    database::Database,
    http::{Dependency, WebClient},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::route::Route;
use crate::backoff::Backoff;

/// Time for the database to tell.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(3);
/// Shortest and longest time between two looks while there is no leader, or doubt about it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Time between two looks while all is well: a lost announcement is made up for.
const CALM: Duration = Duration::from_secs(15);

/// Keeps a route up to date without waiting for announcements.
pub(super) struct Finder {
    pub(super) route: Route,
    pub(super) database: Database,
    pub(super) client: WebClient,
    /// Base URLs of the web nodes.
    pub(super) web: Vec<String>,
    pub(super) health: Dependency,
}

impl Finder {
    /// Looks at once, when the route is in doubt, and from time to time, until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        let mut routes = self.route.subscribe();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.look() => {}
            }
            if routes.has_changed().unwrap_or(false) {
                routes.mark_unchanged();
                backoff.reset();
                self.health.up();
            } else if self.route.current().is_none() {
                self.health.down("no leader is known");
            }
            // Doubts come with every failed request; this bounds the looks they cause.
            let pause = backoff.next_wait();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(pause) => {}
            }
            if self.route.current().is_none() {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.route.doubted() => {}
                _ = routes.changed() => self.health.up(),
                () = sleep(CALM) => backoff.reset(),
            }
        }
    }

    /// One look: the fence row, and, if that is no news, the nodes themselves.
    async fn look(&self) {
        let before = self.route.current();
        match timeout(DATABASE_TIMEOUT, self.database.leader()).await {
            Ok(Ok(leader)) => self.route.follow_fence(leader),
            Ok(Err(error)) => tracing::debug!(%error, "the fence row cannot be read"),
            Err(_) => tracing::debug!("the fence row cannot be read: no answer in time"),
        }
        if self.route.current() != before {
            return;
        }
        for answer in join_all(self.web.iter().map(|url| self.client.leader(url))).await {
            self.route.follow_node(answer.ok().flatten());
        }
    }
}
