//! The shared database, SQLite or PostgreSQL by URL: fence, inbox, items, files and the mail outbox.
//!
//! Every write names the [`Token`] of the leader it is made for, and the database checks it in the same transaction: a
//! stale leader writes nothing. Triggers refuse a write that does not.
//!
//! One set of statements serves both databases, through `sqlx::Any`; what differs is in `dialect`.

mod cursor;
mod dead_files;
mod dialect;
mod error;
mod fence;
mod files;
mod items;
mod mails;
mod open;
mod records;
mod search;
mod session;
mod status;
mod trace;
mod turn;
mod value;

use std::{fmt, time::Duration};

use self::dialect::Dialect;
pub use self::{
    error::DatabaseError,
    records::{
        ClaimedDigest, ClaimedMail, Counts, DeadFile, DeadMail, FileState, Incoming, ItemQuery, Leader, MailOutcome,
        NewFile, NewMail, Outcome, Page, StoredFile, StoredItem, Token, Trace, TracedFile, TracedMessage,
    },
    turn::Turn,
};
use crate::tls::Tls;

/// A pool of connections to the shared database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: sqlx::AnyPool,
    dialect: &'static Dialect,
    /// Whose leaders it is for.
    cluster: String,
}

/// Without the pool, which would show the password in its URL.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database that `url` names (`sqlite:PATH`, `postgres://…`) and brings its schema up to date.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] while the server is away (the caller tries again), [`DatabaseError::Invalid`] for
    /// a URL or a schema that cannot be used.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        open::open(url, None).await
    }

    /// As [`Database::open`]; with `sslmode=verify-full` or `verify-ca` in a URL without `sslrootcert`, the authorities
    /// of `tls` certify the server, beside Mozilla's.
    ///
    /// # Errors
    /// Those of [`Database::open`].
    pub async fn open_over(url: &str, tls: &Tls) -> Result<Self, DatabaseError> {
        open::open(url, tls.ca()).await
    }

    /// For the leaders of this cluster: the first that is promoted makes the database its cluster's. Unless told, the
    /// cluster has no name.
    #[must_use]
    pub fn of_cluster(self, name: &str) -> Self {
        Self { cluster: value::text(name), ..self }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        status::ping(self).await
    }

    /// Raises the fence to `leader`'s token: the barrier before the first act as leader. Raising it again with the same
    /// token is harmless. In the same transaction a mail about the change is put into the outbox.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] if the fence is at a higher term, or at this term with another holder;
    /// [`DatabaseError::Foreign`] if it is another cluster's.
    pub async fn promote(&self, leader: &Leader) -> Result<(), DatabaseError> {
        fence::promote(self, leader).await
    }

    /// The leader the fence is at.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn leader(&self) -> Result<Option<Leader>, DatabaseError> {
        fence::leader(&mut self.session().await?).await
    }

    /// Stores a batch in one transaction: fence, inbox, items. One outcome per entry, in order.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was stored.
    pub async fn store_items(&self, token: &Token, batch: &[Incoming]) -> Result<Vec<Outcome>, DatabaseError> {
        items::store(self, token, batch).await
    }

    /// A page of items.
    ///
    /// # Errors
    /// [`DatabaseError::Invalid`] for a cursor or a limit that was not given by this database.
    pub async fn items(&self, query: &ItemQuery) -> Result<Page<StoredItem>, DatabaseError> {
        search::list(self, query).await
    }

    /// One item by its id.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn item(&self, id: &str) -> Result<Option<StoredItem>, DatabaseError> {
        search::get(self, id).await
    }

    /// Names of the sites that have items, in order.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn sites(&self) -> Result<Vec<String>, DatabaseError> {
        search::sites(self).await
    }

    /// Stores a file in one transaction with its ledger entry and a mail about it.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was stored.
    pub async fn store_file(&self, token: &Token, file: &NewFile) -> Result<Outcome, DatabaseError> {
        files::store(self, token, file).await
    }

    /// Whether the ledger has a file of this path, size and modification time.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn has_file(&self, path: &str, size: u64, modified_at_ms: i64) -> Result<bool, DatabaseError> {
        files::is_known(self, path, size, modified_at_ms).await
    }

    /// Gives a file up as it is: no leader will ever take it, for this reason. Puts a mail about it into the outbox, once.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was stored.
    pub async fn give_up_file(&self, token: &Token, file: &FileState, reason: &str) -> Result<(), DatabaseError> {
        dead_files::give_up(self, token, file, reason).await
    }

    /// Files that were given up, the oldest first, `limit` at most; and how many there are.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn dead_files(&self, limit: u32) -> Result<(Vec<DeadFile>, u64), DatabaseError> {
        dead_files::list(self, limit).await
    }

    /// All files that were given up.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn files_given_up(&self) -> Result<Vec<FileState>, DatabaseError> {
        dead_files::states(self).await
    }

    /// Lets a file that was given up be fetched again, by its path, or all of them. Returns how many.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was changed.
    pub async fn retry_files(&self, token: &Token, path: Option<&str>) -> Result<u64, DatabaseError> {
        dead_files::retry(self, token, path).await
    }

    /// The turn of a name, unless another process has it; with SQLite, which serves one process, always.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn take_turn(&self, name: &'static str) -> Result<Option<Turn>, DatabaseError> {
        turn::take(self, name).await
    }

    /// A page of files, newest first.
    ///
    /// # Errors
    /// [`DatabaseError::Invalid`] for a cursor or a limit that was not given by this database.
    pub async fn files(&self, cursor: Option<&str>, limit: Option<u32>) -> Result<Page<StoredFile>, DatabaseError> {
        files::list(self, cursor, limit).await
    }

    /// One file by its SHA-256.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn file(&self, sha256: &str) -> Result<Option<StoredFile>, DatabaseError> {
        files::get(self, sha256).await
    }

    /// Up to `len` bytes of a file's content from `offset` on; none behind its end, or if there is no such file.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn file_content(&self, sha256: &str, offset: u64, len: u32) -> Result<Vec<u8>, DatabaseError> {
        files::content(self, sha256, offset, len).await
    }

    /// Puts a mail into the outbox, once per [`NewMail::key`].
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was stored.
    pub async fn enqueue_mail(&self, token: &Token, mail: &NewMail) -> Result<Outcome, DatabaseError> {
        mails::enqueue(self, token, mail).await
    }

    /// Claims up to `limit` due mails that are in no digest for `claim_for`; while the claim lasts nobody else gets them.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was claimed.
    pub async fn claim_mails(
        &self,
        token: &Token,
        limit: u32,
        claim_for: Duration,
    ) -> Result<Vec<ClaimedMail>, DatabaseError> {
        mails::claim(self, token, limit, claim_for).await
    }

    /// Claims a digest for `claim_for`: one that was claimed before and has not left, or else a new one of the due mails,
    /// if there are `mails_min` of them or more; of `mails_max` at most.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was claimed.
    pub async fn claim_digest(
        &self,
        token: &Token,
        mails_min: u32,
        mails_max: u32,
        claim_for: Duration,
    ) -> Result<Option<ClaimedDigest>, DatabaseError> {
        mails::claim_digest(self, token, mails_min, mails_max, claim_for).await
    }

    /// Records what became of all mails of a digest; see [`Database::settle_mail`].
    ///
    /// # Errors
    /// Those of [`Database::settle_mail`].
    pub async fn settle_digest(&self, digest: &ClaimedDigest, outcome: &MailOutcome) -> Result<(), DatabaseError> {
        mails::settle(self, "digest", (digest.id, digest.claim), outcome).await
    }

    /// Records what became of a claimed mail, for whoever leads now: the mail has left (or not) all the same.
    ///
    /// That it was sent is recorded in any case, that it was not only while the claim is the latest: another claimer may
    /// be sending it.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`], or [`DatabaseError::Fenced`] if a promotion came in between: try again, or the
    /// claim runs out and the mail is sent a second time.
    pub async fn settle_mail(&self, mail: &ClaimedMail, outcome: &MailOutcome) -> Result<(), DatabaseError> {
        mails::settle(self, "id", (mail.id, mail.claim), outcome).await
    }

    /// Mails that were given up, the oldest first, `limit` at most; and how many there are.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn dead_mails(&self, limit: u32) -> Result<(Vec<DeadMail>, u64), DatabaseError> {
        mails::dead(self, limit).await
    }

    /// Puts a mail that was given up back into the outbox, or all of them; each leaves by itself. Returns how many.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`]: nothing was put back.
    pub async fn retry_mails(&self, token: &Token, id: Option<i64>) -> Result<u64, DatabaseError> {
        mails::retry(self, token, id).await
    }

    /// Where an item has been; none if the database has never had it.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn trace(&self, item_id: &str) -> Result<Option<Trace>, DatabaseError> {
        trace::trace(self, item_id).await
    }

    /// How much there is: up to 10,000 rows of a kind exactly, more as the database estimates them.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn counts(&self) -> Result<Counts, DatabaseError> {
        status::counts(self).await
    }

    /// Closes the pool.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
