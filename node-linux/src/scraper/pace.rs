//! When the next request to a site may start.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Keeps a distance between the starts of requests.
pub(super) struct Pace {
    state: Mutex<State>,
}

struct State {
    distance: Duration,
    next: Instant,
}

impl Pace {
    pub(super) fn new(distance: Duration) -> Self {
        Self { state: Mutex::new(State { distance, next: Instant::now() }) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        let at = {
            let mut state = self.lock();
            let at = state.next.max(Instant::now());
            state.next = at + state.distance;
            at
        };
        tokio::time::sleep_until(at).await;
    }

    /// Keeps at least this distance from now on.
    pub(super) fn widen(&self, distance: Duration) {
        let mut state = self.lock();
        state.distance = state.distance.max(distance);
    }

    /// Lets no request start for a while: the site asked for a rest.
    pub(super) fn rest(&self, duration: Duration) {
        let mut state = self.lock();
        state.next = state.next.max(Instant::now() + duration);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn requests_start_apart_and_rest_when_told() {
        let pace = Pace::new(Duration::from_millis(20));
        let start = Instant::now();
        pace.turn().await;
        tokio::join!(pace.turn(), pace.turn());
        assert!(start.elapsed() >= Duration::from_millis(40));
        pace.rest(Duration::from_millis(60));
        pace.turn().await;
        assert!(start.elapsed() >= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn the_first_request_waits_for_nobody() {
        let pace = Pace::new(Duration::from_secs(3600));
        assert!(timeout(Duration::from_secs(60), pace.turn()).await.is_ok());
    }
}
