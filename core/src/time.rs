//! Timers: a table indexed by purpose. The caller owns the clock.

use embassy_time::{Duration, Instant, TICK_HZ};

/// What a node waits for, in the order of their handling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A leader's contact with a quorum.
    Quorum,
    /// The end of a transfer of leadership.
    Transfer,
    /// A heartbeat, or the end of a campaign: drawn anew for every wait.
    Election,
    /// The next round of heartbeats, or of requests not answered yet.
    Pulse,
}

impl Timer {
    pub(crate) const ALL: [Self; 4] = [Self::Quorum, Self::Transfer, Self::Election, Self::Pulse];

    const fn slot(self) -> usize {
        self as usize
    }
}

/// Deadlines by purpose; a timer without one does not run.
#[derive(Clone, Debug)]
pub(crate) struct Timers([Instant; Timer::ALL.len()]);

impl Timers {
    pub(crate) const fn stopped() -> Self {
        Self([Instant::MAX; Timer::ALL.len()])
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn start(&mut self, timer: Timer, deadline: Instant) {
        if let Some(slot) = self.0.get_mut(timer.slot()) {
            *slot = deadline;
        }
    }

    /// Puts the deadline off to `deadline`, if it would come earlier.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn put_off(&mut self, timer: Timer, deadline: Instant) {
        if let Some(slot) = self.0.get_mut(timer.slot()) {
            *slot = deadline.max(*slot);
        }
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.start(timer, Instant::MAX);
    }

    /// Whether the timer's time has come; it stops then.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn expire(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.0.get(timer.slot()).is_some_and(|deadline| *deadline <= now && *deadline != Instant::MAX);
        if due {
            self.stop(timer);
        }
        due
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn next(&self) -> Instant {
        self.0.iter().copied().min().unwrap_or(Instant::MAX)
    }
}

/// A moment so many ticks after another. Out of line, as [`since`] is: each is eight instructions of a 32-bit processor.
#[cfg_attr(target_os = "none", inline(never))]
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn after(moment: Instant, wait: u32) -> Instant {
    moment.saturating_add(Duration::from_ticks(wait.into()))
}

/// Ticks since a moment, as many as a number holds; none if it is yet to come.
#[cfg_attr(target_os = "none", inline(never))]
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn since(now: Instant, moment: Instant) -> u32 {
    clamp(now.saturating_duration_since(moment).as_ticks())
}

/// Milliseconds since a moment, rounded down, as a message carries them.
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn millis_since(now: Instant, moment: Instant) -> u32 {
    clamp(millis(now.saturating_duration_since(moment).as_ticks()))
}

/// Whole milliseconds in a wait.
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn whole_millis(ticks: u32) -> u32 {
    ticks / u32::from(TICKS_PER_MS)
}

/// The number, or the largest of 32 bits.
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn clamp(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Whole milliseconds in so many ticks.
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn millis(ticks: u64) -> u64 {
    divide(ticks, TICKS_PER_MS)
}

const TICKS_PER_MS: u16 = {
    assert!(TICK_HZ.is_multiple_of(1000), "a tick divides a millisecond");
    assert!(TICK_HZ <= 1_000_000, "an hour has fewer than 2^32 ticks");
    Duration::from_millis(1).as_ticks() as u16
};

/// A quotient; zero if the divisor is.
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn divide(dividend: u64, divisor: u16) -> u64 {
    if cfg!(target_pointer_width = "64") {
        dividend.checked_div(divisor.into()).unwrap_or(0)
    } else {
        divide_in_digits(dividend, divisor)
    }
}

/// The same by long division in digits of 16 bits: a board without 64-bit division would link hundreds of bytes for the
/// general case.
#[cfg_attr(target_os = "none", inline(never))]
fn divide_in_digits(dividend: u64, divisor: u16) -> u64 {
    // What is left of the dividend moves out at the top, and the quotient in at the bottom.
    let (mut both, mut rest) = (dividend, 0_u32);
    for _ in 0..4 {
        let digits = rest << 16 | (both >> 48) as u32;
        both = both << 16 | u64::from(digits.checked_div(divisor.into()).unwrap_or(0));
        rest = digits.checked_rem(divisor.into()).unwrap_or(0);
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_expires_once_and_a_stopped_one_never() {
        let at = Instant::from_ticks;
        for timer in Timer::ALL {
            let mut timers = Timers::stopped();
            assert!(!timers.expire(timer, Instant::MAX), "{timer:?} does not run");
            timers.start(timer, at(5));
            assert!(!timers.expire(timer, at(4)));
            assert!(timers.expire(timer, at(5)));
            assert_eq!(timers.next(), Instant::MAX);
            assert!(!timers.expire(timer, at(6)), "{timer:?} has expired");
        }
    }

    #[test]
    fn quotients_are_those_of_the_processor() {
        for dividend in [0, 1, 999, 1000, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 1 << 48, 0x0123_4567_89AB_CDEF, u64::MAX] {
            for divisor in [1, 2, 101, 149, 1000, 0x8000, u16::MAX] {
                let quotient = dividend / u64::from(divisor);
                assert_eq!(divide(dividend, divisor), quotient, "{dividend} / {divisor}");
                assert_eq!(divide_in_digits(dividend, divisor), quotient, "{dividend} / {divisor}");
            }
            assert_eq!((divide(dividend, 0), divide_in_digits(dividend, 0)), (0, 0));
        }
    }

    #[test]
    fn a_time_too_long_for_a_message_is_the_longest_it_can_carry() {
        let longest = u64::from(u32::MAX);
        for (ms, carried) in [(0, 0), (longest - 1, u32::MAX - 1), (longest, u32::MAX), (longest + 1, u32::MAX)] {
            let now = Instant::from_millis(ms + 7);
            assert_eq!(millis_since(now, Instant::from_millis(7)), carried);
        }
    }
}
