//! A node's monotonic clock, as true time drives it: fast or slow, and in some runs leaping or standing still.

use symphony_core::Instant;

/// Parts of a million that a true clock counts in a second.
pub const RATE_TRUE_PPM: u64 = 1_000_000;

/// A line from true time to local time, both in microseconds.
#[derive(Clone, Debug)]
pub struct Clock {
    rate_ppm: u64,
    since_us: u64,
    local_us: u64,
}

impl Clock {
    /// A clock that shows `local_us` at the true time `now_us`.
    #[must_use]
    pub fn new(rate_ppm: u64, now_us: u64, local_us: u64) -> Self {
        Self { rate_ppm, since_us: now_us, local_us }
    }

    /// What the clock shows.
    #[must_use]
    pub fn local(&self, now_us: u64) -> Instant {
        Instant::from_micros(self.local_us(now_us))
    }

    /// The first true time at which the clock shows `local` or more; none if that is out of reach.
    #[must_use]
    pub fn when(&self, local: Instant) -> Option<u64> {
        if local == Instant::MAX {
            return None;
        }
        let ahead = u128::from(local.as_micros().saturating_sub(self.local_us));
        let wait = (ahead * u128::from(RATE_TRUE_PPM)).div_ceil(u128::from(self.rate_ppm));
        Some(self.since_us.saturating_add(u64::try_from(wait).ok()?))
    }

    /// Leaps forward.
    pub fn leap(&mut self, now_us: u64, by_us: u64) {
        *self = Self::new(self.rate_ppm, now_us, self.local_us(now_us).saturating_add(by_us));
    }

    /// Falls back.
    pub fn fall_back(&mut self, now_us: u64, by_us: u64) {
        *self = Self::new(self.rate_ppm, now_us, self.local_us(now_us).saturating_sub(by_us));
    }

    /// Stands still for a while.
    pub fn stall(&mut self, now_us: u64, for_us: u64) {
        *self = Self::new(self.rate_ppm, now_us.saturating_add(for_us), self.local_us(now_us));
    }

    fn local_us(&self, now_us: u64) -> u64 {
        let passed = u128::from(now_us.saturating_sub(self.since_us));
        let counted = passed * u128::from(self.rate_ppm) / u128::from(RATE_TRUE_PPM);
        self.local_us.saturating_add(u64::try_from(counted).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_a_moment_when_it_says_so() {
        for rate_ppm in [900_000, 1_000_000, 1_100_000, 999_983] {
            let clock = Clock::new(rate_ppm, 77, 1_000);
            for local in [1_000, 1_001, 1_500, 999_999_999] {
                let when = clock.when(Instant::from_micros(local)).unwrap();
                assert!(clock.local(when) >= Instant::from_micros(local));
                assert!(when == 77 || clock.local(when - 1) < Instant::from_micros(local));
            }
        }
    }
}
