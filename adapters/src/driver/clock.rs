//! A monotonic clock that goes on running while the machine sleeps, as a lease must.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use symphony_core::Instant;

/// The clock begins here, because the core takes a stamp of zero for none.
const BEGINNING: Duration = Duration::from_secs(1);

/// Time since the start of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    start: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: boot_time() }
    }

    pub(super) fn now(self) -> Instant {
        let elapsed = boot_time().saturating_sub(self.start).saturating_add(BEGINNING);
        Instant::from_micros(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }
}

fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
