//! The outbox of mails: one row per occasion, claimed by one sender at a time.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{
    ClaimedDigest, ClaimedMail, Database, DatabaseError, DeadMail, MailOutcome, NewMail, Outcome, Token, fence::Write,
    value,
};

/// Puts a mail into the outbox as part of a write, once per key.
pub(super) async fn insert(write: &mut Write, mail: &NewMail) -> Result<Outcome, DatabaseError> {
    value::check_key("key of the mail", &mail.key)?;
    let query = sqlx::query(
        "INSERT INTO mails (key, subject, body, due_at_ms, created_at_ms, term) \
         VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT (key) DO NOTHING",
    )
    .bind(value::text(&mail.key))
    .bind(one_line(&mail.subject))
    .bind(value::text(&mail.body))
    .bind(write.now_ms)
    .bind(write.term);
    Ok(match write.session.execute(query).await? {
        0 => Outcome::Duplicate,
        _ => Outcome::Stored,
    })
}

pub(super) async fn enqueue(database: &Database, token: &Token, mail: &NewMail) -> Result<Outcome, DatabaseError> {
    let mut write = database.write(token).await?;
    let outcome = insert(&mut write, mail).await?;
    write.commit().await?;
    Ok(outcome)
}

pub(super) async fn claim(
    database: &Database,
    token: &Token,
    limit: u32,
    claim_for: Duration,
) -> Result<Vec<ClaimedMail>, DatabaseError> {
    let mut write = database.write(token).await?;
    // MATERIALIZED: the rows are chosen once, or the limit would not hold.
    let claim = format!(
        "WITH due AS MATERIALIZED ({DUE} LIMIT $2 {}) \
         UPDATE mails SET claimed_until_ms = $3 WHERE id IN (SELECT id FROM due) RETURNING {COLUMNS}",
        database.dialect.for_update_skip_locked
    );
    let query = sqlx::query_as(AssertSqlSafe(claim))
        .bind(write.now_ms)
        .bind(i64::from(limit))
        .bind(write.now_ms.saturating_add(millis(claim_for)));
    let rows = write.session.fetch_all(query).await?;
    write.commit().await?;
    claimed(rows)
}

pub(super) async fn claim_digest(
    database: &Database,
    token: &Token,
    mails_min: u32,
    mails_max: u32,
    claim_for: Duration,
) -> Result<Option<ClaimedDigest>, DatabaseError> {
    let mut write = database.write(token).await?;
    let claim_until_ms = write.now_ms.saturating_add(millis(claim_for));
    // The condition on the claim stands twice: another claimer may have been faster.
    let claim = format!(
        "UPDATE mails SET claimed_until_ms = $2 \
         WHERE state = 'waiting' AND claimed_until_ms <= $1 AND digest = (SELECT digest FROM mails \
         WHERE state = 'waiting' AND claimed_until_ms <= $1 AND due_at_ms <= $1 AND digest IS NOT NULL \
         ORDER BY due_at_ms, id LIMIT 1) RETURNING {COLUMNS}"
    );
    let query = sqlx::query_as(AssertSqlSafe(claim)).bind(write.now_ms).bind(claim_until_ms);
    let mut rows: Vec<Row> = write.session.fetch_all(query).await?;
    if rows.is_empty() {
        let claim = format!(
            "WITH due AS MATERIALIZED ({DUE} LIMIT $2 {}) \
             UPDATE mails SET claimed_until_ms = $3, digest = (SELECT MIN(id) FROM due) \
             WHERE id IN (SELECT id FROM due) AND (SELECT COUNT(*) FROM due) >= $4 RETURNING {COLUMNS}",
            database.dialect.for_update_skip_locked
        );
        let query = sqlx::query_as(AssertSqlSafe(claim))
            .bind(write.now_ms)
            .bind(i64::from(mails_max))
            .bind(claim_until_ms)
            .bind(i64::from(mails_min));
        rows = write.session.fetch_all(query).await?;
    }
    write.commit().await?;
    let Some((Some(id), claim)) = rows.first().map(|row| (row.5, row.6)) else { return Ok(None) };
    Ok(Some(ClaimedDigest { id, mails: claimed(rows)?, claim }))
}

/// Due mails that are nobody's and in no digest, the earliest first, at the time `$1`.
const DUE: &str = "SELECT id FROM mails WHERE state = 'waiting' AND due_at_ms <= $1 AND claimed_until_ms <= $1 \
                   AND digest IS NULL ORDER BY due_at_ms, id";

const COLUMNS: &str = "id, key, subject, body, attempts, digest, claimed_until_ms";

type Row = (i64, String, String, String, i64, Option<i64>, i64);

fn claimed(mut rows: Vec<Row>) -> Result<Vec<ClaimedMail>, DatabaseError> {
    rows.sort_unstable_by_key(|row| row.0);
    rows.into_iter()
        .map(|(id, key, subject, body, attempts, _, claim)| {
            Ok(ClaimedMail { id, mail: NewMail { key, subject, body }, attempts: value::unsigned(attempts)?, claim })
        })
        .collect()
}

/// Settles the mails whose column `column`, `id` or `digest`, is `id`. A claim that has run out and been taken by another
/// changes nothing, but for a mail that has left.
pub(super) async fn settle(
    database: &Database,
    column: &'static str,
    (id, claim): (i64, i64),
    outcome: &MailOutcome,
) -> Result<(), DatabaseError> {
    let mut write = database.write_for_the_leader().await?;
    let now_ms = write.now_ms;
    let query = match outcome {
        // A mail that left has left, whatever another claimer has said of it since.
        MailOutcome::Sent => sqlx::query(AssertSqlSafe(format!(
            "UPDATE mails SET state = 'sent', settled_at_ms = $2, last_error = NULL \
             WHERE {column} = $1 AND state <> 'sent'"
        )))
        .bind(id)
        .bind(now_ms),
        MailOutcome::Retry { delay, error } => sqlx::query(AssertSqlSafe(format!(
            "UPDATE mails SET attempts = attempts + 1, due_at_ms = $2, claimed_until_ms = 0, last_error = $3 \
             WHERE {column} = $1 AND state = 'waiting' AND claimed_until_ms = $4"
        )))
        .bind(id)
        .bind(now_ms.saturating_add(millis(*delay)))
        .bind(value::text(error))
        .bind(claim),
        MailOutcome::Dead { error } => sqlx::query(AssertSqlSafe(format!(
            "UPDATE mails SET attempts = attempts + 1, state = 'dead', settled_at_ms = $2, last_error = $3 \
             WHERE {column} = $1 AND state = 'waiting' AND claimed_until_ms = $4"
        )))
        .bind(id)
        .bind(now_ms)
        .bind(value::text(error))
        .bind(claim),
    };
    let settled = write.session.execute(query).await?;
    write.commit().await?;
    if settled == 0 {
        tracing::info!(column, id, ?outcome, "nothing to settle: the mail is another claimer's, or settled");
    }
    Ok(())
}

pub(super) async fn dead(database: &Database, limit: u32) -> Result<(Vec<DeadMail>, u64), DatabaseError> {
    type Row = (i64, String, String, String, i64, Option<String>, i64, Option<i64>, i64);
    let query = sqlx::query_as(
        "SELECT id, key, subject, body, attempts, last_error, created_at_ms, settled_at_ms, COUNT(*) OVER () \
         FROM mails WHERE state = 'dead' ORDER BY settled_at_ms, id LIMIT $1",
    )
    .bind(i64::from(limit));
    let rows: Vec<Row> = database.session().await?.fetch_all(query).await?;
    let total = rows.first().map_or(Ok(0), |row| value::unsigned(row.8))?;
    let mails = rows.into_iter().map(|(id, key, subject, body, attempts, error, created_at_ms, settled_at_ms, _)| {
        let (attempts, error) = (value::unsigned(attempts)?, error.unwrap_or_default());
        let given_up_at_ms = settled_at_ms.unwrap_or(created_at_ms);
        Ok(DeadMail { id, key, subject, body, attempts, error, created_at_ms, given_up_at_ms })
    });
    Ok((mails.collect::<Result<_, DatabaseError>>()?, total))
}

pub(super) async fn retry(database: &Database, token: &Token, id: Option<i64>) -> Result<u64, DatabaseError> {
    let mut write = database.write(token).await?;
    let retry = format!(
        "UPDATE mails SET state = 'waiting', attempts = 0, due_at_ms = $1, claimed_until_ms = 0, digest = NULL, \
         settled_at_ms = NULL WHERE state = 'dead'{}",
        if id.is_some() { " AND id = $2" } else { "" }
    );
    let mut query = sqlx::query(AssertSqlSafe(retry)).bind(write.now_ms);
    if let Some(id) = id {
        query = query.bind(id);
    }
    let retried = write.session.execute(query).await?;
    write.commit().await?;
    Ok(retried)
}

/// A year at most, which is for ever here and leaves sums of times in range.
fn millis(duration: Duration) -> i64 {
    const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;
    i64::try_from(duration.as_millis()).map_or(YEAR_MS, |ms| ms.min(YEAR_MS))
}

/// A subject is one line: what would end it becomes a space.
fn one_line(subject: &str) -> String {
    subject.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}
