//! New files from the FTP server to the leader.

use std::{collections::HashSet, time::Duration};

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

use super::{answer::speaks_of_content, route::Route};
use crate::{backoff::Backoff, config};

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

/// What a round leaves behind.
enum Seen {
    /// Every file is done with.
    NothingNew,
    /// Some files wait for another look.
    Unsettled,
}

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
        let second_look = self.every.min(SECOND_LOOK);
        let mut backoff = Backoff::new(second_look, self.every);
        loop {
            let round = async { timeout(ROUND_TIMEOUT, self.round()).await.unwrap_or(Err(RoundError::Timeout)) };
            let result = tokio::select! {
                () = shutdown.cancelled() => return,
                result = round => result,
            };
            if result.is_ok() {
                backoff.reset();
            }
            let pause = match result {
                Ok(Seen::NothingNew) => self.every,
                Ok(Seen::Unsettled) => second_look,
                Err(error) => {
                    self.report(&error);
                    backoff.next_wait()
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn round(&mut self) -> Result<Seen, RoundError> {
        let mut ftp = FtpClient::connect(&self.settings).await?;
        let result = self.look(&mut ftp).await;
        ftp.quit().await;
        result
    }

    async fn look(&mut self, ftp: &mut FtpClient) -> Result<Seen, RoundError> {
        let listing = match ftp.list(&self.folder).await {
            // The first upload makes the folder.
            Err(FtpError::FolderMissing(_)) => Vec::new(),
            listing => listing?,
        };
        self.health.up();
        for file in self.memory.look(&listing) {
            if self.database.has_file(&file.path, file.size, file.modified_at_ms).await? {
                self.memory.done.insert(shape(&file));
            } else if let Some(content) = self.fetch(ftp, &file).await? {
                self.deliver(&file, content).await?;
            }
        }
        let all_done = listing.iter().all(|file| self.memory.done.contains(&shape(file)));
        Ok(if all_done { Seen::NothingNew } else { Seen::Unsettled })
    }

    /// The content of a file; none if it cannot be had, for a reason of its own.
    async fn fetch(&mut self, ftp: &mut FtpClient, file: &RemoteFile) -> Result<Option<Vec<u8>>, RoundError> {
        if self.route.current().is_none() {
            self.route.doubt();
            return Err(RoundError::Leader("none is known".into()));
        }
        match ftp.download(&file.path, FILE_SIZE_MAX).await {
            Ok(content) if u64::try_from(content.len()) == Ok(file.size) => Ok(Some(content)),
            Ok(content) => {
                tracing::info!(path = file.path, listed = file.size, fetched = content.len(), "the file still changes");
                Ok(None)
            }
            Err(error @ FtpError::TooLarge { .. }) => {
                tracing::error!(path = file.path, %error, "this file is not delivered");
                self.memory.done.insert(shape(file));
                Ok(None)
            }
            Err(error @ (FtpError::Incomplete { .. } | FtpError::Refused { .. } | FtpError::Name { .. })) => {
                tracing::warn!(path = file.path, %error, "not fetched yet");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn deliver(&mut self, file: &RemoteFile, content: Vec<u8>) -> Result<(), RoundError> {
        let leader = self.route.current().ok_or_else(|| RoundError::Leader("none is known".into()))?;
        let (content, sha256) = tokio::task::spawn_blocking(move || {
            let sha256 = hex::encode(Sha256::digest(&content));
            (content, sha256)
        })
        .await
        .map_err(|error| RoundError::Leader(error.to_string()))?;
        let media_type = media_type(&file.name);
        let modified = file.modified_at_ms;
        let posted =
            self.client.store_file(&leader.url, leader.token.term, &file.path, modified, media_type, &sha256, content);
        match posted.await {
            Ok(response) => {
                tracing::info!(path = file.path, size = file.size, sha256, outcome = ?response.outcome, "file delivered");
                counter!("symphony_manager_files_total", "outcome" => "delivered").increment(1);
            }
            Err(ClientError::Refused { status, problem }) if speaks_of_content(status) => {
                tracing::error!(path = file.path, status, detail = problem.detail, "the leader refuses this file");
                counter!("symphony_manager_files_total", "outcome" => "refused").increment(1);
            }
            Err(error) => {
                if let ClientError::NotLeader { leader, .. } = &error {
                    self.route.follow_node(leader.clone());
                }
                self.route.doubt();
                return Err(RoundError::Leader(error.to_string()));
            }
        }
        self.memory.done.insert(shape(file));
        Ok(())
    }

    fn report(&self, error: &RoundError) {
        if let RoundError::Ftp(error) = error {
            self.health.down(error.to_string());
        }
        tracing::warn!(%error, "files not fetched; trying again");
    }
}

impl Memory {
    /// Takes a listing and returns the files to fetch now: those that held still and are not done with.
    fn look(&mut self, listing: &[RemoteFile]) -> Vec<RemoteFile> {
        let present: HashSet<Shape> = listing.iter().map(shape).collect();
        self.done.retain(|shape| present.contains(shape));
        let mut stable = self.stable.look(listing.to_vec());
        stable.retain(|file| !self.done.contains(&shape(file)));
        stable
    }
}

fn shape(file: &RemoteFile) -> Shape {
    (file.path.clone(), file.size, file.modified_at_ms)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64) -> RemoteFile {
        RemoteFile { name: name.to_owned(), path: format!("/{name}"), size, modified_at_ms: 1 }
    }

    #[test]
    fn a_file_is_fetched_once_it_holds_still_and_once_only() {
        let mut memory = Memory::default();
        assert!(memory.look(&[file("a", 1)]).is_empty());
        assert!(memory.look(&[file("a", 2)]).is_empty());
        assert_eq!(memory.look(&[file("a", 2)]), [file("a", 2)]);
        memory.done.insert(shape(&file("a", 2)));
        assert!(memory.look(&[file("a", 2)]).is_empty());
        assert!(memory.look(&[file("a", 3)]).is_empty());
        assert_eq!(memory.look(&[file("a", 3)]), [file("a", 3)]);
    }

    #[test]
    fn what_is_gone_from_the_server_is_forgotten() {
        let mut memory = Memory::default();
        memory.done.insert(shape(&file("a", 1)));
        let _ = memory.look(&[]);
        assert!(memory.done.is_empty());
    }

    #[test]
    fn media_types_follow_the_name() {
        assert_eq!(media_type("run.CSV"), "text/csv");
        assert_eq!(media_type("run.json"), "application/json");
        assert_eq!(media_type("run"), "application/octet-stream");
    }
}
