//! How a process is asked to end: at the first signal in good order, at the second at once.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Exit codes of shells for a process ended by a signal: 128 and its number.
const EXIT_SIGNAL: i32 = 128;

/// A request to end, seen by every clone: stop being ready, resign, finish what is in flight, return.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// One that only [`Shutdown::request`] requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM and SIGINT request. A second signal ends the process there and then, even one whose runtime
    /// hangs, with exit code 143 (SIGTERM) or 130 (SIGINT).
    ///
    /// To be called within a tokio runtime, once a process.
    ///
    /// # Errors
    /// The operating system takes no handler.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let ending = Arc::new(AtomicBool::new(false));
        let mut streams = Vec::new();
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let number = kind.as_raw_value();
            // In this order: at the first signal the condition does not hold yet.
            signal_hook::flag::register_conditional_shutdown(number, EXIT_SIGNAL + number, Arc::clone(&ending))?;
            signal_hook::flag::register(number, Arc::clone(&ending))?;
            streams.push(signal(kind)?);
        }
        for mut stream in streams {
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                stream.recv().await;
                tracing::info!("asked to end");
                shutdown.request();
            });
        }
        Ok(shutdown)
    }

    /// Asks everybody who holds a clone or a child to end.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether the end was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the end is requested. Cancel safe; returns at once ever after.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// As [`Shutdown::requested`], for callers that need a future of its own, such as a server's graceful shutdown.
    pub fn requested_owned(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }

    /// One that is requested together with this one, or by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// The token, for code that knows nothing of this type.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_not_the_other_way_round() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.request();
        assert!(first.is_requested() && !parent.is_requested() && !second.is_requested());
        parent.request();
        second.requested().await;
        second.requested_owned().await;
    }
}
