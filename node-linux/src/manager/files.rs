//! New files from the FTP server to the leader.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::{counter, gauge};
use sha2::{Digest as _, Sha256};
use symphony_adapters::{
    database::{Database, DatabaseError, FileState},
    ftp::{FtpClient, FtpError, FtpSettings, RemoteFile, StableFiles},
    http::{ClientError, Dependency, WebClient},
    tls::Tls,
};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::route::Route;
use crate::{backoff::Backoff, config, ftp};

/// Largest file, in bytes: what the leader takes.
const FILE_SIZE_MAX: u64 = 64 * 1024 * 1024;
/// Longest wait for a second look at a file that is new: an upload that makes no byte in this time is taken for finished.
const SECOND_LOOK: Duration = Duration::from_secs(10);
/// Longest wait for another attempt at a file that cannot be had.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Time after which a round begins with no other file, however many there are: the next goes on where this one ended.
const ROUND_TIME: Duration = Duration::from_secs(600);
/// Time for one file: more than the slowest transfer may take, and its way to the leader.
const FILE_TIMEOUT: Duration = Duration::from_secs(1200);

/// Name of the turn that a manager has while it fetches: no file travels to two of them.
const TURN: &str = "symphony.files";

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
    /// Files to leave alone as they are: they are delivered.
    done: HashSet<FileState>,
    /// Files that were given up, as the database had them at the last look: they may be tried again.
    dead: HashSet<FileState>,
    failed: HashMap<FileState, Failed>,
}

/// Attempts at one file that came to nothing.
#[derive(Clone, Copy)]
struct Failed {
    attempts: u32,
    next_at: Instant,
}

/// What a round leaves behind.
enum Seen {
    /// Every file is done with, or has failed.
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
    #[error("{path} took longer than {FILE_TIMEOUT:?}", path = .0)]
    Timeout(String),
}

impl Files {
    pub(super) fn new(
        (server, tls): (&config::Ftp, &Tls),
        every: Duration,
        database: Database,
        client: WebClient,
        route: Route,
        health: Dependency,
    ) -> Self {
        let settings = ftp::client(server, tls);
        Self {
            settings,
            folder: server.folder.clone(),
            every,
            database,
            client,
            route,
            health,
            memory: Memory::default(),
        }
    }

    /// One round after the other until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let second_look = self.every.min(SECOND_LOOK);
        let mut backoff = Backoff::new(second_look, self.every);
        loop {
            let result = tokio::select! {
                () = shutdown.cancelled() => return,
                result = self.round() => result,
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
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge!("symphony_manager_ftp_look_timestamp_seconds").set(since_epoch.as_secs_f64());
        let mut stable = self.memory.look(&listing, Instant::now());
        if !stable.is_empty() {
            self.memory.dead = self.database.files_given_up().await?.into_iter().collect();
            stable.retain(|file| !self.memory.dead.contains(&state(file)));
        }
        if stable.is_empty() {
            return Ok(self.outcome(&listing));
        }
        // Until the leader has every file, and with it the ledger that the next manager asks.
        let Some(_turn) = self.database.take_turn(TURN).await? else { return Ok(Seen::Unsettled) };
        let begun = Instant::now();
        for file in stable {
            if begun.elapsed() > ROUND_TIME {
                return Ok(Seen::Unsettled);
            }
            if self.database.has_file(&file.path, file.size, file.modified_at_ms).await? {
                self.memory.done.insert(state(&file));
            } else {
                let delivered = timeout(FILE_TIMEOUT, self.fetch_and_deliver(ftp, &file)).await;
                let delivered = delivered.unwrap_or_else(|_| Err(RoundError::Timeout(file.path.clone())));
                match &delivered {
                    Ok(true) => {}
                    // Whichever file it met: only its place in line changes.
                    Err(RoundError::Leader(_)) => self.memory.put_back(&file, Instant::now(), Duration::ZERO),
                    _ => self.memory.put_back(&file, Instant::now(), self.every),
                }
                delivered?;
            }
        }
        Ok(self.outcome(&listing))
    }

    fn outcome(&self, listing: &[RemoteFile]) -> Seen {
        if self.memory.knows_all(listing) { Seen::NothingNew } else { Seen::Unsettled }
    }

    /// Whether the file is done with.
    async fn fetch_and_deliver(&mut self, ftp: &mut FtpClient, file: &RemoteFile) -> Result<bool, RoundError> {
        if let Some(content) = self.fetch(ftp, file).await? {
            self.deliver(file, content).await?;
        }
        Ok(self.memory.is_done_with(&state(file)))
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
                self.give_up(file, &error.to_string()).await?;
                Ok(None)
            }
            Err(
                error @ (FtpError::Incomplete { .. }
                | FtpError::Changed(_)
                | FtpError::Refused { .. }
                | FtpError::Name { .. }),
            ) => {
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
            Err(ClientError::Refused { status, problem }) if problem.is_about_content() => {
                let reason = format!("{status}: {}", problem.detail.unwrap_or(problem.title));
                return self.give_up(file, &reason).await;
            }
            Err(error) => {
                if let ClientError::NotLeader { leader, .. } = &error {
                    self.route.follow_node(leader.clone());
                }
                self.route.doubt();
                return Err(RoundError::Leader(error.to_string()));
            }
        }
        self.memory.done.insert(state(file));
        Ok(())
    }

    /// No leader will ever take the file as it is: an operator sees it, and whoever fetches next knows.
    async fn give_up(&mut self, file: &RemoteFile, reason: &str) -> Result<(), RoundError> {
        let leader = self.route.current().ok_or_else(|| RoundError::Leader("none is known".into()))?;
        let state = state(file);
        match self.database.give_up_file(&leader.token, &state, reason).await {
            Ok(()) => self.memory.dead.insert(state),
            Err(DatabaseError::Fenced(leader)) => {
                self.route.follow_fence(leader);
                return Err(RoundError::Leader("another leads by now".into()));
            }
            // The database has no room for its path: it is known here alone.
            Err(DatabaseError::Invalid(error)) => {
                tracing::error!(path = file.path, error, "a file that cannot even be given up");
                self.memory.done.insert(state)
            }
            Err(error) => return Err(error.into()),
        };
        tracing::error!(path = file.path, reason, "this file is given up");
        counter!("symphony_manager_files_total", "outcome" => "refused").increment(1);
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
    /// Takes a listing and returns the files to fetch now: those that held still and are not done with. Those that failed
    /// come last, the most often at the end: one that always ends the round keeps no other.
    fn look(&mut self, listing: &[RemoteFile], now: Instant) -> Vec<RemoteFile> {
        let present: HashSet<FileState> = listing.iter().map(state).collect();
        self.done.retain(|state| present.contains(state));
        self.failed.retain(|state, _| present.contains(state));
        let mut stable = self.stable.look(listing.to_vec());
        stable.retain(|file| {
            let state = state(file);
            !self.done.contains(&state) && self.failed.get(&state).is_none_or(|failed| failed.next_at <= now)
        });
        stable.sort_by_key(|file| self.failed.get(&state(file)).map_or(0, |failed| failed.attempts));
        stable
    }

    /// Takes note of an attempt that came to nothing.
    fn put_back(&mut self, file: &RemoteFile, now: Instant, wait: Duration) {
        let failed = self.failed.entry(state(file)).or_insert(Failed { attempts: 0, next_at: now });
        failed.next_at = now + wait.saturating_mul(2u32.saturating_pow(failed.attempts)).min(RETRY_MAX);
        failed.attempts = failed.attempts.saturating_add(1);
    }

    /// Whether no file waits for another look.
    fn knows_all(&self, listing: &[RemoteFile]) -> bool {
        listing.iter().map(state).all(|state| self.is_done_with(&state) || self.failed.contains_key(&state))
    }

    /// Whether there is nothing more to do for a file as it is.
    fn is_done_with(&self, state: &FileState) -> bool {
        self.done.contains(state) || self.dead.contains(state)
    }
}

fn state(file: &RemoteFile) -> FileState {
    FileState { path: file.path.clone(), size: file.size, modified_at_ms: file.modified_at_ms }
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
        let look = |memory: &mut Memory, size| memory.look(&[file("a", size)], Instant::now());
        assert!(look(&mut memory, 1).is_empty());
        assert!(look(&mut memory, 2).is_empty());
        assert_eq!(look(&mut memory, 2), [file("a", 2)]);
        memory.done.insert(state(&file("a", 2)));
        assert!(look(&mut memory, 2).is_empty());
        assert!(look(&mut memory, 3).is_empty());
        assert_eq!(look(&mut memory, 3), [file("a", 3)]);
    }

    #[test]
    fn a_file_that_cannot_be_had_keeps_no_other_and_is_asked_for_ever_more_rarely() {
        let (mut memory, every) = (Memory::default(), Duration::from_secs(30));
        let listing = [file("a", 1), file("b", 1)];
        let mut now = Instant::now();
        let _ = memory.look(&listing, now);
        assert!(!memory.knows_all(&listing));
        assert_eq!(memory.look(&listing, now), &listing);
        let mut waits = Vec::new();
        for _ in 0..8 {
            memory.put_back(&listing[0], now, every);
            assert_eq!(memory.look(&listing, now), [file("b", 1)]);
            assert!(!memory.knows_all(&listing), "the other is not done with");
            let before = now;
            while memory.look(&listing, now).len() < 2 {
                now += every;
            }
            assert_eq!(memory.look(&listing, now), [file("b", 1), file("a", 1)]);
            waits.push((now - before).as_secs());
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600, 600]);
        memory.done.insert(state(&listing[1]));
        assert!(memory.knows_all(&listing));
        // Another file under its name is new.
        let listing = [file("a", 2), file("b", 1)];
        let _ = memory.look(&listing, now);
        assert_eq!(memory.look(&listing, now), [file("a", 2)]);
    }

    #[test]
    fn what_is_gone_from_the_server_is_forgotten() {
        let mut memory = Memory::default();
        memory.done.insert(state(&file("a", 1)));
        memory.put_back(&file("b", 1), Instant::now(), Duration::ZERO);
        let _ = memory.look(&[], Instant::now());
        assert!(memory.done.is_empty() && memory.failed.is_empty());
    }

    #[test]
    fn media_types_follow_the_name() {
        assert_eq!(media_type("run.CSV"), "text/csv");
        assert_eq!(media_type("run.json"), "application/json");
        assert_eq!(media_type("run"), "application/octet-stream");
    }
}
