//! What there should be, against what there is.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "an account that cannot be drawn up has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use symphony_adapters::{broker::DeadLetter, item::Item};

/// Time in which a due mail is taken up: longer than the manager's longest pause.
const MAIL_WAIT_MAX: Duration = Duration::from_secs(120);

/// What the scraper says.
#[derive(Debug, Default)]
pub(super) struct Scraped {
    /// The item of each message that was published, by the message's id.
    pub(super) published: BTreeMap<String, String>,
    /// Each item as it was last seen.
    pub(super) latest: BTreeMap<String, Item>,
    /// Files put on the file server.
    pub(super) files: u64,
}

impl Scraped {
    /// Adds up the runs' documents in a folder.
    pub(super) fn read(folder: &Path, published: BTreeMap<String, String>) -> Self {
        let mut scraped = Self { published, ..Self::default() };
        // What is on its way has another name.
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
        paths.sort();
        scraped.files = paths.len() as u64;
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).expect("a run's document");
            let items: Vec<Item> = serde_json::from_value(document["items"].clone()).expect("items");
            scraped.latest.extend(items.into_iter().map(|item| (item.id.clone(), item)));
        }
        scraped
    }
}

/// Published messages beside those that had their effect, one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Published and without effect.
    pub missing: u64,
    /// With an effect that nobody published, or on another item.
    pub foreign: u64,
    /// Items that have been in more or fewer states than they had messages.
    pub doubled: u64,
}

/// Compares what was published, the item of each message by the message's id, with what had its effect.
///
/// # Errors
/// The database is away.
pub async fn difference(database: &str, published: &BTreeMap<String, String>) -> sqlx::Result<Difference> {
    let mut session = PgConnection::connect(database).await?;
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT message_id, COALESCE(item_id, '') FROM inbox").fetch_all(&mut session).await?;
    let doubled: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM items FULL JOIN (SELECT item_id, COUNT(*) AS messages FROM inbox GROUP BY item_id) AS told \
         ON item_id = id WHERE revision IS DISTINCT FROM messages",
    )
    .fetch_one(&mut session)
    .await?;
    session.close().await?;
    let stored: BTreeMap<_, _> = rows.into_iter().collect();
    let only_in = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        one.iter().filter(|(message, item)| other.get(*message) != Some(*item)).count() as u64
    };
    Ok(Difference {
        missing: only_in(published, &stored),
        foreign: only_in(&stored, published),
        doubled: u64::try_from(doubled).unwrap_or(0),
    })
}

/// What became of the mails.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mails {
    /// Sent, by the database, and not received.
    pub(super) lost: u64,
    /// Given up, or due and in nobody's hands for long.
    pub(super) stuck: u64,
}

/// Compares the outbox with the subjects of the mails that were received. What a manager had claimed when it was killed
/// waits until the claim runs out.
pub(super) async fn mails(database: &str, received: &BTreeSet<String>) -> sqlx::Result<Mails> {
    let mut session = PgConnection::connect(database).await?;
    let sent: Vec<(String,)> =
        sqlx::query_as("SELECT subject FROM mails WHERE state = 'sent'").fetch_all(&mut session).await?;
    let stuck: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM mails WHERE state = 'dead' OR state = 'waiting' AND GREATEST(due_at_ms, claimed_until_ms) \
         + $1 < EXTRACT(EPOCH FROM clock_timestamp()) * 1000",
    )
    .bind(MAIL_WAIT_MAX.as_millis() as i64)
    .fetch_one(&mut session)
    .await?;
    session.close().await?;
    let lost = sent.iter().filter(|(subject,)| !received.contains(subject)).count() as u64;
    Ok(Mails { lost, stuck: u64::try_from(stuck).unwrap_or(0) })
}

/// What the database has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Messages that had their effect.
    pub messages: u64,
    /// States that all items have been in; as many as messages, if each had its effect once.
    pub effects: u64,
    /// Rows that were committed after a later term was promoted, or in a term that never was.
    pub stale: u64,
    /// Files.
    pub files: u64,
    /// Terms that were promoted.
    pub terms: u64,
}

/// Sees to it that every promotion is written down beside the data; [`audit`] needs it.
///
/// # Panics
/// If the database has no schema yet, or is away.
pub async fn prepare(database: &str) {
    let mut session = PgConnection::connect(database).await.unwrap();
    let script = "CREATE TABLE promotions (term BIGINT PRIMARY KEY); \
         CREATE FUNCTION note_promotion() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO promotions VALUES (NEW.term) ON CONFLICT DO NOTHING; RETURN NULL; END $$; \
         CREATE TRIGGER note_promotion AFTER INSERT OR UPDATE ON fence FOR EACH ROW EXECUTE FUNCTION note_promotion()";
    sqlx::raw_sql(script).execute(&mut session).await.unwrap();
    session.close().await.unwrap();
}

/// Counts what the database has. Whether a row is stale is told by the times of commits, which PostgreSQL keeps
/// (`track_commit_timestamp`): no row of a term is committed after the promotion of a later one.
///
/// # Errors
/// The database is away.
pub async fn audit(database: &str) -> sqlx::Result<Stored> {
    let mut session = PgConnection::connect(database).await?;
    let (messages, effects, stale, files, terms): (i64, i64, i64, i64, i64) = sqlx::query_as(
        "WITH ends AS (SELECT term, LEAD(pg_xact_commit_timestamp(xmin)) OVER (ORDER BY term) AS ended FROM promotions), \
         written AS (SELECT term, pg_xact_commit_timestamp(xmin) AS at FROM inbox \
             UNION ALL SELECT term, pg_xact_commit_timestamp(xmin) FROM items \
             UNION ALL SELECT term, pg_xact_commit_timestamp(xmin) FROM files \
             UNION ALL SELECT term, pg_xact_commit_timestamp(xmin) FROM file_ledger \
             UNION ALL SELECT term, pg_xact_commit_timestamp(xmin) FROM dead_files) \
         SELECT (SELECT COUNT(*) FROM inbox), (SELECT COALESCE(SUM(revision), 0)::BIGINT FROM items), \
             (SELECT COUNT(*) FROM written LEFT JOIN ends USING (term) \
              WHERE ends.term IS NULL OR at IS NULL OR at > ended), \
             (SELECT COUNT(*) FROM files), (SELECT COUNT(*) FROM promotions)",
    )
    .fetch_one(&mut session)
    .await?;
    session.close().await?;
    let [messages, effects, stale, files, terms] =
        [messages, effects, stale, files, terms].map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Stored { messages, effects, stale, files, terms })
}

/// Items whose state in the database is not the one given.
pub(super) async fn differing(database: &str, expected: &BTreeMap<String, Item>) -> sqlx::Result<u64> {
    let mut session = PgConnection::connect(database).await?;
    let rows: Vec<(String, String, String, String, String)> =
        sqlx::query_as("SELECT id, site, url, title, fields::TEXT FROM items").fetch_all(&mut session).await?;
    session.close().await?;
    let stored: BTreeSet<_> = rows
        .into_iter()
        .map(|(id, site, url, title, fields)| {
            let fields: BTreeMap<String, Value> = serde_json::from_str(&fields).unwrap();
            serde_json::to_string(&(id, site, url, title, fields)).unwrap()
        })
        .collect();
    let expected: BTreeSet<_> = expected
        .values()
        .map(|item| serde_json::to_string(&(&item.id, &item.site, &item.url, &item.title, &item.fields)).unwrap())
        .collect();
    Ok(stored.symmetric_difference(&expected).count() as u64)
}

/// What came of everything so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Account {
    /// Messages that the scraper published: new or changed items.
    pub scraped: u64,
    /// Messages that had their effect.
    pub stored: u64,
    /// Published, and without effect.
    pub missing: u64,
    /// With an effect, and not published.
    pub foreign: u64,
    /// Items with more or fewer effects than messages.
    pub doubled: u64,
    /// Items that are not as they were last seen.
    pub differing: u64,
    /// Rows of a term that was over.
    pub stale: u64,
    /// Files that are not in the database.
    pub files_missing: u64,
    /// Mails that were sent and not received.
    pub mails_lost: u64,
    /// Mails that were given up, or that nobody takes up.
    pub mails_stuck: u64,
    /// Messages in the queue, with nobody at work on it.
    pub queued: u64,
    /// Bad messages that were published.
    pub bad: u64,
    /// Of those, dead letters.
    pub dead: u64,
    /// Dead letters that are none of those.
    pub dead_unexpected: u64,
    /// Dead letters that are there twice: whoever buried one died before it had acknowledged the original.
    pub dead_copies: u64,
    /// Why the scraper failed, if it did.
    pub scraper_failed: Option<String>,
}

impl Account {
    /// Enters the dead letters beside the bad messages that were published.
    pub(super) fn with_letters(self, bad: &BTreeSet<String>, dead: &[DeadLetter]) -> Self {
        let ids: BTreeSet<_> = dead.iter().map(|letter| letter.message.id.clone()).collect();
        Self {
            bad: bad.len() as u64,
            dead: ids.intersection(bad).count() as u64,
            dead_unexpected: ids.difference(bad).count() as u64,
            dead_copies: (dead.len() - ids.len()) as u64,
            ..self
        }
    }

    /// Nothing lost, nothing twice, nothing stale, nothing left over.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let Self {
            missing, foreign, doubled, differing, stale, files_missing, mails_lost, mails_stuck, queued, ..
        } = self;
        [missing, foreign, doubled, differing, stale, files_missing, mails_lost, mails_stuck, queued] == [&0; 9]
            && self.bad == self.dead
            && self.dead_unexpected == 0
            && self.scraper_failed.is_none()
    }
}
