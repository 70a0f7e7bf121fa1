//! Timers: a table indexed by purpose. The caller owns the clock.

use embassy_time::{Duration, Instant};

/// What a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A heartbeat, or the end of a campaign: drawn anew for every wait.
    Election,
    /// The next round of heartbeats, or of requests not answered yet.
    Pulse,
    /// A leader's contact with a quorum.
    Quorum,
    /// The end of a transfer of leadership.
    Transfer,
}

impl Timer {
    pub(crate) const ALL: [Self; 4] = [Self::Quorum, Self::Transfer, Self::Election, Self::Pulse];

    const fn slot(self) -> usize {
        match self {
            Self::Election => 0,
            Self::Pulse => 1,
            Self::Quorum => 2,
            Self::Transfer => 3,
        }
    }
}

/// Deadlines by purpose; a timer without one does not run.
#[derive(Clone, Debug)]
pub(crate) struct Timers([Instant; Timer::ALL.len()]);

impl Timers {
    pub(crate) const fn stopped() -> Self {
        Self([Instant::MAX; Timer::ALL.len()])
    }

    pub(crate) fn start(&mut self, timer: Timer, deadline: Instant) {
        if let Some(slot) = self.0.get_mut(timer.slot()) {
            *slot = deadline;
        }
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.start(timer, Instant::MAX);
    }

    /// Whether the timer's time has come; it stops then.
    pub(crate) fn expire(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.0.get(timer.slot()).is_some_and(|deadline| *deadline <= now && *deadline != Instant::MAX);
        if due {
            self.stop(timer);
        }
        due
    }

    pub(crate) fn next(&self) -> Instant {
        self.0.iter().copied().min().unwrap_or(Instant::MAX)
    }
}

/// Milliseconds, rounded down, as a message carries them.
pub(crate) fn millis_u32(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
