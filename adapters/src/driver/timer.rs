//! A timer of microseconds. The runtime's own is of milliseconds, a tenth of the shortest election timeouts.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Of the clock that goes on running while the machine sleeps.
pub(super) struct Timer {
    timer: AsyncFd<OwnedFd>,
}

impl Timer {
    /// In the context of a runtime.
    #[expect(unsafe_code, reason = "the runtime has no safe way to wait for a file descriptor")]
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the descriptor is valid, owned by what waits for it, and never replaced.
        Ok(Self { timer: unsafe { AsyncFd::register(timer) }? })
    }

    /// Waits, in place of any earlier wait; at least as long as told.
    pub(super) async fn wait(&self, wait: Duration) {
        if let Err(error) = self.try_wait(wait).await {
            tracing::warn!(%error, "the system's timer fails");
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_wait(&self, wait: Duration) -> io::Result<()> {
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would stop it.
        let value = Timespec::try_from(wait.max(Duration::from_nanos(1))).map_err(io::Error::other)?;
        let settings = Itimerspec { it_interval: once, it_value: value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &settings)?;
        loop {
            let mut ready = self.timer.readable().await?;
            // An earlier wait's end is no longer there to be read.
            if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?)) {
                return read.map(|_| ());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_waits_as_long_as_told_and_no_earlier_wait_ends_a_later_one() {
        let timer = Timer::new().unwrap();
        for micros in [0, 1, 300, 5_000, 20_000] {
            let (wait, began) = (Duration::from_micros(micros), Instant::now());
            timer.wait(wait).await;
            assert!(began.elapsed() >= wait, "{wait:?}");
        }
        let short = Duration::from_millis(1);
        tokio::select! {
            biased;
            () = timer.wait(short) => {}
            () = std::future::ready(()) => {}
        }
        // It rings, the runtime knows, and nobody has looked.
        tokio::time::sleep(short * 5).await;
        let began = Instant::now();
        timer.wait(short * 20).await;
        assert!(began.elapsed() >= short * 20, "{:?}", began.elapsed());
    }
}
