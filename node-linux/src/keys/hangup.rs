//! SIGHUP: the keys are read again, while the election goes on.

use std::{
    io,
    path::{Path, PathBuf},
};

use symphony_adapters::driver::Driver;
use symphony_core::KeyRing;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{KeyFile, KeyFileError};

/// The keys of a running member, and the file that they come from.
#[derive(Debug)]
pub struct LiveKeys {
    path: PathBuf,
    used: KeyFile,
}

impl LiveKeys {
    pub(crate) fn load(path: &Path) -> Result<Self, KeyFileError> {
        Ok(Self { path: path.to_owned(), used: KeyFile::read_own(path)? })
    }

    pub(crate) fn ring(&self) -> KeyRing {
        self.used.ring()
    }

    /// Reads the file again. Keys of which it has none are not taken: those who have not changed them, or are on the way
    /// from the one to the other, would not hear this node any more.
    fn read_again(&self) -> Result<KeyFile, KeyFileError> {
        let file = KeyFile::read_own(&self.path)?;
        if file.shares_a_key_with(&self.used) {
            return Ok(file);
        }
        let reason = format!(
            "none of its keys is in use here: a member with it {file}, and this node {}; to change the key, take the \
             steps of symphony key rotate; if this node is to leave the others, start it again",
            self.used
        );
        Err(KeyFileError::OutOfOrder { path: self.path.clone(), reason })
    }

    async fn reload(&mut self, driver: &Driver) {
        let file = match self.read_again() {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(%error, "the cluster's keys stay as they were");
                return;
            }
        };
        match driver.set_keys(file.ring()).await {
            Ok(()) => {
                tracing::info!("the cluster's keys were read again: this node {file}");
                self.used = file;
            }
            Err(error) => tracing::error!(%error, "the cluster's keys stay as they were"),
        }
    }
}

/// Requests to read the keys again.
pub(crate) struct Hangups(Option<Signal>);

impl Hangups {
    /// From now on SIGHUP does not end the process any more.
    ///
    /// # Errors
    /// The system takes no handler.
    pub(crate) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(|signal| Self(Some(signal)))
    }

    /// None ever comes: for a process of a terminal, which ends when that is closed.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    async fn next(&mut self) {
        let signal = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if signal.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Reads the keys again at every request, until `shutdown`. A file that cannot be used changes nothing.
pub(crate) async fn reload_until(
    shutdown: &CancellationToken,
    mut hangups: Hangups,
    driver: &Driver,
    mut keys: LiveKeys,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = hangups.next() => keys.reload(driver).await,
        }
    }
}
