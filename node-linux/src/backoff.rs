//! Waits between attempts: exponential, bounded, jittered.

use std::time::Duration;

/// Doubles from a shortest to a longest wait; each wait is drawn from its upper half, so that many clients spread out.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The next wait.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let wait = self.next.mul_f64(rand::random_range(0.5..=1.0));
        self.next = self.next.saturating_mul(2).min(self.max);
        wait
    }

    /// Starts over, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_bound_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..20).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[1] >= Duration::from_millis(100));
        assert!(waits[10..].iter().all(|wait| *wait >= Duration::from_millis(500) && *wait <= Duration::from_secs(1)));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
