//! Exponential backoff with jitter.

use std::time::Duration;

use rand::Rng as _;

const FIRST: Duration = Duration::from_millis(100);

/// Longest wait between two attempts; what lasted longer than this counts as a success.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Waits between attempts: doubling from 100 ms to [`BACKOFF_MAX`], each drawn from its upper half.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        rand::rng().random_range(ceiling / 2..=ceiling)
    }

    /// Starts again after a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_again_after_a_success() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() <= FIRST);
        for _ in 0..100 {
            assert!(backoff.next() <= BACKOFF_MAX);
        }
        assert!(backoff.next() >= BACKOFF_MAX / 2);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
