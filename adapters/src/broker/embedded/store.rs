//! The tables, and who holds which row.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::broker::{BrokerError, DeadLetter, Depth, Message, clip, now_ms};

/// Row numbers are never used again, and grow in the order of publication.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS broker_message (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    queue        TEXT NOT NULL,
    id           TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL,
    redeliveries INTEGER NOT NULL DEFAULT 0,
    holder       INTEGER,
    published_at_ms INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS broker_message_ready ON broker_message (queue, seq) WHERE holder IS NULL;
CREATE INDEX IF NOT EXISTS broker_message_held ON broker_message (holder) WHERE holder IS NOT NULL;
CREATE TABLE IF NOT EXISTS broker_dead (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    queue        TEXT NOT NULL,
    id           TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL,
    redeliveries INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    rejected_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS broker_dead_queue ON broker_dead (queue, seq);
";

/// Longest wait for another connection's write, such as a backup's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for the lock of a broker that is just going.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// The files that this process has open: a second broker on the same file must share the first one's claims.
static OPEN: tokio::sync::Mutex<BTreeMap<PathBuf, Weak<Store>>> = tokio::sync::Mutex::const_new(BTreeMap::new());

/// A SQLite file with the queues in it.
pub(super) struct Store {
    /// Of one connection: the only writer, so that no statement waits for another's lock.
    pool: SqlitePool,
    /// Wakes consumers when a row has become ready.
    pub(super) ready: Notify,
    holders: AtomicI64,
    fault: Mutex<Option<String>>,
    _lock: File,
}

/// One broker's mark on the rows it has claimed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder(i64);

/// A claim on one row. The count of redeliveries grows with each release, so no two claims are equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    seq: i64,
    holder: i64,
    redeliveries: i64,
}

/// A row that has been claimed.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    seq: i64,
    id: String,
    content_type: String,
    body: Vec<u8>,
    redeliveries: i64,
    pub(super) published_at_ms: Option<i64>,
}

impl Row {
    /// What to deliver: the message, its count of redeliveries, and the claim.
    pub(super) fn into_parts(self, holder: Holder) -> (Message, u64, Claim) {
        let claim = Claim { seq: self.seq, holder: holder.0, redeliveries: self.redeliveries };
        let message = Message { id: self.id, content_type: self.content_type, body: self.body.into() };
        (message, u64::try_from(self.redeliveries).unwrap_or_default(), claim)
    }
}

impl Store {
    /// The one store of the file that `url` names.
    pub(super) async fn open(url: &str) -> Result<Arc<Self>, BrokerError> {
        let options = SqliteConnectOptions::from_str(url).map_err(configuration)?;
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err(BrokerError::Configuration("a queue in memory would lose messages: name a file".into()));
        }
        let path = resolve(options.get_filename())?;
        let mut open = OPEN.lock().await;
        if let Some(store) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(store);
        }
        open.retain(|_, store| store.strong_count() > 0);
        let lock = lock(&path).await?;
        let options = options
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(configuration)?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await.map_err(configuration)?;
        add_missing_column(&pool).await.map_err(configuration)?;
        let left = sqlx::query(
            "UPDATE broker_message SET holder = NULL, redeliveries = redeliveries + 1 WHERE holder IS NOT NULL",
        )
        .execute(&pool)
        .await
        .map_err(configuration)?
        .rows_affected();
        if left > 0 {
            tracing::info!(messages = left, "the previous process left messages unsettled: they are delivered again");
        }
        let store = Arc::new(Self {
            pool,
            ready: Notify::new(),
            holders: AtomicI64::new(0),
            fault: Mutex::new(None),
            _lock: lock,
        });
        open.insert(path, Arc::downgrade(&store));
        Ok(store)
    }

    /// A mark no other broker of this process has.
    pub(super) fn new_holder(&self) -> Holder {
        Holder(self.holders.fetch_add(1, Ordering::Relaxed))
    }

    /// Appends a message.
    pub(super) async fn insert(&self, queue: &str, message: &Message) -> Result<(), BrokerError> {
        let inserted = sqlx::query(
            "INSERT INTO broker_message (queue, id, content_type, body, published_at_ms) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(queue)
        .bind(&message.id)
        .bind(&message.content_type)
        .bind(message.body.as_ref())
        .bind(now_ms())
        .execute(&self.pool)
        .await;
        self.noted(inserted)?;
        self.ready.notify_waiters();
        Ok(())
    }

    /// Claims up to `limit` rows, the oldest first.
    ///
    /// Not cancel safe: rows claimed in a cancelled call stay claimed.
    pub(super) async fn claim(&self, queue: &str, holder: Holder, limit: usize) -> Result<Vec<Row>, BrokerError> {
        let claimed = sqlx::query_as::<_, Row>(
            "UPDATE broker_message SET holder = ? WHERE seq IN \
             (SELECT seq FROM broker_message WHERE queue = ? AND holder IS NULL ORDER BY seq LIMIT ?) \
             RETURNING seq, id, content_type, body, redeliveries, published_at_ms",
        )
        .bind(holder.0)
        .bind(queue)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await;
        let mut rows = self.noted(claimed)?;
        rows.sort_unstable_by_key(|row| row.seq);
        Ok(rows)
    }

    /// Forgets a message.
    pub(super) async fn remove(&self, claim: Claim) -> Result<(), BrokerError> {
        let removed = sqlx::query("DELETE FROM broker_message WHERE seq = ? AND holder = ? AND redeliveries = ?")
            .bind(claim.seq)
            .bind(claim.holder)
            .bind(claim.redeliveries)
            .execute(&self.pool)
            .await;
        held(self.noted(removed)?.rows_affected())
    }

    /// Makes a message ready again, and counts that.
    pub(super) async fn release(&self, claim: Claim) -> Result<(), BrokerError> {
        let released = sqlx::query(
            "UPDATE broker_message SET holder = NULL, redeliveries = redeliveries + 1 \
             WHERE seq = ? AND holder = ? AND redeliveries = ?",
        )
        .bind(claim.seq)
        .bind(claim.holder)
        .bind(claim.redeliveries)
        .execute(&self.pool)
        .await;
        held(self.noted(released)?.rows_affected())?;
        self.ready.notify_waiters();
        Ok(())
    }

    /// Makes all that a broker holds ready again.
    pub(super) async fn release_all(&self, holder: Holder) -> Result<(), BrokerError> {
        let released =
            sqlx::query("UPDATE broker_message SET holder = NULL, redeliveries = redeliveries + 1 WHERE holder = ?")
                .bind(holder.0)
                .execute(&self.pool)
                .await;
        self.noted(released)?;
        self.ready.notify_waiters();
        Ok(())
    }

    /// Moves a message to the dead letters, in one transaction.
    pub(super) async fn bury(&self, claim: Claim, reason: &str) -> Result<(), BrokerError> {
        let buried = self.noted(self.try_bury(claim, reason).await)?;
        held(buried)
    }

    async fn try_bury(&self, claim: Claim, reason: &str) -> sqlx::Result<u64> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO broker_dead (queue, id, content_type, body, redeliveries, reason, rejected_at_ms) \
             SELECT queue, id, content_type, body, redeliveries, ?, ? FROM broker_message \
             WHERE seq = ? AND holder = ? AND redeliveries = ?",
        )
        .bind(clip(reason))
        .bind(now_ms())
        .bind(claim.seq)
        .bind(claim.holder)
        .bind(claim.redeliveries)
        .execute(&mut *transaction)
        .await?;
        let removed = sqlx::query("DELETE FROM broker_message WHERE seq = ? AND holder = ? AND redeliveries = ?")
            .bind(claim.seq)
            .bind(claim.holder)
            .bind(claim.redeliveries)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        Ok(removed)
    }

    /// See [`crate::broker::Broker::bury`].
    pub(super) async fn insert_dead(&self, queue: &str, message: &Message, reason: &str) -> Result<(), BrokerError> {
        let inserted = sqlx::query(
            "INSERT INTO broker_dead (queue, id, content_type, body, redeliveries, reason, rejected_at_ms) \
             VALUES (?, ?, ?, ?, 0, ?, ?)",
        )
        .bind(queue)
        .bind(&message.id)
        .bind(&message.content_type)
        .bind(message.head())
        .bind(clip(reason))
        .bind(now_ms())
        .execute(&self.pool)
        .await;
        self.noted(inserted)?;
        Ok(())
    }

    /// See [`crate::broker::Broker::dead_letters`].
    pub(super) async fn dead_letters(
        &self,
        queue: &str,
        id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, BrokerError> {
        self.noted(self.try_dead_letters(queue, id, limit).await)
    }

    async fn try_dead_letters(&self, queue: &str, id: Option<&str>, limit: usize) -> sqlx::Result<Vec<DeadLetter>> {
        let mut rows = sqlx::query_as::<_, (String, String, Vec<u8>, String, i64)>(
            "SELECT id, content_type, body, reason, rejected_at_ms FROM broker_dead \
             WHERE queue = ?1 AND (?2 IS NULL OR id = ?2) ORDER BY seq LIMIT ?3",
        )
        .bind(queue)
        .bind(id)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch(&self.pool);
        let (mut letters, mut size) = (Vec::new(), 0);
        while size <= DeadLetter::SIZE_MAX
            && let Some((id, content_type, body, reason, rejected_at_ms)) = rows.try_next().await?
        {
            size += body.len();
            let message = Message { id, content_type, body: body.into() };
            letters.push(DeadLetter { message, reason, rejected_at_ms: Some(rejected_at_ms) });
        }
        Ok(letters)
    }

    /// See [`crate::broker::Broker::replay`].
    pub(super) async fn replay(&self, queue: &str, id: Option<&str>) -> Result<u64, BrokerError> {
        let replayed = self.noted(self.try_replay(queue, id).await)?;
        self.ready.notify_waiters();
        Ok(replayed)
    }

    async fn try_replay(&self, queue: &str, id: Option<&str>) -> sqlx::Result<u64> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO broker_message (queue, id, content_type, body, published_at_ms) \
             SELECT queue, id, content_type, body, ?3 \
             FROM broker_dead WHERE queue = ?1 AND id <> '' AND (?2 IS NULL OR id = ?2) ORDER BY seq",
        )
        .bind(queue)
        .bind(id)
        .bind(now_ms())
        .execute(&mut *transaction)
        .await?;
        let moved = sqlx::query("DELETE FROM broker_dead WHERE queue = ?1 AND id <> '' AND (?2 IS NULL OR id = ?2)")
            .bind(queue)
            .bind(id)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        Ok(moved)
    }

    /// See [`crate::broker::Broker::depth`].
    pub(super) async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        let counted = sqlx::query_as::<_, (i64, i64)>(
            "SELECT (SELECT count(*) FROM broker_message WHERE queue = ?1 AND holder IS NULL), \
                    (SELECT count(*) FROM broker_dead WHERE queue = ?1)",
        )
        .bind(queue)
        .fetch_one(&self.pool)
        .await;
        let (ready, dead) = self.noted(counted)?;
        Ok(Depth { ready: ready.unsigned_abs(), dead: dead.unsigned_abs() })
    }

    /// `Err` if the latest statement failed.
    pub(super) fn health(&self) -> Result<(), BrokerError> {
        match &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(fault) => Err(BrokerError::Disconnected(fault.clone())),
            None => Ok(()),
        }
    }

    /// Keeps what the latest statement said for [`Store::health`].
    fn noted<T>(&self, outcome: sqlx::Result<T>) -> Result<T, BrokerError> {
        let outcome = outcome.map_err(|error| error.to_string());
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().cloned();
        outcome.map_err(BrokerError::Disconnected)
    }
}

/// Files of before had no time of publication.
async fn add_missing_column(pool: &SqlitePool) -> sqlx::Result<()> {
    let there: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pragma_table_info('broker_message') WHERE name = 'published_at_ms'")
            .fetch_one(pool)
            .await?;
    if there == 0 {
        sqlx::raw_sql("ALTER TABLE broker_message ADD COLUMN published_at_ms INTEGER").execute(pool).await?;
    }
    Ok(())
}

/// A claim that changed no row had ended before: its broker was closed.
fn held(rows: u64) -> Result<(), BrokerError> {
    if rows == 0 {
        return Err(BrokerError::Disconnected("the message has gone back to the queue".into()));
    }
    Ok(())
}

/// The path under which every spelling of it is known; makes the folder.
fn resolve(path: &Path) -> Result<PathBuf, BrokerError> {
    let name = path.file_name().ok_or_else(|| BrokerError::Configuration("the URL names no file".into()))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(configuration)?;
    Ok(folder.canonicalize().map_err(configuration)?.join(name))
}

async fn lock(path: &Path) -> Result<File, BrokerError> {
    let file = File::create(path.with_added_extension("lock")).map_err(configuration)?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            Err(TryLockError::WouldBlock) => {
                return Err(BrokerError::Configuration(format!(
                    "{} is in use by another process: several processes need RabbitMQ",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(configuration(error)),
        }
    }
}

fn configuration(error: impl std::fmt::Display) -> BrokerError {
    BrokerError::Configuration(error.to_string())
}
