//! Waiting longer after each failure, never quite as long as anybody else.

use std::time::Duration;

/// Exponential backoff with jitter: each delay is drawn from the upper half of a span that doubles.
#[derive(Debug)]
pub(super) struct Backoff {
    span: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { span: first, first, longest }
    }

    /// The delay before the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        let delay = self.span.mul_f64(rand::random_range(0.5..=1.0));
        self.span = self.span.saturating_mul(2).min(self.longest);
        delay
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.span = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for span in [100, 200, 350, 350] {
            let delay = backoff.next().as_millis();
            assert!((span / 2..=span).contains(&delay), "{delay} of {span}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
