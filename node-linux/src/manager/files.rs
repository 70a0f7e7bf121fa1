//! New files from the FTP server to the leader.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use metrics::counter;
use sha2::{Digest as _, Sha256};
use symphony_adapters::{
    database::{Database, DatabaseError},
    ftp::{FtpClient, FtpError, FtpSettings, RemoteFile, Security, StableFiles},
    http::{ClientError, Dependency, WebClient},
};
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::route::Route;
use crate::config;

/// Largest file, in bytes: what the leader takes.
const FILE_SIZE_MAX: u64 = 64 * 1024 * 1024;
/// Longest wait for a second look at a file that is new.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// Time for one round, however many files there are: the next goes on where this one ended.
const ROUND_TIMEOUT: Duration = Duration::from_secs(600);

/// Fetches files that hold still and sends each to the leader once.
pub(super) struct Files {
    pub(super) settings: FtpSettings,
    pub(super) folder: String,
    pub(super) every: Duration,
    pub(super) database: Database,
    pub(super) client: WebClient,
    pub(super) route: Route,
    pub(super) health: Dependency,
    pub(super) memory: Memory,
}

/// What earlier rounds have seen.
#[derive(Default)]
pub(super) struct Memory {
    stable: StableFiles,
    /// Files to leave alone as they are: delivered, or refused for good.
    done: HashSet<Shape>,
}

/// Path, size in bytes, modification time in milliseconds.
type Shape = (String, u64, i64);

/// What ends a round early; the next one tries again.
#[derive(Debug, Error)]
enum RoundError {
    #[error(transparent)]
    Ftp(#[from] FtpError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("no leader takes files: {0}")]
    Leader(String),
    #[error("the round took too long")]
    Timeout,
}

impl Files {
    pub(super) fn new(
        ftp: &config::Ftp,
        every: Duration,
        database: Database,
        client: WebClient,
        route: Route,
        health: Dependency,
    ) -> Self {
        let settings = FtpSettings {
            address: ftp.address.clone(),
            user: ftp.user.clone(),
            password: ftp.password.expose().to_owned(),
            security: Security::Plain,
            timeout: FtpSettings::TIMEOUT,
        };
        Self { settings, folder: ftp.folder.clone(), every, database, client, route, health, memory: Memory::default() }
    }

    /// One round after the other until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let round = async { timeout(ROUND_TIMEOUT, self.round()).await.unwrap_or(Err(RoundError::Timeout)) };
            let unsettled = tokio::select! {
                () = shutdown.cancelled() => return,
                result = round => result.unwrap_or_else(|error| {
                    self.report(&error);
                    false
                }),
            };
            let pause = if unsettled { self.every.min(SECOND_LOOK) } else { self.every };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }
}
