//! The outbox of mails: one row per occasion, claimed by one sender at a time.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{
    ClaimedMail, Database, DatabaseError, MailOutcome, NewMail, Outcome, Token, dialect::Dialect, session::Session,
    value,
};

/// Puts a mail into the outbox as part of the session's transaction, once per key.
pub(super) async fn insert(
    session: &mut Session,
    dialect: &Dialect,
    term: i64,
    mail: &NewMail,
) -> Result<Outcome, DatabaseError> {
    value::check_key("key of the mail", &mail.key)?;
    let now_ms = dialect.now_ms;
    let insert = format!(
        "INSERT INTO mails (key, subject, body, due_at_ms, created_at_ms, term) \
         VALUES ($1, $2, $3, {now_ms}, {now_ms}, $4) ON CONFLICT (key) DO NOTHING"
    );
    let query = sqlx::query(AssertSqlSafe(insert))
        .bind(value::text(&mail.key))
        .bind(one_line(&mail.subject))
        .bind(value::text(&mail.body))
        .bind(term);
    Ok(match session.execute(query).await? {
        0 => Outcome::Duplicate,
        _ => Outcome::Stored,
    })
}

pub(super) async fn enqueue(database: &Database, token: &Token, mail: &NewMail) -> Result<Outcome, DatabaseError> {
    let mut write = database.write(token).await?;
    let outcome = insert(&mut write.session, database.dialect, write.term, mail).await?;
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
        "WITH due AS MATERIALIZED (SELECT id FROM mails \
         WHERE state = 'waiting' AND due_at_ms <= $1 AND claimed_until_ms <= $1 ORDER BY due_at_ms, id LIMIT $2 {}) \
         UPDATE mails SET claimed_until_ms = $3 WHERE id IN (SELECT id FROM due) \
         RETURNING id, key, subject, body, attempts",
        database.dialect.for_update_skip_locked
    );
    let query = sqlx::query_as(AssertSqlSafe(claim))
        .bind(write.now_ms)
        .bind(i64::from(limit))
        .bind(write.now_ms.saturating_add(millis(claim_for)));
    let mut rows: Vec<(i64, String, String, String, i64)> = write.session.fetch_all(query).await?;
    write.commit().await?;
    rows.sort_unstable_by_key(|row| row.0);
    rows.into_iter()
        .map(|(id, key, subject, body, attempts)| {
            Ok(ClaimedMail { id, mail: NewMail { key, subject, body }, attempts: value::unsigned(attempts)? })
        })
        .collect()
}

pub(super) async fn settle(database: &Database, id: i64, outcome: &MailOutcome) -> Result<(), DatabaseError> {
    let now_ms = database.dialect.now_ms;
    let mut session = database.session().await?;
    let query = match outcome {
        // A mail that left has left, whatever another claimer has said of it since.
        MailOutcome::Sent => sqlx::query(AssertSqlSafe(format!(
            "UPDATE mails SET state = 'sent', settled_at_ms = {now_ms}, last_error = NULL \
             WHERE id = $1 AND state <> 'sent'"
        )))
        .bind(id),
        MailOutcome::Retry { delay, error } => sqlx::query(AssertSqlSafe(format!(
            "UPDATE mails SET attempts = attempts + 1, due_at_ms = {now_ms} + $2, claimed_until_ms = 0, \
             last_error = $3 WHERE id = $1 AND state = 'waiting'"
        )))
        .bind(id)
        .bind(millis(*delay))
        .bind(value::text(error)),
        MailOutcome::Dead { error } => sqlx::query(AssertSqlSafe(format!(
            "UPDATE mails SET attempts = attempts + 1, state = 'dead', settled_at_ms = {now_ms}, last_error = $2 \
             WHERE id = $1 AND state = 'waiting'"
        )))
        .bind(id)
        .bind(value::text(error)),
    };
    session.execute(query).await?;
    Ok(())
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
